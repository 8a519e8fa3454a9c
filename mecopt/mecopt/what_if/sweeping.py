"""`sweep`: the least objective as a function of one figure of an instance."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from mecopt import features
from mecopt.arrays import Ints
from mecopt.costs import chain_costs
from mecopt.errors import InputError, InstanceError, shown
from mecopt.features import OF_STEPS, Feature
from mecopt.instance import Instance
from mecopt.own import method_of
from mecopt.scalars import EXACT, number, scalar, whole
from mecopt.sources import instance_of
from mecopt.what_if.curves import Curve, CurvePoint
from mecopt.what_if.envelopes import envelopes
from mecopt.what_if.knobs import Knob, knob

ABOVE_0 = 1e-12  # least factor
LARGEST = 1e12
POINTS = 13
NARROW = 1e-3  # fraction: values that a target is looked for between are close enough


def sweep(
    instance: Instance | str | os.PathLike[str],
    over: str,
    low: float | None = None,
    high: float | None = None,
    *,
    points: int = POINTS,
    task: int | None = None,
    target: float | None = None,
    method: Any = "auto",
    time_limit_s: float = 10.0,
    gap: float | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Curve:
    """Turn one figure of an instance, and follow the least objective.

    Parameters
    ----------
    instance : Instance, str or path
        Or what `load` takes.
    over : str
        ``"rate"`` (all links between devices and servers, both ways), ``"rate:es1"`` (those of one server),
        ``"speed:es1"``, ``"speed:device"``, ``"deadline"`` and ``"energy"`` (budgets) are factors, 1 for the
        instance as it is; ``"servers"`` is how many of them, the first ones; ``"batch"`` that of every task.
    low, high : float, optional
        Range; by default 0.1 to 10, all numbers of servers, batches from 1 to 32. It may be one value.
    points : int
        At how many values the optimum is told, or looked for where the curve is not exact.
    task : int, optional
        This task alone.
    target : float, optional
        An objective; where the curve is not exact, more values are solved to tell where it is reached
        (`Curve.reach`).
    method, time_limit_s, gap, seed, threads
        As for `solve`, for each value where the curve is not exact.

    Returns
    -------
    Curve
        Exact where nothing joins the tasks and the figure is neither the number of servers nor the batch:
        then every task's optimum is a lower envelope of a few affine pieces (Eisner and Severance 1976).
        Else solved value by value; since more of a figure never hurts (a larger batch never helps), the
        bounds of one value hold for those on one side of it, and its plans for those on the other.

    Raises
    ------
    InputError
        If the instance lacks what is turned, or the range is upside down.

    Examples
    --------
    >>> import mecopt
    >>> curve = mecopt.sweep("alexnet_6es", "rate", 0.1, 10, task=0)
    >>> curve.exact, curve.reach(curve.at(1).objective)[0]
    (True, 1.0)
    """
    instance = instance_of(instance)
    if task is not None:
        instance = alone(instance, whole("task", task, 0))
    turned = knob(instance, over)
    bottom, top = _range(turned, low, high)
    count = whole("points", points, 2, 10_000)
    limit, seed, threads = (
        number("time_limit_s", time_limit_s),
        whole("seed", seed, 0),
        whole("threads", threads, 1),
    )
    if method != "auto":
        method = method_of(method)  # refused by name, also where it is not needed
    steps = None
    if _single(instance):
        costs = chain_costs(instance)
        steps = turned.lines(costs, features.forbidden(instance))
    if steps is not None:
        tasks = np.arange(instance.task_count)
        ends = sorted((turned.x_of(bottom), turned.x_of(top)))
        found = envelopes(steps, costs, tasks, ends[0], ends[1])
        return Curve(instance, over, bottom, top, True, turned, count, pieces=found)
    options = {"method": method, "time_limit_s": limit, "gap": gap, "seed": seed, "threads": threads}
    solved = [_solved(turned, value, options) for value in turned.values(bottom, top, count)]
    curve = _between(instance, over, bottom, top, turned, count, solved)
    while target is not None and (value := _closer(curve, target)) is not None:
        before = curve.reach(target)
        solved = sorted([*solved, _solved(turned, value, options)], key=lambda point: point.value)
        curve = _between(instance, over, bottom, top, turned, count, solved)
        if curve.reach(target) == before:  # that value is not decided in this time
            break
    return curve


def _between(
    instance: Instance, over: str, low: float, high: float, turned: Knob, count: int, solved: list[CurvePoint]
) -> Curve:
    """Return the curve that is known at some values."""
    told = _tightened(solved, turned.falls)
    everywhere = turned.whole and len(told) == int(high) - int(low) + 1
    exact_there = everywhere and all(p.status in ("optimal", "infeasible") for p in told)
    return Curve(instance, over, low, high, exact_there, turned, count, told)


def _closer(curve: Curve, target: float) -> float | None:
    """Return a value between the two that `Curve.reach` says of a target; None where none is left."""
    needed, enough = curve.reach(target)
    if needed is None or enough is None:
        return None
    low, high = sorted((needed, enough))
    if curve.knob.whole:
        known = {point.value for point in curve.points}
        middle = (low + high) / 2
        return next((n for n in (np.floor(middle), np.ceil(middle)) if low < high and n not in known), None)
    return float(np.sqrt(low * high)) if high > low * (1.0 + NARROW) else None


def alone(instance: Instance, task: int) -> Instance:
    """Return the instance with one of its tasks.

    Raises
    ------
    InputError
        If it does not have that task.
    """
    from mecopt.allowing import of_task

    if task >= instance.task_count:
        raise InputError(f"task: {task}, expected 0 to {instance.task_count - 1}")
    only: Ints = np.array([task])
    return instance.replace(tasks=instance.tasks.take(only), allow=of_task(instance, task))


def _single(instance: Instance) -> bool:
    """Say whether every task's optimum is a shortest path by itself."""
    return not instance.rules.couplings and features.of(instance) <= OF_STEPS | {Feature.DROP}


def _range(turned: Knob, low: float | None, high: float | None) -> tuple[float, float]:
    ends = []
    for name, given, usual in zip(("low", "high"), (low, high), turned.usual, strict=True):
        if given is None:
            ends.append(usual)
        elif turned.whole:
            ends.append(float(whole(name, given, 1, EXACT)))
        else:
            value = scalar(given)
            if value is None or not ABOVE_0 <= value <= LARGEST:
                expected = f"a finite number, {ABOVE_0:g} to {LARGEST:g}"
                raise InputError(f"{name}: {shown(given)}, expected {expected}")
            ends.append(float(value))
    if ends[0] > ends[1]:
        raise InputError(
            f"range: from {ends[0]:g} to {ends[1]:g} is upside down, expected the smaller end first"
        )
    if turned.name == "servers" and ends[1] > turned.usual[1]:
        raise InputError(f"high: {ends[1]:g} servers, expected at most the instance's {turned.usual[1]:g}")
    return ends[0], ends[1]


def _solved(turned: Knob, value: float, options: dict[str, Any]) -> CurvePoint:
    from mecopt.solving import solve

    try:
        changed = turned.at(value)
    except InstanceError:
        if turned.name != "servers" or not turned.instance.allow:
            raise
        return CurvePoint(value, None, np.inf, "infeasible")  # blocks that only the others may run
    result = solve(changed, **options)
    if result.stopped_by == "interrupt":
        raise KeyboardInterrupt
    bound = np.inf if result.status == "infeasible" else result.lower_bound
    return CurvePoint(value, result.objective, bound, result.status.value)


def _tightened(solved: list[CurvePoint], falls: bool) -> tuple[CurvePoint, ...]:
    """Let a bound count for all values on its far side, and a plan for all on its near side."""
    ordered = solved if falls else solved[::-1]  # from the dearest on
    best: list[float | None] = []
    for point in ordered:
        known = [v for v in (point.objective, *best[-1:]) if v is not None]
        best.append(min(known, default=None))
    bounds: list[float | None] = []
    for point in reversed(ordered):
        known = [v for v in (point.lower_bound, *bounds[-1:]) if v is not None]
        bounds.append(max(known, default=None))
    told = [
        _point(point, found, bound) for point, found, bound in zip(ordered, best, bounds[::-1], strict=True)
    ]
    return tuple(told if falls else told[::-1])


def _point(point: CurvePoint, found: float | None, bound: float | None) -> CurvePoint:
    from mecopt.result import gap as gap_of
    from mecopt.tolerances import OPTIMALITY_TOLERANCE

    if found is None:
        return CurvePoint(point.value, None, bound, "infeasible" if bound == np.inf else point.status)
    bound = None if bound is None else min(bound, found)
    proved = gap_of(found, bound)
    closed = proved is not None and proved <= OPTIMALITY_TOLERANCE
    return CurvePoint(point.value, found, bound, "optimal" if closed else "feasible")
