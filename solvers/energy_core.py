"""One device's budget: bound and placement from the price on energy, then labels over the tasks still open.

With a price p on energy, cheapest paths of cost C in sum, and a budget B, every placement within the
budget is
worth C - p B + (its excess) + p (B - its energy) or more: a path whose excess alone is above the gap is
in no better
placement. What is left is small; labels (delay, energy) that no other one dominates settle it exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecopt.parts import Floats, Ints
from solvers.energy_dual import Excess, Paths, Prices, Stages, best_price

ROUNDING = 1e-12
FIRST = 32  # open tasks in the first round; each round takes four times as many
BEAM = 3_000  # labels kept while there are tasks still left out
MOST = 2_000_000  # labels at a time of the exact round


@dataclass(frozen=True, eq=False)
class Option:
    """The ways that one task can still go, none dominated by another."""

    delay: Floats
    energy: Floats
    excess: Floats
    nodes: list[tuple[int, ...]]


@dataclass(eq=False)
class Device:
    """The tasks of one device, and the best placement of them so far."""

    stages: Stages
    budget: float
    price: float
    bound: float  # seconds
    best: Paths
    closed: bool = False

    @classmethod
    def open(cls, stages: Stages, budget: float) -> Device:
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

    def improve_to(self, nodes: Ints) -> None:
        """Take another placement within the budget if it is better."""
        other = self.stages.follow(nodes)
        if other.energy.sum() <= self.budget and other.delay.sum() < self.value:
            self.best = other

    def close(self, due: Callable[[], bool]) -> None:
        """Raise the bound to the value, or the labels' limit is reached, or `due` says stop."""
        excess = self.stages.excess(self.price)
        second = _second(excess, self.stages.paths(self.price))
        count = FIRST
        while not due():
            room = self._room()
            core = np.flatnonzero(second <= room)
            left_out = len(core) > count
            if left_out:  # what is paid beyond the cheapest path comes first
                paid = self._paid(excess)[core]
                core = core[np.lexsort((second[core], -paid * (paid > room * 1e-3)))[:count]]
            exact = self._labels(excess, core, room, BEAM if left_out else MOST, due)
            if not left_out:
                if exact:
                    self.closed, self.bound = True, self.value * (1 - ROUNDING)
                return
            count *= 4

    def _room(self) -> float:
        """Return the largest excess that a better placement can have."""
        cost = abs(self.bound) + self.price * self.budget
        return self.value - self.bound + ROUNDING * cost

    def _paid(self, excess: Excess) -> Floats:
        """Return the excess of the best placement's paths, (K,)."""
        return self.best.delay + self.price * self.best.energy - excess.best

    def _labels(self, excess: Excess, core: Ints, room: float, most: int, due: Callable[[], bool]) -> bool:
        """Choose the best options of some tasks, the others as they are; say whether nothing was left out."""
        others = np.ones(len(self.best.delay), dtype=bool)
        others[core] = False
        room -= max(float(self._paid(excess)[others].sum()), 0.0)
        options = [_options(self.stages, excess, k, room) for k in core.tolist()]
        rest = _Rest(options, float(self.best.energy[others].sum()))
        finest = ROUNDING * self.value / max(len(core), 1)
        delay, energy, gone = np.zeros(1), np.zeros(1), np.zeros(1)
        back: list[tuple[Ints, Ints]] = []
        whole = True
        for t, at in enumerate(rest.order.tolist()):
            if due():
                return False
            option = options[at]
            d, e, x = (
                np.add.outer(now, more).ravel()
                for now, more in ((delay, option.delay), (energy, option.energy), (gone, option.excess))
            )
            keep = np.flatnonzero(x <= room)
            keep = keep[rest.can_end(t, e[keep], room - x[keep], self.price, self.budget)]
            keep = keep[np.lexsort((d[keep], e[keep]))]
            keep = keep[_falls(d[keep], finest)]
            if len(keep) > most:
                whole = False
                keep = keep[_spread(e[keep], x[keep], most)]
            if not len(keep):
                return whole
            delay, energy, gone = d[keep], e[keep], x[keep]
            parent, choice = np.divmod(keep, len(option.delay))
            back.append((parent, choice))
        self._take(core[rest.order], [options[at] for at in rest.order], back, int(delay.argmin()))
        return whole

    def _take(self, core: Ints, options: list[Option], back: list[tuple[Ints, Ints]], label: int) -> None:
        nodes = self.best.nodes.copy()
        for k, option, (parent, choice) in zip(core[::-1].tolist(), options[::-1], back[::-1], strict=True):
            nodes[k] = option.nodes[choice[label]]
            label = int(parent[label])
        self.improve_to(nodes)


class _Rest:
    """What the tasks that come later can still do; tasks in order of the excess of leaving their
    cheapest path.
    """

    def __init__(self, options: list[Option], spent: float) -> None:
        cheapest = [int(option.excess.argmin()) for option in options]
        second = np.array(
            [np.delete(o.excess, c).min(initial=np.inf) for o, c in zip(options, cheapest, strict=True)]
        )
        self.order = np.argsort(second, kind="stable")
        base = np.array([o.energy[c] for o, c in zip(options, cheapest, strict=True)])[self.order]
        up = np.array([o.energy.max() for o in options])[self.order] - base
        down = base - np.array([o.energy.min() for o in options])[self.order]
        self.second = np.append(second[self.order], np.inf)
        self.base = spent + _sums(base)
        self.up, self.most_up = _sums(up), _largest(up)
        self.down, self.most_down = _sums(down), _largest(down)

    def can_end(self, t: int, energy: Floats, room: Floats, price: float, budget: float) -> NDArray[np.bool_]:
        """Say which labels, after task number t of the order, can still end within the budget and the
        room.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            moves = np.floor(
                room / self.second[t + 1] * (1 + 1e-9)
            )  # tasks that can leave their cheapest path
            moves = np.where(np.isnan(moves), np.inf, moves)
            unspent = np.where(room > 0, room / price, 0.0) if price > 0 else np.full(len(room), np.inf)
            up = np.fmin(moves * self.most_up[t + 1], self.up[t + 1])
            down = np.fmin(moves * self.most_down[t + 1], self.down[t + 1])
        end, rounding = energy + self.base[t + 1], ROUNDING * abs(budget)
        fits: NDArray[np.bool_] = (end - down <= budget + rounding) & (
            end + up >= budget - unspent - rounding
        )
        return fits


def _sums(value: Floats) -> Floats:
    """Return the sum from every entry on, and 0 behind the last."""
    return np.append(np.cumsum(value[::-1])[::-1], 0.0)


def _largest(value: Floats) -> Floats:
    return np.append(np.maximum.accumulate(value[::-1])[::-1], 0.0)


def _filled(stages: Stages, prices: Prices, budget: float) -> Paths:
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


def _second(excess: Excess, cheapest: Paths) -> Floats:
    """Return the excess of every task's second-cheapest path, as far as an arc of its own shows it, (K,)."""
    through = excess.through.copy()
    rows, before = np.arange(len(cheapest.nodes)), np.zeros(len(cheapest.nodes), dtype=np.int64)
    for m in range(cheapest.nodes.shape[1]):
        through[m, before, cheapest.nodes[:, m], rows] = np.inf
        before = cheapest.nodes[:, m]
    least: Floats = through.min(axis=(0, 1, 2))
    return least


def _falls(delay: Floats, finest: float) -> NDArray[np.bool_]:
    """Say which labels, sorted by energy, have a delay below that of all before them."""
    before = np.minimum.accumulate(np.concatenate([[np.inf], delay[:-1]])) if len(delay) else delay
    return delay < before - finest


def _spread(energy: Floats, excess: Floats, most: int) -> Ints:
    """Choose about `most` labels, sorted by energy: of each strip of energies the one of least excess."""
    width = (energy[-1] - energy[0]) / most
    strip = np.floor((energy - energy[0]) / width) if width > 0 else np.arange(len(energy))
    order = np.lexsort((excess, strip))
    first = np.concatenate([[True], strip[order][1:] != strip[order][:-1]])
    chosen: Ints = np.sort(order[first])
    return chosen


def _options(stages: Stages, excess: Excess, k: int, room: float) -> Option:
    """Follow every path of one task whose excess is at most `room`; keep what is not dominated."""
    arc = excess.arc[..., k].tolist()
    delay, energy = stages.delay[..., k].tolist(), stages.energy[..., k].tolist()
    labels: dict[int, list[tuple[float, float, float, tuple[int, ...]]]] = {0: [(0.0, 0.0, 0.0, ())]}
    for m, rows in enumerate(arc):
        ahead: dict[int, list[tuple[float, float, float, tuple[int, ...]]]] = {}
        for i, here in labels.items():
            for j, more in enumerate(rows[i]):
                for e, d, x, path in here:
                    if x + more <= room:
                        step = (e + energy[m][i][j], d + delay[m][i][j], x + more, (*path, j))
                        ahead.setdefault(j, []).append(step)
        labels = {j: _undominated(found) for j, found in ahead.items()}
    last = _undominated([label for found in labels.values() for label in found])
    energies, delays, excesses, nodes = zip(*last, strict=True)
    return Option(np.array(delays), np.array(energies), np.array(excesses), list(nodes))


def _undominated(
    labels: list[tuple[float, float, float, tuple[int, ...]]],
) -> list[tuple[float, float, float, tuple[int, ...]]]:
    labels.sort()
    kept, least = [], np.inf
    for label in labels:
        if label[1] < least:
            kept.append(label)
            least = label[1]
    return kept
