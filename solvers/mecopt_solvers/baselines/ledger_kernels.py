"""Inner loops, compiled: tasks placed one after the other within what the ledger has left.

Arrays of tasks have a row for each task of `tasks`; the ledger's have one for each of the instance.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf

# How a block's nodes are ranked: by fixed numbers, by the load so far, or by the cost of the step.
STATIC, LOAD, STEP = 0, 1, 2


@njit(cache=True, nogil=True)
def book(ledger, k, m, node, work, energy):  # type: ignore[no-untyped-def]
    """Write down that task k runs block m on a node."""
    place, piece = ledger.place[k, node], ledger.piece[k, m]
    ledger.load[place] += work
    if ledger.held[place, piece] == 0:
        ledger.stored[place] += ledger.size[piece]
    ledger.held[place, piece] += 1
    ledger.spent[ledger.device[k]] += energy


@njit(cache=True, nogil=True)
def fits(ledger, k, m, node, work, energy):  # type: ignore[no-untyped-def]
    """Say whether block m of task k keeps to every limit on a node."""
    place, piece, device = ledger.place[k, node], ledger.piece[k, m], ledger.device[k]
    if ledger.load[place] + work > ledger.capacity[place]:
        return False
    if ledger.spent[device] + energy > ledger.budget[device]:
        return False
    return ledger.held[place, piece] > 0 or ledger.stored[place] + ledger.size[piece] <= ledger.memory[place]


@njit(cache=True, nogil=True)
def place_blocks(rule, score, banned, weight, energy, work, blocks, tasks, ledger, placement):  # type: ignore[no-untyped-def]
    """Place tasks block by block, each on the first allowed node of its own order; fills placement.

    Reads score (K, M, J), the order of `STATIC`, inf on nodes that the rule never takes by itself; and
    banned (K, M, J) or (0, 0, 0). A block without an allowed node goes where at least the step exists, else
    where no ban forbids it. Returns how many blocks were not placed on their first choice.
    """
    nodes, fallen = weight.shape[2], 0
    for r in range(len(tasks)):
        k, before = tasks[r], 0
        for m in range(blocks[r]):
            first, least, node, rank, value = -1, INF, -1, 6, INF
            for j in range(nodes):
                own = score[r, m, j] < INF
                step = weight[r, m, before, j]
                this = score[r, m, j]
                if rule == LOAD:
                    this = ledger.load[ledger.place[k, j]]
                elif rule == STEP:
                    this = step
                if own and this < least:
                    first, least = j, this
                if len(banned) > 0 and banned[r, m, j]:
                    continue
                this_rank = 2
                if step < INF:
                    this_rank = 0 if fits(ledger, k, m, j, work[r, m, j], energy[r, m, before, j]) else 1
                if not own:
                    this_rank += 3
                if this_rank < rank or (this_rank == rank and this < value):
                    node, rank, value = j, this_rank, this
            fallen += first >= 0 and node != first
            book(ledger, k, m, node, work[r, m, node], energy[r, m, before, node])
            placement[k, m] = node
            before = node
    return fallen


@njit(cache=True, nogil=True)
def place_cuts(value, cut, server, energy, work, blocks, tasks, fixed, ledger, placement):  # type: ignore[no-untyped-def]
    """Place tasks one after the other, each by its cheapest candidate that keeps to every limit.

    Candidate c runs the blocks before cut[c] on the device and the others on node server[c]; it costs
    value[k, c]. A task that is `fixed` stays where `placement` has it. Where nothing is within the limits the
    cheapest is taken. Returns how many tasks did not get their cheapest.
    """
    candidates, fallen = value.shape[1], 0
    for r in range(len(tasks)):
        k = tasks[r]
        if not fixed[r]:
            first, chosen, least = -1, -1, INF
            for c in range(candidates):
                if value[r, c] < INF and (first < 0 or value[r, c] < value[r, first]):
                    first = c
                if value[r, c] < least and _fits_all(
                    ledger, k, r, cut[c], server[c], energy, work, blocks[r]
                ):
                    chosen, least = c, value[r, c]
            if chosen < 0:
                chosen = first
            fallen += chosen != first
            for m in range(blocks[r]):
                placement[k, m] = 0 if m < cut[chosen] else server[chosen]
        before = 0
        for m in range(blocks[r]):
            node = placement[k, m]
            book(ledger, k, m, node, work[r, m, node], energy[r, m, before, node])
            before = node
    return fallen


@njit(cache=True, nogil=True)
def _fits_all(ledger, k, r, cut, server, energy, work, blocks):  # type: ignore[no-untyped-def]
    """Say whether a whole candidate of task k keeps to every limit."""
    device, before = ledger.device[k], 0
    spent, load = ledger.spent[device], ledger.load[ledger.place[k, server]]
    local, remote = ledger.stored[ledger.place[k, 0]], ledger.stored[ledger.place[k, server]]
    for m in range(blocks):
        node = 0 if m < cut else server
        spent += energy[r, m, before, node]
        piece = ledger.piece[k, m]
        new = 0.0 if ledger.held[ledger.place[k, node], piece] > 0 else ledger.size[piece]
        if node == 0:
            local += new
        else:
            remote += new
            load += work[r, m, node]
        before = node
    if spent > ledger.budget[device] or local > ledger.memory[ledger.place[k, 0]]:
        return False
    return cut >= blocks or (
        load <= ledger.capacity[ledger.place[k, server]] and remote <= ledger.memory[ledger.place[k, server]]
    )
