"""`rpdi`: every block on a node drawn uniformly from the device and all servers."""

from __future__ import annotations

import numpy as np

from mecopt.entities import Coupling
from mecopt.features import Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_solvers.baselines.placing import STATIC, WITHIN_LEDGER, by_block, cut_off


def _solve(instance: Instance, run: Run) -> None:
    # The nodes of a block in the order of random numbers: the first is uniform over all nodes, and the first
    # that is allowed is uniform over those that are.
    shape = (instance.task_count, instance.max_blocks, instance.server_count + 1)
    score = np.random.default_rng(run.seed).random(shape)
    by_block(instance, run, STATIC, score, lambda: cut_off(instance, score.argmin(axis=2)))


METHOD = Method(
    name="rpdi",
    kind="baseline",
    summary="each block on a random node, the device among them (a baseline of the paper)",
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY, Coupling.SHARING}),
    solve=_solve,
    takes=WITHIN_LEDGER | {Feature.PERIOD},
    random=True,
)
