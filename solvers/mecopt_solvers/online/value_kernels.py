"""The compiled sweep of value iteration for two queues: one arrival, and the gap before it."""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit


@njit(cache=True)
def sweep(value, after, work, extra, elsewhere, chance, step, near, far, stay, edge, choice):  # type: ignore[no-untyped-def]
    """Move the relative cost just before an arrival by one; returns its least and largest growth.

    Parameters
    ----------
    value, after : arrays (G, G)
        By backlogs in steps; `after` is scratch: the cost just after a decision.
    work : array (K, 2)
        Seconds of work on either server.
    extra : array (K, 2)
        Seconds of delay beside waiting.
    elsewhere : array (K,)
        Delay without either server, inf where there is none.
    chance : array (K,)
    step : float
        Seconds of a step.
    near, far, stay : float
        Weights of the value here, a step later, and of what lies beyond that.
    edge : float
        What a second of work beyond the grid costs: were it nothing, full servers would be for free.
    choice : array (K, G, G) of int8
        Out: 0 elsewhere, 1 and 2 the servers.
    """
    size = len(value)
    for i in range(size):
        for j in range(size):
            a, b = max(i - 1, 0), max(j - 1, 0)
            beyond = after[a, b] if i + j > 0 else 0.0
            if i + j == 0:  # both idle until the next arrival
                after[0, 0] = value[0, 0]
            else:
                after[i, j] = near * value[i, j] + far * value[a, b] + stay * beyond
    low, high = np.inf, -np.inf
    for i in range(size):
        for j in range(size):
            total = 0.0
            for k in range(len(chance)):
                best, at = elsewhere[k] + after[i, j], 0
                for n in range(2):
                    here, other = (i, j) if n == 0 else (j, i)
                    to = here + work[k, n] / step
                    over = max(0.0, to - (size - 1))
                    whole = min(int(to), size - 2)
                    part = min(to - whole, 1.0)
                    if n == 0:
                        later = (1.0 - part) * after[whole, other] + part * after[whole + 1, other]
                    else:
                        later = (1.0 - part) * after[other, whole] + part * after[other, whole + 1]
                    cost = extra[k, n] + here * step + later + over * step * edge
                    if cost < best:
                        best, at = cost, n + 1
                total += chance[k] * best
                choice[k, i, j] = at
            growth = total - value[i, j]
            low, high = min(low, growth), max(high, growth)
            value[i, j] = total
    base = value[0, 0]
    for i in range(size):
        for j in range(size):
            value[i, j] -= base
    return low, high
