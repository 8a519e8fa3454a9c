"""The compiled part of the bound: frontiers of paths, one server's busy periods, what tasks pay at least."""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit


@njit(cache=True)
def longest_busy(arrive, pair, work):  # type: ignore[no-untyped-def]
    """Return the length of the longest busy period of one server that is given all work."""
    left, now, begun, longest = 0.0, arrive[0], arrive[0], 0.0
    for i in range(len(arrive)):
        left -= arrive[i] - now
        now = arrive[i]
        if left <= 0.0:
            begun, left = now, 0.0
        left += work[pair[i]]
        longest = max(longest, now + left - begun)
    return longest


@njit(cache=True)
def _add(seconds, work, count, j, t, w):  # type: ignore[no-untyped-def]
    """Add a path to the frontier of a node, sorted by seconds, unless one there is as good.

    A frontier without room takes its last two for one that is better than both, so that it stays a bound.
    """
    n = count[j]
    at = 0
    while at < n and seconds[j, at] <= t:
        at += 1
    if at > 0 and work[j, at - 1] <= w:
        return
    end = at
    while end < n and work[j, end] >= w:
        end += 1
    if end == at:
        if n == seconds.shape[1]:
            if at == n:
                work[j, n - 1] = w
                return
            work[j, n - 2] = work[j, n - 1]
            n -= 1
            at = min(at, n)
            if at == n:
                work[j, n - 1] = min(work[j, n - 1], w)
                seconds[j, n - 1] = min(seconds[j, n - 1], t)
                count[j] = n
                return
        for e in range(n, at, -1):
            seconds[j, e], work[j, e] = seconds[j, e - 1], work[j, e - 1]
        count[j] = n + 1
    else:
        gone = end - at - 1
        for e in range(at + 1, n - gone):
            seconds[j, e], work[j, e] = seconds[j, e + gone], work[j, e + gone]
        count[j] = n - gone
    seconds[j, at], work[j, at] = t, w


@njit(cache=True)
def frontiers(task, size, tables, price, room, seconds, work, count):  # type: ignore[no-untyped-def]
    """Write the frontier of unloaded seconds and priced work of every pair's paths, by label setting.

    Parameters
    ----------
    task, size : arrays (P,)
    price : array (R,)
    room : tuple of arrays
        Two frontiers of all nodes: seconds and work (J, L), number (J,), twice.
    seconds, work : arrays (P, L)
        Out.
    count : array (P,)
        Out: points of each.
    """
    blocks, device, works, start, starts, up, down, bits, lat, hop_s, hop_lat = tables
    servers = up.shape[2]
    devices = (len(price) - servers) // 2
    s0, w0, c0, s1, w1, c1 = room
    for p in range(len(task)):
        k, z = task[p], size[p]
        own = servers + device[k]
        radio = price[own + devices]
        for m in range(blocks[k]):
            c1[:] = 0
            for j in range(servers + 1):
                here = price[own if j == 0 else j - 1]
                for i in range(servers + 1):
                    if m == 0 and i > 0:
                        break
                    x = z * works[k, m, j]
                    if starts and (m == 0 or i != j):
                        x += start[k, m, j]
                    t, w = x, here * x
                    if i > 0 and j > 0 and i != j:
                        t += hop_lat[i - 1, j - 1] + z * bits[k, m] * hop_s[i - 1, j - 1]
                    elif i != j:
                        f = z * (up[k, m, j - 1] if i == 0 else down[k, m, i - 1])
                        if f >= 0.0:
                            t += f + lat[i + j - 1]
                            w += radio * f
                    if not t < 1e300:
                        continue
                    if m == 0:
                        _add(s1, w1, c1, j, t, w)
                    else:
                        for a in range(c0[i]):
                            _add(s1, w1, c1, j, s0[i, a] + t, w0[i, a] + w)
            s0, w0, c0, s1, w1, c1 = s1, w1, c1, s0, w0, c0
        c1[0] = 0
        for j in range(servers + 1):
            f, after = 0.0, 0.0
            if j > 0 and down[k, down.shape[1] - 1, j - 1] >= 0.0:
                f, after = z * down[k, down.shape[1] - 1, j - 1], lat[j - 1]
            if not f < 1e300:
                continue
            for a in range(c0[j]):
                _add(s1, w1, c1, 0, s0[j, a] + f + after, w0[j, a] + radio * f)
        count[p] = c1[0]
        for a in range(c1[0]):
            seconds[p, a], work[p, a] = s1[0, a], w1[0, a]


@njit(cache=True)
def best_pay(arrive, pair, pay, top, share):  # type: ignore[no-untyped-def]
    """Return the most that tasks can be made to pay by a price of work over time, less what it is worth.

    The price jumps up at arrivals as it likes, and falls by `share` a second or slower. By dynamic
    programming from the end, over prices ``top * (g / G)^2``; what lies between two of them is interpolated,
    and since the exact value is concave that is never too much.

    Parameters
    ----------
    arrive : array (T,)
        Rising.
    pair : array (T,) of int
        Row of `pay` of each task.
    pay : array (P, G + 1)
        What a task pays at least at every price.
    top, share : float
    """
    steps = pay.shape[1] - 1
    prices = np.empty(steps + 1)
    for g in range(steps + 1):
        prices[g] = top * (g / steps) ** 2
    value, new = np.zeros(steps + 1), np.empty(steps + 1)
    for i in range(len(arrive) - 1, -1, -1):
        gap = np.inf if i == len(arrive) - 1 else arrive[i + 1] - arrive[i]
        fall = share * gap
        row = pair[i]
        at = 0
        for g in range(steps + 1):
            price = prices[g]
            if price <= fall:
                new[g] = pay[row, g] - 0.5 * price * price / share + value[0]
            else:
                left = price - fall
                while prices[at + 1] < left:
                    at += 1
                part = (left - prices[at]) / (prices[at + 1] - prices[at])
                later = value[at] + part * (value[at + 1] - value[at])
                new[g] = pay[row, g] - gap * (price - 0.5 * fall) + later
        for g in range(steps - 1, -1, -1):
            new[g] = max(new[g], new[g + 1])
        value, new = new, value
    return value[0]
