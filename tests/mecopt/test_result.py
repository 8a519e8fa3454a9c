"""Results: what was found becomes a status, gaps are those of the judge, what is missing is None."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MINIMAL, documents, examples

import mecopt
from mecopt import Method, registry
from mecopt.limits import OF_ROWS
from mecopt.result import gap

EVERYTHING = OF_ROWS


def late(**rules):
    """A task of 1 s on the device, or 2 s on the server, that is to take 1.5 s."""
    tasks = [{**MINIMAL["tasks"][0], "max_delay_s": 1.5}]
    return {**MINIMAL, "tasks": tasks, "rules": rules}


def row(result):
    return result.status.value, result.objective, result.lower_bound, result.gap, result.placement is not None


def test_optimal(using):
    assert row(mecopt.solve(mecopt.from_dict(MINIMAL))) == ("optimal", 1.0, 1.0, 0.0, True)
    heuristic = using(lambda instance, run: run.found([[0]]))
    assert row(heuristic) == ("optimal", 1.0, 1.0, 0.0, True)  # whatever the method


def test_feasible(using):
    assert row(using(lambda instance, run: run.found([[1]]))) == ("feasible", 2.0, 1.0, 1.0, True)


@pytest.mark.parametrize(("excess", "status"), [(0.9e-6, "optimal"), (1.1e-6, "feasible")])
def test_the_tolerance_of_optimal(using, excess, status):
    result = using(lambda instance, run: run.found([[0]], bound=1.0 / (1.0 + excess)))
    assert result.status == status
    assert result.to_dict()["optimality_tolerance"] == 1e-6
    assert result.gap == pytest.approx(excess)


def test_violating(using):
    result = using(lambda instance, run: run.found([[1]]), late())
    assert row(result) == ("violating", None, 1.0, None, True)
    assert result.to_dict()["total_delay_s"] == 2.0
    assert result.to_dict()["deadline_excess_s"] == 0.5
    (violation,) = result.to_dict()["violations"]
    assert violation == {"kind": "deadline", "where": {"task": 0, "block": 0}, "limit": 1.5, "value": 2.0}


def test_infeasible(using):
    document = {**MINIMAL, "tasks": [{**MINIMAL["tasks"][0], "max_delay_s": 0.5}]}
    for result in (
        mecopt.solve(mecopt.from_dict(document)),
        using(lambda instance, run: None, document),
        using(lambda instance, run: run.found([[0]]), document),
    ):
        assert row(result) == ("infeasible", None, None, None, False)
        assert [reason["where"] for reason in result.reasons] == [{"task": 0, "block": 0}]
        written = result.to_dict()
        assert {written[name] for name in ("placement", "total_delay_s", "energy_j", "device_energy_j")} == {
            None
        }


def test_unknown_keeps_its_bound(using):
    assert row(using(lambda instance, run: None)) == ("unknown", None, 1.0, None, False)
    assert row(using(lambda instance, run: run.improve_bound(0.25))) == ("unknown", None, 0.25, None, False)


def test_a_proof_by_the_method(using):
    reason = {"kind": "energy", "where": {"device": "d"}, "limit": 1.0, "value": 2.0, "message": "too much"}
    result = using(lambda instance, run: run.infeasible([reason]))
    assert row(result) == ("infeasible", None, None, None, False)
    assert result.reasons == (reason,)


def test_a_missing_link_leaves_no_infinite_number(using):
    document = {**MINIMAL, "tasks": [{**MINIMAL["tasks"][0], "rate_bps": [0]}]}
    result = using(lambda instance, run: run.found([[1]]), document)
    assert result.status == "violating"
    written = json.loads(result.to_json())
    assert written["total_delay_s"] is None
    assert written["energy_j"] is not None or written["device_energy_j"] == {"d": None}
    assert "infinity" not in result.to_json().lower()


@examples(80)
@given(documents(), st.data())
def test_any_result_is_json_without_nan(document, data):
    """Whatever placement a method hands over, every number is finite and what is missing is null."""
    instance = mecopt.from_dict(document)
    nodes = data.draw(st.integers(0, 2**32 - 1).map(np.random.default_rng)).integers(
        0, instance.server_count + 1, (instance.task_count, instance.max_blocks)
    )
    own = Method("own", "heuristic", "", EVERYTHING, lambda instance, run: run.found(nodes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "method", lambda name: own)
        result = mecopt.solve(instance, "own")
    written = json.loads(result.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert written == result.to_dict()
    assert (written["objective"] is not None) == (written["status"] in ("optimal", "feasible"))
    assert (written["gap"] is not None) == (written["objective"] is not None)
    assert bool(written["violations"]) == (written["status"] == "violating")
    assert (written["placement"] is None) == (written["status"] == "infeasible")
    assert len(result.to_frame()) == (0 if written["placement"] is None else instance.block_count.sum())
    assert repr(result)


@given(documents())
def test_frames_add_up(document):
    result = mecopt.solve(mecopt.from_dict(document), "trellis", relax=True)
    if result.placement is None:
        return
    frame = result.to_frame()
    judged = result.evaluation
    assert (frame.trans_s + frame.calc_s).sum() + judged.steps.result_s.sum() == pytest.approx(
        judged.total_delay_s
    )
    assert frame.energy_j.sum() == pytest.approx(judged.energy_j)
    assert frame.node.tolist() == [node for path in result.placement.tolist() for node in path if node >= 0]


@pytest.mark.parametrize(
    ("objective", "bound", "value"),
    [
        (None, 1.0, None),
        (1.0, None, None),
        (None, None, None),
        (1.0, 1.0, 0.0),
        (3.0, 2.0, 0.5),
        (0.0, 0.0, 0.0),
        (1.0, 0.0, 1e12),
        (1.0, -2.0, 1.5),
        (1.0, 1.0 + 0.9e-9, 0.0),
    ],
)
def test_gap(objective, bound, value):
    assert gap(objective, bound) == (None if value is None else pytest.approx(value))


def test_a_bound_above_the_objective_is_an_error():
    with pytest.raises(mecopt.DisagreementError, match="lies above the objective"):
        gap(1.0, 1.0 + 1.1e-9)
