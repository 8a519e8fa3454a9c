"""Patterns: which runs of blocks one server can hold together, convexified by a linear program of its own.

With few tasks the capacity row is a weak description of a server: the linear program fills it with parts of
tasks. What a server really holds is a set of runs, where a run is all the blocks of a task from when it
enters the server until it leaves. Runs come in few sizes. So every server gets columns, its
patterns (how many runs of each size fit together), and a row for each size: runs placed there are at most
those in the patterns. The duals of these rows are prices of whole runs, and the best pattern under any
prices, a knapsack, bounds what a server can earn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition.dual import NO_EXTRA, ROUNDING, Counts, Priced
from mecopt_solvers.decomposition.master import Columns, Solution
from mecopt_solvers.decomposition.problem import WITHIN, Part
from mecopt_solvers.decomposition.runs import run_kernels
from mecopt_solvers.decomposition.runs.run_master import RunMaster

GRID = 10_000  # a server's capacity in the knapsack, whose sizes are rounded down
ALIKE = 1e-4  # of a server: runs that differ by less count as the smaller
NEGLIGIBLE = 1e-3  # of a server: smaller runs are left out
MOST_SIZES = 30  # of a server
MOST_RUNS = 5_000_000  # of all tasks on all nodes: each is a number in several arrays, read in every round
NEW_SHARE = 0.3  # of the master's prices in those that are priced first
KEPT_PATTERNS = 30  # a server, besides those in use


@dataclass(frozen=True, eq=False)
class RunSizes:
    """The sizes of runs on every server; L of them, server by server."""

    first: Ints  # (J,) where each server's sizes begin
    size: Floats  # (L,)
    whole: Ints  # (L,) in steps of the grid
    index: Ints  # (K, M, M, J) size of the run of blocks a to b on node j, -1 where it has none
    taken: Floats  # (K, M, M, J) what the run takes of the server

    @classmethod
    def of(cls, part: Part) -> RunSizes | None:
        """Collect the sizes; None where they are too many, or not all rows are capacities of one slot."""
        tasks, stages, nodes = part.work.shape
        if tasks * stages**2 * nodes > MOST_RUNS:
            return None
        if part.slots > 1 or part.rows != nodes - 1 or (part.row[:, :-1] != np.arange(nodes - 1)).any():
            return None
        total = np.cumsum(part.work, axis=1)
        before = np.concatenate([np.zeros((tasks, 1, nodes)), total[:, :-1]], axis=1)
        taken = total[:, None, :, :] - before[:, :, None, :]
        real = np.triu(np.ones((stages, stages), dtype=bool)) & (
            np.arange(stages)[None, None, :] < part.blocks[:, None, None]
        )
        index, sizes = np.full(taken.shape, -1), []
        first = np.zeros(nodes, dtype=np.int64)
        for j in range(1, nodes):
            counts = real & (taken[..., j] > NEGLIGIBLE) & (taken[..., j] <= WITHIN)
            order = np.sort(taken[..., j][counts])
            new = np.diff(order, prepend=-1.0) > ALIKE
            size = order[new]
            if len(size) > MOST_SIZES:
                return None
            index[..., j][counts] = first[j - 1] + np.searchsorted(size, taken[..., j][counts], "right") - 1
            sizes.append(size)
            first[j] = first[j - 1] + len(size)
        size = np.concatenate(sizes)
        if not len(size):
            return None
        whole = (size * (GRID / WITHIN) * (1.0 - 1e-12)).astype(np.int64)
        return cls(first, size, whole, index, taken)

    def rows(self, part: Part, columns: Columns) -> tuple[Ints, Ints, Floats]:
        """Return column, size and number of the runs of some paths."""
        row = np.empty(columns.path.shape, dtype=np.int64)
        run_kernels.rows_of(self.index, columns.task, columns.path, part.blocks, row)
        column, at = np.nonzero(row >= 0)
        key, number = np.unique(column * max(len(self.size), 1) + row[column, at], return_counts=True)
        return *np.divmod(key, max(len(self.size), 1)), number.astype(np.float64)

    def owner(self, patterns: Floats) -> Ints:
        """Return the server, counted from 0, of every pattern (Q, L)."""
        owner: Ints = np.searchsorted(self.first, (patterns > 0).argmax(axis=1), "right") - 1
        return owner

    def apart(self, pattern: Floats) -> Floats:
        """Split the patterns of all servers (L,) by server, and leave out what is empty."""
        owner = np.searchsorted(self.first, np.arange(len(pattern)), "right") - 1
        split: Floats = np.where(owner == np.arange(len(self.first) - 1)[:, None], pattern, 0.0)
        return split[split.any(axis=1)]


@dataclass(frozen=True, eq=False)
class Filled:
    """The best pattern of every server under prices of sizes."""

    worth: Floats  # (J - 1,) none of the server's patterns is worth more
    pattern: Floats  # (L,) number of runs of each size


def fill_servers(sizes: RunSizes, prices: Floats) -> Filled:
    """Solve every server's knapsack."""
    servers = len(sizes.first) - 1
    worth, pattern = np.zeros(servers), np.zeros(len(prices), dtype=np.int64)
    best, pick = np.empty(GRID + 1), np.empty(GRID + 1, dtype=np.int64)
    for n in range(servers):
        mine = slice(sizes.first[n], sizes.first[n + 1])
        worth[n] = run_kernels.knapsack(sizes.whole[mine], prices[mine], GRID, best, pick, pattern[mine])
    return Filled(worth, pattern.astype(np.float64))


def price_runs(
    part: Part, sizes: RunSizes, prices: Floats, counts: Counts, count_prices: Floats
) -> tuple[Priced, Filled]:
    """Solve the pricing problems of tasks and servers under prices of sizes (L,), none negative.

    A row's price is what the whole server earns. What a run pays differs from its share of that.
    """
    tasks, stages = part.weight.shape[:2]
    filled = fill_servers(sizes, prices)
    row_prices = np.append(filled.worth, 0.0)
    runs = np.where(sizes.index >= 0, np.append(prices, 0.0)[sizes.index], 0.0)
    runs[..., 1:] -= filled.worth * sizes.taken[..., 1:]
    runs[sizes.taken > WITHIN] = np.inf
    extra, fixed, size = NO_EXTRA, float(filled.worth.sum()), 0.0
    if len(counts):
        extra = counts.extra(part, count_prices)
        fixed += float(counts.limit @ count_prices)
        size = float((np.abs(counts.weight).sum(axis=(1, 2)) + np.abs(counts.limit)) @ count_prices)
    path = np.empty((tasks, stages), dtype=np.int64)
    value, cost, use = np.empty(tasks), np.empty(tasks), np.empty(part.row.shape)
    run_kernels.price(
        part.weight, part.work, part.spend, extra, part.row, part.blocks, row_prices, runs,
        path, value, cost, use,
    )  # fmt: skip
    load: Floats = np.bincount(part.row.ravel(), use.ravel(), part.rows + 1).astype(np.float64)
    size += float(np.abs(value).sum() + cost.sum() + 3.0 * (row_prices @ load) + row_prices.sum())
    bound = float(value.sum()) - fixed
    if np.isfinite(size):
        bound -= 2.0 * ROUNDING * size
    return Priced(row_prices, extra, path, value, cost, use, load, bound, runs), filled


@dataclass(eq=False)
class RunGeneration:
    """Column generation of paths and patterns; keeps the best bound and the last solution."""

    part: Part
    sizes: RunSizes
    columns: Columns
    patterns: Floats  # (Q, L)
    counts: Counts
    center: Floats  # (L + counts,) prices of the best bound, or good ones
    should_stop: Callable[[], bool]
    best: Priced | None = None
    solution: Solution | None = None
    weights: Floats = field(default_factory=lambda: np.zeros(0))  # (Q,) of the patterns

    def run(
        self, price_cap: float, cutoff: float = np.inf, tolerance: float = 1e-9, rounds: int = 150
    ) -> None:
        """Add columns until the master's value meets the bound, relatively, or the bound meets the cutoff."""
        master = RunMaster(self.part, self.sizes, self.counts, price_cap, self.columns, self.patterns)
        for left in reversed(range(rounds)):
            solved = master.solve()
            if solved is None:
                self.solution = None
                break
            prices, self.solution = solved
            priced, patterns = zip(*(self._price(trial) for trial in self._trials(prices)), strict=True)
            if left == 0 or self._settled(cutoff, tolerance) or self.should_stop():
                break
            task = np.tile(np.arange(len(self.part.tasks)), len(priced))
            paths = Columns.of(self.part, task, np.concatenate([one.path for one in priced]))
            if not master.add(paths, np.unique(np.concatenate(patterns), axis=0)):
                break
        self._take_over(master)

    def _trials(self, prices: Floats) -> list[Floats]:
        """Return the prices to try: between the best so far and the master's, and the master's."""
        share = 0.0 if self.best is None else NEW_SHARE
        return [(1.0 - share) * self.center + share * prices, prices]

    def _price(self, trial: Floats) -> tuple[Priced, Floats]:
        """Solve the pricing problems at some prices, and keep those if their bound is the best."""
        sizes = len(self.sizes.size)
        priced, filled = price_runs(self.part, self.sizes, trial[:sizes], self.counts, trial[sizes:])
        if self.best is None or priced.bound > self.best.bound:
            self.best, self.center = priced, trial
        return priced, self.sizes.apart(filled.pattern)

    def _settled(self, cutoff: float, tolerance: float) -> bool:
        """Say whether the bound meets the cutoff or, relatively, the master's value."""
        if self.best is None or self.solution is None:
            return False
        bound = self.best.bound
        return bound >= cutoff or self.solution.value - bound <= tolerance * max(abs(bound), 1e-300)

    def _take_over(self, master: RunMaster) -> None:
        """Take over the master's columns, which are sorted by task everywhere else, and its patterns."""
        order = np.argsort(master.columns.task, kind="stable")
        self.columns, self.patterns = master.columns.at(order), master.patterns
        if self.solution is not None:
            self.solution = replace(self.solution, share=self.solution.share[order])
            self.weights = master.weights

    def kept_patterns(self) -> Floats:
        """Return the patterns that a node below is likely to use."""
        if self.solution is None:
            return self.patterns
        worth = self.patterns @ self.center[: len(self.sizes.size)]
        owner, keep = self.sizes.owner(self.patterns), self.weights > 0
        for n in range(len(self.sizes.first) - 1):
            mine = np.flatnonzero(owner == n)
            keep[mine[np.argsort(-worth[mine])[:KEPT_PATTERNS]]] = True
        return self.patterns[keep]
