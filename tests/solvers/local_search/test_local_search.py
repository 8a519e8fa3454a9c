"""`local-search`: its books against the judge's, its finds against brute force, its start and its stop."""

import numpy as np
import pytest

import mecopt
from mecopt.costs import chain_costs
from mecopt.judge import evaluate
from mecopt.trellis import shortest_paths
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.crosscheck import brute_force, random_instance
from mecopt_solvers.local_search import move_kernels
from mecopt_solvers.local_search.state import open_state

ALL = frozenset({mecopt.Coupling.ENERGY, mecopt.Coupling.CAPACITY, mecopt.Coupling.MEMORY})


def drawn(seed, count, couplings=ALL):
    for i in range(count):
        yield random_instance(np.random.default_rng([seed, i]), couplings)


def test_after_any_number_of_moves_the_books_are_the_judges():
    moved = 0
    for instance in drawn(51, 40):
        costs = chain_costs(instance)
        paths = shortest_paths(costs)
        if np.isinf(paths.value).any():
            continue
        order = np.argsort(instance.tasks.slot, kind="stable")
        part = np.zeros(len(order), dtype=np.int64)
        state = open_state(instance, costs, build_arcs(costs, order), part, paths.placement[order])
        cost = np.empty(len(order))
        move_kernels.measure(*state.arrays, cost)
        ones = np.full(1, 1e6)  # so hot and so cheap that nearly every move is accepted
        moved += move_kernels.anneal(*state.arrays, part, state.mates, np.zeros(1), ones, 1e6, 1e3, 500, 9)
        kept_used, kept_held = state.used.copy(), state.held.copy()
        move_kernels.measure(*state.arrays, cost)
        np.testing.assert_allclose(kept_used, state.used, rtol=1e-9, atol=1e-9)
        assert (kept_held == state.held).all()
        placement = np.empty_like(paths.placement)
        placement[order] = state.nodes
        judged = evaluate(instance, placement)
        np.testing.assert_allclose(cost, judged.task_objective_s[order], rtol=1e-9)
        assert (state.used <= state.limit).all() == judged.feasible
    assert moved > 1000


def test_it_finds_the_optimum_of_most_tiny_instances():
    found = missed = 0
    for instance in drawn(52, 40, None):
        if (instance.server_count + 1) ** int(instance.block_count.sum()) > 3000:
            continue  # a long look for brute force
        best, result = brute_force(instance), mecopt.solve(instance, "local-search", time_limit_s=20)
        if best is None:
            assert result.status in ("infeasible", "violating")
        elif result.objective is not None and result.objective <= best.objective * (1 + 1e-9):
            found += 1
        else:
            missed += 1
    assert found >= 20
    assert missed <= 1


@pytest.mark.parametrize("name", ["crowd_k60_n4", "energy_k60_n4"])
def test_it_comes_near_the_optimum(name):
    instance = mecopt.load(f"instances/{name}.json")
    bound = mecopt.solve(instance, "decomposition", gap=1e-2, time_limit_s=30).lower_bound
    result = mecopt.solve(instance, "local-search", iterations=12, seed=1)
    assert result.stopped_by == "iterations"
    assert result.objective <= 1.03 * bound


def test_a_warm_start_is_never_lost_and_a_violating_one_is_repaired():
    instance = mecopt.load("instances/crowd_k10_n4.json")
    good = mecopt.solve(instance, "local-search", seed=2, iterations=10)
    again = mecopt.solve(instance, "local-search", seed=3, iterations=1, warm_start=good.placement)
    assert again.objective <= good.objective
    bad = np.where(good.placement >= 0, 1, -1)
    assert not evaluate(instance, bad).feasible
    assert mecopt.solve(instance, "local-search", iterations=5, warm_start=bad).objective is not None


def test_pins_are_kept_under_couplings():
    instance = mecopt.load("instances/crowd_k10_n4.json")
    result = mecopt.solve(instance, "local-search", iterations=3, pins=["0:0=0"], bans=["1:2=1"])
    assert result.objective is not None
    assert result.placement[0, 0] == 0
    assert result.placement[1, 2] != 1


def test_the_time_limit_holds():
    instance = mecopt.load("instances/crowd_k60_n4.json")
    mecopt.solve(instance, "local-search", iterations=1)  # compiled
    result = mecopt.solve(instance, "local-search", time_limit_s=0.5)
    assert result.stopped_by == "time"
    assert result.runtime_s < 2.0
