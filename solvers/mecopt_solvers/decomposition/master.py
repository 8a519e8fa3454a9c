"""Dantzig-Wolfe: the linear program over the paths seen so far, and new paths where its prices ask for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.highs import Matrix
from mecopt_solvers.decomposition import lp, pricing_kernels
from mecopt_solvers.decomposition.dual import Counts, Priced, price_paths
from mecopt_solvers.decomposition.problem import Part
from mecopt_solvers.decomposition.runs import run_kernels


@dataclass(frozen=True, eq=False)
class Columns:
    """Paths of tasks, sorted by task, none twice; P paths."""

    task: Ints  # (P,)
    path: Ints  # (P, M)
    cost: Floats  # (P,)
    use: Floats  # (P, R)

    @classmethod
    def of(cls, part: Part, task: Ints, path: Ints) -> Columns:
        """Measure paths; those that a task cannot take are left out."""
        both = np.unique(np.column_stack([task, path]), axis=0)
        task, path = np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1:])
        cost, use = np.empty(len(task)), np.empty((len(task), part.row.shape[1]))
        weight, work = part.weight, part.work
        pricing_kernels.measure_columns(weight, work, part.spend, part.blocks, task, path, cost, use)
        kept = np.isfinite(cost)
        return cls(task[kept], path[kept], cost[kept], use[kept])

    def joined(self, other: Columns) -> Columns:
        """Return the columns of both."""
        both = np.concatenate(
            [np.column_stack([self.task, self.path]), np.column_stack([other.task, other.path])]
        )
        _, at = np.unique(both, axis=0, return_index=True)
        cost, use = np.concatenate([self.cost, other.cost]), np.concatenate([self.use, other.use])
        return Columns(both[at, 0], np.ascontiguousarray(both[at, 1:]), cost[at], use[at])

    def followed(self, other: Columns) -> Columns:
        """Return the columns of both, those of the other behind, twice where both have them."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Columns(*(np.concatenate(pair) for pair in pairs))

    def reduced(self, part: Part, priced: Priced) -> Floats:
        """Return the reduced cost of every column."""
        charged = self.cost + (self.use * priced.prices[part.row[self.task]]).sum(axis=1)
        if len(priced.extra):
            for m in range(self.path.shape[1]):
                charged += np.where(self.path[:, m] >= 0, priced.extra[self.task, m, self.path[:, m]], 0.0)
        if len(priced.runs):
            run_kernels.charge(priced.runs, self.task, self.path, part.blocks, charged)
        reduced: Floats = charged - priced.value[self.task]
        return reduced

    def at(self, chosen: Ints) -> Columns:
        """Return some of the columns."""
        return Columns(self.task[chosen], self.path[chosen], self.cost[chosen], self.use[chosen])


@dataclass(frozen=True, eq=False)
class Solution:
    """An optimum of the restricted master."""

    share: Floats  # (P,) of every column
    value: float  # objective; above the bound by what columns are missing
    overflow: float  # use above the limits, in limits
    prices: Floats  # (rows + 1,)
    count_prices: Floats  # (B,)


def solve_master(part: Part, columns: Columns, counts: Counts, price_cap: float) -> Solution | None:
    """Solve the linear program over the columns; every row may be exceeded at the price cap.

    A task with one column needs no convexity row: what it uses goes to the right-hand side. Most tasks are
    like that near the best prices, so the program stays small.
    """
    per_task = np.bincount(columns.task, minlength=len(part.tasks))
    free = per_task[columns.task] > 1
    rows, shared = part.rows, part.rows + len(counts)
    row = part.row[columns.task]
    decided = counts.entries(columns.task, columns.path)
    taken = np.append(
        np.bincount(row[~free].ravel(), columns.use[~free].ravel(), rows + 1)[:-1], decided[~free].sum(axis=0)
    )
    active = np.flatnonzero(per_task > 1)
    position = np.zeros(len(per_task), dtype=np.int64)
    position[active] = np.arange(len(active))
    many = int(free.sum())
    count_rows = np.broadcast_to(rows + np.arange(len(counts)), (many, len(counts)))
    index = np.column_stack([row[free], count_rows, shared + position[columns.task[free]]])
    value = np.column_stack([columns.use[free], decided[free], np.ones(many)])
    kept = value != 0
    kept[:, : row.shape[1]] &= row[free] < rows
    entries = kept.sum(axis=1)
    matrix = Matrix(
        np.concatenate([np.cumsum(entries) - entries, entries.sum() + np.arange(shared)]),
        np.concatenate([index[kept], np.arange(shared)]),
        np.concatenate([value[kept], np.full(shared, -1.0)]),
    )
    cost = np.concatenate([columns.cost[free], np.full(shared, price_cap)])
    scale = float(np.abs(columns.cost).max(initial=0.0)) or 1.0  # tolerances are absolute
    highs = lp.model(
        cost / scale,
        np.concatenate([np.full(shared, -np.inf), np.ones(len(active))]),
        np.concatenate([np.append(np.ones(rows), counts.limit) - taken, np.ones(len(active))]),
        matrix,
    )
    if highs.run() != "optimal":
        return None
    values = highs.values
    share = np.ones(len(columns.task))
    share[free] = values[:many]
    prices = scale * np.maximum(-highs.duals[:shared], 0.0)
    objective = float(columns.cost[~free].sum() + cost @ values)
    overflow = float(values[many:].sum())
    return Solution(share, objective, overflow, np.append(prices[:rows], 0.0), prices[rows:])


def largest_shares(columns: Columns, solution: Solution) -> Ints:
    """Return the column of every task that has the largest share, (K,)."""
    order = np.lexsort((solution.share, columns.task))
    last = np.append(np.flatnonzero(np.diff(columns.task[order])), len(order) - 1)
    chosen: Ints = order[last]
    return chosen


@dataclass(eq=False)
class Generation:
    """Column generation from good prices on; keeps the best bound and the last solution."""

    part: Part
    columns: Columns
    counts: Counts
    best: Priced | None = None
    solution: Solution | None = None
    should_stop: Callable[[], bool] = lambda: False

    def run(
        self, price_cap: float, cutoff: float = np.inf, tolerance: float = 1e-10, rounds: int = 60
    ) -> None:
        """Add columns until the master's value meets the bound, relatively, or the bound meets the cutoff."""
        for left in reversed(range(rounds)):
            if not self.step(price_cap, cutoff, tolerance, last=left == 0 or self.should_stop()):
                return

    def step(self, price_cap: float, cutoff: float, tolerance: float, last: bool) -> bool:
        """Solve the master and price; whether columns came of it, which the solution does not know yet.

        After the last step there are none: the solution is that of all columns.
        """
        self.solution = solve_master(self.part, self.columns, self.counts, price_cap)
        if self.solution is None:
            return False
        priced = price_paths(self.part, self.solution.prices, self.counts, self.solution.count_prices)
        if self.best is None or priced.bound > self.best.bound:
            self.best = priced
        bound = self.best.bound
        close = self.solution.value - bound <= tolerance * max(abs(bound), 1e-300)
        if last or bound >= cutoff or close:
            return False
        before = len(self.columns.task)
        new = Columns.of(self.part, np.arange(len(self.part.tasks)), priced.path)
        self.columns = self.columns.joined(new)
        return len(self.columns.task) > before
