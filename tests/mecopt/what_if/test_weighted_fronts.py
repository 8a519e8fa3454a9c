"""Fronts where limits join the tasks: against every placement of all tasks, each judged."""

import dataclasses

import numpy as np
import pytest
from what_if_instances import drawn

import mecopt
from mecopt import features
from mecopt.entities import Objective
from mecopt_solvers.crosscheck.brute import paths_of

MOST = 300  # placements of all tasks


def coupled(seed):
    """Draw an instance of a few placements that single shortest paths do not solve; None for any other."""
    instance = drawn(seed)
    if instance.rules.objective.period:
        return None
    asked = features.of(instance)
    if asked & {features.Feature.WEIGHT, features.Feature.DROP}:
        return None
    if any(device.cycles_per_s is None and device.compute_power_w is None for device in instance.devices):
        return None  # whose joules nobody knows
    joined = instance.rules.couplings or asked & {features.Feature.ONE_RUN, features.Feature.SOFT_END}
    few = np.prod([len(paths_of(instance, k)) for k in range(instance.task_count)]) <= MOST
    return instance if joined and few else None


def every_plan(instance):
    """Return delay (with penalties) and energy of all feasible placements, (P, 2)."""
    rows = [paths_of(instance, k) for k in range(instance.task_count)]
    of = instance.rules.objective.of
    both = instance.replace(rules=dataclasses.replace(instance.rules, objective=Objective(1.0, 1.0, of)))
    found = []
    for chosen in np.ndindex(*map(len, rows)):
        judged = mecopt.evaluate(both, np.stack([own[c] for own, c in zip(rows, chosen, strict=True)]))
        if judged.feasible:
            terms = judged.objective_terms
            found.append((terms["delay"] + terms["penalties"], terms["energy"]))
    return np.array(found).reshape(-1, 2)


def check(seed):
    instance = coupled(seed)
    if instance is None:
        return 0
    every = every_plan(instance)
    if not len(every):
        with pytest.raises(mecopt.MecoptError, match="no placement is feasible"):
            mecopt.pareto(instance, time_limit_s=5, points=8)
        return 1
    front = mecopt.pareto(instance, time_limit_s=5, points=8)
    assert not front.exact
    for p, point in enumerate(front.points):
        assert front.evaluate(p).feasible
        assert np.isclose(every, point, rtol=1e-9, atol=1e-12).all(axis=1).any()
    assert front.points[0, 0] <= every[:, 0].min() * (1 + front.gaps[0]) * (1 + 1e-9) + 1e-12
    for delay, energy in every.tolist():
        within = front.within(energy=energy)
        if within is not None:  # nothing is better by more than the gap
            assert front.points[within, 0] <= delay * (1 + front.gaps[within]) * (1 + 1e-6) + 1e-12
    return 1


def test_no_plan_is_better_than_the_gaps_say():
    assert sum(map(check, range(30))) >= 5


@pytest.mark.slow
def test_no_plan_of_many_instances_is_better_than_the_gaps_say():
    assert sum(map(check, range(100, 500))) >= 60


def test_end_to_end_deadlines_of_many_tasks():
    instance = mecopt.generate("camera-alexnet:slots=14,deadline=none", seed=2)
    free = mecopt.pareto(instance)
    tasks = dataclasses.replace(
        instance.tasks, max_total_delay_s=mecopt.solve(instance).evaluation.task_delay_s * 1.1
    )
    late = instance.replace(tasks=tasks, rules=dataclasses.replace(instance.rules, deadline="hard"))
    front = mecopt.pareto(late, points=5)
    assert front.points[0, 0] == pytest.approx(free.points[0, 0])
    assert len(front) >= 3
    assert all(front.evaluate(p).feasible for p in range(len(front)))
    with pytest.raises(
        mecopt.InputError, match="expected delay,energy where couplings, one_run or end-to-end"
    ):
        mecopt.pareto(late, ("delay", "price"), price_per_s=1)
