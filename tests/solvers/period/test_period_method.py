"""The period of many tasks: bounds and placements against brute force, and the gap of a full slot."""

import dataclasses

import numpy as np
import pytest

import mecopt
from mecopt.registry import method
from mecopt_solvers.crosscheck import brute_force, wide_instance


def drawn(number):
    """Draw an instance of the period without couplings, or None."""
    instance = wide_instance(np.random.default_rng([3, number]))
    if not instance.rules.objective.period:
        return None
    return instance.replace(rules=dataclasses.replace(instance.rules, couplings=frozenset()))


def check(numbers):
    seen = 0
    for number in numbers:
        instance = drawn(number)
        if instance is None:
            continue
        best = brute_force(instance)
        result = mecopt.solve(instance, "period", iterations=8)
        seen += 1
        bounds = [bound for _, _, bound in result.trace if bound is not None]
        if best is None:
            assert result.status != "feasible", number
            continue
        assert max([*bounds, result.lower_bound]) <= best.objective * (1 + 1e-9), number
        assert result.objective is None or result.objective >= best.objective * (1 - 1e-9), number
        assert result.status in ("optimal", "feasible"), number
    assert seen > len(numbers) // 6


def test_bounds_and_placements_hold_against_brute_force():
    check(range(40))


@pytest.mark.slow
def test_bounds_and_placements_hold_against_brute_force_on_many():
    check(range(60, 1500))


def test_a_full_slot_has_a_small_gap():
    instance = mecopt.generate("crowd", servers=4, slots=1, couplings=(), objective="period")
    result = mecopt.solve(instance, "period", gap=0.02)
    assert result.gap <= 0.02
    assert result.seed == 0


def test_every_slot_counts():
    instance = mecopt.generate("crowd", servers=3, slots=3, release_rate=6, couplings=(), objective="period")
    result = mecopt.solve(instance, "period", iterations=30)
    assert result.gap < 0.5
    assert result.lower_bound > 0


def test_other_objectives_are_refused():
    assert not method("period").suits(mecopt.generate("crowd:slots=1,couplings=none"))


def test_nine_servers_are_filled_to_a_thousandth():
    instance = mecopt.generate("crowd", seed=7, servers=9, slots=1, couplings=(), objective="period")
    result = mecopt.solve(instance, "period", gap=1e-3, time_limit_s=60)
    assert result.gap <= 1e-3


@pytest.mark.parametrize("one_run", ["none", "servers", "all"])
def test_what_annealing_moves_keeps_the_limits_of_tasks(one_run):
    free = mecopt.generate("crowd", seed=3, batch=8, servers=3, slots=1, couplings=(), objective="period")
    late = mecopt.evaluate(free, mecopt.solve(free, "period", iterations=4).placement).task_delay_s
    quick = free.replace(rules=dataclasses.replace(free.rules, objective="delay"))
    least = mecopt.solve(quick, "trellis").evaluation.task_delay_s
    hurried = dataclasses.replace(free.tasks, max_total_delay_s=least + 0.5 * np.maximum(late - least, 0.01))
    rules = dataclasses.replace(free.rules, deadline="hard", one_run=one_run)
    instance = free.replace(tasks=hurried, rules=rules)
    result = mecopt.solve(instance, "period", iterations=8)
    assert result.status in ("optimal", "feasible")
    assert not mecopt.evaluate(instance, result.placement).violations
