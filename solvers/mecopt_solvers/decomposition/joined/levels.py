"""Many slots joined by energy budgets: budgets at their prices make every slot a problem of its own again.

Three levels. The linear program of all slots together gives the prices and a first bound. Under prices a
slot is searched by itself, many times and quickly; what was found for a slot are its columns, of which the
level above chooses one a slot within the budgets. What gap is left is mostly that tasks are whole, so every
slot gets a tree at fixed prices of the budgets, and the sum of their bounds takes the place of the first one.
Where all these are done and a gap is left, one tree of all slots together goes on, if there are few tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Ints
from mecopt_solvers.decomposition.branch import CLOSED, Tree, ceiling
from mecopt_solvers.decomposition.dual import Ascent, Counts, Priced, price_paths
from mecopt_solvers.decomposition.joined.budgets import Placements
from mecopt_solvers.decomposition.joined.slots import SlotSweep, by_slot, near_paths, slot_bounds
from mecopt_solvers.decomposition.joined.trees import SlotTrees
from mecopt_solvers.decomposition.master import Columns, Generation, largest_shares
from mecopt_solvers.decomposition.problem import Part
from mecopt_solvers.decomposition.tighten import tightened

ASCENT_STEPS, ASCENT_TURN = 300, 50
KEPT_ITERATES = 60
FRUGAL = (0.03, 0.3, 3.0)  # of the bound, what budgets cost more: columns that the ascent does not come to
FIRST_CAP = 10.0  # of the bound: what exceeding a row by all of it costs in the linear program at first
CAP_STEPS = 8  # times ten
LP_ROUNDS, LP_TOLERANCE = 60, 1e-7
PRICE_FACTORS = (1.0, 1.0, 1.3, 3.0, 10.0)  # sweep after sweep: placements that spend less and less
SWEEPS = 2  # at least; more until a placement is found
TURNS, WORK = 4, 50_000  # of a slot in a sweep, and nodes of each
SLOTS_A_STEP = 60  # at most, and at most a tenth of them: what they find should not wait long
WHOLE_TASKS = 300  # most tasks of one tree in the end: with more its bound would not get up to here
POOR = 5.0  # times the median gap of all slots


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
    steps: int = 0
    sweeps: int = 0
    whole: Tree | None = None  # of all slots, once their own trees are done

    def __post_init__(self) -> None:
        self.order = np.argsort(self.part.slot, kind="stable")
        self.sorted = by_slot(self.part, self.order)
        self.budgets = slice(self.part.slots * (self.part.nodes - 1), self.part.rows)
        self.placements = Placements(self.sorted)
        self.slots_a_step = min(max(self.part.slots // 10, 1), SLOTS_A_STEP)

    def offer(self, value: float, path: Ints) -> None:
        """Let the search know a placement (K, M) that meets every limit, and what it costs."""
        if value < self.value:
            self.value, self.path = value, path.copy()
        if self.whole is not None:
            self.whole.offer(value, path)

    def advance(self, gap: float, should_stop: Callable[[], bool], nodes: int) -> None:
        """Search on, until the gap is reached, so many steps are done, or `should_stop` says so."""
        for _ in range(nodes):
            if self.finished or self.value - self.bound <= gap or should_stop():
                return
            if self.steps == 0:
                generation = self._root(should_stop)
                if generation is None:
                    return
                self._prepare(generation)
            if self.whole is None:
                self._step(should_stop)
            else:
                self._search_whole(self.whole, should_stop)
            self.steps += 1

    def _step(self, should_stop: Callable[[], bool]) -> None:
        """Sweep while that can give what is missing, then give the trees of the slots their turns."""
        poor = int(self._poor().sum()) if self.sweeps > 0 else 0
        if poor > 0:
            self._search_trees(min(poor, self.slots_a_step), should_stop)
        elif self.sweeps < SWEEPS or self.value == np.inf:
            self._sweep(should_stop)
        else:
            self._search_trees(self.slots_a_step, should_stop)

    def _poor(self) -> NDArray[np.bool_]:
        """Say where sweeps found nothing, or far less than elsewhere, and no tree has tried."""
        gap = self.trees.values - self.trees.bounds
        untried = (gap > POOR * np.median(gap)) & (self.trees.turns == 0)
        poor: NDArray[np.bool_] = (untried | np.isinf(gap)) & ~self.trees.done
        return poor

    def _root(self, should_stop: Callable[[], bool]) -> Generation | None:
        """Solve the linear program of all slots together; None where it was stopped or has no solution."""
        ascent = Ascent.start(self.sorted)
        highest = ceiling(self.sorted)
        if ascent.best.bound == np.inf:  # a task has no path that its limits allow by themselves
            self.finished = self.infeasible = True
            return None
        for _ in range(0, ASCENT_STEPS, ASCENT_TURN):
            ascent.run(ASCENT_TURN)
            self.bound = max(self.bound, min(ascent.best.bound, highest))
            if should_stop():
                return None
        frugal = [self._frugal(ascent.best, share) for share in FRUGAL]
        paths = [ascent.best.path, *ascent.seen[-KEPT_ITERATES:], *frugal]
        tasks = np.arange(len(self.sorted.tasks))
        columns = Columns.of(self.sorted, np.tile(tasks, len(paths)), np.concatenate(paths))
        generation = Generation(self.sorted, columns, Counts.none(len(tasks)), ascent.best)
        self.cap = max(FIRST_CAP * abs(ascent.best.bound), 10.0 * float(ascent.best.prices.max()), 1e-300)
        for _ in range(CAP_STEPS):  # overflow that pays means that the cap is too low, or nothing feasible
            for left in reversed(range(LP_ROUNDS)):
                more = generation.step(self.cap, highest, LP_TOLERANCE, last=left == 0)
                best = generation.best or ascent.best
                self.bound = max(self.bound, min(best.bound, highest))
                if best.bound >= highest:
                    self.finished = self.infeasible = True
                if self.finished or should_stop():
                    return None
                if not more:
                    break
            if generation.solution is None or generation.solution.overflow < 1e-9:
                break
            self.cap *= 10.0
        return generation

    def _frugal(self, priced: Priced, share: float) -> Ints:
        """Return the shortest paths when a whole budget costs this much more, as a share of the bound."""
        prices = priced.prices.copy()
        prices[self.budgets] += share * abs(priced.bound)
        return price_paths(self.sorted, prices).path

    def _prepare(self, generation: Generation) -> None:
        """Take over the prices, and list the paths that can matter near them."""
        priced = generation.best
        assert priced is not None  # generation starts with one
        self.prices = priced.prices
        self.pool = near_paths(self.sorted, priced, generation.columns)
        self.trees = SlotTrees(self.sorted, self.prices, slot_bounds(self.sorted, priced), self.seed)
        self.start = priced.path
        if generation.solution is not None:
            self.start = generation.columns.path[largest_shares(generation.columns, generation.solution)]

    def _sweep(self, should_stop: Callable[[], bool]) -> None:
        """Search every slot quickly under the prices of the budgets, or higher ones."""
        prices = self.prices.copy()
        prices[self.budgets] *= PRICE_FACTORS[self.sweeps % len(PRICE_FACTORS)]
        sweep = SlotSweep.of(self.sorted, self.pool, prices)
        turns = 1 if self.sweeps == 0 else TURNS
        known = np.isfinite(self.trees.values)[self.sorted.slot]
        start = np.where(known[:, None], self.trees.path, self.start)
        found = sweep.run(start, turns, WORK, self.seed + self.sweeps, should_stop)
        if found is None:
            return
        for placed, value in zip(*found, strict=True):
            self._keep(sweep.pool.columns.path[placed], np.flatnonzero(np.isfinite(value)))
        self.sweeps += 1
        self._choose()

    def _search_trees(self, many: int, should_stop: Callable[[], bool]) -> None:
        """Give the trees of the worst slots a turn."""
        found = self.trees.advance(many, should_stop)
        self.infeasible |= self.trees.infeasible
        self.bound = max(self.bound, self.trees.bound)
        if len(found):
            self._keep(self.trees.path, found)
            self._choose()
        self.finished |= self.infeasible
        if self.trees.finished and not self.finished:
            closed = self.value < np.inf and self.value - self.bound <= CLOSED * abs(self.value)
            if closed or len(self.part.tasks) > WHOLE_TASKS:
                self.finished = True
                return
            self.whole = Tree(tightened(self.part), self.seed)
            if self.path is not None:
                self.whole.incumbent.offer(self.value, self.path)

    def _search_whole(self, tree: Tree, should_stop: Callable[[], bool]) -> None:
        """Give the tree of all slots a turn."""
        tree.advance(0.0, should_stop, 1)
        self.bound = max(self.bound, tree.bound)
        if tree.path is not None and tree.value < self.value:
            self.value, self.path = tree.value, tree.path
        self.infeasible |= tree.infeasible
        self.finished |= tree.finished

    def _keep(self, path: Ints, slots: Ints) -> None:
        """Keep a placement of these slots, which meets all capacities there."""
        cost, use = self.placements.add(path, slots)
        values = np.full(self.part.slots, np.inf)
        values[slots] = cost + use @ self.prices[self.budgets]
        self.trees.offer(values, path)

    def _choose(self) -> None:
        """Choose one placement a slot within the budgets."""
        if len(self.placements.missing()):
            return
        value, path = self.placements.choose(self.prices[self.budgets], self.cap, self.seed + self.steps)
        if value < self.value:
            self.path = np.empty_like(path)
            self.path[self.order] = path
            self.value = value
