"""Equal tasks that share memory or the period: bounds and placements against brute force, and refusals."""

import dataclasses

import numpy as np
import pytest

import mecopt
from mecopt.registry import method
from mecopt_solvers.crosscheck import brute_force, wide_instance


def drawn(seed, number):
    """Draw an instance of a few equal tasks, under one_run and memory, for delay or the period."""
    instance = wide_instance(np.random.default_rng([seed, number]))
    rules = {"one_run": ("servers", "all")[number % 2]}
    if number % 4 < 2:
        rules |= {"objective": "period", "deadline": "none"}
    couplings = instance.rules.couplings & {"memory"}
    count = 2 + number % 2
    plain = {
        "weight": np.ones(count),
        "drop_cost": None,
        "max_total_delay_s": None,
        "max_phase_delay_s": None,
    }
    tasks = dataclasses.replace(instance.tasks.take(np.zeros(count, dtype=int)), **plain)
    return instance.replace(
        tasks=tasks, allow=(), rules=dataclasses.replace(instance.rules, couplings=couplings, **rules)
    )


def check(numbers):
    seen = exact = 0
    for number in numbers:
        instance = drawn(3, number)
        placements = (instance.server_count + 1) ** int(instance.block_count.sum())
        if placements > 5000 or not method("equal-tasks").suits(instance):
            continue
        best, result = brute_force(instance), mecopt.solve(instance, "equal-tasks")
        seen += 1
        if best is None:
            assert result.objective is None
            continue
        bounds = [bound for _, _, bound in result.trace if bound is not None]
        assert max([*bounds, result.lower_bound]) <= best.objective * (1 + 1e-9) + 1e-18
        if result.objective is not None:
            assert result.objective >= best.objective * (1 - 1e-9)
            exact += result.objective <= best.objective * (1 + 1e-9)
    assert seen > len(numbers) // 10
    assert exact > seen // 3
    return seen, exact


def test_bounds_and_placements_hold_against_brute_force():
    check(range(60))


@pytest.mark.slow
def test_bounds_and_placements_hold_against_brute_force_on_many():
    check(range(60, 2500))


def test_unequal_tasks_are_refused():
    weight = np.arange(1.0, 3.0)
    unequal = drawn(3, 2).replace(tasks=dataclasses.replace(drawn(3, 2).tasks, weight=weight))
    assert not method("equal-tasks").suits(unequal)
