"""Prices of load, and the bound that they prove: fully corrective Frank-Wolfe over aggregated columns.

At prices u of every server's load, each task is a shortest path with its calculations charged for. With the
conjugate f* of what load adds, the sum of the paths less the sum of f*(u) is a lower bound whatever u is. A
column is the cost and the loads of all tasks' paths together; the best mixture of all gives the next prices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition import pricing_kernels
from mecopt_solvers.decomposition.dual import NO_EXTRA, ROUNDING, Priced
from mecopt_solvers.sharing import curve_kernels, master_kernels
from mecopt_solvers.sharing.slot import SharedSlot

MET = 1e-10  # of the bound: when the mixture is no better than this, the prices are the best
FINE = 1e-2  # of that, what the mixture may be away from the best one
MOST_COLUMNS = 600
FIRST_LOADS = (0.5, 0.8, 0.9, 0.95)  # whose slopes are the first prices, where servers would be fuller
FLAT = 1e-4  # of the bound, for which a slot's length of delay stands in where delay is worth nothing


def price(slot: SharedSlot, prices: Floats) -> Priced:
    """Find every task's shortest path, or leave it out, at prices (N,) of loads; none negative."""
    part, curve = slot.part, slot.curve
    tasks, stages = part.weight.shape[:2]
    path = np.empty((tasks, stages), dtype=np.int64)
    value, cost, use = np.empty(tasks), np.empty(tasks), np.empty(part.row.shape)
    every = np.append(prices, 0.0)
    pricing_kernels.price(
        part.weight, part.work, part.spend, NO_EXTRA, part.row, part.blocks, every, path, value, cost, use
    )
    out = slot.drop < value
    value, cost = np.where(out, slot.drop, value), np.where(out, slot.drop, cost)
    path[out], use[out] = -1, 0.0
    use = slot.use(use)
    load = use.sum(axis=0)
    fixed = sum(
        curve_kernels.conjugate(u, curve.worth, curve.mm1, curve.top) if u > 0 else 0.0 for u in prices
    )
    bound = float(value.sum()) - fixed
    size = float(np.abs(value).sum() + cost.sum() + prices @ load) + abs(fixed)
    if np.isfinite(size):
        bound -= ROUNDING * size
    return Priced(every, NO_EXTRA, path, value, cost, use, load, bound)


@dataclass(eq=False)
class Dual:
    """The prices of one slot, from nothing to the best; C columns."""

    slot: SharedSlot
    best: Priced
    columns: list[Priced] = field(default_factory=list)
    share: Floats = field(default_factory=lambda: np.zeros(0))  # (C,) of the best mixture
    met: bool = False  # whether the prices are the best

    @classmethod
    def start(cls, slot: SharedSlot) -> Dual:
        """Begin at prices of zero."""
        free = price(slot, np.zeros(slot.servers))
        dual = cls(slot, free, [free])
        if free.load.max(initial=0.0) > FIRST_LOADS[0] and np.isfinite(free.value).all():
            for load in FIRST_LOADS:
                _, level, _ = curve_kernels.smooth(load, dual.worth, slot.curve.mm1)
                dual._add(price(slot, np.full(slot.servers, level)))
        return dual

    @property
    def worth(self) -> float:
        """Objective of a slot's length of delay; a little where delay is worth nothing, for a curve."""
        return self.slot.curve.worth or FLAT * max(abs(self.best.bound), 1e-300)

    def _add(self, priced: Priced) -> None:
        if priced.bound > self.best.bound:
            self.best = priced
        self.columns.append(priced)

    @property
    def infeasible(self) -> bool:
        """Whether some task has no path at all."""
        return bool(np.isinf(self.columns[0].value).any())

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Add columns until the mixture meets the bound."""
        curve, servers = self.slot.curve, self.slot.servers
        while len(self.columns) < MOST_COLUMNS and not should_stop():
            cost = np.array([float(one.cost.sum()) for one in self.columns])
            load = np.array([one.load for one in self.columns])
            share, mean, prices = np.full(len(cost), 1.0 / len(cost)), np.empty(servers), np.empty(servers)
            size = max(abs(self.best.bound), 1e-300)
            value = master_kernels.mix(
                cost, load, self.worth, curve.mm1, share, mean, prices, FINE * MET * size
            )
            if not np.isfinite(prices).all():  # rounding; the bound so far stays
                return
            self.share = share
            priced = price(self.slot, np.maximum(prices, 0.0))
            self._add(priced)
            self.met = value - self.best.bound <= MET * size
            if self.met:
                break
        self.share = np.append(self.share, np.zeros(len(self.columns) - len(self.share)))

    def paths(self) -> Ints:
        """Return the paths of all columns with a part in the mixture, (C, K, M)."""
        return np.stack([one.path for one in self.columns])
