"""`local`: everything on the devices."""

from __future__ import annotations

import numpy as np

from mecopt.entities import Coupling
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_solvers.baselines.rules import cut_off, respect


def _solve(instance: Instance, run: Run) -> None:
    placement = respect(run, cut_off(instance, np.zeros(1, dtype=np.int64)))
    if placement is not None:
        run.found(placement)


METHOD = Method(
    name="local",
    kind="baseline",
    summary="everything on the device",
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY}),
    solve=_solve,
    respects=frozenset({"link"}),  # the paths of pins and bans keep to it too
)
