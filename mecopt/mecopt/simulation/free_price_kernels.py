"""The compiled part of the bound by a free price: what tasks pay that may be served at any time."""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

CLOSE = 1e-9  # seconds that a step goes on at least


@njit(cache=True)
def _better(best, until, end, behind, cost):  # type: ignore[no-untyped-def]
    """Return the better of what is known and this end, and that it is not to be looked at again."""
    v = end + behind + max(cost, 0.0)
    return (v, end, False) if v < best else (best, until, False)


@njit(cache=True)
def _push(held, n, price, b, long):  # type: ignore[no-untyped-def]
    """Add seconds of a bin to the heap, whose first is the dearest."""
    prices, bins, seconds = held
    at = n
    while at > 0 and prices[(at - 1) // 2] < price:
        up = (at - 1) // 2
        prices[at], bins[at], seconds[at] = prices[up], bins[up], seconds[up]
        at = up
    prices[at], bins[at], seconds[at] = price, b, long
    return n + 1


@njit(cache=True)
def _pop(held, n):  # type: ignore[no-untyped-def]
    """Take the dearest seconds from the heap."""
    prices, bins, seconds = held
    n -= 1
    price, b, long = prices[n], bins[n], seconds[n]
    at = 0
    while 2 * at + 1 < n:
        down = 2 * at + 1
        if down + 1 < n and prices[down + 1] > prices[down]:
            down += 1
        if prices[down] <= price:
            break
        prices[at], bins[at], seconds[at] = prices[down], bins[down], seconds[down]
        at = down
    prices[at], bins[at], seconds[at] = price, b, long
    return n


@njit(cache=True)
def cheapest(t, must, limit, behind, x, best, price, wide, held):  # type: ignore[no-untyped-def]
    """Return the least of end + price where x seconds are had at any times from t on, or `best`.

    Between two looks at the price the sum of both is convex in the end, so looks at bins' ends and where
    waiting no longer pays are enough.

    Parameters
    ----------
    must, limit : float
        The last second is not before `must`, and not looked for behind `limit`.
    behind : float
        Seconds from there to the end.
    price : array (B,)
        Of a second in every bin; 0 behind the last.
    wide : float
        Seconds of a bin.
    held : tuple of arrays
        Room for a heap of prices, bins and seconds of what is had; when it returns, at the last look.

    Returns
    -------
    best, until : float
        The last second of the best; -1 if nothing was better.
    many : int
        Of `held`.
    """
    prices, _, seconds = held
    n, have, cost, until = 0, 0.0, 0.0, -1.0
    while t < limit and not (t >= must and t + behind >= best):
        b = int(t / wide)
        here = price[b] if b < len(price) else 0.0
        close = min(max((b + 1) * wide, t + CLOSE), limit)
        if t < must:
            close = min(close, must)
        room, worth = close - t, t >= must
        dear = min(x - have, room)  # seconds of this bin that are had in place of dearer ones, or of none
        have, cost = have + dear, cost + here * dear
        while n > 0 and dear < room and prices[0] > here:
            if worth and prices[0] <= here + 1.0:  # waiting no longer pays
                best, until, worth = _better(best, until, t + dear, behind, cost)
            over = min(seconds[0], room - dear)
            dear, cost = dear + over, cost - over * (prices[0] - here)
            seconds[0] -= over
            if seconds[0] <= 0.0:
                n = _pop(held, n)
        if worth and dear < room:
            best, until, worth = _better(best, until, t + dear, behind, cost)
        if dear > x * 1e-12:  # no slivers: `held` has room for bins alone
            n = _push(held, n, here, b, dear)
        if close >= must and have >= x * (1.0 - 1e-12):
            best, until, worth = _better(best, until, close, behind, cost)
            if cost <= 0.0:
                break
        t = close
    return best, until, n


@njit(cache=True)
def _least_of(t, end, x, many, price, wide, held, least):  # type: ignore[no-untyped-def]
    """Write the price of the cheapest x seconds between t and `end` for all x, falling, or less."""
    prices, _, seconds = held
    if 2.0 * (end - t) / wide > len(prices) - 8:  # rounding may cut a bin in two
        least[:many] = 0.0
        return
    n = 0
    while t < end:
        b = int(t / wide)
        close = min(max((b + 1) * wide, t + CLOSE), end)
        n = _push(held, n, -price[b] if b < len(price) else 0.0, b, close - t)
        t = close
    have, cost = 0.0, 0.0
    for j in range(many - 1, -1, -1):
        while n > 0 and have + seconds[0] <= x[j]:
            have, cost = have + seconds[0], cost - seconds[0] * prices[0]
            n = _pop(held, n)
        if n > 0:
            least[j] = cost - (x[j] - have) * prices[0]
        else:
            least[j] = cost if have >= x[j] * (1.0 - 1e-9) else np.inf


@njit(cache=True)
def all_pay(came, of, seconds, work, count, ahead, behind, price, wide, held, path, use):  # type: ignore[no-untyped-def]
    """Return what all tasks pay at least, delay and all, at a price of work over time.

    Parameters
    ----------
    came, of : arrays (T,)
        Arrivals, from 0 on, and pairs.
    seconds, work : arrays (P, L)
        Frontiers of unloaded seconds, rising, and of priced work, falling, in seconds at the greatest speed.
    count : array (P,)
        Points of each.
    ahead, behind : arrays (P,)
        Seconds before priced work can begin, and after it has ended.
    price : array (B,)
        Of a second in every bin.
    wide : float
        Seconds of a bin.
    held : tuple of arrays
        Room of `cheapest`.
    path : array (T,) of int
        In: a guess; out: the point of every task that pays least.
    use : array (B,), or empty
        Out: seconds that the tasks ask for where they pay least.
    """
    for b in range(len(use)):
        use[b] = 0.0
    paid, least = 0.0, np.empty(work.shape[1])
    for i in range(len(came)):
        k, r, until, best = of[i], came[i], -1.0, np.inf
        t, after, j = r + ahead[k], behind[k], path[i]
        if work[k, j] > 0.0:
            must = r + seconds[k, j] - after
            best, until, _ = cheapest(t, must, np.inf, after, work[k, j], best, price, wide, held)
        else:
            best = r + seconds[k, j]
        known = False
        for other in range(count[k]):
            if r + seconds[k, other] >= best:
                break
            if other == j:
                continue
            if not known:
                _least_of(t, best - after, work[k], count[k], price, wide, held, least)
                known = True
            if r + seconds[k, other] + least[other] >= best:
                continue
            if work[k, other] <= 0.0:
                best, until, path[i] = r + seconds[k, other], -1.0, other
                break
            must = r + seconds[k, other] - after
            best, to, _ = cheapest(t, must, np.inf, after, work[k, other], best, price, wide, held)
            if to >= 0.0:
                until, path[i] = to, other
        paid += best - r
        if until >= 0.0 and len(use) > 0:
            must, x = r + seconds[k, path[i]] - after, work[k, path[i]]
            _, _, n = cheapest(t, must, until, after, x, np.inf, price, wide, held)
            for h in range(n):
                if held[1][h] < len(use):
                    use[held[1][h]] += held[2][h]
    return paid
