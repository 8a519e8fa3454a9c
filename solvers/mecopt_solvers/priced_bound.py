"""What prices prove: the Lagrangian bound of budgets and full servers, at any prices.

A limit that tasks share is replaced by a price on its use, so that every task is a shortest path again. As
long as no price is negative, the sum of these paths less what the limits themselves are worth is a lower
bound on the optimum, whatever the prices are (Geoffrion, 1974). Good ones make it a good bound, so a rule or
a policy that works with prices has a certificate at the cost of one pass over the tasks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.errors import InputError
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.limits import LinearLimit
from mecopt.tolerances import JUST_ABOVE
from mecopt.trellis_arcs import Arcs, build_arcs, shortest

CHUNK = 4096  # tasks whose arcs are laid out at a time
ROUNDING = 2e-14  # of the sum of all terms of a bound


def priced_bound(
    instance: Instance, costs: ChainCosts, prices: Mapping[str, Floats], node_cost: Floats | None = None
) -> float:
    """Return the Lagrangian bound of an instance at some prices.

    Parameters
    ----------
    instance : Instance
    costs : ChainCosts
        The instance's.
    prices : mapping
        For the name of a limit whose uses add up ("energy", "capacity") what a unit of each of its rows
        costs: of energy (devices,), objective a joule; of capacity (slots * servers,), slot by slot,
        objective a second. Every other limit that tasks share is left out, memory too, which only lowers
        the bound.
    node_cost : array of shape (tasks, blocks, nodes), optional
        inf where the caller forbids a node.

    Returns
    -------
    float
        In the unit of the objective; inf where some task has no path at all.

    Raises
    ------
    InputError
        If a price is negative or no number, if a limit has none, or if the objective is no sum over tasks.
    """
    if instance.rules.objective.period:
        raise InputError("prices: they bound no period, expected an objective that is a sum over tasks")
    on = {limit.name: limit for limit in limits.linear(instance)}
    charged = []
    fixed = 0.0
    for name, price in prices.items():
        if name not in on:
            raise InputError(f"prices: of {name!r}, expected limits that add up: {', '.join(on) or 'none'}")
        kept, worth = _kept(instance, on[name], np.asarray(price, dtype=np.float64))
        charged.append((on[name], kept))
        fixed += worth
    value = size = 0.0
    for start in range(0, instance.task_count, CHUNK):
        tasks = np.arange(start, min(start + CHUNK, instance.task_count))
        arcs = build_arcs(costs, tasks, node_cost)
        found = shortest(_charged(instance, arcs, charged), arcs.blocks)[0]
        if costs.drop_cost is not None:
            found = np.minimum(found, costs.drop_cost[tasks])
        value += float(found.sum())
        size += float(np.abs(found).sum())
    if not np.isfinite(value):
        return float("inf")
    return value - fixed * JUST_ABOVE - ROUNDING * (size + fixed)  # terms that nearly cancel give way


def improve_by_prices(run: Run, prices: Mapping[str, Floats]) -> None:
    """Hand over the better of two bounds: that of the prices, and that without limits that tasks share."""
    paths = run.free_paths()
    if paths is None:
        return
    run.improve_bound(run.free_bound(paths))
    run.improve_bound(priced_bound(run.instance, run.costs, prices, run.node_cost))


def _kept(instance: Instance, limit: LinearLimit, price: Floats) -> tuple[Floats, float]:
    """Return the prices of rows that have a limit, 0 for the others, and what the limits are worth."""
    rows = np.arange(len(price))
    if price.ndim != 1 or (limit.rows(instance) >= len(rows)).any():
        raise InputError(f"prices: {limit.name} has {price.shape} of them, expected one a row")
    if not (np.isfinite(price).all() and (price >= 0).all()):
        raise InputError(f"prices: {limit.name} has one that is negative or no number")
    most = limit.most(instance, rows)
    kept = np.where(np.isfinite(most), price, 0.0)
    return kept, float(kept @ np.where(np.isfinite(most), most, 0.0))


def _charged(instance: Instance, arcs: Arcs, charged: list[tuple[LinearLimit, Floats]]) -> Floats:
    """Return what every step costs with its uses paid for, (K, M, J, J)."""
    weight = arcs.weight
    for limit, price in charged:
        rows: Ints = limit.rows(instance, arcs.tasks)
        unit = np.where(rows >= 0, price[np.maximum(rows, 0)], 0.0)[:, None, None, :]
        use = limit.alone(arcs, instance)
        weight = weight + np.where(unit > 0, unit * np.where(unit > 0, use, 0.0), 0.0)
    return weight
