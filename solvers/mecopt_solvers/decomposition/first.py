"""A first placement within the capacity of the servers, from numpy alone: there before anything is compiled.

Task after task takes its shortest path through what is left of the servers, once for each of a few prices on
their time: the dearer, the more room is left for the last tasks.
"""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.tolerances import JUST_BELOW, slack
from mecopt.trellis_arcs import Arcs, build_arcs

MOST_TASKS = 500  # some 0.1 CPU s
PRICES = (0.0, 0.25, 0.5, 1.0, 2.0)  # of a server's second, in those that it saves on average


def first_placement(instance: Instance, run: Run, free: Ints) -> Ints | None:
    """Return a placement within the capacity of every server, None where none is found quickly.

    Parameters
    ----------
    instance : Instance
    run : Run
    free : array of shape (tasks, longest model)
        The shortest paths without couplings.
    """
    if instance.task_count > MOST_TASKS:
        return None
    order = np.argsort(instance.tasks.slot, kind="stable")
    arcs = build_arcs(run.costs, order, run.node_cost)
    _, slot = np.unique(instance.tasks.slot[order], return_inverse=True)
    saved = _value(arcs, np.where(free[order] >= 0, 0, -1)) - _value(arcs, free[order])
    used = np.where(free[order] > 0, np.take_along_axis(arcs.work_s, _server(free[order]), 2)[:, :, 0], 0.0)
    rate = float(saved.sum()) / max(float(used.sum()), 1e-300)
    rate = rate if 0.0 < rate < np.inf else 0.0  # inf where a task must not run on its device
    best, least = None, np.inf
    for price in PRICES if rate else PRICES[:1]:
        path = _fill(arcs, slot, price * rate, float(slack(instance.slot_s)) * JUST_BELOW)
        value = np.inf if path is None else float(_value(arcs, path).sum())
        if value < least:
            best, least = path, value
    if best is None:
        return None
    placement = np.empty_like(best)
    placement[order] = best
    return placement


def _server(path: Ints) -> Ints:
    return np.maximum(path - 1, 0)[:, :, None]


def _value(arcs: Arcs, path: Ints) -> Floats:
    """Return what every task costs on its path, (K,) seconds."""
    value, before = np.zeros(len(path)), np.zeros(len(path), dtype=np.int64)
    rows = np.arange(len(path))
    for m in range(path.shape[1]):
        now = np.maximum(path[:, m], 0)
        value += np.where(path[:, m] >= 0, arcs.weight[rows, m, before, now], 0.0)
        before = now
    return value


def _fill(arcs: Arcs, slot: Ints, price: float, limit: float) -> Ints | None:
    """Place the tasks in their order; None when one finds no path."""
    every = arcs.work_s
    left = np.full((int(slot.max()) + 1, every.shape[2]), limit)
    paths = np.full(arcs.weight.shape[:2], -1)
    for k, blocks in enumerate(arcs.blocks.tolist()):
        work, room = every[k, :blocks], left[slot[k]]
        shut = work > room
        while True:
            extra = np.where(shut, np.inf, price * np.where(shut, 0.0, work))  # no 0 x inf
            path = _shortest(arcs.weight[k, :blocks], extra)
            if path is None:
                return None
            at = np.flatnonzero(path)
            takes = np.bincount(path[at] - 1, work[at, path[at] - 1], len(room))
            if (takes <= room).all():
                break
            shut |= takes > room  # each block fits, all together do not
        room -= takes
        paths[k, :blocks] = path
    return paths


def _shortest(weight: Floats, extra: Floats) -> Ints | None:
    """Return the shortest path of one task, weights (M, J, J) and prices of the servers (M, J - 1)."""
    value, came, nodes = weight[0, 0].copy(), [], np.arange(weight.shape[1])
    value[1:] += extra[0]
    for m in range(1, len(weight)):
        step = value[:, None] + weight[m]
        came.append(step.argmin(axis=0))
        value = step[came[-1], nodes]
        value[1:] += extra[m]
    node = int(value.argmin())
    if not np.isfinite(value[node]):
        return None
    path = [node]
    for before in reversed(came):
        path.append(int(before[path[-1]]))
    return np.array(path[::-1])
