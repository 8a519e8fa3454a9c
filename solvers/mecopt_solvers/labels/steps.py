"""What the searches work on: costs of steps, and what steps take of every end-to-end deadline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import Deadline, OneRun
from mecopt.instance import Instance
from mecopt.tolerances import slack
from mecopt.trellis_arcs import delays
from mecopt_solvers.labels import arc_kernels


@dataclass(frozen=True, eq=False)
class TaskSteps:
    """Some tasks of M blocks on J nodes, with R deadlines; arrays as in `path_kernels`."""

    cost: Floats  # (n, M, J, J)
    use: Floats  # (n, R, M, J, J)
    side: Floats  # (n, R)
    dear: Floats  # (n,) what a unit above any of them costs, inf = forbidden
    blocks: Ints  # (n,)


class StepSource:
    """Makes the steps of tasks of an instance, some at a time."""

    def __init__(self, instance: Instance, costs: ChainCosts, node_cost: Floats | None) -> None:
        self.instance, self.costs = instance, costs
        self.figures, self.rules, self.added = _figures(costs)
        self.node_cost = np.zeros((0, 0, 0)) if node_cost is None else np.array(node_cost)
        soft = instance.rules.deadline is Deadline.SOFT
        on = instance.rules.deadline is not Deadline.NONE
        self.limits = limits.deadlines(instance) if on else ()
        rows = np.arange(instance.task_count)
        given = [limit.given(instance, rows) for limit in self.limits]
        table = np.stack(given, axis=1) if given else np.zeros((len(rows), 0))
        self.side = np.ascontiguousarray(table if soft else slack(table))
        self.phases = [
            None if limit.phase is None else chain_costs(instance, phase=limit.phase) for limit in self.limits
        ]
        worth = np.ones(len(rows)) if costs.weight is None else costs.weight
        self.dear = worth * costs.delay_worth * costs.penalty if soft else np.full(len(rows), np.inf)
        self.bit = bits(instance)

    def of(self, tasks: Ints, *, whole: bool = False) -> TaskSteps:
        """Return the steps of some tasks (n,); with `whole` they take delay alone, without limit."""
        stages, nodes = self.costs.device_s.shape[1], self.costs.send_s.shape[1] + 1
        shape = (len(tasks), stages, nodes, nodes)
        cost, delay = np.empty(shape), np.empty(shape)
        arc_kernels.fill(self.figures, self.rules, self.added, tasks, self.node_cost, cost, delay)
        if whole:
            enough = np.full(len(tasks), np.inf)
            return TaskSteps(cost, delay[:, None], enough[:, None], enough, self.costs.blocks[tasks].copy())
        use = np.empty((len(tasks), len(self.limits), *shape[1:]))
        for r, phase in enumerate(self.phases):
            use[:, r] = delay if phase is None else np.where(np.isfinite(cost), delays(phase, tasks), 0.0)
        return TaskSteps(cost, use, self.side[tasks], self.dear[tasks], self.costs.blocks[tasks].copy())


def bits(instance: Instance) -> Ints:
    """Return 1 << the place of every node that may run one stretch only, 0 for others, (J,)."""
    nodes = instance.server_count + 1
    bit = np.zeros(nodes, dtype=np.int64)
    if instance.rules.one_run is not OneRun.NONE:
        bit[1:] = 1 << np.arange(nodes - 1)
        bit[0] = 1 << (nodes - 1) if instance.rules.one_run is OneRun.ALL else 0
    return bit


def _figures(costs: ChainCosts) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
    """Return the figures as arrays of one layout, so that the kernel is compiled once."""

    def plain(table: Any, dimensions: int = 1) -> Any:
        return np.zeros((0,) * dimensions) if table is None else np.array(table, order="C")

    names = (
        "blocks group server_s batch device_s device_j bits result_bits send_s back_s send_lat hop_s hop_lat "
        "send_w hop_w tau limit"
    )
    figures = tuple(plain(getattr(costs, name)) for name in names.split())
    rules = (
        float(costs.penalty),
        costs.return_transfer,
        costs.return_result,
        float(costs.delay_worth),
        float(costs.energy_worth),
    )
    added = (
        plain(costs.passes),
        plain(costs.start_s, 3),
        plain(costs.device_w),
        plain(costs.server_w),
        plain(costs.weight),
    )
    return figures, rules, added
