"""`pareto`: plans that no other plan beats in delay, energy and price."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mecopt import features
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import Coupling, Deadline, Objective
from mecopt.errors import InputError, shown
from mecopt.features import OF_STEPS, Feature, forbidden
from mecopt.instance import Instance
from mecopt.own import method_of
from mecopt.scalars import number, whole
from mecopt.sources import instance_of
from mecopt.tolerances import slack
from mecopt.what_if.envelopes import Lines, Pieces, envelopes
from mecopt.what_if.front import FEW, Front
from mecopt.what_if.price_list import AXES, PERIOD, PlanPrices, figures, prices
from mecopt.what_if.refusals import InfeasibleError, check_takes
from mecopt.what_if.sweeping import POINTS, alone
from mecopt.what_if.undominated import Plans, of_task, supported, together

LABELS = 3_000_000  # labels of a task, or sums of plans, that are held at most
TAKES = (OF_STEPS - {Feature.WEIGHT}) | {Feature.PERIOD, Feature.TOTAL_DEADLINE}
SOLVED = frozenset({Feature.ONE_RUN, Feature.SOFT_END, Feature.STATE})  # weight by weight


def pareto(
    instance: Instance | str | os.PathLike[str],
    axes: Sequence[str] | None = None,
    *,
    task: int | None = None,
    price_per_s: float | Mapping[str, float] | None = None,
    price_per_bit: float | Mapping[str, float] | None = None,
    points: int = POINTS,
    method: Any = "auto",
    time_limit_s: float = 10.0,
    seed: int = 0,
    threads: int = 1,
) -> Front:
    """Find the plans that no other plan beats in delay, energy and price.

    Parameters
    ----------
    instance : Instance, str or path
        Or what `load` takes. Its objective does not count, but whose joules it counts (``of``) does.
    axes : sequence of str, optional
        Two or three of ``delay``, ``energy`` and ``price``; by default the first two, and the third where
        there are prices. Or ``delay`` and ``period``, the sum of the slots' periods.
    task : int, optional
        This task alone.
    price_per_s : float or mapping, optional
        Money for a second of calculation on a server; one for all, or by their names.
    price_per_bit : float or mapping, optional
        Money for a bit over a link; one for all, or by the name of the device's link's server, and ``wired``.
    points : int
        For how many weights of delay and energy plans are looked for where something joins the tasks.
    method, time_limit_s, seed, threads
        As for `solve`, for each of these weights.

    Returns
    -------
    Front
        Up to 12 tasks: all such plans, by labels through the trellis, where they are not too many. Else those
        that are the least for some weights of two axes, exactly, and what that proves of all others. Under
        couplings, ``one_run``, and deadlines that more than single steps decide: the plans that `solve` finds
        for some weights of delay and energy, and what its bounds prove of all others. With the period
        the front is exact for one task of few placements, or of one stretch a node where a method for that
        is installed; else plans and a proved gap.

    Raises
    ------
    CouplingError, InputError
        If the instance has weights of tasks or drop costs, or beside prices or the period couplings; or three
        axes for tasks that have too many plans.
    MecoptError
        If some task has no feasible placement, or none was found in time.

    Examples
    --------
    >>> import mecopt
    >>> front = mecopt.pareto("tiny_physical", task=0)
    >>> front.exact
    True
    """
    instance = instance_of(instance)
    if task is not None:
        instance = alone(instance, whole("task", task, 0))
    if axes is not None and PERIOD in (axes := _texts(axes)):
        return _with_period(instance, axes)
    check_takes("pareto", instance, TAKES | SOLVED, frozenset(Coupling))
    paid = prices(instance, price_per_s, price_per_bit)
    chosen = _axes(axes, paid)
    if "energy" in chosen:
        _check_joules(instance)
    hard = instance.rules.deadline is Deadline.HARD
    phased = hard and instance.tasks.given("max_phase_delay_s") is not None
    options = {"method": method_of(method), "time_limit_s": number("time_limit_s", time_limit_s)}
    options |= {"seed": whole("seed", seed, 0), "threads": whole("threads", threads, 1)}
    count = whole("points", points, 2, 10_000)
    if phased or instance.rules.couplings or features.of(instance) & SOLVED:
        return _weighed(instance, chosen, paid, count, options)
    of = instance.rules.objective.of
    weighed = instance.replace(rules=replace(instance.rules, objective=Objective(1.0, 1.0, of)))
    costs, node_cost = chain_costs(weighed), forbidden(instance)
    every = np.arange(instance.task_count)
    if len(every) <= FEW:
        front = _labelled(instance, chosen, costs, node_cost, paid, every)
        if front is not None:
            return front
    if hard and instance.tasks.given("max_total_delay_s") is not None:
        return _weighed(instance, chosen, paid, count, options)
    if len(chosen) > 2:
        raise InputError(
            f"pareto takes three axes of up to {FEW} tasks with not too many plans, expected two axes, or "
            "one --task"
        )
    return _hull(instance, chosen, costs, node_cost, paid, every)


def _weighed(
    instance: Instance, axes: tuple[str, ...], paid: PlanPrices, points: int, options: dict[str, Any]
) -> Front:
    """Find plans of little delay and little energy where shortest paths are not enough."""
    from mecopt.what_if.weighted_fronts import weighted_plans

    if axes != AXES[:2]:
        raise InputError(
            f"axes: {shown(','.join(axes))}, expected delay,energy where couplings, one_run or end-to-end "
            "deadlines say which plans there are"
        )
    figures, placements, gaps = weighted_plans(instance, points, options).front()
    return Front(instance, axes, figures, False, None, gaps, paid, lambda point: placements[point].copy())


def _texts(axes: Sequence[str]) -> tuple[str, ...]:
    return tuple(axes.split(",") if isinstance(axes, str) else axes)


def _with_period(instance: Instance, axes: tuple[str, ...]) -> Front:
    """Find plans of little delay and little period."""
    from mecopt.what_if.periods import period_front

    if axes != ("delay", PERIOD):
        raise InputError(f"axes: {shown(','.join(axes))}, expected delay,period where the period is one")
    one = frozenset({Feature.ONE_RUN}) if instance.task_count == 1 else frozenset()
    check_takes("pareto with the period", instance, (TAKES - {Feature.TOTAL_DEADLINE}) | one)
    if instance.rules.deadline is Deadline.SOFT:
        raise InputError("pareto with the period does not take soft deadlines, expected hard ones or none")
    found = period_front(instance)
    if found is None:
        raise InfeasibleError("no feasible placement was found (see mecopt explain)")
    paid = prices(instance, None, None)
    return Front(
        instance,
        axes,
        found.figures,
        found.exact,
        None,
        found.gaps,
        paid,
        lambda point: found.placement[point],
    )


def _axes(axes: Sequence[str] | None, paid: PlanPrices) -> tuple[str, ...]:
    if axes is None:
        return AXES if paid.any else AXES[:2]
    chosen = _texts(axes)
    for axis in chosen:
        if axis not in AXES:
            raise InputError(f"axes: {shown(axis)}, expected two or three of {', '.join(AXES)}")
    if len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise InputError(f"axes: {shown(','.join(chosen))}, expected two or three different ones")
    if "price" in chosen and not paid.any:
        raise InputError("axes: price without prices, expected price_per_s or price_per_bit above 0")
    return chosen


def _check_joules(instance: Instance) -> None:
    for d, device in enumerate(instance.devices):
        if device.cycles_per_s is None and device.compute_power_w is None:
            raise InputError(
                f"devices[{d}]: {shown(device.name)} has neither cycles_per_s nor compute_power_w, expected "
                "one of them where energy counts"
            )


def _labelled(
    instance: Instance,
    axes: tuple[str, ...],
    costs: ChainCosts,
    node_cost: Floats | None,
    paid: PlanPrices,
    tasks: Ints,
) -> Front | None:
    """Find all undominated plans; None where they are too many."""
    steps = np.stack([figures(axis, costs, tasks, node_cost, paid) for axis in axes])
    due = instance.tasks.max_total_delay_s
    limited = instance.rules.deadline is Deadline.HARD and np.isfinite(due).any()
    if limited and "delay" not in axes:
        return None
    parts: list[Plans] = []
    for k in tasks.tolist():
        found = of_task(steps[:, k], int(costs.blocks[k]), LABELS)
        if found is None:
            return None
        if limited:  # a plan that is beaten takes no less time
            fits = found.figures[:, axes.index("delay")] <= slack(float(due[k]))
            found = Plans(found.figures[fits], found.nodes[fits])
        if not len(found.figures):
            raise InfeasibleError(f"tasks[{k}]: no placement is feasible (see mecopt explain)")
        parts.append(found)
    whole_front = together(parts, LABELS)
    if whole_front is None:
        return None

    def plan(point: int) -> Ints:
        placement = np.full((len(parts), instance.max_blocks), -1, dtype=np.int64)
        for k, part in enumerate(parts):
            nodes = part.nodes[whole_front.nodes[point, k]]
            placement[k, : len(nodes)] = nodes
        return placement

    corners = supported(whole_front.figures) if len(axes) == 2 else None
    return Front(
        instance, axes, whole_front.figures, True, corners, np.zeros(len(whole_front.figures)), paid, plan
    )


def _hull(
    instance: Instance,
    axes: tuple[str, ...],
    costs: ChainCosts,
    node_cost: Floats | None,
    paid: PlanPrices,
    tasks: Ints,
) -> Front:
    """Find the plans that are the least for some weights: envelopes over the weight of the second axis."""
    some = tasks[: min(len(tasks), 64)]
    scale = []
    for axis in axes:
        each = figures(axis, costs, some, node_cost, paid)
        used = each[np.isfinite(each) & (each > 0)]
        scale.append(float(used.mean()) if used.size else 1.0)

    def lines(chunk: Ints) -> Lines:
        first, second = (
            figures(axis, costs, chunk, node_cost, paid) / by for axis, by in zip(axes, scale, strict=True)
        )
        shut = np.isinf(first)
        change = np.where(shut, 0.0, second) - np.where(shut, 0.0, first)
        return Lines.of(first, change, worth=np.zeros(len(chunk)))

    pieces = envelopes(lines, replace(costs, drop_cost=None), tasks, 0.0, 1.0)
    first = pieces.first
    if len(first) < len(tasks):
        lost = sorted(set(tasks.tolist()) - set(pieces.task.tolist()))[0]
        raise InfeasibleError(f"tasks[{lost}]: no placement is feasible (see mecopt explain)")
    own = np.column_stack([pieces.constant * scale[0], (pieces.constant + pieces.slope) * scale[1]])
    later = np.ones(len(pieces.task), dtype=bool)
    later[first] = False
    moves = np.flatnonzero(later)
    order = moves[np.argsort(pieces.low[moves], kind="stable")]
    steps = own[order] - own[order - 1]
    points = np.concatenate([own[first].sum(axis=0, keepdims=True), steps]).cumsum(axis=0)
    points[points < 1e-12 * points.max(axis=0)] = 0.0  # sums that end in nothing, but for rounding
    real = np.ones(len(points), dtype=bool)
    real[:-1] = (np.abs(np.diff(points, axis=0)) > 1e-12 * np.abs(points[:-1])).all(axis=1)
    at = np.flatnonzero(real)
    points = points[at]
    rises = np.diff(points[:, 0]) / np.maximum(points[:-1, 0], 1e-300)
    gaps = np.concatenate([[0.0], rises])
    return Front(
        instance, axes, points, len(points) == 1, np.ones(len(at), dtype=bool), gaps, paid,
        lambda point: _chosen(pieces, order[: at[point]]),
    )  # fmt: skip


def _chosen(pieces: Pieces, moved: Ints) -> Ints:
    """Return the placement after some of the moves from a task's piece to its next."""
    now = pieces.first.copy()
    row = np.searchsorted(pieces.task[now], pieces.task[moved])
    np.maximum.at(now, row, moved)
    placement: Ints = pieces.placement[now]
    return placement
