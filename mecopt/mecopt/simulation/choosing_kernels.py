"""The compiled decision: the cheapest path of one task at given backlogs and prices, stretch by stretch."""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf


@njit(cache=True)
def choose(k, size, tables, backlog, price, grow, curve, time, inside, scratch, place):  # type: ignore[no-untyped-def]
    """Find the cheapest path of a task of template `k`, and write its nodes to `place`.

    A stretch is consecutive blocks on one node. One of x seconds costs
    ``u + time * x + x * (p + q * u + r * x)`` with that node's backlog u; the radio likewise, where it is
    used.

    Parameters
    ----------
    k, size : int, float
        Template, and the factor of its calculations and bits.
    tables : tuple of arrays
        `World.tables`.
    backlog, price, grow, curve : arrays (R,)
        u, p, q and r of every resource: servers, device processors, radios.
    time : float
        What a second of calculation or transfer costs by itself: 1, or 0 where only prices count.
    inside : array (N,) of bool
        Servers that may be used.
    scratch : tuple of arrays
        `room` makes it.
    place : array (M,) of int8
        -1 behind the end, and everywhere where no path exists.

    Returns
    -------
    float
        The cost, inf where no path exists.
    """
    blocks, device, work, start, starts, up, down, bits, lat, hop_s, hop_lat = tables
    best, enter, came, began, last = scratch
    servers, stages, devices = up.shape[2], blocks[k], (len(backlog) - up.shape[2]) // 2
    own = servers + device[k]
    radio = own + devices
    wait = backlog[radio]
    best[: stages + 1] = INF
    for m in range(stages):
        for j in range(servers + 1):
            enter[j], came[m, j] = INF, -1
        if m == 0:
            enter[0], came[0, 0] = 0.0, 0
            for n in range(servers):
                if inside[n]:
                    f = size * up[k, 0, n]
                    if f < INF:
                        enter[n + 1] = (
                            wait
                            + time * (f + lat[n])
                            + f * (price[radio] + grow[radio] * wait + curve[radio] * f)
                        )
                        came[0, n + 1] = 0
        else:
            for i in range(servers + 1):
                before = best[m, i]
                if before == INF:
                    continue
                for j in range(servers + 1):
                    if j == i or (j > 0 and not inside[j - 1]):
                        continue
                    if i > 0 and j > 0:
                        cost = before + time * (
                            hop_lat[i - 1, j - 1] + size * bits[k, m] * hop_s[i - 1, j - 1]
                        )
                    else:
                        n = i + j - 1
                        f = size * (up[k, m, n] if i == 0 else down[k, m, n])
                        cost = before
                        if f == INF:
                            continue
                        if f >= 0.0:  # below 0: the step is not counted
                            cost += (
                                wait
                                + time * (f + lat[n])
                                + f * (price[radio] + grow[radio] * wait + curve[radio] * f)
                            )
                    if cost < enter[j]:
                        enter[j], came[m, j] = cost, i
        for j in range(servers + 1):
            base = enter[j]
            if base == INF:
                continue
            r = own if j == 0 else j - 1
            u, p, x = backlog[r], price[r], 0.0
            if starts:
                x = start[k, m, j]
            p += time + grow[r] * u
            base += u
            c = curve[r]
            for e in range(m, stages):
                x += size * work[k, e, j]
                cost = base + x * (p + c * x)
                if cost < best[e + 1, j]:
                    best[e + 1, j] = cost
                    began[e + 1, j] = m
                    last[e + 1, j] = came[m, j]
    total, node = INF, -1
    for j in range(servers + 1):
        cost = best[stages, j]
        if j > 0 and cost < INF:
            f = size * down[k, down.shape[1] - 1, j - 1]
            if f == INF:
                continue
            if f >= 0.0:
                cost += (
                    wait
                    + time * (f + lat[j - 1])
                    + f * (price[radio] + grow[radio] * wait + curve[radio] * f)
                )
        if cost < total:
            total, node = cost, j
    place[:] = -1
    m = stages
    while node >= 0 and m > 0:
        first = began[m, node]
        place[first:m] = node
        node, m = last[m, node], first
    return total


@njit(cache=True)
def load_of(k, size, tables, place, own, work_of):  # type: ignore[no-untyped-def]
    """Return unloaded seconds of a path, and write the seconds that it asks of each resource.

    Parameters
    ----------
    own : int
        Resource of the task's device; its radio lies `devices` behind it.
    work_of : array (N + 2,)
        Out: seconds on every server, on the device, on its radio.
    """
    blocks, work, start, starts, up, down = tables[0], tables[2], tables[3], tables[4], tables[5], tables[6]
    bits, lat, hop_s, hop_lat = tables[7], tables[8], tables[9], tables[10]
    servers = up.shape[2]
    work_of[:] = 0.0
    before, seconds = 0, 0.0
    for m in range(blocks[k]):
        j = place[m]
        if j != before:
            if before > 0 and j > 0:
                seconds += hop_lat[before - 1, j - 1] + size * bits[k, m] * hop_s[before - 1, j - 1]
            else:
                n = before + j - 1
                f = size * (up[k, m, n] if before == 0 else down[k, m, n])
                if f >= 0.0:
                    work_of[servers + 1] += f
                    seconds += f + lat[n]
        x = size * work[k, m, j]
        if starts and (m == 0 or j != before):
            x += start[k, m, j]
        work_of[servers if j == 0 else j - 1] += x
        seconds += x
        before = j
    if before > 0:
        f = size * down[k, down.shape[1] - 1, before - 1]
        if f >= 0.0:
            work_of[servers + 1] += f
            seconds += f + lat[before - 1]
    return seconds


@njit(cache=True)
def choose_many(task, size, tables, backlog, price, grow, curve, time, inside, scratch, places, cost, loads):  # type: ignore[no-untyped-def]
    """Decide for many tasks; row i of `backlog` (or its only row) is what task i meets.

    `places` (T, M), `cost` (T,) and `loads` (T, N + 2) are written.
    """
    servers = len(inside)
    for i in range(len(task)):
        row = backlog[i if len(backlog) > 1 else 0]
        k = task[i]
        cost[i] = choose(k, size[i], tables, row, price, grow, curve, time, inside, scratch, places[i])
        if cost[i] < INF:
            load_of(k, size[i], tables, places[i], servers + tables[1][k], loads[i])
