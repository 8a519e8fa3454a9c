"""The decision process in compiled form: many episodes side by side, one task each.

Everything that reads or changes the state of an episode is here: what a choice needs and costs, repairs,
masks and the observation. The single environment, the vector environment and the methods all call these. Sums
run in the order of `mecopt.costs.steps`, so delays and energies are the judge's to the last bit.

`mecopt.costs` stays the only place that knows how seconds, joules and bits follow from an instance; here they
are only put together, and tests compare with the judge. All in one file, because numba does not notice
that what it cached is old when a function that is inlined from another file changes.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt.tolerances import RELATIVE_SLACK, SMALLEST_SCALE
from mecopt_rl.world.kernel_tables import (
    BATCH,
    BITS,
    BLOCKS,
    DEVICE,
    DEVICE_J,
    DEVICE_S,
    GAPS,
    GROUP,
    HOP_W,
    MODEL,
    RESULT_BITS,
    SEND,
    SEND_W,
    SITE,
    SLOT,
    TAU,
)

INF = np.inf
# Rows of what the kernels lay out of one task (`_view`), all in the order of nodes.
PER_BIT, LATENCY = range(2)  # link: (2, N + 1, N + 1) from, to
TIME, SPACE = range(2)  # used, limit, most: (2, N + 1) seconds of the slot and bytes


@njit(inline="always")
def _slack(limit):
    return limit + RELATIVE_SLACK * max(limit, SMALLEST_SCALE)


@njit(inline="always")
def _scratch(stages, nodes):
    """Room for one task: calc, link, used, limit, most, need, ends, nodes; see the `_view` functions."""
    calc, link = np.empty((stages, nodes)), np.zeros((2, nodes, nodes))
    used, need = np.zeros((2, nodes)), np.zeros((stages, nodes))
    limit, most = np.full((2, nodes), INF), np.full((2, nodes), INF)
    ends = np.ones((stages, nodes), dtype=np.bool_)
    return calc, link, used, limit, most, need, ends, np.zeros(stages + 1, dtype=np.int64)


@njit(inline="always")
def _view_links(k, site, whole, number, send_lat, hop_s, hop_lat, link):
    """Lay out the links of task k: seconds per bit (inf = no link) and latency between any two nodes."""
    nodes = link.shape[1]
    for j in range(1, nodes):
        link[PER_BIT, 0, j] = link[PER_BIT, j, 0] = number[k, SEND + j - 1]
        link[LATENCY, 0, j] = link[LATENCY, j, 0] = send_lat[site, j - 1]
        for i in range(1, nodes):
            link[PER_BIT, i, j] = hop_s[site, i - 1, j - 1]
            link[LATENCY, i, j] = hop_lat[site, i - 1, j - 1]


@njit(inline="always")
def _view_work(k, whole, number, block, server_s, calc):
    """Lay out the seconds of every block of task k on every node."""
    group, many = whole[k, GROUP], number[k, BATCH]
    for m in range(whole[k, BLOCKS]):
        calc[m, 0] = block[k, m, DEVICE_S]
        for j in range(1, calc.shape[1]):
            calc[m, j] = many * server_s[group, m, j - 1]


@njit(inline="always")
def _view_limits(
    e, k, site, rule, whole, load, bytes_used, held, slot_s, memory, params, used, limit, most, need
):  # fmt: skip
    """Lay out what episode e has used, its limits (`most`: with the judge's slack), and what task k needs.

    need[m, j] are the bytes of block m, 0 where node j holds them already.
    """
    stages, nodes = need.shape
    limit[:] = INF
    most[:] = INF
    if rule.capacity:
        for j in range(1, nodes):
            used[TIME, j], limit[TIME, j], most[TIME, j] = load[e, j - 1], slot_s[site], _slack(slot_s[site])
    if rule.memory:
        first = whole[k, MODEL] * stages
        for j in range(nodes):
            holder = j - 1 if j > 0 else nodes - 1 + whole[k, DEVICE]
            most[SPACE, j], limit[SPACE, j] = _slack(memory[site, holder]), memory[site, holder]
            used[SPACE, j] = bytes_used[e, holder]
            for m in range(whole[k, BLOCKS]):
                need[m, j] = 0.0 if held[e, holder, first + m] else params[site, first + m]


@njit(inline="always")
def _step(rule, m, i, j, bits, calc, link, joules, send_w, hop_w):
    """Delay and joules of entering block m of so many bits on j from i, the link existing.

    `joules` are those of the block on the device.
    """
    trans, energy = 0.0, joules if j == 0 else 0.0
    if i != j:
        flight = link[PER_BIT, i, j] * bits
        if j > 0:
            energy = (send_w if i == 0 else hop_w) * flight
        if j > 0 or rule.return_transfer:
            trans = link[LATENCY, i, j] + flight
    return trans + calc[m, j], energy


@njit(inline="always")
def _result(rule, j, link, bits):
    """Seconds that the result of so many bits needs from node j to the device, inf = no link."""
    if j == 0 or not rule.return_result:
        return 0.0
    per_bit = link[PER_BIT, j, 0]
    return INF if per_bit == INF else link[LATENCY, j, 0] + per_bit * bits


@njit(inline="always")
def _cost(rule, k, m, i, j, whole, number, block, calc, link):
    """Seconds that the step adds to the cost, the return of the result included."""
    delay, _ = _step(rule, m, i, j, block[k, m, BITS], calc, link, 0.0, 0.0, 0.0)
    over = max(delay - block[k, m, TAU], 0.0)
    late = rule.beta * over if rule.beta > 0 else 0.0
    back = _result(rule, j, link, number[k, RESULT_BITS]) if m == whole[k, BLOCKS] - 1 else 0.0
    return delay + late + back


@njit(inline="always")
def _endings(rule, blocks, link, ends):
    """Note from where every block can still be followed to the end over links that exist, (M, N + 1)."""
    nodes = ends.shape[1]
    for j in range(nodes):
        ends[blocks - 1, j] = _result(rule, j, link, 0.0) < INF
    for m in range(blocks - 2, -1, -1):
        for i in range(nodes):
            ends[m, i] = False
            for j in range(nodes):
                if ends[m + 1, j] and link[PER_BIT, i, j] < INF:
                    ends[m, i] = True


@njit(inline="always")
def _linked(gaps, m, i, j, link, ends):
    """Whether the step exists and the end can be reached after it."""
    return not gaps or (ends[m, j] and link[PER_BIT, i, j] < INF)


@njit(inline="always")
def _over(m, j, calc, used, limit, most, need):
    """By how much block m on node j would exceed what is free, as a share of the limits; 0 = it fits."""
    over, work, size = 0.0, calc[m, j], need[m, j]
    if work > 0.0 and used[TIME, j] + work > most[TIME, j]:
        over += (used[TIME, j] + work - limit[TIME, j]) / max(limit[TIME, j], SMALLEST_SCALE)
    if size > 0.0 and used[SPACE, j] + size > most[SPACE, j]:
        over += (used[SPACE, j] + size - limit[SPACE, j]) / max(limit[SPACE, j], SMALLEST_SCALE)
    return over


@njit(inline="always")
def _instead(rule, k, m, i, whole, number, block, calc, link, used, limit, most, need, ends):
    """Node to take for block m in place of a forbidden one, coming from node i.

    The allowed one of least cost; where nothing is allowed, the one that exceeds the limits least.
    """
    best, best_over, best_cost = 0, INF, INF
    for j in range(ends.shape[1]):
        if _linked(whole[k, GAPS] != 0, m, i, j, link, ends):
            over = _over(m, j, calc, used, limit, most, need)
            cost = _cost(rule, k, m, i, j, whole, number, block, calc, link)
            if over < best_over or (over == best_over and cost < best_cost):
                best, best_over, best_cost = j, over, cost
    return best


@njit(inline="always")
def _walk(rule, e, k, count, wanted, whole, number, block, calc, link, used, limit, most, need, ends, nodes):
    """Place the first `count` blocks as wanted[e] says, replace what is forbidden; `used` moves on.

    Returns the number of choices replaced, and of blocks for which nothing was allowed.
    """
    before, repairs, forced = 0, 0, 0
    gaps, tight = whole[k, GAPS] != 0, rule.capacity or rule.memory
    if gaps:
        _endings(rule, whole[k, BLOCKS], link, ends)
    for m in range(count):
        j = wanted[e, m]
        full = tight and _over(m, j, calc, used, limit, most, need) > 0.0
        if full or not _linked(gaps, m, before, j, link, ends):
            j = _instead(rule, k, m, before, whole, number, block, calc, link, used, limit, most, need, ends)
            repairs += j != wanted[e, m]
            forced += _over(m, j, calc, used, limit, most, need) > 0.0
        if tight:
            used[TIME, j] += calc[m, j]
            used[SPACE, j] += need[m, j]  # blocks of one task are different pieces
        nodes[m] = j
        before = j
    return repairs, forced


@njit(inline="always")
def _keep(e, k, rule, whole, load, bytes_used, held, used, most, nodes):
    """Write what the task uses back to its episode; count the limits that it was the first to break."""
    servers, stages, broken = load.shape[1], len(nodes) - 1, 0
    if rule.capacity:
        for n in range(servers):
            now = used[TIME, n + 1]
            broken += now > most[TIME, n + 1] and not load[e, n] > most[TIME, n + 1]
            load[e, n] = now
    if rule.memory:
        for j in range(servers + 1):
            holder = j - 1 if j > 0 else servers + whole[k, DEVICE]
            now = used[SPACE, j]
            broken += now > most[SPACE, j] and not bytes_used[e, holder] > most[SPACE, j]
            bytes_used[e, holder] = now
        for m in range(whole[k, BLOCKS]):
            holder = nodes[m] - 1 if nodes[m] > 0 else servers + whole[k, DEVICE]
            held[e, holder, whole[k, MODEL] * stages + m] = True
    return broken


@njit(inline="always")
def _price(e, k, rule, whole, number, block, calc, link, nodes, per_task, block_cost, placement):
    """Price the nodes that were chosen for task k; return how many hard deadlines they miss."""
    before, late, last = 0, 0, whole[k, BLOCKS] - 1
    reward, local, edge, energy, signal = 0.0, 0.0, 0.0, 0.0, 0.0
    for m in range(block_cost.shape[1]):
        if m > last:
            placement[e, m], block_cost[e, m] = -1, 0.0
            continue
        j = nodes[m]
        delay, joules = _step(
            rule, m, before, j, block[k, m, BITS], calc, link, block[k, m, DEVICE_J], number[k, SEND_W],
            number[k, HOP_W],
        )  # fmt: skip
        energy += joules
        local += delay if j == 0 else 0.0
        edge += delay if j > 0 else 0.0
        cost = delay
        if rule.beta > 0:
            penalty = rule.beta * max(delay - block[k, m, TAU], 0.0)
            cost += penalty
            signal += penalty if rule.hard else 0.0
        if rule.hard:
            late += delay > _slack(block[k, m, TAU])
        if m == last:
            back = _result(rule, j, link, number[k, RESULT_BITS])
            edge += back
            cost += back
        block_cost[e, m], placement[e, m] = cost, j
        reward -= cost
        before = j
    per_task[0, e], per_task[1, e], per_task[2, e] = reward, local, edge
    per_task[3, e], per_task[4, e] = energy, signal
    return late


@njit(cache=True, nogil=True)
def decide(t, rule, state, rows, actions, per_task, counts, block_cost, placement):
    """Decide task rows[e] of every episode e by actions[e]; nothing where rows[e] is negative.

    The last four are what `Outcome` is made of.
    """
    whole, number, block, server_s, send_lat, hop_s, hop_lat, slot_s, budget, memory, params = t
    _, load, bytes_used, held, spent = state
    calc, link, used, limit, most, need, ends, nodes = _scratch(block.shape[1], send_lat.shape[1] + 1)
    for e in range(len(rows)):
        k = rows[e]
        if k < 0:
            per_task[:, e], counts[:, e], block_cost[e], placement[e] = 0.0, 0, 0.0, -1
            continue
        site = whole[k, SITE]
        _view_links(k, site, whole, number, send_lat, hop_s, hop_lat, link)
        _view_work(k, whole, number, block, server_s, calc)
        if rule.capacity or rule.memory:
            _view_limits(
                e, k, site, rule, whole, load, bytes_used, held, slot_s, memory, params, used, limit, most,
                need,
            )  # fmt: skip
        repairs, forced = _walk(
            rule, e, k, whole[k, BLOCKS], actions, whole, number, block, calc, link, used, limit, most, need,
            ends, nodes,
        )  # fmt: skip
        broken = _keep(e, k, rule, whole, load, bytes_used, held, used, most, nodes)
        broken += _price(e, k, rule, whole, number, block, calc, link, nodes, per_task, block_cost, placement)
        if rule.energy:
            device, energy = whole[k, DEVICE], per_task[3, e]
            allowed, before = _slack(budget[site, device]), spent[e, device]
            broken += before <= allowed and before + energy > allowed
            spent[e, device] = before + energy
        counts[0, e], counts[1, e], counts[2, e] = broken, repairs, forced


@njit(cache=True, nogil=True)
def arrive(t, rule, state, rows):
    """Empty the servers and memories of every episode whose next task is in another slot."""
    for e in range(len(rows)):
        k = rows[e]
        if k >= 0 and t.whole[k, SLOT] != state.slot[e]:
            state.slot[e] = t.whole[k, SLOT]
            if rule.capacity:
                state.load[e] = 0.0
            if rule.memory:
                state.used[e] = 0.0
                state.held[e] = False


@njit(inline="always")
def _share(left, limit, top, raw):
    """Return what is left as a share of the limit, cut off at -1 and 2 as in `world.observation`."""
    if limit == INF:
        return top
    if raw:
        return left
    if limit > 0:
        return min(max(left / limit, -1.0), 2.0)
    return -1.0 if left < 0 else 0.0


@njit(cache=True, nogil=True)
def observe(t, rule, state, rows, static, at, out):
    """Write the observation of task rows[e] of every episode; zeros where rows[e] is negative."""
    servers = t.send_lat.shape[1]
    for e in range(len(rows)):
        k = rows[e]
        if k < 0:
            out[e] = 0.0
            continue
        for column in range(out.shape[1]):
            out[e, column] = static[k, column]
        site, device = t.whole[k, SITE], t.whole[k, DEVICE]
        if at.energy >= 0:
            limit = t.budget[site, device]
            out[e, at.energy] = _share(limit - state.spent[e, device], limit, at.energy_top, at.raw)
        if at.capacity >= 0:
            limit = t.slot_s[site] if rule.capacity else INF
            for n in range(servers):
                free = limit - state.load[e, n]
                out[e, at.capacity + n] = _share(free, limit, at.capacity_top, at.raw)
        if at.memory >= 0:
            for j in range(servers + 1):
                holder = j - 1 if j > 0 else servers + device
                limit = t.memory[site, holder]
                free = limit - state.used[e, holder]
                out[e, at.memory + j] = _share(free, limit, at.memory_top, at.raw)


@njit(cache=True, nogil=True)
def branch_masks(t, rule, state, rows, out):
    """Say which nodes each block can use at all, (E, M, N + 1), whatever the other blocks do.

    Behind the end, and where no task is left, only node 0. A block that fits nowhere may go wherever links
    lead.
    """
    whole, number, block, server_s, send_lat, hop_s, hop_lat, slot_s, _, memory, params = t
    _, load, bytes_used, held, _ = state
    stages, nodes = block.shape[1], send_lat.shape[1] + 1
    calc, link, used, limit, most, need, ends, _ = _scratch(stages, nodes)
    reach, further = np.ones(nodes, dtype=np.bool_), np.ones(nodes, dtype=np.bool_)
    for e in range(len(rows)):
        k = rows[e]
        blocks = whole[k, BLOCKS] if k >= 0 else 0
        for m in range(blocks, stages):
            for j in range(nodes):
                out[e, m, j] = j == 0
        if k < 0:
            continue
        site, gaps, tight = whole[k, SITE], whole[k, GAPS] != 0, rule.capacity or rule.memory
        if gaps:
            _view_links(k, site, whole, number, send_lat, hop_s, hop_lat, link)
            _endings(rule, blocks, link, ends)
        if tight:
            _view_work(k, whole, number, block, server_s, calc)
            _view_limits(
                e, k, site, rule, whole, load, bytes_used, held, slot_s, memory, params, used, limit, most,
                need,
            )  # fmt: skip
        for j in range(nodes):
            reach[j] = j == 0 or not gaps
        for m in range(blocks):
            if gaps:
                for j in range(nodes):
                    further[j] = False
                    for i in range(nodes):
                        further[j] |= reach[i] and _linked(gaps, m, i, j, link, ends)
                for j in range(nodes):
                    reach[j] = further[j]
            some = False
            for j in range(nodes):
                fits = not tight or _over(m, j, calc, used, limit, most, need) == 0.0
                out[e, m, j] = reach[j] and fits
                some |= reach[j] and fits
            for j in range(nodes):
                out[e, m, j] |= reach[j] and not some


@njit(cache=True, nogil=True)
def block_masks(t, rule, state, rows, m, chosen, out):
    """Say which nodes block m can use after the blocks before it went to chosen[e], (E, N + 1).

    What was chosen is repaired first, as deciding would. Where nothing is allowed, only the node that
    deciding would take; behind the end, only node 0.
    """
    whole, number, block, server_s, send_lat, hop_s, hop_lat, slot_s, _, memory, params = t
    _, load, bytes_used, held, _ = state
    calc, link, used, limit, most, need, ends, nodes = _scratch(block.shape[1], send_lat.shape[1] + 1)
    for e in range(len(rows)):
        k = rows[e]
        if k < 0 or m >= whole[k, BLOCKS]:
            for j in range(out.shape[1]):
                out[e, j] = j == 0
            continue
        site, gaps, tight = whole[k, SITE], whole[k, GAPS] != 0, rule.capacity or rule.memory
        if not gaps and not tight:
            out[e] = True
            continue
        _view_links(k, site, whole, number, send_lat, hop_s, hop_lat, link)
        _view_work(k, whole, number, block, server_s, calc)
        _view_limits(
            e, k, site, rule, whole, load, bytes_used, held, slot_s, memory, params, used, limit, most, need
        )  # fmt: skip
        _walk(rule, e, k, m, chosen, whole, number, block, calc, link, used, limit, most, need, ends, nodes)
        before, some = nodes[m - 1] if m > 0 else 0, False
        for j in range(out.shape[1]):
            fits = not tight or _over(m, j, calc, used, limit, most, need) == 0.0
            out[e, j] = fits and _linked(gaps, m, before, j, link, ends)
            some |= out[e, j]
        if not some:
            j = _instead(rule, k, m, before, whole, number, block, calc, link, used, limit, most, need, ends)
            out[e, j] = True


@njit(cache=True, nogil=True)
def step_costs(t, rule, rows, out):
    """Price every step of the tasks, (E, M, N + 1, N + 1) seconds from and to; inf where there is no link.

    Behind the end of shorter models 0 on the diagonal, inf elsewhere, as in `mecopt.trellis_arcs`.
    """
    whole, number, block, server_s, send_lat, hop_s, hop_lat, _, _, _, _ = t
    stages, nodes = block.shape[1], send_lat.shape[1] + 1
    calc, link, _, _, _, _, _, _ = _scratch(stages, nodes)
    for e in range(len(rows)):
        k = rows[e]
        blocks = whole[k, BLOCKS] if k >= 0 else 0
        if k >= 0:
            _view_links(k, whole[k, SITE], whole, number, send_lat, hop_s, hop_lat, link)
            _view_work(k, whole, number, block, server_s, calc)
        for m in range(stages):
            if m >= blocks:
                for i in range(nodes):
                    for j in range(nodes):
                        out[e, m, i, j] = 0.0 if i == j else INF
                continue
            bits, tau = block[k, m, BITS], block[k, m, TAU]
            for i in range(nodes):
                for j in range(nodes):
                    per_bit, move = link[PER_BIT, i, j], link[LATENCY, i, j]
                    trans = move + per_bit * bits if j > 0 or rule.return_transfer else 0.0
                    delay = calc[m, j] + (trans if i != j else 0.0)
                    over = delay - tau
                    late = rule.beta * over if over > 0.0 else 0.0
                    value = delay + late
                    out[e, m, i, j] = value if per_bit < INF and (m > 0 or i == 0) else INF
            if m == blocks - 1:
                for j in range(nodes):
                    back = _result(rule, j, link, number[k, RESULT_BITS])
                    for i in range(nodes):
                        out[e, m, i, j] += back
