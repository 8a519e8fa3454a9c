"""The plan of least worst case when at most so many calculations of a task take longer, in compiled loops.

The worst case of a path is its cost and the largest `budget` deviations of its steps. That is the least over
thresholds t of budget t + sum of cost + max(deviation - t, 0), and some deviation, or 0, is the best t
(Bertsimas and Sim 2004). The least sum falls as t rises, so thresholds between two that leave no room to
be better are left out.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf


@njit(inline="always")
def _reach(count, cost, more, t, value):  # type: ignore[no-untyped-def]
    """Find the least sums where a step costs itself and its deviation above t; return the least of all."""
    nodes = np.uint64(cost.shape[1])
    one = more.shape[1] == 1  # deviations do not go by the node before
    for j in range(nodes):
        value[0, j] = cost[0, 0, j] + max(more[0, 0, j] - t, 0.0)
    for m in range(1, count):
        for j in range(nodes):
            value[m, j] = INF
        for i in range(nodes):
            base = value[m - 1, i]
            if one:
                for j in range(nodes):
                    total = base + cost[m, i, j]
                    value[m, j] = total if total < value[m, j] else value[m, j]
            else:
                for j in range(nodes):
                    total = base + cost[m, i, j] + max(more[m, i, j] - t, 0.0)
                    value[m, j] = total if total < value[m, j] else value[m, j]
        if one:
            for j in range(nodes):
                value[m, j] += max(more[m, 0, j] - t, 0.0)
    best = INF
    for j in range(nodes):
        best = min(best, value[count - 1, j])
    return best


@njit(cache=True, nogil=True)
def _follow(count, cost, more, t, value, path):  # type: ignore[no-untyped-def]
    """Find the nodes of the path to the least sum, the same sums made again."""
    nodes, one = cost.shape[1], more.shape[1] == 1
    node = 0
    for j in range(nodes):
        if value[count - 1, j] < value[count - 1, node]:
            node = j
    for m in range(count - 1, -1, -1):
        path[m] = node
        if m == 0:
            break
        for i in range(nodes):
            total = value[m - 1, i] + cost[m, i, node] + max(more[m, 0 if one else i, node] - t, 0.0)
            if total == value[m, node]:
                node = i
                break


@njit(cache=True, nogil=True)
def worst_first(blocks, budget, cost, more, thresholds, value, paths):  # type: ignore[no-untyped-def]
    """Find the least worst case of every task.

    `cost` is (K, M, J, J), inf where a step is forbidden, `more` the deviations, (K, M, J or 1, J),
    `thresholds` (K, T) those that may count, ascending and 0 the first. `value` (K,) gets the worst case, inf
    where there is no path, and `paths` (K, M) the nodes.
    """
    stages, nodes = cost.shape[1], cost.shape[2]
    reach = np.empty((stages, nodes))
    count = thresholds.shape[1]
    t, sums = np.empty(count), np.empty(count)
    stack = np.empty((count + 2, 2), dtype=np.int64)
    for k in range(len(blocks)):
        last = 0
        t[0] = 0.0
        for n in range(count):
            if thresholds[k, n] > t[last]:
                last += 1
                t[last] = thresholds[k, n]
        value[k] = INF
        for m in range(stages):
            paths[k, m] = -1
        for end in range(2):
            n = 0 if end == 0 else last
            if end == 1 and last == 0:
                break
            sums[n] = _reach(blocks[k], cost[k], more[k], t[n], reach)
            if budget * t[n] + sums[n] < value[k]:
                value[k] = budget * t[n] + sums[n]
                _follow(blocks[k], cost[k], more[k], t[n], reach, paths[k])
        if value[k] == INF:
            continue
        stack[0, 0], stack[0, 1], depth = 0, last, 1
        while depth > 0:
            depth -= 1
            a, b = stack[depth, 0], stack[depth, 1]
            if b - a < 2 or budget * t[a + 1] + sums[b] >= value[k]:
                continue
            n = (a + b) // 2
            sums[n] = _reach(blocks[k], cost[k], more[k], t[n], reach)
            if budget * t[n] + sums[n] < value[k]:
                value[k] = budget * t[n] + sums[n]
                _follow(blocks[k], cost[k], more[k], t[n], reach, paths[k])
            stack[depth, 0], stack[depth, 1] = n, b
            stack[depth + 1, 0], stack[depth + 1, 1] = a, n
            depth += 2
