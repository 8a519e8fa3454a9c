"""A slot that cannot hold its tasks is named: which server, or all together, and by how much."""

import pytest
from hypothesis import given
from reference import Reference
from strategies import examples
from wide_strategies import wide_documents

import mecopt
from mecopt.costs import chain_costs
from mecopt.features import forbidden
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.overload import overloads

METHODS = ("enumeration", "ilp", "auto", "decomposition")


def document(tasks=3, nodes=("es1",), coupling="sharing", **fields):
    """Return a slot of one second in which every task calculates 0.4 s on a server."""
    rules = {"couplings": [coupling]}
    if coupling == "sharing":
        rules["sharing"] = "mm1"
    return {
        "format": "mecopt-instance/2",
        "name": "overload",
        "rules": rules,
        "slots": {"count": 1, "seconds": 1.0},
        "devices": [{"name": "d", "cycles_per_s": 10, "transmit_power_w": 1}],
        "servers": [{"name": "es1", "cycles_per_s": 100}, {"name": "es2", "cycles_per_s": 100}],
        "links": {"server_bps": 1e9},
        "models": [{"name": "m", "blocks": [{"cycles": 40, "input_bits": 1}]}],
        "tasks": [{"slot": 0, "device": "d", "model": "m", "rate_bps": [1e9, 1e9], **fields}] * tasks,
        "allow": [{"tasks": "all", "blocks": "all", "nodes": list(nodes)}],
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_server_that_cannot_hold_what_must_run_there(method):
    result = mecopt.solve(mecopt.from_dict(document()), method)
    assert result.status == "infeasible"
    (reason,) = result.reasons
    assert reason["kind"] == "sharing"
    assert reason["where"] == {"slot": 0, "node": 1}
    assert (reason["limit"], reason["value"]) == (1 - 1e-6, pytest.approx(1.2))
    assert reason["message"] == (
        "slot 0, es1: what its tasks can run nowhere else is a load of 1.2, "
        "mm1 wants at most 0.999999 (0.2 of the slot too much)"
    )


@pytest.mark.parametrize("method", METHODS)
def test_all_servers_of_a_slot_together(method):
    result = mecopt.solve(mecopt.from_dict(document(tasks=6, nodes=("es1", "es2"))), method)
    assert result.status == "infeasible"
    (reason,) = result.reasons
    assert reason["where"] == {"slot": 0}
    assert reason["value"] == pytest.approx(2.4)
    assert "2.4, at most 2 fits (0.4 too much)" in reason["message"]


@pytest.mark.parametrize("method", METHODS)
def test_a_server_too_small_for_one_task_alone(method):
    result = mecopt.solve(mecopt.from_dict(document(tasks=1, batch=5)), method)
    assert result.status == "infeasible"
    (reason,) = result.reasons
    assert reason["where"] == {"slot": 0, "node": 1}
    assert (reason["limit"], reason["value"]) == (1 - 1e-6, pytest.approx(2.0))


def test_capacity_is_told_in_seconds():
    result = mecopt.solve(mecopt.from_dict(document(coupling="capacity")), "ilp")
    assert result.status == "infeasible"
    assert result.reasons[0]["where"] == {"slot": 0, "node": 1}
    assert "1.2 s, the limit is 1 s" in result.reasons[0]["message"]


def test_pins_count():
    instance = mecopt.from_dict(document(nodes=("device", "es1", "es2")))
    result = mecopt.solve(instance, "enumeration", pins=[f"{k}:0=2" for k in range(3)])
    assert result.reasons[0]["where"] == {"slot": 0, "node": 2}


def test_what_may_be_left_out_loads_nothing():
    result = mecopt.solve(mecopt.from_dict(document(drop_cost=9.0)), "enumeration")
    assert result.status == "optimal"
    assert result.evaluation.dropped.sum() == 1


@examples(40)
@given(wide_documents(joint=400))
def test_what_has_a_placement_is_never_called_too_full(document):
    if Reference(document).best_coupled() is None:
        return
    instance = mecopt.from_dict(document)
    assert overloads(instance, build_arcs(chain_costs(instance), node_cost=forbidden(instance))) == []
