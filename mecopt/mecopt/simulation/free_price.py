"""A bound by a price of work that rises and falls as it likes; docs/online.md has the proof."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mecopt.arrays import Floats, Ints

MOST_BINS = 1_000_000
FLOOR = 1e-3  # of what a bin holds, below which a moment says nothing
FEW = 1_500  # tasks on which is chosen how much of the start to take
SCALES, CLEARLY = (0.0, 0.1, 0.3, 1.0), 1.05
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
FINE = _Climb(4.0, 64, 6, 0.15, 4.0, (0.7, 0.9))


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
    seconds, work, count = _frontier(*points)
    stream = _Stream(came - came[0], of, (seconds, work / speed, count), ends, speed)
    few = replace(stream, came=stream.came[:FEW], of=of[:FEW])
    high, wide = few.shortest_first()
    found = {scale: few.climbed(ROUGH, (scale * high, wide))[0] for scale in SCALES}
    scale = max(SCALES, key=lambda scale: found[scale])
    scale = scale if found[scale] > CLEARLY * found[0.0] else 0.0
    high, wide = stream.shortest_first()
    _, rough = stream.climbed(ROUGH, (scale * high, wide))
    return max(0.0, stream.climbed(FINE, rough)[0])


_Price = tuple[Floats, float]  # of a second in every bin; seconds of a bin


@dataclass(frozen=True, eq=False)
class _Stream:
    """What `free_bound` is of; work in seconds at the greatest speed."""

    came: Floats
    of: Ints
    points: tuple[Floats, Floats, Ints]
    ends: tuple[Floats, Floats]
    speed: float

    def _bins(self, many: float) -> tuple[int, float]:
        """Return how many there are, and their seconds."""
        mean, last = float(self.points[1][self.of, 0].mean()), float(self.came[-1])
        wide = max(mean / many, last / MOST_BINS)
        return int(last / wide) + 1, wide

    def shortest_first(self) -> _Price:
        """Return the price of one server of all speed on which who has the least left goes first."""
        from mecopt.simulation.shortest_first_kernels import shortest_first

        bins, wide = self._bins(ROUGH.bins)
        price = np.empty(bins)
        ready = np.maximum.accumulate(self.came + self.ends[0][self.of])
        shortest_first(ready, self.speed * self.points[1][self.of, 0], wide, price)
        return price * self.speed, wide

    def climbed(self, climb: _Climb, start: _Price) -> tuple[float, _Price]:
        """Return the most found from a start on, and its price."""
        from mecopt.simulation.free_price_kernels import CLOSE, all_pay

        seconds, work, count = _thinned(self.points, climb.points)
        bins, wide = self._bins(climb.bins)
        room = max(2 * int(float(work.max()) / wide) + 8, ROOM)  # rounding may cut a bin in two
        held = np.empty(room), np.empty(room, dtype=np.int64), np.empty(room)
        path = np.zeros(len(self.came), dtype=np.int64)

        told = self.came, self.of, seconds, work, count, *self.ends
        use, first, second = np.zeros((3, bins))
        middle = (np.arange(bins) + 0.5) * wide
        price = start[0][np.minimum((middle / start[1]).astype(np.int64), len(start[0]) - 1)]
        best, top = -np.inf, price
        for step in range(climb.steps):
            asked = use if step < climb.steps - 1 else use[:0]  # nobody needs the last
            paid = float(all_pay(*told, price, wide, held, path, asked))
            slack = 1e-9 * paid + CLOSE * len(self.came) * (2.0 + float(price.max()))
            found = paid - slack - wide * float(price.sum()) / self.speed
            if found > best:
                best, top = found, price
            beyond = self.speed * use / wide - 1.0
            first = climb.fades[0] * first + (1.0 - climb.fades[0]) * beyond
            second = climb.fades[1] * second + (1.0 - climb.fades[1]) * beyond**2
            way = first / (np.sqrt(second) + FLOOR)
            price = np.maximum(0.0, price + climb.step / (1.0 + step / climb.slower) * way)
        return best, (top, wide)


def _thinned(points: tuple[Floats, Floats, Ints], most: int) -> tuple[Floats, Floats, Ints]:
    """Return at most so many points of every frontier, both ends among them."""
    seconds, work, count = points[0].copy(), points[1].copy(), points[2].copy()
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
