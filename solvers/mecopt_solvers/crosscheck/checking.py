"""Methods on random instances, each held against every placement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Ints
from mecopt.errors import MecoptError
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.registry import Method, methods
from mecopt.result import Result
from mecopt.solving import solve
from mecopt.tolerances import OPTIMALITY_TOLERANCE
from mecopt_solvers.crosscheck.brute import brute_force, paths_of
from mecopt_solvers.crosscheck.first_format import SETS, random_instance
from mecopt_solvers.crosscheck.wider_format import wide_instance

AGREEMENT = 1e-9
SMALLEST = 1e-18  # an objective below is as good as 0
OTHERS_S = 0.5  # what a method that proves nothing gets: some go on until they are told
TRIES = 20  # for a start that is feasible and not the optimum


@dataclass(frozen=True)
class Check:
    """One method on one instance; `what` says how its answer differs from brute force's, "" if not at all."""

    method: str
    what: str
    optimum: float | None = None  # None: nothing is feasible


def check(
    instance: Instance, names: Sequence[str] = (), time_limit_s: float | None = 60.0
) -> Iterator[Check]:
    """Solve by every exact method that takes the instance, or by those named; hold each to the truth.

    Some start from a placement, mostly a feasible one. A method that does not take a coupling or a feature of
    the instance is passed over. An exact one must find the optimum, with a proof; of any other all that it
    claims must be true.
    """
    best = brute_force(instance)
    start = _start(instance, best)
    for method in methods():
        if not method.suits(instance):
            continue
        if method.name not in names if names else not method.exact:
            continue
        try:
            what = _compare(instance, method, best, start, time_limit_s)
        except MecoptError as error:
            what = f"{type(error).__name__}: {error}"
        yield Check(method.name, what, None if best is None else best.objective)


def instances(count: int, seed: int, *, wider: bool = False) -> Iterator[Instance]:
    """Draw instances, each with a seed of its own; every eight plain ones have all sets of couplings.

    With `wider` every second one may use anything of the wider model.
    """
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        if wider and i % 2:
            drawn = wide_instance(rng)
        else:
            drawn = random_instance(rng, SETS[(i // 2 if wider else i) % len(SETS)])
        yield drawn.replace(name=f"crosscheck-{seed}-{i}")


def _start(instance: Instance, best: Evaluation | None) -> Ints | None:
    """Draw a placement to start from, for half of the instances: the optimum with some tasks moved."""
    rng = np.random.default_rng(int(instance.sha256[:8], 16))
    if best is None or rng.random() < 0.5:
        return None
    for _ in range(TRIES):
        start = best.placement.copy()
        for k in rng.integers(instance.task_count, size=int(rng.integers(1, 4))).tolist():
            start[k] = rng.choice(paths_of(instance, k))
        if (start != best.placement).any() and evaluate(instance, start).feasible:
            break
    return start


def _compare(
    instance: Instance,
    method: Method,
    best: Evaluation | None,
    start: Ints | None,
    time_limit_s: float | None,
) -> str:
    """Say how a method's answer differs from brute force's; nothing where it does not."""
    if not method.exact:
        time_limit_s = OTHERS_S if time_limit_s is None else min(OTHERS_S, time_limit_s)
    result = solve(instance, method.name, time_limit_s=time_limit_s, warm_start=start)
    truth = None if best is None else best.objective
    if result.stopped_by == "interrupt":  # of the whole check: it says nothing about the method
        raise KeyboardInterrupt
    if not method.exact:
        ended = result.placement
        given = start is not None and ended is not None and np.array_equal(ended, start)
        return _compare_claims(method, result, truth, given=given)
    if result.stopped_by is not None:
        return f"stopped by {result.stopped_by} with status {result.status}, gap {result.gap}"
    if truth is None:
        return "" if result.status == "infeasible" else f"{result.status}, but nothing is feasible"
    if result.status != "optimal" or result.objective is None or result.lower_bound is None:
        return f"{result.status} {result.reasons or result.objective!r}, the optimum is {truth!r}"
    return _compare_figures(result, truth)


def _compare_claims(method: Method, result: Result, truth: float | None, *, given: bool) -> str:
    """Say what a method that need not find the optimum claims wrongly; a start is `given`, not its own."""
    if truth is None:
        return f"{result.status}, but nothing is feasible" if result.objective is not None else ""
    violations = () if result.evaluation is None else result.evaluation.violations
    broken = [str(v) for v in violations if method.stance(v.kind) == "respects"]
    if result.status == "infeasible" or (broken and result.stopped_by is None and not given):
        return f"{result.status} {result.reasons or broken}, the optimum is {truth!r}"
    allowed, worth = max(AGREEMENT * truth, SMALLEST), result.objective
    proved = result.status == "optimal"
    if worth is not None and (
        worth < truth - allowed or (proved and worth > truth + allowed + OPTIMALITY_TOLERANCE * truth)
    ):
        return f"{result.status} {worth!r}, the optimum is {truth!r}"
    return _compare_bounds(result, truth, allowed)


def _compare_figures(result: Result, truth: float) -> str:
    """Say which figure of a result is wrong: the objective, or a bound on the way or at the end."""
    assert result.objective is not None
    allowed = max(AGREEMENT * truth, SMALLEST) + float(result.options.get("scaling_error_s", 0.0))
    if abs(result.objective - truth) > allowed:
        return f"objective {result.objective!r}, the optimum is {truth!r}"
    return _compare_bounds(result, truth, allowed)


def _compare_bounds(result: Result, truth: float, allowed: float) -> str:
    """Say which bound is too high, on the way or at the end."""
    for bound in (result.lower_bound, *(point[2] for point in result.trace)):
        if bound is not None and bound > truth + allowed:
            return f"bound {bound!r} above the optimum {truth!r}"
    return ""
