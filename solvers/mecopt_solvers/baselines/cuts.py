"""Placements with one cut, first blocks on the device, others on one server: the best for every task."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.entities import Deadline
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.tolerances import slack
from mecopt.trellis_arcs import Arcs, build_arcs
from mecopt_solvers.baselines.ledger import in_order, open_ledger
from mecopt_solvers.baselines.placing import chunks, cut_off, respect, seconds


@dataclasses.dataclass(frozen=True, eq=False)
class Cuts:
    """The candidates of every task: blocks before `cut` on the device, the others on node `server`."""

    cut: Ints  # (C,)
    server: Ints  # (C,)

    @classmethod
    def of(cls, instance: Instance, at: Ints) -> Cuts:
        """Return the candidates with these cuts, the latest first; a tie goes to the earlier candidate."""
        blocks, servers = instance.max_blocks, instance.server_count
        cut = np.concatenate([[blocks], np.repeat(np.sort(at)[::-1], servers)])
        return cls(cut, np.concatenate([[1], np.tile(np.arange(1, servers + 1), len(at))]))

    def values(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return the objective of every candidate, (K, C), inf where a step or the whole is not allowed."""
        value = self.sums(arcs.weight)
        for deadline in limits.deadlines(instance):
            total, due = (
                self.sums(deadline.use(arcs, instance)),
                deadline.given(instance, arcs.tasks)[:, None],
            )
            if deadline.on(instance):
                value[total > slack(due)] = np.inf
            elif instance.rules.deadline is Deadline.SOFT:
                value += _penalty(arcs.costs, arcs.tasks)[:, None] * np.maximum(total - due, 0.0)
        return value

    def sums(self, steps: Floats) -> Floats:
        """Add up figures of steps, (K, M, J, J), for every candidate, (K, C)."""
        tasks, stages = steps.shape[:2]
        local = np.zeros((tasks, stages + 1))
        np.cumsum(steps[:, :, 0, 0], axis=1, out=local[:, 1:])
        stay = np.diagonal(steps, axis1=2, axis2=3)[:, :, 1:]
        after = np.zeros((tasks, stages + 1, stay.shape[2]))
        after[:, :-1] = stay[:, ::-1].cumsum(axis=1)[:, ::-1]
        send = np.full((tasks, stages + 1, stay.shape[2]), np.inf)
        send[:, :-1] = local[:, :-1, None] + steps[:, :, 0, 1:] + after[:, 1:]
        send[:, -1] = local[:, -1:]
        value: Floats = send[:, self.cut, self.server - 1]
        return value

    def nodes(self, choice: Ints, stages: int) -> Ints:
        """Return the placement of chosen candidates, (K, M)."""
        return np.where(np.arange(stages) < self.cut[choice][:, None], 0, self.server[choice][:, None])


def best_cut(instance: Instance, run: Run, cuts: Cuts) -> Ints | None:
    """Find the best candidate of every task; under couplings the best that is left, task by task.

    A task that may be left out is, where that is cheaper or no candidate is allowed. Another one whose
    candidates all break a deadline or need a missing link takes the one that is cheapest all the same; one
    that a pin or ban leaves no candidate takes its shortest path, which counts as a repair.

    Returns
    -------
    array of shape (tasks, blocks), or None when a task has no path at all (the run is told why)
    """
    everybody, value = np.arange(instance.task_count), []
    placement = np.zeros((instance.task_count, instance.max_blocks), dtype=np.int64)
    for tasks, arcs in chunks(run.costs, everybody, run.node_cost):
        value.append(cuts.values(arcs, instance))
        placement[tasks] = cuts.nodes(value[-1].argmin(axis=1), instance.max_blocks)
    values = np.concatenate(value)
    placement[_dropped(values, instance.tasks.drop_cost)] = -1
    stuck = np.flatnonzero(np.isinf(values.min(axis=1)) & (placement[:, 0] >= 0))
    if stuck.size:
        lenient = dataclasses.replace(run.costs, limit=np.full_like(run.costs.limit, np.inf))
        late = cuts.sums(build_arcs(lenient, stuck, run.node_cost).weight)
        placement[stuck] = cuts.nodes(late.argmin(axis=1), instance.max_blocks)
    settled = respect(run, cut_off(instance, placement))
    if settled is None or not instance.rules.couplings:
        return settled
    if limits.SHARING.on(instance) or not evaluate(instance, settled, costs=run.costs).feasible:
        settled = _one_by_one(instance, run, cuts, values, settled)
    return settled


def whole_on(instance: Instance, run: Run, node: int) -> Ints | None:
    """Place all tasks whole on one node, but for those that a pin or ban or the cost of leaving out forbids.

    Returns
    -------
    array of shape (tasks, blocks), or None when a task has no path at all (the run is told why)
    """
    if instance.tasks.given("drop_cost") is None:
        return respect(run, cut_off(instance, np.full(1, node)))
    cut = 0 if node else instance.max_blocks
    return best_cut(instance, run, Cuts(np.array([cut]), np.array([max(node, 1)])))


def _one_by_one(instance: Instance, run: Run, cuts: Cuts, values: Floats, placement: Ints) -> Ints:
    """Place the tasks in their order, each on its best candidate within what the others left."""
    with run.loading():
        from mecopt_solvers.baselines.ledger_kernels import place_cuts

    ledger, placement = open_ledger(instance), placement.copy()
    fixed = np.isinf(values.min(axis=1))
    for tasks, arcs in chunks(run.costs, in_order(instance), run.node_cost):
        run.repairs += place_cuts(
            values[tasks], cuts.cut, cuts.server, arcs.energy_j, seconds(run.costs, arcs), arcs.blocks,
            tasks, fixed[tasks], ledger, placement,
        )  # fmt: skip
    return placement


def _dropped(values: Floats, drop_cost: Floats | None) -> NDArray[np.bool_]:
    """Say which tasks are better left out than on their best candidate, (K,)."""
    least = values.min(axis=1)
    dropped: NDArray[np.bool_] = np.zeros(len(least), dtype=bool) if drop_cost is None else drop_cost < least
    return dropped


def _penalty(costs: ChainCosts, tasks: Ints) -> Floats:
    """Return the objective of a second above a soft deadline, (K,)."""
    worth = np.ones(len(tasks)) if costs.weight is None else costs.weight[tasks]
    return costs.delay_worth * costs.penalty * worth
