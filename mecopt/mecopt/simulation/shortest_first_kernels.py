"""The compiled part of a start for the free price: one server that serves whoever has the least left."""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np

from mecopt.compiling import njit


@njit(cache=True)
def shortest_first(came, work, wide, price):  # type: ignore[no-untyped-def]
    """Write how many tasks a second more would have helped, on the mean of every bin.

    It helps the task that is served, the one served when that has ended, and so on until nobody waits.

    Parameters
    ----------
    came, work : arrays (T,)
        Arrivals, rising, from 0 on, and seconds of work.
    wide : float
        Seconds of a bin.
    price : array (B,)
        Out.
    """
    count = len(came)
    left, after = work.copy(), np.full(count, -1)
    ended, ends = np.empty(count, dtype=np.int64), 0
    begin, until = np.empty((2, 2 * count))
    task, spells = np.empty(2 * count, dtype=np.int64), 0
    waiting = [(0.0, 0)]
    waiting.pop()
    now, i, served = 0.0, 0, -1
    while i < count or served >= 0:
        if served < 0:
            now, served, i = came[i], i, i + 1
        end = now + left[served]
        comes = i < count and came[i] < end
        close = max(now, came[i]) if comes else end  # tasks that cannot begin at once may come out of order
        begin[spells], until[spells], task[spells] = now, close, served
        spells += 1
        left[served] -= close - now
        now = close
        if comes:
            if work[i] < left[served]:
                heappush(waiting, (left[served], served))
                served = i
            else:
                heappush(waiting, (work[i], i))
            i += 1
        else:
            ended[ends], ends = served, ends + 1
            if len(waiting) > 0:
                after[served] = heappop(waiting)[1]
            served = after[served]
    helped = np.ones(count)
    for at in range(ends - 1, -1, -1):
        if after[ended[at]] >= 0:
            helped[ended[at]] += helped[after[ended[at]]]
    for b in range(len(price)):
        price[b] = 0.0
    for at in range(spells):
        t = begin[at]
        b = int(t / wide)
        while t < until[at] and b < len(price):
            close = min(until[at], (b + 1) * wide)
            price[b] += helped[task[at]] * max(0.0, close - t) / wide
            t, b = close, b + 1
