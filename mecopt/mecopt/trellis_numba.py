"""The numba kernel of the trellis: 64 chains side by side, so that the processor works on eight at a time.

The same sums in the same order as the numpy kernel of `mecopt.trellis`, so the same bits. fastmath stays
off: it would let the compiler reorder them, and gains nothing here.

LLVM gives up easily on the loops over the lanes. What keeps them fast:

- Their indices are unsigned, and nothing is read under a condition: first `a = x[lane]`, then `a if ...`.
- What a loop writes must provably not overlap with what it reads. So the small rows lie in one array, `now`,
  at constant places, and the loops around them count upwards.
- Helpers take whole arrays and indices and are inlined: slices and calls cost more than the lanes they serve.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.compiling import njit
from mecopt.costs import ChainCosts

LANES = 64
EACH = np.uint64(LANES)
INF = np.inf

# How deadlines count; told apart by length, so that each is compiled by itself.
FREE, HARD, SOFT = (), (0,), (0, 0)

# The rows of `now`, LANES numbers each: of the chains of the chunk and, from BITS on, of the block in turn.
ROWS = 19
(
    MANY, BLOCKS, LEFT, BEST, NODE,
    BITS, DUE, DEVICE, HOP, HOME, STAGE, LEAST, NEXT, VALUE, CALC, STAY, RADIO, OTHER, FOUND,
) = (np.uint64(row * LANES) for row in range(ROWS))  # fmt: skip


def shortest_paths(costs: ChainCosts, node_cost: Floats | None, threads: int) -> tuple[Floats, Ints]:
    """Return value (K,) and placement (K, M) of every task; see `mecopt.trellis.shortest_paths`."""
    tasks, stages = costs.device_s.shape
    if tasks < LANES:  # the same tasks again fill the lanes that are left
        rows = np.arange(LANES) % tasks
        value, placement = shortest_paths(
            _take(costs, rows), None if node_cost is None else node_cost[rows], 1
        )
        return value[:tasks], placement[:tasks]
    soft, hard = costs.penalty > 0, bool(np.isfinite(costs.limit).any())
    value = np.empty(tasks)
    placement = np.empty((stages, tasks), dtype=np.int64)
    arguments = (
        costs.blocks, costs.group, costs.server_s, costs.batch, _side_by_side(costs.device_s),
        _side_by_side(costs.bits), costs.result_bits, _side_by_side(costs.send_s), costs.send_lat,
        costs.hop_s, costs.hop_lat, _side_by_side(costs.tau if soft else costs.limit), costs.penalty,
        SOFT if soft else HARD if hard else FREE, costs.return_transfer, costs.return_result, costs.uniform,
        np.empty((0, 0, 0)) if node_cost is None else np.ascontiguousarray(node_cost), value, placement,
    )  # fmt: skip
    # Threads rather than numba's own parallel loops: nothing more to compile, and the same bits.
    chunk = -(-tasks // (max(1, threads) * LANES)) * LANES
    starts = range(0, tasks, chunk)
    if len(starts) == 1:
        _solve(0, tasks, *arguments)
    else:
        with ThreadPoolExecutor(len(starts)) as pool:
            list(pool.map(lambda start: _solve(start, min(start + chunk, tasks), *arguments), starts))
    return value, placement.T


def _side_by_side(figures: Floats) -> Floats:
    """Return the array with the tasks in the last place; no copy of what `chain_costs` makes."""
    return np.ascontiguousarray(figures.T)


def _take(costs: ChainCosts, rows: Ints) -> ChainCosts:
    fields = ("blocks", "group", "batch", "device_s", "bits", "result_bits", "send_s", "tau", "limit")
    taken = {name: getattr(costs, name)[rows] for name in fields}
    taken["blocks"].flags.writeable = False  # as an instance has it: another type would be compiled again
    return dataclasses.replace(costs, **taken)


@njit(inline="always")
def _weight(delay, due, penalty, mode):  # type: ignore[no-untyped-def]
    """Objective of a step of that delay; the type of `mode` knows its length: one branch is compiled."""
    if len(mode) == 0:
        return delay
    if len(mode) == 1:
        return INF if delay > due else delay
    over = delay - due
    return delay + penalty * (over if over > 0.0 else 0.0)


@njit(inline="always")
def _least(a, b):  # type: ignore[no-untyped-def]
    """Return the smaller one, as one instruction."""
    return a if a < b else b


@njit(inline="always")
def _move(latency, per_bit, bits):  # type: ignore[no-untyped-def]
    """Seconds to move the bits over a link; never NaN."""
    return INF if per_bit == INF else latency + bits * per_bit


@njit(inline="always")
def _load(start, now, row, link, blocks, group, batch, send_s, send_lat, stride):  # type: ignore[no-untyped-def]
    """Fetch the figures of a chunk; return its longest chain, its shortest, and whether two groups are all.

    link[j] becomes the radio link to node j, latency and seconds per bit: inf and 0 where it is missing.
    """
    longest, shortest, two = 0, blocks[start], True
    for lane in range(EACH):
        length = blocks[start + lane]
        longest, shortest = max(longest, length), min(shortest, length)
        row[lane] = group[start + lane] * stride
        now[BLOCKS + lane] = length
        now[MANY + lane] = batch[start + lane]
        now[STAGE + lane] = 0.0  # every chain starts on the device
        now[NEXT + lane] = INF
    for lane in range(EACH):
        now[LEFT + lane] = 1.0 if row[lane] == row[0] else 0.0
        two &= (row[lane] == row[0]) | (row[lane] == row[LANES - 1])
    for n in range(send_s.shape[0]):
        latency = send_lat[n]
        for lane in range(EACH):
            per_bit = send_s[n, start + lane]
            link[n + 1, lane] = INF if per_bit == INF else latency
            link[n + 1, EACH + lane] = 0.0 if per_bit == INF else per_bit
    return longest, shortest, two


@njit(inline="always")
def _begin(m, start, now, device_s, bits, tau, hop_s, hop_lat, penalty, mode):  # type: ignore[no-untyped-def]
    """Fetch what block m costs wherever it runs, and stay on the device.

    HOME is the value of the device and LEAST the least of the servers before m, STAGE and NEXT those after.
    """
    for lane in range(EACH):
        b, d, due = bits[m, start + lane], device_s[m, start + lane], 0.0
        if len(mode) > 0:
            due = tau[m, start + lane]
        home, least = now[STAGE + lane], now[NEXT + lane]
        now[BITS + lane] = b
        now[DEVICE + lane] = d
        now[DUE + lane] = due
        now[HOP + lane] = _move(hop_lat, hop_s, b)
        now[HOME + lane] = home
        now[LEAST + lane] = least
        now[STAGE + lane] = home + _weight(d, due, penalty, mode)
        now[NEXT + lane] = INF


@njit(inline="always")
def _calc(m, now, calc, row, per_server, two):  # type: ignore[no-untyped-def]
    """Seconds of block m on every server; with two groups every lane has the choice of two numbers."""
    servers = calc.shape[1] - 1
    for j in range(1, servers + 1):
        at = m * servers + j - 1
        if two:
            a, b = per_server[row[0] + at], per_server[row[LANES - 1] + at]
            for lane in range(EACH):
                calc[m + 1, j, lane] = now[MANY + lane] * (a if now[LEFT + lane] > 0.0 else b)
        else:
            for lane in range(EACH):
                calc[m + 1, j, lane] = now[MANY + lane] * per_server[row[lane] + at]


@njit(inline="always")
def _forward(m, v, now, calc, link, hop_s, hop_lat, penalty, mode, charged, uniform):  # type: ignore[no-untyped-def]
    """Values after block m, v[m + 1], from those before it.

    Where server links are alike, the hop comes from the best server. That may be j itself, which does no
    harm: such a hop never beats staying.
    """
    for j in range(1, link.shape[0]):
        for lane in range(EACH):
            x, c, due = v[m, j, lane], calc[m + 1, j, lane], now[DUE + lane]
            send = link[j, lane] + now[BITS + lane] * link[j, EACH + lane]
            hop = now[LEAST + lane] + _weight(now[HOP + lane] + c, due, penalty, mode)
            radio = now[HOME + lane] + _weight(send + c, due, penalty, mode)
            low = _least(_least(x + _weight(c, due, penalty, mode), hop), radio)
            v[m + 1, j, lane] = low
            now[NEXT + lane] = _least(low, now[NEXT + lane])
            back = send if charged else (INF if send == INF else 0.0)
            back = x + _weight(back + now[DEVICE + lane], due, penalty, mode)
            now[STAGE + lane] = _least(back, now[STAGE + lane])
        for i in range(1, 1 if uniform else link.shape[0]):
            per_bit, latency = hop_s[i - 1, j - 1], hop_lat[i - 1, j - 1]
            if i != j and per_bit < INF:
                for lane in range(EACH):
                    delay = latency + now[BITS + lane] * per_bit + calc[m + 1, j, lane]
                    hop = v[m, i, lane] + _weight(delay, now[DUE + lane], penalty, mode)
                    v[m + 1, j, lane] = _least(hop, v[m + 1, j, lane])
    for lane in range(EACH):
        v[m + 1, 0, lane] = now[STAGE + lane]
        calc[m + 1, 0, lane] = now[DEVICE + lane]


@njit(inline="always")
def _price(m, start, v, reached, now, node_cost):  # type: ignore[no-untyped-def]
    """Add the cost of the nodes to the values after block m; `reached` keeps them without it."""
    for lane in range(EACH):
        now[NEXT + lane] = INF
        for j in range(v.shape[1]):
            reached[m + 1, j, lane] = v[m + 1, j, lane]
            v[m + 1, j, lane] += node_cost[start + lane, m, j]
            if j > 0:
                now[NEXT + lane] = _least(v[m + 1, j, lane], now[NEXT + lane])
        now[STAGE + lane] = v[m + 1, 0, lane]


@njit(inline="always")
def _choose(m, start, v, now, link, result_bits, return_result):  # type: ignore[no-untyped-def]
    """Choose the last node of the chains that end with block m."""
    for lane in range(EACH):
        now[VALUE + lane] = now[STAGE + lane]
        now[FOUND + lane] = 0.0
        now[OTHER + lane] = result_bits[start + lane]
    for j in range(1, link.shape[0]):
        here = float(j)
        for lane in range(EACH):
            back = link[j, lane] + now[OTHER + lane] * link[j, EACH + lane] if return_result else 0.0
            x, found, low = v[m + 1, j, lane] + back, now[FOUND + lane], now[VALUE + lane]
            now[FOUND + lane] = here if x < low else found
            now[VALUE + lane] = _least(x, low)
    length = float(m + 1)
    for lane in range(EACH):
        ends, low, best = now[BLOCKS + lane] == length, now[VALUE + lane], now[BEST + lane]
        found, node = now[FOUND + lane], now[NODE + lane]
        now[BEST + lane] = low if ends else best
        now[NODE + lane] = found if ends else node


@njit(inline="always")
def _backward(  # type: ignore[no-untyped-def]
    m, start, v, reached, now, calc, link, bits, tau, s, lat, hop_s, hop_lat, penalty, mode, charged, uniform
):
    """Find the lowest node before block m that the value of the chosen node comes from."""
    for lane in range(EACH):
        j = np.uint64(now[NODE + lane])
        now[CALC + lane] = calc[m + 1, j, lane]
        now[VALUE + lane] = reached[m + 1, j, lane]
        now[RADIO + lane] = link[j, lane]
        now[OTHER + lane] = link[j, EACH + lane]
    last = float(link.shape[0] - 1)
    for lane in range(EACH):
        b, c, due = bits[m, start + lane], now[CALC + lane], 0.0
        if len(mode) > 0:
            due = tau[m, start + lane]
        send = now[RADIO + lane] + b * now[OTHER + lane]
        now[BITS + lane] = b
        now[DUE + lane] = due
        now[STAY + lane] = _weight(c, due, penalty, mode)
        now[OTHER + lane] = _weight(_move(lat, s, b) + c, due, penalty, mode)
        home = v[m, 0, lane] + _weight(send + c, due, penalty, mode)
        now[FOUND + lane] = 0.0 if home == now[VALUE + lane] else last
    for i in range(1, link.shape[0]):
        here = float(i)
        if not uniform:
            for lane in range(EACH):
                n = max(int(now[NODE + lane]) - 1, 0)
                delay = _move(hop_lat[i - 1, n], hop_s[i - 1, n], now[BITS + lane]) + now[CALC + lane]
                now[OTHER + lane] = _weight(delay, now[DUE + lane], penalty, mode)
        for lane in range(EACH):
            stay, other = now[STAY + lane], now[OTHER + lane]
            node, found = now[NODE + lane], now[FOUND + lane]
            back = link[i, lane] + now[BITS + lane] * link[i, EACH + lane]
            if charged:
                back = _weight(back + now[CALC + lane], now[DUE + lane], penalty, mode)
            else:
                back = INF if back == INF else stay
            step = back if node == 0.0 else other
            step = stay if node == here else step
            now[FOUND + lane] = _least(here if v[m, i, lane] + step == now[VALUE + lane] else INF, found)


@njit(inline="always")
def _write(m, start, now, placement):  # type: ignore[no-untyped-def]
    """Note the node of block m, and go on with the one before it."""
    block = float(m)
    for lane in range(EACH):
        node, found = now[NODE + lane], now[FOUND + lane]
        real, alive = now[BLOCKS + lane] > block, now[BEST + lane] < INF
        placement[m, start + lane] = int(node if real & alive else -1.0)
        now[NODE + lane] = found if real else node


@njit(nogil=True, cache=True)
def _solve(  # type: ignore[no-untyped-def]
    first, last, blocks, group, server_s, batch, device_s, bits, result_bits, send_s, send_lat,
    hop_s, hop_lat, tau, penalty, mode, charged, return_result, uniform, node_cost, value, placement,
):  # fmt: skip
    """Solve tasks first..last-1 (at least LANES of them) into value and placement."""
    stages, nodes = len(device_s), len(send_s) + 1
    per_server = server_s.ravel()
    s, lat = (hop_s[0, 1], hop_lat[0, 1]) if uniform and nodes > 2 else (INF, 0.0)
    now, row = np.empty(ROWS * LANES), np.empty(LANES, dtype=np.int64)
    link = np.zeros((nodes, 2 * LANES))
    calc, v = np.empty((stages + 1, nodes, LANES)), np.empty((stages + 1, nodes, LANES))
    v[0] = INF
    priced = node_cost.size > 0
    reached = np.empty_like(v) if priced else v
    for chunk in range(first, last, LANES):
        start = np.uint64(min(chunk, last - LANES))  # the last chunk overlaps the one before it
        longest, shortest, two = _load(
            start, now, row, link, blocks, group, batch, send_s, send_lat, stages * (nodes - 1)
        )
        for m in range(longest):
            _begin(m, start, now, device_s, bits, tau, s, lat, penalty, mode)
            _calc(m, now, calc, row, per_server, two)
            _forward(m, v, now, calc, link, hop_s, hop_lat, penalty, mode, charged, uniform)
            if priced:
                _price(m, start, v, reached, now, node_cost)
            if m + 1 >= shortest:
                _choose(m, start, v, now, link, result_bits, return_result)
        for lane in range(EACH):
            value[start + lane] = now[BEST + lane]
        for m in range(stages - 1, -1, -1):
            if 0 < m < longest:
                _backward(
                    m, start, v, reached, now, calc, link, bits, tau, s, lat, hop_s, hop_lat,
                    penalty, mode, charged, uniform,
                )  # fmt: skip
            _write(m, start, now, placement)
