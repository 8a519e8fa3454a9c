"""What the linear program's bound misses: every slot has a tree of its own, budgets charged at fixed prices.

The bounds of all trees add up to one for all slots, whatever each has come to, so the worst are searched on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition.branch import CLOSED, Tree
from mecopt_solvers.decomposition.dual import ROUNDING
from mecopt_solvers.decomposition.joined.slots import slot_part
from mecopt_solvers.decomposition.problem import WITHIN, Part
from mecopt_solvers.decomposition.tighten import FEW_TASKS, tightened

NODES = 4  # of one turn; the root comes first


@dataclass(eq=False)
class SlotTrees:
    """The trees of all slots; tasks are sorted by slot, prices are those of `dual.Priced`."""

    part: Part
    prices: Floats  # (rows + 1,)
    lowest: Floats  # (S,) bound of every slot without a tree, capacities at their prices
    seed: int = 0
    trees: dict[int, Tree] = field(default_factory=dict)
    infeasible: bool = False

    def __post_init__(self) -> None:
        slots, shape = self.part.slots, self.part.weight.shape[:2]
        self.start = np.searchsorted(self.part.slot, np.arange(slots + 1))
        self.bounds = self.lowest.copy()
        self.values = np.full(slots, np.inf)  # best charged cost, found here or elsewhere
        self.path = np.full(shape, -1)  # of the best
        self.turns = np.zeros(slots, dtype=np.int64)
        self.done = np.zeros(slots, dtype=bool)

    @property
    def bound(self) -> float:
        """Lower bound on the cost of all slots within the budgets."""
        budgets = float(self.prices[self.part.slots * (self.part.nodes - 1) :].sum())
        rounding = ROUNDING * (float(np.abs(self.bounds).sum()) + budgets)
        return float(self.bounds.sum()) - WITHIN * budgets - rounding

    @property
    def finished(self) -> bool:
        """Whether every slot is solved under these prices."""
        return bool(self.done.all())

    def offer(self, values: Floats, path: Ints) -> None:
        """Let the trees know a placement (K, M) and what it costs (S,), inf where it does not fit."""
        for s in np.flatnonzero(values < self.values).tolist():
            here = slice(self.start[s], self.start[s + 1])
            self.values[s], self.path[here] = values[s], path[here]
            if s in self.trees:
                self.trees[s].incumbent.offer(float(values[s]), path[here])

    def advance(self, many: int, should_stop: Callable[[], bool]) -> Ints:
        """Give so many slots a turn each; return those where a better placement was found.

        The wider the gap of a slot the sooner it comes, the more turns it had the later.
        """
        worth = (self.values - self.bounds) / (1.0 + self.turns)
        worth[self.done] = -np.inf
        found = []
        for s in np.argsort(-worth, kind="stable")[:many].tolist():
            if self.done[s] or self.infeasible or should_stop():
                break
            if self._turn(s, should_stop):
                found.append(s)
        return np.array(found, dtype=np.int64)

    def _turn(self, s: int, should_stop: Callable[[], bool]) -> bool:
        here = slice(self.start[s], self.start[s + 1])
        tree = self.trees.get(s)
        if tree is None:
            part = slot_part(self.part, np.arange(here.start, here.stop), self.prices)
            tree = Tree(tightened(part) if len(part.tasks) <= FEW_TASKS else part, self.seed + s)
            self.trees[s] = tree
            if self.values[s] < np.inf:
                tree.incumbent.offer(float(self.values[s]), self.path[here])
        tree.advance(0.0, should_stop, NODES)
        self.turns[s] += 1
        self.bounds[s] = max(self.bounds[s], tree.bound)
        self.infeasible |= tree.infeasible
        better = tree.path is not None and tree.value < self.values[s]
        if better:
            self.values[s], self.path[here] = tree.value, tree.path
        self.done[s] = tree.finished or tree.gap <= CLOSED * abs(tree.value)
        if self.done[s]:
            del self.trees[s]
        return better
