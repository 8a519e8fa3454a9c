"""The paths that a slot's tasks may take: all whose reduced costs are small, and those of placements seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition import pricing_kernels, search_kernels
from mecopt_solvers.decomposition.dual import Priced
from mecopt_solvers.sharing import curve_kernels
from mecopt_solvers.sharing.slot import SharedSlot

NO_TRUTH = (
    *(np.zeros((0, 0, 0, 0)), np.zeros((0, 0, 0, 0))),
    *(np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(0), np.zeros(0), np.zeros((0, 0), dtype=np.int64), np.inf),
)

MOST_CODE = 2**62  # a row's number


@dataclass(frozen=True, eq=False)
class SharingPool:
    """Paths of every task, sorted by reduced cost; K tasks, P paths, N servers."""

    first: Ints  # (K + 1,) where each task's paths begin
    task: Ints  # (P,)
    path: Ints  # (P, M), -1 alone where the task is left out
    cost: Floats  # (P,) by themselves
    use: Floats  # (P, N + E) loads, then shares of budgets
    reduced: Floats  # (P,) at the prices, above the task's least
    within: float  # every path with at most this reduced cost that could be needed is here
    priced: Priced

    def index(self, path: Ints) -> Ints:
        """Return the pool's index of every task's path (K, M); of its shortest where it is not here."""
        same = (self.path == path[self.task]).all(axis=1)
        found = self.first[:-1].copy()
        found[self.task[same]] = np.flatnonzero(same)
        return found

    def at(self, kept: Any) -> SharingPool:
        """Return the pool with some of its paths."""
        task = self.task[kept]
        first = np.searchsorted(task, np.arange(len(self.first)))
        path, cost, use, reduced = self.path[kept], self.cost[kept], self.use[kept], self.reduced[kept]
        return SharingPool(first, task, path, cost, use, reduced, self.within, self.priced)


def curve_of(slot: SharedSlot, prices: Floats) -> tuple[Any, ...]:
    """Return what the kernels need to know of loads at prices (N,)."""
    curve = slot.curve
    fixed = [curve_kernels.conjugate(u, curve.worth, curve.mm1, curve.top) if u > 0 else 0.0 for u in prices]
    return (curve.worth, curve.mm1, curve.top, prices, np.array(fixed))


def truth_of(slot: SharedSlot) -> tuple[Any, ...]:
    """Return what the kernels need to know of what is above the base."""
    t = slot.truth
    return NO_TRUTH if t is None else (t.calc, t.delay, t.tau, t.limit, t.fine, t.worth, t.row, np.inf)


def fill(slot: SharedSlot, priced: Priced, within: float, most: int, seen: Ints) -> SharingPool | None:
    """List all paths of reduced cost up to `within`, and those seen; None where they are more than `most`.

    Parameters
    ----------
    seen : array of shape (any, K, M)
    """
    tasks, stages = priced.path.shape
    listed = np.zeros((0, stages), dtype=np.int64)
    owner = np.zeros(0, dtype=np.int64)
    if within >= 0.0:
        part, first = slot.part, np.empty(tasks + 1, dtype=np.int64)
        common = (part.weight, part.work, part.spend, priced.extra, part.row, part.blocks, priced.prices)
        reach = np.full(tasks, within)
        if not pricing_kernels.enumerate_paths(*common, reach, first, listed, np.empty(most)):
            return None
        listed = np.empty((first[-1], stages), dtype=np.int64)
        if first[-1]:
            pricing_kernels.enumerate_paths(*common, reach, first, listed, np.empty(first[-1]))
        owner = np.repeat(np.arange(tasks), np.diff(first))
    known = np.column_stack([np.tile(np.arange(tasks), len(seen)), seen.reshape(-1, stages)])
    leaving = np.flatnonzero(np.isfinite(slot.drop))
    out = np.column_stack([leaving, np.full((len(leaving), stages), -1)])
    known = np.concatenate([known, out, np.column_stack([np.arange(tasks), priced.path])])
    known = known[np.unique(_codes(known), return_index=True)[1]]
    if len(listed):
        known = known[~_among(known, np.column_stack([owner, listed]))]
    owner = np.concatenate([owner, known[:, 0]])
    path = np.ascontiguousarray(np.concatenate([listed, known[:, 1:]]))
    return _sorted(slot, priced, owner, path, within, seen[:1])


def _among(rows: Ints, others: Ints) -> Any:
    """Say which rows are among others."""
    both = _codes(np.concatenate([others, rows]))
    return np.isin(both[len(others) :], both[: len(others)])


def _codes(rows: Ints) -> Ints:
    """Number rows in their order, equal ones alike; many times as fast as sorting them as rows."""
    code = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        least = int(column.min())
        span = int(column.max()) - least + 1
        if int(code.max()) >= MOST_CODE // span:
            code = np.unique(code, return_inverse=True)[1]
        code = code * span + (column - least)
    return code


def _sorted(
    slot: SharedSlot, priced: Priced, task: Ints, path: Ints, within: float, kept_paths: Ints
) -> SharingPool:
    """Measure the paths, sort them, and leave out those that another beats, except some."""
    part = slot.part
    cost, use = np.empty(len(task)), np.empty((len(task), part.row.shape[1]))
    pricing_kernels.measure_columns(part.weight, part.work, part.spend, part.blocks, task, path, cost, use)
    out = path[:, 0] < 0
    cost, use = np.where(out, slot.drop[task], cost), slot.use(np.where(out[:, None], 0.0, use))
    charged = cost + (use * priced.prices[slot.row[task]]).sum(axis=1)
    if len(priced.extra):
        taken = priced.extra[task[:, None], np.arange(path.shape[1]), np.maximum(path, 0)]
        charged = charged + np.where(path >= 0, taken, 0.0).sum(axis=1)
    reduced = np.maximum(charged - priced.value[task], 0.0)
    order = np.lexsort((reduced, task))
    order = order[np.isfinite(cost[order])]
    tasks = len(priced.value)
    first = np.searchsorted(task[order], np.arange(tasks + 1))
    pool = SharingPool(
        first, task[order], path[order], cost[order], use[order], reduced[order], within, priced
    )
    if slot.truth is not None or part.memory is not None:  # a cheaper path may be late, or find no memory
        return pool
    kept = search_kernels.undominated(first, pool.cost, pool.use)
    for one in kept_paths:
        kept[pool.index(one)] = True
    return pool.at(kept)
