"""The linear programs of the decomposition in HiGHS: tight, on one thread, without presolve."""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Floats
from mecopt.highs import Highs, Matrix

TOLERANCE = 1e-9


def model(cost: Floats, row_lower: Floats, row_upper: Floats, matrix: Matrix) -> Highs:
    """Return a program of columns (C,) without upper bounds and rows (R,), ready to run.

    Nothing that is proved here rests on HiGHS being right, so a run that fails costs help and no more.
    """
    highs = Highs(cost, np.full(len(cost), np.inf), row_lower, row_upper, matrix)
    # One scheduler serves a whole process: any other number of threads would not run beside one.
    highs.set(
        threads=1,
        parallel="off",
        primal_feasibility_tolerance=TOLERANCE,
        dual_feasibility_tolerance=TOLERANCE,
        presolve="off",
    )
    return highs
