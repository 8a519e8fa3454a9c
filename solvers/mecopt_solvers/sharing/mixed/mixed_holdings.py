"""What every node holds, drawn near what prices or a placement make of it: moves keep to it.

A piece leaves a node only with the last task that runs it there, which no move of one task does. So a round
of moves is given what nodes hold, and the paths that keep to it.
"""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.sharing.mixed.mixed_prices import Flags, MixedPricing

SOME = 1e-3  # of the mean use, for a piece that nobody uses


def used(pricing: MixedPricing, task: Ints, path: Ints, share: Floats) -> Floats:
    """Count the tasks that use each piece at each holder, (holders, pieces), by shares of paths (P, M)."""
    laid = pricing.part.memory
    assert laid is not None
    p, m = np.nonzero(path >= 0)
    shape = len(laid.limit), len(laid.piece_bytes)
    at = pricing.at[task[p], m, path[p, m]]
    return np.bincount(at, share[p], shape[0] * shape[1]).astype(np.float64).reshape(shape)


def draw(pricing: MixedPricing, use: Floats, noise: float, rng: np.random.Generator) -> Flags:
    """Let every holder keep what it needs most, task for byte, as far as it goes; say what it does not."""
    laid = pricing.part.memory
    assert laid is not None
    size, left = laid.piece_bytes, laid.limit.copy()
    worth = (use + SOME * max(float(use.mean()), 1e-300)) / np.maximum(size, 1e-300) ** 0.5
    worth = worth * np.exp(noise * rng.standard_normal(use.shape))
    kept = np.zeros(use.shape, dtype=bool)
    for piece in np.argsort(-worth, axis=1, kind="stable").T:  # every holder's best, then every holder's next
        rows = np.arange(len(left))
        fits = size[piece] <= left
        kept[rows[fits], piece[fits]] = True
        left = left - np.where(fits, size[piece], 0.0)
    banned: Flags = pricing.real & ~kept.ravel()[pricing.at]
    return banned
