"""Make an instance smaller before anything is built: arcs that no optimum uses go, weights become excesses.

Every path of a task costs its best path's weight plus the reduced weights of its arcs, all of them >= 0. So a
model in reduced weights has the trellis relaxation as a constant, small numbers, and an arc whose cheapest
path is above a known objective can be left out.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.limits import Limit, LinearLimit
from mecopt.tolerances import JUST_ABOVE
from mecopt.trellis_arcs import Arcs, build_arcs
from mecopt_solvers.overload import overloads

LARGEST_EXCESS = 1e-9  # arcs this much (relative to the objective) above the best known one are kept


def most(limit: Limit, instance: Instance, rows: Ints) -> Floats:
    """Return the right-hand sides of rows as the models see them, inf = none.

    They are wider than the judge's by rounding, so that nothing feasible is ever cut off.
    """
    return limit.most(instance, rows) * JUST_ABOVE


@dataclass(frozen=True, eq=False)
class Reduced:
    """An instance's trellises in reduced weights; K tasks, M blocks, J = N + 1 nodes."""

    arcs: Arcs  # weight: objective above the task's best, inf = cannot be in an optimum
    offset: float  # seconds, sum of the best paths: a lower bound on the optimum
    best: Floats  # (K,) objective of every task's best path, or of leaving it out
    drop: Floats  # (K,) objective of leaving a task out above its best; inf = never
    reasons: tuple[dict[str, Any], ...] = ()  # why some task has no path, or a budget cannot hold

    def within(self, upper: float) -> Reduced:
        """Leave out the arcs that are only on paths of an objective above `upper`."""
        room = upper - self.offset + LARGEST_EXCESS * abs(upper)
        through = _forward(self.arcs.weight)[:, :, :, None] + self.arcs.weight
        weight = np.where(through > room, np.inf, self.arcs.weight)
        drop = np.where(self.drop > room, np.inf, self.drop)
        return dataclasses.replace(self, arcs=_with_weight(self.arcs, weight), drop=drop)


def reduce(instance: Instance, costs: ChainCosts, node_cost: Floats | None = None) -> Reduced:
    """Build the trellises, without what a coupling forbids one task on its own, in reduced weights.

    Parameters
    ----------
    instance : Instance
    costs : ChainCosts
    node_cost : array of shape (tasks, blocks, nodes), optional
        As in `mecopt.trellis.shortest_paths`.
    """
    arcs = build_arcs(costs, node_cost=node_cost)
    weight = arcs.weight.copy()
    for limit in limits.of(instance):
        room = most(limit, instance, limit.rows(instance, arcs.tasks))[:, None, None, :]
        weight[np.broadcast_to(limit.alone(arcs, instance) > room, weight.shape)] = np.inf
    behind = np.arange(weight.shape[1]) >= arcs.blocks[:, None]
    weight[behind] = arcs.weight[behind]
    reasons: list[dict[str, Any]] = []
    for linear in limits.linear(instance):
        if not linear.by_node:
            weight, more = within_rows(linear, instance, _with_weight(arcs, weight))
            reasons += more
    if not reasons:
        reasons = overloads(instance, _with_weight(arcs, weight))
    after = _backward(weight)
    best: Floats = after[:, 0, 0].copy()
    path = best.copy()
    if costs.drop_cost is not None:
        best = np.minimum(best, costs.drop_cost[arcs.tasks])
    stuck = np.isinf(best)
    if not reasons and stuck.any():  # a server too small for one block alone: by how much say all its steps
        reasons = overloads(instance, arcs) or [_stuck(instance, int(k)) for k in np.flatnonzero(stuck)]
    with np.errstate(invalid="ignore"):
        reduced = weight + after[:, 1:, None, :] - after[:, :-1, :, None]
        reduced[:, 0] += np.where(path > best, path - best, 0.0)[:, None, None]  # dearer than leaving it out
    weight = np.where(np.isnan(reduced) | np.isinf(reduced), np.inf, np.maximum(reduced, 0.0))
    weight = np.where(np.isinf(_forward(weight))[:, :, :, None], np.inf, weight)
    offset = float(best[~stuck].sum())
    drop = np.full(len(best), np.inf)
    if costs.drop_cost is not None:
        with np.errstate(invalid="ignore"):
            drop = np.where(stuck, np.inf, costs.drop_cost[arcs.tasks] - best)
    return Reduced(_with_weight(arcs, weight), offset, best, drop, tuple(reasons))


def within_rows(limit: LinearLimit, instance: Instance, arcs: Arcs) -> tuple[Floats, list[dict[str, Any]]]:
    """Forbid arcs whose least use, with the least of all other tasks of the row, is above the limit."""
    weight, row = arcs.weight, limit.rows(instance, arcs.tasks)[:, 0]
    rows, at = np.unique(row, return_inverse=True)
    given = most(limit, instance, rows)
    if np.isinf(given).all():
        return weight, []
    use = np.where(np.isfinite(weight), limit.use(arcs, instance), np.inf)
    after = _backward(use)
    least = after[:, 0, 0].copy()
    if arcs.costs.drop_cost is not None:  # what may be left out need not use anything
        least[np.isfinite(arcs.costs.drop_cost[arcs.tasks])] = 0.0
    spent = np.bincount(at, np.where(np.isinf(least), 0.0, least), len(rows))
    reasons = [
        limit.too_little(instance, int(rows[i]), float(spent[i])) for i in np.flatnonzero(spent > given)
    ]
    room = (given - spent)[at] + least
    room = room + (JUST_ABOVE - 1.0) * np.where(np.isfinite(room), np.abs(spent[at]), 0.0)
    through = _forward(use)[:, :, :, None] + use + after[:, 1:, None, :]
    return np.where(through > room[:, None, None, None], np.inf, weight), reasons


def _stuck(instance: Instance, k: int) -> dict[str, Any]:
    """Say that a task which the trellis can serve has no path within the couplings' limits."""
    names = sorted(limit.name for limit in limits.of(instance))
    return {
        "kind": names[0] if len(names) == 1 else "couplings",
        "where": {"task": k},
        "limit": None,
        "value": None,
        "message": f"task {k}: every placement of it breaks a limit of {' or '.join(names)} even on its own",
    }


def _with_weight(arcs: Arcs, weight: Floats) -> Arcs:
    return dataclasses.replace(arcs, weight=weight)


def _backward(weight: Floats) -> Floats:
    """Return the least sum from being on node i before block m to the end, (K, M + 1, J)."""
    tasks, stages, nodes, _ = weight.shape
    after = np.zeros((tasks, stages + 1, nodes))
    for m in range(stages - 1, -1, -1):
        after[:, m] = (weight[:, m] + after[:, m + 1, None, :]).min(axis=2)
    return after


def _forward(weight: Floats) -> Floats:
    """Return the least sum from the start to being on node i before block m, (K, M, J)."""
    tasks, stages, nodes, _ = weight.shape
    before = np.full((tasks, stages, nodes), np.inf)
    before[:, 0, 0] = 0.0
    for m in range(1, stages):
        before[:, m] = (before[:, m - 1, :, None] + weight[:, m - 1]).min(axis=1)
    return before
