"""The search of one slot: prices, first placements from their mixture, moves, a tree for what is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.sharing import choice_kernels as kernels
from mecopt_solvers.sharing.load_prices import Dual
from mecopt_solvers.sharing.path_pool import SharingPool, curve_of, fill, truth_of
from mecopt_solvers.sharing.slot import SharedSlot
from mecopt_solvers.sharing.tree import CLOSED, SharingTree

LATE = 3.0  # what a broken deadline costs while there is no placement, in tasks
DRAWS = 8  # placements drawn from the mixture
MOST_PATHS = 300_000  # of a pool
MOST_PAIRS = 500_000  # pairs of moves that are looked at in one go
PAIR_MOVES = 4_000  # of them, those of the least reduced cost
GROUPS = (2, 4)  # tasks that are re-routed together
GROUP_NODES = 20_000  # most that one group may visit
ROUND_WORK = 400_000  # nodes of a round of groups: some hundredths of a second
IDLE_ROUNDS = 3  # without a gain: then the tree goes on
LAST_ROUNDS = 300  # without a gain, where no tree can go on
TREE_TASKS = 2000
TREE_NODES = 8  # visited between two looks at the clock's outside


class SharedSearch:
    """The search of one slot, to be carried on in pieces; all values are those of the objective."""

    def __init__(self, slot: SharedSlot, seed: int) -> None:
        self.slot, self.seed = slot, seed
        self.value, self.path = np.inf, None
        self.dual = Dual.start(slot)
        self.infeasible = self.dual.infeasible
        self.bound = -np.inf if self.infeasible else self.dual.best.bound
        self.pool: SharingPool | None = None
        self.tree: SharingTree | None = None
        self.priced = self.exhausted = False
        self.round, self.idle, self.patience = 0, 0, IDLE_ROUNDS
        self.truth = truth_of(slot)

    path: Ints | None
    value: float
    bound: float

    @property
    def finished(self) -> bool:
        """Whether nothing is left to search."""
        return self.infeasible or self.exhausted or self._closed(0.0)

    @property
    def prices_alone(self) -> tuple[float, bool]:
        """Return what the best prices prove by themselves, and whether others prove no more."""
        return self.dual.best.bound, self.dual.met

    def offer(self, value: float, path: Ints) -> None:
        """Let the search know a placement (K, M) that meets every limit, and what it costs."""
        if value < self.value:
            self.value, self.path = value, path.copy()
            if self.tree is not None:
                self.tree.value, self.tree.path = value, self.path

    def advance(self, gap: float, should_stop: Callable[[], bool], nodes: int) -> None:
        """Search on, until the gap is reached, so many rounds are made, or `should_stop` says so."""
        if self.finished:
            return
        if not self.priced:
            self.dual.run(should_stop)
            self.bound = max(self.bound, self.dual.best.bound)
            self.priced = True
            self._first(should_stop)
        for _ in range(nodes):
            if self.finished or self._closed(gap) or should_stop():
                return
            if self.tree is None and self.idle < self.patience and self.path is not None:
                self._round(should_stop)
            elif not self._grow(gap, should_stop):
                return

    def _closed(self, gap: float) -> bool:
        return self.value - self.bound <= max(gap, CLOSED * abs(self.value)) and self.value < np.inf

    # --- placements ---
    def _first(self, should_stop: Callable[[], bool]) -> None:
        """Draw placements from the mixture, and let every task move to its best path."""
        dual, rng = self.dual, np.random.default_rng(self.seed)
        share = dual.share if dual.share.sum() > 0 else np.ones(len(dual.columns))
        self._refill(-1.0)
        if self.pool is None:
            return
        used = np.flatnonzero(share > 1e-6 * share.sum())
        index = np.stack([self.pool.index(dual.columns[c].path) for c in used])
        part = share[used] / share[used].sum()
        rows = np.arange(index.shape[1])
        for _ in range(DRAWS):
            chosen = index[rng.choice(len(used), len(rows), p=part), rows]
            self._settle(chosen, rng)
            if should_stop():
                break
        self._refill(self._room())

    def _settle(self, chosen: Ints, rng: np.random.Generator) -> None:
        load = np.zeros(self.slot.servers)
        now = kernels.above(*self._choices()[1:4], chosen, load, *self._common())
        if np.isinf(now):
            now = self._make_room(chosen, load)
        order = rng.permutation(len(chosen))
        if np.isinf(now) and self.slot.truth is not None:  # away from broken deadlines first
            lenient = (*self._choices()[:-1], (*self.truth[:-1], LATE * self._scale()))
            now = kernels.above(*lenient[1:4], chosen, load, *lenient[4:])
            kernels.singles(*lenient, chosen, load, now, order)
            now = kernels.above(*self._choices()[1:4], chosen, load, *self._common())
        now = kernels.singles(*self._choices(), chosen, load, now, order)
        self._take(chosen, now)

    def _make_room(self, chosen: Ints, load: Floats) -> float:
        """Move tasks away from servers that are too full, the cheapest for what goes first."""
        pool = self._pool
        top = self.slot.curve.top
        for _ in range(3 * len(chosen)):
            over = np.maximum(load - top, 0.0)
            if not over.any():
                break
            more = load - pool.use[chosen[pool.task]] + pool.use
            gone = over.sum() - np.maximum(more - top, 0.0).sum(axis=1)
            with np.errstate(divide="ignore"):
                score = np.where(gone > 1e-15, (pool.reduced + 1e-3 * self._scale()) / gone, np.inf)
            p = int(score.argmin())
            if np.isinf(score[p]):
                break
            load += pool.use[p] - pool.use[chosen[pool.task[p]]]
            chosen[pool.task[p]] = p
        return float(kernels.above(*self._choices()[1:4], chosen, load, *self._common()))

    def _scale(self) -> float:
        return max(float(np.abs(self.dual.best.value).mean()), 1e-300)

    def _round(self, should_stop: Callable[[], bool]) -> None:
        """Improve the placement by pairs of moves, then by groups of tasks that are re-routed together."""
        if self.pool is None or self.path is None:
            self.idle = IDLE_ROUNDS
            return
        before, pool = self.value, self._pool
        chosen, load = pool.index(self.path), np.zeros(self.slot.servers)
        now = kernels.above(*self._choices()[1:4], chosen, load, *self._common())
        rng = np.random.default_rng([self.seed, self.round])
        now = kernels.singles(*self._choices(), chosen, load, now, rng.permutation(len(chosen)))
        if self.slot.truth is None:
            now = self._pairs(chosen, load, now, should_stop)
        self._take(chosen, now)
        if not should_stop():
            now = kernels.improve(
                *self._choices(), chosen, load, now, *GROUPS, ROUND_WORK, GROUP_NODES,
                (self.seed * 1009 + self.round) % (1 << 31),
            )  # fmt: skip
            self._take(chosen, now)
        self.round += 1
        self.idle = 0 if before - self.value > 0.02 * (self.value - self.bound) else self.idle + 1
        if self._room() < 0.5 * pool.within or (pool.within < 0 and self._room() < np.inf):
            self._refill(self._room())

    def _pairs(self, chosen: Ints, load: Floats, now: float, should_stop: Callable[[], bool]) -> float:
        pool, curve = self._pool, self._common()[0]
        while not should_stop():
            change = pool.reduced - pool.reduced[chosen[pool.task]]
            spread = now - float(pool.reduced[chosen].sum())
            moves = np.flatnonzero((change < spread) & (chosen[pool.task] != np.arange(len(change))))
            moves = moves[np.argsort(change[moves], kind="stable")[:PAIR_MOVES]]
            sorted_moves = pool.task[moves], moves, change[moves]
            one, other = kernels.pair(
                pool.first, pool.reduced, pool.use, curve, chosen, load, *sorted_moves, MOST_PAIRS
            )
            if one < 0:
                break
            before = chosen.copy()
            for move in (moves[one], moves[other]):
                chosen[pool.task[move]] = move
            after = float(kernels.above(*self._choices()[1:4], chosen, load, *self._common()))
            if after >= now:
                chosen[:] = before
                kernels.above(*self._choices()[1:4], chosen, load, *self._common())
                break
            now = after
        return now

    # --- the pool ---
    @property
    def _pool(self) -> SharingPool:
        assert self.pool is not None
        return self.pool

    def _common(self) -> tuple[Any, ...]:
        prices = self._pool.priced.prices[: self.slot.servers]
        return curve_of(self.slot, np.ascontiguousarray(prices)), self.slot.slot_s, self.truth

    def _choices(self) -> tuple[Any, ...]:
        pool = self._pool
        return pool.first, pool.reduced, pool.use, pool.path, *self._common()

    def _room(self) -> float:
        """Return the reduced costs that a better placement may have."""
        return self.value - self.dual.best.bound

    def _base(self) -> float:
        """Return what `above` is above: the sum of the paths less the conjugates."""
        curve = self._common()[0]
        return float(self._pool.priced.value.sum()) - float(curve[4].sum())

    def _take(self, chosen: Ints, above: float) -> None:
        value = self._base() + above
        if value < self.value:
            self.value, self.path = value, self._pool.path[chosen]

    def _refill(self, within: float) -> None:
        """Fill the pool up to a reduced cost, or as far as it may go."""
        seen = np.stack([one.path for one in self.dual.columns])
        if self.path is not None:
            seen = np.concatenate([self.path[None], seen])
        reach = within if np.isfinite(within) else 10.0 * self._scale()
        for _ in range(12):
            pool = fill(self.slot, self.dual.best, reach, MOST_PATHS, seen)
            if pool is not None:
                self.pool = pool
                return
            reach *= 0.3
        self.pool = fill(self.slot, self.dual.best, -1.0, MOST_PATHS, seen)

    # --- the tree ---
    def _grow(self, gap: float, should_stop: Callable[[], bool]) -> bool:
        """Visit some nodes of the tree; whether there is anything to visit."""
        if self.tree is None and not self._plant():
            return False
        tree = self.tree
        if tree is None:
            return True
        tree.work(TREE_NODES, gap, should_stop)
        if tree.path is not None and tree.value < self.value:
            self.value, self.path = tree.value, tree.path
        self.bound = max(self.bound, min(tree.bound, self.value))
        if not tree.heap:
            self.infeasible = self.path is None
        self.exhausted = tree.full or not tree.heap
        return True

    def _plant(self) -> bool:
        """Begin the tree, where the pool can be complete."""
        few = len(self.slot.drop) <= TREE_TASKS
        none = np.zeros((0, *self.dual.best.path.shape), dtype=np.int64)
        pool = fill(self.slot, self.dual.best, self._room(), MOST_PATHS, none) if few else None
        if pool is None:  # then there are only placements to be found
            self.exhausted = self.patience > IDLE_ROUNDS or self.path is None
            self.patience = LAST_ROUNDS
            return not self.exhausted
        self.tree = SharingTree(self.slot, pool, self.value, self.path)
        return True
