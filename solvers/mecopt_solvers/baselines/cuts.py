"""Placements with one cut, first blocks on the device, others on one server: the best for every task."""

from __future__ import annotations

import dataclasses

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.trellis_arcs import Arcs, build_arcs
from mecopt_solvers.baselines.ledger import in_order, open_ledger
from mecopt_solvers.baselines.rules import chunks, cut_off, respect, seconds


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

    def values(self, arcs: Arcs) -> Floats:
        """Return the objective of every candidate, (K, C), inf where a step is not allowed."""
        tasks, stages = arcs.weight.shape[:2]
        local = np.zeros((tasks, stages + 1))
        np.cumsum(arcs.weight[:, :, 0, 0], axis=1, out=local[:, 1:])
        stay = np.diagonal(arcs.weight, axis1=2, axis2=3)[:, :, 1:]
        after = np.zeros((tasks, stages + 1, stay.shape[2]))
        after[:, :-1] = stay[:, ::-1].cumsum(axis=1)[:, ::-1]
        send = np.full((tasks, stages + 1, stay.shape[2]), np.inf)
        send[:, :-1] = local[:, :-1, None] + arcs.weight[:, :, 0, 1:] + after[:, 1:]
        value = send[:, self.cut, self.server - 1]
        value[:, 0] = local[:, -1]
        return value

    def nodes(self, choice: Ints, stages: int) -> Ints:
        """Return the placement of chosen candidates, (K, M)."""
        return np.where(np.arange(stages) < self.cut[choice][:, None], 0, self.server[choice][:, None])


def best_cut(instance: Instance, run: Run, cuts: Cuts) -> None:
    """Hand over the best candidate of every task; under couplings the best that is left, task by task.

    A task whose candidates all break a deadline or need a missing link takes the one that is cheapest all
    the same; one that a pin or ban leaves no candidate takes its shortest path, which counts as a repair.
    """
    everybody, value = np.arange(instance.task_count), []
    placement = np.zeros((instance.task_count, instance.max_blocks), dtype=np.int64)
    for tasks, arcs in chunks(run.costs, everybody, run.node_cost):
        value.append(cuts.values(arcs))
        placement[tasks] = cuts.nodes(value[-1].argmin(axis=1), instance.max_blocks)
    values = np.concatenate(value)
    stuck = np.flatnonzero(np.isinf(values.min(axis=1)))
    if stuck.size:
        lenient = dataclasses.replace(run.costs, limit=np.full_like(run.costs.limit, np.inf))
        late = cuts.values(build_arcs(lenient, stuck, run.node_cost))
        placement[stuck] = cuts.nodes(late.argmin(axis=1), instance.max_blocks)
    settled = respect(run, cut_off(instance, placement))
    if settled is None:
        return
    if instance.rules.couplings and not evaluate(instance, settled, costs=run.costs).feasible:
        settled = _one_by_one(instance, run, cuts, values, settled)
    run.found(settled)


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
