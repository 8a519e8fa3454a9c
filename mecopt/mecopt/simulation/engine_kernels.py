"""The compiled event loop: tasks arrive, are decided, and pass their resources in the order of time.

A FIFO resource knows at an arrival when that visit ends, so a visit is one event; under processor sharing a
server keeps its visits in a heap by virtual time (Kleinrock 1967), and the next departure is an event that a
later arrival makes void. `run` returns whenever Python has something to do: GROW, DECIDE, or a short rest.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt.simulation.choosing_kernels import INF, choose, load_of
from mecopt.simulation.price_head_kernels import count_arrival, move_prices

DONE, GROW, DECIDE, REST = 0, 1, 2, 3
REST_EVENTS = 2_000_000  # between two looks at the keyboard
NODE, RADIO, LEAVE = 0, 1, 2  # kinds of event

# Numbers of `state`.
HEAP, NEXT, EVENTS, DECIDED, BAD = range(5)
# Fields of `how`.
SEES_NOTHING, SEES_BACKLOG, SEES_FLIGHT = 0, 1, 2
ALL, LEAST, TWO = 0, 1, 2  # servers that a rule may use: all, the least loaded, two at random


@njit(cache=True)
def _push(times, codes, state, t, code):  # type: ignore[no-untyped-def]
    i = state[HEAP]
    state[HEAP] += 1
    while i > 0:
        up = (i - 1) >> 1
        if times[up] <= t:
            break
        times[i], codes[i] = times[up], codes[up]
        i = up
    times[i], codes[i] = t, code


@njit(cache=True)
def _pop(times, codes, state):  # type: ignore[no-untyped-def]
    state[HEAP] -= 1
    end = state[HEAP]
    t, code = times[end], codes[end]
    i = 0
    while True:
        low = 2 * i + 1
        if low >= end:
            break
        if low + 1 < end and times[low + 1] < times[low]:
            low += 1
        if times[low] >= t:
            break
        times[i], codes[i] = times[low], codes[low]
        i = low
    times[i], codes[i] = t, code


@njit(cache=True)
def _random(seed, task, draw):  # type: ignore[no-untyped-def]
    """Return a number in [0, 1) by splitmix64 that depends on nothing else: all rules meet the same luck."""
    z = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(2 * task + draw + 1)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True)
def _look(t, lag, k, free, shared, seen):  # type: ignore[no-untyped-def]
    """Write what is seen of the servers: backlogs `lag` seconds before `t`, and the work in flight since."""
    log_t, log_free, log_come, head, tail, come, sent = shared
    servers = len(head)
    size = log_t.shape[1]
    for n in range(servers):
        if lag == 0.0:
            seen[0, n] = max(0.0, free[n] - t)
            seen[1, n] = sent[n] - come[n]
            continue
        then = t - lag
        while head[n] + 1 < tail[n] and log_t[n, (head[n] + 1) % size] <= then:
            head[n] += 1
        at = head[n] % size
        if head[n] < tail[n] and log_t[n, at] <= then:
            seen[0, n] = max(0.0, log_free[n, at] - then)
            seen[1, n] = sent[n] - log_come[n, at]
        else:
            seen[0, n], seen[1, n] = 0.0, sent[n]


@njit(cache=True)
def _arrive(n, t, x, free, shared, lag):  # type: ignore[no-untyped-def]
    """Give a server work, and keep in the log that it came; returns when all of it is done."""
    log_t, log_free, log_come, tail, come = shared[0], shared[1], shared[2], shared[4], shared[5]
    free[n] = max(t, free[n]) + x
    come[n] += x
    if lag > 0.0:
        at = tail[n] % log_t.shape[1]
        log_t[n, at], log_free[n, at], log_come[n, at] = t, free[n], come[n]
        tail[n] += 1
    return free[n]


@njit(cache=True)
def _onwards(  # type: ignore[no-untyped-def]
    task, t, m, node, tables, k, size, place, position, arrival, delay, heap, state
):
    """Let a task leave `node` at `t` with blocks before `m` done: to a stretch, its result, or its end."""
    blocks, down, bits, hop_s, hop_lat = tables[0], tables[6], tables[7], tables[9], tables[10]
    times, codes = heap
    position[task] = m
    if m == blocks[k]:
        if node > 0 and down[k, down.shape[1] - 1, node - 1] >= 0.0:
            _push(times, codes, state, t, task * 4 + RADIO)
        else:
            delay[task] = t - arrival[task]
        return
    to = place[task, m]
    if node > 0 and to > 0:
        t += hop_lat[node - 1, to - 1] + size * bits[k, m] * hop_s[node - 1, to - 1]
        _push(times, codes, state, t, task * 4 + NODE)
    elif (node > 0 and down[k, m, node - 1] < 0.0) or node == to:
        _push(times, codes, state, t, task * 4 + NODE)
    else:
        _push(times, codes, state, t, task * 4 + RADIO)


@njit(cache=True)
def _decide(task, t, k, size, phase, world, how, rule, free, seen, scratch, place):  # type: ignore[no-untyped-def]
    """Choose the path of a task by a compiled rule; returns whether there is one."""
    tables, servers, devices = world
    sees, pool, seed, lag, own_weight, keep, rate, told, headed = how
    prices, grows, curves, mean, meter, unit, head = rule
    backlog, inside, moved = scratch[0], scratch[1], scratch[2]
    inside[:] = True
    for n in range(servers):
        u = seen[0, n]
        if sees == SEES_FLIGHT:
            u = max(0.0, u + seen[1, n] - lag)
        backlog[n] = mean[n] + keep * (u - mean[n]) if sees != SEES_NOTHING else 0.0
    own = servers + tables[1][k]
    for r in (own, own + devices):
        backlog[r] = own_weight * max(0.0, free[r] - t)
    if pool == LEAST:
        low = 0
        for n in range(1, servers):
            if backlog[n] < backlog[low]:
                low = n
        inside[:] = False
        inside[low] = True
    elif pool == TWO and servers > 2:
        a = int(_random(seed, task, 0) * servers)
        b = int(_random(seed, task, 1) * (servers - 1))
        inside[:] = False
        inside[a] = True
        inside[b + 1 if b >= a else b] = True
    at = 0
    if told:
        at = min(phase, len(prices) - 1)
    elif len(prices) > 1:
        at = int(_random(seed, task, 0) * len(prices))
    price, grow, curve = prices[at], grows[at], curves[at]
    if headed:
        for r in range(3):
            row = (price, grow, curve)[r]
            moved[r, :servers] = row[:servers]
            moved[r, own], moved[r, own + devices] = row[own], row[own + devices]
        price, grow, curve = moved[0], moved[1], moved[2]
        count_arrival(t, head, meter)
        device, radio = max(0.0, free[own] - t), max(0.0, free[own + devices] - t)
        move_prices(head, meter, seen, lag, size, device, radio, backlog, price, grow, curve)
    if rate > 0.0:
        past = t - meter[0]
        meter[0] = t
        for n in range(servers):
            share = 1.0 - 1.0 / np.sqrt(1.0 + price[n])
            price[n] = max(1e-4, price[n] * np.exp(-rate * share * past / unit))
    cost = choose(k, size, tables, backlog, price, grow, curve, 1.0, inside, scratch[3:], place)
    if cost == INF and pool != ALL:
        inside[:] = True
        cost = choose(k, size, tables, backlog, price, grow, curve, 1.0, inside, scratch[3:], place)
    return cost < INF


@njit(cache=True)
def run(  # type: ignore[no-untyped-def]
    stream,
    world,
    energy,
    how,
    rule,
    own,
    lag,
    sharing,
    tasks,
    resources,
    heap,
    shared,
    ps,
    scratch,
    state,
    offered,
):
    """Go on until something is for Python to do; returns DONE, GROW, DECIDE or REST.

    `state` and the arrays hold where the simulation stands, so that it goes on from there.
    """
    arrival, template, sizes, phases = stream
    tables, servers, devices = world
    blocks, device, up, down, lat = tables[0], tables[1], tables[5], tables[6], tables[8]
    place, position, delay, spent, unloaded = tasks
    free, seen, work_of = resources
    times, codes = heap
    virtual, member, many, clock, since, version = ps
    count, batches = len(arrival), len(offered)
    prices, unit = rule[0], rule[5]
    rate = how[6]
    rest = state[EVENTS] + REST_EVENTS
    room = len(times) - 8
    log_room = shared[0].shape[1] - 2
    while state[NEXT] < count or state[HEAP] > 0:
        if state[HEAP] > room:
            return GROW
        if lag > 0.0:
            for n in range(servers):
                if shared[4][n] - shared[3][n] > log_room:
                    return GROW
        if sharing:
            for n in range(servers):
                if many[n] > virtual.shape[1] - 2:
                    return GROW
        if state[EVENTS] > rest:
            return REST
        i = state[NEXT]
        if i < count and (state[HEAP] == 0 or arrival[i] < times[0]):
            t, k, size = arrival[i], template[i], sizes[i]
            if state[DECIDED] == 0:
                _look(t, lag, k, free, shared, seen)
                if own:
                    return DECIDE
                if not _decide(i, t, k, size, phases[i], world, how, rule, free, seen, scratch, place[i]):
                    state[BAD] = i
                    return DECIDE
            if state[DECIDED] == 1:  # 2: all are decided before it begins
                state[DECIDED] = 0
            state[NEXT] += 1
            state[EVENTS] += 1
            unloaded[i] = load_of(k, size, tables, place[i], servers + device[k], work_of)
            row = offered[i * batches // count]
            for n in range(servers):
                shared[6][n] += work_of[n]
                row[n] += work_of[n]
                if rate > 0.0 and work_of[n] > 0.0:
                    prices[0, n] = min(1e4, prices[0, n] * np.exp(min(2.0, rate * work_of[n] / unit)))
            row[servers + device[k]] += work_of[servers]
            row[servers + devices + device[k]] += work_of[servers + 1]
            spent[i] = _energy(k, size, tables, energy, place[i])
            node = place[i, 0]
            position[i] = 0
            # What the device does first begins now, so it needs no event.
            if node == 0:
                r = servers + device[k]
                x, m = _stretch(k, size, tables, place[i], 0, blocks[k])
                free[r] = max(t, free[r]) + x
                _onwards(i, free[r], m, 0, tables, k, size, place, position, arrival, delay, heap, state)
            else:
                r = servers + devices + device[k]
                free[r] = max(t, free[r]) + size * up[k, 0, node - 1]
                _push(times, codes, state, free[r] + lat[node - 1], i * 4 + NODE)
            continue
        t, code = times[0], codes[0]
        _pop(times, codes, state)
        kind, i = code & 3, code >> 2
        if kind == LEAVE:
            n = i % servers
            if i // servers != version[n]:
                continue
            i = _ps_leave(n, t, virtual, member, many, clock, since)
            _ps_next(n, t, servers, virtual, many, clock, version, times, codes, state)
            k = template[i]
            m = position[i]
            while m < blocks[k] and place[i, m] == n + 1:
                m += 1
            state[EVENTS] += 1
            _onwards(i, t, m, n + 1, tables, k, sizes[i], place, position, arrival, delay, heap, state)
            continue
        state[EVENTS] += 1
        k, size, m = template[i], sizes[i], position[i]
        if kind == RADIO:
            r = servers + devices + device[k]
            before = 0 if m == 0 else place[i, m - 1]
            if m == blocks[k]:
                n = before - 1
                free[r] = max(t, free[r]) + size * down[k, down.shape[1] - 1, n]
                delay[i] = free[r] + lat[n] - arrival[i]
                continue
            to = place[i, m]
            n = to - 1 if before == 0 else before - 1
            free[r] = max(t, free[r]) + size * (up[k, m, n] if before == 0 else down[k, m, n])
            _push(times, codes, state, free[r] + lat[n], i * 4 + NODE)
            continue
        node = place[i, m]
        x, end = _stretch(k, size, tables, place[i], m, blocks[k])
        if node == 0:
            r = servers + device[k]
            free[r] = max(t, free[r]) + x
            _onwards(i, free[r], end, 0, tables, k, size, place, position, arrival, delay, heap, state)
        elif not sharing:
            done = _arrive(node - 1, t, x, free, shared, lag)
            _onwards(i, done, end, node, tables, k, size, place, position, arrival, delay, heap, state)
        else:
            n = node - 1
            _arrive(n, t, x, free, shared, lag)
            _ps_join(n, t, x, i, virtual, member, many, clock, since)
            _ps_next(n, t, servers, virtual, many, clock, version, times, codes, state)
    return DONE


@njit(cache=True)
def _stretch(k, size, tables, place, m, stages):  # type: ignore[no-untyped-def]
    """Return the seconds of the stretch that begins with block `m`, and the block behind it."""
    work, start, starts = tables[2], tables[3], tables[4]
    node = place[m]
    x = start[k, m, node] if starts else 0.0
    while m < stages and place[m] == node:
        x += size * work[k, m, node]
        m += 1
    return x, m


@njit(cache=True)
def _energy(k, size, tables, energy, place):  # type: ignore[no-untyped-def]
    """Return the joules of a task's device (Eq. 7, as `mecopt.costs`)."""
    blocks, start, starts, up = tables[0], tables[3], tables[4], tables[5]
    bits, hop_s = tables[7], tables[9]
    joules, watts, send_w, hop_w = energy
    total, before = 0.0, 0
    for m in range(blocks[k]):
        j = place[m]
        if j == 0:
            total += size * joules[k, m]
            if starts and (m == 0 or before > 0):
                total += watts[k] * start[k, m, 0]
        elif before == 0:
            total += send_w[k] * size * up[k, m, j - 1]
        elif before != j:
            total += hop_w[k] * size * bits[k, m] * hop_s[before - 1, j - 1]
        before = j
    return total


@njit(cache=True)
def _ps_advance(n, t, many, clock, since):  # type: ignore[no-untyped-def]
    if many[n] > 0:
        clock[n] += (t - since[n]) / many[n]
    since[n] = t


@njit(cache=True)
def _ps_join(n, t, x, task, virtual, member, many, clock, since):  # type: ignore[no-untyped-def]
    """Let a task of x seconds join: it is done when the virtual time has grown by x."""
    _ps_advance(n, t, many, clock, since)
    if many[n] == 0:
        clock[n] = 0.0  # or its rounding would grow with the length of the run
    v = clock[n] + x
    i = many[n]
    many[n] += 1
    while i > 0:
        up = (i - 1) >> 1
        if virtual[n, up] <= v:
            break
        virtual[n, i], member[n, i] = virtual[n, up], member[n, up]
        i = up
    virtual[n, i], member[n, i] = v, task


@njit(cache=True)
def _ps_leave(n, t, virtual, member, many, clock, since):  # type: ignore[no-untyped-def]
    """Let the next task leave, and return it."""
    task = member[n, 0]
    clock[n], since[n] = virtual[n, 0], t
    many[n] -= 1
    end = many[n]
    v, moved = virtual[n, end], member[n, end]
    i = 0
    while True:
        low = 2 * i + 1
        if low >= end:
            break
        if low + 1 < end and virtual[n, low + 1] < virtual[n, low]:
            low += 1
        if virtual[n, low] >= v:
            break
        virtual[n, i], member[n, i] = virtual[n, low], member[n, low]
        i = low
    virtual[n, i], member[n, i] = v, moved
    return task


@njit(cache=True)
def _ps_next(n, t, servers, virtual, many, clock, version, times, codes, state):  # type: ignore[no-untyped-def]
    """Announce the next departure of a server; the one announced before is void."""
    version[n] += 1
    if many[n] > 0:
        after = max(0.0, virtual[n, 0] - clock[n]) * many[n]
        _push(times, codes, state, t + after, (n + servers * version[n]) * 4 + LEAVE)
