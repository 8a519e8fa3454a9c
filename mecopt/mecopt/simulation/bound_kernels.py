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
def _add(seconds, work, paid, count, j, t, w, p):  # type: ignore[no-untyped-def]
    """Add a path to the frontier of a node, unless one there is as good in all three.

    A frontier without room takes it together with its nearest for one that is better than both, so that it
    stays a bound.
    """
    n = 0
    for at in range(count[j]):
        s, v, q = seconds[j, at], work[j, at], paid[j, at]
        if s <= t and v <= w and q <= p:
            return
        if not (t <= s and w <= v and p <= q):
            seconds[j, n], work[j, n], paid[j, n] = s, v, q
            n += 1
    if n < seconds.shape[1]:
        seconds[j, n], work[j, n], paid[j, n] = t, w, p
        count[j] = n + 1
        return
    count[j] = n
    near, least = 0, np.inf
    for at in range(n):
        far = abs(seconds[j, at] - t) / (seconds[j, at] + t + 1e-300)
        far += abs(work[j, at] - w) / (work[j, at] + w + 1e-300)
        far += abs(paid[j, at] - p) / (paid[j, at] + p + 1e-300)
        if far < least:
            near, least = at, far
    seconds[j, near] = min(seconds[j, near], t)
    work[j, near] = min(work[j, near], w)
    paid[j, near] = min(paid[j, near], p)


@njit(cache=True)
def frontiers(task, size, tables, price, toll, room, seconds, work, paid, count):  # type: ignore[no-untyped-def]
    """Write the frontier of unloaded seconds, priced work and tolls of every pair's paths, by label setting.

    Parameters
    ----------
    task, size : arrays (P,)
    price : array (R,)
    toll : array (N,)
        Of a second of a server.
    room : tuple of arrays
        Two frontiers of all nodes: seconds, work and tolls (J, L), number (J,), twice.
    seconds, work, paid : arrays (P, L)
        Out; the fastest path first.
    count : array (P,)
        Out: points of each.
    """
    blocks, device, works, start, starts, up, down, bits, lat, hop_s, hop_lat = tables
    servers = up.shape[2]
    devices = (len(price) - servers) // 2
    s0, w0, p0, c0, s1, w1, p1, c1 = room
    for pair in range(len(task)):
        k, z = task[pair], size[pair]
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
                    t, w, p = x, here * x, 0.0
                    if j > 0 and toll[j - 1] > 0.0:
                        p = toll[j - 1] * x
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
                        _add(s1, w1, p1, c1, j, t, w, p)
                    else:
                        for a in range(c0[i]):
                            _add(s1, w1, p1, c1, j, s0[i, a] + t, w0[i, a] + w, p0[i, a] + p)
            s0, w0, p0, c0, s1, w1, p1, c1 = s1, w1, p1, c1, s0, w0, p0, c0
        c1[0] = 0
        for j in range(servers + 1):
            f, after = 0.0, 0.0
            if j > 0 and down[k, down.shape[1] - 1, j - 1] >= 0.0:
                f, after = z * down[k, down.shape[1] - 1, j - 1], lat[j - 1]
            if not f < 1e300:
                continue
            for a in range(c0[j]):
                _add(s1, w1, p1, c1, 0, s0[j, a] + f + after, w0[j, a] + radio * f, p0[j, a])
        count[pair] = c1[0]
        first = 0
        for a in range(c1[0]):
            seconds[pair, a], work[pair, a], paid[pair, a] = s1[0, a], w1[0, a], p1[0, a]
            if seconds[pair, a] < seconds[pair, first]:
                first = a
        for row in (seconds[pair], work[pair], paid[pair]):
            row[0], row[first] = row[first], row[0]


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
