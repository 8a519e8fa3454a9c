"""The master problem of the dual: the best mixture of all columns seen so far, compiled.

A column is what all tasks cost together and the loads they make. The mixture costs the mean of the columns
and what its mean load adds: a convex function over a simplex, which a primal-dual interior point method
minimises. Its linear systems have one row a server, whatever the number of columns.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt_solvers.sharing.curve_kernels import smooth

STEPS = 60
BACK = 0.95  # of the way to the boundary
HALVINGS = 30  # of a step, at most
OFF = 1e3  # times the central path's slack, or a part of it, is the most that a slack may be
SHRINK = 0.15  # of the complementarity at every step, when steps are long


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(matrix, side, out):  # type: ignore[no-untyped-def]
    """Solve a system whose matrix is at least the identity, by Cholesky's method; overwrites the matrix."""
    size = len(side)
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for q in range(j):
                total -= matrix[i, q] * matrix[j, q]
            matrix[i, j] = np.sqrt(max(total, 1.0)) if i == j else total / matrix[j, j]
    for i in range(size):
        total = side[i]
        for q in range(i):
            total -= matrix[i, q] * out[q]
        out[i] = total / matrix[i, i]
    for i in range(size - 1, -1, -1):
        total = out[i]
        for q in range(i + 1, size):
            total -= matrix[q, i] * out[q]
        out[i] = total / matrix[i, i]


@njit(cache=True, nogil=True, error_model="numpy")
def _through(inverse, load, root, vector, out):  # type: ignore[no-untyped-def]
    """Solve (diag(1 / inverse) + L D L') out = vector, with L = load (C, N) and D = root^2 (Woodbury)."""
    columns, servers = load.shape
    matrix, side, inner = np.zeros((servers, servers)), np.zeros(servers), np.zeros(servers)
    for i in range(columns):
        for a in range(servers):
            part = inverse[i] * load[i, a] * root[a]
            side[a] += part * vector[i]
            for b in range(a + 1):
                matrix[a, b] += part * load[i, b] * root[b]
    for a in range(servers):
        matrix[a, a] += 1.0
    _solve(matrix, side, inner)
    for i in range(columns):
        total = vector[i]
        for a in range(servers):
            total -= load[i, a] * root[a] * inner[a]
        out[i] = inverse[i] * total


@njit(cache=True, nogil=True, error_model="numpy")
def _value(cost, load, worth, mm1, share):  # type: ignore[no-untyped-def]
    """Return what a mixture costs."""
    total = 0.0
    for i in range(cost.shape[0]):
        total += share[i] * cost[i]
    for a in range(load.shape[1]):
        mean = 0.0
        for i in range(cost.shape[0]):
            mean += share[i] * load[i, a]
        total += smooth(mean, worth, mm1)[0]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _barrier(share):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(share.shape[0]):
        total -= np.log(share[i])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def mix(cost, load, worth, mm1, share, mean, price, tolerance):  # type: ignore[no-untyped-def]
    """Find the best mixture of columns of cost (C,) and load (C, N).

    Starts from `share` (C,), positive and of sum 1, and leaves the result there; fills `mean` (N,), its load,
    and `price` (N,), the slope of what that adds. Returns what the mixture costs.
    """
    columns, servers = load.shape
    slack, gradient, trial = np.empty(columns), np.empty(columns), np.empty(columns)
    bend, root = np.empty(servers), np.empty(servers)
    one, first, second = np.ones(columns), np.empty(columns), np.empty(columns)
    inverse, step, side = np.empty(columns), np.empty(columns), np.empty(columns)
    value, level = 0.0, 0.0
    for turn in range(STEPS):
        value = _value(cost, load, worth, mm1, share)
        for a in range(servers):
            mean[a] = 0.0
            for i in range(columns):
                mean[a] += share[i] * load[i, a]
            _, price[a], bend[a] = smooth(mean[a], worth, mm1)
            root[a] = np.sqrt(bend[a])
        least, average = np.inf, 0.0
        for i in range(columns):
            gradient[i] = cost[i]
            for a in range(servers):
                gradient[i] += price[a] * load[i, a]
            least = min(least, gradient[i])
            average += share[i] * gradient[i]
        if average - least <= tolerance:
            break
        if turn == 0:
            level = least - 0.1 * (average - least)
            for i in range(columns):
                slack[i] = gradient[i] - level
        gap = 0.0
        for i in range(columns):
            gap += share[i] * slack[i]
        aim = SHRINK * gap / columns
        for i in range(columns):
            inverse[i] = share[i] / slack[i]
            side[i] = gradient[i] - level - aim / share[i]
        _through(inverse, load, root, side, first)
        _through(inverse, load, root, one, second)
        top, bottom = 0.0, 0.0
        for i in range(columns):
            top += first[i]
            bottom += second[i]
        if not bottom > 0.0:  # rounding: as good as it gets
            break
        up, longest, furthest, slope = top / bottom, 1.0, 1.0, 0.0
        for i in range(columns):
            step[i] = up * second[i] - first[i]
            first[i] = aim / share[i] - slack[i] - slack[i] / share[i] * step[i]
            slope += step[i] * (gradient[i] - aim / share[i])
            if step[i] < 0.0:
                longest = min(longest, -BACK * share[i] / step[i])
            if first[i] < 0.0:
                furthest = min(furthest, -BACK * slack[i] / first[i])
        merit = value + aim * _barrier(share)
        for _ in range(HALVINGS):
            for i in range(columns):
                trial[i] = share[i] + longest * step[i]
            merit_there = _value(cost, load, worth, mm1, trial) + aim * _barrier(trial)
            if merit_there <= merit + 1e-4 * longest * slope + 1e-14 * abs(merit):
                break
            longest *= 0.5
        total = 0.0
        for i in range(columns):
            total += trial[i]
        for i in range(columns):
            share[i] = trial[i] / total
            central = aim / share[i]
            slack[i] = min(max(slack[i] + furthest * first[i], central / OFF), central * OFF)
        level += furthest * up
    return value
