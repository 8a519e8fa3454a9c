"""Rounds of annealing, each from the best so far; every part keeps its own best."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.trellis_arcs import Arcs, build_arcs
from mecopt_solvers.local_search import move_kernels
from mecopt_solvers.local_search.state import SearchState, open_state

PATIENCE = 60  # rounds without anything better, after which it is stuck
# Moves of one round for every block: twice as many after a round that found nothing better.
FIRST_MOVES, LAST_MOVES = 20, 2_000
FEWEST, MOST = 5_000, 10_000_000  # of any round
SLICE = 100_000  # moves between two looks at the clock
HOTTEST, COOLEST, COLD = 0.05, 3e-3, 1e-4  # temperatures, as fractions of a task's mean objective
FORGET, FORGETTING = 0.1, 1.0  # share of rounds that start hot enough to forget the best, and how hot
DEARER, CHEAPER = 3.0, 0.7  # what becomes of the price of excess after a round with and without
FURTHEST = 30.0  # in largest steps, how hot it gets as long as nothing is feasible
LEAST_PRICE, LARGEST_PRICE = 0.1, 100.0  # of one unit of excess, in mean objectives of a task


@dataclass(eq=False)
class Annealing:
    """The best placement of every part, and the state that moves."""

    state: SearchState
    parts: int
    rng: np.random.Generator
    best: Ints = field(init=False)  # (K, M)
    best_excess: Floats = field(init=False)  # (parts,)
    best_cost: Floats = field(init=False)  # (parts,) seconds
    price: Floats = field(init=False)  # (parts,) of each unit of excess, in `unit`
    unit: Floats = field(init=False)  # (parts,) seconds: what temperatures and prices are fractions of
    tasks: Ints = field(init=False)  # (parts,) number of tasks
    largest_unit: Floats = field(init=False)  # (parts,) largest objective of a step

    def __post_init__(self) -> None:
        self.best = self.state.nodes.copy()
        self.best_excess = np.full(self.parts, np.inf)
        self.best_cost = np.full(self.parts, np.inf)
        self.tasks = np.bincount(self.state.part, minlength=self.parts)
        self.keep()
        weight = np.where(np.isinf(self.state.weight), 0.0, self.state.weight).max(axis=(1, 2, 3))
        self.largest_unit = np.full(self.parts, 1e-300)
        np.maximum.at(self.largest_unit, self.state.part, weight)
        self.unit, self.price = self._mean(), np.ones(self.parts)

    def compile(self) -> None:
        """Have the moves compiled: one is made, and every round starts from the best anyway."""
        self._anneal(COLD, COLD, 1, 1.0)

    def keep(self) -> bool:
        """Take over, part by part, what is better than the best; say whether anything is."""
        state, cost = self.state, np.empty(len(self.state.blocks))
        move_kernels.measure(*(*state.arrays, cost))
        total = np.bincount(state.part, cost, self.parts)
        at = np.flatnonzero((state.row_part >= 0) & (state.used > state.limit))
        amount = move_kernels.FEE + state.used[at] - state.limit[at]
        excess = np.bincount(state.row_part[at], amount, self.parts).astype(np.float64)
        better = (excess < self.best_excess) | ((excess == self.best_excess) & (total < self.best_cost))
        self.best_excess = np.where(better, excess, self.best_excess)
        self.best_cost = np.where(better, total, self.best_cost)
        mine = better[state.part]
        self.best[mine] = state.nodes[mine]
        self.violates = excess > 0
        return bool(better.any())

    def round(self, run: Run, hot: float, moves: int) -> bool:
        """Anneal once from the best placement; say whether anything got better."""
        state = self.state
        state.nodes[:] = self.best
        move_kernels.measure(*(*state.arrays, np.empty(len(state.blocks))))
        steps = -(-moves // SLICE)
        levels = np.geomspace(hot, COLD, steps + 1)
        for i in range(steps):
            self._anneal(levels[i], levels[i + 1], moves // steps, 1.0)
            if run.is_due():
                break
        better = self.keep()
        over = self.violates
        if over.any():  # what is a little above a limit is brought within it, the rest stays where it is
            self._anneal(10 * COLD, COLD, min(moves // 10, SLICE), LARGEST_PRICE)
            better |= self.keep()
        self.price *= np.where(over, DEARER, CHEAPER)
        self.price = np.clip(self.price, LEAST_PRICE, LARGEST_PRICE)
        # As long as nothing is feasible the objective counts less and less: the way there may be dear.
        unit = np.minimum(DEARER * self.unit, FURTHEST * self.largest_unit)
        self.unit = np.where(self.best_excess > 0, unit, self._mean())
        return better

    def _anneal(self, hot: float, cold: float, moves: int, dearer: float) -> None:
        state, price = self.state, dearer * self.price * self.unit
        how = (hot, cold, moves, int(self.rng.integers(2**31)))
        move_kernels.anneal(*(*state.arrays, state.part, state.mates, price, self.unit, *how))

    def _mean(self) -> Floats:
        """Return the mean objective of a task, (parts,) seconds."""
        return np.minimum(np.maximum(self.best_cost / self.tasks, 1e-300), self.largest_unit)


def solve(instance: Instance, run: Run) -> None:
    """Search until a rule says stop, or nothing better has been found for a while.

    Starts from the caller's placement, or from the shortest paths, which may break limits that tasks share.
    Tasks whose shortest paths, all together, keep to every limit they share stay on them: there is nothing
    better.
    """
    optimum = run.free_optimum()
    if optimum is None or run.should_stop():
        return
    paths, _ = optimum
    search, arcs = _open(instance, run, paths.placement)
    placement, stale, hot = paths.placement.copy(), 0, COLD * 10
    placement[arcs.tasks] = search.best
    run.found(placement)
    run.keep_time()
    search.compile()
    each = FIRST_MOVES
    while stale < PATIENCE:
        moves = int(np.clip(each * search.state.blocks.sum(), FEWEST, MOST))
        if search.round(run, hot, moves):
            stale = 0
            placement[arcs.tasks] = search.best
            run.found(placement)
        else:
            stale, each = stale + 1, min(2 * each, LAST_MOVES)
        if run.should_stop():
            return
        hot = float(np.exp(search.rng.uniform(np.log(COOLEST), np.log(HOTTEST))))
        if search.rng.random() < FORGET:
            hot = FORGETTING


def _open(instance: Instance, run: Run, base: Ints) -> tuple[Annealing, Arcs]:
    """Find the tasks that limits touch, and lay them out."""
    sets = limits.parts(instance)
    run.keep_time()
    part = np.empty(instance.task_count, dtype=np.int64)
    for i, tasks in enumerate(sets):
        part[tasks] = i
    live = np.flatnonzero(_broken(instance, run, base, part, len(sets))[part])
    live = live[np.argsort(instance.tasks.slot[live], kind="stable")]
    parts, row_part = np.unique(part[live], return_inverse=True)
    run.keep_time()
    arcs = build_arcs(run.costs, live, run.node_cost)
    run.keep_time()
    nodes = base[live]
    if run.warm_start is not None:
        nodes, repaired = _usable(arcs, run.warm_start[live], nodes)
        run.repairs += repaired
    state = open_state(instance, run.costs, arcs, row_part, nodes)
    return Annealing(state, len(parts), np.random.default_rng(run.seed)), arcs


def _broken(instance: Instance, run: Run, placement: Ints, part: Ints, parts: int) -> NDArray[np.bool_]:
    """Say of every part whether a placement breaks a limit in it."""
    strained = limits.strained(evaluate(instance, placement, costs=run.costs))
    return np.bincount(part, strained, parts) > 0


def _usable(arcs: Arcs, start: Ints, base: Ints) -> tuple[Ints, int]:
    """Return a start in which tasks that use a forbidden step take their shortest path, and their number."""
    rows, stages = np.arange(len(start))[:, None], np.arange(start.shape[1])
    real = stages < arcs.blocks[:, None]
    now = np.where(real, start, 0)
    before = np.concatenate([np.zeros((len(now), 1), dtype=np.int64), now[:, :-1]], axis=1)
    broken = (np.isinf(arcs.weight[rows, stages, before, now]) & real).any(axis=1)
    return np.where(broken[:, None], base, start), int(broken.sum())
