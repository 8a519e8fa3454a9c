"""Seconds of blocks from seconds of stretches: non-negative least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats
from mecopt.profiling.divisions import Stretch

TOLERANCE = 1e-10  # of the gradient, in columns of length one


@dataclass(frozen=True)
class Fit:
    """What the blocks of a chain of M take.

    Parameters
    ----------
    seconds : (M,) of a block inside a stretch
    start_seconds : (M,) more where the block begins the stretch; 0 for the first block, which always does
    """

    seconds: Floats
    start_seconds: Floats

    def of(self, stretch: Stretch) -> float:
        """Return the seconds of a stretch."""
        first, last = stretch
        return float(self.seconds[first : last + 1].sum() + self.start_seconds[first])

    def of_all(self, stretches: Sequence[Stretch]) -> float:
        """Return the seconds of stretches run one after the other."""
        return sum(map(self.of, stretches))


def fit(blocks: int, divisions: Sequence[Sequence[tuple[Stretch, float]]]) -> Fit:
    """Find non-negative seconds of blocks and of starts that explain those of stretches.

    Parameters
    ----------
    blocks : int
        M.
    divisions : sequence of sequences of (stretch, seconds)
        Each covers the chain. Every stretch counts by its relative error, and the sum of a division as much
        as M stretches do, since it is what a placement of the network takes.
    """
    rows, right, weights = [], [], []
    for division in divisions:
        parts = [_row(blocks, stretch) for stretch, _ in division]
        times = [seconds for _, seconds in division]
        rows += [*parts, np.sum(parts, axis=0)]
        right += [*times, sum(times)]
        weights += [1.0] * len(parts) + [blocks**0.5]
    b = np.array(right)
    scale = np.array(weights) / np.maximum(b, b.max() * 1e-6)
    found = nnls(np.array(rows) * scale[:, None], b * scale)
    return Fit(found[:blocks], np.concatenate([[0.0], found[blocks:]]))


def _row(blocks: int, stretch: Stretch) -> Floats:
    """Return how often each block, and each start but the first block's, is in a stretch."""
    first, last = stretch
    row = np.zeros(2 * blocks - 1)
    row[first : last + 1] = 1.0
    if first:
        row[blocks + first - 1] = 1.0
    return row


def nnls(a: Floats, b: Floats) -> Floats:
    """Return the x >= 0 of least ||a x - b|| (Lawson and Hanson 1974, chapter 23).

    Parameters
    ----------
    a : array of shape (rows, columns)
    b : array of shape (rows,)
    """
    length = np.linalg.norm(a, axis=0)
    length[length == 0.0] = 1.0
    a = a / length
    gram, right = a.T @ a, a.T @ b
    x = np.zeros(a.shape[1])
    free = np.zeros(a.shape[1], dtype=bool)
    small = TOLERANCE * max(float(np.abs(right).max(initial=0.0)), 1e-300)
    for _ in range(3 * a.shape[1]):
        pull = np.where(free, -np.inf, right - gram @ x)
        at = int(pull.argmax())
        if pull[at] <= small:
            break
        free[at] = True
        while True:
            wish = np.zeros_like(x)
            wish[free] = np.linalg.lstsq(gram[np.ix_(free, free)], right[free], rcond=None)[0]
            low = free & (wish <= 0.0)
            if not low.any():
                break
            step = float((x[low] / np.maximum(x[low] - wish[low], 1e-300)).min())
            x = x + step * (wish - x)
            free &= x > 1e-15
            x[~free] = 0.0
        x = wish
    found: Floats = x / length
    return found
