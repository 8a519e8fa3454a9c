"""`local`: everything on the devices."""

from __future__ import annotations

from mecopt.entities import Coupling
from mecopt.features import Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_solvers.baselines.cuts import whole_on
from mecopt_solvers.baselines.placing import WITHIN_LEDGER


def _solve(instance: Instance, run: Run) -> None:
    placement = whole_on(instance, run, 0)
    if placement is not None:
        run.found(placement)


METHOD = Method(
    name="local",
    kind="baseline",
    summary="everything on the device",
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY, Coupling.SHARING}),
    solve=_solve,
    takes=WITHIN_LEDGER | {Feature.PERIOD},
    respects=frozenset({"link"}),  # the paths of pins and bans keep to it too
)
