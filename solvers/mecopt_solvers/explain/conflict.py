"""Why a coupled instance has no placement: limits that cannot hold together, and what must give way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.judge import Violation, evaluate
from mecopt_solvers.explain.deadlines import smallest_conflict
from mecopt_solvers.explain.elastic_flow import FlowModel
from mecopt_solvers.explain.limits import ExplainedLimit
from mecopt_solvers.explain.resolved import Clock, Solver

Member = tuple[Any, ...]

MOST_COLUMNS = 500_000  # of one part that HiGHS is asked to take with whole numbers
FAR = 1e6  # shares of a limit above this count as this much
AGREE = 1e-5  # relative difference between the model's sum of shares and the judge's
BREAKS = 2.0  # what uses this share of a limit can be used no more than what uses a larger one


@dataclass(frozen=True)
class Conflict:
    """Limits that cannot hold together.

    Parameters
    ----------
    limits : tuple of Limit
        Shared limits and deadlines.
    irreducible : bool
        Whether every part of the set is known to be possible; else time ran out, and it may be too large.
    tasks : tuple of int
        The tasks among which they are.
    """

    limits: tuple[ExplainedLimit, ...]
    irreducible: bool
    tasks: tuple[int, ...]


@dataclass(frozen=True)
class Relaxation:
    """A placement that breaks limits by little, and so the limits that would allow it.

    Parameters
    ----------
    violations : tuple of Violation
        The judge's: raising each `limit` to its `value` makes the placement feasible.
    cost : float
        Sum of the excesses, each as a share of its limit.
    bound : float
        No relaxation costs less.
    least : bool
        Whether none is known to be less.
    placement : array of shape (tasks, longest model)
        Of the tasks of the part; the others are as in the trellis optimum.
    """

    violations: tuple[Violation, ...]
    cost: float
    bound: float
    least: bool
    placement: Ints


class ConflictPart:
    """The tasks of one part, with every limit and every deadline something that can be lifted."""

    def __init__(self, instance: Instance, costs: ChainCosts, tasks: Ints, threads: int = 1) -> None:
        self.instance, self.costs, self.tasks, self.threads = instance, costs, tasks, threads
        self.model = FlowModel(instance, costs, tasks, late=True)
        late = self.model.over > 0
        task, block = self.model.program.task[late], self.model.program.block[late]
        # A member is ("limit", row), ("task", k) for all deadlines of a task, or ("block", k, m).
        self.rows: list[Member] = [("limit", row) for row in range(len(self.model.limits))]
        self.late_tasks: list[Member] = [("task", k) for k in np.unique(task).tolist()]
        pairs = np.unique(np.stack([task, block]), axis=1).T.tolist()
        self.late_blocks: list[Member] = [("block", k, m) for k, m in pairs]
        self.unsure = False

    @property
    def too_large(self) -> bool:
        """Whether it is more than HiGHS is asked to take."""
        return self.model.program.columns > MOST_COLUMNS

    def conflict(self, clock: Clock) -> Conflict | None:
        """Find limits that cannot hold together, none of them superfluous; None where that is not proved."""
        program = self.model.bounded(BREAKS)
        found, proved = [*self.rows, *self.late_tasks], False
        # What the linear relaxation already proves is quick to find, and leaves little to the whole numbers.
        for integer in (False, True):
            solver = Solver(program, np.zeros(program.columns), integer=integer, threads=self.threads)
            self.unsure = False

            def impossible(members: list[Member], solver: Solver = solver) -> bool:
                return self._impossible(solver, members, clock)

            if not proved and not impossible(found):
                continue
            proved = True
            found = smallest_conflict(self._by_block(smallest_conflict(found, impossible)), impossible)
        if not proved:
            return None
        limits = tuple(self._limit(member) for member in found)
        return Conflict(limits, not self.unsure, tuple(self.tasks.tolist()))

    def _by_block(self, members: list[Member]) -> list[Member]:
        """Put the deadlines of single blocks in the place of those of whole tasks."""
        tasks = {member[1] for member in members if member[0] == "task"}
        blocks = [member for member in self.late_blocks if member[1] in tasks]
        return [*(member for member in members if member[0] != "task"), *blocks]

    def _impossible(self, solver: Solver, members: list[Member], clock: Clock) -> bool:
        """Say whether no placement keeps these limits; what time does not suffice for counts as possible."""
        model = self.model
        task, block = model.program.task, model.program.block
        shut = np.isin(task, [member[1] for member in members if member[0] == "task"])
        for _, k, m in (member for member in members if member[0] == "block"):
            shut |= (task == k) & (block == m)
        solver.highs.bound_columns(model.shut(shut))
        rows = [member[1] for member in members if member[0] == "limit"]
        kept = np.isin(np.arange(len(model.limits)), rows)
        solver.highs.bound_rows(model.rows, np.where(kept, model.upper, np.inf))
        answer = solver.solve(clock)
        self.unsure |= not answer.infeasible and answer.value is None
        return answer.infeasible

    def _limit(self, member: Member) -> ExplainedLimit:
        if member[0] == "limit":
            return self.model.limits[member[1]]
        _, task, block = member
        return ExplainedLimit("deadline", {"task": task, "block": block}, float(self.costs.tau[task, block]))

    def relaxation(self, others: Ints, clock: Clock) -> Relaxation:
        """Find the placement that exceeds limits by the least sum of shares, or a good one if time is short.

        Parameters
        ----------
        others : array of shape (tasks, longest model)
            Placement of the tasks outside this part, and of those inside if nothing better is found.
        clock : Clock
        """
        program, over = self.model.bounded(FAR), np.minimum(self.model.over, FAR)
        linear = Solver(program, over, self.model.rows, integer=False, threads=self.threads)
        answer, bound, found = linear.solve(clock), 0.0, others
        if answer.optimal:
            bound, found = answer.value or 0.0, self.model.followed(answer.columns, others)
        if not answer.optimal or not _whole(answer.columns[: program.columns][program.decides]):
            # No placement to start from: HiGHS 1.16 may map it wrongly into the presolved model, and
            # then calls it optimal at a value that it does not have.
            whole = Solver(program, over, self.model.rows, integer=True, threads=self.threads)
            answer = whole.solve(clock)
            bound = max(bound, answer.bound or 0.0)
        violations = self._violations(found)
        if answer.value is not None:
            other = program.decode(answer.columns[: program.columns], others)
            after = self._violations(other)
            if _shares(after) <= _shares(violations):
                found, violations = other, after
        cost = _shares(violations)
        # Where a limit is 0, or far too small, the model's shares are not the judge's.
        agree = answer.value is not None and abs(cost - answer.value) <= AGREE * max(cost, 1e-3)
        return Relaxation(violations, cost, min(max(bound, 0.0), cost), answer.optimal and agree, found)

    def _violations(self, placement: Ints) -> tuple[Violation, ...]:
        """Return what the judge finds wrong with the tasks of this part."""
        judged = evaluate(self.instance, placement, costs=self.costs)
        return tuple(violation for violation in judged.violations if self._touches(violation))

    def _touches(self, violation: Violation) -> bool:
        """Say whether a violation is one of this part's."""
        where, tasks = violation.where, self.instance.tasks
        if "task" in where:
            return int(where["task"]) in set(self.tasks.tolist())
        if "slot" in where:
            return bool((tasks.slot[self.tasks] == where["slot"]).any())
        names = {self.instance.devices[d].name for d in tasks.device[self.tasks].tolist()}
        return where["device"] in names


def _whole(values: Floats) -> bool:
    return bool((np.abs(values - np.round(values)) < 1e-6).all())


def _shares(violations: Sequence[Violation]) -> float:
    """Add up by how much limits are exceeded, each as a share of its limit (of 1, where the limit is 0)."""
    measured = ((v.limit, v.value) for v in violations if v.limit is not None and v.value is not None)
    return sum((value - limit) / (limit or 1.0) for limit, value in measured)
