"""One device's budget: bound and placement from the price on energy, then labels over the tasks still open.

With a price p on energy, cheapest paths of cost C in sum, and a budget B, every placement within the budget
is worth C - p B + (its excess) + p (B - its energy) or more: a path whose excess alone is above the gap is in
no better placement. What is left is small; labels (delay, energy) that no other one dominates settle it
exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.energy.device_labels import Target, Ways, cheapest_and_steps, choose
from mecopt_solvers.energy.price_search import Excess, PathChoice, PriceBracket, Stages, best_price

ROUNDING = 1e-12
ALL = 2**62
# Open tasks at most, and labels at a time at either end: few first, for a better placement and so less room.
ROUNDS = ((32, 3_000), (128, 3_000), (ALL, 20_000), (ALL, 1_000_000))


@dataclass(eq=False)
class DeviceTasks:
    """The tasks of one device, and the best placement of them so far."""

    stages: Stages
    budget: float
    price: float
    bound: float  # seconds
    best: PathChoice
    closed: bool = False

    @classmethod
    def open(cls, stages: Stages, budget: float) -> DeviceTasks:
        """Find the price, the bound that it gives, and a placement within the budget."""
        prices = best_price(stages, budget)
        price = prices.best
        nodes = _filled(stages, prices, budget * (1 - ROUNDING))
        cost = float(stages.priced(price)[0].sum())
        bound = cost - price * budget
        bound -= ROUNDING * (abs(cost) + price * budget)
        return cls(stages, budget, price, bound, nodes)

    @property
    def value(self) -> float:
        """Delay of the best placement, in seconds."""
        return float(self.best.delay.sum())

    def improve_to(self, nodes: Ints) -> bool:
        """Take another placement if it is better; say whether it is within the budget."""
        other = self.stages.follow(nodes)
        if not other.energy.sum() <= self.budget:
            return False
        if other.delay.sum() < self.value:
            self.best = other
        return True

    def close(self, due: Callable[[], bool]) -> None:
        """Raise the bound to the value, or the labels' limit is reached, or `due` says stop."""
        excess = self.stages.excess(self.price)
        second = _second(excess, self.stages.paths(self.price))
        for count, most in ROUNDS:
            if due():
                return
            room = self._room()
            core = np.flatnonzero(second <= room)
            everything = len(core) <= count
            if not everything:  # what is paid beyond the cheapest path comes first
                paid = self._paid(excess)[core]
                core = core[np.lexsort((second[core], -paid * (paid > room * 1e-3)))[:count]]
            if self._choose(excess, core, room, most, due) and everything:
                self.closed, self.bound = True, self.value * (1 - ROUNDING)
                return

    def _room(self) -> float:
        """Return the largest excess that a better placement can have."""
        return self.value - self.bound + self._rounding()

    def _rounding(self) -> float:
        """Return by how much sums of costs can be wrong."""
        return ROUNDING * (abs(self.bound) + self.price * self.budget)

    def _paid(self, excess: Excess) -> Floats:
        """Return the excess of the best placement's paths, (K,)."""
        return self.best.delay + self.price * self.best.energy - excess.best

    def _choose(self, excess: Excess, core: Ints, room: float, most: int, due: Callable[[], bool]) -> bool:
        """Choose the best ways of some tasks, the others as they are; say whether nothing was left out."""
        others = np.ones(len(self.best.delay), dtype=bool)
        others[core] = False
        room = max(room - max(float(self._paid(excess)[others].sum()), 0.0), self._rounding())
        ways = Ways.of(self.stages, excess, core, room)
        cheapest, tasks = cheapest_and_steps(ways)
        nodes = self.best.nodes.copy()
        nodes[core] = ways.nodes[cheapest]
        spent = float(self.best.energy[others].sum() + ways.energy[cheapest].sum())
        target = Target(
            energy=self.budget - spent,
            room=room,
            price=self.price,
            finest=ROUNDING * self.value / max(len(core), 1),
            rounding=ROUNDING * abs(self.budget),
        )

        def take(chosen: list[int]) -> bool:
            nodes[core[ways.task[chosen]]] = ways.nodes[chosen]
            return self.improve_to(nodes.copy())

        return choose(tasks, target, most, due, take)


def _filled(stages: Stages, prices: PriceBracket, budget: float) -> PathChoice:
    """Start from the cheapest paths, save energy where they spend too much, then spend what is left.

    Cheapest paths that tie often do so for hundreds of tasks at once, so it is done task by task.
    """
    now, least = stages.paths(prices.best), stages.paths(prices.within)
    most = stages.paths(prices.above, most=True)
    nodes, energy, left = now.nodes.copy(), now.energy.copy(), budget - float(now.energy.sum())
    saved = now.energy - least.energy
    for k in np.argsort(-saved, kind="stable").tolist():
        if left >= 0 or saved[k] <= 0:
            break
        nodes[k], energy[k] = least.nodes[k], least.energy[k]
        left += saved[k]
    if left < 0:
        return least
    more = most.energy - energy
    delay = stages.follow(nodes).delay
    for k in np.argsort(-more, kind="stable").tolist():
        if 0 < more[k] <= left and most.delay[k] <= delay[k]:
            nodes[k] = most.nodes[k]
            left -= more[k]
    return stages.follow(nodes)


def _second(excess: Excess, cheapest: PathChoice) -> Floats:
    """Return the excess of every task's second-cheapest path, as far as an arc of its own shows it, (K,)."""
    through = excess.through.copy()
    rows, before = np.arange(len(cheapest.nodes)), np.zeros(len(cheapest.nodes), dtype=np.int64)
    for m in range(cheapest.nodes.shape[1]):
        through[m, before, cheapest.nodes[:, m], rows] = np.inf
        before = cheapest.nodes[:, m]
    least: Floats = through.min(axis=(0, 1, 2))
    return least
