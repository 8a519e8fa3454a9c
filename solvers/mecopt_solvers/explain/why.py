"""Why nothing is feasible: task by task where one alone cannot be placed, else part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mecopt.arrays import Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.trellis import Paths, infeasible_tasks
from mecopt_solvers.explain.conflict import Conflict, ConflictPart, Relaxation
from mecopt_solvers.explain.deadlines import relax_task
from mecopt_solvers.explain.explanation import Infeasibility
from mecopt_solvers.explain.resolved import Clock

MOST_TASKS = 100  # tasks without a placement that are looked into one by one
NOTHING = 1e-9  # a sum of shares above limits that counts as none


@dataclass
class SearchEnd:
    """What a search through parts came to.

    Parameters
    ----------
    infeasibility : Infeasibility or None
    proved : bool
        Whether it is proved that nothing is feasible.
    placement : array of shape (tasks, longest model) or None
        A placement that breaks nothing, if the search came upon one.
    notes : list of str
    """

    infeasibility: Infeasibility | None = None
    proved: bool = False
    placement: Ints | None = None
    notes: list[str] = field(default_factory=list)


def why_alone(instance: Instance, costs: ChainCosts, paths: Paths) -> Infeasibility:
    """Explain tasks that no placement can serve, whatever the others do."""
    tasks = np.flatnonzero(np.isinf(paths.value)).tolist()
    relaxed = [relax_task(costs, k) for k in tasks[:MOST_TASKS]]
    return Infeasibility(
        reasons=tuple(infeasible_tasks(instance, costs, paths)),
        tasks=tuple(relaxation for relaxation in relaxed if relaxation is not None),
    )


def search_parts(
    instance: Instance, costs: ChainCosts, paths: Paths, parts: Sequence[Ints], clock: Clock, threads: int
) -> SearchEnd:
    """Look for the least relaxation of every part, then for a conflict in one that needs some.

    Parameters
    ----------
    instance, costs, paths
        The instance and its trellis optimum, which breaks no limit outside the parts.
    parts : sequence of array of int
        Tasks that are joined by limits; a conflict is looked for in the first of them that has one.
    clock : Clock
    threads : int
    """
    search, relaxed = SearchEnd(), list[Relaxation]()
    placement, skipped = paths.placement, 0
    conflict: Conflict | None = None
    for tasks in parts:
        part = ConflictPart(instance, costs, tasks, threads)
        if part.too_large or clock.left <= 0:
            skipped += 1
            continue
        found = part.relaxation(placement, Clock(clock.left / 2))
        placement = found.placement
        if not found.violations:
            continue
        relaxed.append(found)
        if conflict is None:
            conflict = part.conflict(clock)
        search.proved |= conflict is not None or found.bound > NOTHING
    if skipped:
        search.notes.append(
            f"{skipped:,} of {len(parts):,} groups of tasks not relaxed: too large, or no time left"
        )
    if search.proved:
        together = _together(relaxed, placement) if relaxed else None
        search.infeasibility = Infeasibility(conflict=conflict, relaxation=together)
    elif not relaxed and not skipped:
        search.placement = placement
    return search


def _together(relaxed: list[Relaxation], placement: Ints) -> Relaxation:
    return Relaxation(
        violations=tuple(violation for one in relaxed for violation in one.violations),
        cost=sum(one.cost for one in relaxed),
        bound=sum(one.bound for one in relaxed),
        least=all(one.least for one in relaxed),
        placement=placement,
    )
