"""Inner loops of the search for placements: a path of the pool for every task of a slot, compiled.

A placement costs the bound plus what is *above* it: the reduced costs of its paths, and for every server how
far what its load adds lies above the tangent at the prices. Both are never negative, so reduced costs alone
say early that a choice leads to nothing better.

`curve` is (worth, mm1, top, prices (N,), conjugates (N,)); `truth` has empty arrays where the base is
everything. Its last part is what a broken deadline costs at least: infinitely much, but for a start.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt_solvers.sharing.curve_kernels import added

INF = np.inf


@njit(cache=True, nogil=True, error_model="numpy")
def apart(x, n, curve):  # type: ignore[no-untyped-def]
    """Return how far what load x adds on server n lies above the tangent."""
    worth, mm1, top, prices, conjugates = curve
    return max(added(x, worth, mm1, top) - prices[n] * x + conjugates[n], 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _nearest(low, high, n, curve):  # type: ignore[no-untyped-def]
    """Return the least distance from the tangent of a load between two others."""
    worth, mm1, top, prices, _ = curve
    if worth == 0.0:
        best = top if prices[n] > 0.0 else 0.0
    elif mm1:
        best = 1.0 - 1.0 / np.sqrt(1.0 + prices[n] / worth)
    else:
        best = 0.5 * prices[n] / worth
    at = min(max(min(best, top), low), high)
    return apart(at, n, curve)


@njit(cache=True, nogil=True, error_model="numpy")
def beyond(path, chosen, load, mm1, slot_s, truth):  # type: ignore[no-untyped-def]
    """Return what a placement costs above its base: late blocks, and weights above the least one.

    The delays of late blocks by their own load are in the base already, so only the difference counts here.
    """
    calc, delay, tau, limit, fine, worth, row, late = truth
    total = 0.0
    for k in range(tau.shape[0]):
        before = 0
        for m in range(path.shape[1]):
            node = path[chosen[k], m]
            if node < 0:
                break
            alone = delay[k, m, before, node]
            now, own = alone, alone
            if node > 0:
                seconds = calc[k, m, min(before, calc.shape[2] - 1), node - 1]
                x, by_itself = load[row[k, node - 1]], seconds / slot_s
                if seconds > 0.0:
                    grown = x / (1.0 - x) if mm1 else x
                    total += worth[k] * seconds * grown
                    now += seconds * grown
                    own += seconds * (by_itself / (1.0 - by_itself) if mm1 else by_itself)
            if now > limit[k, m]:
                if late == INF:
                    return INF
                total += late * (1.0 + min((now - limit[k, m]) / max(limit[k, m], 1e-300), 1e3))
            if fine[k] > 0.0:
                total += fine[k] * (max(now - tau[k, m], 0.0) - max(own - tau[k, m], 0.0))
            before = node
    return max(total, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def above(reduced, use, path, chosen, load, curve, slot_s, truth):  # type: ignore[no-untyped-def]
    """Return what a placement costs above the bound; fills load (N,)."""
    servers = use.shape[1]
    load[:] = 0.0
    total = 0.0
    for k in range(chosen.shape[0]):
        total += reduced[chosen[k]]
        for n in range(servers):
            load[n] += use[chosen[k], n]
    for n in range(servers):
        total += apart(load[n], n, curve)
    if total < INF and truth[2].shape[0] > 0:
        total += beyond(path, chosen, load, curve[1], slot_s, truth)
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def reroute(first, reduced, use, path, curve, slot_s, truth, chosen, load, group, target, paid, most):  # type: ignore[no-untyped-def]
    """Choose the paths of some tasks anew, exactly, all others staying as they are.

    Depth first over the tasks of `group`, each one's paths in the order of their reduced costs. Only what is
    less than `target` above the bound counts; the other tasks' reduced costs are `paid`. Changes chosen and
    load; returns what the best is above the bound (the target where nothing is better) and the nodes visited,
    more than `most` when it was cut short.
    """
    depth, servers = group.shape[0], use.shape[1]
    for d in range(depth):
        if chosen[group[d]] >= 0:
            for n in range(servers):
                load[n] -= use[chosen[group[d]], n]
    low, high = np.zeros((depth + 1, servers)), np.zeros((depth + 1, servers))
    for d in range(depth - 1, -1, -1):
        for n in range(servers):
            least, largest = INF, 0.0
            for p in range(first[group[d]], first[group[d] + 1]):
                least, largest = min(least, use[p, n]), max(largest, use[p, n])
            low[d, n], high[d, n] = low[d + 1, n] + least, high[d + 1, n] + largest
    trial, best = np.empty(depth, dtype=np.int64), np.empty(depth, dtype=np.int64)
    spent, held = np.zeros(depth + 1), np.empty((depth + 1, servers))
    spent[0] = paid
    for n in range(servers):
        held[0, n] = max(load[n], 0.0)
    nodes, d = 0, 0
    trial[0] = first[group[0]] - 1
    while d >= 0:
        k = group[d]
        trial[d] += 1
        p = trial[d]
        if p >= first[k + 1] or spent[d] + reduced[p] >= target:
            d -= 1
            continue
        nodes += 1
        if nodes > most:
            break
        spent[d + 1] = spent[d] + reduced[p]
        total = spent[d + 1]
        for n in range(servers):
            held[d + 1, n] = held[d, n] + use[p, n]
            if total < target:
                total += _nearest(held[d + 1, n] + low[d + 1, n], held[d + 1, n] + high[d + 1, n], n, curve)
        if total >= target:
            continue
        if d + 1 < depth:
            d += 1
            trial[d] = first[group[d]] - 1
            continue
        if truth[2].shape[0] > 0:
            for e in range(depth):
                load_of = chosen[group[e]]
                chosen[group[e]], best[e] = trial[e], load_of
            total += beyond(path, chosen, held[depth], curve[1], slot_s, truth)
            if total >= target:
                for e in range(depth):
                    chosen[group[e]] = best[e]
                continue
        target = total
        for e in range(depth):
            chosen[group[e]] = trial[e]
    for n in range(servers):
        load[n] = held[0, n]
        for e in range(depth):
            if chosen[group[e]] >= 0:
                load[n] += use[chosen[group[e]], n]
    return target, nodes


@njit(cache=True, nogil=True, error_model="numpy")
def singles(first, reduced, use, path, curve, slot_s, truth, chosen, load, now, order):  # type: ignore[no-untyped-def]
    """Move one task after the other, each to its best path, until nobody gains; returns what is above."""
    group = np.empty(1, dtype=np.int64)
    paid = 0.0
    for k in range(chosen.shape[0]):
        paid += reduced[chosen[k]]
    while True:
        before = now
        for at in range(order.shape[0]):
            k = order[at]
            if first[k + 1] - first[k] < 2:
                continue
            group[0] = k
            rest = paid - reduced[chosen[k]]
            now, _ = reroute(
                first,
                reduced,
                use,
                path,
                curve,
                slot_s,
                truth,
                chosen,
                load,
                group,
                now,
                max(rest, 0.0),
                1 << 30,
            )
            paid = rest + reduced[chosen[k]]
        if not before - now > 1e-9 * before:
            return now


@njit(cache=True, nogil=True, error_model="numpy")
def improve(  # type: ignore[no-untyped-def]
    first, reduced, use, path, curve, slot_s, truth, chosen, load, now, least, largest, work, each, seed
):
    """Re-route random groups of `least` to `largest` tasks until so many nodes (`work`) have been visited."""
    np.random.seed(seed)  # noqa: NPY002 (all that the compiler knows)
    movable = np.empty(chosen.shape[0], dtype=np.int64)
    many, paid = 0, 0.0
    for k in range(chosen.shape[0]):
        paid += reduced[chosen[k]]
        if first[k + 1] - first[k] > 1:
            movable[many] = k
            many += 1
    largest = min(largest, many)
    least = min(least, largest)
    if least < 1:
        return now
    spent = 0
    while spent < work:
        size = least + np.random.randint(0, largest - least + 1)  # noqa: NPY002
        rest = paid
        for d in range(size):
            at = d + np.random.randint(0, many - d)  # noqa: NPY002
            if reduced[chosen[movable[at]]] == 0.0:
                at = d + np.random.randint(0, many - d)  # noqa: NPY002
            movable[d], movable[at] = movable[at], movable[d]
            rest -= reduced[chosen[movable[d]]]
        now, nodes = reroute(
            first,
            reduced,
            use,
            path,
            curve,
            slot_s,
            truth,
            chosen,
            load,
            movable[:size],
            now,
            max(rest, 0.0),
            each,
        )
        paid = rest
        for d in range(size):
            paid += reduced[chosen[movable[d]]]
        spent += nodes + 20 * size
    return now


@njit(cache=True, nogil=True, error_model="numpy")
def pair(first, reduced, use, curve, chosen, load, task, move, change, work):  # type: ignore[no-untyped-def]
    """Find the two moves of two tasks that together gain the most; -1, -1 where none gain.

    Moves come sorted by `change`, what they add to the reduced costs; each is of a `task` to a path `move`.
    Stops after so many pairs (`work`).
    """
    servers, count = use.shape[1], task.shape[0]
    now, tangent = 0.0, np.empty(servers)
    for n in range(servers):
        tangent[n] = apart(load[n], n, curve)
        now += tangent[n]
    best, one, other, spent = now * (1.0 - 1e-12), -1, -1, 0
    there, touched = np.empty(servers), np.empty(servers)
    for i in range(count):
        if 2.0 * change[i] >= best or spent > work:
            break
        base = change[i]
        for n in range(servers):
            there[n] = load[n] + use[move[i], n] - use[chosen[task[i]], n]
            touched[n] = apart(max(there[n], 0.0), n, curve)
        for j in range(i + 1, count):
            total = base + change[j]
            if total >= best:
                break
            if task[j] == task[i]:
                continue
            spent += 1
            for n in range(servers):
                gone = use[move[j], n] - use[chosen[task[j]], n]
                total += touched[n] if gone == 0.0 else apart(max(there[n] + gone, 0.0), n, curve)
                if total >= best:
                    break
            if total < best:
                best, one, other = total, i, j
    return one, other
