"""Sampled rates where limits join the tasks: each sample is an instance of its own, solved for some time."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.result import Result, gap
from mecopt.what_if.refusals import InfeasibleError, NothingFoundError
from mecopt.what_if.survival import orders_of

SAME = 1e-9  # relative: a plan that is no more above the best one found is as good


def best_plan(instance: Instance, options: dict[str, Any]) -> Evaluation:
    """Return the best plan at the instance's own rates.

    Raises
    ------
    InfeasibleError
        If there is none.
    NothingFoundError
        If none was found in time.
    """
    result = _solved(instance, None, options)
    if result.status == "infeasible":
        raise InfeasibleError("no placement is feasible (see mecopt explain)")
    if result.evaluation is None or not result.evaluation.feasible:
        raise NothingFoundError("no feasible placement was found in time, more --time-limit may help")
    judged: Evaluation = result.evaluation
    return judged


@dataclasses.dataclass(eq=False)
class JointTally:
    """What is counted over the samples; a limit that tasks share counts as broken by all of them."""

    plan: Evaluation
    options: dict[str, Any]

    def __post_init__(self) -> None:
        count = len(self.plan.placement)
        self.order, self.same, self.broken = (np.zeros(count) for _ in range(3))
        self.lost = self.least = self.worst = self.gap = 0.0
        self.unknown = 0  # samples without a plan or without a bound
        self.orders: dict[tuple[int, ...], int] = {}

    def add(self, factor: Floats) -> None:
        """Solve a sample: factors of every rate, (K, N)."""
        instance = sampled(self.plan.instance, factor)
        kept = evaluate(instance, self.plan.placement)
        start = self.plan.placement if kept.feasible else None
        found = _solved(instance, start, self.options)
        best = found.evaluation if found.evaluation is not None and found.evaluation.feasible else None
        late = np.zeros(len(self.broken), dtype=bool)
        for violation in kept.violations:
            late[violation.where.get("task", slice(None))] = True
        self.broken += late
        if best is None or found.gap is None:
            self.unknown += found.status != "infeasible"
            return
        self.gap = max(self.gap, found.gap)
        orders = orders_of(best.placement)
        alike = (orders == orders_of(self.plan.placement)).all(axis=1)
        if kept.feasible:
            value, least = float(kept.objective or 0.0), float(best.objective or 0.0)
            loss = gap(max(value, least), least) or 0.0
            self.lost, self.least = self.lost + max(value - least, 0.0), self.least + least
            self.worst = max(self.worst, loss)
            if loss <= SAME:
                self.same += 1
                alike[:] = True
        self.order += alike
        for row in orders.tolist():
            key = tuple(node for node in row if node >= 0)
            self.orders[key] = self.orders.get(key, 0) + 1


def sampled(instance: Instance, factor: Floats) -> Instance:
    """Return the instance with every rate between devices and servers times a factor, (K, N), both ways."""
    tasks = instance.tasks
    down = tasks.down_rate_bps
    changed = dataclasses.replace(
        tasks,
        rate_bps=tasks.rate_bps * factor,
        down_rate_bps=down * factor if down.shape[1] == factor.shape[1] else down,
    )
    return instance.replace(tasks=changed)


def _solved(instance: Instance, start: Ints | None, options: dict[str, Any]) -> Result:
    from mecopt.solving import solve

    result = solve(instance, warm_start=start, **options)
    if result.stopped_by == "interrupt":
        raise KeyboardInterrupt
    return result
