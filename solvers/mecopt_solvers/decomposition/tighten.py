"""The most of a server that whole blocks can fill: often less than its capacity when tasks are few.

Tasks of one model have blocks of the same sizes, so the loads that a server can have at all are few. The
largest of them that fits takes the place of the capacity: nothing feasible is lost, and the bound sees some
of the waste.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mecopt.arrays import Floats
from mecopt_solvers.decomposition.problem import WITHIN, Part

FEW_TASKS = 40  # of a slot: beyond, loads are nearly continuous, and nothing is tightened
MOST_SUMS = 50_000  # beyond that there is nearly always one that fills the server to the brim
DIGITS = 13  # sums that differ by less are one
ROUNDING = 1e-10  # more than what rounding to so many digits adds up to


def tightened(part: Part) -> Part:
    """Return the part with every capacity lowered to the largest load that blocks can add up to."""
    work, weight = part.work.copy(), part.weight.copy()
    for s in range(part.slots):
        tasks = np.flatnonzero(part.slot == s)
        for j in range(1, part.nodes):
            most = _largest_load(part.work[tasks, :, j])
            if 0.0 < most < 1.0:
                work[tasks, :, j] /= most
    weight[np.broadcast_to((work > WITHIN)[:, :, None, :], weight.shape)] = np.inf
    return replace(part, work=work, weight=weight)


def _largest_load(work: Floats) -> float:
    """Return the largest sum of some of these loads that is at most 1; 1 where there are too many sums."""
    rounded = np.round(work, DIGITS)
    sizes, counts = np.unique(rounded[rounded > 0], return_counts=True)
    sums = np.zeros(1)
    for size, count in zip(sizes[::-1], counts[::-1], strict=True):
        fit = min(int(count), int(WITHIN / size))
        if len(sums) * (fit + 1) > 50 * MOST_SUMS:
            return 1.0
        sums = (sums[:, None] + size * np.arange(fit + 1)).ravel()
        sums = np.unique(np.round(sums[sums <= 1.0 + ROUNDING], DIGITS))
        if len(sums) > MOST_SUMS:
            return 1.0
    return min(float(sums[-1]) + ROUNDING, 1.0)
