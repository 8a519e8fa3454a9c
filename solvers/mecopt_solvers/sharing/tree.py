"""Branch and bound over a complete pool: for few tasks, where what the dual misses is what keeps the gap.

A node has some of the pool's paths. Its prices bound it; paths whose reduced costs lead above the best
placement go; and where few combinations are left they are all searched. Else it is split by the node on
which a task runs a block.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.sharing import choice_kernels, tree_kernels
from mecopt_solvers.sharing.path_pool import SharingPool, curve_of, truth_of
from mecopt_solvers.sharing.slot import SharedSlot

ROUNDING = 1e-13  # of the value
CLOSED = 1e-10
COLUMNS = 150  # of a node at most
LEAST_SHARE = 1e-4  # of a column that children start from
MOST_HELD = 100_000_000  # numbers of all open nodes: 400 MB
SEARCHED = 10_000  # combinations of a node that are searched before it is split


@dataclass(order=True, frozen=True)
class OpenNode:
    """A node that waits; sorted by its bound."""

    bound: float
    number: int
    paths: Ints = field(compare=False)  # (P',) of the pool
    columns: Ints = field(compare=False)  # (C, K) of the pool
    prices: Floats = field(compare=False)  # (N,)

    @property
    def size(self) -> int:
        """Return how many numbers it holds."""
        return self.paths.size + self.columns.size


@dataclass(eq=False)
class SharingTree:
    """The open nodes, and the best placement known."""

    slot: SharedSlot
    pool: SharingPool
    value: float  # of the best placement
    path: Ints | None  # it
    heap: list[OpenNode] = field(default_factory=list)
    made: int = 0
    held: int = 0  # numbers in all open nodes

    def __post_init__(self) -> None:
        self.size = float(np.abs(self.pool.priced.value).sum()) or 1e-300
        start = self.pool.first[:-1][None, :]
        prices = self.pool.priced.prices[: self.slot.servers].copy()
        self._push(self.pool.priced.bound, np.arange(len(self.pool.cost)), start, prices)

    @property
    def bound(self) -> float:
        """Lower bound on every placement of the pool, the best one known included."""
        least = self.heap[0].bound if self.heap else np.inf
        return min(least, self.value)

    def work(self, nodes: int, gap: float, should_stop: Callable[[], bool]) -> int:
        """Visit so many nodes at most, until the gap is reached; return how many."""
        for number in range(nodes):
            if not self.heap or self.full or self.value - self.bound <= gap or should_stop():
                return number
            node = heapq.heappop(self.heap)
            self.held -= node.size
            self._visit(node)
        return nodes

    @property
    def full(self) -> bool:
        """Whether there are as many open nodes as memory is to hold."""
        return self.held > MOST_HELD

    def _push(self, bound: float, paths: Ints, columns: Ints, prices: Floats) -> None:
        node = OpenNode(bound, self.made, paths.astype(np.int32), columns.astype(np.int32), prices)
        heapq.heappush(self.heap, node)
        self.made += 1
        self.held += node.size

    def _cutoff(self) -> float:
        """Return what a placement has to be below; inf less a part of it would be no number."""
        if np.isinf(self.value):
            return np.inf
        return self.value - CLOSED * abs(self.value)

    def _visit(self, node: OpenNode) -> None:
        cutoff = self._cutoff()
        if node.bound >= cutoff:
            return
        pool, curve = self.pool.at(node.paths), self.slot.curve
        tasks = len(pool.first) - 1
        if (np.diff(pool.first) == 0).any():
            return
        place = np.full(len(self.pool.cost), -1)
        place[node.paths] = np.arange(len(node.paths))
        column = np.empty((COLUMNS, tasks), dtype=np.int64)
        start = place[node.columns]
        start = np.where(start >= 0, start, pool.first[:-1])[: COLUMNS // 2]
        column[: len(start)] = start
        share, prices = np.zeros(COLUMNS), node.prices.copy()
        bound, count = tree_kernels.relax(
            pool.first, pool.cost, pool.use, curve.worth, curve.mm1, curve.top,
            column, len(start), share, prices, cutoff, self.size,
        )  # fmt: skip
        bound = max(node.bound, bound - ROUNDING * (self.size + float(prices.sum())))
        if bound >= cutoff:
            return
        charged = pool.cost + pool.use @ prices
        least = np.minimum.reduceat(charged, pool.first[:-1])
        reduced = np.maximum(charged - least[pool.task], 0.0)
        kept = np.flatnonzero(reduced < cutoff - bound)
        order = kept[np.lexsort((reduced[kept], pool.task[kept]))]
        if self._searched(pool, order, reduced, least, prices, cutoff):
            return
        self._split(node, pool, order, column[:count], share[:count], prices, bound)

    def _searched(
        self, pool: SharingPool, order: Ints, reduced: Floats, least: Floats, prices: Floats, cutoff: float
    ) -> bool:
        """Search all combinations of what is left; whether that came to its end."""
        task = pool.task[order]
        tasks = len(pool.first) - 1
        first = np.searchsorted(task, np.arange(tasks + 1))
        curve = curve_of(self.slot, prices)
        base = float(least.sum()) - float(curve[4].sum())
        target = cutoff - base
        use, path = np.ascontiguousarray(pool.use[order]), np.ascontiguousarray(pool.path[order])
        chosen, load = np.full(tasks, -1), np.zeros(self.slot.servers)
        counts = np.diff(first)
        spread = np.array([use[first[k] : first[k + 1]].max(initial=0.0) for k in range(tasks)])
        group = np.lexsort((-spread, counts))
        above, nodes = choice_kernels.reroute(
            first, reduced[order], use, path, curve, self.slot.slot_s, truth_of(self.slot),
            chosen, load, group, target, 0.0, SEARCHED,
        )  # fmt: skip
        if above < target:
            self.value, self.path = base + above, path[chosen]
        return bool(nodes <= SEARCHED)

    def _split(
        self,
        node: OpenNode,
        pool: SharingPool,
        order: Ints,
        column: Ints,
        share: Floats,
        prices: Floats,
        bound: float,
    ) -> None:
        """Divide the paths of one task by the node of one block: where the mixture is most undecided."""
        tasks, stages, nodes = len(pool.first) - 1, pool.path.shape[1], self.slot.part.nodes
        shape = (tasks, stages, nodes + 1)  # the last stands for being left out
        used = np.flatnonzero(share > 0)
        where = pool.path[column[used]] % (nodes + 1)  # (C, K, M)
        cell = (np.arange(tasks)[:, None] * stages + np.arange(stages)) * (nodes + 1) + where
        mass = np.repeat(share[used], tasks * stages)
        part = np.bincount(cell.ravel(), mass, int(np.prod(shape))).reshape(shape)
        there = np.zeros((tasks, stages, nodes + 1), dtype=bool)
        path = pool.path[order]
        there[pool.task[order][:, None], np.arange(stages), path] = True
        many = there.sum(axis=2)
        open_ = (many > 1)[:, :, None] & there
        score = np.where(open_, 0.5 - np.abs(part - 0.5), -1.0)
        k, m, j = np.unravel_index(int(score.argmax()), score.shape)
        if score[k, m, j] < 0.0:
            raise AssertionError("a node that cannot be split has been searched")
        chosen_node = int(j) if j < nodes else -1
        mine = pool.task[order] == k
        side = path[:, m] == chosen_node
        columns = node_columns(column, share, node.paths)
        for keep in (~mine | side, ~mine | ~side):
            self._push(bound, node.paths[order[keep]], columns, prices)


def node_columns(column: Ints, share: Floats, paths: Ints) -> Ints:
    """Return the columns with a part in the mixture, as paths of the whole pool."""
    return paths[column[share > LEAST_SHARE]]
