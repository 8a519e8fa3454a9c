"""Decomposition: prices on the limits that tasks share, one shortest path a task, and a search that proves.

A limit that tasks share (a server's capacity in a slot, a device's energy budget, a node's memory) gets a
price. Under prices every task is a shortest path through its own trellis, and the sum is a lower bound
whatever the prices are. Column generation finds the best prices, branching on counts what they miss, and
exact re-routing of a few tasks at a time makes placements. docs/methods/decomposition.md says how it works.
"""

from __future__ import annotations

import numpy as np

from mecopt import features, limits
from mecopt.entities import Coupling
from mecopt.features import OF_STEPS, Feature
from mecopt.generation import generate
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.limits import OF_ROWS
from mecopt.registry import Method

__all__ = ["METHOD"]


def _solve(instance: Instance, run: Run) -> None:
    with run.loading():
        from mecopt_solvers.decomposition.turns import solve  # imports numba

    solve(instance, run)


def warm_up() -> None:
    """Compile what only a search of some nodes needs: see `mecopt.warm_up`."""
    from mecopt_solvers.decomposition.branch import PLAIN_NODES
    from mecopt_solvers.decomposition.searches import search_part

    instance = generate("crowd:batch=10,blocks=3")
    search = search_part(instance, Run(instance), np.arange(instance.task_count), 0)
    search.advance(0.0, lambda: False, PLAIN_NODES + 2)
    shared = generate("crowd:batch=10,blocks=3,couplings=none,sharing=mm1")
    search_part(shared, Run(shared), np.arange(shared.task_count), 0).advance(0.0, lambda: False, 6)
    mixed = generate(
        "crowd:batch=6,blocks=3,sharing=mm1,energy_budget_share=1.05,server_memory_bytes=4e7",
        couplings=("energy", "memory"),
    )
    search = search_part(mixed, Run(mixed), np.arange(mixed.task_count), 0)
    search.advance(0.0, lambda: False, 12)  # rounds of moves, then nodes of the tree


def _apart(instance: Instance) -> str:
    """Say what does not go together; only the search under sharing leaves tasks out and counts starts."""
    if limits.SHARING.on(instance):
        return ""
    beside = sorted(str(feature) for feature in features.of(instance) & {Feature.START, Feature.DROP})
    return f"takes {', '.join(beside)} under sharing alone" if beside else ""


METHOD = Method(
    name="decomposition",
    kind="exact",
    summary="prices, columns, branch and price: certified gaps for many tasks, all couplings",
    honours=OF_ROWS | {Coupling.SHARING},
    takes=OF_STEPS | {Feature.DROP},
    refuses=_apart,
    solve=_solve,
    random=True,
    warm_up=warm_up,
)
