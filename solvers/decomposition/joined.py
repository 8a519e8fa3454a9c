"""Many slots joined by energy budgets: budgets at their prices make every slot a problem of its own again.

Two levels of the same idea. Below, a slot under energy prices is a part without budgets, searched by its own
tree: its bound knows that tasks are whole. Above, the placements found for a slot are its columns, a master
over all slots finds better energy prices, and the search that re-routes tasks chooses among whole slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from mecopt.parts import Floats, Ints
from solvers.decomposition.branch import Tree
from solvers.decomposition.dual import NO_EXTRA, Ascent, Counts, Priced
from solvers.decomposition.incumbent import Incumbent, round_and_improve
from solvers.decomposition.master import Columns, Generation, solve_master
from solvers.decomposition.pool import Pool, sort_pool
from solvers.decomposition.problem import WITHIN, Part

ASCENT_STEPS = 300
KEPT_ITERATES = 60
FIRST_PRICES = (1.0, 1.3, 3.0)  # times the master's energy prices: columns that spend less and less
SLOT_GAP = 5e-4
SLOT_NODES = 6
IMPROVE_ROUNDS = 12
PROGRESS = 0.01  # share of the gap that a sweep has to close
PATIENCE = 4


@dataclass(eq=False)
class JoinedSearch:
    """The search of many slots under energy budgets."""

    part: Part
    seed: int = 0
    value: float = np.inf
    path: Ints | None = None
    bound: float = -np.inf
    finished: bool = False
    infeasible: bool = False
    sweeps: int = 0
    idle: int = 0  # sweeps that gained nothing
    prices: Floats = field(init=False)  # (devices with a budget,)
    # slot, cost, use of every budget, path
    found: list[tuple[int, float, Floats, Ints]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.members = [np.flatnonzero(self.part.slot == s) for s in range(self.part.slots)]
        self.capacity_rows = self.part.slots * (self.part.nodes - 1)
        self.budgets = self.part.rows - self.capacity_rows
        self.prices = np.zeros(self.budgets)

    def advance(self, gap: float, should_stop: Callable[[], bool], nodes: int) -> None:
        """Sweep over the slots until the gap is reached or `should_stop` says so; `nodes` sweeps at most."""
        for _ in range(nodes):
            if self.sweeps == 0:
                self._root()
            if self.finished or self.value - self.bound <= gap or should_stop():
                return
            before = self.value - self.bound
            self._sweep(should_stop)
            self.sweeps += 1
            stuck = self.value < np.inf and self.value - self.bound > (1.0 - PROGRESS) * before
            self.idle = self.idle + 1 if stuck else 0
            self.finished |= self.idle >= PATIENCE  # what is left is the gap of the relaxation itself

    def _root(self) -> None:
        """Find energy prices with the linear program of all slots together."""
        ascent = Ascent.start(self.part)
        ascent.run(ASCENT_STEPS)
        paths = [ascent.best.path, *ascent.seen[-KEPT_ITERATES:]]
        tasks = np.arange(len(self.part.tasks))
        columns = Columns.of(self.part, np.tile(tasks, len(paths)), np.concatenate(paths))
        generation = Generation(self.part, columns, Counts.none(len(tasks)), ascent.best)
        cap = max(10.0 * float(ascent.best.prices.max()), float(np.abs(ascent.best.value).mean()))
        generation.run(cap, tolerance=1e-6)
        best = generation.best or ascent.best
        self.bound = max(self.bound, best.bound)
        self.prices = best.prices[self.capacity_rows : -1].copy()

    def _sweep(self, should_stop: Callable[[], bool]) -> None:
        """Search every slot under the energy prices; their bounds add up to one for all."""
        factor = FIRST_PRICES[self.sweeps] if self.sweeps < len(FIRST_PRICES) else 1.0
        prices = factor * self.prices
        bound = -WITHIN * float(prices.sum())
        for s in range(self.part.slots):
            tree = Tree(self._slot(s, prices), self.seed + s)
            tree.advance(0.0, should_stop, 0)
            tree.advance(SLOT_GAP * abs(tree.bound), should_stop, SLOT_NODES)
            bound += tree.bound
            if tree.infeasible:
                self.finished = self.infeasible = True
                return
            if tree.path is not None:
                self._add(s, tree.path)
            if should_stop():
                return
        self.bound = max(self.bound, bound)
        self._combine()

    def _slot(self, s: int, prices: Floats) -> Part:
        """Return a slot as a part of its own, energy charged at its price."""
        part, tasks = self.part, self.members[s]
        servers = part.nodes - 1
        charge = np.append(prices, 0.0)[part.row[tasks, servers] - self.capacity_rows]
        weight = part.weight[tasks] + charge[:, None, None, None] * part.energy[tasks]
        row = np.tile(np.arange(servers + 1), (len(tasks), 1))
        return replace(
            part,
            tasks=part.tasks[tasks],
            slot=np.zeros(len(tasks), dtype=np.int64),
            kind=part.kind[tasks],
            blocks=part.blocks[tasks],
            weight=np.ascontiguousarray(weight),
            work=np.ascontiguousarray(part.work[tasks]),
            energy=np.zeros((0, 0, 0, 0)),
            row=row,
            rows=servers,
            slots=1,
        )

    def _add(self, s: int, path: Ints) -> None:
        """Keep a slot's placement as a column: its cost without prices, and what it takes of every budget."""
        tasks = self.members[s]
        measured = Columns.of(self.part, tasks, path)
        device = self.part.row[tasks, -1] - self.capacity_rows
        use = np.bincount(device, measured.use[:, -1], self.budgets + 1)[:-1].astype(np.float64)
        self.found.append((s, float(measured.cost.sum()), use, measured.path))

    def _combine(self) -> None:
        """Choose one placement a slot within the budgets, and take over the energy prices it asks for."""
        slots = self.part.slots
        slot = np.array([s for s, *_ in self.found])
        cost = np.array([c for _, c, *_ in self.found])
        use = np.array([u for *_, u, _ in self.found])
        above = _slots_as_tasks(slots, self.budgets)
        order = np.argsort(slot, kind="stable")
        index = np.arange(len(slot))[:, None]
        columns = Columns(slot, index, cost, use).at(order)
        figures = np.column_stack([columns.task, columns.cost, columns.use])
        _, first = np.unique(figures, axis=0, return_index=True)
        columns = columns.at(np.sort(first))
        if len(np.unique(columns.task)) < slots:
            return
        cap = 10.0 * float(self.prices.max()) + float(np.abs(cost).mean())
        solution = solve_master(above, columns, Counts.none(slots), cap)
        prices = self.prices if solution is None else solution.prices[:-1]
        pool = _pool(above, columns, np.append(prices, 0.0))
        incumbent = Incumbent(above, self.value)
        start = pool.first[:-1]
        round_and_improve(above, pool, start, incumbent, IMPROVE_ROUNDS, self.seed + self.sweeps)
        if incumbent.path is not None:
            self.value = incumbent.value
            self.path = np.full(self.part.weight.shape[:2], -1)
            for s, chosen in enumerate(incumbent.path[:, 0].tolist()):
                self.path[self.members[s]] = self.found[chosen][3]
        if solution is not None and solution.overflow < 1e-9 and self.sweeps + 1 >= len(FIRST_PRICES):
            self.prices = 0.5 * self.prices + 0.5 * prices


def _slots_as_tasks(slots: int, budgets: int) -> Part:
    """Return the upper level as a part: slots for tasks, budgets for rows."""
    return Part(
        tasks=np.arange(slots),
        slot=np.arange(slots),
        kind=np.zeros(slots, dtype=np.int64),
        blocks=np.ones(slots, dtype=np.int64),
        weight=np.zeros((slots, 1, 1, 1)),
        work=np.zeros((slots, 1, 1)),
        energy=np.zeros((0, 0, 0, 0)),
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
