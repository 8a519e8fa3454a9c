"""Every undominated plan of few tasks, in two or three figures: labels that go through the trellis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints


@dataclass(frozen=True, eq=False)
class Plans:
    """Undominated plans; P of them, D figures each, by the first figure."""

    figures: Floats  # (P, D)
    nodes: Ints  # (P, M) of one task; or (P, K), which of each task's plans


def of_task(steps: Floats, blocks: int, most: int) -> Plans | None:
    """Find every undominated plan of one task; None where that would take too many labels.

    Parameters
    ----------
    steps : array of shape (D, M, J, J)
        Figures of every step, inf in each of them where it is forbidden.
    blocks : int
    most : int
        Labels that are held at most.
    """
    figures, nodes = steps[:, 0, 0, :].T, np.arange(steps.shape[3])[:, None]
    there = np.isfinite(figures).all(axis=1)
    figures, nodes = figures[there], nodes[there]
    for m in range(1, blocks):
        onward = figures[:, None, :] + np.moveaxis(steps[:, m][:, nodes[:, -1], :], 0, -1)
        before, node = np.nonzero(np.isfinite(onward).all(axis=2))
        if len(before) > most:
            return None
        found = onward[before, node]
        kept = undominated(node if m < blocks - 1 else np.zeros_like(node), found)
        figures = found[kept]
        nodes = np.column_stack([nodes[before[kept]], node[kept]])
    if blocks == 1:
        kept = undominated(np.zeros(len(figures), dtype=np.int64), figures)
        figures, nodes = figures[kept], nodes[kept]
    return Plans(figures, nodes)


def together(parts: list[Plans], most: int) -> Plans | None:
    """Add up the plans of some tasks; None where that would take too many."""
    figures, chosen = np.zeros((1, parts[0].figures.shape[1])), np.empty((1, 0), dtype=np.int64)
    for part in parts:
        if len(figures) * len(part.figures) > most:
            return None
        sums = (figures[:, None, :] + part.figures[None]).reshape(-1, figures.shape[1])
        kept = undominated(np.zeros(len(sums), dtype=np.int64), sums)
        before, own = np.divmod(kept, len(part.figures))
        figures, chosen = sums[kept], np.column_stack([chosen[before], own])
    return Plans(figures, chosen)


def along_the_hull(parts: list[Plans]) -> Plans:
    """Add up the supported plans of many parts, two figures: from each sum to the next one part moves on."""
    corners = [np.flatnonzero(supported(part.figures)) for part in parts]
    moves: list[tuple[float, int, int]] = []
    for at, (part, kept) in enumerate(zip(parts, corners, strict=True)):
        steps = np.diff(part.figures[kept], axis=0)
        slopes = (steps[:, 0] / -steps[:, 1]).tolist()  # what a part of the second costs of the first
        moves += [(slope, at, int(to)) for slope, to in zip(slopes, kept[1:].tolist(), strict=True)]
    chosen = np.array([int(kept[0]) for kept in corners])
    states = [chosen]
    for _, at, to in sorted(moves):
        chosen = chosen.copy()
        chosen[at] = to
        states.append(chosen)
    nodes = np.stack(states)
    figures = sum(part.figures[nodes[:, at]] for at, part in enumerate(parts))
    return Plans(np.asarray(figures), nodes)


def supported(figures: Floats) -> NDArray[np.bool_]:
    """Say which points of a front of two figures, by the first, are the least for some weights."""
    corner = np.ones(len(figures), dtype=bool)
    stack: list[int] = []
    for p, (x, y) in enumerate(figures.tolist()):
        while len(stack) > 1:
            (x1, y1), (x2, y2) = figures[stack[-2]].tolist(), figures[stack[-1]].tolist()
            if (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1) > 0:
                break
            corner[stack.pop()] = False
        stack.append(p)
    return corner


def undominated(group: Ints, figures: Floats) -> Ints:
    """Return the points that no other of their group is as good as in every figure, by the first figure."""
    from mecopt.what_if.dominance_kernels import undominated as search

    order = np.lexsort((*figures.T[::-1], group))
    kept = np.empty(len(order), dtype=np.int64)
    count = search(group[order], np.ascontiguousarray(figures[order]), kept)
    found: Ints = order[kept[:count]]
    return found
