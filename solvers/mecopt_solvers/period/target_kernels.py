"""Inner loops, compiled: which of its paths every task takes, so that nothing is busy beyond a target.

Paths of all tasks lie one after the other, those of task a from first[a] to first[a + 1]; what path p keeps
busy are seconds[p] of the resources row[p], padded with a resource behind the last.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit


@njit(cache=True, nogil=True)
def pack(row, seconds, none):  # type: ignore[no-untyped-def]
    """Add up what paths keep busy resource by resource, in place, and put the padding last."""
    for p in range(len(row)):
        end = 0
        for w in range(row.shape[1]):
            r, s = row[p, w], seconds[p, w]
            row[p, w], seconds[p, w] = none, 0.0
            if r == none or s == 0.0:
                continue
            at = 0
            while at < end and row[p, at] != r:
                at += 1
            if at == end:
                row[p, end] = r
                end += 1
            seconds[p, at] += s


@njit(cache=True, nogil=True)
def loads(row, seconds, chosen, load):  # type: ignore[no-untyped-def]
    """Fill load (R + 1,) by the chosen paths (n,); return the largest."""
    load[:] = 0.0
    for p in chosen:
        for w in range(row.shape[1]):
            load[row[p, w]] += seconds[p, w]
    most = 0.0
    for r in range(len(load) - 1):
        most = max(most, load[r])
    return most


@njit(cache=True, nogil=True)
def _excess(row, seconds, load, target, sign):  # type: ignore[no-untyped-def]
    """Add a path to the loads, or take it away; return by how much the squared excess grows."""
    grown, none = 0.0, len(load) - 1
    for w in range(len(row)):
        r = row[w]
        if r == none:
            break
        over = load[r] - target
        if over > 0.0:
            grown -= over * over
        load[r] += sign * seconds[w]
        over = load[r] - target
        if over > 0.0:
            grown += over * over
    return grown


@njit(cache=True, nogil=True)
def anneal(row, seconds, first, chosen, load, target, moves, hot, cold, seed):  # type: ignore[no-untyped-def]
    """Move tasks to other paths until nothing is busy beyond the target, by annealing; whether that was met.

    What is minimised is the sum of squared excesses over the target. chosen (n,) and load (R + 1,) follow.
    """
    np.random.seed(seed)  # noqa: NPY002  compiled: numba's own state
    tasks = len(chosen)
    excess = 0.0
    for r in range(len(load) - 1):
        if load[r] > target:
            excess += (load[r] - target) ** 2
    cooling = (cold / hot) ** (1.0 / moves)
    heat = hot
    for _ in range(moves):
        heat *= cooling
        a = np.random.randint(tasks)  # noqa: NPY002
        if first[a + 1] - first[a] < 2:
            continue
        old = chosen[a]
        new = first[a] + np.random.randint(first[a + 1] - first[a])  # noqa: NPY002
        if new == old:
            continue
        grown = _excess(row[old], seconds[old], load, target, -1.0)
        grown += _excess(row[new], seconds[new], load, target, 1.0)
        if grown <= 0.0 or np.random.random() < np.exp(-grown / heat):  # noqa: NPY002
            chosen[a] = new
            excess += grown
            if excess <= 1e-24 * target * target and loads(row, seconds, chosen, load) <= target:
                return True
        else:
            _excess(row[new], seconds[new], load, target, -1.0)
            _excess(row[old], seconds[old], load, target, 1.0)
    return loads(row, seconds, chosen, load) <= target
