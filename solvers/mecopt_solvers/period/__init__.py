"""The period of slots of many tasks: weights of resources for the bound, annealing for placements.

docs/methods/period.md says how it works.
"""

from __future__ import annotations

from mecopt.features import OF_STEPS, Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method

__all__ = ["METHOD"]


def _solve(instance: Instance, run: Run) -> None:
    if not instance.rules.objective.period:
        run.free_optimum()
        return
    with run.loading():
        from mecopt_solvers.period.slot_solving import solve  # imports numba

    solve(instance, run)


def _refuses(instance: Instance) -> str:
    return "" if instance.rules.objective.period else "is for the objective period alone"


METHOD = Method(
    name="period",
    kind="heuristic",
    summary="the period of slots of many tasks: a bound by weights and columns, annealing among paths",
    honours=frozenset(),
    solve=_solve,
    random=True,
    takes=OF_STEPS | {Feature.PERIOD, Feature.TOTAL_DEADLINE, Feature.ONE_RUN},
    refuses=_refuses,
)
