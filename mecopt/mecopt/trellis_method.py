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
    """Compile the numba kernel, which small instances do without, and the loops of what-if answers.

    Each way that deadlines count by itself.
    """
    from mecopt.generation import generate
    from mecopt.what_if.fronts import pareto
    from mecopt.what_if.robustness import robust
    from mecopt.what_if.sweeping import sweep

    for deadline in ("none", "soft", "hard"):
        instance = generate(f"paper-deadline:slots=2,servers=2,deadline={deadline}")
        shortest_paths(chain_costs(instance), kernel="numba")
        sweep(instance, "rate")
        if deadline == "none":
            robust(instance, 1)
            pareto(instance)


METHOD = Method(
    name="trellis",
    kind="exact",
    summary="shortest path per task; the optimum of problem P, the relaxation bound of everything else",
    honours=frozenset(),
    solve=_solve,
    takes=OF_STEPS | {Feature.DROP},
    warm_up=_warm_up,
)
