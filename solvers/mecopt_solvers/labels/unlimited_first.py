"""The method: every task's path without limits first, then labels where that breaks one."""

from __future__ import annotations

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.trellis import Paths, infeasible_tasks
from mecopt_solvers.labels import path_kernels
from mecopt_solvers.labels.steps import StepSource, TaskSteps

SAFE = 1e-12  # the bound is lowered by this fraction: rounding of sums
AT_ONCE = 128  # tasks between two looks at the clock, whose steps stay in the cache
FIRST_LABELS, MOST_LABELS = 1 << 14, 1 << 23


class LabelSearch:
    """All tasks of an instance: their paths so far, and a bound for each."""

    def __init__(self, instance: Instance, run: Run) -> None:
        self.instance, self.run = instance, run
        self.source = StepSource(instance, run.costs, run.node_cost)
        count = instance.task_count
        self.bound, self.worth = np.empty(count), np.empty(count)  # below, and of the path
        self.path = np.full((count, instance.max_blocks), -1)
        drop = run.costs.drop_cost
        self.drop = np.full(count, np.inf) if drop is None else np.array(drop)
        self.late: list[int] = []  # tasks that nothing serves in time

    def work(self) -> None:
        """Solve all tasks, as far as time goes, and hand over what came of it."""
        every = np.arange(self.instance.task_count)
        for tasks in np.array_split(every, -(-len(every) // AT_ONCE)):
            self.run.keep_time()
            self._free(tasks)
        lost = np.isinf(np.minimum(self.bound, self.drop))
        if lost.any():
            self._tell_lost()
            return
        self.bound = np.minimum(self.bound, self.drop)
        self.run.improve_bound(float(self.bound.sum()) * (1.0 - SAFE))
        left = np.flatnonzero(np.minimum(self.worth, self.drop) > self.bound)
        try:
            for tasks in np.array_split(left, -(-len(left) // AT_ONCE)) if len(left) else ():
                self.run.keep_time()
                self._search(tasks)
        finally:
            if self.late:
                self._tell_late()
            else:
                self._hand_over()

    def _free(self, tasks: Ints) -> None:
        """Find the paths of some tasks without limits."""
        steps = self.source.of(tasks)
        value, worth = np.empty(len(tasks)), np.empty(len(tasks))
        path = np.empty((len(tasks), self.path.shape[1]), dtype=np.int64)
        path_kernels.free(
            steps.cost, steps.use, steps.side, steps.dear, steps.blocks, self.source.bit, value, worth, path
        )
        self.bound[tasks], self.worth[tasks], self.path[tasks] = value, worth, path

    def _search(self, tasks: Ints) -> None:
        """Find the best paths of some tasks within limits."""
        steps, upper = self.source.of(tasks), np.minimum(self.drop[tasks], self.worth[tasks])
        room, open_ = FIRST_LABELS, np.arange(len(tasks))
        while len(open_):
            status, worth, bound, path = searched(steps, open_, upper[open_], self.source.bit, room)
            at = tasks[open_]
            self.bound[at] = np.minimum(np.maximum(self.bound[at], bound), self.drop[at])
            better = worth < self.worth[at]
            self.worth[at[better]], self.path[at[better]] = worth[better], path[better]
            none = (status == path_kernels.NONE) & np.isinf(np.minimum(self.drop, self.worth)[at])
            self.late += at[none].tolist()
            open_ = open_[status == path_kernels.FULL]
            room *= 8
            if room > MOST_LABELS:
                self.run.notes["proof"] = f"tasks with more than {MOST_LABELS} labels keep a gap"
                return
            self.run.keep_time()

    def _hand_over(self) -> None:
        """Hand over the best paths."""
        left_out = self.drop < self.worth
        placement = np.where(left_out[:, None], -1, self.path)
        self.run.improve_bound(float(self.bound.sum()) * (1.0 - SAFE))
        self.run.found(placement)

    def _tell_lost(self) -> None:
        value = np.minimum(self.bound, self.drop)
        paths = Paths(value, self.path)
        self.run.infeasible(infeasible_tasks(self.instance, self.run.costs, paths, self.run.node_cost))

    def _tell_late(self) -> None:
        """Say which tasks nothing serves in time: what each needs at least, where one deadline is all."""
        reasons = []
        for k in self.late[:1000]:
            steps = self.source.of(np.array([k]))
            least = np.empty((steps.cost.shape[1] + 1, steps.cost.shape[2]))
            for r, limit in enumerate(self.source.limits):
                path_kernels.least_use(steps.cost[0], steps.use[0, r], least)
                if limit.on(self.instance) and least[0, 0] > steps.side[0, r]:
                    reasons.append(limit.too_little(self.instance, k, float(least[0, 0])))
        self.run.infeasible(reasons or [limits.nothing_fits(self.instance, "labels of every task")])


def searched(
    steps: TaskSteps, which: Ints, upper: Floats, bit: Ints, room: int
) -> tuple[Ints, Floats, Floats, Ints]:
    """Search some of the tasks; return how each ended, what its path is worth, a bound, and the path."""
    count, stages = len(which), steps.cost.shape[1]
    status, value, bound = np.empty(count, dtype=np.int64), np.empty(count), np.empty(count)
    path = np.full((count, stages), -1)
    path_kernels.search_all(
        steps.cost[which], steps.use[which], steps.side[which], steps.dear[which], steps.blocks[which], bit,
        upper, room, status, value, bound, path,
    )  # fmt: skip
    return status, value, bound, path


def solve(instance: Instance, run: Run) -> None:
    """Solve every task by itself."""
    LabelSearch(instance, run).work()
