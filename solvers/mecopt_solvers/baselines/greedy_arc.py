"""`greedy-arc`: every block to the node that its own step costs least, whatever follows."""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Ints
from mecopt.entities import Coupling
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_solvers.baselines.placing import STEP, WITHIN_LEDGER, by_block, chunks, cut_off


def _solve(instance: Instance, run: Run) -> None:
    def free() -> Ints | None:
        nodes = np.zeros((instance.task_count, instance.max_blocks), dtype=np.int64)
        for tasks, arcs in chunks(run.costs, np.arange(instance.task_count), run.node_cost):
            node, rows = np.zeros(len(tasks), dtype=np.int64), np.arange(len(tasks))
            for m in range(instance.max_blocks):
                node = arcs.weight[rows, m, node].argmin(axis=1)
                nodes[tasks, m] = node
        return cut_off(instance, nodes)

    by_block(instance, run, STEP, np.zeros(1), free)


METHOD = Method(
    name="greedy-arc",
    kind="baseline",
    summary="each block to the node whose step costs least, whatever follows",
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY, Coupling.SHARING}),
    solve=_solve,
    takes=WITHIN_LEDGER,
)
