"""HiGHS on arrays: models passed in one piece, and what `run` returns checked."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt_solvers.programs.highs import quiet


@dataclass(frozen=True, eq=False)
class Matrix:
    """A sparse matrix in columns."""

    start: Ints  # (columns,)
    index: Ints  # (entries,) rows
    value: Floats  # (entries,)


def model(cost: Floats, upper: Floats, row_lower: Floats, row_upper: Floats, matrix: Matrix) -> highspy.Highs:
    """Return a silent HiGHS of one thread: min cost x, row_lower <= A x <= row_upper, 0 <= x <= upper."""
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(cost), len(row_lower)
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, np.zeros(len(cost)), upper
    lp.row_lower_, lp.row_upper_ = row_lower, row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.append(matrix.start, len(matrix.index)).astype(np.int32)
    lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.index.astype(np.int32), matrix.value
    highs = quiet()
    # One scheduler serves a whole process: any other number of threads would not run beside one.
    for name, value in (
        ("threads", 1),
        ("parallel", "off"),
        ("primal_feasibility_tolerance", 1e-9),
        ("dual_feasibility_tolerance", 1e-9),
    ):
        highs.setOptionValue(name, value)
    highs.passModel(lp)
    return highs


def run(highs: highspy.Highs) -> highspy.HighsModelStatus | None:
    """Solve, and return how it ended; None where HiGHS says that it could not run.

    Nothing that is proved here rests on HiGHS being right, so a failure costs help and no more.
    """
    if highs.run() == highspy.HighsStatus.kError:
        return None
    return highs.getModelStatus()
