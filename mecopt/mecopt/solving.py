"""`solve`: run one method on one instance under stopping rules, and account for the outcome."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt import features, limits, registry, trellis_method
from mecopt.arrays import Ints
from mecopt.containment import blamed, only_calculates, undone
from mecopt.costs import ChainCosts
from mecopt.errors import InputError, MethodError, shown
from mecopt.hardware import estimated
from mecopt.incumbent import Progress, Run
from mecopt.instance import Instance
from mecopt.interrupts import interrupts_noted
from mecopt.own import MethodLike, method_file, method_of
from mecopt.pins import forbidden
from mecopt.placements import placement_array
from mecopt.result import Result, Status
from mecopt.result import gap as gap_between
from mecopt.scalars import LARGEST_SEED, number, plain, whole
from mecopt.sources import instance_of
from mecopt.stop import COMPILER, AnyOf, GapTarget, IterationLimit, OutOfTime, StopRule, TimeLimit
from mecopt.tolerances import OPTIMALITY_TOLERANCE


def solve(
    instance: Instance | str | os.PathLike[str],
    method: MethodLike = "auto",
    *,
    time_limit_s: float | None = None,
    gap: float | None = None,
    iterations: int | None = None,
    stop: StopRule | None = None,
    progress: Callable[[Progress], object] | None = None,
    seed: int = 0,
    threads: int = 1,
    warm_start: Sequence[Sequence[int]] | NDArray[Any] | None = None,
    pins: Iterable[str] = (),
    bans: Iterable[str] = (),
    relax: bool = False,
    **options: Any,
) -> Result:
    """Solve an instance.

    Parameters
    ----------
    instance : Instance, str or path
        Or what `load` takes: a file, the name of a shipped instance, a generator's spec.
    method : str, Method or callable
        Name of a registered method ("auto" picks those that suit the couplings and the size), a learner with
        its policy as ``ppo=FILE.zip``, or one of your
        own: a `Method`, a function ``f(instance)`` that returns a placement, or the text ``file.py:NAME`` for
        either of them in a file. Of a function, parameters called `seed`, `threads` and `run` get what they
        say, all others are options; without `run` it is ended at the time limit.
    time_limit_s : float, optional
        Seconds after which the best placement so far is returned with its bound.
    gap : float, optional
        Stop at a gap of this fraction.
    iterations : int, optional
        Stop after so many rounds of the method.
    stop : StopRule, optional
        A rule beside these: `TimeLimit`, `GapTarget` and `IterationLimit` put together by ``|`` (any) and
        ``&`` (all), or a function that gets the gap (None while unknown) and returns a `StopReason` or None.
    progress : callable, optional
        Gets a `Progress` (seconds, objective, bound, gap) as often as the method asks whether to stop, ten
        times a second at most. When it returns False the solve ends with what it has, as by an interrupt.
    seed, threads : int
    warm_start : placement, optional
        A placement to start from. A feasible one is the first incumbent of every method; one that violates
        something is only a hint.
    pins, bans : iterable of str
        ``"K:M=N"`` forces block M of task K onto node N, or keeps it off.
    relax : bool
        Let the method ignore the couplings that it cannot honour. Its value then is a bound only, and its
        placement is judged under all of them.
    **options
        Options of the method.

    Returns
    -------
    Result
        An interrupt (Ctrl-C) is no exception but returns the best so far, `stopped_by` "interrupt".

    Raises
    ------
    InputError
        If an argument is out of range, the method does not exist, or cannot honour a coupling.
    DisagreementError
        If the method's own figures are not the judge's.
    MethodError
        If the method fails by itself, whatever it raises; the error that it raised is the cause. So it is for
        what it hands over that is no placement, bound, count or JSON.

    Notes
    -----
    What a method does to the process is undone (working directory, environment, signal handlers and the like)
    when `solve` is called in the main thread. What it prints goes where Python's output goes; only
    the command line keeps it off standard output.
    """
    instance = instance_of(instance)
    pins, bans = list(pins), list(bans)
    seed, threads = whole("seed", seed, 0, LARGEST_SEED), whole("threads", threads, 1)
    stopping = _stopping(time_limit_s, gap, iterations)
    for name, called in (("stop", stop), ("progress", progress)):
        if called is not None and not callable(called):
            raise InputError(f"{name}: {shown(called)}, expected a function")
    method, options = _with_policy(method, options)
    chosen = method_of(method)
    if relax:
        limits.of(instance)  # what nothing judges cannot be left out either
        registry.check_takes(chosen, _relaxed(instance, chosen))
    else:
        registry.check_honours(chosen, instance)
    registry.check_options(chosen, options)
    run = Run(
        _relaxed(instance, chosen) if relax else instance,
        stop=AnyOf((*_rules(**stopping), *(() if stop is None else (stop,)))),
        progress=progress,
        seed=seed,
        threads=threads,
        warm_start=None if warm_start is None else placement_array(warm_start, instance),
        node_cost=forbidden(instance, pins, bans),
        options=dict(options),
        judged_on=instance if relax else None,
    )
    compiled_s = COMPILER.seconds
    if run.warm_start is not None:
        _begin_with(run, run.warm_start)
    run.costs  # noqa: B018 - an instance whose figures are out of range is not the method's error
    try:
        with interrupts_noted(run.interrupt):
            _call(chosen, run)
    except KeyboardInterrupt:
        run.interrupt()
    with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C does without the bound
        _always_a_bound(run)
    compiled_s = COMPILER.seconds - compiled_s
    if compiled_s > 0:
        run.notes["compiled_s"] = round(compiled_s, 3)  # of the runtime, and on no limit
    made = estimated(instance)
    if made:
        run.notes["estimated_hardware"] = made
    given = {**stopping, "pins": pins, "bans": bans, "relax": relax, **options}
    kept = {
        name: plain(value)
        for name, value in given.items()
        if not (value is None or value is False or (isinstance(value, list) and not value))
    }
    with blamed(chosen.name):
        run.close()
        return _result(run, chosen.name, {**kept, **run.notes})


def _with_policy(method: MethodLike, options: dict[str, Any]) -> tuple[MethodLike, dict[str, Any]]:
    """Split ``name=FILE``, a learner and its policy, as `compare` does."""
    if not isinstance(method, str) or "=" not in method or method_file.names_a_file(method):
        return method, options
    name, _, path = method.partition("=")
    if "policy" in options:
        raise InputError(f"method {method!r}: the policy is given twice")
    return name.strip(), {**options, "policy": path}


def _begin_with(run: Run, placement: Ints) -> None:
    """Take a warm start as the first placement, so that no method ends with a worse one."""
    forbidden_block = run.forbidden_block(placement)
    if forbidden_block is not None:
        k, m = forbidden_block
        raise InputError(f"warm start: task {k} runs block {m} where a pin or ban forbids it")
    judged = run.found(placement)
    if not judged.feasible:  # the method may say more: that it repaired it
        run.notes["warm_start_used"] = f"refused: {judged.violations[0]}"


def _call(chosen: registry.Method, run: Run) -> None:
    if chosen is trellis_method.METHOD:  # which is ours, and only calculates
        with blamed(chosen.name, chosen.solve), contextlib.suppress(OutOfTime):
            chosen.solve(run.instance, run)
        return
    before = _sums(run.costs)
    returned: Any = None
    calculates = only_calculates(chosen.kind, chosen.solve)
    with (
        blamed(chosen.name, chosen.solve),
        contextlib.nullcontext() if calculates else undone(),
        contextlib.suppress(OutOfTime),
    ):  # what it found is in the run
        returned = chosen.solve(run.instance, run)  # type: ignore[func-returns-value]
    changed = [
        name
        for name, total in _sums(run.costs).items()
        if total != before[name] and not np.isnan(before[name])
    ]
    if changed:
        raise MethodError(
            f"method {chosen.name!r} changed run.costs.{changed[0]}, which the judge uses too; "
            "expected it to work on a copy"
        )
    if returned is not None and run.best is None and run.bound is None and not run.reasons:
        warnings.warn(
            f"method {chosen.name!r} returned a {type(returned).__name__} and handed over nothing; "
            "what it returns is not looked at, run.found(...) takes placements",
            stacklevel=3,
        )


def _sums(costs: ChainCosts) -> dict[str, float]:
    """Return what shows that figures were changed; arrays that no one may write to would compile anew."""
    with np.errstate(over="ignore"):
        return {name: float(a.sum()) for name, a in vars(costs).items() if isinstance(a, np.ndarray)}


def _relaxed(instance: Instance, chosen: registry.Method) -> Instance:
    kept = instance.rules.couplings & chosen.honours
    fewer = instance.replace(rules=dataclasses.replace(instance.rules, couplings=kept))
    return features.without(fewer, features.RELAXABLE - chosen.takes)


def _stopping(
    time_limit_s: float | None, gap: float | None, iterations: int | None
) -> dict[str, float | int | None]:
    """Return the limits as Python's own numbers, by their names."""
    return {
        "time_limit_s": None if time_limit_s is None else number("time_limit_s", time_limit_s),
        "gap": None if gap is None else number("gap", gap),
        "iterations": None if iterations is None else whole("iterations", iterations, 1),
    }


def _rules(time_limit_s: float | None, gap: float | None, iterations: float | None) -> tuple[StopRule, ...]:
    rules: list[StopRule] = []
    if gap is not None:
        rules.append(GapTarget(gap))
    if time_limit_s is not None:
        rules.append(TimeLimit(time_limit_s))
    if iterations is not None:
        rules.append(IterationLimit(int(iterations)))
    return tuple(rules)


def _always_a_bound(run: Run) -> None:
    """Give a run that proved nothing the bound of the relaxation without couplings."""
    if run.bound is not None or run.reasons:
        return
    paths = run.free_paths()
    if paths is not None:
        run.improve_bound(run.free_bound(paths))


def _result(run: Run, method: str, options: dict[str, Any]) -> Result:
    if run.reasons:
        status = Status.INFEASIBLE
    elif run.answer is None:
        status = Status.UNKNOWN
    elif run.answered is None:
        status = Status.VIOLATING
    else:
        left = gap_between(run.answered, run.bound)
        closed = left is not None and left <= OPTIMALITY_TOLERANCE
        status = Status.OPTIMAL if closed else Status.FEASIBLE
    infeasible = status is Status.INFEASIBLE
    bound = run.bound
    if bound is not None and run.answered is not None:
        bound = min(bound, run.answered)  # within rounding of each other, or `gap` would have raised
    return Result(
        instance=run.judged_on or run.instance,
        method=method,
        status=status,
        evaluation=None if infeasible else run.answer,
        lower_bound=None if infeasible else bound,
        stopped_by=run.stopped_by,
        runtime_s=time.perf_counter() - run.start,
        seed=run.seed,
        options=options,
        reasons=run.reasons,
        repairs=run.repairs,
        trace=run.trace,
    )
