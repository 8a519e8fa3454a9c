"""Linear programs over the paths seen: the busiest resource busy for the least time, or least delay."""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.highs import Matrix
from mecopt_solvers.decomposition import lp
from mecopt_solvers.period.slot_steps import Slot


class Master:
    """Columns are the period, then paths; rows are resources, then tasks. Seconds are parts of `unit`.

    With a price the delay of paths counts too, and what the period is beyond that of `within` costs so much a
    second.
    """

    def __init__(self, slot: Slot, unit: float, price: float | None = None) -> None:
        self.slot, self.unit, self.by_delay = slot, unit, price is not None
        rows, tasks = slot.resources, len(slot.tasks)
        self.lp = lp.model(
            np.ones(1) if price is None else np.array([price * unit]),
            np.concatenate([np.full(rows, -np.inf), np.ones(tasks)]),
            np.concatenate([np.zeros(rows), np.ones(tasks)]),
            Matrix(np.zeros(1, dtype=np.int64), np.arange(rows), np.full(rows, -1.0)),
        )
        stages = slot.shape[1]
        self.task, self.path = np.zeros(0, dtype=np.int64), np.zeros((0, stages), dtype=np.int64)
        self.seen: set[bytes] = set()
        self.longest = np.zeros(0)  # seconds of what a path keeps busy for the longest time

    def add(self, task: Ints, path: Ints) -> bool:
        """Add the paths that are new; whether there are any."""
        both = np.column_stack([task, path])
        fresh = []
        for at, line in enumerate(both):
            key = line.tobytes()
            if path[at, 0] >= 0 and key not in self.seen:
                self.seen.add(key)
                fresh.append(at)
        if not fresh:
            return False
        task, path = task[fresh], path[fresh]
        row, seconds = self.slot.columns(task, path)
        index = np.column_stack([row, self.slot.resources + task])
        value = np.column_stack([seconds / self.unit, np.ones(len(task))])
        there = index != self.slot.resources
        there[:, -1] = True  # the first task's row has the number of the padding
        counts = there.sum(axis=1)
        start = np.cumsum(counts) - counts
        cost = self.slot.delays(task, path) if self.by_delay else np.zeros(len(task))
        self.lp.add_columns(cost, Matrix(start, index[there], value[there]))
        self.longest = np.concatenate([self.longest, seconds.max(axis=1)])
        self.task = np.concatenate([self.task, task])
        self.path = np.concatenate([self.path, path])
        return True

    def solve(self, most: float = np.inf) -> tuple[float, Floats] | None:
        """Return the period in seconds and the weights of resources (R,), of sum 1; None if it fails.

        Paths that keep something busy for longer than `most` do not count.
        """
        self.lp.bound_columns(np.append(np.inf, np.where(self.longest <= most, np.inf, 0.0)))
        if self.lp.run() != "optimal":
            return None
        weight = np.maximum(-self.lp.duals[: self.slot.resources], 0.0)
        total = float(weight.sum())
        return (self.lp.objective * self.unit, weight / total) if total > 0 else None

    def within(self, period: float) -> tuple[float, Floats] | None:
        """Return the least delay within a period, and a price of a second of every resource (R,)."""
        rows = np.arange(self.slot.resources)
        self.lp.bound_rows(rows, np.full(len(rows), period / self.unit))
        self.lp.bound_columns(np.append(np.inf, np.where(self.longest <= period, np.inf, 0.0)))
        if self.lp.run() != "optimal":
            return None
        return self.lp.objective, np.maximum(-self.lp.duals[: len(rows)], 0.0) / self.unit

    def rounded(self) -> Ints:
        """Return every task's path of the largest share in the last solution, (n, M)."""
        order = np.lexsort((self.share, self.task))
        last = np.append(np.flatnonzero(np.diff(self.task[order])), len(order) - 1)
        taken: Ints = self.path[order[last]]
        return taken

    @property
    def share(self) -> Floats:
        """Share of every path in the last solution."""
        return self.lp.values[1:]
