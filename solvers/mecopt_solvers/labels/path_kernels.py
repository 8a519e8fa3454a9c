"""Inner loops, compiled: the path of least cost whose resources keep to their limits, one task after another.

A task of M blocks on J nodes with R resources, its delay end to end or that of a phase. ``cost[m, i, j]`` is
the cost of the step into block m on node j from node i, inf = forbidden; ``use[r, m, i, j]`` what it takes of
a resource. ``side[r]`` is the most of it, and `dear` what a unit above any costs, inf where it may not be.
``bit[j]`` is 1 << the place of a node that may run one stretch only, 0 for others.

Rows ``m`` of what is left (`back_*`) are of blocks m to the end, from the node of block m - 1.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf
ROUNDING = 1e-12
DONE, NONE, FULL = 0, 1, 2  # how a search ends
HULL_ROUNDS = 30


@njit(cache=True, nogil=True)
def backward(cost, use, price, left, ahead):  # type: ignore[no-untyped-def]
    """Fill left (M + 1, J), least cost plus price times use of what is left, and ahead, its next nodes."""
    stages, nodes = cost.shape[0], cost.shape[1]
    left[stages] = 0.0
    for m in range(stages - 1, -1, -1):
        for i in range(nodes if m > 0 else 1):
            best, to = INF, 0
            for j in range(nodes):
                total = cost[m, i, j] + left[m + 1, j]
                if price != 0.0:
                    total += price * use[m, i, j]
                if total < best:
                    best, to = total, j
            left[m, i], ahead[m, i] = best, to


@njit(cache=True, nogil=True)
def least_use(cost, use, left):  # type: ignore[no-untyped-def]
    """Fill left (M + 1, J): the least use of what is left over allowed steps."""
    stages, nodes = cost.shape[0], cost.shape[1]
    left[stages] = 0.0
    for m in range(stages - 1, -1, -1):
        for i in range(nodes if m > 0 else 1):
            best = INF
            for j in range(nodes):
                if cost[m, i, j] < INF:
                    best = min(best, use[m, i, j] + left[m + 1, j])
            left[m, i] = best


@njit(cache=True, nogil=True)
def walk(cost, ahead, path):  # type: ignore[no-untyped-def]
    """Follow the next nodes from the device into path (M,); return the cost."""
    node, total = 0, 0.0
    for m in range(cost.shape[0]):
        path[m] = ahead[m, node]
        total += cost[m, node, path[m]]
        node = path[m]
    return total


@njit(cache=True, nogil=True)
def used(use, path):  # type: ignore[no-untyped-def]
    """Return what a path takes of a resource."""
    node, total = 0, 0.0
    for m in range(len(path)):
        total += use[m, node, path[m]]
        node = path[m]
    return total


@njit(cache=True, nogil=True)
def one_stretch(bit, path):  # type: ignore[no-untyped-def]
    """Say whether no node runs more stretches than it may."""
    seen = 0
    for m in range(len(path)):
        if m == 0 or path[m] != path[m - 1]:
            if seen & bit[path[m]]:
                return False
            seen |= bit[path[m]]
    return True


@njit(cache=True, nogil=True)
def charged(use, side, dear, path, total):  # type: ignore[no-untyped-def]
    """Return a path's cost with what it pays above the limits, inf where it may not be above."""
    for r in range(len(side)):
        over = used(use[r], path) - side[r]
        if over > 0.0:
            total += dear * over
    return total


@njit(cache=True, nogil=True)
def free(cost, use, side, dear, blocks, bit, value, worth, path):  # type: ignore[no-untyped-def]
    """Fill value (n,) and path (n, M): the least cost of tasks without limits; worth (n,) with what they add.

    A path that breaks a limit is worth inf.
    """
    stages, nodes = cost.shape[1], cost.shape[2]
    left, ahead = np.empty((stages + 1, nodes)), np.zeros((stages + 1, nodes), dtype=np.int64)
    for a in range(len(cost)):
        backward(cost[a], cost[a], 0.0, left, ahead)
        value[a], worth[a] = left[0, 0], INF
        if left[0, 0] == INF:
            path[a] = -1
            continue
        total = walk(cost[a], ahead, path[a])
        if one_stretch(bit, path[a]):
            worth[a] = charged(use[a], side[a], dear[a], path[a], total)
        path[a, blocks[a] :] = -1


@njit(cache=True, nogil=True)
def hull(cost, use, side, dear, bit, upper, left, ahead, path, best):  # type: ignore[no-untyped-def]
    """Return the best price of one resource, and the least worth of the paths met; best (M,) is that path.

    Handler, Zang, "A dual algorithm for the constrained shortest path problem", Networks 10, 1980. Fills left
    and ahead for that price.
    """
    backward(cost, use, 0.0, left, ahead)
    c_over = walk(cost, ahead, path)
    d_over = used(use, path)
    if d_over <= side:
        return 0.0, upper
    if dear < INF:
        price = dear
        backward(cost, use, price, left, ahead)
        c_under = walk(cost, ahead, path)
    else:
        price = 0.0
        least = np.empty(cost.shape)
        for m in range(cost.shape[0]):
            for i in range(cost.shape[1]):
                for j in range(cost.shape[2]):
                    least[m, i, j] = 0.0 if cost[m, i, j] < INF else INF
        backward(least, use, 1.0, left, ahead)
        walk(least, ahead, path)
        node, c_under = 0, 0.0
        for m in range(len(path)):
            c_under += cost[m, node, path[m]]
            node = path[m]
    d_under = used(use, path)
    worth = c_under + (dear * (d_under - side) if d_under > side else 0.0)
    if worth < upper and one_stretch(bit, path):
        upper = worth
        best[:] = path
    if d_under > side:  # soft, and worth its price: nothing is better
        return price, upper
    for _ in range(HULL_ROUNDS):
        if d_over <= d_under or c_under <= c_over:
            break
        price = (c_under - c_over) / (d_over - d_under)
        if price > dear:
            price = dear
        backward(cost, use, price, left, ahead)
        line = c_under + price * d_under
        total = walk(cost, ahead, path)
        seconds = used(use, path)
        worth = total + (dear * (seconds - side) if seconds > side else 0.0)
        if worth < upper and one_stretch(bit, path):
            upper = worth
            best[:] = path
        if left[0, 0] >= line - ROUNDING * abs(line) or seconds in (d_over, d_under):
            break
        if seconds <= side:
            c_under, d_under = total, seconds
        else:
            c_over, d_over = total, seconds
    backward(cost, use, price, left, ahead)
    return price, upper


@njit(cache=True, nogil=True)
def dominated(c, q, seen, at, value, uses, mask):  # type: ignore[no-untyped-def]
    """Say whether label `at` is as good as another one in everything."""
    if c[at] > value or (seen[at] & mask) != seen[at]:
        return False
    for r in range(len(uses)):  # noqa: SIM110
        if q[at, r] > uses[r]:
            return False
    return True


@njit(cache=True, nogil=True)
def beats(c, q, seen, at, value, uses, mask):  # type: ignore[no-untyped-def]
    """Say whether another one is as good as label `at` in everything."""
    if value > c[at] or (seen[at] & mask) != mask:
        return False
    for r in range(len(uses)):  # noqa: SIM110
        if uses[r] > q[at, r]:
            return False
    return True


@njit(cache=True, nogil=True)
def search(cost, use, side, dear, bit, upper, room, c, q, seen, parent, node, path):  # type: ignore[no-untyped-def]
    """Find the least worth below `upper` of one task; return how it ended, the worth, and a bound.

    Fills path (M,). Uses labels c, parent, node, seen (L,) and q (L, R), of which `room` may be used.
    """
    stages, nodes, resources = cost.shape[0], cost.shape[1], len(side)
    left_c, ahead_c = np.empty((stages + 1, nodes)), np.zeros((stages + 1, nodes), dtype=np.int64)
    left_r = np.empty((resources, stages + 1, nodes))
    backward(cost, cost, 0.0, left_c, ahead_c)
    bound = left_c[0, 0]
    for r in range(resources):
        least_use(cost, use[r], left_r[r])
        if dear == INF and left_r[r, 0, 0] > side[r] * (1.0 + ROUNDING):
            return NONE, INF, INF
    left, ahead = left_c.copy(), ahead_c.copy()
    price, found = 0.0, False
    if resources == 1:
        met = np.empty(stages, dtype=np.int64)
        before = upper
        price, upper = hull(cost, use[0], side[0], dear, bit, upper, left, ahead, met, path)
        found = upper < before
        if price > 0.0:
            bound = max(bound, left[0, 0] - price * side[0])
    lo, hi = np.zeros((stages + 1, nodes), dtype=np.int64), np.zeros((stages + 1, nodes), dtype=np.int64)
    uses = np.empty(resources)
    c[0], q[0], seen[0], parent[0], node[0] = 0.0, 0.0, 0, -1, 0
    hi[0, 0] = 1
    tail, last = 1, -1
    for m in range(stages):
        for j in range(nodes):
            lo[m + 1, j] = tail
            for i in range(nodes):
                step = cost[m, i, j]
                if step == INF:
                    continue
                for label in range(lo[m, i], hi[m, i]):
                    mask = seen[label]
                    if i != j or m == 0:
                        if mask & bit[j]:
                            continue
                        mask |= bit[j]
                    value = c[label] + step
                    low, fits = value + left_c[m + 1, j], True
                    for r in range(resources):
                        uses[r] = q[label, r] + use[r, m, i, j]
                        over = uses[r] + left_r[r, m + 1, j] - side[r]
                        if over > 0.0:
                            if dear < INF:
                                low += dear * over
                            elif over > ROUNDING * side[r]:
                                fits = False
                    if not fits or low >= upper - ROUNDING * abs(upper):
                        continue
                    if price > 0.0:
                        priced = value + price * (uses[0] - side[0]) + left[m + 1, j]
                        if priced >= upper - ROUNDING * (abs(upper) + price * side[0]):
                            continue
                    at, worse = lo[m + 1, j], False
                    while at < tail:
                        if dominated(c, q, seen, at, value, uses, mask):
                            worse = True
                            break
                        if beats(c, q, seen, at, value, uses, mask):
                            tail -= 1
                            c[at], q[at], seen[at], parent[at] = c[tail], q[tail], seen[tail], parent[tail]
                        else:
                            at += 1
                    if worse:
                        continue
                    if tail == room:
                        return FULL, upper, bound
                    c[tail], q[tail], seen[tail], parent[tail], node[tail] = value, uses, mask, label, j
                    tail += 1
                    if m == stages - 1:
                        worth = value
                        for r in range(resources):
                            if uses[r] > side[r]:
                                worth += dear * (uses[r] - side[r])
                        if worth < upper:
                            upper, last, found = worth, tail - 1, True
                            _trace(parent, node, last, path)
            hi[m + 1, j] = tail
    if not found:
        return NONE, INF, upper
    return DONE, upper, upper


@njit(cache=True, nogil=True)
def _trace(parent, node, label, path):  # type: ignore[no-untyped-def]
    for m in range(len(path) - 1, -1, -1):
        path[m] = node[label]
        label = parent[label]


@njit(cache=True, nogil=True)
def search_all(cost, use, side, dear, blocks, bit, upper, room, status, value, bound, path):  # type: ignore[no-untyped-def]
    """Search task after task; fills status, value, bound (n,) and path (n, M), -1 behind the end."""
    c, parent, node = np.empty(room), np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    seen, q = np.empty(room, dtype=np.int64), np.empty((room, use.shape[1]))
    for a in range(len(cost)):
        status[a], value[a], bound[a] = search(
            cost[a], use[a], side[a], dear[a], bit, upper[a], room, c, q, seen, parent, node, path[a]
        )
        path[a, blocks[a] :] = -1
