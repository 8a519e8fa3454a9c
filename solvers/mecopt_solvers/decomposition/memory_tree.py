"""Memory: a search over what every node holds, with all other limits at their prices or solved below.

A holder is a server in a slot, or a device; a piece is one block of one model. Once it is decided which
pieces a holder may run, memory asks nothing more. So the tree decides "holds it" or "does not", and its
relaxation lets tasks use whatever is not ruled out: a shortest path each, valid for any prices of other rows.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt_solvers.decomposition.branch import CLOSED, Tree, ceiling
from mecopt_solvers.decomposition.dual import Priced, price_paths
from mecopt_solvers.decomposition.problem import Memory, Part

CANDIDATES = 8  # pieces tried before one is branched on
DIVES = 40  # nodes whose relaxation is rounded when other limits need a search of their own
LEAF_NODES = 8
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MemoryNode:
    """What is decided, and what the relaxation makes of it."""

    bound: float
    allowed: Flags  # (holders, pieces)
    held: Flags  # (holders, pieces) decided to be there, whether used or not
    priced: Priced
    leaf: Tree | None = None  # the search of the other limits, once memory asks nothing more


@dataclass(eq=False)
class MemorySearch:
    """The search of one part whose nodes hold limited memory."""

    part: Part
    memory: Memory
    seed: int = 0
    value: float = np.inf
    path: Ints | None = None
    bound: float = -np.inf
    closed: float = np.inf
    open: list[tuple[float, int, MemoryNode]] = field(default_factory=list)
    born: int = 0
    visited: int = 0
    prices: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.prices = np.zeros(self.part.rows + 1)
        self.ceiling = ceiling(self.part)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to search."""
        return self.born > 0 and not self.open

    @property
    def infeasible(self) -> bool:
        """Whether it is proved that no placement meets every limit."""
        return self.finished and self.path is None and self.closed >= self.ceiling

    @property
    def cutoff(self) -> float:
        """What a node must stay below to be of interest."""
        return self.ceiling if self.value == np.inf else self.value - CLOSED * abs(self.value)

    def advance(self, gap: float, should_stop: Callable[[], bool], nodes: int) -> None:
        """Search on, until the gap is reached, so many nodes are visited, or `should_stop` says so."""
        if self.born == 0:
            self._root(should_stop)
        for _ in range(nodes):
            self._raise_bound()
            if self.finished or self.value - self.bound <= gap or should_stop():
                return
            self._visit(heapq.heappop(self.open)[2], should_stop)
        self._raise_bound()

    def _raise_bound(self) -> None:
        least = min(self.closed, self.value, self.open[0][0] if self.open else np.inf)
        self.bound = max(self.bound, min(least, self.ceiling))

    def _root(self, should_stop: Callable[[], bool]) -> None:
        if self.part.rows:  # prices that are good without memory are good enough with it
            tree = Tree(replace(self.part, memory=None), self.seed)
            tree.advance(0.0, should_stop, 0)
            if tree.finished:
                self.born, self.closed = 1, tree.closed
                return
            self.prices = tree.open[0][2].priced.prices
        shape = (len(self.memory.limit), len(self.memory.piece_bytes))
        fits = self.memory.piece_bytes <= self.memory.limit[:, None]
        self._keep(fits, np.zeros(shape, dtype=bool), -np.inf)

    def _keep(self, allowed: Flags, held: Flags, inherited: float) -> None:
        """Price the relaxation of a node, and keep it unless nothing better can be in it."""
        self.born += 1
        memory = self.memory
        room = memory.limit - (held @ memory.piece_bytes)
        if (room < 0).any():
            return
        allowed = allowed & (held | (memory.piece_bytes <= room[:, None]))
        priced = self._price(allowed)
        bound = max(priced.bound, inherited)
        if bound >= self.cutoff:
            self.closed = min(self.closed, bound)
            return
        heapq.heappush(self.open, (bound, self.born, MemoryNode(bound, allowed, held, priced)))

    def _price(self, allowed: Flags) -> Priced:
        return price_paths(self.part, self.prices, extra=self._bans(allowed))

    def _bans(self, allowed: Flags) -> Floats:
        """Return inf for every node that may not run a task's block, (K, M, J)."""
        memory = self.memory
        piece = np.maximum(memory.piece, 0)
        ok = allowed[memory.holder[:, None, :], piece[:, :, None]] | (memory.piece < 0)[:, :, None]
        return np.where(ok, 0.0, np.inf)

    def _used(self, path: Ints) -> Ints:
        """Count the tasks that use each piece at each holder, (holders, pieces)."""
        memory = self.memory
        task, block = np.nonzero(path >= 0)
        holder = memory.holder[task, path[task, block]]
        pieces = len(memory.piece_bytes)
        key = holder * pieces + memory.piece[task, block]
        return np.bincount(key, minlength=len(memory.limit) * pieces).reshape(-1, pieces)

    def _visit(self, node: MemoryNode, should_stop: Callable[[], bool]) -> None:
        if node.bound >= self.cutoff:
            self.closed = min(self.closed, node.bound)
            return
        self.visited += 1
        if node.leaf is not None:
            self._search_leaf(node, node.leaf, should_stop)
            return
        memory = self.memory
        used = self._used(node.priced.path)
        self._round(node, used, should_stop)
        wanted = (used > 0) | node.held
        over = wanted @ memory.piece_bytes > memory.limit
        if not over.any():
            if self.part.rows == 0:
                self.offer(float(node.priced.cost.sum()), node.priced.path)
                self.closed = min(self.closed, max(node.bound, self.cutoff))
                return
            wanted = node.allowed  # nothing is over memory under these prices; it may be under others
            over = wanted @ memory.piece_bytes > memory.limit
            if not over.any():
                leaf = Tree(self._without(node.allowed), self.seed)
                self._search_leaf(node, leaf, should_stop)
                return
        free = wanted & over[:, None] & node.allowed & ~node.held
        self._branch(node, free, used)

    def _branch(self, node: MemoryNode, free: Flags, used: Ints) -> None:
        """Decide on the piece whose absence costs the most."""
        weight = np.where(free, (used + 1e-3) * self.memory.piece_bytes, -1.0)
        best, chosen = -np.inf, (0, 0)
        for at in np.argsort(-weight, axis=None)[:CANDIDATES]:
            h, piece = (int(i) for i in np.unravel_index(at, weight.shape))
            if weight[h, piece] < 0:
                break
            allowed = node.allowed.copy()
            allowed[h, piece] = False
            bound = self._price(allowed).bound
            if bound > best:
                best, chosen = bound, (h, piece)
        allowed, held = node.allowed.copy(), node.held.copy()
        allowed[chosen], held[chosen] = False, True
        self._keep(allowed, node.held, node.bound)
        self._keep(node.allowed, held, node.bound)

    def _round(self, node: MemoryNode, used: Ints, should_stop: Callable[[], bool]) -> None:
        """Let every holder keep what it needs most, task for byte, and place the tasks on what is kept."""
        memory = self.memory
        size = memory.piece_bytes
        kept = node.held.copy()
        left = memory.limit - kept @ size
        worth = np.where(node.allowed & ~node.held, used + 1e-6, -1.0) / np.maximum(size, 1e-300) ** 0.5
        for piece in np.argsort(-worth, axis=1).T:  # every holder's best, then every holder's next
            rows = np.arange(len(left))
            fits = (worth[rows, piece] > 0) & (size[piece] <= left)
            kept[rows[fits], piece[fits]] = True
            left = left - np.where(fits, size[piece], 0.0)
        if self.part.rows == 0:
            priced = self._price(kept)
            self.offer(float(priced.cost.sum()), priced.path)
            if self.visited <= DIVES or self.visited % 50 == 0:
                self._exchange(kept, should_stop)
        elif self.visited <= DIVES:
            tree = Tree(self._without(kept), self.seed + self.visited)
            tree.advance(0.0, should_stop, 2)
            if tree.path is not None:
                self.offer(tree.value, tree.path)

    def _exchange(self, kept: Flags, should_stop: Callable[[], bool]) -> None:
        """Exchange pieces in one holder at a time, as long as it helps."""
        memory = self.memory
        size, value = memory.piece_bytes, float(self._price(kept).cost.sum())
        used = self._used(self._price(kept).path)
        busy = np.flatnonzero(np.isfinite(memory.limit) & (used.sum(axis=1) > 0))
        rng = np.random.default_rng(self.seed + self.visited)
        for h in rng.permutation(busy)[:16]:
            for piece in np.flatnonzero(~kept[h] & (size <= memory.limit[h])):
                if should_stop():
                    return
                trial = kept.copy()
                trial[h, piece] = True
                for out in np.flatnonzero(kept[h])[np.argsort(used[h][kept[h]])]:
                    if trial[h] @ size <= memory.limit[h]:
                        break
                    trial[h, out] = False
                priced = self._price(trial)
                cost = float(priced.cost.sum())
                if cost < value:
                    kept, value, used = trial, cost, self._used(priced.path)
                    self.offer(cost, priced.path)

    def _without(self, allowed: Flags) -> Part:
        """Return the part with memory turned into forbidden nodes."""
        weight = self.part.weight + self._bans(allowed)[:, :, None, :]
        return replace(self.part, weight=weight, memory=None)

    def _search_leaf(self, node: MemoryNode, leaf: Tree, should_stop: Callable[[], bool]) -> None:
        leaf.advance(0.0, should_stop, LEAF_NODES)
        if leaf.path is not None:
            self.offer(leaf.value, leaf.path)
        bound = max(node.bound, leaf.bound)
        if leaf.finished or bound >= self.cutoff:
            self.closed = min(self.closed, leaf.closed if leaf.finished else bound)
            return
        self.born += 1
        heapq.heappush(self.open, (bound, self.born, replace(node, bound=bound, leaf=leaf)))

    def offer(self, value: float, path: Ints) -> None:
        """Let the search know a placement (K, M) that meets every limit, and what it costs."""
        if value < self.value:
            self.value, self.path = value, path.copy()
