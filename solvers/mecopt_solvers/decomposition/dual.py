"""Prices on the rows, and the lower bound that any prices give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition import pricing_kernels
from mecopt_solvers.decomposition.problem import WITHIN, Part

ROUNDING = 2e-14  # of the sum of all terms of a bound
NO_EXTRA = np.zeros((0, 0, 0))
NO_RUNS = np.zeros((0, 0, 0, 0))


@dataclass(frozen=True, eq=False)
class Counts:
    """Weighted counts of blocks on a node, each at most a limit: branching decisions and cuts; B of them."""

    weight: Floats  # (B, K, M) of a task's block on the node; negative where at least so many must be there
    node: Ints  # (B,)
    limit: Floats  # (B,)

    @classmethod
    def none(cls, tasks: int) -> Counts:
        """Return no decision at all."""
        return cls(np.zeros((0, tasks, 0)), np.zeros(0, dtype=np.int64), np.zeros(0))

    def also(self, weight: Floats, node: int, limit: float) -> Counts:
        """Return the counts and one more, which replaces a weaker one with the same weights (K, M)."""
        old = self.weight.reshape(len(self), *weight.shape)
        kept = ~((self.node == node) & (old == weight).all(axis=(1, 2)))
        return Counts(
            np.concatenate([old[kept], weight[None]]),
            np.append(self.node[kept], node),
            np.append(self.limit[kept], limit),
        )

    def carried(self, other: Counts, prices: Floats) -> Floats:
        """Return prices for these counts: those that other counts (B',) had, 0 for what is new, (B,)."""
        carried = np.zeros(len(self))
        for b in range(len(self)):
            same = np.flatnonzero((other.node == self.node[b]) & (other.limit == self.limit[b]))
            for o in same:
                if (other.weight[o] == self.weight[b]).all():
                    carried[b] = prices[o]
        return carried

    def __len__(self) -> int:
        return len(self.node)

    def extra(self, part: Part, prices: Floats) -> Floats:
        """Return what the counts' prices (B,) add to every node, (K, M, J)."""
        if not len(self):
            return NO_EXTRA
        extra = np.zeros(part.weight.shape[:3])
        for b in np.flatnonzero(prices):
            extra[:, :, self.node[b]] += prices[b] * self.weight[b]
        return extra

    def entries(self, task: Ints, path: Ints) -> Floats:
        """Return what paths (P, M) of tasks (P,) add to every count, (P, B)."""
        entries = np.zeros((len(task), len(self)))
        for b in range(len(self)):
            entries[:, b] = (self.weight[b, task] * (path == self.node[b])).sum(axis=1)
        return entries


@dataclass(frozen=True, eq=False)
class Priced:
    """The shortest paths under prices, and the Lagrangian bound they prove."""

    prices: Floats  # (rows + 1,) seconds of objective for the whole of a row; the last is 0
    extra: Floats  # (K, M, J) what branching decisions add to every node, or (0, 0, 0)
    path: Ints  # (K, M)
    value: Floats  # (K,) under the prices
    cost: Floats  # (K,) without them
    use: Floats  # (K, R)
    load: Floats  # (rows + 1,) use of every row by all tasks
    bound: float  # valid whatever the prices are, as long as none is negative
    runs: Floats = field(default_factory=lambda: NO_RUNS)  # (K, M, M, J) what runs are charged, or empty


def price_paths(
    part: Part,
    prices: Floats,
    counts: Counts | None = None,
    count_prices: Floats | None = None,
    extra: Floats = NO_EXTRA,
) -> Priced:
    """Solve the pricing problem: one shortest path a task, all rows replaced by their prices (none negative).

    Branching decisions come with theirs; or `extra` (K, M, J) is charged for nodes, inf forbidding them.
    """
    tasks, stages = part.weight.shape[:2]
    path = np.empty((tasks, stages), dtype=np.int64)
    value, cost, use = np.empty(tasks), np.empty(tasks), np.empty(part.row.shape)
    fixed, size = WITHIN * float(prices[:-1].sum()), 0.0
    if counts is not None and count_prices is not None and len(counts):
        extra = counts.extra(part, count_prices)
        fixed += float(counts.limit @ count_prices)
        size = float((np.abs(counts.weight).sum(axis=(1, 2)) + np.abs(counts.limit)) @ count_prices)
    pricing_kernels.price(
        part.weight, part.work, part.spend, extra, part.row, part.blocks, prices, path, value, cost, use
    )
    load: Floats = np.bincount(part.row.ravel(), use.ravel(), part.rows + 1).astype(np.float64)
    # Large prices nearly cancel; the bound gives way by more than the rounding of their sums.
    size += float(np.abs(value).sum() + cost.sum() + prices @ load + prices.sum())
    bound = float(value.sum()) - fixed
    if np.isfinite(size):
        bound -= ROUNDING * size
    return Priced(prices, extra, path, value, cost, use, load, bound)


@dataclass(eq=False)
class Ascent:
    """Subgradient ascent towards the best prices, with a target level instead of a known optimum.

    Polyak's step: it aims at the best bound plus `reach`, which grows while the bound rises and shrinks when
    it does not.
    """

    part: Part
    best: Priced
    reach: float
    seen: list[Ints] = field(default_factory=list)
    failures: int = 0
    smooth: Floats | None = None

    @classmethod
    def start(cls, part: Part) -> Ascent:
        """Begin at prices of zero."""
        free = price_paths(part, np.zeros(part.rows + 1))
        return cls(part, free, reach=max(0.1 * abs(free.bound), 1e-12))

    def run(
        self, iterations: int, patience: int = 4, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Take so many steps; the paths seen on the way are kept as columns for the master."""
        part, current = self.part, self.best
        for _ in range(iterations):
            if should_stop():
                return
            direction = current.load[:-1] - 1.0
            direction[(current.prices[:-1] <= 0) & (direction < 0)] = 0.0
            self.smooth = direction if self.smooth is None else 0.5 * self.smooth + 0.5 * direction
            norm = float(self.smooth @ self.smooth)
            if norm < 1e-24:
                self.smooth = None
                if float(direction @ direction) < 1e-24:
                    return  # complementary: the bound is the optimum
                continue
            step = (self.best.bound + self.reach - current.bound) / norm
            prices = np.append(np.maximum(current.prices[:-1] + step * self.smooth, 0.0), 0.0)
            current = price_paths(part, prices)
            self.seen.append(current.path)
            if current.bound > self.best.bound:
                gain = current.bound - self.best.bound
                self.best, self.failures = current, 0
                if gain > 0.3 * self.reach:
                    self.reach *= 2.0
                continue
            self.failures += 1
            if self.failures >= patience:
                self.reach *= 0.5
                self.failures, current, self.smooth = 0, self.best, None
