"""Inner loops, compiled: pricing under prices, and the enumeration of nearly shortest paths.

Shapes as in `problem.Part`. No kernel holds the interpreter's lock, so that slots can be solved side by side.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf
EQUAL = 1e-12  # relatively: sums in another order than the least one's differ by less


@njit(cache=True, nogil=True)
def price(weight, work, spend, extra, row, blocks, prices, path, value, cost, use):  # type: ignore[no-untyped-def]
    """Find the shortest path of every task under prices.

    Reads prices (rows + 1,) and extra (K, M, J), a further price of every node, or (0, 0, 0). Fills path
    (K, M), value (K,) under the prices, cost (K,) without them and use (K, R), what it takes of every row.
    A task without a path has the value inf.
    """
    tasks, stages, nodes = weight.shape[0], weight.shape[1], weight.shape[2]
    servers = nodes - 1
    before = np.zeros((stages, nodes), dtype=np.int64)
    now, ahead = np.empty(nodes), np.empty(nodes)
    layers, more = spend.shape[0], extra.shape[0] > 0
    for k in range(tasks):
        for m in range(blocks[k]):
            for j in range(nodes):
                best, source = INF, 0
                for i in range(nodes if m > 0 else 1):
                    total = weight[k, m, i, j]
                    if m > 0:
                        total += now[i]
                    for a in range(layers):
                        total += prices[row[k, servers + a]] * spend[a, k, m, i, j]
                    if total < best:
                        best, source = total, i
                if j > 0:
                    best += prices[row[k, j - 1]] * work[k, m, j]
                if more:
                    best += extra[k, m, j]
                ahead[j], before[m, j] = best, source
            now[:] = ahead
        node = 0
        for j in range(1, nodes):
            if now[j] < now[node]:
                node = j
        value[k], cost[k] = now[node], 0.0
        use[k] = 0.0
        path[k] = -1
        if now[node] == INF:
            cost[k] = INF
            continue
        for m in range(blocks[k] - 1, -1, -1):
            path[k, m] = node
            source = before[m, node]
            cost[k] += weight[k, m, source, node]
            if node > 0:
                use[k, node - 1] += work[k, m, node]
            for a in range(layers):
                use[k, servers + a] += spend[a, k, m, source, node]
            node = source


@njit(cache=True, nogil=True)
def enumerate_paths(weight, work, spend, extra, row, blocks, prices, within, first, path, reduced):  # type: ignore[no-untyped-def]
    """List every path whose reduced cost is at most `within` (K,), task by task.

    The reduced cost is the value under the prices above the task's least. With `path` of length 0 they are
    only counted. Fills first (K + 1,), where each task's paths begin; path (paths, M) and reduced (paths,).
    Returns whether everything had room; when not, first[K] is -1.
    """
    tasks, stages, nodes = weight.shape[0], weight.shape[1], weight.shape[2]
    servers = nodes - 1
    rest = np.zeros((stages + 1, nodes))  # least value from a node to the end
    step = np.empty((stages, nodes, nodes))
    layers, more = spend.shape[0], extra.shape[0] > 0
    counting, room, count, entered = path.shape[0] == 0, reduced.shape[0], 0, 0
    node, spent = np.zeros(stages + 1, dtype=np.int64), np.zeros(stages + 1)
    for k in range(tasks):
        first[k] = count
        last = blocks[k]
        rest[last] = 0.0
        for m in range(last - 1, -1, -1):
            for i in range(nodes if m > 0 else 1):
                best = INF
                for j in range(nodes):
                    total = weight[k, m, i, j]
                    for a in range(layers):
                        total += prices[row[k, servers + a]] * spend[a, k, m, i, j]
                    if j > 0:
                        total += prices[row[k, j - 1]] * work[k, m, j]
                    if more:
                        total += extra[k, m, j]
                    step[m, i, j] = total
                    best = min(best, total + rest[m + 1, j])
                rest[m, i] = best
        least = rest[0, 0]
        if least == INF:
            continue
        most = least + within[k] + EQUAL * abs(least)
        m, node[0], spent[0] = 0, -1, 0.0
        while m >= 0:  # node[m] is the node tried last for block m
            node[m] += 1
            if node[m] == nodes:
                m -= 1
                continue
            source = node[m - 1] if m > 0 else 0
            total = spent[m] + step[m, source, node[m]]
            if not total + rest[m + 1, node[m]] <= most:
                continue
            if m + 1 < last:
                m += 1
                node[m], spent[m] = -1, total
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
            for b in range(stages):
                path[count, b] = node[b] if b < last else -1
            reduced[count] = max(total - least, 0.0)
            count += 1
    first[tasks] = count
    return True


@njit(cache=True, nogil=True)
def measure_columns(weight, work, spend, blocks, task, path, cost, use):  # type: ignore[no-untyped-def]
    """Fill cost (P,) and use (P, R) of paths (P, M) of tasks (P,); cost is inf where an arc is forbidden."""
    servers = weight.shape[2] - 1
    for p in range(path.shape[0]):
        k, before = task[p], 0
        cost[p] = 0.0
        use[p] = 0.0
        for m in range(blocks[k]):
            node = path[p, m]
            if node < 0:
                cost[p] = INF
                break
            cost[p] += weight[k, m, before, node]
            if node > 0:
                use[p, node - 1] += work[k, m, node]
            for a in range(spend.shape[0]):
                use[p, servers + a] += spend[a, k, m, before, node]
            before = node
