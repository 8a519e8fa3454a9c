"""Where a network is cut into M blocks: one family of nested cuts, balanced by multiply-adds.

A cut is a set of layer boundaries. All cuts of a network are nested: each comes from the next coarser one by
one more boundary. The rule:

1. Six blocks are the start, either given or, of all cuts into six, the one that makes the largest block
   smallest; then the blocks most even (least sum of squares); then the fewest values cross; then earliest.
2. For more than six, the block with the most multiply-adds whose split leaves some in both parts is split,
   one at a time; when there is none, the one with the most that has two layers. (So poolings are cut off
   last.) It is split where the larger part is smallest, then where the fewest values cross, then earliest.
3. For fewer than six, the two neighbours with the fewest multiply-adds together are merged, one pair at a
   time, the earliest among equals.

Cycles are multiply-adds times a constant, so the same cuts balance cycles.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate, combinations, pairwise

START = 6  # blocks of the cut that all others refine or coarsen

Ints = tuple[int, ...]  # one number a layer
Cut = tuple[int, ...]  # ascending positions p, 0 < p < layers: a boundary in front of layer p


@cache
def cut(macs: Ints, entering: Ints, blocks: int, start: Cut | None = None) -> Cut:
    """Return the boundaries of the cut into `blocks` blocks.

    Parameters
    ----------
    macs : tuple of int
        Multiply-adds of each layer.
    entering : tuple of int
        Values of the feature map that enters each layer: what crosses a boundary in front of it.
    blocks : int
        Number of blocks, from 1 to the number of layers.
    start : tuple of int, optional
        The cut into six blocks; computed when not given.

    Returns
    -------
    tuple of int
        Ascending positions p, 0 < p < layers: a boundary in front of layer p.
    """
    if start is None:
        start = balanced(macs, entering, min(START, len(macs)))
    points = start
    while len(points) + 1 < blocks:
        points = _split(macs, entering, points)
    while len(points) + 1 > blocks:
        points = _merge(macs, points)
    return points


def balanced(macs: Ints, entering: Ints, blocks: int) -> Cut:
    """Return the most balanced of all cuts into `blocks` blocks (step 1), by trying every one."""
    upto = (0, *accumulate(macs))

    def unevenness(points: Cut) -> tuple[int, int, int, Cut]:
        parts = [upto[last] - upto[first] for first, last in pairwise((0, *points, len(macs)))]
        return max(parts), sum(part * part for part in parts), sum(entering[p] for p in points), points

    return min(combinations(range(1, len(macs)), blocks - 1), key=unevenness)


def _split(macs: Ints, entering: Ints, points: Cut) -> Cut:
    """Add the boundary of step 2."""

    def rank(span: tuple[int, int]) -> tuple[bool, int, int]:
        layers = macs[slice(*span)]
        worthwhile = sum(m > 0 for m in layers) > 1
        return worthwhile, sum(layers), -span[0]

    def larger_part(point: int) -> tuple[int, int, int]:
        return max(sum(macs[first:point]), sum(macs[point:last])), entering[point], point

    spans = [span for span in pairwise((0, *points, len(macs))) if span[1] - span[0] > 1]
    first, last = max(spans, key=rank)
    return tuple(sorted((*points, min(range(first + 1, last), key=larger_part))))


def _merge(macs: Ints, points: Cut) -> Cut:
    """Drop the boundary of step 3."""
    edges = (0, *points, len(macs))
    together = [sum(macs[first:last]) for first, last in zip(edges, edges[2:], strict=False)]
    weakest = together.index(min(together))
    return points[:weakest] + points[weakest + 1 :]
