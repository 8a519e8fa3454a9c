"""Two methods on the same instances, and how sure a profile is: bootstrap over the seeds of each instance.

After Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (NeurIPS 2021):
the seed is the unit that is drawn anew, within each instance (a stratified bootstrap); the instances stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.reporting.statistics import CONFIDENCE, RESAMPLES, Estimate, Floats

LEAST_RESAMPLES = 200
MOST_DRAWS = 4_000_000  # of runs, over all resamples; beyond them there are fewer resamples
TAIL = (1 - CONFIDENCE) / 2


def paired(
    first: Sequence[Floats], second: Sequence[Floats], *, resamples: int = RESAMPLES
) -> tuple[Estimate, Estimate]:
    """Compare two methods on the same instances.

    Parameters
    ----------
    first, second : sequence of arrays
        For every instance the gaps of the runs of each method, one a seed; no array may be empty.
    resamples : int
        Resamples of the percentile bootstrap, fewer where there are very many runs.

    Returns
    -------
    difference : Estimate
        Mean over instances of the second's mean gap minus the first's; above 0 where the first is better.
    better : Estimate
        Probability of improvement: that a run of the first has a smaller gap than a run of the second on the
        same instance, an equal one counting half, mean over instances (Mann and Whitney's U over n1 n2).
    """
    runs = sum(map(len, first)) + sum(map(len, second))
    count = int(np.clip(MOST_DRAWS // max(runs, 1), LEAST_RESAMPLES, resamples))
    draw = np.random.default_rng(0)
    points, samples = np.zeros(2), np.zeros((2, count))
    for own, other in zip(first, second, strict=True):
        wins = (own[:, None] < other) + 0.5 * (own[:, None] == other)  # (n1, n2)
        points += other.mean() - own.mean(), wins.mean()
        of_own, of_other = _shares(draw, len(own), count), _shares(draw, len(other), count)
        samples[0] += of_other @ other - of_own @ own
        samples[1] += ((of_own @ wins) * of_other).sum(axis=1)
    points, samples = points / len(first), samples / len(first)
    if max(map(len, [*first, *second])) == 1:
        return Estimate(float(points[0])), Estimate(float(points[1]))
    low, high = np.quantile(samples, [TAIL, 1 - TAIL], axis=1)
    difference, better = (Estimate(float(points[i]), float(low[i]), float(high[i])) for i in range(2))
    return difference, better


def _shares(draw: np.random.Generator, runs: int, count: int) -> Floats:
    """Return which share of every resample each run has, (resamples, runs)."""
    shares: Floats = draw.multinomial(runs, np.full(runs, 1 / runs), size=count) / runs
    return shares


def band(
    values: Floats, strata: NDArray[Any], grid: Floats, *, resamples: int = RESAMPLES
) -> tuple[Floats, Floats]:
    """Return the 95 % band of the share of the instances whose value is at most each point of the grid.

    Parameters
    ----------
    values : array of shape (runs,)
        NaN for what is never within.
    strata : array of shape (runs,)
        The instance of each run; all weigh the same.
    grid : array of shape (points,)

    Returns
    -------
    low, high : arrays of shape (points,)
        At each point by itself, the ends of the percentile bootstrap over the runs of each instance.
    """
    _, code, size = np.unique(strata, return_inverse=True, return_counts=True)
    draw = np.random.default_rng(0)
    ends = np.empty((2, len(grid)))
    for i, inside in enumerate(_inside(values, code, len(size), grid)):
        # Instances with as many runs and as many hits are alike: one draw stands for all of them.
        kinds, alike = np.unique(np.stack([size, inside]), axis=1, return_counts=True)
        runs, hits = kinds
        shares = draw.binomial(runs * alike, hits / runs, size=(resamples, len(runs))) / runs
        ends[:, i] = np.quantile(shares.sum(axis=1) / len(size), [TAIL, 1 - TAIL])
    return ends[0], ends[1]


def _inside(values: Floats, code: NDArray[Any], strata: int, grid: Floats) -> Iterator[NDArray[Any]]:
    """Yield for every point of the grid how many runs of each instance are not above it."""
    for limit in grid:
        yield np.bincount(code[values <= limit], minlength=strata)
