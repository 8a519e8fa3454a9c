"""`trellis`: the shortest path of every task as a method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mecopt.costs import chain_costs
from mecopt.features import OF_STEPS, Feature
from mecopt.registry import Method
from mecopt.trellis import shortest_paths

if TYPE_CHECKING:
    from mecopt.incumbent import Run
    from mecopt.instance import Instance


def _solve(instance: Instance, run: Run) -> None:
    run.free_optimum()


def _warm_up() -> None:
    """Compile the numba kernels, which small instances do without: of the trellis, each way that deadlines
    count by itself, of the judge, and of the planner.
    """
    from mecopt.generation import generate
    from mecopt.judge import evaluate
    from mecopt.planner import Planner

    for deadline in ("none", "soft", "hard"):
        instance = generate(f"paper-deadline:slots=2,servers=2,deadline={deadline}")
        costs = chain_costs(instance)
        evaluate(instance, shortest_paths(costs, kernel="numba").placement, costs=costs)
    Planner(instance)


METHOD = Method(
    name="trellis",
    kind="exact",
    summary="shortest path per task; the optimum of problem P, the relaxation bound of everything else",
    honours=frozenset(),
    solve=_solve,
    takes=OF_STEPS | {Feature.DROP},
    warm_up=_warm_up,
)
