"""The method: bounds by weighed seconds and columns, then annealing over the nodes of blocks."""

from __future__ import annotations

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.tolerances import OPTIMALITY_TOLERANCE
from mecopt_solvers.labels.steps import StepSource
from mecopt_solvers.period import pair_kernels, target_kernels
from mecopt_solvers.period.path_shares import Master
from mecopt_solvers.period.slot_steps import Slot

SAFE = 1e-12  # the bound is lowered by this fraction: rounding of sums
CLOSE = 1e-9  # of the master's value and the bound: columns that are missing make no difference
WARM_ROUNDS, STEP = 25, 0.5  # of multiplicative weights, which are near the best soon
MOST_COLUMNS_ROUNDS = 200
NARROW = 1e-5  # of a period: bounds closer together are one
MOVES = 5_000  # of one annealing and task
HOT, COLD = (1e-5, 1e-4), 1e-8  # of the squared target; the next after failures, as below
PULLS = (0.3, 0.1)  # of the target: what a second of the best weights pulls
PIECES, PAIRS = 5, 40  # of servers that share out anew, between looks at the clock
BETWEEN = (0.3, 0.6, 0.85, 0.97)  # where a target lies between bound and incumbent; the next after a failure
FRUITLESS = 16  # annealings in a row before a slot is left


class SlotSearch:
    """The tasks of one slot: their best paths so far, and a bound on the slot's period."""

    def __init__(self, instance: Instance, run: Run, source: StepSource, tasks: Ints) -> None:
        self.run, self.slot = run, Slot(instance, run.costs, source, tasks)
        self.bound, self.failures, self.seed = 0.0, 0, run.seed
        self.weight = np.full(self.slot.resources, 1.0 / max(self.slot.resources, 1))
        self.path, self.period = np.full((len(tasks), self.slot.shape[1]), -1), np.inf
        self.lost = np.zeros(len(tasks), dtype=bool)  # tasks without a path
        self.master: Master | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing is left to be done that this search can do."""
        gap = self.period - self.bound
        return gap <= OPTIMALITY_TOLERANCE * self.bound or self.failures >= FRUITLESS

    def begin(self) -> None:
        """Price once, which gives a bound and a placement."""
        value, path = self.slot.price(self.weight)
        self.lost = np.isinf(value)
        if not self.lost.any():
            self.bound = float(value.sum())
            self._take(path)

    def bound_it(self) -> None:
        """Find the longest time below which no placement stays.

        Whoever stays below some period has no path that keeps anything busy for longer by itself. So the
        least period over shares of such paths is a bound, or that period is: the larger they are, the better.
        """
        every = np.arange(len(self.slot.tasks))
        self.master = Master(self.slot, self.period or 1.0)
        weight = self.weight
        for n in range(WARM_ROUNDS):
            path, load = self._price(weight, self.period)
            self.master.add(every, path)
            if not load.any():
                return
            weight = weight * np.exp(STEP / np.sqrt(n + 1.0) * load / load.max())
            weight = weight / weight.sum()
            self.run.keep_time()
        upper = self.period
        while upper - self.bound > NARROW * upper:
            middle = (upper + self.bound) / 2
            if not self._generate(middle, whole=False):
                upper = middle
        self._generate(upper, whole=True)
        self._round_off(upper)

    def _generate(self, most: float, *, whole: bool) -> bool:
        """Generate columns for a period; whether no placement stays below it.

        Unless the `whole` program is wanted, it is left as soon as that is known.
        """
        assert self.master is not None
        every, weight = np.arange(len(self.slot.tasks)), self.weight
        for _ in range(MOST_COLUMNS_ROUNDS):
            path, _ = self._price(weight, most)
            if self.bound >= most:
                return True
            fresh = self.master.add(every, path)
            solved = self.master.solve(most)
            if solved is None or (not whole and solved[0] < most):
                return False
            if solved[0] - self.bound <= CLOSE * self.bound:
                return False
            path, _ = self._price(solved[1], most)
            if self.bound >= most:
                return True
            if not self.master.add(every, path) and not fresh:
                return False
            # Half way to the best weights known there are better ones than at the corners of the program.
            weight = (solved[1] + self.weight) / 2
            self.run.keep_time()
        return False

    def improve(self) -> None:
        """Anneal once towards a target between bound and period, then let pairs of servers share out anew."""
        slot, turn = self.slot, self.failures // len(BETWEEN)
        target = self.bound + BETWEEN[self.failures % len(BETWEEN)] * (self.period - self.bound)
        path = self._started(target)
        self.failures += 1  # until it is met
        if (path[:, 0] < 0).any():
            return
        load, steps = np.empty(slot.resources + 1), slot.moves(target)
        target_kernels.loads(*slot.busy, path, load)
        self.seed += 1
        pull = PULLS[turn % len(PULLS)] * target * np.append(self.weight, 0.0)
        heat = HOT[turn // len(PULLS) % len(HOT)] * target * target, COLD * target * target
        met = target_kernels.anneal(*steps, path, load, pull, target, MOVES * len(path), *heat, self.seed)
        for piece in range(PIECES):
            if met:
                break
            self.run.keep_time()
            seed = self.seed * PIECES + piece
            met = pair_kernels.level(*steps, path, load, target, slot.server, PAIRS, seed)
        period = float(target_kernels.loads(*slot.busy, path, load))
        if met:
            self.failures = 0
        if period < self.period:
            self.period, self.path = period, path

    def _started(self, target: float) -> Ints:
        """Return the best paths so far, those that miss a target by themselves replaced, -1 without any."""
        path = self.path.copy()
        late = np.flatnonzero(self.slot.alone(path) > target)
        if len(late):
            path[late] = self.slot.price(self.weight, target)[1][late]
        return path

    def _price(self, weight: Floats, most: float) -> tuple[Ints, Floats]:
        """Return the paths under some weights, and how busy they keep everything; keep the bound."""
        value, path = self.slot.price(weight, most)
        bound = min(float(value.sum()), most)
        if np.isfinite(value).all():
            self._take(path)
        if bound > self.bound:
            self.bound, self.weight = bound, weight
        return path, self._load(path)

    def _load(self, path: Ints) -> Floats:
        """Return how busy a placement keeps everything, (R,)."""
        row, seconds = self.slot.columns(np.arange(len(path)), path)
        load: Floats = np.bincount(row.ravel(), seconds.ravel(), self.slot.resources + 1)[:-1].astype(float)
        return load

    def _take(self, path: Ints) -> None:
        """Keep a placement if it is better."""
        if (path[:, 0] >= 0).all():
            period = float(self._load(path).max())
            if period < self.period:
                self.period, self.path = period, path

    def _round_off(self, most: float) -> None:
        """Take every task's path of the largest share."""
        assert self.master is not None
        master = self.master
        if master.solve(most) is None:
            return
        self._take(master.rounded())


def solve(instance: Instance, run: Run) -> None:
    """Bound every slot, then search where the gap is largest, until nothing more comes of it."""
    slots = np.unique(instance.tasks.slot)
    searches: list[SlotSearch] = []
    source = StepSource(instance, run.costs, run.node_cost)
    for slot in slots.tolist():
        searches.append(SlotSearch(instance, run, source, np.flatnonzero(instance.tasks.slot == slot)))
        searches[-1].begin()
        run.keep_time()
    if any(search.lost.any() for search in searches):
        _tell_lost(instance, run)
        return
    try:
        for search in searches:
            search.bound_it()
            _report(instance, run, searches, placement=len(searches) == 1)
        while left := [search for search in searches if not search.closed]:
            worst = max(left, key=lambda search: search.period - search.bound)
            before = worst.period
            run.keep_time()
            if run.should_stop():
                return
            worst.improve()
            if worst.period < before:
                _report(instance, run, searches, placement=len(searches) == 1)
    finally:
        _report(instance, run, searches, placement=True)


def _report(instance: Instance, run: Run, searches: list[SlotSearch], *, placement: bool) -> None:
    """Hand over the bound, and the placement if asked to."""
    run.improve_bound(sum(search.bound for search in searches) * (1.0 - SAFE))
    if placement:
        nodes = np.full((instance.task_count, instance.max_blocks), -1)
        for search in searches:
            nodes[search.slot.tasks] = search.path
        if all((search.path[:, 0] >= 0).all() for search in searches):
            run.found(nodes)


def _tell_lost(instance: Instance, run: Run) -> None:
    """Say why some task has no path."""
    if run.free_paths() is not None:
        run.infeasible([limits.nothing_fits(instance, "labels of every task")])
