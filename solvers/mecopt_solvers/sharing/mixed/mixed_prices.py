"""Prices of loads, budgets and memory together, and the bound that they prove.

At prices of every server's load and every device's budget, and of blocks on nodes whose memory is short,
each task is a shortest path. What a load's price earns at most is the conjugate of what load adds; a budget's
is its limit; and what the blocks of a node pay, it earns by holding pieces that fit its memory, of which a
knapsack with parts of pieces is no less. So the sum of the paths less these is a lower bound for any prices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.tolerances import JUST_BELOW
from mecopt_solvers.decomposition import pricing_kernels
from mecopt_solvers.decomposition.dual import NO_EXTRA, ROUNDING, Priced
from mecopt_solvers.sharing.mixed import mixed_kernels
from mecopt_solvers.sharing.slot import SharedSlot

PATIENCE = 8  # steps without a better bound until the aim comes down
OPEN = (
    1.0 + 4.0 * np.finfo(float).eps
) / JUST_BELOW  # the judge decides what is as good as at the largest load
LEAST_REACH = 1e-7  # of the bound
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MixedDecisions:
    """What a node of the tree has decided; K tasks, M blocks, J nodes."""

    banned: Flags  # (K, M, J)
    served: Flags  # (K,) must not be left out
    left_out: Flags  # (K,)
    held: Flags  # (holders, pieces) is there, used or not

    @classmethod
    def none(cls, slot: SharedSlot) -> MixedDecisions:
        """Return no decision at all."""
        tasks, memory = len(slot.drop), slot.part.memory
        shape = (0, 0) if memory is None else (len(memory.limit), len(memory.piece_bytes))
        nobody = np.zeros(tasks, dtype=bool)
        return cls(
            np.zeros(slot.part.weight.shape[:3], dtype=bool), nobody, nobody, np.zeros(shape, dtype=bool)
        )


@dataclass(frozen=True, eq=False)
class MixedPriced:
    """Shortest paths at prices, their bound, and the slope of the bound."""

    priced: Priced  # its extra holds prices of memory, inf for what is banned
    memory: Floats  # (K, M, J) prices of blocks on nodes, or (0, 0, 0)
    slope: Floats  # (rows,)
    memory_slope: Floats  # (K, M, J), or (0, 0, 0)


class MixedPricing:
    """The prices of one part under some decisions, from given ones to better ones."""

    def __init__(self, slot: SharedSlot) -> None:
        self.slot, self.part, self.row = slot, slot.part, slot.row
        rows, servers = self.part.rows, self.part.slots * slot.servers
        worth, top = np.zeros(rows + 1), np.ones(rows + 1)
        worth[:servers], top[:servers], top[rows] = slot.curve.worth, slot.curve.top * OPEN, np.inf
        self.curve = worth, slot.curve.mm1, top
        memory, self.short = self.part.memory, None
        if memory is not None:
            self.at = np.maximum(memory.piece, 0)[:, :, None] + memory.holder[:, None, :] * len(
                memory.piece_bytes
            )
            self.real = np.broadcast_to((memory.piece >= 0)[:, :, None], self.at.shape)
            could = np.zeros((len(memory.limit), len(memory.piece_bytes)), dtype=bool)
            could.ravel()[self.at[self.real]] = True
            short = could @ memory.piece_bytes > memory.limit
            self.short = self.real & short[memory.holder][:, None, :]
            if not self.short.any():
                self.short = None
        # Prices of a load or a budget are of all that it has; a block on a node is one of many.
        self.scale = np.sqrt(1.0 / max(len(slot.drop), 1))

    def price(self, prices: Floats, memory: Floats, decided: MixedDecisions) -> MixedPriced:
        """Find every task's shortest path, or leave it out, at prices (rows,) and (K, M, J) >= 0."""
        part, slot = self.part, self.slot
        tasks, stages = part.weight.shape[:2]
        path = np.empty((tasks, stages), dtype=np.int64)
        value, cost, use = np.empty(tasks), np.empty(tasks), np.empty(part.row.shape)
        every = np.append(prices, 0.0)
        extra = memory
        if decided.banned.any():
            extra = np.where(decided.banned, np.inf, memory if len(memory) else 0.0)
        pricing_kernels.price(
            part.weight, part.work, part.spend, extra, part.row, part.blocks, every, path, value, cost, use
        )
        drop = np.where(decided.served, np.inf, slot.drop)
        out = (drop < value) | decided.left_out
        value, cost = np.where(out, drop, value), np.where(out, drop, cost)
        path[out], use[out] = -1, 0.0
        use = slot.use(use)
        load = np.bincount(self.row.ravel(), use.ravel(), part.rows + 1).astype(np.float64)
        point = np.empty(part.rows)
        fixed = mixed_kernels.conjugates(prices, load, self.curve, point)
        memory_slope, earned = memory, 0.0
        if len(memory):
            assert self.short is not None
            earned, kept = self._hold(memory, decided.held)
            k, m = np.nonzero(path >= 0)
            memory_slope = np.where(self.short, -kept.ravel()[self.at], 0.0)
            memory_slope[k, m, path[k, m]] += np.where(self.short[k, m, path[k, m]], 1.0, 0.0)
        bound = float(value.sum()) - fixed - earned
        size = (
            float(np.abs(value).sum() + cost.sum() + prices @ load[:-1] + prices.sum()) + fixed + 2.0 * earned
        )
        if np.isfinite(size):
            bound -= ROUNDING * size
        priced = Priced(every, extra, path, value, cost, use, load, bound)
        return MixedPriced(priced, memory, load[:-1] - point, memory_slope)

    def _hold(self, memory: Floats, held: Flags) -> tuple[float, Floats]:
        """Return what nodes earn with what fits, and how much of each they hold, (holders, pieces)."""
        laid = self.part.memory
        assert laid is not None
        size, shape = laid.piece_bytes, held.shape
        earns = np.bincount(self.at[self.short], memory[self.short], held.size).reshape(shape)
        room = laid.limit - held @ size
        wanted = np.where(held, -1.0, earns / np.maximum(size, 1e-300))
        order = np.argsort(-wanted, axis=1, kind="stable")
        sizes = np.where(np.take_along_axis(held, order, 1), 0.0, size[order])
        before = np.cumsum(sizes, axis=1) - sizes
        share = np.clip((room[:, None] - before) / np.maximum(sizes, 1e-300), 0.0, 1.0)
        share = np.where(sizes > 0, share, 1.0)
        kept = np.empty(shape)
        np.put_along_axis(kept, order, share, 1)
        kept[held] = 1.0
        return float((kept * earns).sum()), kept

    def no_memory(self) -> Floats:
        """Return prices of memory of zero."""
        return NO_EXTRA if self.short is None else np.zeros(self.part.weight.shape[:3])

    def climb(
        self,
        start: MixedPriced,
        decided: MixedDecisions,
        steps: int,
        cutoff: float,
        should_stop: Callable[[], bool],
        seen: list[Ints],
    ) -> MixedPriced:
        """Raise the bound by Polyak's steps towards a level above it; the paths on the way join `seen`."""
        best = current = start
        reach = max(0.03 * abs(best.priced.bound), 1e-300)
        if np.isfinite(cutoff):
            reach = max(min(reach, cutoff - best.priced.bound), LEAST_REACH * abs(best.priced.bound))
        failures = 0
        along: tuple[Floats, Floats] | None = None
        for _ in range(steps):
            if should_stop() or best.priced.bound >= cutoff or reach < LEAST_REACH * abs(best.priced.bound):
                break
            prices, memory = current.priced.prices[:-1], current.memory
            slope = np.where((prices <= 0) & (current.slope < 0), 0.0, current.slope)
            extra = np.where((memory <= 0) & (current.memory_slope < 0), 0.0, current.memory_slope)
            along = (
                (slope, extra)
                if along is None
                else (0.5 * along[0] + 0.5 * slope, 0.5 * along[1] + 0.5 * extra)
            )
            norm = float(along[0] @ along[0]) + self.scale**2 * float((along[1] * along[1]).sum())
            if norm < 1e-24:
                break
            step = (best.priced.bound + reach - current.priced.bound) / norm
            current = self.price(
                np.maximum(prices + step * along[0], 0.0),
                np.maximum(memory + step * self.scale**2 * along[1], 0.0),
                decided,
            )
            seen.append(current.priced.path)
            if current.priced.bound > best.priced.bound:
                if current.priced.bound - best.priced.bound > 0.3 * reach:
                    reach *= 2.0
                best, failures = current, 0
                continue
            failures += 1
            if failures >= PATIENCE:
                reach, failures, current, along = 0.5 * reach, 0, best, None
        return best
