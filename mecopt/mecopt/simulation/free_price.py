"""A bound by a price of work that rises and falls as it likes; docs/online.md has the proof."""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Floats, Ints

BINS = 6.0  # in the mean task's time at the greatest speed
MOST_BINS = 1_000_000
STEPS, STEP, SLOWER = 40, 0.5, 10.0  # of the ascent: how many, the first, after how many it is half
FIRST, SECOND = 0.9, 0.98  # how fast both moments of the ascent fade
FLOOR = 1e-3  # of what a bin holds, below which a moment says nothing


def free_bound(
    came: Floats,
    of: Ints,
    points: tuple[Floats, Floats, Ints],
    ends: tuple[Floats, Floats],
    speed: float,
) -> float:
    """Return a bound on the sum of the delays, in any order of service.

    Any prices >= 0 give one; these are found by an ascent along the work that the tasks ask for beyond what
    can be done, in steps as Adam takes them (Kingma and Ba 2015).

    Parameters
    ----------
    came, of : arrays (T,)
        Arrivals, rising, and pairs.
    points : tuple of arrays
        Of every pair: seconds and priced work of its paths, (P, L), and how many, (P,).
    ends : arrays (P,)
        Seconds before priced work can begin, and after it has ended.
    speed : float
        Most priced work of one task that is done in a second; of all tasks it is 1.
    """
    from mecopt.simulation.free_price_kernels import CLOSE, all_pay

    seconds, work, count = _frontier(*points)
    came = came - came[0]
    mean = float(work[of, 0].mean()) / speed
    wide = max(mean / BINS, float(came[-1]) / MOST_BINS)
    bins = int(came[-1] / wide) + 1
    room = 2 * int(float(work.max()) / speed / wide) + 8  # rounding may cut a bin in two
    held = np.empty(room), np.empty(room, dtype=np.int64), np.empty(room)
    price, use, first, second = np.zeros((4, bins))
    best = 0.0
    for step in range(STEPS):
        paid = float(all_pay(came, of, seconds, work, count, *ends, speed, price, wide, held, use))
        slack = 1e-9 * paid + CLOSE * len(came) * (2.0 + float(price.max()))
        best = max(best, paid - slack - wide * float(price.sum()) / speed)
        beyond = use / wide - 1.0
        first = FIRST * first + (1.0 - FIRST) * beyond
        second = SECOND * second + (1.0 - SECOND) * beyond**2
        way = first / (np.sqrt(second) + FLOOR)
        price = np.maximum(0.0, price + STEP / (1.0 + step / SLOWER) * way)
    return best


def _frontier(seconds: Floats, work: Floats, count: Ints) -> tuple[Floats, Floats, Ints]:
    """Return the points that no other beats, by seconds; the rest of a row is of no meaning."""
    seconds, work, kept = seconds.copy(), work.copy(), np.zeros_like(count)
    for row, many in enumerate(count):
        order = np.lexsort((work[row, :many], seconds[row, :many]))
        least = np.minimum.accumulate(work[row, order])
        good = order[np.concatenate([[True], least[1:] < least[:-1]])]
        kept[row] = len(good)
        seconds[row, : len(good)], work[row, : len(good)] = seconds[row, good], work[row, good]
        work[row, len(good) :] = 0.0
    return seconds, work, kept
