"""One level down: every slot by itself, budgets charged at their prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition import pricing_kernels
from mecopt_solvers.decomposition.dual import ROUNDING, Priced, price_paths
from mecopt_solvers.decomposition.joined import slot_kernels
from mecopt_solvers.decomposition.master import Columns
from mecopt_solvers.decomposition.pool import FRUGAL, Pool, fill_pool, pool_of_columns, sort_pool
from mecopt_solvers.decomposition.primal import nearest
from mecopt_solvers.decomposition.problem import WITHIN, Part

SLOTS_AT_ONCE = 50  # between two looks at the clock: some hundredths of a second
PATHS, MOST_PATHS = 40, 200  # of a task: at least, and at most on average
FIRST_REACH, WIDENINGS = 5e-3, 12  # of a task's mean cost, then twice as far, so many times
FEE = 0.05  # of a task's cost, what every move of the repair pays on top


def by_slot(part: Part, order: Ints) -> Part:
    """Return the part with its tasks in this order."""
    return replace(
        part,
        tasks=part.tasks[order],
        slot=part.slot[order],
        kind=part.kind[order],
        blocks=part.blocks[order],
        weight=np.ascontiguousarray(part.weight[order]),
        work=np.ascontiguousarray(part.work[order]),
        spend=np.ascontiguousarray(part.spend[:, order]),
        row=part.row[order],
    )


def slot_part(part: Part, tasks: Ints, prices: Floats) -> Part:
    """Return a slot as a part of its own, energy charged at its price (rows + 1,)."""
    servers = part.nodes - 1
    charge = prices[part.row[tasks, servers]]
    weight = part.weight[tasks] + charge[:, None, None, None] * part.spend[0, tasks]
    return replace(
        part,
        tasks=part.tasks[tasks],
        slot=np.zeros(len(tasks), dtype=np.int64),
        kind=part.kind[tasks],
        blocks=part.blocks[tasks],
        weight=np.ascontiguousarray(weight),
        work=np.ascontiguousarray(part.work[tasks]),
        spend=np.zeros((0, *weight.shape)),
        row=np.tile(np.arange(servers + 1), (len(tasks), 1)),
        rows=servers,
        slots=1,
    )


def slot_bounds(part: Part, priced: Priced) -> Floats:
    """Return a lower bound on the charged cost of every slot, capacities at their prices; (S,)."""
    servers, prices = part.nodes - 1, priced.prices
    start = np.searchsorted(part.slot, np.arange(part.slots))
    capacity = prices[: part.slots * servers].reshape(part.slots, servers).sum(axis=1)
    terms = np.abs(priced.value) + priced.cost + (priced.use * prices[part.row]).sum(axis=1)
    rounding = 2.0 * ROUNDING * (np.add.reduceat(terms, start) + 2.0 * capacity)
    bounds: Floats = np.add.reduceat(priced.value, start) - WITHIN * capacity - rounding
    return bounds


def near_paths(part: Part, priced: Priced, columns: Columns) -> Pool:
    """Fill a pool with some paths of every task that are nearly shortest under the prices.

    How near is measured by what tasks cost without prices: those of budgets can be much larger. The columns
    given join them, and paths that use less and less.
    """
    tasks = np.arange(len(part.tasks))
    step = FIRST_REACH * max(float(priced.cost.mean()), 1e-300)
    within, first = np.zeros(len(tasks)), np.empty(len(tasks) + 1, dtype=np.int64)
    nothing, room = np.empty((0, part.weight.shape[1]), dtype=np.int64), np.empty(MOST_PATHS * len(tasks))
    reach = np.full(len(tasks), step)
    for _ in range(WIDENINGS):
        if not pricing_kernels.enumerate_paths(
            part.weight, part.work, part.spend, priced.extra, part.row, part.blocks, priced.prices, reach,
            first, nothing, room,
        ):  # fmt: skip
            break
        within = reach
        reach = np.where(np.diff(first) < PATHS, 2.0 * reach, reach)
    pool = fill_pool(part, priced, within, len(tasks) * MOST_PATHS)
    if pool is None:
        return pool_of_columns(part, priced, columns)
    level = priced.prices.sum() / max(part.rows, 1)
    more = columns
    for factor in FRUGAL:
        frugal = price_paths(part, factor * np.append(priced.prices[:-1] + level, 0.0))
        more = more.joined(Columns.of(part, tasks, frugal.path))
    reduced = np.concatenate([pool.reduced, more.reduced(part, priced)])
    return sort_pool(len(tasks), pool.columns.followed(more), reduced, float(within.min(initial=0.0)), priced)


@dataclass(frozen=True, eq=False)
class SlotSweep:
    """A pool of paths under prices, laid out for the search of single slots; tasks are sorted by slot."""

    pool: Pool
    charged: Floats  # (P,) cost with budgets at their prices
    use: Floats  # (P, servers)
    start: Ints  # (S + 1,) where each slot's tasks begin
    lowest: Floats  # (S,) least charged cost that paths of the pool can have together

    @classmethod
    def of(cls, part: Part, pool: Pool, prices: Floats) -> SlotSweep:
        """Sort a pool by reduced cost under other prices (rows + 1,)."""
        columns, servers = pool.columns, part.nodes - 1
        row = part.row[columns.task]
        charged = columns.cost + columns.use[:, servers] * prices[row[:, servers]]
        reduced = charged + (columns.use[:, :servers] * prices[row[:, :servers]]).sum(axis=1)
        least = np.minimum.reduceat(reduced, pool.first[:-1])
        reduced = reduced - least[columns.task]
        order = np.lexsort((reduced, columns.task))
        start = np.searchsorted(part.slot, np.arange(part.slots + 1))
        capacity = prices[: part.slots * servers].reshape(part.slots, servers).sum(axis=1)
        return cls(
            replace(pool, columns=columns.at(order), reduced=reduced[order]),
            charged[order],
            np.ascontiguousarray(columns.use[order, :servers]),
            start,
            np.add.reduceat(least, start[:-1]) - WITHIN * capacity,
        )

    def run(
        self, path: Ints, turns: int, work: int, seed: int, should_stop: Callable[[], bool]
    ) -> tuple[Ints, Floats] | None:
        """Search every slot from a placement (K, M) on, whether it fits or not; None where it was stopped.

        Returns
        -------
        placed : array of shape (turns, K)
            Paths of the pool.
        value : array of shape (turns, S)
            Charged cost of every slot, inf where a turn did not meet its capacities.
        """
        slots, chosen = len(self.lowest), nearest(self.pool, path)
        placed = np.empty((turns, len(chosen)), dtype=np.int64)
        value = np.empty((turns, slots))
        fee = FEE * float(np.abs(self.charged[chosen]).mean())
        for s in range(0, slots, SLOTS_AT_ONCE):
            if should_stop():
                return None
            some = np.empty((turns, min(SLOTS_AT_ONCE, slots - s)))
            here = slice(s, s + some.shape[1])
            slot_kernels.search_slots(
                self.pool.first, self.charged, self.pool.reduced, self.use,
                self.start[s : here.stop + 1], self.lowest[here], chosen, work, fee,
                seed + s * slot_kernels.SEEDS_A_SLOT, placed, some,
            )  # fmt: skip
            value[:, here] = some
        return placed, value
