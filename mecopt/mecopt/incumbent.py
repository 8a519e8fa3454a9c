"""One solve in progress: what the caller asked for, and what the method has found so far.

A method reports to its `Run` as it goes. So whatever ends it, a limit, an interrupt or an error of its
own, the best placement and the best bound are here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt import features
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import Coupling
from mecopt.errors import DisagreementError, InputError, MethodError, PlacementError, said
from mecopt.features import Feature
from mecopt.handed_over import plain_notes, plain_reasons, whole_nodes
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.period import period_bound
from mecopt.result import gap
from mecopt.scalars import LARGEST_COUNT, scalar
from mecopt.stop import (
    COMPILER,
    AnyOf,
    OutOfTime,
    StopReason,
    StopRule,
    TimeLimit,
    reason_of,
    time_left_s,
    without_iterations,
)
from mecopt.tolerances import agree
from mecopt.trellis import Paths, infeasible_tasks, shortest_paths

# What a method may assign to; of the rest these are set by what it hands over.
FREE = ("repairs", "notes", "warm_start")
SET_BY = {
    "best": "run.found(...)",
    "answer": "run.found(...)",
    "bound": "run.improve_bound(...)",
    "reasons": "run.infeasible(...)",
}


TELL_EACH_S = 0.1  # how often the caller's callback is called


@dataclass(frozen=True)
class Progress:
    """How a solve stands: seconds so far, and objective, bound and gap (None while unknown)."""

    seconds: float
    objective: float | None
    bound: float | None
    gap: float | None


@dataclass(eq=False)
class Run:
    """The state of one solve.

    A method may set `repairs` and `notes`, and calls what hands something over; the other fields are not its
    to assign to. Once it has returned nothing more is taken, for instance from threads that it left behind.

    Parameters
    ----------
    instance : Instance
        What the method works on.
    stop : AnyOf
        The stopping rules.
    seed, threads : int
    warm_start : array of shape (tasks, longest model), optional
        A placement to start from.
    node_cost : array of shape (tasks, longest model, servers + 1), optional
        0, or inf where the caller forbids a node (``--pin`` and ``--ban``).
    options : dict
        Options that belong to the method.
    judged_on : Instance, optional
        What the caller asked about, where that is another one: with what a relaxation ignores. The method
        sees its own instance only; `answer` is the best placement, and the trace its objective, on this one.
    progress : callable, optional
        Gets a `Progress` now and then; False from it is an interrupt.
    """

    instance: Instance
    stop: AnyOf = field(default_factory=lambda: AnyOf(()))
    seed: int = 0
    threads: int = 1
    warm_start: Ints | None = None
    node_cost: Floats | None = None
    options: dict[str, Any] = field(default_factory=dict)
    judged_on: Instance | None = None
    progress: Callable[[Progress], object] | None = None

    start: float = field(default_factory=time.perf_counter)
    best: Evaluation | None = field(default=None, init=False)
    answer: Evaluation | None = field(default=None, init=False)  # the best for the caller
    bound: float | None = field(default=None, init=False)
    reasons: tuple[dict[str, Any], ...] = field(default=(), init=False)
    repairs: int = field(default=0, init=False)
    notes: dict[str, Any] = field(default_factory=dict, init=False)  # for the user; in the result's options
    # Of methods that can be called again to go on; whoever calls them so closes `at_end` in the end.
    kept: dict[str, object] = field(default_factory=dict, init=False)
    at_end: ExitStack = field(default_factory=ExitStack, init=False)
    holding: bool = field(default=False, init=False)  # in a slice after which the method may be called again
    stopped_by: StopReason | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._points: list[tuple[float, float | None, float | None]] = []
        self._turn = threading.RLock()  # a method may hand over from several threads
        self._told = -np.inf
        self._whole = self.stop
        self._inside: tuple[StopRule, StopRule | None] = self.stop, without_iterations(self.stop)
        if self.node_cost is not None:
            self.node_cost.setflags(write=False)
        self._closed = False  # last: from here on assignments are looked at

    def __setattr__(self, name: str, value: Any) -> None:
        if "_closed" in self.__dict__ and name in _OWN:
            how = f"; {SET_BY[name]} does that" if name in SET_BY else ""
            raise AttributeError(f"run.{name} is not for a method to set{how}")
        object.__setattr__(self, name, value)

    @cached_property
    def costs(self) -> ChainCosts:
        """The cost figures of the instance, worked out once."""
        return chain_costs(self.instance)

    @property
    def trace(self) -> tuple[tuple[float, float | None, float | None], ...]:
        """Seconds, objective and bound at every improvement."""
        return tuple(self._points)

    @cached_property
    def _free(self) -> Paths:
        return shortest_paths(self.costs, self.node_cost, threads=self.threads)

    def free_paths(self) -> Paths | None:
        """Return every task's shortest path without limits that tasks share, worked out once.

        Returns
        -------
        Paths or None
            None where some task has none: then the run is told why nothing is feasible.
        """
        if np.isinf(self._free.value).any():
            self.infeasible(infeasible_tasks(self.instance, self.costs, self._free, self.node_cost))
            return None
        return self._free

    def free_optimum(self) -> tuple[Paths, Evaluation] | None:
        """Hand over the optimum without limits that tasks share: a bound always.

        Returns
        -------
        Paths, and what the judge says of them; or None
            None where that settles it: it is feasible and nothing joins tasks in the objective, or some task
            cannot be placed at all.
        """
        paths = self.free_paths()
        if paths is None:
            return None
        value = self.free_bound(paths)
        whole = self.adds_up
        judged = self.found(paths.placement, bound=value, objective=value if whole else None)
        return None if judged.feasible and whole else (paths, judged)

    @property
    def adds_up(self) -> bool:
        """Whether the objective is the sum of what tasks cost by themselves, step by step."""
        asked = features.of(self.instance)
        return not (
            asked & {Feature.SOFT_END, Feature.PERIOD} or Coupling.SHARING in self.instance.rules.couplings
        )

    def free_bound(self, paths: Paths) -> float:
        """Return the bound that every task's shortest path gives, limits that tasks share left out."""
        if self.instance.rules.objective.period:
            return period_bound(self.instance, self.costs, self.node_cost)
        return float(paths.value.sum())

    @property
    def objective(self) -> float | None:
        """Objective of the incumbent; None while there is none, or only a violating placement."""
        return None if self.best is None else self.best.objective

    @property
    def answered(self) -> float | None:
        """Objective of the best placement for the caller; as `objective` but for a relaxation."""
        return None if self.answer is None else self.answer.objective

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
        MethodError
            If it is no placement of the instance, or bound or objective are no numbers.
        """
        judged = self._judged(placement)
        asked = judged
        if self.judged_on is not None:
            asked = evaluate(self.judged_on, judged.placement, costs=self.costs)
        self._agree(judged, objective)
        forbidden = self.forbidden_block(judged.placement)
        if forbidden is not None:
            k, m = forbidden
            raise DisagreementError(f"the method runs block {m} of task {k} where a pin or ban forbids it")
        with self._turn:
            if self._closed:
                return judged
            if self.reasons and judged.feasible:
                raise DisagreementError("the method found a feasible placement after it proved there is none")
            raised = bound is not None and self._raise_bound(bound)
            better = _better(judged, self.best)
            if better:
                self._set("best", judged)
            told = _better(asked, self.answer) or (better and self.answered is None)
            if told:
                self._set("answer", asked)
            if told or raised:
                self._record()
        return judged

    def _judged(self, placement: Any) -> Evaluation:
        try:
            whole = whole_nodes(placement, self.instance)
            return evaluate(self.instance, whole, costs=self.costs)
        except PlacementError as error:
            more = len(error.problems) - 1
            raise MethodError(error.problems[0] + (f", and {more} more problems" if more else "")) from None

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
        with self._turn:
            if not self._closed and self._raise_bound(bound):
                self._record()

    def infeasible(self, reasons: Iterable[dict[str, Any]]) -> None:
        """Hand over a proof that no placement is feasible.

        Raises
        ------
        DisagreementError
            If there is no reason, or a feasible placement is known.
        """
        with self._turn:
            if self._closed:
                return
            if self.objective is not None:
                raise DisagreementError("a method claims infeasibility, but found a feasible placement")
            kept = plain_reasons(reasons)
            if not kept:
                raise DisagreementError(
                    "a method claims that the instance is infeasible, but gives no reason"
                )
            self._set("reasons", kept)

    def should_stop(self) -> bool:
        """Ask the stopping rules; to be called between pieces of work."""
        return self._ask(self.stop)

    def interrupt(self) -> None:
        """Note that the caller wants an end, whatever the method makes of it."""
        self._set("stopped_by", StopReason.INTERRUPT)

    def close(self) -> None:
        """Take nothing more, and check what the method has set.

        Raises
        ------
        MethodError
            If `repairs` is no count, or `notes` are not what JSON holds.
        """
        with self._turn:
            self._closed = True
        repairs = scalar(self.repairs)
        if repairs is None or not 0 <= repairs <= LARGEST_COUNT or repairs % 1:
            raise MethodError(f"run.repairs: {self.repairs!r:.60}, expected a whole number >= 0")
        self.repairs = int(repairs)
        self.notes = plain_notes(self.notes)

    @property
    def time_left_s(self) -> float:
        """Seconds until the time limit, or the end of the slice; inf without one."""
        return time_left_s(self.stop)

    @property
    def whole_time_left_s(self) -> float:
        """Seconds until the time limit, whatever slice is at work; inf without one."""
        return time_left_s(self._whole)

    @staticmethod
    def loading() -> AbstractContextManager[None]:
        """Import a library in this block: its first second is not taken from the time limit."""
        return COMPILER.loading()

    def is_due(self) -> bool:
        """Ask the stopping rules in the middle of a piece of work: nothing is counted as an iteration."""
        if self._inside[0] is not self.stop:  # `slice` puts in others
            self._inside = self.stop, without_iterations(self.stop)
        return self._ask(self._inside[1])

    def _ask(self, rules: StopRule | None) -> bool:
        if self.stopped_by is None and not self._closed:
            self._tell()
        if self.stopped_by is None and not self._closed and rules is not None:
            self._set("stopped_by", reason_of(rules, self.gap))
        return self._closed or self.stopped_by is not None

    def _tell(self) -> None:
        """Show the caller how it goes, every `TELL_EACH_S`; what he answers may end the run."""
        now = time.perf_counter()
        if self.progress is None or now - self._told < TELL_EACH_S:
            return
        self._told = now
        state = Progress(now - self.start, self.answered, self.bound, gap(self.answered, self.bound))
        try:
            wanted = self.progress(state)
        except Exception as error:
            raise InputError(f"progress: the callback raised {said(error)}") from error
        if wanted is False:
            self.interrupt()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @contextmanager
    def slice(self, seconds: float, *rules: StopRule, hold: bool = False) -> Iterator[Callable[[], bool]]:
        """Let a method work for so many seconds at the most, or until a rule says stop.

        Not the end of the run; with `hold` the method may be called again, and may keep what it began.

        Yields
        ------
        callable
            Says whether it was told to stop by now.
        """
        before = self.stop
        self._set("stop", AnyOf((*before.rules, TimeLimit(seconds), *rules)))
        self._set("holding", hold)
        try:
            yield lambda: self.stopped_by is not None
        finally:
            self._set("stop", before)
            self._set("holding", False)
            if self.stopped_by is StopReason.TIME:  # of the slice or of the run: whoever asks next is told
                self._set("stopped_by", None)

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
        value = scalar(bound)
        if value is None or np.isnan(value) or value == np.inf:
            raise DisagreementError(f"the method's bound is {bound!r:.60}, expected a number")
        better = float(value) > (-np.inf if self.bound is None else self.bound)
        if better:
            self._set("bound", float(value))
        return better

    def _agree(self, judged: Evaluation, objective: float | None) -> None:
        value = judged.objective
        if objective is None or value is None:
            return
        claimed = scalar(objective)
        if claimed is None:
            raise MethodError(f"the objective that it claims is {objective!r:.60}, expected a number")
        if not agree(claimed, value):
            raise DisagreementError(f"the method says its value is {objective!r}, the judge {value!r}")

    def _record(self) -> None:
        self._points.append((time.perf_counter() - self.start, self.answered, self.bound))


def _better(judged: Evaluation, known: Evaluation | None) -> bool:
    if known is None:
        return True
    if judged.objective is None or known.objective is None:
        return judged.feasible and not known.feasible
    return judged.objective < known.objective


_OWN = frozenset(own.name for own in fields(Run)) - set(FREE)
