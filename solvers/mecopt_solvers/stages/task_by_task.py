"""The method: the shortest path of every task, and the programme where that breaks a limit of its own."""

from __future__ import annotations

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.entities import OneRun
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.tolerances import slack

SAFE = 1e-12  # the bound is lowered by this fraction: rounding of sums


def solve(instance: Instance, run: Run) -> None:
    """Solve every task by itself."""
    if instance.rules.objective.period:
        _periods(instance, run)
    else:
        _sums(instance, run)


def _sums(instance: Instance, run: Run) -> None:
    """Minimise the sum of what tasks cost: free optima first, the programme for those that break a limit."""
    left = run.free_optimum()
    if left is None:
        return
    paths, judged = left
    value, placement = paths.value.copy(), paths.placement.copy()
    most = _most_delay(instance)
    for k in np.flatnonzero(limits.strained(judged)).tolist():
        run.keep_time()
        value[k], placement[k] = _quickest(instance, run, k, most[k])
        if np.isinf(value[k]):
            run.infeasible([limits.nothing_fits(instance, f"every way of task {k} was looked at")])
            return
        run.improve_bound(float(value.sum()) * (1.0 - SAFE))
    run.found(placement, objective=float(value.sum()))


def _quickest(instance: Instance, run: Run, k: int, most: float) -> tuple[float, Ints]:
    """Return the least cost of a task, inf where it cannot be placed, and its row of the placement."""
    row = np.full(instance.max_blocks, -1)
    value = np.inf
    if instance.rules.one_run is not OneRun.NONE:  # else its quickest path is too late
        from mecopt_solvers.stages import programme  # imports numba
        from mecopt_solvers.stages.chain import chain_of

        chain = chain_of(instance, run.costs, k, run.node_cost)
        path = programme.shortest(chain, chain.cost, run.keep_time)
        if path is not None and (found := programme.figures(chain, path)).delay_s <= most:
            value, row[: len(path)] = found.value, path
    left_out = np.inf if run.costs.drop_cost is None else float(run.costs.drop_cost[k])
    return (left_out, np.full_like(row, -1)) if left_out < value else (value, row)


def _periods(instance: Instance, run: Run) -> None:
    """Minimise the period of the one task of every slot."""
    from mecopt_solvers.stages import programme
    from mecopt_solvers.stages.chain import chain_of

    if run.free_paths() is None:
        return
    placement = np.full((instance.task_count, instance.max_blocks), -1)
    total, most = 0.0, _most_delay(instance)
    for k in range(instance.task_count):
        run.keep_time()
        chain = chain_of(instance, run.costs, k, run.node_cost)
        path = programme.least_period(chain, run.keep_time)
        if path is not None and programme.figures(chain, path).delay_s > most[k]:
            ways = programme.front(chain, run.keep_time)
            path = next((way for found, way in reversed(ways) if found.delay_s <= most[k]), None)
        if path is None:
            run.infeasible([limits.nothing_fits(instance, f"every way of task {k} was looked at")])
            return
        placement[k, : len(path)] = path
        total += programme.figures(chain, path).period_s
        run.improve_bound(total * (1.0 - SAFE))
    run.found(placement, objective=total)


def _most_delay(instance: Instance) -> Floats:
    """Return the longest delay of every task that still counts as within its end-to-end deadline, (K,)."""
    if not limits.TOTAL.on(instance):
        return np.full(instance.task_count, np.inf)
    return slack(instance.tasks.max_total_delay_s)
