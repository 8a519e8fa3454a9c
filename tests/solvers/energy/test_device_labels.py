"""The ways of tasks and the choice among them, against every combination."""

from itertools import product

import numpy as np
import pytest

import mecopt
from mecopt.costs import chain_costs
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.energy.core import ALL
from mecopt_solvers.energy.device_labels import Target, TaskWays, Ways, cheapest_and_steps, choose
from mecopt_solvers.energy.price_search import Stages, best_price


def drawn(rng, tasks, grid):
    """Return tasks with a few steps each under a price of 1, the cheapest first."""

    def numbers(count):
        return rng.integers(-4, 5, count) / 2 if grid else rng.uniform(-2, 2, count)

    found, first = [], 0
    for _ in range(tasks):
        energy = np.append(0.0, numbers(int(rng.integers(1, 4))))
        excess = np.append(0.0, np.abs(numbers(len(energy) - 1)))
        order = np.argsort(energy, kind="stable")
        energy, excess = energy[order], excess[order]
        found.append(TaskWays(first + np.arange(len(energy)), excess - energy, energy, excess))
        first += len(energy)
    return sorted(found, key=lambda steps: steps.second)


def offered(tasks, target):
    """Return what `choose` hands over, taking the first that it does."""
    taken = []

    def take(ways):
        taken.append(ways)
        return True

    assert choose(tasks, target, ALL, lambda: False, take)
    return taken


@pytest.mark.parametrize("grid", [False, True])
def test_the_choice_is_the_best_of_all(grid):
    rng = np.random.default_rng(5)
    for _ in range(150):
        tasks = drawn(rng, int(rng.integers(1, 6)), grid)
        left = float(rng.integers(-3, 4) / 2 if grid else rng.uniform(-2, 2))
        every = [
            (sum(t.delay[i] for t, i in zip(tasks, pick, strict=True)), pick)
            for pick in product(*(range(len(t.way)) for t in tasks))
            if sum(t.energy[i] for t, i in zip(tasks, pick, strict=True)) <= left
        ]
        taken = offered(tasks, Target(left, 1e9, 1.0, 1e-12, 1e-12))
        assert bool(taken) == bool(every)
        if every:
            delay = np.concatenate([t.delay for t in tasks])
            where = {int(w): at for at, w in enumerate(np.concatenate([t.way for t in tasks]))}
            assert sum(delay[where[way]] for way in taken[0]) == pytest.approx(min(every)[0])


def test_a_choice_that_is_refused_makes_way_for_the_next():
    tasks = drawn(np.random.default_rng(1), 3, grid=False)
    seen = []

    def take(ways):
        seen.append(ways)
        return len(seen) == 3

    assert choose(tasks, Target(10.0, 1e9, 1.0, 1e-12, 1e-12), ALL, lambda: False, take)
    assert len({tuple(ways) for ways in seen}) == 3
    assert not choose(tasks, Target(10.0, 1e9, 1.0, 1e-12, 1e-12), 2, lambda: False, lambda ways: True)
    assert not choose(tasks, Target(10.0, 1e9, 1.0, 1e-12, 1e-12), ALL, lambda: True, lambda ways: True)


def test_ways_are_all_paths_within_the_room_that_none_beats():
    instance = mecopt.generate("energy:slots=5,servers=2,blocks=3", seed=4)
    stages = Stages(build_arcs(chain_costs(instance)), np.arange(instance.task_count))
    price = best_price(stages, instance.devices[0].energy_budget_j).best
    excess = stages.excess(price)
    for room in (0.0, 0.05, 1.0, 1e6):
        ways = Ways.of(stages, excess, np.arange(instance.task_count), room)
        for k in range(instance.task_count):
            points = []
            for path in product(range(3), repeat=3):
                nodes = np.tile(path, (instance.task_count, 1))
                along = stages.follow(nodes)
                more = along.delay[k] + price * along.energy[k] - excess.best[k]
                if more <= room + 1e-12:
                    points.append((along.energy[k], along.delay[k]))
            front = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
            mine = np.column_stack([ways.energy, ways.delay])[ways.task == k]
            assert mine[np.argsort(mine[:, 0])] == pytest.approx(np.array(sorted(front)))
        cheapest, steps = cheapest_and_steps(ways)
        assert (ways.excess[cheapest] < 1e-12).all()
        assert all(len(task.way) > 1 for task in steps)
