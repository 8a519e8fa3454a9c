"""The compiled decision for many tasks at once: `choosing_kernels.choose`, 32 tasks side by side.

The same sums in the same order, so the same bits. As in `mecopt.trellis_numba` everything lies in one array,
indices are unsigned, and nothing is read under a condition: else LLVM gives up on the loops over lanes.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt.simulation.choosing_kernels import INF, load_of

LANES = 32
EACH = np.uint64(LANES)
# Rows of a number a lane: what is of the radio, and scratch.
WAIT, PRICE, GROW, CURVE, BASE, SUM = (np.uint64(row * LANES) for row in range(6))
FIXED = np.uint64(6)


def lane_room(stages: int, servers: int) -> int:
    """Return how many numbers `choose_side_by_side` works on."""
    a_stage = 6 * (servers + 1) + 1
    return (int(FIXED) + 4 * (servers + 1) + (stages + 1) * a_stage) * LANES


@njit(inline="always")
def _enter(now, to, came, cost, sender, lane):  # type: ignore[no-untyped-def]
    """Take an entry if it is cheaper than what is there."""
    old, before = now[to + lane], now[came + lane]
    better = cost < old
    now[to + lane] = cost if better else old
    now[came + lane] = sender if better else before


@njit(inline="always")
def _over_radio(now, f, latency, time, lane):  # type: ignore[no-untyped-def]
    """Return what a transfer of f seconds costs; inf without a link."""
    wait = now[WAIT + lane]
    paid = now[PRICE + lane] + now[GROW + lane] * wait + now[CURVE + lane] * f
    cost = wait + time * (f + latency) + f * paid
    return INF if f == INF else cost


@njit(cache=True)
def choose_side_by_side(task, size, tables, backlog, price, grow, curve, time, now, places, cost, loads):  # type: ignore[no-untyped-def]
    """Decide for many tasks; row i of `backlog` (or its only row) is what task i meets.

    Parameters are those of `choosing_kernels.choose_many`; `now` is scratch, `lane_room` numbers.
    """
    blocks, device, work, start, starts, up, down, bits, lat, hop_s, hop_lat = tables
    servers, stages = up.shape[2], work.shape[1]
    nodes = servers + 1
    devices = (backlog.shape[1] - servers) // 2
    # Where the rows of each kind begin, in numbers.
    wide = np.uint64(nodes) * EACH
    u_at = FIXED * EACH
    p_at = u_at + wide
    c_at = p_at + wide
    enter_at = c_at + wide
    best_at = enter_at + wide
    began_at = best_at + np.uint64(stages + 1) * wide
    came_at = began_at + np.uint64(stages + 1) * wide
    work_at = came_at + np.uint64(stages + 1) * wide
    up_at = work_at + np.uint64(stages) * wide
    down_at = up_at + np.uint64(stages + 1) * wide
    bits_at = down_at + np.uint64(stages + 1) * wide
    for first in range(0, len(task), LANES):
        for lane in range(LANES):
            i = min(first + lane, len(task) - 1)
            k, z = task[i], size[i]
            row = i if len(backlog) > 1 else 0
            own = servers + device[k]
            radio = own + devices
            now[WAIT + np.uint64(lane)] = backlog[row, radio]
            now[PRICE + np.uint64(lane)] = price[radio]
            now[GROW + np.uint64(lane)] = grow[radio]
            now[CURVE + np.uint64(lane)] = curve[radio]
            for j in range(nodes):
                r = own if j == 0 else j - 1
                at = np.uint64(j) * EACH + np.uint64(lane)
                u = backlog[row, r]
                now[u_at + at] = u
                now[p_at + at] = price[r] + (time + grow[r] * u)
                now[c_at + at] = curve[r]
            for m in range(stages):
                now[bits_at + np.uint64(m) * EACH + np.uint64(lane)] = z * bits[k, m]
                for j in range(nodes):
                    at = np.uint64(m * nodes + j) * EACH + np.uint64(lane)
                    now[work_at + at] = z * work[k, m, j]
                    if j > 0:
                        now[up_at + at] = z * up[k, m, j - 1]
                        now[down_at + at] = z * down[k, m, j - 1]
        for row in range((stages + 1) * nodes):
            for lane in range(EACH):
                now[best_at + np.uint64(row) * EACH + lane] = INF
        for m in range(stages):
            come = came_at + np.uint64(m) * wide
            for j in range(nodes):
                for lane in range(EACH):
                    now[enter_at + np.uint64(j) * EACH + lane] = INF
                    now[come + np.uint64(j) * EACH + lane] = -1.0
            if m == 0:
                for lane in range(EACH):
                    now[enter_at + lane], now[come + lane] = 0.0, 0.0
                for j in range(1, nodes):
                    to = np.uint64(j) * EACH
                    latency = lat[j - 1]
                    for lane in range(EACH):
                        found = _over_radio(now, now[up_at + to + lane], latency, time, lane)
                        _enter(now, enter_at + to, come + to, found, 0.0, lane)
            else:
                for i in range(nodes):
                    before = best_at + np.uint64(m * nodes + i) * EACH
                    sender = np.float64(i)
                    for j in range(nodes):
                        to = np.uint64(j) * EACH
                        if i == j:
                            continue
                        if i > 0 and j > 0:
                            per, latency = hop_s[i - 1, j - 1], hop_lat[i - 1, j - 1]
                            moved = bits_at + np.uint64(m) * EACH
                            for lane in range(EACH):
                                found = now[before + lane] + time * (latency + now[moved + lane] * per)
                                _enter(now, enter_at + to, come + to, found, sender, lane)
                        elif i == 0:
                            latency = lat[j - 1]
                            at = up_at + np.uint64(m * nodes + j) * EACH
                            for lane in range(EACH):
                                paid = _over_radio(now, now[at + lane], latency, time, lane)
                                found = now[before + lane] + paid
                                _enter(now, enter_at + to, come + to, found, sender, lane)
                        else:
                            latency = lat[i - 1]
                            at = down_at + np.uint64(m * nodes + i) * EACH
                            for lane in range(EACH):
                                f = now[at + lane]
                                paid = _over_radio(now, f, latency, time, lane)
                                found = now[before + lane] + (paid if f >= 0.0 else 0.0)
                                _enter(now, enter_at + to, come + to, found, sender, lane)
            for j in range(nodes):
                to = np.uint64(j) * EACH
                for lane in range(EACH):
                    now[BASE + lane] = now[enter_at + to + lane] + now[u_at + to + lane]
                    now[SUM + lane] = 0.0
                if starts:
                    for lane in range(LANES):
                        now[SUM + np.uint64(lane)] = start[task[min(first + lane, len(task) - 1)], m, j]
                mark = np.float64(m)
                for e in range(m, stages):
                    at = work_at + np.uint64(e * nodes + j) * EACH
                    end = best_at + np.uint64((e + 1) * nodes + j) * EACH
                    begin = began_at + np.uint64((e + 1) * nodes + j) * EACH
                    for lane in range(EACH):
                        x = now[SUM + lane] + now[at + lane]
                        now[SUM + lane] = x
                        found = now[BASE + lane] + x * (now[p_at + to + lane] + now[c_at + to + lane] * x)
                        _enter(now, end, begin, found, mark, lane)
        for lane in range(min(LANES, len(task) - first)):
            i = first + lane
            at = np.uint64(lane)
            k, ends = task[i], blocks[task[i]]
            total, node = INF, -1
            for j in range(nodes):
                found = now[best_at + np.uint64(ends * nodes + j) * EACH + at]
                if j > 0 and found < INF:
                    f = size[i] * down[k, down.shape[1] - 1, j - 1]
                    if f == INF:
                        continue
                    if f >= 0.0:
                        found += _over_radio(now, f, lat[j - 1], time, at)
                if found < total:
                    total, node = found, j
            cost[i] = total
            place = places[i]
            place[:] = -1
            m = ends
            while node >= 0 and m > 0:
                begun = int(now[began_at + np.uint64(m * nodes + node) * EACH + at])
                place[begun:m] = node
                node, m = int(now[came_at + np.uint64(begun * nodes + node) * EACH + at]), begun
            if total < INF:
                load_of(k, size[i], tables, place, servers + device[k], loads[i])
