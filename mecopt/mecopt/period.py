"""A lower bound on the period: shortest paths by busy seconds, resources weighed.

For weights u >= 0 of sum 1 over a slot's resources, the busiest of them is busy for at least the weighed
mean, and that is at least the sum of every task's shortest path in busy seconds times u. The weights are
sought by multiplicative updates towards the resources that shortest paths keep busy; any weights are valid.
"""

from __future__ import annotations

import numpy as np

from mecopt import busy
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.trellis_arcs import build_arcs, shortest

ROUNDS = 60
STEP = 0.5  # of the first update, falling with the square root of the round
SAFE = 1e-12  # fraction for rounding


def period_bound(
    instance: Instance, costs: ChainCosts, node_cost: Floats | None = None, rounds: int = ROUNDS
) -> float:
    """Return a lower bound on the sum of the slots' periods, in seconds; 0 where some task has no path."""
    arcs = build_arcs(costs, node_cost=node_cost)
    real = np.arange(arcs.weight.shape[1]) < arcs.blocks[:, None]
    k, m, i, j = np.nonzero(arcs.allowed & real[:, :, None, None])
    row, step, seconds = busy.entries(instance, costs, k, m, i, j)
    names, at = np.unique(row, return_inverse=True)
    slot_of_row, slot = np.unique(names // busy.resources(instance), return_inverse=True)
    weight = np.ones(len(names)) / np.bincount(slot)[slot]
    task_slot = np.searchsorted(slot_of_row, instance.tasks.slot)
    best = np.zeros(len(slot_of_row))
    for n in range(rounds):
        value, load = _round(
            arcs.weight, arcs.blocks, (k, m, i, j), step, seconds, weight[at], at, len(names)
        )
        if np.isinf(value).any():
            return 0.0
        best = np.maximum(best, np.bincount(task_slot, value, len(best)))
        busiest = np.zeros(len(best))
        np.maximum.at(busiest, slot, load)
        if not busiest.any():
            break
        share = load / np.where(busiest > 0, busiest, 1.0)[slot]
        weight = weight * np.exp(STEP / np.sqrt(n + 1.0) * share)
        weight /= np.bincount(slot, weight)[slot]
    return float(best.sum() * (1.0 - SAFE))


def _round(
    like: Floats,
    blocks: Ints,
    arcs: tuple[Ints, Ints, Ints, Ints],
    step: Ints,
    seconds: Floats,
    worth: Floats,
    at: Ints,
    rows: int,
) -> tuple[Floats, Floats]:
    """Return every task's shortest path in weighed seconds, and how busy these paths keep each resource."""
    k, m, i, j = arcs
    weight = np.where(np.isfinite(like), 0.0, np.inf)
    weight[arcs] = np.bincount(step, seconds * worth, len(k))
    value, path = shortest(weight, blocks)
    if np.isinf(value).any():
        return value, np.zeros(rows)
    before = np.where(m > 0, path[k, np.maximum(m - 1, 0)], 0)
    chosen = (path[k, m] == j) & (before == i)
    used = chosen[step]
    return value, np.bincount(at[used], seconds[used], rows).astype(np.float64, copy=False)
