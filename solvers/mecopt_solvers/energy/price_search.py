"""The trellises of many tasks under a price on energy: cheapest paths, and arcs that a better one may use.

Arrays have the tasks last, so that numpy works on many tasks side by side: M stages, J nodes, K tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.trellis_arcs import Arcs

TIE = 1e-13  # paths whose cost differs by no more than this fraction are taken as equal


@dataclass(frozen=True, eq=False)
class PathChoice:
    """One path for every task."""

    nodes: Ints  # (K, M)
    delay: Floats  # (K,) seconds
    energy: Floats  # (K,) joules


@dataclass(frozen=True, eq=False)
class Excess:
    """By how much a task's cheapest path through an arc is above its cheapest path, under one price."""

    arc: Floats  # (M, J, J, K) reduced cost, >= 0
    through: Floats  # (M, J, J, K)
    best: Floats  # (K,) cost of the cheapest path


class Stages:
    """The trellises of K tasks."""

    def __init__(self, arcs: Arcs, tasks: Ints) -> None:
        self.delay = np.ascontiguousarray(arcs.weight[tasks].transpose(1, 2, 3, 0))
        self.energy = np.ascontiguousarray(arcs.energy_j[tasks].transpose(1, 2, 3, 0))

    def priced(self, price: float) -> tuple[Floats, Floats]:
        """Return every task's least delay + price * energy, (K,), and the least energy among ties, (K,)."""
        return self._backward(self.delay + price * self.energy, self.energy)

    def least_energy(self) -> tuple[Floats, Floats]:
        """Return the least energy of every task, and the least delay among ties, (K,)."""
        return self._backward(np.where(np.isinf(self.delay), np.inf, self.energy), self.delay)

    @staticmethod
    def _backward(cost: Floats, second: Floats) -> tuple[Floats, Floats]:
        value, other = np.zeros(cost.shape[2:]), np.zeros(cost.shape[2:])
        for m in range(len(cost) - 1, -1, -1):
            total = cost[m] + value
            value = total.min(axis=1)
            tied = total <= (value + TIE * np.abs(value))[:, None, :]
            other = np.where(tied, second[m] + other, np.inf).min(axis=1)
        return value[0], other[0]

    def paths(self, price: float, *, most: bool = False) -> PathChoice:
        """Return cheapest paths under a price, of ties those of least (or most) energy.

        Under a price of inf they are those of least energy.
        """
        if np.isinf(price):
            cost, second = np.where(np.isinf(self.delay), np.inf, self.energy), self.delay
        else:
            cost, second = self.delay + price * self.energy, self.energy
        sign = -1.0 if most else 1.0
        stages, nodes, _, tasks = cost.shape
        value, other = np.zeros((nodes, tasks)), np.zeros((nodes, tasks))
        choice = np.empty((stages, nodes, tasks), dtype=np.int64)
        for m in range(stages - 1, -1, -1):
            total = cost[m] + value
            value = total.min(axis=1)
            tied = total <= (value + TIE * np.abs(value))[:, None, :]
            ranked = np.where(tied, sign * (second[m] + other), np.inf)
            choice[m] = ranked.argmin(axis=1)
            other = sign * np.take_along_axis(ranked, choice[m][:, None, :], axis=1)[:, 0]
        return self.follow(self._walk(choice))

    @staticmethod
    def _walk(choice: Ints) -> Ints:
        stages, _, tasks = choice.shape
        rows, node = np.arange(tasks), np.zeros(tasks, dtype=np.int64)
        nodes = np.empty((tasks, stages), dtype=np.int64)
        for m in range(stages):
            node = choice[m, node, rows]
            nodes[:, m] = node
        return nodes

    def follow(self, nodes: Ints) -> PathChoice:
        """Sum delay and energy along given paths, (K, M)."""
        rows, before = np.arange(len(nodes)), np.zeros(len(nodes), dtype=np.int64)
        delay, energy = np.zeros(len(nodes)), np.zeros(len(nodes))
        for m in range(nodes.shape[1]):
            delay += self.delay[m, before, nodes[:, m], rows]
            energy += self.energy[m, before, nodes[:, m], rows]
            before = nodes[:, m]
        return PathChoice(nodes, delay, energy)

    def excess(self, price: float) -> Excess:
        """Work out the reduced cost of every arc, and of the cheapest path through it."""
        cost = self.delay + price * self.energy
        after = np.zeros((len(cost) + 1, *cost.shape[2:]))
        for m in range(len(cost) - 1, -1, -1):
            after[m] = (cost[m] + after[m + 1]).min(axis=1)
        with np.errstate(invalid="ignore"):
            arc = cost + after[1:, None] - after[:-1, :, None]
        arc = np.where(np.isnan(arc), np.inf, np.maximum(arc, 0.0))
        through = np.empty_like(arc)
        before = np.full(cost.shape[2:], np.inf)
        before[0] = 0.0
        for m in range(len(cost)):
            through[m] = before[:, None, :] + arc[m]
            before = through[m].min(axis=0)
        return Excess(arc, through, after[0, 0])


@dataclass(frozen=True)
class PriceBracket:
    """The best price on energy, and the nearest ones found on either side of the budget."""

    best: float
    above: float  # its cheapest paths spend more than the budget
    within: float  # its cheapest paths keep to the budget


def best_price(stages: Stages, budget: float) -> PriceBracket:
    """Find the price on energy whose Lagrangian bound is the best one.

    Two paths for every task, one set above the budget and one within it, give the price at which they cost
    the same; the cheapest paths at that price replace one of the two, until they are no cheaper.
    """
    value, energy = stages.priced(0.0)
    above = (float(value.sum()), float(energy.sum()), 0.0)
    least, delay = stages.least_energy()
    within = (float(delay.sum()), float(least.sum()), np.inf)
    price = 0.0
    for _ in range(200):
        if above[1] <= within[1]:
            break
        price = max((within[0] - above[0]) / (above[1] - within[1]), 0.0)
        value, energy = stages.priced(price)
        cost, spent = float(value.sum()), float(energy.sum())
        known = above[0] + price * above[1]
        if not cost < known - 1e-12 * abs(known) or spent in (above[1], within[1]):
            break
        point = (cost - price * spent, spent, price)
        if spent > budget:
            above = point
        else:
            within = point
    return PriceBracket(price, above[2], within[2])
