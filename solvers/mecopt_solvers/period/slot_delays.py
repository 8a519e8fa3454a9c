"""The least delay within a period: what shares of paths prove of it, and plans on the way.

For prices u >= 0 of a second of every resource of a slot, a plan of period P or less takes at least the sum
of every task's shortest path by delay + u times busy seconds, less P times the sum of the prices. The best
prices are the duals of a linear program over shares of paths, made by column generation; paths that keep
something busy for longer than P by themselves are in no such plan.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from mecopt import features
from mecopt.arrays import Floats, Ints
from mecopt.costs import chain_costs
from mecopt.entities import Objective
from mecopt.instance import Instance
from mecopt_solvers.labels.steps import StepSource
from mecopt_solvers.period.path_shares import Master
from mecopt_solvers.period.slot_steps import Slot

SAFE = 1e-12  # fraction for rounding
CLOSE = 1e-6  # of the program's value and the bound
ROUNDS = 60  # of column generation for one period
DEAR = 1e4  # price of a second more than the period, times delay over period: a plan is always there


def cuts(instance: Instance, periods: Floats) -> tuple[Floats, list[Ints]]:
    """Return what `mecopt_solvers.period.delay_within` does."""
    by_delay = instance.replace(rules=dataclasses.replace(instance.rules, objective=Objective()))
    costs = chain_costs(by_delay)
    source = StepSource(by_delay, costs, features.forbidden(by_delay))
    search = _Within(Slot(by_delay, costs, source, np.arange(instance.task_count)))
    found = [search.cut(float(period)) for period in np.sort(periods)[::-1]]
    return np.array(found).reshape(-1, 3)[::-1], search.plans


class _Within:
    """Columns that are kept from period to period, from the longest to the shortest."""

    def __init__(self, slot: Slot) -> None:
        self.slot, self.every = slot, np.arange(len(slot.tasks))
        self.plans: list[Ints] = []
        self.price = np.zeros(slot.resources)
        free, path = slot.price(self.price, by_delay=True)
        self.free = float(free.sum())
        self.master: Master | None = None
        self._path = path

    def cut(self, period: float) -> tuple[float, float, float]:
        """Return the period, and the price and sum of a cut that holds up to it."""
        if np.isinf(self.free) or not period > 0:
            return period, 0.0, np.inf if np.isinf(self.free) else 0.0
        if self.master is None:
            self.master = Master(self.slot, period, DEAR * max(self.free, period) / period)
            self.master.add(self.every, self._path)
        master, best, price = self.master, self.price, self.price
        bound, least, corner = -np.inf, 0.0, False
        for _ in range(ROUNDS):
            value, path = self.slot.price(price, period, by_delay=True)
            if np.isinf(value).any():
                return period, 0.0, np.inf
            found = float(value.sum()) - period * float(price.sum())
            if found > bound:
                bound, least, best = found, float(value.sum()), price
            there = (path[:, 0] >= 0).all()
            if there:
                self.plans.append(path)
            fresh = there and master.add(self.every, path)
            solved = master.within(period)
            if solved is None or solved[0] - bound <= CLOSE * abs(bound) or (corner and not fresh):
                break
            # Half way to the best prices known there are better ones than at the corners of the program.
            corner = not fresh
            price = solved[1] if corner else (solved[1] + best) / 2
        self.price = best
        self._round_off()
        return period, float(best.sum()), least * (1.0 - SAFE)

    def _round_off(self) -> None:
        """Keep every task's path of the largest share as a plan."""
        assert self.master is not None
        if self.master.share.size == len(self.master.task):
            self.plans.append(self.master.rounded())
