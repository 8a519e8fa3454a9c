"""Local search: annealing over blocks and tasks, evaluated move by move, restarted from the best so far."""

from __future__ import annotations

from mecopt.entities import Coupling
from mecopt.features import OF_STEPS, Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import OF_ONE_TASK, Method


def _solve(instance: Instance, run: Run) -> None:
    with run.loading():
        from mecopt_solvers.local_search.annealing import solve  # imports numba

    solve(instance, run)


METHOD = Method(
    name="local-search",
    kind="heuristic",
    summary="annealing over blocks and tasks, restarted from the best so far; stops when told, or when stuck",
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY}),
    solve=_solve,
    takes=OF_STEPS - {Feature.START},  # the moves know no calculation that the node before changes
    random=True,
    respects=frozenset(OF_ONE_TASK),
)
