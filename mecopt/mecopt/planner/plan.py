"""What a planner answers: judged placements with their delays and bounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import chain_costs
from mecopt.errors import DisagreementError
from mecopt.features import forbidden
from mecopt.instance import Instance
from mecopt.judge import Evaluation, Violation, evaluate
from mecopt.planner.changes import Changes
from mecopt.result import Status, gap
from mecopt.tolerances import agree
from mecopt.trellis import Paths, infeasible_tasks, shortest_paths


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """Plans for K tasks, M blocks of the longest model; every figure is the judge's.

    Attributes
    ----------
    placements : array of int, shape (K, M)
        Node of every block: 0 the device, n the n-th server, -1 behind the end of shorter models, where no
        placement exists, and where leaving a task out is cheaper.
    delays : array of shape (K,)
        Seconds, return of the result included; NaN where no placement exists.
    objectives : array of shape (K,)
        What each task adds to the objective; NaN where no placement exists.
    bounds : array of shape (K,)
        Proved lower bound on that, inf where no placement exists.
    """

    placements: Ints
    delays: Floats
    objectives: Floats
    bounds: Floats
    _origin: Instance
    _changes: Changes

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Which tasks have a placement that keeps to every limit, (K,)."""
        return self.bounds < np.inf

    @property
    def block_count(self) -> Ints:
        """Number of blocks of each task, (K,)."""
        counts: Ints = self._origin.block_count[self._changes.chosen]
        return counts

    @property
    def status(self) -> Status:
        """``optimal``, or ``infeasible`` where some task has no placement."""
        return Status.OPTIMAL if self.feasible.all() else Status.INFEASIBLE

    @property
    def objective(self) -> float | None:
        """Objective of all tasks together; None where some task has no placement."""
        total = float(self.objectives.sum())
        return None if np.isnan(total) else total

    @property
    def lower_bound(self) -> float | None:
        """Proved lower bound on it; None where some task has no placement."""
        return None if self.objective is None else min(float(self.bounds.sum()), self.objective)

    @property
    def gap(self) -> float | None:
        """Gap between them, a fraction: 0 but for rounding."""
        return gap(self.objective, self.lower_bound)

    @property
    def total_delay_s(self) -> float | None:
        """Delay of all tasks together; None where some task has no placement."""
        return None if self.objective is None else float(self.delays.sum())

    @cached_property
    def instance(self) -> Instance:
        """The instance that was planned for, changes in it; `mecopt.solve` gives the same answer for it."""
        return self._changes.instance(self._origin)

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The judge's whole account (energy, transfers); None where some task has no placement."""
        if self.status is Status.INFEASIBLE:
            return None
        return evaluate(self.instance, self.placements)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Limits that the placements break, by that account: none."""
        return () if self.evaluation is None else self.evaluation.violations

    @cached_property
    def reasons(self) -> list[dict[str, Any]]:
        """Why the tasks without a placement have none, as in `Result.reasons`."""
        if self.status is Status.OPTIMAL:
            return []
        barred = forbidden(self.instance)
        paths = Paths(self.bounds, self.placements)
        return infeasible_tasks(self.instance, chain_costs(self.instance), paths, barred)

    def __repr__(self) -> str:
        worth = "no objective" if self.objective is None else f"objective {self.objective:.6g}"
        return f"<Plan of {len(self.placements)} tasks: {self.status}, {worth}>"


def plan_slowly(origin: Instance, changes: Changes) -> Plan:
    """Plan by way of an instance: for all that the compiled loop does not know.

    Raises
    ------
    DisagreementError
        If the judge finds fault with a path, or its figure is another one.
    """
    instance = changes.instance(origin)
    paths = shortest_paths(chain_costs(instance), forbidden(instance))
    there = paths.value < np.inf
    delays, objectives = np.full(len(there), np.nan), np.full(len(there), np.nan)
    if there.any():
        served = instance if there.all() else changes.only(there).instance(origin)
        judged = evaluate(served, paths.placement[there])
        if not judged.feasible or not agree(float(paths.value[there].sum()), float(judged.objective or 0.0)):
            raise DisagreementError("planner: the judge finds fault with a shortest path")
        delays[there], objectives[there] = judged.task_delay_s, judged.task_objective_s
    plan = Plan(paths.placement, delays, objectives, paths.value, origin, changes)
    plan.__dict__["instance"] = instance  # as the cached property would
    return plan
