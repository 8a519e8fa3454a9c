"""A bound by a price of work that rises and falls as it likes; docs/online.md has the proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mecopt.arrays import Floats, Ints

MOST_BINS = 1_000_000
FLOOR = 1e-3  # of what a bin holds, below which a moment says nothing
ROOM = 1024  # bins of a task, at least


class _Climb(NamedTuple):
    """One part of the ascent."""

    bins: float  # in the mean task's time at the greatest speed
    points: int  # most of a frontier
    steps: int
    step: float  # the first
    slower: float  # after so many steps it is half
    fades: tuple[float, float]  # how fast both moments fade


# Most of the way on wide bins and few paths, which costs a tenth; only what is paid on all paths is a bound.
ROUGH = _Climb(1.5, 4, 30, 0.5, 10.0, (0.9, 0.98))
FINE = _Climb(4.0, 64, 6, 0.2, 4.0, (0.7, 0.9))


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
    stream = _Stream(came - came[0], of, (seconds, work / speed, count), ends, speed)
    _, price, wide = stream.climbed(ROUGH, np.zeros(1), np.inf)
    return max(0.0, stream.climbed(FINE, price, wide)[0])


@dataclass(frozen=True, eq=False)
class _Stream:
    """What `free_bound` is of; work in seconds at the greatest speed."""

    came: Floats
    of: Ints
    points: tuple[Floats, Floats, Ints]
    ends: tuple[Floats, Floats]
    speed: float

    def climbed(self, climb: _Climb, price: Floats, wide: float) -> tuple[float, Floats, float]:
        """Return the most found from a price on bins of `wide` seconds on, its price, and its bins."""
        from mecopt.simulation.free_price_kernels import CLOSE, all_pay

        seconds, work, count = _thinned(self.points, climb.points)
        last, before = float(self.came[-1]), wide
        wide = max(float(work[self.of, 0].mean()) / climb.bins, last / MOST_BINS)
        bins = int(last / wide) + 1
        at = ((np.arange(bins) + 0.5) * wide / before).astype(np.int64)
        price = price[np.minimum(at, len(price) - 1)]
        room = max(2 * int(float(work.max()) / wide) + 8, ROOM)  # rounding may cut a bin in two
        held = np.empty(room), np.empty(room, dtype=np.int64), np.empty(room)
        path = np.zeros(len(self.came), dtype=np.int64)
        use, first, second = np.zeros((3, bins))
        best, top = -np.inf, price
        for step in range(climb.steps):
            none = step == climb.steps - 1
            paid = float(
                all_pay(
                    self.came, self.of, seconds, work, count, *self.ends, price, wide, held, path,
                    use[:0] if none else use,
                )
            )  # fmt: skip
            slack = 1e-9 * paid + CLOSE * len(self.came) * (2.0 + float(price.max()))
            found = paid - slack - wide * float(price.sum()) / self.speed
            if found > best:
                best, top = found, price
            beyond = self.speed * use / wide - 1.0
            first = climb.fades[0] * first + (1.0 - climb.fades[0]) * beyond
            second = climb.fades[1] * second + (1.0 - climb.fades[1]) * beyond**2
            way = first / (np.sqrt(second) + FLOOR)
            price = np.maximum(0.0, price + climb.step / (1.0 + step / climb.slower) * way)
        return best, top, wide


def _thinned(points: tuple[Floats, Floats, Ints], most: int) -> tuple[Floats, Floats, Ints]:
    """Return at most so many points of every frontier, both ends among them."""
    seconds, work, count = (part.copy() for part in points)
    for row in np.flatnonzero(count > most):
        kept = np.linspace(0, count[row] - 1, most).round().astype(np.int64)
        seconds[row, :most], work[row, :most], count[row] = seconds[row, kept], work[row, kept], most
        work[row, most:] = 0.0
    return seconds, work, count


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
