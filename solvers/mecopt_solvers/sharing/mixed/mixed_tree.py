"""The tree of sharing beside budgets and memory: its nodes, what they rule out, and how they are split."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.sharing.mixed.mixed_prices import Flags, MixedDecisions, MixedPriced, MixedPricing
from mecopt_solvers.sharing.path_pool import SharingPool

SEEN = 60  # of the last paths, that say where prices are not sure


@dataclass(order=True, frozen=True)
class MixedNode:
    """A node that waits; sorted by its bound."""

    bound: float
    number: int
    decided: MixedDecisions = field(compare=False)
    prices: Floats = field(compare=False)  # (rows,)
    memory: Floats = field(compare=False)  # (K, M, J), or (0, 0, 0)


def allowed(pool: SharingPool, decided: MixedDecisions, room: float) -> SharingPool:
    """Return the pool without what decisions rule out, or what is too dear."""
    out = pool.path[:, 0] < 0
    banned: Flags = np.where(out, decided.served[pool.task], decided.left_out[pool.task])
    return pool.at(np.flatnonzero(~banned & (pool.reduced < room)))


def narrowed(pool: SharingPool, decided: MixedDecisions) -> MixedDecisions:
    """Ban the nodes of blocks that no path of a complete pool uses."""
    stages = pool.path.shape[1]
    there: Flags = np.zeros((*decided.banned.shape[:2], decided.banned.shape[2] + 1), dtype=bool)
    there[pool.task[:, None], np.arange(stages), pool.path] = True
    real: Flags = np.logical_or.reduce(there[:, :, :-1], axis=2)
    banned = decided.banned | (~there[:, :, :-1] & real[:, :, None])
    out = np.zeros(len(decided.served), dtype=bool)
    out[pool.task[pool.path[:, 0] < 0]] = True
    return replace(
        decided, banned=banned, served=decided.served | ~out, left_out=decided.left_out | ~real[:, 0]
    )


def split(
    pricing: MixedPricing,
    priced: MixedPriced,
    decided: MixedDecisions,
    pool: SharingPool | None,
    seen: list[Ints],
) -> tuple[MixedDecisions, MixedDecisions]:
    """Decide on a piece of an overfull memory, else on the block whose node is most open."""
    piece = _short_piece(pricing, priced.priced.path, decided)
    if piece is not None:
        banned = decided.banned | (pricing.real & (pricing.at == piece))
        held = decided.held.copy()
        held.ravel()[piece] = True
        return replace(decided, banned=banned), replace(decided, held=held)
    k, m, j = _most_open(pricing, decided, pool, seen)
    nodes = pricing.part.nodes
    mine = np.arange(len(decided.served)) == k
    if j == nodes:
        return replace(decided, left_out=decided.left_out | mine), replace(
            decided, served=decided.served | mine
        )
    here, elsewhere = decided.banned.copy(), decided.banned.copy()
    here[k, m, np.arange(nodes) != j] = True
    elsewhere[k, m, j] = True
    return replace(decided, banned=here, served=decided.served | mine), replace(decided, banned=elsewhere)


def _most_open(
    pricing: MixedPricing, decided: MixedDecisions, pool: SharingPool | None, seen: list[Ints]
) -> tuple[int, int, int]:
    """Return task, block and node, the last + 1 for leaving the task out, that prices are least sure of."""
    tasks, stages, nodes = decided.banned.shape
    choices = np.zeros((tasks, stages, nodes + 1), dtype=bool)  # the last stands for being left out
    choices[:, :, :nodes] = ~decided.banned & (np.arange(stages) < pricing.part.blocks[:, None])[:, :, None]
    choices[:, 0, nodes] = np.isfinite(pricing.slot.drop) & ~decided.served
    choices[decided.left_out] = False
    if pool is not None:
        there = np.zeros_like(choices)
        there[pool.task[:, None], np.arange(stages), pool.path] = True
        choices &= there
    share = np.zeros(choices.shape)
    for path in seen[-SEEN:]:
        share[np.arange(tasks)[:, None], np.arange(stages), path] += 1.0 / min(len(seen), SEEN)
    open_: Flags = choices & (choices.sum(axis=2) > 1)[:, :, None]
    score = np.where(open_, 0.5 - np.abs(share - 0.5), -1.0)
    k, m, j = (int(i) for i in np.unravel_index(int(score.argmax()), score.shape))
    if score[k, m, j] < 0.0:
        raise AssertionError("a node that cannot be split has been searched")
    return k, m, j


def _short_piece(pricing: MixedPricing, path: Ints, decided: MixedDecisions) -> int | None:
    """Return the holder and piece that most tasks use, times its size, where a memory is overfull."""
    laid = pricing.part.memory
    if laid is None or pricing.short is None:
        return None
    k, m = np.nonzero(path >= 0)
    used = np.bincount(pricing.at[k, m, path[k, m]], minlength=decided.held.size)
    used = used.reshape(decided.held.shape)
    over = ((used > 0) | decided.held) @ laid.piece_bytes > laid.limit
    worth = np.where(over[:, None] & (used > 0) & ~decided.held, used * (laid.piece_bytes + 1e-300), 0.0)
    return int(worth.argmax()) if worth.max(initial=0.0) > 0.0 else None
