"""The one place that talks to HiGHS: data in, options, callbacks, and what came out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import highspy
import numpy as np
from highspy._core import _Highs

from mecopt.arrays import Floats, Ints
from mecopt.errors import MecoptError

Ended = Literal["optimal", "infeasible", "unbounded or infeasible", "empty", "stopped", "failed"]

_ENDED: dict[highspy.HighsModelStatus, Ended] = {
    highspy.HighsModelStatus.kOptimal: "optimal",
    highspy.HighsModelStatus.kInfeasible: "infeasible",
    highspy.HighsModelStatus.kUnboundedOrInfeasible: "unbounded or infeasible",
    highspy.HighsModelStatus.kModelEmpty: "empty",
    highspy.HighsModelStatus.kTimeLimit: "stopped",
    highspy.HighsModelStatus.kInterrupt: "stopped",
}
_LONGEST_S = 1e9  # a time limit, where there is none
_FEASIBLE = 2  # what HiGHS calls a solution that meets every row


@dataclass(frozen=True, eq=False)
class Matrix:
    """A sparse matrix in columns, or in rows."""

    start: Ints  # (columns,) or (rows,) place of the first entry
    index: Ints  # (entries,) rows, or columns
    value: Floats  # (entries,)
    by_rows: bool = False


class Highs:
    """A linear or mixed-integer program in HiGHS: min cost x, row_lower <= A x <= row_upper, 0 <= x <= upper.

    Parameters
    ----------
    cost, upper : arrays of shape (C,)
        Of columns; `upper` may be inf.
    row_lower, row_upper : arrays of shape (R,)
        Of rows; -inf and inf where there is none.
    matrix : Matrix
    integer : array of bool of shape (C,), optional
        Which columns are whole numbers; none if left out.

    Raises
    ------
    MecoptError
        If HiGHS refuses an option. Neither data that it refuses nor a run that fails raises anything: what is
        proved here does not rest on HiGHS being right. The run has ended as "empty" or "failed".
    """

    def __init__(
        self,
        cost: Floats,
        upper: Floats,
        row_lower: Floats,
        row_upper: Floats,
        matrix: Matrix,
        integer: Any = None,
    ) -> None:
        self._highs: Any = quiet()  # stubs lack some of its functions
        self._highs.passModel(
            len(cost),
            len(row_lower),
            len(matrix.index),
            int(highspy.MatrixFormat.kRowwise if matrix.by_rows else highspy.MatrixFormat.kColwise),
            int(highspy.ObjSense.kMinimize),
            0.0,
            cost,
            np.zeros(len(cost)),
            upper,
            row_lower,
            row_upper,
            matrix.start.astype(np.int32),
            matrix.index.astype(np.int32),
            matrix.value,
            (np.zeros(len(cost)) if integer is None else integer).astype(np.int32),
        )
        self._status = highspy.HighsModelStatus.kNotset

    def set(self, **options: Any) -> None:
        """Set options by the names that HiGHS gives them.

        Raises
        ------
        MecoptError
            If HiGHS refuses one.
        """
        for name, value in options.items():
            if self._highs.setOptionValue(name, value) != highspy.HighsStatus.kOk:
                raise MecoptError(f"HiGHS refuses its option {name} = {value!r}")

    def set_time_left(self, seconds: float) -> None:
        """Limit the runs to come; HiGHS itself counts the time of all runs of a program together."""
        self.set(time_limit=min(seconds, _LONGEST_S) + self._highs.getRunTime())

    def interrupt_when(self, told: Callable[[], bool]) -> None:
        """Ask now and then, whichever algorithm is at work, whether to stop.

        `told` must not refer to this object: the two would keep each other alive, and HiGHS is large.
        """

        def call(kind: Any, message: str, out: Any, into: Any, data: Any) -> None:
            into.user_interrupt = told()

        kinds = highspy.cb.HighsCallbackType
        self._listen(
            call, kinds.kCallbackMipInterrupt, kinds.kCallbackSimplexInterrupt, kinds.kCallbackIpmInterrupt
        )

    def watch(
        self, told: Callable[[], bool], found: Callable[[Floats], None], bound: Callable[[float], None]
    ) -> None:
        """Hear of solutions (C,) and of the bound of a branch and bound, and ask whether to stop."""
        kinds = highspy.cb.HighsCallbackType

        def call(kind: Any, message: str, out: Any, into: Any, data: Any) -> None:
            if kind == kinds.kCallbackMipSolution:
                found(np.array(out.mip_solution))
                return
            bound(out.mip_dual_bound)
            into.user_interrupt = told()

        self._listen(call, kinds.kCallbackMipSolution, kinds.kCallbackMipInterrupt)

    def _listen(self, call: Callable[..., None], *kinds: Any) -> None:
        self._highs.setCallback(call, None)
        for kind in kinds:
            self._highs.startCallback(kind)

    def run(self) -> Ended:
        """Solve, and say how it ended.

        A thread's first run of HiGHS, anybody's, makes a scheduler for so many threads, beside which a run
        with another number fails: then the scheduler gives way to a new one.
        """
        failed = self._highs.run() == highspy.HighsStatus.kError
        if failed:
            self._highs.resetThreadScheduler(True)
            failed = self._highs.run() == highspy.HighsStatus.kError
        self._status = highspy.HighsModelStatus.kSolveError if failed else self._highs.getModelStatus()
        return _ENDED.get(self._status, "failed")

    def forget(self) -> None:
        """Drop the basis and all else that the next run would begin with."""
        self._highs.clearSolver()

    def add_columns(self, cost: Floats, matrix: Matrix) -> None:
        """Add columns without an upper bound behind the others; `matrix` is theirs, in columns."""
        self._highs.addCols(
            len(cost),
            cost,
            np.zeros(len(cost)),
            np.full(len(cost), np.inf),
            len(matrix.index),
            matrix.start.astype(np.int32),
            matrix.index.astype(np.int32),
            matrix.value,
        )

    def fix_column(self, column: int, value: float) -> None:
        """Give a column one value."""
        self._highs.changeColBounds(column, value, value)

    def bound_columns(self, upper: Floats) -> None:
        """Give the first columns other upper bounds, and 0 below."""
        columns = np.arange(len(upper), dtype=np.int32)
        self._highs.changeColsBounds(len(columns), columns, np.zeros(len(columns)), upper)

    def bound_rows(self, rows: Ints, upper: Floats) -> None:
        """Give some rows other upper bounds, and none below."""
        if len(rows):
            lower = np.full(len(rows), -np.inf)
            self._highs.changeRowsBounds(len(rows), rows.astype(np.int32), lower, upper)

    @property
    def status(self) -> str:
        """How the last run ended, in the words of HiGHS."""
        return str(self._highs.modelStatusToString(self._status))

    @property
    def values(self) -> Floats:
        """Values of the columns, (C,)."""
        return np.array(self._highs.getSolution().col_value)

    @property
    def duals(self) -> Floats:
        """Duals of the rows, (R,), none above 0 where a row only has an upper bound."""
        return np.array(self._highs.getSolution().row_dual)

    @property
    def objective(self) -> float:
        """Objective of `values`."""
        return float(self._highs.getInfo().objective_function_value)

    @property
    def bound(self) -> float:
        """Lower bound of the branch and bound; infinite where there is none."""
        return float(self._highs.getInfo().mip_dual_bound)

    @property
    def feasible(self) -> bool:
        """Whether `values` meet every row."""
        return bool(self._highs.getInfo().primal_solution_status == _FEASIBLE)


def quiet() -> highspy.Highs:
    """Return an empty HiGHS that prints nothing; `highspy.Highs()` itself greets on standard output."""
    highs = _Highs()
    highs.setOptionValue("output_flag", False)
    return cast("highspy.Highs", highs)
