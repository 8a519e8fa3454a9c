"""The optimum of a task as a function of one number, piece by piece, in compiled loops.

What a path costs is affine in the number `x`, or convex and piecewise affine where deadlines cost, and ends
where they forbid a step. So the optimum is a lower envelope (Eisner and Severance 1976). It is followed from
left to right: every step is taken as its tangent at the place reached, which is never above it, and the
first path stays the best up to where a shortest path at the far end crosses it (Newton's method on lines).
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf
SAME = 1e-12  # relative difference of values that are the same
NEAR = 1e-13  # relative distance of places that are the same


@njit(cache=True, nogil=True)
def shortest(count, constant, slope, x, value, before, path):  # type: ignore[no-untyped-def]
    """Find the shortest path at x; `path` gets its nodes, and its value is returned (inf = none)."""
    nodes = constant.shape[1]
    for j in range(nodes):
        value[0, j] = constant[0, 0, j] + x * slope[0, 0, j]
    for m in range(1, count):
        for j in range(nodes):
            value[m, j] = INF
            before[m, j] = 0
        for i in range(nodes):
            base = value[m - 1, i]
            for j in range(nodes):
                total = base + (constant[m, i, j] + x * slope[m, i, j])
                low = value[m, j]
                at = before[m, j]
                value[m, j] = total if total < low else low
                before[m, j] = i if total < low else at
    node = 0
    for j in range(nodes):
        if value[count - 1, j] < value[count - 1, node]:
            node = j
    best = value[count - 1, node]
    for m in range(count - 1, -1, -1):
        path[m] = node
        node = before[m, node] if m > 0 else 0
    return best


@njit(cache=True, nogil=True)
def _line(count, constant, slope, path):  # type: ignore[no-untyped-def]
    """Return constant and slope of a path."""
    a, b, i = 0.0, 0.0, 0
    for m in range(count):
        a += constant[m, i, path[m]]
        b += slope[m, i, path[m]]
        i = path[m]
    return a, b


@njit(cache=True, nogil=True)
def _tangents(count, x, free, per, knee, over, over_per, worth, until, constant, slope):  # type: ignore[no-untyped-def]
    """Take every step as its tangent at x."""
    nodes = free.shape[1]
    for m in range(count):
        for i in range(nodes):
            for j in range(nodes):
                a, b = free[m, i, j], per[m, i, j]
                if knee.size > 0 and knee[m, i, j] <= x and a < INF:
                    a += worth * over[m, i, j]
                    b += worth * over_per[m, i, j]
                if until.size > 0 and until[m, i, j] < x:
                    a, b = INF, 0.0
                constant[m, i, j] = a
                slope[m, i, j] = b


@njit(cache=True, nogil=True)
def _valid(count, x, path, knee, until):  # type: ignore[no-untyped-def]
    """Return up to where the tangents of a path are its cost, and whether it ends there."""
    least, ends, i = INF, False, 0
    for m in range(count):
        j = path[m]
        if until.size > 0 and until[m, i, j] < least:
            least, ends = until[m, i, j], True
        if knee.size > 0 and x < knee[m, i, j] < least:
            least, ends = knee[m, i, j], False
        i = j
    return least, ends


@njit(cache=True, nogil=True)
def pieces(  # type: ignore[no-untyped-def]
    low, high, blocks, free, per, knee, over, over_per, worth, until, drop, counts, ends, lines, paths
):
    """Follow the optimum of every task from `low` to `high`; return whether there was room for all pieces.

    Figures of steps are (K, M, J, J): the objective `free` + x `per`, and `worth` times `over` + x `over_per`
    once x is at the `knee`; at most up to `until`. They are empty where there are no such deadlines.
    Piece p of task k is valid on ends[k, p], its value is that of lines[k, p]; there are counts[k].
    """
    room, stages, nodes = ends.shape[1], free.shape[1], free.shape[2]
    constant, slope = np.empty((stages, nodes, nodes)), np.empty((stages, nodes, nodes))
    value, before = np.empty((stages, nodes)), np.zeros((stages, nodes), dtype=np.int64)
    path, other = np.zeros(stages, dtype=np.int64), np.zeros(stages, dtype=np.int64)
    none = np.empty((0, 0, 0))
    kneed, hard, dropped = knee.size > 0, until.size > 0, drop.size > 0
    for k in range(len(blocks)):
        count, at, x, fresh = blocks[k], 0, low, True
        kn, ov = (knee[k], over[k]) if kneed else (none, none)
        op, un = over_per[k] if kneed else none, until[k] if hard else none
        leave = drop[k] if dropped else INF
        while True:
            if fresh or kneed or hard:
                _tangents(count, x, free[k], per[k], kn, ov, op, worth[k], un, constant, slope)
            fresh = False
            best = shortest(count, constant, slope, x, value, before, path)
            if best == INF and leave == INF:
                break
            out = leave < best  # a task that is left out costs the same everywhere
            a, b = (leave, 0.0) if out else _line(count, constant, slope, path)
            last, stops = (INF, False) if out else _valid(count, x, path, kn, un)
            right = min(last, high)
            while right > x:
                found = shortest(count, constant, slope, right, value, before, other)
                a2, b2 = (0.0, 0.0) if found == INF else _line(count, constant, slope, other)
                if leave < found:
                    found, a2, b2 = leave, leave, 0.0
                here = a + right * b
                if not (found < here - SAME * abs(here)) or not b2 < b:
                    break
                cross = (a2 - a) / (b - b2)
                if cross <= x + NEAR * max(abs(x), abs(right)):  # as good here, and better from here on
                    a, b, out = a2, b2, found == leave
                    for m in range(count):
                        path[m] = other[m]
                    last, stops = (INF, False) if out else _valid(count, x, path, kn, un)
                    right = min(last, high)
                    continue
                if cross >= right:
                    break
                right = cross
            same = at > 0 and lines[k, at - 1, 0] == a and lines[k, at - 1, 1] == b
            if same and ends[k, at - 1, 1] >= x - NEAR * abs(x):
                ends[k, at - 1, 1] = right
            else:
                if at == room:
                    return False
                ends[k, at, 0], ends[k, at, 1] = x, right
                lines[k, at, 0], lines[k, at, 1] = a, b
                for m in range(stages):
                    paths[k, at, m] = path[m] if m < count and not out else -1
                at += 1
            if right >= high:
                break
            beyond = right
            if stops and right == last:
                beyond = np.nextafter(right, INF)
            x = beyond if beyond > x else np.nextafter(x, INF)
        counts[k] = at
    return True
