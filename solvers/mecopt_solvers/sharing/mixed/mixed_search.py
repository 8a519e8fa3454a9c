"""The search of sharing beside budgets and memory: prices, annealing over near paths, branch and bound.

The tree decides which node runs a block of a task, and which pieces a node holds. A node whose paths of small
reduced cost have few combinations is searched to the end with all limits, so nothing rests on the prices but
the bound.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.sharing import curve_kernels
from mecopt_solvers.sharing.load_prices import FIRST_LOADS
from mecopt_solvers.sharing.mixed.mixed_holdings import used
from mecopt_solvers.sharing.mixed.mixed_master import MixedMaster
from mecopt_solvers.sharing.mixed.mixed_moves import MixedMoves
from mecopt_solvers.sharing.mixed.mixed_prices import MixedDecisions, MixedPriced, MixedPricing
from mecopt_solvers.sharing.mixed.mixed_tree import MixedNode, allowed, narrowed, split
from mecopt_solvers.sharing.path_pool import SharingPool, fill
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
NODE_PATHS = 20_000  # of a pool that is searched to the end
FIRST_ROUNDS = 12  # without a placement: then the tree may find one
IDLE_ROUNDS = 4  # without a gain: then the tree goes on
TREE_TURN = 10  # nodes between two further rounds


class MixedSearch:
    """The search of tasks that load, budgets and memory join; all values are those of the objective."""

    def __init__(self, slot: SharedSlot, seed: int) -> None:
        self.slot, self.pricing = slot, MixedPricing(slot)
        self.moves = MixedMoves(self.pricing, seed)
        self.bound = -np.inf
        self.heap: list[MixedNode] = []
        self.born = self.visits = 0
        self.root: MixedPriced | None = None
        self.met = False  # whether no other prices prove more

    @property
    def value(self) -> float:
        """Objective of the best placement so far, inf while there is none."""
        return self.moves.value

    @property
    def path(self) -> Ints | None:
        """The best placement so far, (K, M)."""
        return self.moves.path

    @property
    def prices_alone(self) -> tuple[float, bool]:
        """What prices prove without any decision, and whether no others prove more."""
        return (-np.inf, False) if self.root is None else (self.root.priced.bound, self.met)

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
        self.moves.offer(value, path)

    def advance(self, gap: float, should_stop: Callable[[], bool], nodes: int) -> None:
        """Search on, until the gap is reached, so much is done, or `should_stop` says so."""
        if self.root is None and not self._begin(should_stop):
            return
        for _ in range(nodes):
            self._raise_bound()
            if self.finished or self._closed(gap) or should_stop():
                return
            if self._moves_are_due():
                assert self.root is not None
                self.moves.round(self.root.priced, should_stop)
            else:
                self._visit(heapq.heappop(self.heap), should_stop)
        self._raise_bound()

    def _moves_are_due(self) -> bool:
        moves, patience = self.moves, IDLE_ROUNDS if self.path is not None else FIRST_ROUNDS
        return moves.idle < patience or self.visits >= TREE_TURN * (moves.rounds - IDLE_ROUNDS + 1)

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
            self.moves.seen.append(found.priced.path)
            if best is None or found.priced.bound > best.priced.bound:
                best = found
        assert best is not None
        self.root = best
        if np.isinf(best.priced.bound):  # some task has no path at all
            return False
        for _ in range(0, ROOT_STEPS, ROOT_TURN):
            before = best.priced.bound
            best = pricing.climb(best, decided, ROOT_TURN, self._cutoff(), should_stop, self.moves.seen)
            self.bound = max(self.bound, min(best.priced.bound, self.value))
            del self.moves.seen[:-KEPT_PATHS]
            if should_stop() or best.priced.bound - before < SLOW * abs(before):
                break
        if not should_stop():  # something that fits, before programs that may take long
            self.moves.round(best.priced, should_stop)
        self.root = best = self._programs(best, decided, should_stop)
        self.moves.pool = None  # of prices that others have taken the place of
        self._push(best, decided, best.priced.bound)
        return True

    def _programs(
        self, best: MixedPriced, decided: MixedDecisions, should_stop: Callable[[], bool]
    ) -> MixedPriced:
        """Raise the bound by the prices of linear programs, until they say that there are no better ones."""
        master, pricing = MixedMaster(self.pricing), self.pricing
        cap = FIRST_CAP * max(abs(best.priced.bound), 1e-300)
        start = np.stack(self.moves.seen)
        for turn in range(PROGRAMS):
            pool = None if should_stop() else fill(self.slot, best.priced, -1.0, MOST_PATHS, start)
            program = None if pool is None else master.solve(pool, cap, should_stop)
            if pool is None or program is None or not np.isfinite(program.prices).all():
                break
            self.moves.start = pool.path[_largest(pool, program.share)]
            if pricing.short is not None:
                self.moves.used = used(pricing, pool.task, pool.path, program.share)
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
                self.met = program.overflow < MET and program.complete
                if program.overflow < MET or turn + 1 == PROGRAMS:
                    break
                cap *= 10.0
        self.moves.seen = list(start[-KEPT_PATHS:])
        return best

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
            pool = self.moves.fitting(allowed(pool, decided, cutoff - priced.priced.bound))
            if self.moves.search_all(pool, cutoff):
                return
            decided = narrowed(pool, decided)
        for child in split(self.pricing, priced, decided, pool, seen):
            self._push(priced, child, bound)


def _largest(pool: SharingPool, share: Floats) -> Ints:
    """Return the path of every task that has the largest share, (K,)."""
    order = np.lexsort((share, pool.task))
    last: Ints = order[pool.first[1:] - 1]
    return last
