"""Placements of sharing beside budgets and memory: near paths, moves among them, all combinations of few."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mecopt.arrays import Ints
from mecopt_solvers.decomposition.dual import Priced
from mecopt_solvers.sharing.mixed import mixed_kernels as kernels
from mecopt_solvers.sharing.mixed.mixed_holdings import draw, used
from mecopt_solvers.sharing.mixed.mixed_prices import MixedDecisions, MixedPricing
from mecopt_solvers.sharing.path_pool import SharingPool, fill, truth_of

PATHS, PATHS_A_TASK = 10_000, 100  # of a pool that moves are made in
# Prices whose paths join it, and how far their logarithms are from the best.
OTHER_PRICES, OTHER_NOISE = 36, 0.1
OTHER_BUDGETS = (0.1, 0.3, 0.6, 1.0, 1.6, 3.0, 10.0)  # times the prices of budgets: what saves, what spends
SEARCHED = 50_000  # combinations of a node that are looked at before it is split
FIRST_WITHIN = 0.02  # of the bound: reduced costs of the first pool
NOISE = 0.0, 0.3, 0.0, 1.0, 0.0, 2.0  # of the logarithm of what a piece is worth to its node, round by round
MOVES, MOVES_A_TASK, MOST_MOVES = 20_000, 3_000, 2_000_000  # of a round
PIECE = 100_000  # moves between two looks at the clock
HOTTEST, COOLEST, COLD = 0.03, 5e-4, 1e-5  # temperatures, in mean objectives of a task
DEARER, CHEAPER = 3.0, 0.8  # what becomes of the fee of being above a limit after a round without and with
FIRST_FEE, FEES = 30.0, (0.3, 1e4)  # of being above a limit by all of it, in mean objectives of a task
WIDER = 4.0  # times the reduced costs of a pool that has held no placement

Stop = Callable[[], bool]


class MixedMoves:
    """The best placement so far, and what looks for better ones; values are those of the objective."""

    def __init__(self, pricing: MixedPricing, seed: int) -> None:
        self.pricing, self.slot, self.seed = pricing, pricing.slot, seed
        self.value = np.inf
        self.path: Ints | None = None
        self.rounds = self.idle = 0  # done, and those since the last gain
        self.pool: SharingPool | None = None
        self.seen: list[Ints] = []  # paths of prices
        self.start: Ints | None = None  # what the last program has most of
        self.used = np.zeros((0, 0))  # (holders, pieces) tasks that use a piece there, as it has it
        self.fee, self.within = FIRST_FEE, FIRST_WITHIN
        self.truth = truth_of(self.slot)
        self.memory = _laid_out(pricing)
        part, shape = pricing.part, (len(self.memory[3]), len(self.memory[2]))
        self.books = np.zeros(part.rows + 1), np.zeros(shape, dtype=np.int32), np.zeros(shape[0])
        self.row = np.ascontiguousarray(pricing.row)

    def offer(self, value: float, path: Ints) -> None:
        """Let the search know a placement (K, M) that meets every limit, and what it costs."""
        if value < self.value:
            self.value, self.path = value, path.copy()

    def refill(self, priced: Priced) -> None:
        """List the paths near the prices, as many as there may be."""
        seen = np.stack(self.seen if self.path is None else [self.path, *self.seen])
        within = self.value - priced.bound if np.isfinite(self.value) else self.within * abs(priced.bound)
        self.pool = self._near(priced, within, seen, MixedDecisions.none(self.slot))

    def _near(self, priced: Priced, within: float, seen: Ints, decided: MixedDecisions) -> SharingPool:
        """List paths up to a reduced cost, as far as there is room, those of other prices and those seen."""
        pool, most = None, PATHS + PATHS_A_TASK * len(self.slot.drop)
        others, rng, rows = [], np.random.default_rng(self.seed), self.slot.part.rows
        servers = self.slot.part.slots * self.slot.servers
        for turn in range(OTHER_PRICES):
            factor = np.exp(OTHER_NOISE * rng.standard_normal(rows))
            factor[servers:] *= OTHER_BUDGETS[turn % len(OTHER_BUDGETS)]
            others.append(
                self.pricing.price(factor * priced.prices[:-1], self.pricing.no_memory(), decided).priced.path
            )
        seen = np.concatenate([seen, np.stack(others)])
        while pool is None:
            pool = fill(self.slot, priced, within, most, seen)
            within = 0.3 * within if within > 1e-9 * abs(priced.bound) else -1.0
        return self.fitting(pool)

    def fitting(self, pool: SharingPool) -> SharingPool:
        """Return the pool without paths that break a limit alone, but for tasks that have no other."""
        fits = (pool.use <= self.pricing.curve[2][self.row[pool.task]]).all(axis=1)
        some = np.bincount(pool.task, fits, len(pool.first) - 1) > 0
        return pool.at(np.flatnonzero(fits | ~some[pool.task]))

    def round(self, root: Priced, should_stop: Stop) -> None:
        """Anneal once from the best placement, or from the paths at the prices."""
        rng = np.random.default_rng([self.seed, self.rounds])
        mean = max(float(np.abs(root.value).mean()), 1e-300)
        start = self._start()
        if self.pool is None:
            self.refill(root)
        pool = self._moves(root, start, rng)
        self.rounds, before = self.rounds + 1, self.value
        if pool is None:
            self.idle += 1
            return
        chosen = pool.index(start)
        self._anneal(pool, chosen, mean, rng, should_stop)
        value = self.value
        gained = value < np.inf and (before == np.inf or before - value > 1e-9 * abs(before))
        ended = kernels.value(chosen, self.row, (pool.first, pool.path, pool.cost, pool.use), *self._common())
        self.fee = float(np.clip(self.fee * (DEARER if np.isinf(ended) else CHEAPER), *FEES))
        self.idle = 0 if gained else self.idle + 1
        if np.isinf(before):  # with a placement fewer paths matter; without one, others have to
            self.within *= WIDER
            self.refill(root)

    def _anneal(
        self, pool: SharingPool, chosen: Ints, mean: float, rng: np.random.Generator, should_stop: Stop
    ) -> None:
        """Move the chosen paths while the temperature falls, in pieces that a clock can come between."""
        best = chosen.copy()
        hot = float(np.exp(rng.uniform(np.log(COOLEST), np.log(HOTTEST)))) * mean
        moves = min(MOVES + MOVES_A_TASK * len(chosen), MOST_MOVES)
        pieces = -(-moves // PIECE)
        cooling = (COLD * mean / hot) ** (1.0 / pieces)
        for _ in range(pieces):
            value = kernels.anneal(
                self.row, (pool.first, pool.path, pool.cost, pool.use), *self._common(),
                chosen, best, self.value, self.fee * mean, hot, hot * cooling, moves // pieces,
                int(rng.integers(2**31)),
            )  # fmt: skip
            self.offer(value, pool.path[best])
            hot *= cooling
            if should_stop():
                break

    def _start(self) -> Ints:
        """Return the best placement, or before there is one what prices or programs have."""
        if self.path is not None:
            return self.path
        if self.start is not None and self.rounds % 2 == 0:
            return self.start
        return self.seen[-1 - self.rounds // 2 % len(self.seen)]

    def _moves(self, root: Priced, start: Ints, rng: np.random.Generator) -> SharingPool | None:
        """Return the paths of a round: all near ones, or where memory is short those of what is held."""
        pricing, pool = self.pricing, self.pool
        assert pool is not None
        if pricing.short is None:
            return pool
        tasks, noise = len(self.slot.drop), NOISE[self.rounds % len(NOISE)]
        use = self.used
        if self.path is not None or not use.size:
            use = used(pricing, np.arange(tasks), start, np.ones(tasks))
        decided = replace(MixedDecisions.none(self.slot), banned=draw(pricing, use, noise, rng))
        priced = pricing.price(root.prices[:-1], pricing.no_memory(), decided).priced
        if np.isinf(priced.bound):
            return None
        seen = np.zeros((0, *priced.path.shape), dtype=np.int64) if noise else start[None]
        return self._near(priced, pool.within, seen, decided)

    def search_all(self, pool: SharingPool, cutoff: float) -> bool:
        """Search all combinations of what is left; whether that came to its end."""
        counts = np.diff(pool.first)
        if (counts == 0).any():
            return True
        order, best = np.argsort(counts, kind="stable"), pool.first[:-1].copy()
        value, nodes = kernels.exhaust(
            self.row, pool.reduced, (pool.first, pool.path, pool.cost, pool.use), *self._common(),
            order, pool.priced.bound, cutoff, best, SEARCHED,
        )  # fmt: skip
        if value < cutoff:
            self.offer(value, pool.path[best])
        return bool(nodes <= SEARCHED)

    def _common(self) -> tuple[Any, ...]:
        return self.memory, self.books, self.pricing.curve, self.slot.slot_s, self.truth


def _laid_out(pricing: MixedPricing) -> tuple[Any, ...]:
    """Return what kernels want to know of memory."""
    laid = pricing.part.memory
    if laid is None:
        none = np.zeros((0, 0), dtype=np.int64)
        return none, none, np.zeros(0), np.zeros(0)
    return laid.holder, laid.piece, laid.piece_bytes, laid.limit
