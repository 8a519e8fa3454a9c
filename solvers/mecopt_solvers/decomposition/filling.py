"""Filling what is left of the servers: up to four tasks moved at once, two pairs that meet in the middle.

With many tasks the bound is as good as it gets at once, and what a placement loses is room that no single
task fits into. Four moves fill it nearly always, but there are too many fours to look at. So moves are
paired, pairs are sorted into cells by what they take of the dearest rows, and every pair looks up the cells
of pairs that fill what it leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition import search_kernels
from mecopt_solvers.decomposition.pool import Pool
from mecopt_solvers.decomposition.primal import Incumbent, nearest
from mecopt_solvers.decomposition.problem import WITHIN, Part

MOST_ROWS = 32
MOVES = 350  # so some 60,000 pairs
ALIKE = 2  # moves kept of those that take nearly the same of every row
FINENESS = 8  # what is nearly the same: this part of the room that is left
CELL_ROWS = 3  # dearest rows that pairs are sorted by
CELLS = (20, 200)  # least and most cells along a row
SCANNED = 200  # pairs looked at in a cell
WORTH = 0.01  # a step that gains a smaller share of the gap is the last one
STEPS = 20


@dataclass(frozen=True, eq=False)
class _Pairs:
    """None, one or two tasks that change their paths, sorted by what they lose in reduced cost; n of them."""

    path: Ints  # (n, 2) pool index, -1 = none
    task: Ints  # (n, 2) -1 and -2 where there is none
    cost: Floats  # (n,) change of the objective
    reduced: Floats  # (n,) change of the reduced costs
    use: Floats  # (n, rows) change of what is used


def fill(part: Part, pool: Pool, incumbent: Incumbent, least: float, should_stop: Callable[[], bool]) -> bool:
    """Improve the incumbent by up to four moves at a time, until it is at most `least`, or nothing gains."""
    if incumbent.path is None or part.slots > 1 or part.rows > MOST_ROWS or part.rows == 0:
        return False
    chosen = nearest(pool, incumbent.path)
    use = np.zeros((pool.size, part.rows + 1))
    np.put_along_axis(use, part.row[pool.columns.task], pool.columns.use, axis=1)
    use = use[:, :-1]
    better = False
    for _ in range(STEPS):
        room = WITHIN - use[chosen].sum(axis=0)
        if (room < 0).any():  # the incumbent has paths that the pool lacks
            break
        gain = _step(pool, use, room, chosen)
        value = float(pool.columns.cost[chosen].sum())
        if gain > 0.0:
            better |= incumbent.offer(value, pool.columns.path[chosen])
        if value <= least or gain < WORTH * (value - pool.priced.bound) or should_stop():
            break
    return better


def _step(pool: Pool, use: Floats, room: Floats, chosen: Ints) -> float:
    """Make the best moves found; return what they gain. Changes `chosen`."""
    prices = pool.priced.prices[:-1]
    pairs = _pairs(pool, use, room, chosen)
    value = prices * pairs.use.std(axis=0)
    rows = np.argsort(-value)[:CELL_ROWS]
    rows = rows[value[rows] > 0]
    if not len(rows):
        return 0.0
    taken = pairs.use[:, rows]
    low, span = taken.min(axis=0), np.ptp(taken, axis=0)
    size = np.clip(float(prices @ room) / prices[rows], span / CELLS[1], span / CELLS[0])
    dims = (span / size).astype(np.int64) + 1
    cell = np.minimum(((taken - low) / size).astype(np.int64), dims - 1)
    key = np.ravel_multi_index(tuple(cell.T), tuple(dims))
    order = np.argsort(key, kind="stable")  # within a cell by reduced cost, as the pairs are
    gain, i, j = search_kernels.match(
        key[order], order, pairs.use, pairs.cost, pairs.reduced, pairs.task, room, float(prices @ room),
        rows, low, size, dims, SCANNED,
    )  # fmt: skip
    if gain > 0.0:
        moved = np.concatenate([pairs.path[i], pairs.path[j]])
        moved = moved[moved >= 0]
        chosen[pool.columns.task[moved]] = moved
    return float(gain)


def _pairs(pool: Pool, use: Floats, room: Floats, chosen: Ints) -> _Pairs:
    """Choose the cheapest moves that differ in what they take, and pair them."""
    task, prices = pool.columns.task, pool.priced.prices[:-1]
    reduced = pool.reduced - pool.reduced[chosen[task]]
    most = float(prices @ room) + float(pool.reduced[chosen].sum())
    moves = np.flatnonzero((reduced < most) & (np.arange(pool.size) != chosen[task]))
    moves = moves[np.argsort(reduced[moves], kind="stable")]
    change = use[moves] - use[chosen[task[moves]]]
    fine = np.where(prices > 0, float(prices @ room) / np.maximum(prices, 1e-300), room) / FINENESS
    _, alike = np.unique(np.rint(change / np.maximum(fine, 1e-11)), axis=0, return_inverse=True)
    order = np.argsort(alike, kind="stable")
    start = np.flatnonzero(np.diff(alike[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(start, np.diff(np.append(start, len(order))))
    kept = np.sort(order[rank < ALIKE])[:MOVES]
    moves, change = moves[kept], change[kept]
    first, second = np.triu_indices(len(moves), 1)
    apart = task[moves[first]] != task[moves[second]]
    first, second = first[apart], second[apart]
    none = np.full((1, 2), -1)
    single = np.column_stack([moves, np.full(len(moves), -1)])
    path = np.concatenate([none, single, np.column_stack([moves[first], moves[second]])])
    cost = pool.columns.cost - pool.columns.cost[chosen[task]]
    loss = np.append(reduced, 0.0)[path].sum(axis=1)
    order = np.argsort(loss, kind="stable")
    nothing = np.zeros((1, use.shape[1]))
    return _Pairs(
        path[order],
        np.where(path >= 0, task[path], [-1, -2])[order],
        np.append(cost, 0.0)[path].sum(axis=1)[order],
        loss[order],
        np.concatenate([nothing, change, change[first] + change[second]])[order],
    )
