"""Which search a part gets: a tree, or more where memory, sharing or budgets over many slots join tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mecopt import limits
from mecopt.arrays import Ints
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt_solvers.decomposition.branch import Tree
from mecopt_solvers.decomposition.joined.levels import JoinedSearch
from mecopt_solvers.decomposition.memory_tree import MemorySearch
from mecopt_solvers.decomposition.problem import build_part
from mecopt_solvers.decomposition.tighten import FEW_TASKS, tightened
from mecopt_solvers.sharing.mixed.mixed_search import MixedSearch
from mecopt_solvers.sharing.slot import build_slot
from mecopt_solvers.sharing.slot_search import SharedSearch

JOINED_TASKS = 20  # slots that budgets join are searched together up to this many tasks, one by one above


class Search(Protocol):
    """The search of one part, to be carried on in pieces; all values in seconds."""

    @property
    def bound(self) -> float:
        """Lower bound, valid at every moment."""
        ...

    @property
    def value(self) -> float:
        """Objective of the best placement so far, inf while there is none."""
        ...

    @property
    def path(self) -> Ints | None:
        """The best placement so far, (K, M)."""
        ...

    @property
    def finished(self) -> bool:
        """Whether nothing is left to search."""
        ...

    @property
    def infeasible(self) -> bool:
        """Whether it is proved that no placement meets every limit."""
        ...

    def offer(self, value: float, path: Ints) -> None:
        """Let the search know a placement (K, M) that meets every limit, and what it costs."""
        ...

    def advance(self, gap: float, should_stop: Callable[[], bool], nodes: int) -> None:
        """Search on, until the gap is reached, so many nodes are visited, or `should_stop` says so."""
        ...


def search_part(instance: Instance, run: Run, tasks: Ints, seed: int) -> Search:
    """Set up the search of some tasks that share no limit with any other."""
    if limits.SHARING.on(instance):
        slot = build_slot(instance, run.costs, tasks, run.node_cost)
        alone = slot.part.memory is None and not slot.budgets
        return SharedSearch(slot, seed) if alone else MixedSearch(slot, seed)
    part = build_part(instance, run.costs, tasks, run.node_cost)
    if part.memory is not None:
        return MemorySearch(part, part.memory, seed)
    capacity_rows = limits.CAPACITY in limits.of(instance)
    joined = part.slots > 1 and len(part.spend) == 1  # by the budgets of that layer
    if capacity_rows and joined and len(tasks) > JOINED_TASKS:
        return JoinedSearch(part, seed)
    few = capacity_rows and len(tasks) <= FEW_TASKS * part.slots
    return Tree(tightened(part) if few else part, seed)
