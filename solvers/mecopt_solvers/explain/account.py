"""`explain`: everything that can be said about an instance and a placement, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats
from mecopt.costs import ChainCosts, chain_costs
from mecopt.errors import CouplingError, InputError
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.pins import forbidden
from mecopt.placements import placement_array
from mecopt.result import Result, Status
from mecopt.solving import solve
from mecopt.stop import StopReason
from mecopt.tolerances import OPTIMALITY_TOLERANCE, excess
from mecopt.trellis import Paths, shortest_paths
from mecopt_solvers.explain.deadlines import deadline_values
from mecopt_solvers.explain.dual_prices import LimitPrices, prices, strained_parts
from mecopt_solvers.explain.explanation import Explanation, Infeasibility
from mecopt_solvers.explain.forced import ForcedChoice, forced_alone, forced_together
from mecopt_solvers.explain.limits import ExplainedLimit, deadlines, shared_limits
from mecopt_solvers.explain.paths import alternatives
from mecopt_solvers.explain.resolved import Clock
from mecopt_solvers.explain.solved_again import Again, able
from mecopt_solvers.explain.spending import spending
from mecopt_solvers.explain.why import search_parts, why_alone
from mecopt_solvers.explain.wider_model import explain_again, is_wider

NO_METHOD = (
    "no installed method honours the couplings: the placement is that of the relaxation without them, "
    "judged under all of them"
)


def explain(
    instance: Instance,
    placement: Sequence[Sequence[int]] | NDArray[Any] | None = None,
    *,
    tasks: Iterable[int] = (),
    best: int | None = None,
    pins: Iterable[str] = (),
    bans: Iterable[str] = (),
    method: str = "auto",
    time_limit_s: float | None = 60.0,
    seed: int = 0,
    threads: int = 1,
) -> Explanation:
    """Explain a placement, or the best that can be found.

    Parameters
    ----------
    instance : Instance
    placement : array of shape (tasks, longest model), optional
        What to explain; without it the instance is solved first.
    tasks : iterable of int
        Tasks to show block by block.
    best : int, optional
        How many of the best placements of each of `tasks` to list.
    pins, bans : iterable of str
        Choices to price, ``"K:M=N"`` as for `mecopt.solve`; they do not change the placement. What `best`
        lists keeps to them.
    method : str
        For what has to be solved.
    time_limit_s : float, optional
        Seconds for each of: the solve, the solve with pins and bans, the prices, the search for a conflict.
    seed, threads : int

    Returns
    -------
    Explanation

    Raises
    ------
    InputError
        If an argument is out of range.
    """
    tasks, pins, bans = tuple(dict.fromkeys(tasks)), tuple(pins), tuple(bans)
    wrong = [k for k in tasks if not 0 <= k < instance.task_count]
    if wrong:
        raise InputError(f"task {k}: expected 0 to {instance.task_count - 1}" for k in wrong)
    if is_wider(instance):
        given = _as_given(instance, placement)
        again = Again(able(instance, method), time_limit_s, seed, threads)
        away = forbidden(instance, pins, bans)
        return explain_again(given, again, away, tasks=tasks, best=best, pins=pins, bans=bans)
    run = partial(solve, instance, time_limit_s=time_limit_s, seed=seed, threads=threads)
    return _Explainer(instance, run, method, time_limit_s, threads).explain(
        placement, tasks, best, pins, bans
    )


def _as_given(instance: Instance, placement: Any) -> Explanation:
    """Judge the placement, if there is one."""
    if placement is None:
        return Explanation(instance, "none", "unknown", None, None)
    judged = evaluate(instance, placement_array(placement, instance))
    return Explanation(instance, "given", "feasible" if judged.feasible else "violating", judged, None)


class _Explainer:
    """One explanation in the making."""

    def __init__(
        self,
        instance: Instance,
        run: Callable[..., Result],
        method: str,
        time_limit_s: float | None,
        threads: int,
    ) -> None:
        self.instance, self.run, self.method = instance, run, method
        self.time_limit_s, self.threads = time_limit_s, threads
        self.notes: list[str] = []
        self.result: Result | None = None  # of a solve without pins and bans
        self.relaxed = False
        self.costs: ChainCosts = chain_costs(instance)
        self.paths: Paths = shortest_paths(self.costs, threads=threads)
        self.coupled = bool(instance.rules.couplings)
        self.placeable = bool(np.isfinite(self.paths.value).all())

    def explain(
        self,
        placement: Any,
        tasks: tuple[int, ...],
        best: int | None,
        pins: tuple[str, ...],
        bans: tuple[str, ...],
    ) -> Explanation:
        """Put the parts together."""
        node_cost = forbidden(self.instance, pins, bans)  # first, so that a mistake shows at once
        found = self._given(placement) if placement is not None else self._solved(self._solve())
        priced = self._prices()
        found = self._why(found, priced, given=placement is not None)
        found = self._accounted(found, priced, tasks)
        if best is not None:
            listed = [
                a for k in tasks for a in alternatives(self.costs, k, best, found.evaluation, node_cost)
            ]
            found = replace(found, alternatives=tuple(listed))
        if node_cost is not None:
            found = replace(found, forced=self._forced(node_cost, pins, bans))
        return replace(found, notes=tuple(self.notes))

    def _given(self, placement: Any) -> Explanation:
        judged = evaluate(self.instance, placement_array(placement, self.instance), costs=self.costs)
        bound = float(self.paths.value.sum()) if self.placeable else None
        return self._with_status(Explanation(self.instance, "given", "", judged, bound))

    def _with_status(self, found: Explanation) -> Explanation:
        """Say what the placement is, by the judge and the bound."""
        objective, bound = found.objective, found.lower_bound
        if objective is None:
            return replace(found, status="violating")
        if bound is None:
            return replace(found, status="feasible")
        bound = min(bound, objective)  # a relaxation's value is right up to rounding
        closed = excess(objective, bound) <= OPTIMALITY_TOLERANCE
        return replace(found, status="optimal" if closed else "feasible", lower_bound=bound)

    def _solve(self) -> Result:
        """Solve the instance, at worst without its couplings."""
        try:
            result = self.run(method=self.method)
        except CouplingError:
            if self.method != "auto":
                raise
            self.notes.append(NO_METHOD)
            self.relaxed = True
            result = self.run(method="trellis", relax=True)
        if result.stopped_by is StopReason.INTERRUPT:
            raise KeyboardInterrupt
        self.result = result
        return result

    def _solved(self, result: Result) -> Explanation:
        return Explanation(
            self.instance, result.method, result.status.value, result.evaluation, result.lower_bound
        )

    def _prices(self) -> LimitPrices | None:
        """Price the shared limits; None where there are none, or tasks that cannot be placed at all."""
        hopeless = self.result is not None and self.result.status is Status.INFEASIBLE
        if not self.coupled or not self.placeable or hopeless:
            return None
        priced = prices(self.instance, self.costs, self.paths, Clock(self.time_limit_s), self.threads)
        if priced.unpriced:
            count = len(priced.unpriced)
            self.notes.append(
                f"no prices for {count:,} of {self.instance.task_count:,} tasks: too large, or no time left"
            )
        return priced

    def _why(self, found: Explanation, priced: LimitPrices | None, *, given: bool) -> Explanation:
        """Look for the reasons where nothing is feasible, or nothing was found."""
        if not self.placeable:
            return replace(found, infeasibility=why_alone(self.instance, self.costs, self.paths))
        broken = () if priced is None else priced.infeasible
        if not self.coupled or found.objective is not None or (given and not broken):
            return found
        proved = bool(broken) or found.status == "infeasible"
        parts = strained_parts(self.instance, self.costs, self.paths)
        parts.sort(key=lambda tasks: (tuple(tasks.tolist()) not in broken, len(tasks)))
        clock = Clock(self.time_limit_s)
        search = search_parts(self.instance, self.costs, self.paths, parts, clock, self.threads)
        self.notes += search.notes
        if proved or search.proved:
            reasons = () if given or self.result is None else self.result.reasons
            why = replace(search.infeasibility or Infeasibility(), reasons=reasons)
            found = replace(found, infeasibility=why)
            return found if given else replace(found, status="infeasible", evaluation=None, lower_bound=None)
        if search.placement is None or given:
            return found
        judged = evaluate(self.instance, search.placement, costs=self.costs)
        return self._with_status(replace(found, source="least relaxation", evaluation=judged))

    def _accounted(
        self, found: Explanation, priced: LimitPrices | None, tasks: tuple[int, ...]
    ) -> Explanation:
        """Add where time and energy go, and which limits bind."""
        values = deadline_values(self.instance, self.costs, self.paths)
        found = replace(found, deadline_values=tuple(values))
        bound = None if priced is None else priced.lower_bound
        if bound is not None and found.evaluation is not None and bound > (found.lower_bound or 0.0):
            found = replace(found, lower_bound=bound)
            found = self._with_status(found) if found.objective is not None else found
        judged = found.evaluation
        if judged is None:
            return found
        return replace(
            found,
            spending=spending(judged, tasks),
            limits=tuple(self._limits(judged, priced)),
            deadlines=tuple(deadlines(judged)),
        )

    def _limits(self, judged: Evaluation, priced: LimitPrices | None) -> list[ExplainedLimit]:
        """Put prices beside the use of limits; one that no trellis path strains has price 0."""
        limits = shared_limits(judged)
        if priced is None:
            return limits
        known = {limit.key: limit.price for limit in priced.limits}
        slots, devices = priced.left_out(self.instance)

        def price(limit: ExplainedLimit) -> float | None:
            where = limit.where
            missed = where["slot"] in slots if "slot" in where else where["device"] in devices
            return known.get(limit.key, None if missed else 0.0)

        return [replace(limit, price=price(limit)) for limit in limits]

    def _forced(self, node_cost: Floats, pins: tuple[str, ...], bans: tuple[str, ...]) -> ForcedChoice:
        if self.coupled and self.placeable and self.result is None:
            self._solve()
        if self.coupled and self.result is not None and not self.relaxed:
            return forced_together(self.result, partial(self.run, method=self.method), pins, bans)
        note = "couplings left out" if self.coupled else ""
        return forced_alone(self.instance, self.costs, self.paths, node_cost, pins, bans, note)
