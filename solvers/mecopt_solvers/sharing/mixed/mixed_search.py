"""The search of sharing beside budgets and memory: prices, annealing over near paths, branch and bound.

The tree decides which node runs a block of a task, and which pieces a node holds. A node whose paths of small
reduced cost have few combinations is searched to the end with all limits, so nothing rests on the prices but
the bound.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition.dual import Priced
from mecopt_solvers.sharing import curve_kernels
from mecopt_solvers.sharing.load_prices import FIRST_LOADS
from mecopt_solvers.sharing.mixed import mixed_kernels as kernels
from mecopt_solvers.sharing.mixed.mixed_holdings import draw, used
from mecopt_solvers.sharing.mixed.mixed_master import MixedMaster
from mecopt_solvers.sharing.mixed.mixed_prices import MixedDecisions, MixedPriced, MixedPricing
from mecopt_solvers.sharing.path_pool import SharingPool, fill, truth_of
from mecopt_solvers.sharing.slot import SharedSlot
from mecopt_solvers.sharing.tree import CLOSED, MOST_HELD

ROOT_STEPS, ROOT_TURN = 1_000, 50
SLOW = 1e-3  # of the bound: steps of a turn that gain less leave the rest to programs
PROGRAMS = 80
STEADY = 0.5  # of the best prices stays in the next ones, but for every third
FIRST_CAP = 10.0  # of the bound: what all of a limit above it costs in the programs at first
MET = 1e-6  # of the bound, between program and bound
NODE_STEPS = 60
KEPT_PATHS = 40  # of the last steps at the root, for the pool
MOST_PATHS = 200_000  # of a program
PATHS, PATHS_A_TASK = 10_000, 100  # of a pool that moves are made in
OTHER_PRICES, OTHER_NOISE = (
    36,
    0.1,
)  # prices whose paths join it, and how far their logarithms are from the best
OTHER_BUDGETS = (0.1, 0.3, 0.6, 1.0, 1.6, 3.0, 10.0)  # times the prices of budgets: what saves, what spends
NODE_PATHS = 20_000  # of a pool that is searched to the end
SEARCHED = 50_000  # combinations of a node that are looked at before it is split
FIRST_WITHIN = 0.02  # of the bound: reduced costs of the first pool
NOISE = (
    0.0,
    0.3,
    0.0,
    1.0,
    0.0,
    2.0,
)  # of the logarithm of what a piece is worth to its node, round by round
MOVES, MOVES_A_TASK = 20_000, 3_000  # of a round
HOTTEST, COOLEST, COLD = 0.03, 5e-4, 1e-5  # temperatures, in mean objectives of a task
DEARER, CHEAPER = 3.0, 0.8  # what becomes of the fee of being above a limit after a round without and with
FIRST_FEE, FEES = 30.0, (0.3, 1e4)  # of being above a limit by all of it, in mean objectives of a task
WIDER = 4.0  # times the reduced costs of a pool that has held no placement
FIRST_ROUNDS = 12  # without a placement: then the tree may find one
IDLE_ROUNDS = 4  # without a gain: then the tree goes on
TREE_TURN = 10  # nodes between two further rounds


@dataclass(order=True, frozen=True)
class MixedNode:
    """A node that waits; sorted by its bound."""

    bound: float
    number: int
    decided: MixedDecisions = field(compare=False)
    prices: Floats = field(compare=False)  # (rows,)
    memory: Floats = field(compare=False)  # (K, M, J), or (0, 0, 0)


class MixedSearch:
    """The search of tasks that load, budgets and memory join; all values are those of the objective."""

    def __init__(self, slot: SharedSlot, seed: int) -> None:
        self.slot, self.seed = slot, seed
        self.value, self.path = np.inf, None
        self.bound = -np.inf
        self.heap: list[MixedNode] = []
        self.born = self.rounds = self.idle = self.visits = 0
        self.pricing = MixedPricing(slot)
        self.truth = truth_of(slot)
        self.root: MixedPriced | None = None
        self.pool: SharingPool | None = None
        self.seen: list[Ints] = []
        self.start: Ints | None = None  # what the last program has most of
        self.used = np.zeros((0, 0))  # (holders, pieces) tasks that use a piece there, as it has it
        self.fee, self.within = FIRST_FEE, FIRST_WITHIN
        laid = slot.part.memory
        if laid is None:
            none = np.zeros((0, 0), dtype=np.int64)
            self.memory: tuple[Any, ...] = none, none, np.zeros(0), np.zeros(0)
        else:
            self.memory = laid.holder, laid.piece, laid.piece_bytes, laid.limit
        shape = (len(self.memory[3]), len(self.memory[2]))
        self.books = np.zeros(slot.part.rows + 1), np.zeros(shape, dtype=np.int32), np.zeros(shape[0])
        self.row = np.ascontiguousarray(self.pricing.row)

    path: Ints | None
    value: float
    bound: float

    @property
    def finished(self) -> bool:
        """Whether nothing is left to search."""
        return self.root is not None and (not self.heap or self._closed(0.0) or self._full)

    @property
    def infeasible(self) -> bool:
        """Whether it is proved that no placement meets every limit."""
        return self.root is not None and not self.heap and self.path is None

    @property
    def _full(self) -> bool:
        return len(self.heap) * (self.slot.part.weight[..., 0].size * 2) > MOST_HELD

    def offer(self, value: float, path: Ints) -> None:
        """Let the search know a placement (K, M) that meets every limit, and what it costs."""
        if value < self.value:
            self.value, self.path = value, path.copy()

    def advance(self, gap: float, should_stop: Callable[[], bool], nodes: int) -> None:
        """Search on, until the gap is reached, so much is done, or `should_stop` says so."""
        if self.root is None and not self._begin(should_stop):
            return
        for _ in range(nodes):
            self._raise_bound()
            if self.finished or self._closed(gap) or should_stop():
                return
            if self.idle < (
                IDLE_ROUNDS if self.path is not None else FIRST_ROUNDS
            ) or self.visits >= TREE_TURN * (self.rounds - IDLE_ROUNDS + 1):
                self._round()
            else:
                self._visit(heapq.heappop(self.heap), should_stop)
        self._raise_bound()

    def _closed(self, gap: float) -> bool:
        return self.value - self.bound <= max(gap, CLOSED * abs(self.value)) and self.value < np.inf

    def _raise_bound(self) -> None:
        least = self.heap[0].bound if self.heap else np.inf
        least = min(least, self.value)
        if np.isfinite(least):
            self.bound = max(self.bound, least)

    def _cutoff(self) -> float:
        return np.inf if np.isinf(self.value) else self.value - CLOSED * abs(self.value)

    # --- the root ---
    def _begin(self, should_stop: Callable[[], bool]) -> bool:
        """Find good prices without any decision; whether there is something to search."""
        pricing, decided = self.pricing, MixedDecisions.none(self.slot)
        rows, servers = self.slot.part.rows, self.slot.part.slots * self.slot.servers
        curve, best = self.slot.curve, None
        for load in (0.0, *FIRST_LOADS):
            _, level, _ = curve_kernels.smooth(load, curve.worth, curve.mm1)
            prices = np.where(np.arange(rows) < servers, level, 0.0)
            found = pricing.price(prices, pricing.no_memory(), decided)
            self.seen.append(found.priced.path)
            if best is None or found.priced.bound > best.priced.bound:
                best = found
        assert best is not None
        self.root = best
        if np.isinf(best.priced.bound):  # some task has no path at all
            return False
        for _ in range(0, ROOT_STEPS, ROOT_TURN):
            before = best.priced.bound
            best = pricing.climb(best, decided, ROOT_TURN, self._cutoff(), should_stop, self.seen)
            self.bound = max(self.bound, min(best.priced.bound, self.value))
            del self.seen[:-KEPT_PATHS]
            if should_stop() or best.priced.bound - before < SLOW * abs(before):
                break
        self.root = best = self._programs(best, decided, should_stop)
        self._push(best, decided, best.priced.bound)
        self._refill()
        return True

    def _programs(
        self, best: MixedPriced, decided: MixedDecisions, should_stop: Callable[[], bool]
    ) -> MixedPriced:
        """Raise the bound by the prices of linear programs, until they say that there are no better ones."""
        master, pricing = MixedMaster(self.pricing), self.pricing
        cap = FIRST_CAP * max(abs(best.priced.bound), 1e-300)
        start = np.stack(self.seen)
        for turn in range(PROGRAMS):
            pool = fill(self.slot, best.priced, -1.0, MOST_PATHS, start)
            program = None if pool is None or should_stop() else master.solve(pool, cap)
            if pool is None or program is None or not np.isfinite(program.prices).all():
                break
            self.start = pool.path[_largest(pool, program.share)]
            if pricing.short is not None:
                self.used = used(pricing, pool.task, pool.path, program.share)
            near = STEADY ** min(turn, 1) if turn % 3 else 0.0
            before = best.priced
            found = pricing.price(
                near * before.prices[:-1] + (1.0 - near) * program.prices,
                near * best.memory + (1.0 - near) * program.memory,
                decided,
            )
            start = np.concatenate([start, found.priced.path[None]])
            if found.priced.bound > before.bound:
                best = found
                self.bound = max(self.bound, min(best.priced.bound, self.value))
            if program.value - best.priced.bound <= MET * abs(best.priced.bound):
                if program.overflow < MET or turn + 1 == PROGRAMS:
                    break
                cap *= 10.0
        self.seen = list(start[-KEPT_PATHS:])
        return best

    def _refill(self) -> None:
        """List the paths near the prices of the root, as many as there may be."""
        assert self.root is not None
        priced = self.root.priced
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
        return self._fitting(pool)

    def _fitting(self, pool: SharingPool) -> SharingPool:
        """Return the pool without paths that break a limit alone, but for tasks that have no other."""
        fits = (pool.use <= self.pricing.curve[2][self.row[pool.task]]).all(axis=1)
        some = np.bincount(pool.task, fits, len(pool.first) - 1) > 0
        return pool.at(np.flatnonzero(fits | ~some[pool.task]))

    # --- placements ---
    def _common(self) -> tuple[Any, ...]:
        return self.memory, self.books, self.pricing.curve, self.slot.slot_s, self.truth

    def _round(self) -> None:
        """Anneal once from the best placement, or from the paths at the prices."""
        assert self.root is not None
        rng = np.random.default_rng([self.seed, self.rounds])
        mean = max(float(np.abs(self.root.priced.value).mean()), 1e-300)
        start = self.path
        if start is None:
            start = (
                self.start
                if self.start is not None and self.rounds % 2 == 0
                else self.seen[-1 - self.rounds // 2 % len(self.seen)]
            )
        pool = self._moves(start, rng)
        self.rounds, before = self.rounds + 1, self.value
        if pool is None:
            self.idle += 1
            return
        chosen = pool.index(start)
        best = chosen.copy()
        hot = float(np.exp(rng.uniform(np.log(COOLEST), np.log(HOTTEST)))) * mean
        moves = MOVES + MOVES_A_TASK * len(chosen)
        value = kernels.anneal(
            self.row, (pool.first, pool.path, pool.cost, pool.use), *self._common(),
            chosen, best, self.value, self.fee * mean, hot, COLD * mean, moves, int(rng.integers(2**31)),
        )  # fmt: skip
        self.offer(value, pool.path[best])
        gained = value < np.inf and (before == np.inf or before - value > 1e-9 * abs(before))
        ended = kernels.value(chosen, self.row, (pool.first, pool.path, pool.cost, pool.use), *self._common())
        self.fee = float(np.clip(self.fee * (DEARER if np.isinf(ended) else CHEAPER), *FEES))
        self.idle = 0 if gained else self.idle + 1
        if np.isinf(before):  # with a placement fewer paths matter; without one, others have to
            self.within *= WIDER
            self._refill()

    def _moves(self, start: Ints, rng: np.random.Generator) -> SharingPool | None:
        """Return the paths of a round: all near ones, or where memory is short those of what is held."""
        pricing, root, pool = self.pricing, self.root, self.pool
        assert root is not None
        assert pool is not None
        if pricing.short is None:
            return pool
        tasks, noise = len(self.slot.drop), NOISE[self.rounds % len(NOISE)]
        use = self.used
        if self.path is not None or not use.size:
            use = used(pricing, np.arange(tasks), start, np.ones(tasks))
        decided = replace(MixedDecisions.none(self.slot), banned=draw(pricing, use, noise, rng))
        priced = pricing.price(root.priced.prices[:-1], pricing.no_memory(), decided).priced
        if np.isinf(priced.bound):
            return None
        seen = np.zeros((0, *priced.path.shape), dtype=np.int64) if noise else start[None]
        return self._near(priced, pool.within, seen, decided)

    # --- the tree ---
    def _push(self, priced: MixedPriced, decided: MixedDecisions, bound: float) -> None:
        node = MixedNode(bound, self.born, decided, priced.priced.prices[:-1], priced.memory)
        heapq.heappush(self.heap, node)
        self.born += 1

    def _visit(self, node: MixedNode, should_stop: Callable[[], bool]) -> None:
        self.visits += 1
        cutoff = self._cutoff()
        if node.bound >= cutoff:
            return
        laid, decided = self.slot.part.memory, node.decided
        if laid is not None and (decided.held @ laid.piece_bytes > laid.limit).any():
            return
        first = self.pricing.price(node.prices, node.memory, decided)
        if np.isinf(first.priced.bound):
            return
        seen: list[Ints] = [first.priced.path]
        priced = self.pricing.climb(first, decided, NODE_STEPS, cutoff, lambda: False, seen)
        bound = max(node.bound, priced.priced.bound)
        if bound >= cutoff:
            return
        none = np.zeros((0, *priced.priced.path.shape), dtype=np.int64)
        pool = fill(self.slot, priced.priced, cutoff - bound, NODE_PATHS, none)
        if pool is not None:
            pool = self._fitting(_allowed(pool, decided, cutoff - priced.priced.bound))
            if self._searched(pool, cutoff):
                return
            decided = _narrowed(pool, decided)
        for child in self._split(priced, decided, pool, seen):
            self._push(priced, child, bound)

    def _searched(self, pool: SharingPool, cutoff: float) -> bool:
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

    def _split(
        self, priced: MixedPriced, decided: MixedDecisions, pool: SharingPool | None, seen: list[Ints]
    ) -> tuple[MixedDecisions, MixedDecisions]:
        """Decide on a piece of an overfull memory, else on the block whose node is most open."""
        piece = self._short_piece(priced.priced.path, decided)
        if piece is not None:
            banned = decided.banned | (self.pricing.real & (self.pricing.at == piece))
            held = decided.held.copy()
            held.ravel()[piece] = True
            return replace(decided, banned=banned), replace(decided, held=held)
        tasks, stages = priced.priced.path.shape
        nodes = self.slot.part.nodes
        choices = np.zeros((tasks, stages, nodes + 1), dtype=bool)  # the last stands for being left out
        choices[:, :, :nodes] = (
            ~decided.banned & (np.arange(stages) < self.slot.part.blocks[:, None])[:, :, None]
        )
        choices[:, 0, nodes] = np.isfinite(self.slot.drop) & ~decided.served
        choices[decided.left_out] = False
        if pool is not None:
            there = np.zeros_like(choices)
            there[pool.task[:, None], np.arange(stages), pool.path] = True
            choices &= there
        share = np.zeros(choices.shape)
        for path in seen[-NODE_STEPS:]:
            share[np.arange(tasks)[:, None], np.arange(stages), path] += 1.0 / min(len(seen), NODE_STEPS)
        open_ = choices & (choices.sum(axis=2) > 1)[:, :, None]
        score = np.where(open_, 0.5 - np.abs(share - 0.5), -1.0)
        k, m, j = (int(i) for i in np.unravel_index(int(score.argmax()), score.shape))
        if score[k, m, j] < 0.0:
            raise AssertionError("a node that cannot be split has been searched")
        mine = np.arange(tasks) == k
        if j == nodes:
            return replace(decided, left_out=decided.left_out | mine), replace(
                decided, served=decided.served | mine
            )
        here, elsewhere = decided.banned.copy(), decided.banned.copy()
        here[k, m, np.arange(nodes) != j] = True
        elsewhere[k, m, j] = True
        return replace(decided, banned=here, served=decided.served | mine), replace(decided, banned=elsewhere)

    def _short_piece(self, path: Ints, decided: MixedDecisions) -> int | None:
        """Return the holder and piece that most tasks use, times its size, where a memory is overfull."""
        laid = self.slot.part.memory
        if laid is None or self.pricing.short is None:
            return None
        k, m = np.nonzero(path >= 0)
        used = np.bincount(self.pricing.at[k, m, path[k, m]], minlength=decided.held.size)
        used = used.reshape(decided.held.shape)
        over = ((used > 0) | decided.held) @ laid.piece_bytes > laid.limit
        worth = np.where(over[:, None] & (used > 0) & ~decided.held, used * (laid.piece_bytes + 1e-300), 0.0)
        return int(worth.argmax()) if worth.max(initial=0.0) > 0.0 else None


def _largest(pool: SharingPool, share: Floats) -> Ints:
    """Return the path of every task that has the largest share, (K,)."""
    order = np.lexsort((share, pool.task))
    last: Ints = order[pool.first[1:] - 1]
    return last


def _allowed(pool: SharingPool, decided: MixedDecisions, room: float) -> SharingPool:
    """Return the pool without what decisions rule out, or what is too dear."""
    out = pool.path[:, 0] < 0
    banned = np.where(out, decided.served[pool.task], decided.left_out[pool.task])
    return pool.at(np.flatnonzero(~banned & (pool.reduced < room)))


def _narrowed(pool: SharingPool, decided: MixedDecisions) -> MixedDecisions:
    """Ban the nodes of blocks that no path of a complete pool uses."""
    stages = pool.path.shape[1]
    there = np.zeros((*decided.banned.shape[:2], decided.banned.shape[2] + 1), dtype=bool)
    there[pool.task[:, None], np.arange(stages), pool.path] = True
    real = there[:, :, :-1].any(axis=2)
    banned = decided.banned | (~there[:, :, :-1] & real[:, :, None])
    out = np.zeros(len(decided.served), dtype=bool)
    out[pool.task[pool.path[:, 0] < 0]] = True
    return replace(
        decided, banned=banned, served=decided.served | ~out, left_out=decided.left_out | ~real[:, 0]
    )
