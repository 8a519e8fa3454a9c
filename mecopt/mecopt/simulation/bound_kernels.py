"""The compiled part of the bound: one server's workload, and what each task pays at least beside it."""

from __future__ import annotations

from mecopt.compiling import njit


@njit(cache=True)
def busy_until(arrive, work, share, until):  # type: ignore[no-untyped-def]
    """Write when the busy period of each arrival ends, (T,), in a queue that is given a share of the work."""
    left, before, now, first = 0.0, 0.0, arrive[0], 0
    for i in range(len(arrive)):
        left -= arrive[i] - now
        if left <= 0.0:
            for j in range(first, i):
                until[j] = now + before
            first, left = i, 0.0
        now = arrive[i]
        left += share * work[i]
        before = left
    for j in range(first, len(arrive)):
        until[j] = now + left


@njit(cache=True)
def least_pay(arrive, pair, until, least, slope, fixed, cut, half, cap):  # type: ignore[no-untyped-def]
    """Return what all tasks pay at least for time and work, less what the work's prices are worth over time.

    At time t work is priced ``min(cap, (until - t) / cut)`` a second.

    Parameters
    ----------
    arrive : array (T,)
        Rising.
    pair : array (T,) of int
        Row of `least` of each task.
    until : array (T,)
    least : array (P, L)
        Least of unloaded seconds + slope * work over all paths, for every slope.
    slope : array (L,)
        Rising from 0.
    fixed : array (P,)
        Seconds that do not count the work.
    cut, half : float
        Largest work that counts; what work squared costs at least while it is done.
    """
    total, share, lines, count = 0.0, 1.0 / cut, len(slope), len(arrive)
    knee = cap * cut  # so long before the end the price is no longer capped
    for i in range(count):
        a = until[i] - arrive[i]
        b = 0.0 if i == count - 1 else min(a, max(0.0, until[i] - arrive[i + 1]))
        low, high = min(b, knee), min(a, knee)
        total -= 0.5 * share * (high * high - low * low) + cap * (max(a, knee) - max(b, knee))
        p = pair[i]
        price = min(cap, share * a)
        best = 1e300
        for s in range(lines):
            high = cut
            if s > 0:
                high = min(cut, (least[p, s] - least[p, s - 1]) / (slope[s] - slope[s - 1]))
            low = 0.0
            if s < lines - 1:
                low = max(0.0, (least[p, s + 1] - least[p, s]) / (slope[s + 1] - slope[s]))
            if low > high:
                continue
            # (c - k v) (1 - v / cut) + half v^2 / cut + price v, convex in v.
            c, k = least[p, s] - fixed[p], slope[s]
            two = share * (k + half)
            one = price - k - c * share
            v = low
            if two > 0.0:
                v = min(high, max(low, -0.5 * one / two))
            elif one < 0.0:
                v = high
            best = min(best, c + v * (one + two * v))
        total += best + fixed[p]
    return total
