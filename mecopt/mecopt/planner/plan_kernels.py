"""The compiled loop of the planner: from changed figures to judged paths, many tasks side by side.

The same sums in the same order as `mecopt.costs`, as the kernels of `mecopt.trellis` and as the judge, so the
same bits; tests hold it to them. One signature, compiled once: all arrays are contiguous, aligned and
writeable, whatever was handed in.

A transfer from node i to node j takes ``lat[i, j] + bits * per_bit[i, j]`` seconds, for every pair: a missing
link is inf + 0, staying and what is not charged 0 + 0. So the inner loops, over `LANES` tasks each, have no
branches. Where fewer tasks are left the last one fills the lanes.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt.costs import LARGEST
from mecopt.scalars import EXACT
from mecopt.tolerances import LARGEST_NEGATIVE_GAP, RELATIVE_SLACK, SMALLEST_REFERENCE, SMALLEST_SCALE

LANES = 32
EACH_LANE = np.uint64(LANES)
INF = float("inf")
NAN = float("nan")
FINITE = 1.7976931348623157e308  # a number that is no deadline, but from which infinity can be taken
MOST_BATCH = float(EXACT)
SLOWEST = 1e-300  # bits/s; below it the seconds of a bit may be no number
SAFE = LARGEST / 1e3  # below it no sum can be out of range; beyond, `mecopt.costs` says whether it is

OWN, ONE, EACH = 0, 1, 2  # whose row of a table counts for a task: the instance's, the only one, its own
NONE, HARD, SOFT = 0, 1, 2  # what deadlines do
FINE, LEFT, REFUSED, LARGE, WRONG = 0, 1, 2, 3, 4  # what `plan_tasks` returns; LEFT: some task has no path

# Rows of `now`, a number a lane each.
ROWS = 10
(
    MANY, HOME, LEAST, BEST, NODE, COUNT, RESULT, VALUE, FOUND, CALC,
) = (np.uint64(row) for row in range(ROWS))  # fmt: skip


@njit(inline="always")
def _least(a, b):  # type: ignore[no-untyped-def]
    """Return the smaller one, as one instruction."""
    return a if a < b else b


@njit(inline="always")
def _most(a, b):  # type: ignore[no-untyped-def]
    return a if a > b else b


@njit(inline="always")
def _weight(delay, due, limit, penalty):  # type: ignore[no-untyped-def]
    """Objective of a step: `due` is inf unless deadlines are soft, `limit` unless they are hard."""
    over = delay - due
    worth = delay + penalty * (over if over > 0.0 else 0.0)
    return INF if delay > limit else worth


@njit(inline="always")
def _wires(lat, per_bit, hop_s, hop_lat):  # type: ignore[no-untyped-def]
    """Note the links between servers, once for all tasks."""
    for i in range(len(hop_s)):
        for j in range(len(hop_s)):
            there = hop_s[i, j] < INF
            lat[i + 1, j + 1, :] = hop_lat[i, j] if there else INF
            per_bit[i + 1, j + 1, :] = hop_s[i, j] if there else 0.0
    lat[0, 0, :] = 0.0
    per_bit[0, 0, :] = 0.0


@njit(inline="always")
def _radio(rates, row, send_lat, charged, lat, per_bit, far, most):  # type: ignore[no-untyped-def]
    """Note the links of the device, and in `far` what a return of the result takes; False for no rate."""
    fine = True
    for n in range(len(send_lat)):
        latency = send_lat[n]
        for lane in range(EACH_LANE):
            rate = rates[row[lane], n]
            fine &= (rate >= 0.0) & (rate < INF)
            far[1, n + 1, lane] = 1.0 / rate if rate > 0.0 else INF
            most = INF if rate < SLOWEST and rate > 0.0 else most
        for lane in range(EACH_LANE):
            bit_s = far[1, n + 1, lane]
            there = bit_s < INF
            way, bit_s = latency if there else INF, bit_s if there else 0.0
            most = _most(bit_s, most)
            far[0, n + 1, lane] = way
            far[1, n + 1, lane] = bit_s
            lat[0, n + 1, lane] = way
            per_bit[0, n + 1, lane] = bit_s
            lat[n + 1, 0, lane] = way if charged else (0.0 if there else INF)
            per_bit[n + 1, 0, lane] = bit_s if charged else 0.0
    return fine, most


@njit(inline="always")
def _calculation(longest, now, kind, own, unit_s, server_s, seen, cycles, speeds, fast, sized, calc):  # type: ignore[no-untyped-def]
    """Fill the seconds of every block on every node."""
    for m in range(longest):
        for lane in range(EACH_LANE):
            calc[m, 0, lane] = unit_s[own[lane], m] * now[MANY, lane]
        for n in range(calc.shape[1] - 1):
            if sized:
                for lane in range(EACH_LANE):
                    told = seen[kind[0, lane], m, n]
                    once = cycles[kind[0, lane], m] / speeds[fast[lane], n]
                    calc[m, n + 1, lane] = now[MANY, lane] * (told if told == told else once)
            else:
                for lane in range(EACH_LANE):
                    calc[m, n + 1, lane] = now[MANY, lane] * server_s[kind[1, lane], m, n]


@njit(inline="always")
def _deadlines(longest, now, tau, row, mode, due, limit):  # type: ignore[no-untyped-def]
    """Note when every block is late; False where a deadline is no number that may be one."""
    fine = True
    for m in range(longest):
        for lane in range(EACH_LANE):
            most = tau[row[lane], m]
            fine &= most >= 0.0
            due[m, lane] = _least(most, FINITE) if mode == SOFT else INF
            limit[m, lane] = most + RELATIVE_SLACK * _most(most, SMALLEST_SCALE) if mode == HARD else INF
    return fine


@njit(inline="always")
def _shut(m, v, barred, own):  # type: ignore[no-untyped-def]
    """Close the nodes that may not run block m."""
    for j in range(v.shape[1]):
        for lane in range(EACH_LANE):
            v[m, j, lane] = INF if barred[own[lane], m, j] else v[m, j, lane]


@njit(inline="always")
def _first(now, v, calc, lat, per_bit, bits, due, limit, penalty):  # type: ignore[no-untyped-def]
    """Fill the values of the first block, to which every path comes from the device."""
    for j in range(v.shape[1]):
        for lane in range(EACH_LANE):
            step = lat[0, j, lane] + bits[0, lane] * per_bit[0, j, lane] + calc[0, j, lane]
            v[0, j, lane] = _weight(step, due[0, lane], limit[0, lane], penalty)


@njit(inline="always")
def _forward(m, now, v, calc, lat, per_bit, bits, due, limit, penalty, uniform):  # type: ignore[no-untyped-def]
    """Fill v[m, j], the least value of a path up to block m on node j.

    Where server links are alike the hop comes from the best server. That may be j itself, which does no harm.
    """
    nodes = v.shape[1]
    for lane in range(EACH_LANE):
        now[LEAST, lane] = INF
        step = _weight(calc[m, 0, lane], due[m, lane], limit[m, lane], penalty)
        now[HOME, lane] = v[m - 1, 0, lane] + step
    for i in range(1, nodes):
        for lane in range(EACH_LANE):
            before = v[m - 1, i, lane]
            now[LEAST, lane] = _least(before, now[LEAST, lane])
            step = lat[i, 0, lane] + bits[m, lane] * per_bit[i, 0, lane] + calc[m, 0, lane]
            back = before + _weight(step, due[m, lane], limit[m, lane], penalty)
            now[HOME, lane] = _least(back, now[HOME, lane])
    for lane in range(EACH_LANE):
        v[m, 0, lane] = now[HOME, lane]
    for j in range(1, nodes):
        for lane in range(EACH_LANE):
            c, d, most, b = calc[m, j, lane], due[m, lane], limit[m, lane], bits[m, lane]
            stay = v[m - 1, j, lane] + _weight(c, d, most, penalty)
            send = lat[0, j, lane] + b * per_bit[0, j, lane]
            radio = v[m - 1, 0, lane] + _weight(send + c, d, most, penalty)
            v[m, j, lane] = _least(stay, radio)
        if uniform and nodes > 2:
            for lane in range(EACH_LANE):
                flight = lat[1, 2, lane] + bits[m, lane] * per_bit[1, 2, lane]
                step = _weight(flight + calc[m, j, lane], due[m, lane], limit[m, lane], penalty)
                v[m, j, lane] = _least(now[LEAST, lane] + step, v[m, j, lane])
        for i in range(1, 1 if uniform else nodes):
            for lane in range(EACH_LANE):
                step = lat[i, j, lane] + bits[m, lane] * per_bit[i, j, lane] + calc[m, j, lane]
                hop = v[m - 1, i, lane] + _weight(step, due[m, lane], limit[m, lane], penalty)
                v[m, j, lane] = _least(hop, v[m, j, lane])


@njit(inline="always")
def _end(m, now, v, far, returns):  # type: ignore[no-untyped-def]
    """Choose the node of the last block of the chains that end with block m; of equals, the lowest."""
    for lane in range(EACH_LANE):
        now[VALUE, lane] = v[m, 0, lane]
        now[FOUND, lane] = 0.0
    for j in range(1, v.shape[1]):
        for lane in range(EACH_LANE):
            back = far[0, j, lane] + now[RESULT, lane] * far[1, j, lane] if returns else 0.0
            end = v[m, j, lane] + back
            now[FOUND, lane] = float(j) if end < now[VALUE, lane] else now[FOUND, lane]
            now[VALUE, lane] = _least(end, now[VALUE, lane])
    for lane in range(EACH_LANE):
        ends = now[COUNT, lane] == float(m + 1)
        now[BEST, lane] = now[VALUE, lane] if ends else now[BEST, lane]
        now[NODE, lane] = now[FOUND, lane] if ends else now[NODE, lane]


@njit(inline="always")
def _backward(m, now, v, calc, lat, per_bit, bits, due, limit, penalty, path):  # type: ignore[no-untyped-def]
    """Note the node of block m, and find the one before it: of those that give the same sum, the lowest."""
    for lane in range(EACH_LANE):
        node = np.uint64(now[NODE, lane])
        path[m, lane] = node
        now[VALUE, lane] = v[m, node, lane]
        now[CALC, lane] = calc[m, node, lane]
        now[FOUND, lane] = now[NODE, lane]
    for i in range(v.shape[1] - 1, -1, -1):
        for lane in range(EACH_LANE):
            node = path[m, lane]
            step = lat[i, node, lane] + bits[m, lane] * per_bit[i, node, lane] + now[CALC, lane]
            value = v[m - 1, i, lane] + _weight(step, due[m, lane], limit[m, lane], penalty)
            now[FOUND, lane] = float(i) if value == now[VALUE, lane] else now[FOUND, lane]
    for lane in range(EACH_LANE):
        real = now[COUNT, lane] > float(m)
        now[NODE, lane] = now[FOUND, lane] if real else now[NODE, lane]


@njit(inline="always")
def _judge(lane, count, path, calc, lat, per_bit, bits, due, limit, barred, task):  # type: ignore[no-untyped-def]
    """Price the path of a lane by itself, as the judge does: delay, excess, whether it breaks no limit."""
    delay, excess, kept, before = 0.0, 0.0, True, np.uint64(0)
    for m in range(count):
        node = path[m, lane]
        step = lat[before, node, lane] + bits[m, lane] * per_bit[before, node, lane] + calc[m, node, lane]
        delay += step
        excess += _most(step - due[m, lane], 0.0)
        kept &= step <= limit[m, lane]
        if barred.shape[1]:
            kept &= not barred[task, m, node]
        before = node
    return delay, excess, kept


@njit(inline="always")
def _write(lane, k, count, value, delay, worth, path, placements, figures):  # type: ignore[no-untyped-def]
    """Hand over what was found for a task."""
    there = value < INF
    figures[0, k] = delay if there else NAN
    figures[1, k] = worth if there else NAN
    figures[2, k] = value
    for m in range(placements.shape[1]):
        placements[k, m] = np.int64(path[m, lane]) if there & (m < count) else -1


@njit(inline="always")
def _load(  # type: ignore[no-untyped-def]
    start, chosen, whose_rates, whose_speeds, whose_tau, whose_batch, batch, kinds, output_bits, speeds,
    sized, now, kind, own, rows,
):  # fmt: skip
    """Fetch who the tasks of a chunk are; return the longest chain, the shortest, and whether all is fine."""
    longest, shortest, fine = 0, kinds[chosen[start], 2], True
    for lane in range(EACH_LANE):
        k = min(start + np.int64(lane), len(chosen) - 1)
        task = chosen[k]
        own[lane] = task
        rows[0, lane] = task if whose_rates == OWN else (0 if whose_rates == ONE else k)
        rows[1, lane] = k if whose_speeds == EACH else 0
        rows[2, lane] = task if whose_tau == OWN else (0 if whose_tau == ONE else k)
        many = batch[task if whose_batch == OWN else (0 if whose_batch == ONE else k)]
        kind[0, lane], kind[1, lane], count = kinds[task, 0], kinds[task, 1], kinds[task, 2]
        longest, shortest = max(longest, count), min(shortest, count)
        fine &= (many >= 1.0) & (many <= MOST_BATCH) & (many == np.floor(many))
        now[MANY, lane] = many
        now[COUNT, lane] = float(count)
        now[RESULT, lane] = output_bits[kind[0, lane]] * many
        now[NODE, lane] = 0.0
        if sized:
            for n in range(speeds.shape[1]):
                fast = speeds[rows[1, lane], n]
                fine &= (fast > 0.0) & (fast < INF)
    return longest, shortest, fine


@njit(nogil=True, cache=True)
def plan_tasks(  # type: ignore[no-untyped-def]
    chosen, whose_rates, rates, whose_speeds, speeds, whose_tau, tau, whose_batch, batch,
    kinds, cycles, input_bits, output_bits, seen, unit_s, server_s, send_lat, hop_s, hop_lat, barred, worst,
    mode, penalty, charged, returns, uniform, placements, figures,
):  # fmt: skip
    """Plan tasks `chosen` of the instance into `placements` (K, M) and `figures` (delay, objective, bound).

    Tables have a row for each of the instance's tasks, one for all that are planned, or one for each of
    them: `whose_...` says which. The other arrays are `mecopt.planner.layout.Layout`'s.
    """
    stages, nodes, tasks = placements.shape[1], len(send_lat) + 1, len(chosen)
    v, calc = np.empty((stages, nodes, LANES)), np.empty((stages, nodes, LANES))
    lat, per_bit, far = (
        np.empty((nodes, nodes, LANES)),
        np.empty((nodes, nodes, LANES)),
        np.zeros((2, nodes, LANES)),
    )
    bits, due, limit = np.empty((stages, LANES)), np.empty((stages, LANES)), np.empty((stages, LANES))
    now, path = np.empty((ROWS, LANES)), np.zeros((stages, LANES), dtype=np.uint64)
    own, kind = np.empty(LANES, dtype=np.int64), np.empty((2, LANES), dtype=np.int64)
    rows = np.empty((3, LANES), dtype=np.int64)
    _wires(lat, per_bit, hop_s, hop_lat)
    mode = NONE if mode == SOFT and penalty == 0.0 else mode
    factor = penalty if mode == SOFT else 1.0
    sized, slowest, largest, sent, said = whose_speeds != OWN, INF, 1.0, 0.0, FINE
    for start in range(0, tasks, LANES):
        longest, shortest, fine = _load(
            start, chosen, whose_rates, whose_speeds, whose_tau, whose_batch, batch, kinds, output_bits,
            speeds, sized, now, kind, own, rows,
        )  # fmt: skip
        good, sent = _radio(rates, rows[0], send_lat, charged, lat, per_bit, far, sent)
        fine &= good & _deadlines(longest, now, tau, rows[2], mode, due, limit)
        if not fine:
            return REFUSED
        for lane in range(EACH_LANE):
            largest = _most(now[MANY, lane], largest)
        for m in range(longest):
            for lane in range(EACH_LANE):
                bits[m, lane] = input_bits[kind[0, lane], m] * now[MANY, lane]
        _calculation(longest, now, kind, own, unit_s, server_s, seen, cycles, speeds, rows[1], sized, calc)
        for m in range(longest):
            if m == 0:
                _first(now, v, calc, lat, per_bit, bits, due, limit, factor)
            else:
                _forward(m, now, v, calc, lat, per_bit, bits, due, limit, factor, uniform)
            if barred.shape[1]:
                _shut(m, v, barred, own)
            if m + 1 >= shortest:
                _end(m, now, v, far, returns)
        for m in range(longest - 1, 0, -1):
            _backward(m, now, v, calc, lat, per_bit, bits, due, limit, factor, path)
        for lane in range(EACH_LANE):
            path[0, lane] = np.uint64(now[NODE, lane])
        for lane in range(np.uint64(min(LANES, tasks - start))):
            count, value = np.int64(now[COUNT, lane]), now[BEST, lane]
            delay, excess, kept = _judge(
                lane, count, path, calc, lat, per_bit, bits, due, limit, barred, own[lane]
            )
            if returns:
                node = path[count - 1, lane]
                delay += far[0, node, lane] + now[RESULT, lane] * far[1, node, lane]
            worth = delay + factor * excess
            _write(lane, start + np.int64(lane), count, value, delay, worth, path, placements, figures)
            near = abs(worth - value) <= LARGEST_NEGATIVE_GAP * _most(value, SMALLEST_REFERENCE)
            said = said if value < INF else max(said, LEFT)
            said = WRONG if (value < INF) & (not (kept & near)) else said
    if sized:
        for k in range(len(speeds)):
            for n in range(nodes - 1):
                slowest = min(slowest, speeds[k, n])
    once = worst[5] / slowest if sized else worst[1]
    once += worst[0] + worst[2] * (1.0 + worst[3]) * (sent + worst[4])
    return said if (largest * once + worst[6]) * (1.0 + factor) < SAFE else LARGE
