"""Robust plans against every placement and every choice of late calculations."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from what_if_instances import alike, drawn, single

import mecopt
from mecopt import allowing
from mecopt.entities import Deadline, Objective
from mecopt.tolerances import slack
from mecopt_solvers.crosscheck.brute import paths_of


def spread_instance(seed):
    """Draw an instance that robust takes, with spreads."""
    rng = np.random.default_rng(seed)
    instance = drawn(seed)
    tasks = instance.tasks
    hard = instance.rules.deadline is Deadline.HARD
    late = tasks.max_total_delay_s if hard else np.full(len(tasks), np.inf)
    mode = Deadline.HARD if hard else Deadline.NONE
    instance = single(instance, deadline=mode, objective=Objective())
    for part in ("devices", "servers"):
        nodes = [
            dataclasses.replace(node, calc_spread=float(rng.choice([0.0, 0.25, 1.0, rng.uniform(0, 2)])))
            for node in getattr(instance, part)
        ]
        instance = instance.replace(**{part: tuple(nodes)})
    return instance.replace(tasks=dataclasses.replace(instance.tasks, max_total_delay_s=late * 1.2))


def brute(instance, k, budget):
    """Return the least worst case of a task over all its placements, None where no placement is sure."""
    rows, tasks = paths_of(instance, k), instance.tasks
    copies = instance.replace(tasks=tasks.take(np.full(len(rows), k)), allow=allowing.of_task(instance, k))
    judged = mecopt.evaluate(copies, rows)
    spread = [node.calc_spread for node in (instance.devices[tasks.device[k]], *instance.servers)]
    broken = {v.where["task"] for v in judged.violations}
    best = min(
        (
            _worst(judged, row, nodes, spread, budget)
            for row, nodes in enumerate(rows.tolist())
            if row not in broken
        ),
        default=math.inf,
    )
    return None if best == math.inf else best


def _worst(judged, row, nodes, spread, budget):
    instance = judged.instance
    tasks, count, worst = instance.tasks, int(instance.block_count[row]), 0.0
    if nodes[0] < 0:
        return float(tasks.drop_cost[row])
    more = [spread[nodes[m]] * judged.work_s[row, m] for m in range(count)]
    for late in itertools.combinations(range(count), min(budget, count)):
        delay = [judged.block_delay_s[row, m] + more[m] * (m in late) for m in range(count)]
        total = float(sum(delay) + judged.steps.result_s[row])
        if instance.rules.deadline is Deadline.HARD and (
            any(delay[m] > slack(float(tasks.max_delay_s[row, m])) for m in range(count))
            or total > slack(float(tasks.max_total_delay_s[row]))
        ):
            return math.inf
        worst = max(worst, total * float(tasks.weight[row]))
    return worst


def check(seed):
    instance = spread_instance(seed)
    rng = np.random.default_rng(seed)
    budget = int(rng.integers(0, 4))
    found = mecopt.robust(instance, budget)
    expected = [brute(instance, k, budget) for k in range(instance.task_count)]
    assert found.unserved.tolist() == [k for k, value in enumerate(expected) if value is None], seed
    for k, value in enumerate(expected):
        if value is not None:
            assert alike(float(found.worst[k]), value), (seed, k, budget, found.worst[k], value)
    if found.plan is not None:
        assert found.plan.feasible
        assert found.lower_bound <= found.objective * (1 + 1e-12)
        assert alike(found.lower_bound, found.objective)
    return instance.task_count


def test_against_every_placement_and_every_choice_of_late_calculations():
    assert sum(map(check, range(25))) > 25


@pytest.mark.slow
def test_many_against_every_placement_and_every_choice_of_late_calculations():
    assert sum(map(check, range(100, 700))) > 600


def test_worst_case_of_the_nominal_plan():
    for seed in range(10):
        instance = spread_instance(seed)
        found = mecopt.robust(instance, 1)
        if found.nominal is None or found.plan is None:
            continue
        sure = np.ones(instance.task_count, dtype=bool)
        sure[found.late] = False
        assert (found.worst <= found.nominal_worst * (1 + 1e-12))[sure].all()
        assert found.nominal.objective <= found.plan.objective * (1 + 1e-12)
        assert found.price >= -1e-12


def test_no_budget_is_the_nominal_plan():
    instance = spread_instance(2)
    found = mecopt.robust(instance, 0)
    assert found.price == 0
    assert not found.changed.any()
    assert found.objective == pytest.approx(found.nominal.objective)


def two_nodes(spread, **task):
    return mecopt.from_dict(
        {
            "format": "mecopt-instance/2",
            "name": "two",
            "slots": {"count": 1},
            "rules": {"deadline": "hard"},
            "models": [{"name": "m", "blocks": [{"cycles": 1e9, "input_bits": 8e6}]}],
            "devices": [{"name": "d", "cycles_per_s": 1e9}],
            "servers": [{"cycles_per_s": 1.25e9, "calc_spread": spread}],
            "tasks": [{"slot": 0, "device": "d", "model": "m", "rate_bps": [8e7], **task}],
        }
    )


def test_a_slower_node_that_keeps_its_word():
    found = mecopt.robust(two_nodes(0.5), 1)  # 0.9 s on the server, 1.3 s at worst; 1 s on the device
    assert found.nominal.placement.tolist() == [[1]]
    assert found.placement.tolist() == [[0]]
    assert found.nominal_worst == pytest.approx([1.3])
    assert found.objective == pytest.approx(1.0)
    assert found.price == pytest.approx(0.1 / 0.9)
    document = found.to_dict()
    assert document["robust"]["placement"] == [[0]]
    assert found.to_frame()["changed"].tolist() == [True]


def test_deadlines_hold_in_every_case():
    found = mecopt.robust(two_nodes(0.5, max_delay_s=0.95), 1)
    assert found.status == "infeasible"
    assert found.late.tolist() == [0]
    assert found.unserved.tolist() == [0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tiny_energy", "robust does not take the coupling energy"),
        ("paper:slots=2", "robust does not take soft deadlines"),
    ],
)
def test_refusals(source, message):
    with pytest.raises(mecopt.InputError, match=message):
        mecopt.robust(source, 1)


def test_other_objectives_are_refused_by_name():
    instance = mecopt.load("tiny_paper")
    for objective, name in (({"delay": 1, "energy": 1}, "energy in the objective"), ("period", "period")):
        changed = instance.replace(rules=dataclasses.replace(instance.rules, objective=objective))
        with pytest.raises(mecopt.InputError, match=f"robust does not take.*{name}"):
            mecopt.robust(changed, 1)
    with pytest.raises(mecopt.InputError, match="budget: -1, expected at least 0"):
        mecopt.robust(instance, -1)


def test_a_plot_of_both_plans(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "robust.pdf"
    mecopt.robust(two_nodes(0.5), 1).save_plot(str(path))
    assert path.stat().st_size > 1000
