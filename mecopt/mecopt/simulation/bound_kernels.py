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
def least_pay(seconds, work, paid, count, fixed, most, share, speed, step, pay):  # type: ignore[no-untyped-def]
    """Write what a task of every pair pays at least, delay and all, when the price of work is so high.

    A path of T seconds, `fixed` of them before and after all servers, of v = min(work, `most`) and tolls P
    pays ``T + P + v * mean of max(0, z - share * t)`` over the last L = work / speed of T - fixed seconds.

    Parameters
    ----------
    seconds, work, paid : arrays (P, L)
    count : array (P,)
        Points of each.
    fixed : array (P,)
    most, share, speed : float
        Cap of v; fall of the price a second; most priced work that is done in a second.
    step : float
        Of the price, of which a column is a half: the first is for none.
    pay : array (P, 2 G)
        Out.
    """
    for row in range(len(count)):
        order = np.argsort(seconds[row, : count[row]])
        for g in range(pay.shape[1]):
            z = 0.5 * g * step
            best = np.inf
            for at in order:
                t = seconds[row, at]
                if t >= best:
                    break
                v = min(work[row, at], most)
                end = t - fixed[row]
                begin = max(0.0, end - work[row, at] / speed)
                high, low = max(0.0, z - share * begin), max(0.0, z - share * end)
                if low > 0.0 or end <= begin:
                    mean = 0.5 * (high + low)
                else:
                    mean = 0.5 * high * high / (share * (end - begin))
                best = min(best, t + paid[row, at] + v * mean)
            pay[row, g] = best


@njit(cache=True)
def best_pay(bins, half, pair, pay, step, wide):  # type: ignore[no-untyped-def]
    """Return the most that tasks can be made to pay by a price of work over time, less what it is worth.

    Time lies in bins. The price may jump up at the begin of one as it likes, and falls by a step in each, by
    less only through a jump. By dynamic programming from the end, exact on the grid.

    Parameters
    ----------
    bins : array (T,) of int
        Rising: of the task's first possible service.
    half : array (T,) of int
        Whether that is in the first or the second half of the bin.
    pair : array (T,) of int
        Row of `pay` of each task.
    pay : array (P, 2 G)
        What a task pays at least at every half step of the price.
    step, wide : float
        Of the price, and seconds of a bin.
    """
    levels = pay.shape[1] // 2 + 1
    value, later = np.empty(levels), np.empty(levels)
    worth = np.empty(levels)
    for g in range(levels):
        value[g] = -0.5 * g * g * step * wide  # behind the last bin the price only falls
        worth[g] = max(0.0, g - 0.5) * step * wide
    i = len(bins) - 1
    for b in range(bins[-1], bins[0] - 1, -1):
        top = -np.inf
        for g in range(levels - 1, -1, -1):
            top = max(top, value[g])
            later[g] = top
        value[0] = later[0]
        for g in range(1, levels):
            value[g] = later[g - 1] - worth[g]
        while i >= 0 and bins[i] == b:
            row, behind = pair[i], 1 + half[i]  # half steps that the price may have fallen by then
            value[0] += pay[row, 0]
            for g in range(1, levels):
                value[g] += pay[row, 2 * g - behind]
            i -= 1
    top = -np.inf
    for g in range(levels):
        top = max(top, value[g])
    return top
