"""The compiled part of the bound by a free price: what tasks pay that may be served at any time."""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

CLOSE = 1e-9  # seconds that a step goes on at least


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
        Room for prices, rising, bins and seconds of what is had; when it returns, at the last look.

    Returns
    -------
    best, until : float
        The last second of the best; -1 if nothing was better.
    many : int
        Of `held`.
    """
    prices, bins, seconds = held
    n, have, cost, until = 0, 0.0, 0.0, -1.0
    while t < limit and not (t >= must and t + behind >= best):
        b = int(t / wide)
        here = price[b] if b < len(price) else 0.0
        close = min(max((b + 1) * wide, t + CLOSE), limit)
        if t < must:
            close = min(close, must)
        else:
            dear, left, at = x - have, cost, n  # what is worth waiting for in this bin
            while at > 0 and prices[at - 1] > here + 1.0:
                at -= 1
                dear += seconds[at]
                left -= seconds[at] * prices[at]
            v = t + dear + behind + max(left + dear * here, 0.0)
            if dear < close - t and v < best:
                best, until = v, t + dear
        if have < x or here < prices[n - 1]:
            at = n
            while at > 0 and prices[at - 1] > here:
                prices[at], bins[at], seconds[at] = prices[at - 1], bins[at - 1], seconds[at - 1]
                at -= 1
            prices[at], bins[at], seconds[at] = here, b, close - t
            n, have, cost = n + 1, have + close - t, cost + here * (close - t)
            while have > x:
                over = min(have - x, seconds[n - 1])
                have, cost = have - over, cost - over * prices[n - 1]
                seconds[n - 1] -= over
                if seconds[n - 1] > 0.0:
                    break
                n -= 1
        if close >= must and have >= x * (1.0 - 1e-12):
            v = close + behind + max(cost, 0.0)
            if v < best:
                best, until = v, close
            if cost <= 0.0:
                break
        t = close
    return best, until, n


@njit(cache=True)
def all_pay(came, of, seconds, work, count, ahead, behind, speed, price, wide, held, use):  # type: ignore[no-untyped-def]
    """Return what all tasks pay at least, delay and all, at a price of work over time.

    Parameters
    ----------
    came, of : arrays (T,)
        Arrivals, from 0 on, and pairs.
    seconds, work : arrays (P, L)
        Frontiers of unloaded seconds, rising, and of priced work.
    count : array (P,)
        Points of each.
    ahead, behind : arrays (P,)
        Seconds before priced work can begin, and after it has ended.
    speed : float
        Most priced work of one task that is done in a second.
    price : array (B,)
        Of priced work in every bin, times `speed`.
    wide : float
        Seconds of a bin.
    held : tuple of arrays
        Room of `cheapest`.
    use : array (B,)
        Out: priced work that the tasks ask for where they pay least.
    """
    for b in range(len(use)):
        use[b] = 0.0
    paid = 0.0
    for i in range(len(came)):
        k, r = of[i], came[i]
        best, until, path = np.inf, -1.0, 0
        for j in range(count[k]):
            if r + seconds[k, j] >= best:
                break
            must, x = r + seconds[k, j] - behind[k], work[k, j] / speed
            if x <= 0.0:
                best, until = r + seconds[k, j], -1.0
                break
            best, to, _ = cheapest(r + ahead[k], must, np.inf, behind[k], x, best, price, wide, held)
            if to >= 0.0:
                until, path = to, j
        paid += best - r
        if until >= 0.0:
            must, x = r + seconds[k, path] - behind[k], work[k, path] / speed
            _, _, n = cheapest(r + ahead[k], must, until, behind[k], x, np.inf, price, wide, held)
            for h in range(n):
                if held[1][h] < len(use):
                    use[held[1][h]] += speed * held[2][h]
    return paid
