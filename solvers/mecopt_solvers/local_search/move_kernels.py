"""The moves, compiled: every one is weighed by what it changes, in the objective and in every limit.

Arrays as in `state.State`. They are passed one by one: taken out of a tuple, each access would count
references, which costs ten times the move.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf
FEE = 0.1  # what being above a limit costs however little it is, in units of its row
REROUTE, SWAP = 0.1, 0.2  # share of moves that route a task anew; up to the second one, that swap two tasks


@njit(cache=True, nogil=True)
def excess(used, limit):  # type: ignore[no-untyped-def]
    """Say how bad a use is: 0 within the limit, a fee and the excess above it."""
    return FEE + used - limit if used > limit else 0.0


@njit(cache=True, nogil=True)
def _add(row, amount, used, limit):  # type: ignore[no-untyped-def]
    """Add to what a row is used; returns the change of the excess."""
    change = -excess(used[row], limit[row])
    used[row] += amount
    return change + excess(used[row], limit[row])


@njit(cache=True, nogil=True)
def _put(r, m, node, sign, work, place, piece, size, held, used, limit):  # type: ignore[no-untyped-def]
    """Put block m of task r on a node, or (sign -1) take it off; returns the change of the excess."""
    at, what = place[r, node], piece[r, m]
    change = _add(at, sign * work[r, m, node], used, limit)
    held[at, what] += sign
    if held[at, what] == (1 if sign > 0 else 0) and size[what] > 0:
        change += _add(held.shape[0] + at, sign * size[what], used, limit)
    return change


@njit(cache=True, nogil=True)
def _put_row(r, row, sign, blocks, work, place, piece, size, held, used, limit):  # type: ignore[no-untyped-def]
    """Put a whole task, or take it off; energy is not touched."""
    change = 0.0
    for m in range(blocks[r]):
        change += _put(r, m, row[m], sign, work, place, piece, size, held, used, limit)
    return change


@njit(cache=True, nogil=True)
def _sum(table, r, row, blocks):  # type: ignore[no-untyped-def]
    """Add up weight or energy of task r on the nodes of `row`."""
    total, before = 0.0, 0
    for m in range(blocks[r]):
        total += table[r, m, before, row[m]]
        before = row[m]
    return total


@njit(cache=True, nogil=True)
def measure(weight, energy, work, blocks, place, budget, piece, size, held, used, limit, nodes, cost):  # type: ignore[no-untyped-def]
    """Count everything anew from the placement; fills cost (K,), the objective of every task."""
    used[:] = 0.0
    held[:] = 0
    for r in range(len(blocks)):
        cost[r] = _sum(weight, r, nodes[r], blocks)
        used[budget[r]] += _sum(energy, r, nodes[r], blocks)
        _put_row(r, nodes[r], 1, blocks, work, place, piece, size, held, used, limit)


@njit(cache=True, nogil=True)
def _segment(  # type: ignore[no-untyped-def]
    r, price, most, weight, energy, work, blocks, place, budget, piece, size, held, used, limit, nodes
):
    """Try to move a run of blocks of task r to one node; returns whether that was accepted."""
    last = blocks[r]
    a = np.random.randint(0, last)  # noqa: NPY002 (all that the compiler knows)
    b = a + 1
    while b < last and np.random.random() < 0.5:  # noqa: NPY002
        b += 1
    node = np.random.randint(0, weight.shape[2])  # noqa: NPY002
    now = nodes[r, a - 1] if a > 0 else 0
    ahead, change, joules, moved = now, 0.0, 0.0, False
    for m in range(a, b):
        to = nodes[r, m]
        change += weight[r, m, ahead, node] - weight[r, m, now, to]
        joules += energy[r, m, ahead, node] - energy[r, m, now, to]
        moved = moved or to != node
        now, ahead = to, node
    if b < last:
        change += weight[r, b, node, nodes[r, b]] - weight[r, b, now, nodes[r, b]]
        joules += energy[r, b, node, nodes[r, b]] - energy[r, b, now, nodes[r, b]]
    if not moved or not change < INF:
        return False
    before = used[budget[r]]
    worse = _add(budget[r], joules, used, limit)
    for m in range(a, b):
        worse += _put(r, m, nodes[r, m], -1, work, place, piece, size, held, used, limit)
        worse += _put(r, m, node, 1, work, place, piece, size, held, used, limit)
    if change + price * worse <= most:
        nodes[r, a:b] = node
        return True
    for m in range(a, b):
        _put(r, m, node, -1, work, place, piece, size, held, used, limit)
        _put(r, m, nodes[r, m], 1, work, place, piece, size, held, used, limit)
    used[budget[r]] = before
    return False


@njit(cache=True, nogil=True)
def _route(  # type: ignore[no-untyped-def]
    r, price, row, weight, energy, work, blocks, place, budget, piece, size, held, used, limit, source, value
):
    """Fill `row` with the cheapest path of task r when excess has a price; the task is off the books."""
    states, last = weight.shape[2], blocks[r]
    at = budget[r]
    base, tight = excess(used[at], limit[at]), limit[at] < INF
    for m in range(last):
        for j in range(states):
            best, start = INF, 0
            for i in range(states if m > 0 else 1):
                total = weight[r, m, i, j] + (value[m - 1, i] if m > 0 else 0.0)
                if tight and total < best:
                    total += price * (excess(used[at] + energy[r, m, i, j], limit[at]) - base)
                if total < best:
                    best, start = total, i
            row_load, row_memory = place[r, j], held.shape[0] + place[r, j]
            worse = excess(used[row_load] + work[r, m, j], limit[row_load])
            worse -= excess(used[row_load], limit[row_load])
            if held[place[r, j], piece[r, m]] == 0:
                worse += excess(used[row_memory] + size[piece[r, m]], limit[row_memory])
                worse -= excess(used[row_memory], limit[row_memory])
            value[m, j], source[m, j] = best + price * worse, start
    node = 0  # of least value; not argmin: see `mecopt.compiling`
    for j in range(1, states):
        if value[last - 1, j] < value[last - 1, node]:
            node = j
    for m in range(last - 1, -1, -1):
        row[m] = node
        node = source[m, node]


@njit(cache=True, nogil=True)
def _reroute(  # type: ignore[no-untyped-def]
    r, price, most, weight, energy, work, blocks, place, budget, piece, size, held, used, limit, nodes,
    row, source, value,
):  # fmt: skip
    """Try to route task r anew; returns whether that was accepted."""
    before, now = used[budget[r]], nodes[r]
    change = -_sum(weight, r, now, blocks)
    worse = _put_row(r, now, -1, blocks, work, place, piece, size, held, used, limit)
    worse += _add(budget[r], -_sum(energy, r, now, blocks), used, limit)
    _route(
        r, price, row, weight, energy, work, blocks, place, budget, piece, size, held, used, limit,
        source, value,
    )  # fmt: skip
    change += _sum(weight, r, row, blocks)
    worse += _put_row(r, row, 1, blocks, work, place, piece, size, held, used, limit)
    worse += _add(budget[r], _sum(energy, r, row, blocks), used, limit)
    if change + price * worse <= most:
        nodes[r, : blocks[r]] = row[: blocks[r]]
        return True
    _put_row(r, row, -1, blocks, work, place, piece, size, held, used, limit)
    _put_row(r, now, 1, blocks, work, place, piece, size, held, used, limit)
    used[budget[r]] = before
    return False


@njit(cache=True, nogil=True)
def _swap(  # type: ignore[no-untyped-def]
    r, q, price, most, weight, energy, work, blocks, place, budget, piece, size, held, used, limit, nodes
):
    """Try to exchange the placements of two tasks; returns whether that was accepted."""
    if q == r or blocks[q] != blocks[r]:
        return False
    change = _sum(weight, r, nodes[q], blocks) + _sum(weight, q, nodes[r], blocks)
    change -= _sum(weight, r, nodes[r], blocks) + _sum(weight, q, nodes[q], blocks)
    if not change < INF:
        return False
    before_r, before_q = used[budget[r]], used[budget[q]]
    joules_r = _sum(energy, r, nodes[q], blocks) - _sum(energy, r, nodes[r], blocks)
    joules_q = _sum(energy, q, nodes[r], blocks) - _sum(energy, q, nodes[q], blocks)
    worse = _add(budget[r], joules_r, used, limit) + _add(budget[q], joules_q, used, limit)
    for k, old, new in ((r, r, q), (q, q, r)):
        worse += _put_row(k, nodes[old], -1, blocks, work, place, piece, size, held, used, limit)
        worse += _put_row(k, nodes[new], 1, blocks, work, place, piece, size, held, used, limit)
    if change + price * worse <= most:
        for m in range(blocks[r]):
            nodes[r, m], nodes[q, m] = nodes[q, m], nodes[r, m]
        return True
    for k, old, new in ((r, r, q), (q, q, r)):
        _put_row(k, nodes[new], -1, blocks, work, place, piece, size, held, used, limit)
        _put_row(k, nodes[old], 1, blocks, work, place, piece, size, held, used, limit)
    used[budget[r]], used[budget[q]] = before_r, before_q
    return False


@njit(cache=True, nogil=True)
def anneal(  # type: ignore[no-untyped-def]
    weight, energy, work, blocks, place, budget, piece, size, held, used, limit, nodes,
    part, mates, prices, units, hot, cold, moves, seed,
):  # fmt: skip
    """Make moves while the temperature falls from hot to cold; returns how many were accepted.

    Reads prices (parts,), seconds for each unit of excess, and units (parts,), seconds that temperatures
    are fractions of.
    """
    np.random.seed(seed)  # noqa: NPY002
    tasks, accepted, temperature = len(blocks), 0, hot
    cooling = np.exp(np.log(cold / hot) / moves)
    row = np.empty(nodes.shape[1], dtype=np.int64)
    source = np.empty((nodes.shape[1], weight.shape[2]), dtype=np.int64)
    value = np.empty(source.shape)
    for _ in range(moves):
        temperature *= cooling
        r = np.random.randint(0, tasks)  # noqa: NPY002
        price, unit = prices[part[r]], units[part[r]]
        most = -temperature * unit * np.log(1.0 - np.random.random())  # noqa: NPY002
        kind = np.random.random()  # noqa: NPY002
        if kind < REROUTE:
            accepted += _reroute(
                r, price, most, weight, energy, work, blocks, place, budget, piece, size, held, used, limit,
                nodes, row, source, value,
            )  # fmt: skip
        elif kind < SWAP:
            q = np.random.randint(mates[r, 0], mates[r, 1])  # noqa: NPY002
            accepted += _swap(
                r, q, price, most, weight, energy, work, blocks, place, budget, piece, size, held, used,
                limit, nodes,
            )  # fmt: skip
        else:
            accepted += _segment(
                r, price, most, weight, energy, work, blocks, place, budget, piece, size, held, used, limit,
                nodes,
            )  # fmt: skip
    return accepted
