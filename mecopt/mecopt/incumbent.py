"""One solve in progress: what the caller asked for, and what the method has found so far.

A method reports to its `Run` as it goes. So whatever ends it, a limit, an interrupt or an error of its
own, the best placement and the best bound are here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.errors import DisagreementError, InputError
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.result import gap
from mecopt.stop import COMPILER, AnyOf, IterationLimit, OutOfTime, StopReason, TimeLimit

AGREEMENT = 1e-6  # relative difference between a method's own objective and the judge's


@dataclass(eq=False)
class Run:
    """The state of one solve.

    Parameters
    ----------
    instance : Instance
        What placements are judged on.
    stop : AnyOf
        The stopping rules.
    seed, threads : int
    warm_start : array of shape (tasks, longest model), optional
        A placement to start from.
    node_cost : array of shape (tasks, longest model, servers + 1), optional
        0, or inf where the caller forbids a node (``--pin`` and ``--ban``).
    options : dict
        Options that belong to the method.
    """

    instance: Instance
    stop: AnyOf = field(default_factory=lambda: AnyOf(()))
    seed: int = 0
    threads: int = 1
    warm_start: Ints | None = None
    node_cost: Floats | None = None
    options: dict[str, Any] = field(default_factory=dict)

    start: float = field(default_factory=time.perf_counter)
    best: Evaluation | None = None
    bound: float | None = None
    reasons: list[dict[str, Any]] = field(default_factory=list)
    repairs: int = 0
    notes: dict[str, Any] = field(default_factory=dict)  # for the user; joins the result's options
    stopped_by: StopReason | None = None
    trace: list[tuple[float, float | None, float | None]] = field(default_factory=list)

    @cached_property
    def costs(self) -> ChainCosts:
        """The cost figures of the instance, worked out once."""
        return chain_costs(self.instance)

    @property
    def objective(self) -> float | None:
        """Objective of the incumbent; None while there is none, or only a violating placement."""
        return None if self.best is None else self.best.objective

    @property
    def gap(self) -> float | None:
        """Gap between incumbent and bound, a fraction; None while one of them is missing."""
        return gap(self.objective, self.bound)

    def found(
        self, placement: NDArray[Any], *, bound: float | None = None, objective: float | None = None
    ) -> Evaluation:
        """Hand over a placement, which the judge judges, and which is kept if it is better.

        Parameters
        ----------
        placement : array of shape (tasks, longest model)
        bound : float, optional
            A valid lower bound on the optimum, in seconds.
        objective : float, optional
            What the method thinks the placement is worth.

        Raises
        ------
        DisagreementError
            If the judge's objective is another one, the caller forbids the placement, or it is feasible
            though there was a proof that none is.
        """
        judged = evaluate(self.instance, placement, costs=self.costs)
        self._agree(judged, objective)
        forbidden = self.forbidden_block(judged.placement)
        if forbidden is not None:
            k, m = forbidden
            raise DisagreementError(f"the method runs block {m} of task {k} where a pin or ban forbids it")
        if self.reasons and judged.feasible:
            raise DisagreementError("the method found a feasible placement after it proved there is none")
        raised = bound is not None and self._raise_bound(bound)
        better = self._better(judged)
        if better:
            self.best = judged
        if better or raised:
            self._record()
        return judged

    def forbidden_block(self, placement: Ints) -> tuple[int, int] | None:
        """Return task and block of the first node that the caller forbids, None without one."""
        if self.node_cost is None:
            return None
        task, block = np.nonzero(placement >= 0)
        away = np.flatnonzero(np.isinf(self.node_cost[task, block, placement[task, block]]))
        return (int(task[away[0]]), int(block[away[0]])) if away.size else None

    def improve_bound(self, bound: float) -> None:
        """Hand over a valid lower bound on the optimum; -inf, where there is none yet, changes nothing.

        Raises
        ------
        DisagreementError
            If the bound is no number.
        """
        if self._raise_bound(bound):
            self._record()

    def infeasible(self, reasons: Iterable[dict[str, Any]]) -> None:
        """Hand over a proof that no placement is feasible.

        Raises
        ------
        DisagreementError
            If there is no reason, or a feasible placement is known.
        """
        if self.objective is not None:
            raise DisagreementError("a method claims infeasibility, but found a feasible placement")
        self.reasons = list(reasons)
        if not self.reasons:
            raise DisagreementError("a method claims that the instance is infeasible, but gives no reason")

    def should_stop(self) -> bool:
        """Ask the stopping rules; to be called between pieces of work."""
        if self.stopped_by is None:
            self.stopped_by = self.stop(self.gap)
        return self.stopped_by is not None

    @property
    def time_left_s(self) -> float:
        """Seconds until the time limit, inf without one."""
        return min((rule.left for rule in self.stop.rules if isinstance(rule, TimeLimit)), default=np.inf)

    @staticmethod
    def loading() -> AbstractContextManager[None]:
        """Import a library in this block: its first second is not taken from the time limit."""
        return COMPILER.loading()

    def is_due(self) -> bool:
        """Ask the stopping rules in the middle of a piece of work: nothing is counted as an iteration."""
        if self.stopped_by is None:
            rules = tuple(rule for rule in self.stop.rules if not isinstance(rule, IterationLimit))
            self.stopped_by = AnyOf(rules)(self.gap)
        return self.stopped_by is not None

    def keep_time(self) -> None:
        """Leave the method if a rule says stop: for loops deep in the middle of a piece of work.

        Raises
        ------
        OutOfTime
            Not an error: `solve` takes it as the method's end.
        """
        if self.is_due():
            raise OutOfTime

    def _raise_bound(self, bound: float) -> bool:
        """Keep the bound if it is the best so far, and say whether it is."""
        bound = float(bound)
        if np.isnan(bound) or bound == np.inf:
            raise DisagreementError(f"the method's bound is {bound}, expected a number")
        better = bound > (-np.inf if self.bound is None else self.bound)
        if better:
            self.bound = bound
        return better

    def _agree(self, judged: Evaluation, objective: float | None) -> None:
        value = judged.objective
        if objective is None or value is None:
            return
        if not abs(objective - value) <= AGREEMENT * max(abs(value), 1e-12):  # NaN disagrees
            raise DisagreementError(f"the method says its value is {objective!r}, the judge {value!r}")

    def _better(self, judged: Evaluation) -> bool:
        if self.best is None:
            return True
        if judged.objective is None or self.best.objective is None:
            return judged.feasible and not self.best.feasible
        return judged.objective < self.best.objective

    def _record(self) -> None:
        self.trace.append((time.perf_counter() - self.start, self.objective, self.bound))


def forbidden(instance: Instance, pins: Iterable[str], bans: Iterable[str]) -> Floats | None:
    """Turn ``K:M=N`` (task, block, node) pins and bans into node costs of 0 and inf.

    Returns
    -------
    array of shape (tasks, longest model, servers + 1), or None where nothing is forbidden

    Raises
    ------
    InputError
        If a text is not of that form, names something that does not exist, or pins contradict each other.
    """
    pins, bans = list(pins), list(bans)
    if not pins and not bans:
        return None
    cost = np.zeros((instance.task_count, instance.max_blocks, instance.server_count + 1))
    for text in bans:
        cost[_spot(instance, text, "ban")] = np.inf
    for text in pins:
        k, m, n = _spot(instance, text, "pin")
        free = cost[k, m, n] == 0.0
        cost[k, m] = np.inf
        cost[k, m, n] = 0.0 if free else np.inf
    shut = np.argwhere(np.isinf(cost).all(axis=2)).tolist()
    if shut:
        raise InputError(f"pins and bans leave no node for block {m} of task {k}" for k, m in shut)
    return cost


def _spot(instance: Instance, text: str, what: str) -> tuple[int, int, int]:
    head, _, node = text.partition("=")
    task, _, block = head.partition(":")
    try:
        k, m, n = int(task), int(block), int(node)
    except ValueError:
        raise InputError(f"--{what} {text}: expected TASK:BLOCK=NODE, such as 0:2=1") from None
    if not 0 <= k < instance.task_count:
        raise InputError(f"--{what} {text}: task {k}, expected 0 to {instance.task_count - 1}")
    if not 0 <= m < instance.block_count[k]:
        raise InputError(f"--{what} {text}: block {m}, expected 0 to {instance.block_count[k] - 1}")
    if not 0 <= n <= instance.server_count:
        raise InputError(f"--{what} {text}: node {n}, expected 0 to {instance.server_count}")
    return k, m, n
