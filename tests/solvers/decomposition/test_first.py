"""The placement that decomposition hands over before its search."""

from dataclasses import fields, replace

import numpy as np
import pytest

import mecopt
from mecopt.entities import Coupling
from mecopt.incumbent import Run
from mecopt.trellis import shortest_paths
from mecopt_solvers.crosscheck import brute_force, random_instance
from mecopt_solvers.decomposition.first import first_placement


def first(instance, **changes):
    run = Run(instance, **changes)
    free = shortest_paths(run.costs, run.node_cost)
    return None if np.isinf(free.value).any() else first_placement(instance, run, free.placement)


def crowd(**changes):
    figures = {"seed": 4, "slots": 3, "batch": 20, "servers": 3, "ratio": 1.2, "couplings": "capacity"}
    return mecopt.generate("crowd", **(figures | changes))


def test_keeps_to_capacity_and_is_much_better_than_devices_alone():
    instance = crowd()
    placement = first(instance)
    judged = mecopt.evaluate(instance, placement)
    assert judged.feasible
    best = mecopt.solve(instance, "decomposition", gap=1e-3).objective
    alone = mecopt.solve(instance, "local").objective
    assert judged.objective < best + 0.3 * (alone - best)


def test_is_in_the_order_of_the_tasks_whatever_their_slots():
    instance = crowd()
    arrays = {field.name: getattr(instance.tasks, field.name)[::-1] for field in fields(instance.tasks)}
    turned = instance.replace(tasks=replace(instance.tasks, **arrays))
    assert mecopt.evaluate(turned, first(turned)).feasible


def test_no_node_that_is_forbidden():
    instance = crowd(slots=1)
    cost = np.zeros((instance.task_count, instance.max_blocks, instance.server_count + 1))
    cost[0, 2, [0, 1]] = np.inf
    assert first(instance, node_cost=cost)[0, 2] > 1


def test_many_tasks_are_left_to_the_search():
    assert first(crowd(slots=30)) is None


@pytest.mark.parametrize("seed", range(40))
def test_never_below_the_optimum(seed):
    instance = random_instance(np.random.default_rng(seed), frozenset({Coupling.CAPACITY}))
    placement = first(instance)
    if placement is not None:
        judged = mecopt.evaluate(instance, placement)
        assert judged.feasible
        assert judged.objective >= brute_force(instance).objective * (1 - 1e-9)


def test_is_there_when_no_time_is_left():
    instance = crowd(slots=1)
    result = mecopt.solve(instance, "decomposition", time_limit_s=0.0)
    assert result.objective < 0.8 * mecopt.solve(instance, "local").objective
