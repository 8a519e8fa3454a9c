"""One level up: one placement a slot, chosen among those found so that every budget holds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition.dual import NO_EXTRA, Counts, Priced
from mecopt_solvers.decomposition.master import Columns, Solution, largest_shares, solve_master
from mecopt_solvers.decomposition.pool import Pool, sort_pool
from mecopt_solvers.decomposition.primal import Incumbent, nearest, round_and_improve
from mecopt_solvers.decomposition.problem import WITHIN, Part

IMPROVE_ROUNDS = 12


@dataclass(eq=False)
class Placements:
    """What was found for every slot, and the choice among it; tasks are sorted by slot."""

    part: Part
    slot: list[Ints] = field(default_factory=list)
    cost: list[Floats] = field(default_factory=list)  # without prices
    use: list[Floats] = field(default_factory=list)  # of every budget
    layer: list[Ints] = field(default_factory=list)
    layers: list[NDArray[np.int16]] = field(default_factory=list)  # (K, M) each

    @property
    def budgets(self) -> int:
        """Number of budgets."""
        return self.part.rows - self.part.slots * (self.part.nodes - 1)

    def add(self, path: Ints, slots: Ints) -> tuple[Floats, Floats]:
        """Keep a placement (K, M) of these slots; return its cost (slots,) and its use of every budget."""
        part = self.part
        tasks = np.flatnonzero(np.isin(part.slot, slots))
        measured = Columns.of(part, tasks, path[tasks])
        at = part.slot[measured.task]
        device = part.row[measured.task, -1] - part.slots * (part.nodes - 1)
        width = self.budgets + 1  # the last for devices without a budget
        use = np.bincount(at * width + device, measured.use[:, -1], part.slots * width).astype(np.float64)
        self.slot.append(slots)
        cost = np.bincount(at, measured.cost, part.slots).astype(np.float64)
        self.cost.append(cost[slots])
        self.use.append(use.reshape(part.slots, width)[slots, :-1])
        self.layer.append(np.full(len(slots), len(self.layers)))
        self.layers.append(path.astype(np.int16))
        return self.cost[-1], self.use[-1]

    def missing(self) -> Ints:
        """Return the slots without any placement."""
        found = np.concatenate([np.zeros(0, dtype=np.int64), *self.slot])
        return np.setdiff1d(np.arange(self.part.slots), found)

    def choose(self, prices: Floats, price_cap: float, seed: int) -> tuple[float, Ints]:
        """Choose one placement a slot within all budgets, near their prices (budgets,).

        Returns
        -------
        value : float
            Objective, inf where no choice within the budgets was found.
        path : array of shape (K, M)
        """
        slots = self.part.slots
        columns = self._columns()
        above = _slots_as_tasks(slots, self.budgets)
        solution = solve_master(above, columns, Counts.none(slots), price_cap)
        if solution is not None:
            prices = solution.prices[:-1]
        pool = _pool(above, columns, np.append(prices, 0.0))
        incumbent = Incumbent(above)
        for start in _starts(pool, columns, solution):
            round_and_improve(above, pool, start, incumbent, IMPROVE_ROUNDS, seed)
        path = np.full(self.part.weight.shape[:2], -1)
        if incumbent.path is None:
            return np.inf, path
        layer = incumbent.path[:, 0][self.part.slot]
        for used in np.unique(layer).tolist():
            path[layer == used] = self.layers[used][layer == used]
        return incumbent.value, path

    def _columns(self) -> Columns:
        """Return the placements as columns whose path is the number of their layer."""
        slot, layer = np.concatenate(self.slot), np.concatenate(self.layer)
        columns = Columns(slot, layer[:, None], np.concatenate(self.cost), np.concatenate(self.use))
        figures = np.column_stack([columns.task, columns.cost, columns.use])
        _, first = np.unique(figures, axis=0, return_index=True)  # sorted by slot
        return columns.at(first)


def _slots_as_tasks(slots: int, budgets: int) -> Part:
    """Return the upper level as a part: slots for tasks, budgets for rows."""
    return Part(
        tasks=np.arange(slots),
        slot=np.arange(slots),
        kind=np.zeros(slots, dtype=np.int64),
        blocks=np.ones(slots, dtype=np.int64),
        weight=np.zeros((slots, 1, 1, 1)),
        work=np.zeros((slots, 1, 1)),
        spend=np.zeros((0, slots, 1, 1, 1)),
        row=np.tile(np.arange(budgets), (slots, 1)),
        rows=budgets,
        memory=None,
        slots=slots,
    )


def _pool(above: Part, columns: Columns, prices: Floats) -> Pool:
    """Sort the slots' placements by reduced cost under the energy prices."""
    charged = columns.cost + columns.use @ prices[:-1]
    value = np.full(len(above.tasks), np.inf)
    np.minimum.at(value, columns.task, charged)
    nothing = np.zeros(0)
    bound = float(value.sum()) - WITHIN * float(prices.sum())
    priced = Priced(prices, NO_EXTRA, columns.path, value, nothing, nothing, nothing, bound)
    return sort_pool(len(above.tasks), columns, charged - value[columns.task], np.inf, priced)


def _starts(pool: Pool, columns: Columns, solution: Solution | None) -> list[Ints]:
    """Return choices to start from: the cheapest of every slot, and that with the largest share."""
    starts = [pool.first[:-1]]
    if solution is not None:
        starts.append(nearest(pool, columns.path[largest_shares(columns, solution)]))
    return starts
