"""Branch and price: best bound first, decisions on how many tasks run a block on a node.

The bound of the linear program misses that tasks are whole. Most of what it misses goes with one decision:
how many tasks stay on their devices. A server's room that is too small for one more task is then no longer
filled with a part of one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition.branching import branches
from mecopt_solvers.decomposition.dual import Ascent, Counts, Priced
from mecopt_solvers.decomposition.filling import fill
from mecopt_solvers.decomposition.master import Columns, Generation, Solution, largest_shares
from mecopt_solvers.decomposition.pool import fill_pool, pool_of_size
from mecopt_solvers.decomposition.primal import Incumbent, exhaust, kick, nearest, round_and_improve
from mecopt_solvers.decomposition.problem import WITHIN, Part
from mecopt_solvers.decomposition.runs.dive import dive
from mecopt_solvers.decomposition.runs.patterns import RunGeneration, RunSizes, price_runs

ASCENT_STEPS = 200
KEPT_ITERATES = 12  # the last ones: their paths are near the best prices
DUAL_MET = 1e-9  # of the root's bound: a program this close to it says that no other prices prove more
CLOSED = 1e-10  # a node this close to the incumbent, relatively, holds nothing better that anyone would see
EXHAUSTIVE_PATHS = 20_000  # pools up to this size are searched exhaustively
EXHAUSTIVE_NODES = 300_000  # some milliseconds
KICKS = 10  # of the incumbent, at every eighth node: the first ones gain more by branching
KICK_EVERY = 8
MANY_TASKS = 200
PLAIN_NODES = 12  # before the bound is strengthened
FEW_A_SERVER = 10  # tasks; with more, what patterns add to the bound costs more time than it saves
DIVE_EVERY = 2  # nodes of a strengthened tree, the first one included
DIVE_GAP = 5e-4  # of the value; branching closes what is less
RUN_TASKS = 60  # most tasks of a part whose bound is strengthened; at 100 the linear programs take too long


@dataclass(frozen=True, eq=False)
class Node:
    """One node of the tree, solved."""

    bound: float
    counts: Counts
    priced: Priced
    columns: Columns
    solution: Solution | None
    patterns: Floats = field(default_factory=lambda: np.zeros((0, 0)))  # of the servers, see runs.py
    prices: Floats = field(default_factory=lambda: np.zeros(0))  # of sizes of runs, then of counts
    cut_short: bool = False  # whether its linear program was stopped before it met the bound


@dataclass(eq=False)
class Tree:
    """The search of one part: bound, incumbent, and the nodes that are open."""

    part: Part
    seed: int = 0
    incumbent: Incumbent = field(init=False)
    ceiling: float = field(init=False)
    bound: float = -np.inf
    closed: float = np.inf  # least bound of the nodes that were given up
    open: list[tuple[float, int, Node]] = field(default_factory=list)
    born: int = 0
    visited: int = 0
    price_cap: float = 0.0
    prices_alone: tuple[float, bool] = (-np.inf, False)  # what they prove, and whether others prove no more
    sizes: RunSizes | None = None  # of runs, once the bound is strengthened by them
    should_stop: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self.incumbent = Incumbent(self.part)
        self.ceiling = ceiling(self.part)

    @property
    def value(self) -> float:
        """Objective of the best placement so far, inf while there is none."""
        return self.incumbent.value

    @property
    def path(self) -> Ints | None:
        """The best placement so far, (K, M)."""
        return self.incumbent.path

    @property
    def finished(self) -> bool:
        """Whether nothing is left to search."""
        return self.born > 0 and not self.open

    @property
    def infeasible(self) -> bool:
        """Whether it is proved that no placement meets every limit."""
        return self.finished and self.incumbent.path is None and self.closed >= self.ceiling

    def offer(self, value: float, path: Ints) -> None:
        """Let the search know a placement (K, M) that meets every limit, and what it costs."""
        self.incumbent.offer(value, path)

    @property
    def gap(self) -> float:
        """Seconds between the incumbent and the bound, inf without an incumbent."""
        return max(self.incumbent.value - self.bound, 0.0)

    @property
    def cutoff(self) -> float:
        """What a node must stay below to be of interest."""
        value = self.incumbent.value
        return self.ceiling if value == np.inf else value - CLOSED * abs(value)

    def advance(self, gap: float, should_stop: Callable[[], bool], nodes: int = 1_000_000) -> None:
        """Search until the gap (in seconds) is reached, so many nodes are visited, or somebody says stop."""
        self.should_stop = should_stop
        if self.born == 0:
            self._root()
        for _ in range(nodes):
            self._raise_bound()
            if self.finished or self.gap <= gap or should_stop():
                return
            if self.sizes is None and self.visited == PLAIN_NODES and self._has_few_tasks():
                self._strengthen()
                continue
            self._visit(heapq.heappop(self.open)[2], gap, should_stop)
        self._raise_bound()

    def _has_few_tasks(self) -> bool:
        return len(self.part.tasks) <= min(RUN_TASKS, FEW_A_SERVER * (self.part.nodes - 1))

    def _raise_bound(self) -> None:
        least = min(self.closed, self.incumbent.value, self.open[0][0] if self.open else np.inf)
        self.bound = max(self.bound, min(least, self.ceiling))

    def _close(self, bound: float) -> None:
        """Give up a node in which nothing costs less; above the ceiling that means nothing at all."""
        self.closed = min(self.closed, bound if bound < self.ceiling else np.inf)

    def _root(self) -> None:
        ascent = Ascent.start(self.part)
        if ascent.best.bound == np.inf:
            self.born, self.closed = 1, np.inf
            return
        if self.part.rows:
            ascent.run(ASCENT_STEPS, should_stop=self.should_stop)
        paths = [ascent.best.path, *ascent.seen[-KEPT_ITERATES:]]
        tasks = np.tile(np.arange(len(self.part.tasks)), len(paths))
        columns = Columns.of(self.part, tasks, np.concatenate(paths))
        typical = float(np.abs(ascent.best.value).mean())
        self.price_cap = max(10.0 * float(ascent.best.prices.max()), typical, 1e-300)
        counts = Counts.none(len(self.part.tasks))
        self._solve(Node(-np.inf, counts, ascent.best, columns, None), counts, ascent.best)

    def _strengthen(self) -> None:
        """Start again with a stronger bound: servers are filled with whole runs of blocks."""
        self.visited += 1
        self.sizes = RunSizes.of(self.part)
        if self.sizes is None:
            return
        root = self.open[0][2]
        prices = np.repeat(root.priced.prices[:-1], np.diff(self.sizes.first)) * self.sizes.size
        counts = Counts.none(len(self.part.tasks))
        priced, _ = price_runs(self.part, self.sizes, prices, counts, np.zeros(0))
        self.open, self.closed = [], np.inf
        if priced.bound == np.inf:
            return
        fits = np.flatnonzero((root.columns.use <= WITHIN).all(axis=1))  # a run may be too large as a whole
        own = Columns.of(self.part, np.arange(len(self.part.tasks)), priced.path)
        patterns = np.zeros((0, len(self.sizes.size)))
        columns = root.columns.at(fits).joined(own)
        self._solve(Node(self.bound, counts, priced, columns, None, patterns, prices), counts)

    def _generation(self, parent: Node, counts: Counts) -> Generation | RunGeneration:
        """Prepare the linear program of a node from what is known about its parent."""
        if self.sizes is None:
            return Generation(self.part, parent.columns, counts, should_stop=self.should_stop)
        return self._runs(self.sizes, parent, counts)

    def _runs(self, sizes: RunSizes, parent: Node, counts: Counts) -> RunGeneration:
        decided = counts.carried(parent.counts, parent.prices[len(sizes.size) :])
        center = np.concatenate([parent.prices[: len(sizes.size)], decided])
        return RunGeneration(
            self.part, sizes, parent.columns, parent.patterns, counts, center, self.should_stop
        )

    def _solve(self, parent: Node, counts: Counts, start: Priced | None = None) -> None:
        """Solve a node's linear program, and open the node unless nothing better can be in it."""
        self.born += 1
        generation = self._generation(parent, counts)
        generation.best = start
        generation.run(self.price_cap, self.cutoff)
        for _ in range(8):  # overflow that pays means that the cap is too low, or the node empty
            solution, best = generation.solution, generation.best
            if solution is None or solution.overflow < 1e-9 or (best and best.bound >= self.cutoff):
                break
            if self.should_stop():
                break
            self.price_cap *= 10.0
            generation.run(self.price_cap, self.cutoff)
        priced = generation.best
        if priced is None:  # the linear program failed at once: the parent's bound holds
            self._close(parent.bound)
            return
        if start is not None:
            self.prices_alone = priced.bound, _is_met(priced, generation.solution)
        bound = max(priced.bound, parent.bound)
        if bound >= self.cutoff:
            self._close(bound)
            return
        kept, solution = _worth_keeping(self.part, generation, priced)
        cut_short = self.should_stop() and not _is_met(priced, generation.solution)
        node = Node(bound, counts, priced, kept, solution, cut_short=cut_short)
        if isinstance(generation, RunGeneration):
            node = replace(node, patterns=generation.kept_patterns(), prices=generation.center)
        heapq.heappush(self.open, (bound, self.born, node))

    def _visit(self, node: Node, gap: float, should_stop: Callable[[], bool]) -> None:
        if node.bound >= self.cutoff:
            self._close(node.bound)
            return
        if node.cut_short:
            root = self.sizes is None and len(node.counts) == 0
            self._solve(node, node.counts, node.priced if root else None)
            return
        self.visited += 1
        if self._search(node, gap, should_stop):
            return
        divided = branches(self.part, node.columns, node.solution, node.counts)
        if not divided:
            self._close(node.bound)
        for counts in divided:
            self._solve(node, counts)

    def _search(self, node: Node, gap: float, should_stop: Callable[[], bool]) -> bool:
        """Look for better placements near the node's prices; whether that settles the node."""
        within = self.cutoff - node.bound
        tasks = len(self.part.tasks)
        every = fill_pool(self.part, node.priced, np.full(tasks, within), EXHAUSTIVE_PATHS)
        if every is not None:
            target = self.cutoff
            if exhaust(self.part, every, self.incumbent, target, EXHAUSTIVE_NODES):
                self._close(min(target, self.incumbent.value))
                return True
        each = int(np.clip(20_000 // tasks, 8, 40))
        pool = pool_of_size(self.part, node.priced, each, within, node.columns) if every is None else every
        start = pool.first[:-1].copy()
        if node.solution is not None:
            start = nearest(pool, node.columns.path[largest_shares(node.columns, node.solution)])
        self.seed += 7
        if tasks >= MANY_TASKS:
            # The bound is as good as it gets at once, and all that is missing is a placement.
            round_and_improve(self.part, pool, start, self.incumbent, 0, self.seed)
            fill(self.part, pool, self.incumbent, node.bound + gap, should_stop)
            if self.gap <= gap or should_stop():
                return False
        wide = self.incumbent.path is None or self.gap > DIVE_GAP * self.incumbent.value
        if self.sizes is not None and wide and (self.visited - PLAIN_NODES) % DIVE_EVERY == 0:
            generation = self._runs(self.sizes, node, node.counts)
            found = dive(generation, self.price_cap, self.cutoff, should_stop)
            if found is not None:
                self.incumbent.offer(*found)
        rounds = 4 if self.visited <= 4 else 2
        round_and_improve(self.part, pool, start, self.incumbent, rounds, self.seed)
        if self.visited == 1:
            round_and_improve(self.part, pool, pool.first[:-1], self.incumbent, rounds, self.seed + 3)
        elif self.visited % KICK_EVERY == 0:
            for _ in range(KICKS):
                if self.incumbent.value - node.bound <= gap or should_stop():
                    break
                self.seed += 7
                kick(self.part, pool, self.incumbent, self.seed)
        return False


def _is_met(priced: Priced, solution: Solution | None) -> bool:
    """Say whether a program's solution, parts of paths within every limit, costs no more than the bound."""
    if solution is None or solution.overflow > DUAL_MET:
        return False
    return solution.value - priced.bound <= DUAL_MET * abs(priced.bound)


def _worth_keeping(
    part: Part, generation: Generation | RunGeneration, priced: Priced
) -> tuple[Columns, Solution | None]:
    """Drop columns that no node below is likely to use: there are thousands of nodes."""
    columns, solution = generation.columns, generation.solution
    reduced = columns.reduced(part, priced)
    most = 3 * len(part.tasks) + 100
    keep = np.zeros(len(reduced), dtype=bool)
    keep[np.argsort(reduced)[:most]] = True
    first = np.flatnonzero(np.diff(columns.task, prepend=-1))  # one of every task, whatever it costs
    keep[first + np.array([part_.argmin() for part_ in np.split(reduced, first[1:])])] = True
    if solution is None:
        return columns.at(np.flatnonzero(keep)), None
    keep |= solution.share > 0
    kept = np.flatnonzero(keep)
    share = Solution(
        solution.share[kept], solution.value, solution.overflow, solution.prices, solution.count_prices
    )
    return columns.at(kept), share


def ceiling(part: Part) -> float:
    """Return what no placement can cost: a bit more than every task's longest path."""
    value = np.where(np.isfinite(part.weight[:, 0, 0, :]), part.weight[:, 0, 0, :], -np.inf)
    for m in range(1, part.weight.shape[1]):
        step = np.where(np.isfinite(part.weight[:, m]), part.weight[:, m], -np.inf)
        value = (value[:, :, None] + step).max(axis=1)
    longest = float(value.max(axis=1).sum())
    return longest + 1e-9 * abs(longest) + 1e-9 if np.isfinite(longest) else np.inf
