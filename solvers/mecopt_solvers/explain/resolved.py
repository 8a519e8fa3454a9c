"""A program in HiGHS that is solved again and again with other bounds, within a time limit."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.programs.highs import model
from mecopt_solvers.programs.linear_program import Program
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
    """

    def __init__(
        self, program: Program, cost: Floats, elastic: Ints | None = None, *, integer: bool, threads: int = 1
    ) -> None:
        import highspy

        self.integer = integer
        self.model: Any = model(program, cost, integer=integer)
        for row in [] if elastic is None else elastic.tolist():
            self.model.addCol(1.0, 0.0, np.inf, 1, np.array([row], dtype=np.int32), np.array([-1.0]))
        options: dict[str, float] = {
            "threads": threads,
            "primal_feasibility_tolerance": TOLERANCE,
            "dual_feasibility_tolerance": TOLERANCE,
            "mip_feasibility_tolerance": TOLERANCE,
            "mip_rel_gap": 1e-6,
            "mip_abs_gap": 1e-9,
        }
        if integer and program.columns > MANY:
            options["presolve_rule_off"] = PROBING
        for name, value in options.items():
            self.model.setOptionValue(name, value)
        self._tell = tell = {"stop": False}

        # No reference to the solver itself: the two would keep each other alive, and HiGHS is large.
        def interrupt(kind: Any, message: str, out: Any, into: Any, data: Any) -> None:
            into.user_interrupt = tell["stop"]

        self.model.setCallback(interrupt, None)
        kinds = highspy.cb.HighsCallbackType
        for kind in (
            kinds.kCallbackMipInterrupt,
            kinds.kCallbackSimplexInterrupt,
            kinds.kCallbackIpmInterrupt,
        ):
            self.model.startCallback(kind)

    def set_rows(self, rows: Ints, upper: Floats) -> None:
        """Give some rows other upper bounds, and none below."""
        if len(rows):
            lower = np.full(len(rows), -np.inf)
            self.model.changeRowsBounds(len(rows), rows.astype(np.int32), lower, upper)

    def set_columns(self, upper: Floats) -> None:
        """Give all columns of the program other upper bounds, and 0 below."""
        columns = np.arange(len(upper), dtype=np.int32)
        self.model.changeColsBounds(len(columns), columns, np.zeros(len(columns)), upper)

    def solve(self, clock: Clock) -> Answer:
        """Solve within the time that is left."""
        if clock.left <= 0:
            return NOTHING
        self._tell["stop"] = False
        # HiGHS counts the time of all runs of a model together.
        self.model.setOptionValue("time_limit", min(clock.left, 1e9) + self.model.getRunTime())
        answer, _ = watched(self._run, self._stop, lambda kind, value: None, lambda: clock.left <= 0)
        return NOTHING if answer is None else answer

    def _run(self, post: Post) -> Answer:
        from highspy import HighsModelStatus

        self.model.run()
        found, info = self.model.getModelStatus(), self.model.getInfo()
        solution = self.model.getSolution()
        optimal = found == HighsModelStatus.kOptimal
        # A search that was stopped may have a solution, an LP that was stopped has none that counts.
        usable = optimal or (self.integer and info.primal_solution_status == 2)
        value = float(info.objective_function_value)
        bound = float(info.mip_dual_bound) if self.integer else value
        return Answer(
            infeasible=found in (HighsModelStatus.kInfeasible, HighsModelStatus.kUnboundedOrInfeasible),
            optimal=optimal,
            value=value if usable and math.isfinite(value) else None,
            bound=bound if math.isfinite(bound) else None,
            columns=np.array(solution.col_value) if usable else np.zeros(0),
            duals=np.array(solution.row_dual) if optimal and not self.integer else np.zeros(0),
        )

    def _stop(self) -> None:
        self._tell["stop"] = True
