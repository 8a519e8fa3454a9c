"""Inner loops, compiled: annealing over the nodes of blocks, so that nothing is busy beyond a target.

n tasks of M blocks on J nodes; arrays of steps are (n, M, J, J), from one node to another. What a step keeps
busy are seconds[a, m, i, j] (W,) of the resources row[a, m, i, j], padded with a resource behind the last.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt_solvers.labels.path_kernels import one_stretch, used


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
def _shift(row, seconds, load, pull, target, sign):  # type: ignore[no-untyped-def]
    """Add a step to the loads, or take it away.

    Returns the growth of the squared excess over the target and of what pulls, and of the number of resources
    beyond the target.
    """
    grown, more, none = 0.0, 0, len(load) - 1
    for w in range(len(row)):
        r = row[w]
        if r == none:
            break
        over = load[r] - target
        if over > 0.0:
            grown -= over * over
            more -= 1
        load[r] += sign * seconds[w]
        grown += sign * pull[r] * seconds[w]
        over = load[r] - target
        if over > 0.0:
            grown += over * over
            more += 1
    return grown, more


@njit(cache=True, nogil=True)
def busiest(load):  # type: ignore[no-untyped-def]
    """Return the largest of load (R + 1,) without its last; `max` would load what numba compiles with."""
    most = 0.0
    for r in range(len(load) - 1):
        most = max(most, load[r])
    return most


@njit(cache=True, nogil=True)
def loads(row, seconds, path, load):  # type: ignore[no-untyped-def]
    """Fill load (R + 1,) by paths (n, M); return the largest."""
    load[:] = 0.0
    for a in range(len(path)):
        before = 0
        for m in range(path.shape[1]):
            j = path[a, m]
            if j < 0:
                break
            for w in range(row.shape[4]):
                load[row[a, m, before, j, w]] += seconds[a, m, before, j, w]
            before = j
    return busiest(load)


@njit(cache=True, nogil=True)
def _apply(row, seconds, load, pull, target, sign, path, first, last):  # type: ignore[no-untyped-def]
    """Add the steps first to last of one task's path to the loads, or take them away."""
    grown, more = 0.0, 0
    before = path[first - 1] if first > 0 else 0
    for m in range(first, last + 1):
        g, c = _shift(row[m, before, path[m]], seconds[m, before, path[m]], load, pull, target, sign)
        grown, more, before = grown + g, more + c, path[m]
    return grown, more


@njit(cache=True, nogil=True)
def _allowed(longest, target, use, side, bit, path, first, last):  # type: ignore[no-untyped-def]
    """Say whether a task may take the steps first to last of its path, and the path as a whole."""
    before = path[first - 1] if first > 0 else 0
    for m in range(first, last + 1):
        if longest[m, before, path[m]] > target:
            return False
        before = path[m]
    for r in range(len(side)):
        if used(use[r], path) > side[r]:
            return False
    return one_stretch(bit, path)


@njit(cache=True, nogil=True)
def anneal(  # type: ignore[no-untyped-def]
    row, seconds, longest, use, side, bit, blocks, path, load, pull, target, moves, hot, cold, seed
):
    """Send runs of blocks to other nodes until nothing is busy beyond the target; whether that was met.

    What is minimised is the sum of squared excesses over the target, and of what every second of a resource
    pulls (R + 1,): else work piles up that nothing needs. `longest` is what a step keeps anything
    busy for, inf where it is forbidden. path (n, M) and load (R + 1,) follow.
    """
    np.random.seed(seed)  # noqa: NPY002  compiled: numba's own state
    tasks, nodes = len(path), longest.shape[2]
    count = 0
    for r in range(len(load) - 1):
        count += load[r] > target
    old = np.empty(path.shape[1], dtype=np.int64)
    cooling = (cold / hot) ** (1.0 / moves)
    heat = hot
    for _ in range(moves):
        heat *= cooling
        a = np.random.randint(tasks)  # noqa: NPY002
        mine = path[a, : blocks[a]]
        first = np.random.randint(blocks[a])  # noqa: NPY002
        last = first
        if np.random.random() < 0.5:  # noqa: NPY002
            last += np.random.randint(blocks[a] - first)  # noqa: NPY002
        node = np.random.randint(nodes)  # noqa: NPY002
        same = True
        for m in range(first, last + 1):
            old[m] = mine[m]
            same = same and old[m] == node
        if same:
            continue
        end = min(last + 1, blocks[a] - 1)  # the step that leaves the run changes too
        grown, more = _apply(row[a], seconds[a], load, pull, target, -1.0, mine, first, end)
        mine[first : last + 1] = node
        g, c = _apply(row[a], seconds[a], load, pull, target, 1.0, mine, first, end)
        if (grown + g <= 0.0 or np.random.random() < np.exp(-(grown + g) / heat)) and _allowed(  # noqa: NPY002
            longest[a], target, use[a], side[a], bit, mine, first, end
        ):
            count += more + c
            if count == 0 and loads(row, seconds, path, load) <= target:
                return True
            continue
        _apply(row[a], seconds[a], load, pull, target, -1.0, mine, first, end)
        mine[first : last + 1] = old[first : last + 1]
        _apply(row[a], seconds[a], load, pull, target, 1.0, mine, first, end)
    return loads(row, seconds, path, load) <= target
