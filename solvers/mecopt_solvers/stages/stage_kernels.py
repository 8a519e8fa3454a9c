"""Inner loops, compiled: the programme over (nodes used, last node, blocks done).

A task of M blocks on J nodes. Arrays end in the block, so that the inner loops run along it:
``cost[i, j, m]`` is what entering block m on node j from node i adds (or, where the worst of a path counts,
the seconds that the step keeps a link busy), inf where that may not be. ``begin[j, m]`` and ``stay[j, m]``
are the seconds that block m keeps node j busy when it begins a stretch there and when it goes on with one. A
stretch that begins with block m on node j ends before block ``reach[j, m]`` at the latest. ``bit[j]`` is
1 << the place of node j in sets, 0 for the one node, the device, that may run several stretches. With a set
of nodes used, from ``low`` to ``high`` blocks are done: fewer leave too much for the others, more are too
many for them.

Sets come in the order of their numbers, so a set comes after all those within it.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf


@njit(cache=True, nogil=True)
def _arrive(value, cost, bit, before, head, worst, low, high, h):  # type: ignore[no-untyped-def]
    """Fill h (M,): the least value of block m beginning a stretch on a node, coming from a set of nodes."""
    nodes, stages = cost.shape[0], cost.shape[2]
    first, stop = max(1, low), min(stages, high + 1)
    h[:] = INF
    if before == 0:
        h[0] = cost[0, head, 0]
    for i in range(nodes):
        if i == head or (bit[i] != 0 and before & bit[i] == 0):
            continue
        if worst:
            for m in range(first, stop):
                total = max(value[before, i, m], cost[i, head, m])
                h[m] = min(h[m], total)
        else:
            for m in range(first, stop):
                total = value[before, i, m] + cost[i, head, m]
                h[m] = min(h[m], total)


@njit(cache=True, nogil=True)
def _run(h, cost, begin, stay, reach, head, most, worst, out):  # type: ignore[no-untyped-def]
    """Fill out (M + 1,): the least value when a stretch on a node ends before block m."""
    stages = cost.shape[2]
    out[:] = INF
    for m in range(stages):
        busy, total = begin[head, m], h[m]
        if total == INF or busy > most or reach[head, m] <= m:
            continue
        if worst:
            total = max(total, busy)
        out[m + 1] = min(out[m + 1], total)
        for n in range(m + 1, reach[head, m]):
            busy += stay[head, n]
            if worst:
                total = max(total, busy, cost[head, head, n])
            else:
                total += cost[head, head, n]
            if busy > most or total == INF:
                break
            out[n + 1] = min(out[n + 1], total)


@njit(cache=True, nogil=True)
def least(cost, begin, stay, reach, bit, low, high, first, stop, most, worst, value):  # type: ignore[no-untyped-def]
    """Fill value (sets, J, M + 1) for some sets: the least sum, or worst, of m blocks that end on node j.

    A stretch keeps its node busy for at most `most` seconds.
    """
    nodes, stages = cost.shape[0], cost.shape[2]
    h, out = np.empty(stages), np.empty(stages + 1)
    for used in range(first, stop):
        if low[used] > high[used]:
            value[used] = INF
            continue
        for turn in range(nodes):
            j = turn + 1 if turn < nodes - 1 else 0  # the device last: it may come from this very set
            if bit[j] != 0 and used & bit[j] == 0:
                continue
            before = used ^ bit[j]
            _arrive(value, cost, bit, before, j, worst, low[before], high[before], h)
            _run(h, cost, begin, stay, reach, j, most, worst, out)
            out[: low[used]] = INF
            value[used, j] = out


@njit(cache=True, nogil=True)
def best_end(value, bit):  # type: ignore[no-untyped-def]
    """Return set and last node of the least value of all blocks, -1 where there is none."""
    sets, nodes, stages = value.shape[0], value.shape[1], value.shape[2] - 1
    best, last_set, last = INF, -1, -1
    for used in range(sets):
        for j in range(nodes):
            if (bit[j] == 0 or used & bit[j]) and value[used, j, stages] < best:
                best, last_set, last = value[used, j, stages], used, j
    return last_set, last


@njit(cache=True, nogil=True)
def follow(  # type: ignore[no-untyped-def]
    cost, begin, stay, reach, bit, low, high, most, worst, value, used, node, path
):
    """Fill path (M,) with nodes of the value of all blocks in that set on that last node, from its end."""
    nodes, stages = cost.shape[0], cost.shape[2]
    h, out = np.empty(stages), np.empty(stages + 1)
    one = np.empty(stages)
    end = stages
    while end > 0:
        before = used ^ bit[node]
        _arrive(value, cost, bit, before, node, worst, low[before], high[before], h)
        first = -1
        for m in range(end):  # the first block of the last stretch
            if h[m] == INF:
                continue
            one[:] = INF
            one[m] = h[m]
            _run(one, cost, begin, stay, reach, node, most, worst, out)
            if out[end] == value[used, node, end]:
                first = m
                break
        path[first:end] = node
        if first == 0:
            return
        for i in range(nodes):
            if i == node or (bit[i] != 0 and before & bit[i] == 0):
                continue
            if worst:
                total = max(value[before, i, first], cost[i, node, first])
            else:
                total = value[before, i, first] + cost[i, node, first]
            if total == h[first]:
                node, used, end = i, before, first
                break
