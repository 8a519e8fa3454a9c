"""Inner loops, compiled: two servers share out anew, exactly, what some of their tasks run on them.

Blocks are few sizes of which only some sums fill a server, and no single move leads from one to the next. So
some tasks of two servers are taken together: each may run what it has on the two on either of them, or on
one up to some block and then on the other. Half of the tasks have some thousand combinations, which are
sorted, and every combination of the other half looks up what it leaves. Arrays as in `target_kernels`.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt_solvers.period.target_kernels import _allowed, _apply, busiest

HALF = 4096  # combinations of one half of the tasks
NEAR = 3  # combinations looked at around the best place in the sorted half


@njit(cache=True, nogil=True)
def _runs_on(path, nodes):  # type: ignore[no-untyped-def]
    """Say whether a path has one of two nodes."""
    for j in path:  # noqa: SIM110 (compiled: no generators)
        if j == nodes[0] or j == nodes[1]:
            return True
    return False


@njit(cache=True, nogil=True)
def _variants(  # type: ignore[no-untyped-def]
    row, seconds, longest, use, side, bit, path, load, pull, target, nodes, at, ways, taken
):
    """Fill ways (V, M) and taken (V, 2): the paths that a task may take, and what it adds to two resources.

    The first is the one that it has.
    """
    old = path.copy()
    count, last = 0, len(path) - 1
    trial = np.empty(len(path), dtype=np.int64)
    blocks = len(path)
    for cut in range(-1, blocks):
        for side_first in range(2):
            trial[:] = old
            if cut < 0:
                if side_first == 1:
                    continue
            else:
                for m in range(blocks):
                    if old[m] == nodes[0] or old[m] == nodes[1]:
                        trial[m] = nodes[side_first] if m <= cut else nodes[1 - side_first]
                if cut < blocks - 1 and old[cut] != nodes[0] and old[cut] != nodes[1]:
                    continue
            same = False
            for v in range(count):
                equal = True
                for m in range(blocks):
                    equal = equal and ways[v, m] == trial[m]
                same = same or equal
            if same or count == len(ways):
                continue
            before = load[at[0]], load[at[1]]
            grown, _ = _apply(row, seconds, load, pull, target, -1.0, path, 0, last)
            path[:] = trial
            without = load[at[0]], load[at[1]]
            g, _ = _apply(row, seconds, load, pull, target, 1.0, path, 0, last)
            amount = load[at[0]] - without[0], load[at[1]] - without[1]
            for e in range(2):  # what grows on the two is what this is about, on others it may not
                over, over_before = max(load[at[e]] - target, 0.0), max(before[e] - target, 0.0)
                g -= over * over - over_before * over_before
            fine = grown + g <= 1e-18 * target * target
            fine = fine and _allowed(longest, target, use, side, bit, path, 0, last)
            _apply(row, seconds, load, pull, target, -1.0, path, 0, last)
            path[:] = old
            _apply(row, seconds, load, pull, target, 1.0, path, 0, last)
            if fine or count == 0:
                ways[count, :blocks] = trial
                taken[count, 0], taken[count, 1] = amount
                count += 1
    return count


@njit(cache=True, nogil=True)
def _combined(taken, counts, first, stop, base, out):  # type: ignore[no-untyped-def]
    """Fill out (C, 2) with what all combinations of tasks first to stop add; the last task turns fastest."""
    size = 1
    out[0] = base
    for t in range(first, stop):
        for c in range(size - 1, -1, -1):
            for v in range(counts[t] - 1, -1, -1):
                out[c * counts[t] + v, 0] = out[c, 0] + taken[t, v, 0]
                out[c * counts[t] + v, 1] = out[c, 1] + taken[t, v, 1]
        size *= counts[t]
    return size


@njit(cache=True, nogil=True)
def _place(key, at):  # type: ignore[no-untyped-def]
    """Return the first place in `key`, which is sorted, that is more."""
    low, high = 0, len(key)
    while low < high:
        middle = (low + high) // 2
        if key[middle] <= at:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _matched(one, other, order, key, target):  # type: ignore[no-untyped-def]
    """Return the two combinations of the least squared excess, and that."""
    best, a, b = np.inf, 0, 0
    for c in range(len(one)):
        at = _place(key, target - one[c, 0])
        for t in range(max(at - NEAR, 0), min(at + NEAR, len(order))):
            d = order[t]
            over = max(one[c, 0] + other[d, 0] - target, 0.0)
            more = max(one[c, 1] + other[d, 1] - target, 0.0)
            total = over * over + more * more
            if total < best:
                best, a, b = total, c, d
                if total == 0.0:
                    return a, b, best
    return a, b, best


@njit(cache=True, nogil=True)
def level(  # type: ignore[no-untyped-def]
    row, seconds, longest, use, side, bit, blocks, path, load, target, resource, tries, seed
):
    """Share out anew what two servers run, again and again; whether nothing is busy beyond the target then.

    resource (J,) is what stands for the calculation on a node, -1 where it is none that may be shared out.
    """
    np.random.seed(seed)  # noqa: NPY002  compiled: numba's own state
    tasks, stages = path.shape
    nodes, servers = np.empty(len(resource), dtype=np.int64), 0
    for n in range(len(resource)):
        if resource[n] >= 0:
            nodes[servers] = n
            servers += 1
    if servers < 2:
        return False
    pull, most = np.zeros(len(load)), 2 * stages + 1
    chosen = np.empty(tasks, dtype=np.int64)
    counts = np.empty(tasks, dtype=np.int64)
    ways, taken = np.empty((tasks, most, stages), dtype=np.int64), np.empty((tasks, most, 2))
    one, other = np.empty((HALF, 2)), np.empty((HALF, 2))
    two, at = np.empty(2, dtype=np.int64), np.empty(2, dtype=np.int64)
    order = np.arange(tasks)
    for _ in range(tries):
        worst = nodes[0]
        for n in nodes[:servers]:
            if load[resource[n]] > load[resource[worst]]:
                worst = n
        if load[resource[worst]] <= target:
            break
        two[0] = worst
        two[1] = nodes[np.random.randint(servers)]  # noqa: NPY002
        if two[1] == two[0]:
            continue
        at[0], at[1] = resource[two[0]], resource[two[1]]
        # Two halves, each of as many tasks as have so many combinations.
        picked, half, size, middle = 0, 0, 1, 0
        for t in range(tasks):
            u = t + np.random.randint(tasks - t)  # noqa: NPY002
            order[t], order[u] = order[u], order[t]
            a = order[t]
            mine = path[a, : blocks[a]]
            if not _runs_on(mine, two):
                continue
            count = _variants(
                row[a], seconds[a], longest[a], use[a], side[a], bit, mine, load, pull, target, two, at,
                ways[picked], taken[picked],
            )  # fmt: skip
            if count < 2:
                continue
            if size * count > HALF:
                if half == 1:
                    break
                half, middle, size = 1, picked, 1
            chosen[picked], counts[picked] = a, count
            size *= count
            picked += 1
        if half == 0:
            middle = picked // 2
        if picked == 0:
            continue
        base = np.empty(2)
        for e in range(2):
            base[e] = load[at[e]]
            for p in range(picked):
                base[e] -= taken[p, 0, e]
        before = 0.0
        for e in range(2):
            over = max(load[at[e]] - target, 0.0)
            before += over * over
        n_one = _combined(taken, counts, 0, middle, base, one)
        n_other = _combined(taken, counts, middle, picked, np.zeros(2), other)
        sorted_ = np.argsort(other[:n_other, 0])
        c, d, total = _matched(one[:n_one], other, sorted_, other[:n_other, 0][sorted_], target)
        if total > before:
            continue
        for p in range(picked - 1, -1, -1):
            if p >= middle:
                v, d = d % counts[p], d // counts[p]
            else:
                v, c = c % counts[p], c // counts[p]
            a = chosen[p]
            mine = path[a, : blocks[a]]
            _apply(row[a], seconds[a], load, pull, target, -1.0, mine, 0, len(mine) - 1)
            mine[:] = ways[p, v, : len(mine)]
            _apply(row[a], seconds[a], load, pull, target, 1.0, mine, 0, len(mine) - 1)
    return busiest(load) <= target
