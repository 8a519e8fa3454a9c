"""Branch and bound of HiGHS on a `Program`, which can be watched and stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mecopt.stop import COMPILER
from mecopt_solvers.programs.jobs import Job, SearchOutcome
from mecopt_solvers.programs.watched import Heard, Post, Watched

BOUND_EVERY_S = 0.05
STRICT = 1e-9  # feasibility tolerance of scaled rows, and of reduced costs in scaled seconds
LOOSE = 1e-7
CUTOFF = 1e-6  # what is worse than a known solution by more than this fraction is not looked at


def branch_and_bound(job: Job) -> SearchOutcome:
    """Solve a program by HiGHS, a large one in a process of its own."""
    from mecopt_solvers.programs.apart import COLUMNS, solve_apart

    if job.program.columns > COLUMNS:
        return solve_apart(f"{__name__}:_in_thread", job)
    return _in_thread(job)


def _in_thread(job: Job, note: Callable[[Any], None] = lambda value: None) -> SearchOutcome:
    """Run HiGHS in a thread of its own.

    HiGHS has one scheduler a thread, and one that was made for another number of threads makes it return
    zeros; a fresh thread has none.
    """
    with COMPILER.loading():
        import mecopt_solvers.programs.relaxation  # noqa: F401
    return HighsSearch(job).go_on()


class HighsSearch:
    """A branch and bound that can wait: HiGHS stands still in its next callback until it is gone on with."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.stopped = False
        self.going = threading.Event()
        self.going.set()
        self.call = Watched(lambda post: _branch_and_bound(job, post, self._told_to_stop), self._stop)

    def go_on(self) -> SearchOutcome:
        """Search on, until the end or until the job is due."""
        self.going.set()
        outcome, heard = self.call.listen(self._handle, self.job.due, self.job.hold)
        if heard is Heard.HELD:
            self.going.clear()
            return SearchOutcome("held", held=self)
        return SearchOutcome("stopped") if outcome is None else outcome

    def leave(self) -> None:
        """End it: it will not go on."""
        self.call.leave()

    def _handle(self, kind: str, value: Any) -> None:
        self.job.found(value) if kind == "found" else self.job.bound(value)

    def _stop(self) -> None:
        self.stopped = True
        self.going.set()

    def _told_to_stop(self) -> bool:
        """Called by HiGHS, in its thread."""
        self.going.wait()
        return self.stopped


def _branch_and_bound(job: Job, post: Post, told_to_stop: Callable[[], bool]) -> SearchOutcome:
    from mecopt_solvers.programs.relaxation import model

    highs = model(job.program, job.program.cost / job.unit, integer=True)
    tolerance = STRICT if job.strict else LOOSE
    highs.set(
        mip_rel_gap=0.0,
        mip_abs_gap=0.0,
        mip_feasibility_tolerance=tolerance,
        primal_feasibility_tolerance=tolerance,
        dual_feasibility_tolerance=tolerance,
        threads=job.threads,
        random_seed=job.seed % 2**31,
    )
    if np.isfinite(job.time_left_s):
        highs.set_time_left(max(job.time_left_s, 0.01))
    if job.start is not None:
        # Its value as a cutoff, not the start itself: presolve of HiGHS 1.16 gives a start that is set by
        # `setSolution` another, lower value wherever it has merged or removed columns, prunes by that and
        # ends as optimal with a worse solution (tests/solvers/programs). The run keeps the placement.
        seconds = job.start_value
        value = (float(job.program.cost @ job.start) if seconds is None else seconds) / job.unit
        highs.set(objective_bound=value + CUTOFF * max(value, 1.0))
    told = {"bound": -np.inf, "at": 0.0}

    def bound_is(value: float) -> None:
        now = time.perf_counter()
        if now - told["at"] > BOUND_EVERY_S:
            told["at"] = now
            if told["bound"] < value < np.inf:
                told["bound"] = value
                post("bound", value * job.unit)

    highs.watch(told_to_stop, lambda values: post("found", values), bound_is)
    ended = highs.run()
    bound = highs.bound * job.unit if np.isfinite(highs.bound) else None
    if ended == "optimal":
        post("found", highs.values)
        return SearchOutcome("optimal", bound)
    if ended == "infeasible":
        return SearchOutcome("infeasible")
    if ended == "stopped":
        return SearchOutcome("stopped", bound)
    return SearchOutcome("failed", None, f"HiGHS ended with {highs.status!r}")
