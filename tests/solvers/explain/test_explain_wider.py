"""Explanations of the wider model: what demands cost, what cannot hold together, loads and periods."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from reference import Reference
from strategies import MINIMAL

import mecopt
from mecopt.io import save
from mecopt_solvers.cli.explain import explain as command
from mecopt_solvers.crosscheck import brute_force, wide_instance
from mecopt_solvers.explain import Demand, explain
from mecopt_solvers.explain.demands import changed, demands

# Two blocks of 4 cycles: 4 s each on the device, 1 s each on the server, 1 s for the first block's way there.
CHAIN = {
    **MINIMAL,
    "format": "mecopt-instance/2",
    "models": [{"name": "m", "blocks": [{"cycles": 4, "input_bits": 1}, {"cycles": 4, "input_bits": 1}]}],
    "servers": [{"name": "es1", "cycles_per_s": 4}],
}


def drawn(count):
    """Draw wide instances of few placements."""
    found = (wide_instance(np.random.default_rng([23, i])) for i in range(200))
    few = (i for i in found if (i.server_count + 2.0) ** i.block_count.sum() <= 700)
    return [instance for instance, _ in zip(few, range(count), strict=False)]


def chain(count=1, **changes):
    task = {**CHAIN["tasks"][0], **changes.pop("task", {})}
    return mecopt.from_dict({**CHAIN, **changes, "tasks": [task] * count})


def test_values_are_differences_of_optima():
    valued = 0
    for instance in drawn(25):
        found, best = explain(instance, time_limit_s=None), brute_force(instance)
        assert (best is None) == (found.status == "infeasible")
        if best is None:
            continue
        assert found.objective == pytest.approx(best.objective, rel=1e-9, abs=1e-18)
        listed = {value.demand: value for value in found.demand_values}
        for demand in demands(instance):
            try:
                without = brute_force(changed(instance, {demand: np.inf}))
            except mecopt.InstanceError:
                assert listed[demand].saved_without is None
                continue
            saved = best.objective - without.objective
            if saved <= 1e-9 * best.objective:
                assert demand not in listed
                continue
            valued += 1
            assert listed[demand].saved_without == pytest.approx(saved, rel=1e-6)
            if demand.eases:
                eased = brute_force(changed(instance, {demand: 1.1}))
                expected = pytest.approx(
                    best.objective - eased.objective, rel=1e-6, abs=2e-9 * best.objective
                )
                assert listed[demand].saved_eased == expected
    assert valued > 5


def test_a_clash_is_impossible_and_without_any_part_of_it_possible():
    looked = 0
    for instance in drawn(40):
        if brute_force(instance) is not None:
            continue
        found = explain(instance, time_limit_s=None)
        assert found.status == "infeasible"
        clash = found.infeasibility.clash
        every = demands(instance)
        if clash is None or not clash.irreducible:
            continue
        looked += 1
        gone = dict.fromkeys((one for one in every if one not in clash.demands), np.inf)
        assert brute_force(changed(instance, gone)) is None
        for one in clash.demands:
            assert brute_force(changed(instance, {**gone, one: np.inf})) is not None
    assert looked > 3


def test_the_best_placements_of_a_task_are_the_references():
    listed = 0
    for instance in drawn(25):
        reference = Reference(mecopt.to_dict(instance))
        found = explain(instance, tasks=(0,), best=4, time_limit_s=None)
        if reference.period:
            assert found.alternatives == ()
            assert any("the period is of all tasks together" in note for note in found.notes)
            continue
        truth = sorted(reference.task_objective(0, path) for path in reference.choices(0))[:4]
        got = [one.objective_s for one in found.alternatives]
        assert got == pytest.approx(truth, rel=1e-9, abs=1e-18)
        listed += len(got)
    assert listed > 20


def test_loads_and_periods_are_the_references():
    seen = set()
    for instance in drawn(60):
        found, reference = explain(instance, time_limit_s=None), Reference(mecopt.to_dict(instance))
        if found.evaluation is None:
            continue
        rows = zip(found.evaluation.placement, instance.block_count, strict=True)
        paths = [tuple(row[:count].tolist()) for row, count in rows]
        if reference.sharing is not None:
            loads = {(one.where["slot"], one.where["node"]): one.load for one in found.loads}
            truth = {at: load / reference.slot_s for at, load in reference.loads(paths).items()}
            assert loads == pytest.approx(truth)
            seen.add("sharing")
        if reference.period:
            assert sum(one.busy_s for one in found.busiest) == pytest.approx(reference.period_s(paths))
            seen.add("period")
    assert seen == {"sharing", "period"}


def test_an_end_to_end_deadline_by_hand():
    # All on the server: 1 s there and 1 s a block, 3 s. At home it takes 8 s.
    rules = {"objective": {"delay": 0, "energy": 1}, "deadline": "hard"}
    device = {"name": "d", "cycles_per_s": 1, "compute_power_w": 0.1, "transmit_power_w": 2}
    instance = chain(task={"max_total_delay_s": 7.5}, rules=rules, devices=[device])
    # Joules: 0.8 at home in 8 s, 2 on the server (sending 1 s at 2 W), 0.4 + 2 when cut.
    found = explain(instance)
    assert found.objective == pytest.approx(2.0)
    (value,) = found.demand_values
    assert value.demand == Demand("deadline", (("task", 0),))
    assert value.saved_eased == pytest.approx(1.2)  # 8.25 s are enough for the device
    assert value.saved_without == pytest.approx(1.2)
    (limit,) = found.limits
    assert (limit.kind, limit.limit, limit.used) == ("deadline", 7.5, pytest.approx(3.0))
    assert found.spending.penalty_s == 0


def test_a_deadline_against_the_list_of_nodes_and_a_pin():
    allow = [{"tasks": "all", "blocks": [0], "nodes": ["device"]}]
    instance = chain(task={"max_total_delay_s": 5.5}, allow=allow)
    found = explain(instance)
    assert found.status == "infeasible"
    late, listed = Demand("deadline", (("task", 0),)), Demand("allow", (("entry", 0),))
    assert set(found.infeasibility.clash.demands) == {late, listed}
    assert found.infeasibility.clash.irreducible
    free = explain(chain(task={"max_total_delay_s": 5.5}), pins=["0:0=0"])
    assert free.status == "optimal"
    assert set(free.forced.clash.demands) == {late, Demand("pin", (("text", "0:0=0"),))}


def test_alternatives_keep_to_pins_and_lists():
    allow = [{"tasks": "all", "blocks": [1], "nodes": ["es1"]}]
    assert [one.nodes for one in explain(chain(allow=allow), tasks=[0], best=9).alternatives] == [
        (1, 1),
        (0, 1),
    ]
    pinned = explain(chain(allow=allow), tasks=[0], best=9, pins=["0:0=0"])
    assert [one.nodes for one in pinned.alternatives] == [(0, 1)]
    plain = mecopt.from_dict({**CHAIN, "format": "mecopt-instance/1"})
    assert [one.nodes for one in explain(plain, tasks=[0], best=9, bans=["0:1=1"]).alternatives] == [
        (1, 0),
        (0, 0),
    ]


def test_a_longer_slot_under_sharing_by_hand():
    # Both tasks at home take 8 s each. On the server one takes 1 + 2 / (1 - 2 / 10) = 3.5 s, and two take
    # 1 + 2 / (1 - 4 / 10) = 4.333 s each, 8.667 s; in slots of 11 s 1 + 2 / (1 - 4 / 11) = 4.143 s each.
    rules = {"couplings": ["sharing"], "sharing": "mm1"}
    instance = chain(count=2, rules=rules, slots={"count": 1, "seconds": 10})
    found = explain(instance)
    assert found.objective == pytest.approx(2 * (1 + 2 / 0.6))
    (value,) = found.demand_values
    assert value.demand == Demand("sharing")
    assert value.saved_eased == pytest.approx(2 * (2 / 0.6 - 2 / (1 - 4 / 11)))
    assert value.saved_without == pytest.approx(2 * (2 / 0.6 - 2))
    (load,) = found.loads
    assert (load.load, load.longer) == (pytest.approx(0.4), pytest.approx(1 / 0.6))


def test_a_given_placement_is_told_how_good_it_is():
    instance = chain(task={"weight": 2})
    worst, best = explain(instance, [[0, 0]]), explain(instance, [[1, 1]])
    assert (worst.source, worst.status, worst.objective, worst.lower_bound) == ("given", "feasible", 16, 6)
    assert best.status == "optimal"


def test_what_is_not_worked_out_is_named():
    instance = chain(task={"max_total_delay_s": 7.5}, rules={"one_run": "all"})
    found = explain(instance)
    assert any("prices" in note and "end-to-end deadlines, one_run" in note for note in found.notes)
    refused = explain(instance, method="trellis")
    assert (refused.status, refused.evaluation, refused.demand_values) == ("unknown", None, ())
    assert any("trellis does not take end-to-end deadlines, one_run" in note for note in refused.notes)


def test_what_people_see(tmp_path):
    rules = {"objective": {"delay": 1, "energy": 1}, "deadline": "hard"}
    device = {"name": "d", "cycles_per_s": 1, "compute_power_w": 0.1, "transmit_power_w": 20}
    instance = chain(task={"max_total_delay_s": 7.5}, rules=rules, devices=[device])
    path = str(tmp_path / "one.json")
    save(instance, path)
    done = CliRunner().invoke(command, [path, "--task", "0", "--best", "2", "--pin", "0:0=1"])
    assert done.exit_code == 0, done.output
    text = done.stdout
    assert "What demands cost, one at a time, all else kept" in text
    assert "deadline of task 0, end to end" in text
    figures = [
        line for line in text.splitlines() if line.startswith(" Objective") or "more than without" in line
    ]
    assert figures
    assert not any(" s" in line.split("more")[0] for line in figures)
    document = json.loads(CliRunner().invoke(command, [path, "--json"]).stdout)
    assert document["demand_values"][0]["where"] == {"task": 0}
