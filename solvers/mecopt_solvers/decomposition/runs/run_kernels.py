"""Inner loops where runs have prices: a run is all blocks of a task from entering a node until leaving it.

Shapes as in `kernels`; `runs` (K, M, M, J) is charged for the run of blocks a to b on node j. Its upper
triangle counts; it may be negative.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf
EQUAL = 1e-12  # relatively: sums in another order than the least one's differ by less


@njit(cache=True, nogil=True)
def _task(weight, work, spend, extra, row, prices, runs, k, last, enter, stay):  # type: ignore[no-untyped-def]
    """Fill enter (M, J, J), the charge of entering a node, and stay (M, M, J), of the run that follows."""
    nodes = weight.shape[2]
    servers, layers, more = nodes - 1, spend.shape[0], extra.shape[0] > 0
    for m in range(last):
        for j in range(nodes):
            here = 0.0
            if j > 0:
                here += prices[row[k, j - 1]] * work[k, m, j]
            if more:
                here += extra[k, m, j]
            for i in range(nodes if m > 0 else 1):
                enter[m, i, j] = weight[k, m, i, j] + here
                for a in range(layers):
                    enter[m, i, j] += prices[row[k, servers + a]] * spend[a, k, m, i, j]
    for j in range(nodes):
        for a in range(last):
            total = 0.0
            for b in range(a, last):
                if b > a:
                    total += enter[b, j, j]
                stay[a, b, j] = total + runs[k, a, b, j]


@njit(cache=True, nogil=True)
def price(weight, work, spend, extra, row, blocks, prices, runs, path, value, cost, use):  # type: ignore[no-untyped-def]
    """Find the shortest path of every task; as `kernels.price`."""
    tasks, stages, nodes = weight.shape[0], weight.shape[1], weight.shape[2]
    servers = nodes - 1
    enter, stay = np.empty((stages, nodes, nodes)), np.empty((stages, stages, nodes))
    end = np.empty((stages + 1, nodes))  # least value of a run that ends before a block
    begun = np.zeros((stages + 1, nodes), dtype=np.int64)
    source = np.zeros((stages, nodes), dtype=np.int64)
    for k in range(tasks):
        last = blocks[k]
        _task(weight, work, spend, extra, row, prices, runs, k, last, enter, stay)
        end[:] = INF
        for a in range(last):
            for j in range(nodes):
                best = enter[0, 0, j] if a == 0 else INF
                for i in range(nodes if a > 0 else 0):
                    if i != j and end[a, i] + enter[a, i, j] < best:
                        best, source[a, j] = end[a, i] + enter[a, i, j], i
                if best == INF:
                    continue
                for b in range(a, last):
                    if best + stay[a, b, j] < end[b + 1, j]:
                        end[b + 1, j], begun[b + 1, j] = best + stay[a, b, j], a
        node = 0
        for j in range(1, nodes):
            if end[last, j] < end[last, node]:
                node = j
        value[k], cost[k] = end[last, node], 0.0
        use[k] = 0.0
        path[k] = -1
        if value[k] == INF:
            cost[k] = INF
            continue
        m = last
        while m > 0:
            a = begun[m, node]
            path[k, a:m] = node
            m, node = a, source[a, node]
        before = 0
        for m in range(last):
            node = path[k, m]
            cost[k] += weight[k, m, before, node]
            if node > 0:
                use[k, node - 1] += work[k, m, node]
            for a in range(spend.shape[0]):
                use[k, servers + a] += spend[a, k, m, before, node]
            before = node


@njit(cache=True, nogil=True)
def enumerate_paths(weight, work, spend, extra, row, blocks, prices, runs, within, first, path, reduced):  # type: ignore[no-untyped-def]
    """List every path whose reduced cost is at most `within`; as `kernels.enumerate_paths`."""
    tasks, stages, nodes = weight.shape[0], weight.shape[1], weight.shape[2]
    enter, stay = np.empty((stages, nodes, nodes)), np.empty((stages, stages, nodes))
    rest = np.zeros((stages + 1, nodes))  # least value behind a run that ends before a block
    counting, room, count, entered = path.shape[0] == 0, reduced.shape[0], 0, 0
    choice, spent = np.zeros(stages, dtype=np.int64), np.zeros(stages + 1)
    start, where = np.zeros(stages + 1, dtype=np.int64), np.zeros(stages + 1, dtype=np.int64)
    for k in range(tasks):
        first[k] = count
        last = blocks[k]
        _task(weight, work, spend, extra, row, prices, runs, k, last, enter, stay)
        rest[last] = 0.0
        for a in range(last - 1, -1, -1):
            for i in range(nodes if a > 0 else 1):
                rest[a, i] = INF
                for j in range(nodes):
                    if a > 0 and i == j:
                        continue
                    for b in range(a, last):
                        total = enter[a, i, j] + stay[a, b, j] + rest[b + 1, j]
                        rest[a, i] = min(rest[a, i], total)
        least = rest[0, 0]
        if least == INF:
            continue
        most = least + within[k] + EQUAL * abs(least)
        d = 0
        choice[0] = -1  # node and last block of the run tried last
        while d >= 0:
            choice[d] += 1
            if choice[d] == nodes * last:
                d -= 1
                continue
            a, i = start[d], where[d]
            j, b = choice[d] // last, choice[d] % last
            if b < a or (d > 0 and i == j):
                continue
            total = spent[d] + enter[a, i, j] + stay[a, b, j]
            if not total + rest[b + 1, j] <= most:
                continue
            if b + 1 < last:
                d += 1
                start[d], where[d], spent[d], choice[d] = b + 1, j, total, -1
                entered += 1  # each leads to a path, but where rounding has hidden its end
                if counting and entered > (room + tasks) * stages and room > 0:
                    first[tasks] = -1
                    return False
                continue
            if counting:
                count += 1
                if count > room > 0:
                    first[tasks] = -1
                    return False
                continue
            if count == room:
                first[tasks] = -1
                return False
            path[count] = -1
            for e in range(d + 1):
                path[count, start[e] : choice[e] % last + 1] = choice[e] // last
            reduced[count] = max(total - least, 0.0)
            count += 1
    first[tasks] = count
    return True


@njit(cache=True, nogil=True)
def charge(runs, task, path, blocks, charged):  # type: ignore[no-untyped-def]
    """Add what the runs of paths (P, M) are charged to charged (P,)."""
    for p in range(path.shape[0]):
        k, a = task[p], 0
        for m in range(blocks[k]):
            if m + 1 == blocks[k] or path[p, m + 1] != path[p, m]:
                charged[p] += runs[k, a, m, path[p, m]]
                a = m + 1


@njit(cache=True, nogil=True)
def rows_of(index, task, path, blocks, row):  # type: ignore[no-untyped-def]
    """Fill row (P, M) with index (K, M, M, J) of the run that ends with a block, -1 where none ends."""
    row[:] = -1
    for p in range(path.shape[0]):
        k, a = task[p], 0
        for m in range(blocks[k]):
            if m + 1 == blocks[k] or path[p, m + 1] != path[p, m]:
                row[p, m] = index[k, a, m, path[p, m]]
                a = m + 1


@njit(cache=True, nogil=True)
def knapsack(size, worth, room, best, pick, count):  # type: ignore[no-untyped-def]
    """Fill a room with whole pieces, any number of each, for the largest worth, which is returned.

    Sizes are whole and positive. Fills count (pieces,); best and pick (room + 1,) are scratch.
    """
    best[0], pick[0] = 0.0, -1
    for g in range(1, room + 1):
        best[g], pick[g] = best[g - 1], -1
        for c in range(size.shape[0]):
            if size[c] <= g and best[g - size[c]] + worth[c] > best[g]:
                best[g], pick[g] = best[g - size[c]] + worth[c], c
    count[:] = 0
    g = room
    while g > 0:
        if pick[g] < 0:
            g -= 1
        else:
            count[pick[g]] += 1
            g -= size[pick[g]]
    return best[room]
