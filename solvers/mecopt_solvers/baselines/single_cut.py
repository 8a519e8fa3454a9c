"""`single-cut`: every task cut once at the best place, before it the device, behind it the best server.

As Neurosurgeon does for one server: Y. Kang et al., "Neurosurgeon: Collaborative intelligence between the
cloud and mobile edge", ASPLOS 2017.
"""

from __future__ import annotations

import numpy as np

from mecopt.entities import Coupling
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_solvers.baselines.cuts import Cuts, best_cut
from mecopt_solvers.baselines.placing import WITHIN_LEDGER


def _solve(instance: Instance, run: Run) -> None:
    placement = best_cut(instance, run, Cuts.of(instance, np.arange(instance.max_blocks)))
    if placement is not None:
        run.found(placement)


METHOD = Method(
    name="single-cut",
    kind="baseline",
    summary="each task cut once: first blocks on the device, the others on one server (Neurosurgeon)",
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY, Coupling.SHARING}),
    solve=_solve,
    takes=WITHIN_LEDGER,
)
