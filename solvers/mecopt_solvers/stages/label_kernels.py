"""The programme of `stage_kernels` with what adds up over all stretches: labels in place of single values.

A task may send and receive several times, and the device may run several stretches, so what the radio and the
device are busy for, and what the device holds, is known only at the end. Every state keeps the undominated
labels (value, uses). Arrays as in `stage_kernels`; ``use[q, i, j, m]`` is what the step adds to sum q,
``side[q]`` the most of it.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf


@njit(cache=True, nogil=True)
def _within(uses, side):  # type: ignore[no-untyped-def]
    for n in range(len(uses)):  # noqa: SIM110
        if uses[n] > side[n]:
            return False
    return True


@njit(cache=True, nogil=True)
def _insert(v, q, parent, first, start, end, value, uses, before, begun):  # type: ignore[no-untyped-def]
    """Put a label into the undominated ones from start to end; return the new end, -1 without room."""
    at = start
    while at < end:
        if v[at] <= value and _within(q[at], uses):
            return end
        if value <= v[at] and _within(uses, q[at]):
            end -= 1
            v[at], q[at], parent[at], first[at] = v[end], q[end], parent[end], first[end]
        else:
            at += 1
    if end == len(v):
        return -1
    v[end], q[end], parent[end], first[end] = value, uses, before, begun
    return end + 1


@njit(cache=True, nogil=True)
def _arrive(  # type: ignore[no-untyped-def]
    cost, use, side, bit, before, head, low, high, v, q, lo, hi, hv, hq, hp, hf, at
):
    """Fill the labels of stretches that begin on a node, those of block m from at[m] to at[m + 1]."""
    nodes, stages = cost.shape[0], cost.shape[2]
    end = 0
    for m in range(stages):
        at[m] = end
        if m < low or m > high:
            continue
        if m == 0 and before == 0 and cost[0, head, 0] < INF:
            uses = use[:, 0, head, 0].copy()
            if _within(uses, side):
                end = _insert(hv, hq, hp, hf, at[m], end, cost[0, head, 0], uses, -1, 0)
        for i in range(nodes):
            if i == head or (bit[i] != 0 and before & bit[i] == 0) or cost[i, head, m] == INF or m == 0:
                continue
            for label in range(lo[before, i, m], hi[before, i, m]):
                uses = q[label] + use[:, i, head, m]
                if _within(uses, side):
                    value = v[label] + cost[i, head, m]
                    end = _insert(hv, hq, hp, hf, at[m], end, value, uses, label, m)
                    if end < 0:
                        return -1
    at[stages] = end
    return end


@njit(cache=True, nogil=True)
def _run(cost, use, side, begin, stay, reach, head, most, low, hv, hq, at,  # type: ignore[no-untyped-def]
         v, q, parent, first, tail, lo, hi):  # fmt: skip
    """Append the labels of stretches on a node, by where they end; return the new tail, -1 without room."""
    stages = cost.shape[2]
    busy, added = np.empty(stages), np.zeros(stages)
    more = np.zeros((stages, len(side)))
    alive = np.zeros(stages, dtype=np.bool_)
    lo[0], hi[0] = tail, tail
    for end in range(1, stages + 1):
        n = end - 1
        lo[end] = tail
        for m in range(end):
            if m == n:
                alive[m] = at[m + 1] > at[m]
                busy[m] = begin[head, m]
            elif alive[m]:
                busy[m] += stay[head, n]
                more[m] += use[:, head, head, n]
                added[m] += cost[head, head, n]
            alive[m] = alive[m] and end <= reach[head, m] and busy[m] <= most and added[m] < INF
            if not alive[m] or end < low:
                continue
            for label in range(at[m], at[m + 1]):
                uses = hq[label] + more[m]
                if _within(uses, side):
                    value = hv[label] + added[m]
                    tail = _insert(v, q, parent, first, lo[end], tail, value, uses, label, m)
                    if tail < 0:
                        return -1
        hi[end] = tail
    return tail


@njit(cache=True, nogil=True)
def least(cost, use, side, begin, stay, reach, bit, low, high, begun, stop, most,  # type: ignore[no-untyped-def]
          v, q, parent, first, node, tail, lo, hi):  # fmt: skip
    """Fill labels and their places lo, hi (sets, J, M + 1) for some sets, from `tail` on.

    Returns how many labels there are, -1 where there is no room.
    """
    nodes, stages = cost.shape[0], cost.shape[2]
    hv, hq = np.empty(len(v)), np.empty(q.shape)
    hp, hf = np.empty(len(v), dtype=np.int64), np.empty(len(v), dtype=np.int64)
    at = np.empty(stages + 1, dtype=np.int64)
    for used in range(begun, stop):
        if low[used] > high[used]:
            continue
        for turn in range(nodes):
            head = turn + 1 if turn < nodes - 1 else 0  # the device last: it may come from this very set
            if bit[head] != 0 and used & bit[head] == 0:
                continue
            before = used ^ bit[head]
            count = _arrive(cost, use, side, bit, before, head, low[before], high[before], v, q, lo, hi,
                            hv, hq, hp, hf, at)  # fmt: skip
            if count < 0:
                return -1
            if count == 0:
                continue
            old = tail
            tail = _run(cost, use, side, begin, stay, reach, head, most, low[used], hv, hq, at,
                        v, q, parent, first, tail, lo[used, head], hi[used, head])  # fmt: skip
            if tail < 0:
                return -1
            for label in range(old, tail):
                parent[label] = hp[parent[label]]
                node[label] = head
    return tail
