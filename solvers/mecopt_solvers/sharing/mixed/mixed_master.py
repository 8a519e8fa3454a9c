"""The linear program over the paths seen so far, which suggests prices of loads, budgets and memory.

What load adds lies above tangents (Kelley 1960), where the last program was; what a block uses of a node's
memory is at most what the node holds of its piece, of those blocks for which the last program had it
otherwise. Nothing rests on it but which prices are tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.highs import Matrix
from mecopt_solvers.decomposition import lp
from mecopt_solvers.sharing.curve_kernels import smooth
from mecopt_solvers.sharing.mixed.mixed_prices import MixedPricing
from mecopt_solvers.sharing.path_pool import SharingPool

FIRST_TANGENTS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95)
NEAR = 1e-6  # loads that are this close have one tangent
UNLINKED = 1e-6  # what a block may use above what is held, before it gets a row


@dataclass(frozen=True, eq=False)
class MixedProgram:
    """What a program says."""

    prices: Floats  # (rows,)
    memory: Floats  # (K, M, J), or (0, 0, 0)
    share: Floats  # (P,) of every path of the pool
    value: float  # of the mixture of its shares, loads as they are and not as tangents have them
    overflow: float  # of budgets
    complete: bool  # no link that it lacks would raise its value


class MixedMaster:
    """Tangents and links that programs have come to need."""

    def __init__(self, pricing: MixedPricing) -> None:
        self.pricing = pricing
        worth, _, _ = pricing.curve
        self.loads = np.flatnonzero(worth[:-1] > 0)
        self.hard = np.flatnonzero(worth[:-1] == 0)
        self.tangents: dict[int, list[float]] = {int(r): list(FIRST_TANGENTS) for r in self.loads}
        self.links: list[tuple[int, int, int]] = []  # task, block, node

    def solve(self, pool: SharingPool, cap: float, should_stop: Callable[[], bool]) -> MixedProgram | None:
        """Solve the program over the paths of a pool; a limit may be exceeded by all of it at the cap."""
        pricing, slot = self.pricing, self.pricing.slot
        tasks, paths = len(pool.first) - 1, len(pool.cost)
        loads, hard, held = len(self.loads), len(self.hard), self._held()
        build = MixedEntries()
        x, load, above = 0, paths, paths + loads
        over = above + loads
        z, columns = over + hard, over + hard + len(held)
        row_of = np.full(slot.part.rows + 1, -1)
        row_of[self.loads] = tasks + np.arange(loads)
        row_of[self.hard] = tasks + loads + np.arange(hard)
        build.add(pool.task, x + np.arange(paths), np.ones(paths))
        at = row_of[pricing.row[pool.task]]
        p, r = np.nonzero((at >= 0) & (pool.use != 0))
        build.add(at[p, r], p, pool.use[p, r])
        build.add(tasks + np.arange(loads), load + np.arange(loads), np.full(loads, -1.0))
        build.add(tasks + loads + np.arange(hard), over + np.arange(hard), np.full(hard, -1.0))
        lower = [np.ones(tasks), np.zeros(loads), np.full(hard, -np.inf)]
        upper = [np.ones(tasks), np.zeros(loads), pricing.curve[2][self.hard]]
        row = tasks + loads + hard
        side: list[float] = []
        for i, name in enumerate(self.loads.tolist()):
            for slope, less in self._tangents(name, cap):
                build.add(
                    np.array([row, row]),
                    np.array([load + i, above + i]),
                    np.array([slope, -1.0]) / max(slope, 1.0),
                )
                side.append(less / max(slope, 1.0))
                row += 1
        laid, position = slot.part.memory, {}
        if laid is not None and held:
            position = {name: i for i, name in enumerate(held)}
            holder, piece = np.divmod(np.array(held), len(laid.piece_bytes))
            holders, at_row = np.unique(holder, return_inverse=True)
            size = laid.piece_bytes[piece] / laid.limit[holder]
            build.add(row + at_row, z + np.arange(len(held)), size)
            side += [1.0] * len(holders)
            row += len(holders)
        first_link = row
        for k, m, j in self.links:
            mine = np.arange(pool.first[k], pool.first[k + 1])
            mine = mine[pool.path[mine, m] == j]
            one = z + position[int(pricing.at[k, m, j])]
            build.add(np.full(len(mine) + 1, row), np.append(mine, one), np.append(np.ones(len(mine)), -1.0))
            side.append(0.0)
            row += 1
        scale = float(np.abs(pool.cost).max(initial=0.0)) or 1.0
        cost = np.concatenate(
            [pool.cost, np.zeros(loads), np.ones(loads), np.full(hard, cap), np.zeros(len(held))]
        )
        highs = lp.model(
            cost / scale,
            np.concatenate([*lower, np.full(len(side), -np.inf)]),
            np.concatenate([*upper, side]),
            build.matrix(columns),
        )
        highs.bound_columns(np.where(np.arange(columns) < z, np.inf, 1.0))
        highs.interrupt_when(should_stop)
        if highs.run() != "optimal":
            return None
        values, duals = highs.values, -scale * highs.duals
        prices = np.zeros(slot.part.rows)
        prices[self.loads] = np.maximum(duals[tasks : tasks + loads], 0.0)
        prices[self.hard] = np.maximum(duals[tasks + loads : tasks + loads + hard], 0.0)
        memory = pricing.no_memory()
        for at_link, (k, m, j) in enumerate(self.links, first_link):
            memory[k, m, j] = max(float(duals[at_link]), 0.0)
        mixed = values[load : load + loads]
        self._touch(mixed)
        links = len(self.links)
        self._link(pool, values[:paths], dict(zip(held, values[z:].tolist(), strict=True)))
        overflow = float(values[over : over + hard].sum())
        worth, mm1, _ = pricing.curve
        value = float(pool.cost @ values[:paths]) + cap * overflow
        value += sum(smooth(x, worth[r], mm1)[0] for r, x in zip(self.loads, mixed, strict=True))
        return MixedProgram(prices, memory, values[:paths], value, overflow, len(self.links) == links)

    def _held(self) -> list[int]:
        """Return holder and piece, as one number, of all that links name."""
        return sorted({int(self.pricing.at[link]) for link in self.links})

    def _tangents(self, row: int, cap: float) -> list[tuple[float, float]]:
        """Return slope and offset of the tangents of a row, and of the wall at its largest load."""
        worth, mm1, top = self.pricing.curve
        found = []
        for x in self.tangents[row]:
            if x < top[row]:
                value, slope, _ = smooth(x, worth[row], mm1)
                found.append((slope, slope * x - value))
        if np.isfinite(top[row]):
            found.append((cap, cap * float(top[row])))
        return found

    def _touch(self, loads: Floats) -> None:
        """Note where the program was: there the next one is to be exact."""
        for row, x in zip(self.loads.tolist(), loads.tolist(), strict=True):
            if x > 0.0 and all(abs(x - other) > NEAR * x for other in self.tangents[row]):
                self.tangents[row].append(x)

    def _link(self, pool: SharingPool, share: Floats, held: dict[int, float]) -> None:
        """Note blocks that use more of a short memory's piece than is held."""
        short = self.pricing.short
        if short is None:
            return
        p, m = np.nonzero((share > UNLINKED)[:, None] & (pool.path >= 0))
        k, j = pool.task[p], pool.path[p, m]
        use = np.zeros(short.shape)
        np.add.at(use, (k, m, j), share[p])
        known = set(self.links)
        for link in np.argwhere(short & (use > UNLINKED)).tolist():
            name = (link[0], link[1], link[2])
            if name not in known and use[name] > held.get(int(self.pricing.at[name]), 0.0) + UNLINKED:
                self.links.append(name)


@dataclass(eq=False)
class MixedEntries:
    """Entries of a matrix, in any order."""

    row: list[Ints] = field(default_factory=list)
    column: list[Ints] = field(default_factory=list)
    value: list[Floats] = field(default_factory=list)

    def add(self, row: Ints, column: Ints, value: Floats) -> None:
        """Add entries (any,)."""
        self.row.append(np.asarray(row))
        self.column.append(np.asarray(column))
        self.value.append(np.asarray(value, dtype=np.float64))

    def matrix(self, columns: int) -> Matrix:
        """Return them column by column."""
        row, column, value = np.concatenate(self.row), np.concatenate(self.column), np.concatenate(self.value)
        order = np.lexsort((row, column))
        start = np.searchsorted(column[order], np.arange(columns))
        return Matrix(start, row[order], value[order])
