"""A program in HiGHS that is solved again and again with other bounds, within a time limit."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.highs import Matrix
from mecopt_solvers.programs.linear_program import Program
from mecopt_solvers.programs.relaxation import model
from mecopt_solvers.programs.watched import Post, watched

TOLERANCE = 1e-9  # that of everybody's feasible set; the default of HiGHS is 1e-7
MANY = 20_000  # columns from which on HiGHS spends more time probing than it has
PROBING = 1 << 15  # what HiGHS calls it


class Clock:
    """The time that is left of a limit."""

    def __init__(self, limit_s: float | None) -> None:
        self.end = math.inf if limit_s is None else time.perf_counter() + limit_s

    @property
    def left(self) -> float:
        """Seconds left, 0 when there are none."""
        return max(self.end - time.perf_counter(), 0.0)


@dataclass(frozen=True, eq=False)
class Answer:
    """What HiGHS found; without a solution `value` is None."""

    infeasible: bool  # proved
    optimal: bool  # proved
    value: float | None
    bound: float | None
    columns: Floats
    duals: Floats  # of the rows; empty with integrality


NOTHING = Answer(False, False, None, None, np.zeros(0), np.zeros(0))


class Solver:
    """One program in HiGHS.

    Parameters
    ----------
    program : Program
    cost : array of shape (columns,)
        In place of the program's own.
    elastic : array of int, optional
        Rows that may be exceeded, at a cost of 1 for each unit.
    integer : bool
        Whether columns are whole numbers where the program says so.
    threads : int

    Attributes
    ----------
    highs : Highs
        Its bounds may be changed between two solves.
    """

    def __init__(
        self, program: Program, cost: Floats, elastic: Ints | None = None, *, integer: bool, threads: int = 1
    ) -> None:
        self.integer = integer
        self.highs = model(program, cost, integer=integer)
        if elastic is not None and len(elastic):
            each = np.arange(len(elastic))
            self.highs.add_columns(np.ones(len(elastic)), Matrix(each, elastic, np.full(len(elastic), -1.0)))
        self.highs.set(
            threads=threads,
            primal_feasibility_tolerance=TOLERANCE,
            dual_feasibility_tolerance=TOLERANCE,
            mip_feasibility_tolerance=TOLERANCE,
            mip_rel_gap=1e-6,
            mip_abs_gap=1e-9,
        )
        if integer and program.columns > MANY:
            self.highs.set(presolve_rule_off=PROBING)
        self._tell = tell = {"stop": False}
        self.highs.interrupt_when(lambda: tell["stop"])

    def solve(self, clock: Clock) -> Answer:
        """Solve within the time that is left."""
        if clock.left <= 0:
            return NOTHING
        self._tell["stop"] = False
        self.highs.set_time_left(clock.left)
        answer, _ = watched(self._run, self._stop, lambda kind, value: None, lambda: clock.left <= 0)
        return NOTHING if answer is None else answer

    def _run(self, post: Post) -> Answer:
        highs = self.highs
        ended = highs.run()
        # A search that was stopped may have a solution, an LP that was stopped has none that counts.
        usable = ended == "optimal" or (self.integer and highs.feasible)
        bound = highs.bound if self.integer else highs.objective
        return Answer(
            infeasible=ended in ("infeasible", "unbounded or infeasible"),
            optimal=ended == "optimal",
            value=highs.objective if usable and math.isfinite(highs.objective) else None,
            bound=bound if math.isfinite(bound) else None,
            columns=highs.values if usable else np.zeros(0),
            duals=highs.duals if ended == "optimal" and not self.integer else np.zeros(0),
        )

    def _stop(self) -> None:
        self._tell["stop"] = True
