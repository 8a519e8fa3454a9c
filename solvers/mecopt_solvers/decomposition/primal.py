"""The primal side: placements that meet every limit, made from a pool of nearly shortest paths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Ints
from mecopt_solvers.decomposition import search_kernels
from mecopt_solvers.decomposition.pool import Pool
from mecopt_solvers.decomposition.problem import WITHIN, Part

GROUP_NODES = 30_000  # most that one exact re-routing of a few tasks may visit
KICKED = 4  # tasks that a kick sends elsewhere
FEE = 0.05  # of a task's cost, what every move of the repair pays on top
ROUND_WORK = 400_000  # nodes of one round of improvement: a few milliseconds


@dataclass(eq=False)
class Incumbent:
    """The best placement of a part so far."""

    part: Part
    value: float = np.inf
    path: Ints | None = None  # (K, M)

    def offer(self, value: float, path: Ints) -> bool:
        """Keep a placement that meets every limit if it is better."""
        better = value < self.value
        if better:
            self.value, self.path = value, path.copy()
        return better


def round_and_improve(
    part: Part, pool: Pool, start: Ints, incumbent: Incumbent, rounds: int, seed: int
) -> bool:
    """Repair a choice from the pool, then re-route small groups of tasks exactly, as long as that helps.

    Parameters
    ----------
    part : Part
    pool : Pool
    start : array of shape (K,)
        A pool index for every task.
    incumbent : Incumbent
        Hears of the placement, if it is better.
    rounds : int
        Rounds of re-routing at most.
    seed : int

    Returns
    -------
    bool
        Whether a better placement was found.
    """
    columns, limit, chosen = pool.columns, part.limits(WITHIN), start.copy()
    load = search_kernels.loads(columns.use, part.row, chosen, part.rows + 1)
    common = (columns.use, part.row, limit)
    fee = FEE * float(np.abs(columns.cost[chosen]).mean())
    if not search_kernels.repair(pool.first, columns.cost, *common, chosen, load, fee, 3 * len(chosen) + 100):
        return False
    better = incumbent.offer(float(columns.cost[chosen].sum()), columns.path[chosen])
    bound = pool.priced.bound
    for turn in range(rounds):
        gain = search_kernels.improve(
            pool.first, columns.cost, pool.reduced, *common, bound, chosen, load,
            ROUND_WORK, 2, 4, GROUP_NODES, seed + turn,
        )  # fmt: skip
        if gain <= 0.0:
            break
        better |= incumbent.offer(float(columns.cost[chosen].sum()), columns.path[chosen])
    return better


def kick(part: Part, pool: Pool, incumbent: Incumbent, seed: int) -> bool:
    """Send a few of the incumbent's tasks elsewhere, repair and improve; whether that found a better one."""
    if incumbent.path is None:
        return False
    rng = np.random.default_rng(seed)
    start = nearest(pool, incumbent.path)
    moved = rng.choice(len(start), min(KICKED, len(start)), replace=False)
    room = pool.first[moved + 1] - pool.first[moved]
    start[moved] = pool.first[moved] + (room * rng.random(len(moved)) ** 2).astype(np.int64)
    return round_and_improve(part, pool, start, incumbent, 2, seed)


def exhaust(part: Part, pool: Pool, incumbent: Incumbent, target: float, most: int) -> bool:
    """Search all combinations of paths that could cost less than `target`; whether it got to the end."""
    columns, limit = pool.columns, part.limits(WITHIN)
    counts = np.diff(pool.first)
    if (counts == 0).any():
        return True
    order = np.argsort(counts, kind="stable")
    while True:
        chosen, load = np.full(len(counts), -1), np.zeros(part.rows + 1)
        gain, nodes = search_kernels.reroute(
            pool.first, columns.cost, pool.reduced, columns.use, part.row, limit, chosen, load,
            order, target, target - pool.priced.bound, most,
        )  # fmt: skip
        if gain > 0.0:
            incumbent.offer(float(columns.cost[chosen].sum()), columns.path[chosen])
        # The search compares to within a part of the target: too coarse where that was many times the value.
        if nodes > most or gain <= 0.5 * abs(target):
            break
        target = incumbent.value
    return bool(nodes <= most)


def nearest(pool: Pool, path: Ints) -> Ints:
    """Return the pool's index of every task's path, or of its shortest where the path is not in the pool."""
    same = (pool.columns.path == path[pool.columns.task]).all(axis=1)
    start = pool.first[:-1].copy()
    start[pool.columns.task[same]] = np.flatnonzero(same)
    return start
