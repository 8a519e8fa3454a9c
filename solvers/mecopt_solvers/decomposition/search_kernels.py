"""Inner loops of the search for placements: a path of the pool for every task, all rows within their limits.

chosen (K,) holds a pool index for every task (-1: none yet), load (rows + 1,) what they use together.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

MOST_RIVALS = 1_000  # of a path: with ten thousands of paths of one task all pairs would take minutes


@njit(cache=True, nogil=True)
def undominated(first, cost, use):  # type: ignore[no-untyped-def]
    """Say which paths none of the first paths of their task beats or equals in the cost and in every use.

    Paths come in the order of their reduced costs, so that what beats many is among the first. What beats a
    path has a smaller one, unless a branching decision says otherwise.
    """
    kept = np.ones(cost.shape[0], dtype=np.bool_)
    width = use.shape[1]
    for k in range(first.shape[0] - 1):
        for p in range(first[k] + 1, first[k + 1]):
            for q in range(first[k], min(p, first[k] + MOST_RIVALS)):
                if not kept[q] or cost[q] > cost[p]:
                    continue
                beaten = True
                for r in range(width):
                    if use[q, r] > use[p, r]:
                        beaten = False
                        break
                if beaten:
                    kept[p] = False
                    break
    return kept


@njit(cache=True, nogil=True)
def _swap(use, row, k, old, new, load):  # type: ignore[no-untyped-def]
    for r in range(row.shape[1]):
        load[row[k, r]] += use[new, r] - use[old, r]


@njit(cache=True, nogil=True)
def loads(use, row, chosen, rows):  # type: ignore[no-untyped-def]
    """Sum the use of every row."""
    load = np.zeros(rows)
    for k in range(row.shape[0]):
        for r in range(row.shape[1]):
            load[row[k, r]] += use[chosen[k], r]
    return load


@njit(cache=True, nogil=True)
def repair(first, cost, use, row, limit, chosen, load, fee, most):  # type: ignore[no-untyped-def]
    """Re-route one task at a time until no row is exceeded: the least extra cost for the excess that goes.

    Every move pays the `fee` on top: else a thousand tiny moves would look cheaper than one that helps.
    Gives up after so many moves (`most`); whether it got there is returned.
    """
    for _ in range(most):
        excess = 0.0
        for r in range(limit.shape[0]):
            excess += max(load[r] - limit[r], 0.0)
        if excess <= 0.0:
            return True
        best, task, path = np.inf, -1, -1
        for k in range(row.shape[0]):
            now = chosen[k]
            touched = False
            for r in range(row.shape[1]):
                if use[now, r] > 0.0 and load[row[k, r]] > limit[row[k, r]]:
                    touched = True
            if not touched:
                continue
            for p in range(first[k], first[k + 1]):
                gone = 0.0
                for r in range(row.shape[1]):
                    at = row[k, r]
                    before = load[at]
                    after = before + use[p, r] - use[now, r]
                    gone += max(before - limit[at], 0.0) - max(after - limit[at], 0.0)
                if gone > 1e-15:
                    score = (max(cost[p] - cost[now], 0.0) + fee) / gone
                    if score < best:
                        best, task, path = score, k, p
        if task < 0:
            return False
        _swap(use, row, task, chosen[task], path, load)
        chosen[task] = path
    return False


@njit(cache=True, nogil=True)
def reroute(first, cost, reduced, use, row, limit, chosen, load, group, target, room, most):  # type: ignore[no-untyped-def]
    """Choose the paths of a few tasks anew, exactly: the best that fits what the others leave.

    Depth first over the tasks of `group`, each task's paths in the order of their reduced costs. Only a
    choice that costs less than `target` counts; its reduced costs add up to less than `room`, which is what
    the target leaves above the bound once all other tasks have paid theirs. Changes chosen and load;
    returns the gain on the target and the nodes visited, above `most` when it was cut short.
    """
    depth_most, rows = group.shape[0], row.shape[1]
    for d in range(depth_most):
        if chosen[group[d]] >= 0:
            for r in range(rows):
                load[row[group[d], r]] -= use[chosen[group[d]], r]
    now, least_gain = target, 1e-12 * abs(target)
    best = np.empty(depth_most, dtype=np.int64)
    trial = np.empty(depth_most, dtype=np.int64)
    spent, paid = np.zeros(depth_most + 1), np.zeros(depth_most + 1)
    before = np.empty((depth_most, rows))  # loads to return to: adding and taking away would round
    found, nodes, d = False, 0, 0
    trial[0] = first[group[0]] - 1
    while d >= 0:
        k = group[d]
        p = trial[d]
        if p >= first[k]:
            for r in range(rows):
                load[row[k, r]] = before[d, r]
        p += 1
        fits = False
        while p < first[k + 1] and paid[d] + reduced[p] < room - least_gain:
            nodes += 1
            fits = True
            for r in range(rows):
                if load[row[k, r]] + use[p, r] > limit[row[k, r]]:
                    fits = False
                    break
            if fits:
                break
            p += 1
        if not fits or nodes > most:
            d -= 1
            continue
        trial[d] = p
        for r in range(rows):
            before[d, r] = load[row[k, r]]
        for r in range(rows):
            load[row[k, r]] += use[p, r]
        spent[d + 1], paid[d + 1] = spent[d] + cost[p], paid[d] + reduced[p]
        if d + 1 < depth_most:
            d += 1
            trial[d] = first[group[d]] - 1
        elif spent[d + 1] < target - least_gain:
            room -= target - spent[d + 1]
            target, found = spent[d + 1], True
            best[:] = trial
    for d in range(depth_most):
        k = group[d]
        if found:
            chosen[k] = best[d]
        if chosen[k] >= 0:
            for r in range(rows):
                load[row[k, r]] += use[chosen[k], r]
    return now - target, nodes


@njit(cache=True, nogil=True)
def improve(  # type: ignore[no-untyped-def]
    first, cost, reduced, use, row, limit, bound, chosen, load, work, least, largest, nodes_each, seed
):
    """Re-route random groups of tasks until so many nodes (`work`) have been visited; returns the gain.

    A group has between `least` and `largest` tasks. Tasks that pay a reduced cost are drawn more often.
    """
    np.random.seed(seed)  # noqa: NPY002 (all that the compiler knows)
    tasks = row.shape[0]
    gain, spent = 0.0, 0
    largest = min(largest, tasks)
    least = min(least, largest)
    order = np.arange(tasks)
    room = -bound
    for k in range(tasks):
        room += cost[chosen[k]] - reduced[chosen[k]]
    while spent < work:
        size = least + np.random.randint(0, largest - least + 1)  # noqa: NPY002
        group_pays, group_costs = 0.0, 0.0
        for d in range(size):
            at = d + np.random.randint(0, tasks - d)  # noqa: NPY002
            if reduced[chosen[order[at]]] == 0.0:
                at = d + np.random.randint(0, tasks - d)  # noqa: NPY002
            order[d], order[at] = order[at], order[d]
            group_pays += reduced[chosen[order[d]]]
            group_costs += cost[chosen[order[d]]]
        group, most = order[:size], nodes_each
        won, nodes = reroute(
            first, cost, reduced, use, row, limit, chosen, load, group, group_costs, room + group_pays, most
        )
        if won > 0.0:
            room += group_pays - won
            for d in range(size):
                room -= reduced[chosen[order[d]]]
        gain += won
        spent += nodes + 10 * size
    return gain


@njit(cache=True, nogil=True)
def _first(key, at):  # type: ignore[no-untyped-def]
    """Return the first place in `key`, which is sorted, that is not less; see `mecopt.compiling` on why."""
    low, high = 0, len(key)
    while low < high:
        middle = (low + high) // 2
        if key[middle] < at:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def match(key, order, use, cost, reduced, task, room, worth, rows, low, size, dims, most):  # type: ignore[no-untyped-def]
    """Find the two pairs of moves that gain the most together and fit into `room` (rows,).

    `order` sorts the pairs by their cells, `key` are the cells so sorted: of `size` along each of a few
    `rows`, from `low` on. A pair looks at the cells that fill what it leaves, at `most` pairs in each. No
    room is worth more than `worth`, what all of it costs at its prices. Returns the gain and both pairs.
    """
    count, depth = cost.shape[0], rows.shape[0]
    best, one, other = 0.0, -1, -1
    cell = np.empty(depth, dtype=np.int64)
    for i in range(count):  # by reduced cost, the first has the least
        if reduced[i] + reduced[0] - worth >= -best:
            break
        inside = True
        for q in range(depth):
            left = (room[rows[q]] - use[i, rows[q]] - low[q]) / size[q]
            if left < 0.0:
                inside = False
                break
            cell[q] = min(int(left), dims[q])
        if not inside:
            continue
        for corner in range(1 << depth):
            at = 0
            for q in range(depth):
                c = cell[q] - ((corner >> q) & 1)
                if c < 0 or c >= dims[q]:
                    at = -1
                    break
                at = at * dims[q] + c
            if at < 0:
                continue
            first = _first(key, at)
            for t in range(first, min(first + most, count)):
                j = order[t]
                if key[t] != at or reduced[i] + reduced[j] - worth >= -best:
                    break
                gain = -(cost[i] + cost[j])
                if gain <= best:
                    continue
                same = False
                for a in range(2):
                    for b in range(2):
                        same |= task[i, a] >= 0 and task[i, a] == task[j, b]
                if same:
                    continue
                fits = True
                for r in range(room.shape[0]):
                    if use[i, r] + use[j, r] > room[r]:
                        fits = False
                        break
                if fits:
                    best, one, other = gain, i, j
    return best, one, other
