"""Explanations of instances that use the wider model: what demands cost is found by solving again.

Duals price rows of a program. Here limits are also rules, lists of nodes and times that load lengthens, so
each demand is left out, or eased by a tenth, and the instance solved again by an exact method.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mecopt import busy, features, limits
from mecopt.arrays import Floats
from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.judge import Evaluation
from mecopt.limits.sharing import stretch
from mecopt.result import Result, Status
from mecopt.tolerances import OPTIMALITY_TOLERANCE, excess
from mecopt_solvers.enumeration import choices
from mecopt_solvers.explain.explanation import Busiest, Explanation, Infeasibility, Load
from mecopt_solvers.explain.forced import forced_together
from mecopt_solvers.explain.limits import deadlines, shared_limits
from mecopt_solvers.explain.paths import Alternative, check_count, tried
from mecopt_solvers.explain.resolved import Clock
from mecopt_solvers.explain.solved_again import Again, clash, values
from mecopt_solvers.explain.spending import spending

NO_PRICES = (
    "prices of one more unit: not worked out for {}; what each limit costs was found by solving again instead"
)
NO_RELAXATION = "the least relaxation: not worked out for {}"


def is_wider(instance: Instance) -> bool:
    """Say whether an instance asks for what prices and relaxations of the flow formulation do not know."""
    return bool(asked(instance))


def asked(instance: Instance) -> list[str]:
    """Name what an instance asks for beyond the first format."""
    names = [str(feature) for feature in features.of(instance)]
    names += [str(c) for c in instance.rules.couplings if c is Coupling.SHARING]
    return sorted(names)


def explain_again(
    found: Explanation,
    again: Again,
    node_cost: Floats | None,
    *,
    tasks: tuple[int, ...],
    best: int | None,
    pins: tuple[str, ...],
    bans: tuple[str, ...],
) -> Explanation:
    """Explain a placement, or the best that can be found.

    Parameters
    ----------
    found : Explanation
        With the placement as given, or with none.
    again : Again
    node_cost : array, optional
        As from `mecopt.pins.forbidden`: what the alternatives keep to.
    tasks, best, pins, bans
        As `mecopt_solvers.explain.explain` takes them.
    """
    instance, notes = found.instance, list[str]()
    names = ", ".join(asked(instance))
    try:
        result = again(instance)
    except InputError as error:
        notes.append(f"the optimum, and what limits cost: {error}")
        result = None
    if result is not None:
        found = _with(found, result)
        if result.status is Status.INFEASIBLE:
            notes.append(NO_RELAXATION.format(names))
            cannot = clash(instance, again, Clock(again.time_limit_s))
            found = replace(found, infeasibility=Infeasibility(reasons=result.reasons, clash=cannot))
        elif result.status is Status.OPTIMAL:
            dear = values(instance, result, again, Clock(again.time_limit_s), notes)
            found = replace(found, demand_values=tuple(dear))
        else:
            notes.append("what limits cost: not worked out, since the optimum is not proved")
    if found.evaluation is not None:
        found = _accounted(found, found.evaluation, tasks)
        if found.limits:
            notes.append(NO_PRICES.format(names))
    if best is not None:
        found = replace(found, alternatives=tuple(_alternatives(found, tasks, best, node_cost, notes)))
    if (pins or bans) and result is not None:
        found = _forced(found, result, again, pins, bans)
    return replace(found, notes=(*found.notes, *notes))


def _with(found: Explanation, result: Result) -> Explanation:
    """Put in what a solve found, and say what the placement is by its bound."""
    if found.source != "given":
        return replace(
            found,
            source=result.method,
            status=result.status.value,
            evaluation=result.evaluation,
            lower_bound=result.lower_bound,
        )
    objective, bound = found.objective, result.lower_bound
    if objective is None or bound is None:
        return replace(found, lower_bound=bound)
    bound = min(bound, objective)  # a relaxation's value is right up to rounding
    closed = excess(objective, bound) <= OPTIMALITY_TOLERANCE
    return replace(found, status="optimal" if closed else "feasible", lower_bound=bound)


def _accounted(found: Explanation, judged: Evaluation, tasks: tuple[int, ...]) -> Explanation:
    """Add where time and energy go, which limits bind, what load does and what is busiest."""
    return replace(
        found,
        spending=spending(judged, tasks),
        limits=tuple(shared_limits(judged)),
        deadlines=tuple(deadlines(judged)),
        loads=tuple(_loads(judged)),
        busiest=tuple(_busiest(judged)),
    )


def _loads(judged: Evaluation) -> list[Load]:
    """Return how full servers are that share their time, and what that costs; the fullest first."""
    instance = judged.instance
    if not limits.SHARING.on(instance) or instance.rules.sharing is None:
        return []
    rows, used = limits.SHARING.used(judged)
    longer = stretch(instance.rules.sharing, used)
    found = [
        Load(limits.SHARING.where(instance, row), load, factor if np.isfinite(factor) else None)
        for row, load, factor in zip(rows.tolist(), used.tolist(), longer.tolist(), strict=True)
    ]
    return sorted(found, key=lambda one: -one.load)


def _busiest(judged: Evaluation) -> list[Busiest]:
    """Return the resource that makes the period of every slot; the longest period first."""
    if not judged.instance.rules.objective.period:
        return []
    found = [
        Busiest(busy.name(judged.instance, row), seconds)
        for seconds, row in judged.periods.values()
        if np.isfinite(seconds)
    ]
    return sorted(found, key=lambda one: -one.busy_s)


def _alternatives(
    found: Explanation,
    tasks: tuple[int, ...],
    count: int,
    node_cost: Floats | None,
    notes: list[str],
) -> list[Alternative]:
    """List the best placements of tasks on their own, under their own limits, pins, bans and `allow`."""
    check_count(count)
    instance, listed = found.instance, list[Alternative]()
    if instance.rules.objective.period:
        notes.append(
            "the best placements of a task: the period is of all tasks together, not a sum over them"
        )
        return listed
    run = Run(instance, node_cost=node_cost)
    for k in tasks:
        try:
            own = choices(instance, run, k)
        except InputError as error:
            notes.append(f"the best placements of task {k}: {error}")
            continue
        blocks = int(instance.block_count[k])
        listed += tried(run.costs, k, own.cost[:count], own.paths[:count, :blocks], found.evaluation)
    return listed


def _forced(
    found: Explanation, free: Result, again: Again, pins: tuple[str, ...], bans: tuple[str, ...]
) -> Explanation:
    """Price pins and bans by a second solve; say what they cannot hold together with."""
    forced = forced_together(free, lambda pins, bans: again(found.instance, pins, bans), pins, bans)
    if forced.reasons and free.status is not Status.INFEASIBLE:
        cannot = clash(found.instance, again, Clock(again.time_limit_s), pins, bans)
        forced = replace(forced, clash=cannot)
    return replace(found, forced=forced)
