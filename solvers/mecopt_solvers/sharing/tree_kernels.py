"""The bound of a node of the tree: the dual over the paths that are left in a pool, compiled."""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt_solvers.sharing.curve_kernels import conjugate
from mecopt_solvers.sharing.master_kernels import mix

INF = np.inf
CLOSE = 0.02  # of what is left to the cutoff: prices this near the best ones will do


@njit(cache=True, nogil=True, error_model="numpy")
def relax(first, cost, use, worth, mm1, top, column, count, share, prices, cutoff, size):  # type: ignore[no-untyped-def]
    """Find good prices over the paths `first` (K + 1,), cost (P,) and use (P, N).

    `column` (C, K) holds `count` columns, a path of every task each, and takes those that are found. Fills
    share (C,), the best mixture, and prices (N,). Stops where the bound meets the cutoff. Returns the bound,
    and the number of columns; `size` is what rounding is relative to.
    """
    tasks, servers = first.shape[0] - 1, use.shape[1]
    costs, loads = np.zeros(column.shape[0]), np.zeros((column.shape[0], servers))
    for c in range(count):
        for k in range(tasks):
            costs[c] += cost[column[c, k]]
            for n in range(servers):
                loads[c, n] += use[column[c, k], n]
    mean, trial, best, value = np.zeros(servers), prices.copy(), -INF, INF
    smoothed = worth if worth > 0.0 else 1e-4 * size
    while True:
        bound = 0.0
        for n in range(servers):
            if not trial[n] < INF:  # rounding: as good as it gets
                return best, count
            trial[n] = max(trial[n], 0.0)
            bound -= conjugate(trial[n], worth, mm1, top)
        for k in range(tasks):
            least, chosen = INF, first[k]
            for p in range(first[k], first[k + 1]):
                total = cost[p]
                for n in range(servers):
                    total += trial[n] * use[p, n]
                if total < least:
                    least, chosen = total, p
            bound += least
            if count < column.shape[0]:
                column[count, k] = chosen
        if bound > best:
            best = bound
            prices[:] = trial
        if best >= cutoff or count == column.shape[0]:
            return best, count
        gap = min(max(cutoff - best, 1e-9 * size), 1e-3 * size)
        if value - best <= CLOSE * gap:
            return best, count
        for k in range(tasks):
            costs[count] += cost[column[count, k]]
            for n in range(servers):
                loads[count, n] += use[column[count, k], n]
        count += 1
        for c in range(count):
            share[c] = 1.0 / count
        value = mix(
            costs[:count], loads[:count], smoothed, mm1, share[:count], mean, trial, 0.1 * CLOSE * gap
        )
