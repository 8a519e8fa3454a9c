"""Inner loops of sharing beside budgets and memory: conjugates, moves, and all combinations of few paths.

A row is the load of a server in a slot or the budget of a device; `curve` is (worth (rows + 1,), mm1, top
(rows + 1,)), worth 0 for budgets, the last row without a limit. `pool` is (first (K + 1,), path (P, M), cost
(P,), use (P, R)), `memory` is (holder (K, J), piece (K, M), size (pieces,), limit (holders,)), all of length
0 where memory counts for nothing. `books` are what a placement uses: load (rows + 1,), held (holders,
pieces), stored (holders,).
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt_solvers.sharing.choice_kernels import beyond
from mecopt_solvers.sharing.curve_kernels import added, conjugate, smooth

INF = np.inf
FEE = 0.02  # what being above a limit costs however little it is, in limits
PAIRS, MATES = 0.5, 20  # share of moves that are of two tasks; draws of the second one
ROOM = 1e-12  # relatively, of memory: whole bytes add up without rounding, others do not


@njit(cache=True, nogil=True, error_model="numpy")
def conjugates(prices, load, curve, point):  # type: ignore[no-untyped-def]
    """Return the sum of the conjugates at prices (rows,); fills the loads where they are reached."""
    worth, mm1, top = curve
    total = 0.0
    for r in range(prices.shape[0]):
        price = prices[r]
        if price <= 0.0:
            point[r] = min(load[r], top[r]) if worth[r] == 0.0 else 0.0
            continue
        total += conjugate(price, worth[r], mm1, top[r])
        if worth[r] == 0.0:
            point[r] = top[r]
        elif mm1:
            point[r] = min(1.0 - 1.0 / np.sqrt(1.0 + price / worth[r]), top[r])
        else:
            point[r] = min(0.5 * price / worth[r], top[r])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def put(k, p, sign, row, pool, memory, books):  # type: ignore[no-untyped-def]
    """Book a path of a task, or (sign -1) take it off."""
    _, path, _, use = pool
    holder, piece, size, _ = memory
    load, held, stored = books
    for r in range(use.shape[1]):
        load[row[k, r]] += sign * use[p, r]
    if size.shape[0] == 0:
        return
    for m in range(path.shape[1]):
        node = path[p, m]
        if node < 0:
            break
        at, what = holder[k, node], piece[k, m]
        held[at, what] += sign
        if held[at, what] == (1 if sign > 0 else 0):
            stored[at] += sign * size[what]


@njit(cache=True, nogil=True, error_model="numpy")
def _over(used, limit):  # type: ignore[no-untyped-def]
    return FEE + used / limit - 1.0 if used > limit * (1.0 + ROOM) and limit > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _strain(k, row, memory, books, curve, fee):  # type: ignore[no-untyped-def]
    """Return what the loads that a task may touch add, and what is above limits at a fee."""
    worth, mm1, top = curve
    holder, _, size, limit = memory
    load, _, stored = books
    total = 0.0
    for r in range(row.shape[1]):
        at = row[k, r]
        if worth[at] > 0.0:
            total += smooth(load[at], worth[at], mm1)[0]
        total += fee * _over(load[at], top[at])
    if size.shape[0] > 0:
        for j in range(holder.shape[1]):
            total += fee * _over(stored[holder[k, j]], limit[holder[k, j]])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _whole(chosen, cost, memory, books, curve, fee):  # type: ignore[no-untyped-def]
    """Return what `_strain` says of all rows, and what paths cost by themselves."""
    worth, mm1, top = curve
    _, _, size, limit = memory
    load, _, stored = books
    total = 0.0
    for k in range(chosen.shape[0]):
        total += cost[chosen[k]]
    for r in range(worth.shape[0]):
        if worth[r] > 0.0:
            total += smooth(load[r], worth[r], mm1)[0]
        total += fee * _over(load[r], top[r])
    if size.shape[0] > 0:
        for h in range(limit.shape[0]):
            total += fee * _over(stored[h], limit[h])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def value(chosen, row, pool, memory, books, curve, slot_s, truth):  # type: ignore[no-untyped-def]
    """Return what a placement costs, inf where it breaks a limit; books must be its own."""
    _, path, cost, _ = pool
    worth, mm1, top = curve
    _, _, size, limit = memory
    load, _, stored = books
    total = 0.0
    for k in range(chosen.shape[0]):
        total += cost[chosen[k]]
    for r in range(worth.shape[0] - 1):
        total += added(load[r], worth[r], mm1, top[r])
    if size.shape[0] > 0:
        for h in range(limit.shape[0]):
            if stored[h] > limit[h] * (1.0 + ROOM):
                return INF
    if total < INF and truth[2].shape[0] > 0:
        total += beyond(path, chosen, load, mm1, slot_s, truth)
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def open_books(chosen, row, pool, memory, books):  # type: ignore[no-untyped-def]
    """Book a whole placement, from nothing."""
    load, held, stored = books
    load[:] = 0.0
    held[:] = 0
    stored[:] = 0.0
    for k in range(chosen.shape[0]):
        put(k, chosen[k], 1, row, pool, memory, books)


@njit(cache=True, nogil=True, error_model="numpy")
def anneal(  # type: ignore[no-untyped-def]
    row, pool, memory, books, curve, slot_s, truth, chosen, best, now, fee, hot, cold, moves, seed
):
    """Move tasks between their paths while the temperature falls; returns the best value, its paths in best.

    What is above a limit costs a fee. `now` is the value of `best` (K,), inf where that breaks a limit.
    """
    np.random.seed(seed)  # noqa: NPY002 (all that the compiler knows)
    first, path, cost, _ = pool
    tasks, temperature, cooling = chosen.shape[0], hot, np.exp(np.log(cold / hot) / moves)
    calc, delay, tau, limit, fine, worth, at, _ = truth
    lenient = (calc, delay, tau, limit, fine, worth, at, fee)
    timed, budget = tau.shape[0] > 0, row.shape[1] - 1
    open_books(chosen, row, pool, memory, books)
    late = beyond(path, chosen, books[0], curve[1], slot_s, lenient) if timed else 0.0
    running = late + _whole(chosen, cost, memory, books, curve, fee)
    task, old = np.empty(2, dtype=np.int64), np.empty(2, dtype=np.int64)
    for _ in range(moves):
        temperature *= cooling
        task[0] = np.random.randint(0, tasks)  # noqa: NPY002
        task[1] = np.random.randint(0, tasks)  # noqa: NPY002
        # Two tasks at a time, of one budget where there are any: one gives what the other takes.
        many = 2 if task[1] != task[0] and np.random.random() < PAIRS else 1  # noqa: NPY002
        for _ in range(MATES):
            if many == 2 and row[task[0], budget] != row[task[1], budget]:
                task[1] = np.random.randint(0, tasks)  # noqa: NPY002
        if task[1] == task[0]:
            many = 1
        change, later = 0.0, late
        for i in range(many):
            k = task[i]
            draw = np.random.random()  # noqa: NPY002
            # Squared: paths come sorted by reduced cost, and those of little matter most.
            p = first[k] + int((first[k + 1] - first[k]) * draw * draw)
            old[i] = chosen[k]
            change -= _strain(k, row, memory, books, curve, fee) + cost[old[i]]
            put(k, old[i], -1, row, pool, memory, books)
            put(k, p, 1, row, pool, memory, books)
            change += _strain(k, row, memory, books, curve, fee) + cost[p]
            chosen[k] = p
        if timed:
            later = beyond(path, chosen, books[0], curve[1], slot_s, lenient)
            change += later - late
        if change > 0.0 and change > -temperature * np.log(1.0 - np.random.random()):  # noqa: NPY002
            for i in range(many - 1, -1, -1):
                put(task[i], chosen[task[i]], -1, row, pool, memory, books)
                put(task[i], old[i], 1, row, pool, memory, books)
                chosen[task[i]] = old[i]
            continue
        late, running = later, running + change
        if change < 0.0 and running < now:
            open_books(
                chosen, row, pool, memory, books
            )  # what was added and taken off leaves rounding behind
            total = value(chosen, row, pool, memory, books, curve, slot_s, truth)
            if total < now:
                now = running = total
                for q in range(tasks):
                    best[q] = chosen[q]
    return now


@njit(cache=True, nogil=True, error_model="numpy")
def exhaust(row, reduced, pool, memory, books, curve, slot_s, truth, order, base, target, best, most):  # type: ignore[no-untyped-def]
    """Look at all combinations of the pool that may be below a target, depth first over tasks in an order.

    Every combination costs at least `base` and the reduced costs of its paths. Returns the least value, its
    paths in `best` (K,), and the nodes visited, more than `most` when it was cut short.
    """
    first, _, _, use = pool
    _, _, size, limit = memory
    load, held, stored = books
    _, _, top = curve
    depth = order.shape[0]
    load[:] = 0.0
    held[:] = 0
    stored[:] = 0.0
    chosen, spent = np.full(depth, -1), np.zeros(depth + 1)
    spent[0] = base
    nodes, d = 0, 0
    while d >= 0:
        k = order[d]
        if chosen[k] >= 0:
            put(k, chosen[k], -1, row, pool, memory, books)
            chosen[k] += 1
        else:
            chosen[k] = first[k]
        p = chosen[k]
        if p >= first[k + 1] or spent[d] + reduced[p] >= target:
            chosen[k] = -1
            d -= 1
            continue
        nodes += 1
        if nodes > most:
            break
        put(k, p, 1, row, pool, memory, books)
        fits = True
        for r in range(use.shape[1]):
            fits = fits and load[row[k, r]] <= top[row[k, r]] * (1.0 + ROOM)
        if size.shape[0] > 0:
            for h in range(memory[0].shape[1]):
                at = memory[0][k, h]
                fits = fits and stored[at] <= limit[at] * (1.0 + ROOM)
        if not fits:
            continue
        spent[d + 1] = spent[d] + reduced[p]
        if d + 1 < depth:
            d += 1
            continue
        open_books(chosen, row, pool, memory, books)  # adding and taking off leaves rounding behind
        total = value(chosen, row, pool, memory, books, curve, slot_s, truth)
        if total < target:
            target = total
            for q in range(depth):
                best[q] = chosen[q]
    return target, nodes
