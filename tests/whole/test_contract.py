"""What every registered method promises, whatever it is: learners apart, which need a policy."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from places import ROOT

import mecopt
from mecopt.judge import evaluate
from mecopt.limits import OF_ROWS
from mecopt.result import Status
from mecopt_solvers.crosscheck import brute_force, random_instance

METHODS = [method for method in mecopt.methods() if method.kind != "learner"]
NAMES = {method.name: method for method in METHODS}
SETS = [frozenset(some) for size in range(4) for some in combinations(sorted(OF_ROWS), size)]
FEW = 3000  # placements that brute force looks at in a moment
CASES = [(method.name, some) for method in METHODS for some in SETS if some <= method.honours]


@cache
def case(couplings, number=0):
    """Return a small instance with these couplings that something is feasible for, and its optimum."""
    for draw in range(100):
        rng = np.random.default_rng([4711, SETS.index(couplings), number, draw])
        instance = random_instance(rng, couplings)
        placements = (instance.server_count + 1) ** int(instance.block_count.sum())
        if instance.task_count == 1 or placements > FEW:
            continue
        best = brute_force(instance)
        if best is not None:
            return instance, best
    raise AssertionError("no feasible instance drawn")


def solve(instance, name, **arguments):
    return mecopt.solve(instance, name, **{"time_limit_s": 20, **arguments})


def suited(name, instance):
    """Skip what the method refuses as a whole, for all that it takes every part of it."""
    if not NAMES[name].suits(instance):
        pytest.skip("refused as a whole")


def ids(value):
    return "+".join(sorted(value)) or "free" if isinstance(value, frozenset) else None


@pytest.mark.parametrize(("name", "couplings"), CASES, ids=ids)
@pytest.mark.parametrize("number", [0, 1])
def test_what_it_returns_is_judged_and_never_better_than_the_optimum(name, couplings, number):
    instance, best = case(couplings, number)
    suited(name, instance)
    before = instance.replace().sha256
    result = solve(instance, name, seed=1)
    assert instance.replace().sha256 == before
    assert result.status in (Status.OPTIMAL, Status.FEASIBLE, Status.VIOLATING)
    assert result.lower_bound is not None
    assert result.lower_bound <= best.objective * (1 + 1e-9)
    again = evaluate(instance, result.evaluation.placement)
    assert again.feasible == (result.status is not Status.VIOLATING)
    assert again.objective == result.objective
    if result.objective is not None:
        assert result.objective >= best.objective * (1 - 1e-9)
        assert result.lower_bound <= result.objective
    if NAMES[name].exact:
        assert result.status is Status.OPTIMAL
    result.to_json()


@pytest.mark.parametrize("name", NAMES)
def test_pins_and_bans_are_kept(name):
    instance, best = case(frozenset(), 2)
    suited(name, instance)
    last = instance.server_count
    blocks = instance.block_count
    pins = [f"0:{blocks[0] - 1}={best.placement[0, blocks[0] - 1]}"]
    bans = [f"1:0={last}"] if best.placement[1, 0] != last else [f"1:0={last - 1}"]
    result = solve(instance, name, pins=pins, bans=bans)
    assert result.status in (Status.OPTIMAL, Status.FEASIBLE, Status.VIOLATING)
    nodes = result.evaluation.placement
    assert nodes[0, blocks[0] - 1] == best.placement[0, blocks[0] - 1]
    assert nodes[1, 0] != int(bans[0].partition("=")[2])


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same(name):
    method = NAMES[name]
    instance, _ = case(max((some for some in SETS if some <= method.honours), key=len))
    suited(name, instance)
    first = solve(instance, name, seed=7)
    second = solve(instance, name, seed=7)
    assert first.status == second.status
    assert first.evaluation.placement.tolist() == second.evaluation.placement.tolist()
    if not method.random:
        other = solve(instance, name, seed=8)
        assert first.evaluation.placement.tolist() == other.evaluation.placement.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_no_time_at_all_is_no_error(name):
    instance, best = case(max((some for some in SETS if some <= NAMES[name].honours), key=len))
    suited(name, instance)
    result = solve(instance, name, time_limit_s=0)
    assert result.status is not Status.INFEASIBLE
    assert result.lower_bound <= best.objective * (1 + 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_an_instance_that_links_and_deadlines_rule_out_is_infeasible(name):
    instance = mecopt.load(ROOT / "instances/tiny_infeasible.json")
    suited(name, instance)
    result = solve(instance, name)
    assert result.status is Status.INFEASIBLE
    assert result.reasons
