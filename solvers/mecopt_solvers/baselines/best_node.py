"""`best-node`: every task whole on the node that is best for it."""

from __future__ import annotations

import numpy as np

from mecopt.entities import Coupling
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_solvers.baselines.cuts import Cuts, best_cut
from mecopt_solvers.baselines.placing import WITHIN_LEDGER


def _solve(instance: Instance, run: Run) -> None:
    placement = best_cut(instance, run, Cuts.of(instance, np.zeros(1, dtype=np.int64)))
    if placement is not None:
        run.found(placement)


METHOD = Method(
    name="best-node",
    kind="baseline",
    summary="each task whole on the device or on one server, whichever is best for it",
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY, Coupling.SHARING}),
    solve=_solve,
    takes=WITHIN_LEDGER,
)
