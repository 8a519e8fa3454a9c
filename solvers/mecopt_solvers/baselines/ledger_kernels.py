"""Inner loops, compiled: tasks placed one after the other within what the ledger has left.

Arrays of tasks have a row for each task of `tasks`; the ledger's have one for each of the instance. Seconds
of calculation `work` are (K, M, J or 1, J), by the node before where that matters.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit
from mecopt.limits.sharing import FULLEST
from mecopt_solvers.baselines.ledger import AFFINE, UNSHARED

INF = np.inf

# How a block's nodes are ranked: by fixed numbers, by the load so far, or by the cost of the step.
STATIC, LOAD, STEP = 0, 1, 2


@njit(cache=True, nogil=True)
def _new_bytes(ledger, k, m, place):  # type: ignore[no-untyped-def]
    """Count the bytes that block m of task k adds to a place."""
    added = ledger.each[k, m]
    for layer in range(ledger.piece.shape[2]):
        piece = ledger.piece[k, m, layer]
        if piece >= 0 and ledger.held[place, piece] == 0:
            added += ledger.size[piece]
    return added


@njit(cache=True, nogil=True)
def _hold(ledger, k, m, place, sign):  # type: ignore[no-untyped-def]
    """Count block m of task k among those that hold its pieces, or (sign -1) no longer."""
    for layer in range(ledger.piece.shape[2]):
        piece = ledger.piece[k, m, layer]
        if piece >= 0:
            ledger.held[place, piece] += sign


@njit(cache=True, nogil=True)
def book(ledger, k, m, node, work, energy):  # type: ignore[no-untyped-def]
    """Write down that task k runs block m on a node."""
    place = ledger.place[k, node]
    ledger.load[place] += work
    ledger.stored[place] += _new_bytes(ledger, k, m, place)
    _hold(ledger, k, m, place, 1)
    ledger.spent[ledger.device[k]] += energy


@njit(cache=True, nogil=True)
def remember(ledger, k, kept):  # type: ignore[no-untyped-def]
    """Note, in kept (2 J + 1,), what is used of the places of task k before it is booked."""
    nodes = ledger.place.shape[1]
    for j in range(nodes):
        kept[j] = ledger.load[ledger.place[k, j]]
        kept[nodes + j] = ledger.stored[ledger.place[k, j]]
    kept[2 * nodes] = ledger.spent[ledger.device[k]]


@njit(cache=True, nogil=True)
def take_back(ledger, k, path, blocks, kept):  # type: ignore[no-untyped-def]
    """Undo the bookings of the first blocks of task k, to the digit."""
    nodes = ledger.place.shape[1]
    for m in range(blocks):
        _hold(ledger, k, m, ledger.place[k, path[m]], -1)
    for j in range(nodes):
        ledger.load[ledger.place[k, j]] = kept[j]
        ledger.stored[ledger.place[k, j]] = kept[nodes + j]
    ledger.spent[ledger.device[k]] = kept[2 * nodes]


@njit(cache=True, nogil=True)
def fits(ledger, k, m, node, work, energy):  # type: ignore[no-untyped-def]
    """Say whether block m of task k keeps to every limit that tasks share on a node."""
    place, device = ledger.place[k, node], ledger.device[k]
    if ledger.load[place] + work > ledger.capacity[place]:
        return False
    if ledger.spent[device] + energy > ledger.budget[device]:
        return False
    added = _new_bytes(ledger, k, m, place)
    return added == 0 or ledger.stored[place] + added <= ledger.memory[place]


@njit(cache=True, nogil=True)
def _alone(ledger, k, m, node, path, delay, r, before, passed):  # type: ignore[no-untyped-def]
    """Say whether block m of task k keeps to the limits of the task's own path on a node."""
    for e in range(len(passed)):
        if passed[e] + delay[e, r, m, before, node] > ledger.due[k, e]:
            return False
    if node >= ledger.once and m > 0 and node != before and ledger.once < 2:
        for b in range(m):
            if path[b] == node:
                return False
    return True


@njit(cache=True, nogil=True)
def longer(ledger, k, node, work, seconds):  # type: ignore[no-untyped-def]
    """Return the objective that load adds to calculations of task k, of so many seconds, on a node.

    `work` seconds are booked on top of what is booked there already.
    """
    if ledger.curve == UNSHARED or node == 0 or seconds <= 0.0:
        return 0.0
    load = (ledger.load[ledger.place[k, node]] + work) / ledger.slot_s
    if ledger.curve != AFFINE:
        load = min(load, FULLEST)
        load = load / (1.0 - load)
    return ledger.worth[k] * seconds * load


@njit(cache=True, nogil=True)
def place_blocks(  # type: ignore[no-untyped-def]
    rule, score, banned, weight, energy, work, delay, blocks, tasks, ledger, placement
):
    """Place tasks block by block, each on the first allowed node of its own order; fills placement.

    Reads score (K, M, J), the order of `STATIC`, inf on nodes that the rule never takes by itself; banned
    (K, M, J) or (0, 0, 0); and delay (E, K, M, J, J), seconds that count to each deadline of the ledger.
    A block without an allowed node goes where at least the step exists, else where no ban forbids it. A task
    that may be left out is, where that is cheaper or a block has no allowed node. Returns how many blocks
    were not placed on their first choice.
    """
    nodes, fallen = weight.shape[2], 0
    kept, passed = np.empty(2 * nodes + 1), np.empty(delay.shape[0])
    for r in range(len(tasks)):
        k, before, cost, broken, astray = tasks[r], 0, 0.0, False, 0
        path = placement[k]
        remember(ledger, k, kept)
        passed[:] = 0.0
        for m in range(blocks[r]):
            first, least, node, rank, value = -1, INF, -1, 6, INF
            behind = min(before, work.shape[2] - 1)
            for j in range(nodes):
                own = score[r, m, j] < INF
                step, seconds = weight[r, m, before, j], work[r, m, behind, j]
                this = score[r, m, j]
                if rule == LOAD:
                    this = ledger.load[ledger.place[k, j]]
                elif rule == STEP:
                    this = step + longer(ledger, k, j, seconds, seconds)
                if own and this < least:
                    first, least = j, this
                if len(banned) > 0 and banned[r, m, j]:
                    continue
                this_rank = 2
                if step < INF:
                    fine = fits(ledger, k, m, j, seconds, energy[r, m, before, j])
                    fine = fine and _alone(ledger, k, m, j, path, delay, r, before, passed)
                    this_rank = 0 if fine else 1
                if not own:
                    this_rank += 3
                if this_rank < rank or (this_rank == rank and this < value):
                    node, rank, value = j, this_rank, this
            astray += first >= 0 and node != first
            broken = broken or rank % 3 > 0
            seconds = work[r, m, behind, node]
            cost += weight[r, m, before, node] + longer(ledger, k, node, seconds, seconds)
            book(ledger, k, m, node, seconds, energy[r, m, before, node])
            for e in range(len(passed)):
                passed[e] += delay[e, r, m, before, node]
            path[m] = node
            before = node
        if ledger.drop[k] < INF and (broken or ledger.drop[k] < cost):
            take_back(ledger, k, path, blocks[r], kept)
            path[:] = -1
        else:
            fallen += astray
    return fallen


@njit(cache=True, nogil=True)
def place_cuts(value, cut, server, energy, work, blocks, tasks, fixed, ledger, placement):  # type: ignore[no-untyped-def]
    """Place tasks one after the other, each by its cheapest candidate that keeps to every limit.

    Candidate c runs the blocks before cut[c] on the device and the others on node server[c]; it costs
    value[k, c], and what the load makes of that. A task that is `fixed` stays where `placement` has it. Where
    nothing is within the limits the cheapest is taken, unless the task may be left out. Returns how many
    tasks did not get their cheapest.
    """
    candidates, fallen = value.shape[1], 0
    for r in range(len(tasks)):
        k = tasks[r]
        path = placement[k]
        if not fixed[r]:
            first, chosen, least = -1, -1, ledger.drop[k]
            for c in range(candidates):
                if value[r, c] < INF and (first < 0 or value[r, c] < value[r, first]):
                    first = c
                if value[r, c] < least or (value[r, c] == least and chosen < 0 and least < INF):
                    price = value[r, c] + _try(ledger, k, r, cut[c], server[c], energy, work, blocks[r])
                    if price < least or (price == least and chosen < 0 and price < INF):
                        chosen, least = c, price
            if chosen < 0 and ledger.drop[k] < INF:
                path[:] = -1
                continue
            if chosen < 0:
                chosen = first
            fallen += chosen != first
            _lay(path, cut[chosen], server[chosen], blocks[r])
        if blocks[r] > 0 and path[0] >= 0:
            _book_all(ledger, k, r, path, energy, work, blocks[r])
    return fallen


@njit(cache=True, nogil=True)
def _lay(path, cut, server, blocks):  # type: ignore[no-untyped-def]
    """Fill the path of a candidate."""
    for m in range(blocks):
        path[m] = 0 if m < cut else server


@njit(cache=True, nogil=True)
def _book_all(ledger, k, r, path, energy, work, blocks):  # type: ignore[no-untyped-def]
    """Write down a whole task."""
    before = 0
    for m in range(blocks):
        node = path[m]
        seconds = work[r, m, min(before, work.shape[2] - 1), node]
        book(ledger, k, m, node, seconds, energy[r, m, before, node])
        before = node


@njit(cache=True, nogil=True)
def _try(ledger, k, r, cut, server, energy, work, blocks):  # type: ignore[no-untyped-def]
    """Return what load adds to the cost of a whole candidate of task k, inf where it breaks a limit."""
    device, near, far = ledger.device[k], ledger.place[k, 0], ledger.place[k, server]
    spent, here, there, own, before = ledger.spent[device], ledger.load[near], ledger.load[far], 0.0, 0
    for m in range(blocks):
        node = 0 if m < cut else server
        seconds = work[r, m, min(before, work.shape[2] - 1), node]
        spent += energy[r, m, before, node]
        if node > 0:
            there += seconds
            own += seconds
        else:
            here += seconds
        before = node
    if spent > ledger.budget[device] or (cut > 0 and here > ledger.capacity[near]):
        return INF
    if cut < blocks and there > ledger.capacity[far]:
        return INF
    if min(ledger.memory[near], ledger.memory[far]) < INF and not _stores(ledger, k, cut, server, blocks):
        return INF
    return longer(ledger, k, server, own, own)


@njit(cache=True, nogil=True)
def _stores(ledger, k, cut, server, blocks):  # type: ignore[no-untyped-def]
    """Say whether both nodes of a candidate have the memory for it."""
    near, far, done = ledger.place[k, 0], ledger.place[k, server], 0
    here, there = ledger.stored[near], ledger.stored[far]
    while done < blocks:
        place = near if done < cut else far
        added = _new_bytes(ledger, k, done, place)
        if done < cut:
            here += added
        else:
            there += added
        if added > 0 and (here if done < cut else there) > ledger.memory[place]:
            break
        _hold(ledger, k, done, place, 1)  # what one block has brought the next need not bring again
        done += 1
    for m in range(done):
        _hold(ledger, k, m, near if m < cut else far, -1)
    return done == blocks
