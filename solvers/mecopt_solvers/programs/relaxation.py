"""A `Program` in HiGHS, and the bound of its LP relaxation."""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Floats
from mecopt.errors import MecoptError
from mecopt.highs import Ended, Highs, Matrix
from mecopt_solvers.programs.linear_program import Program, safe_bound
from mecopt_solvers.programs.watched import Post, watched


def model(program: Program, cost: Floats, *, integer: bool) -> Highs:
    """Return a program in HiGHS.

    Parameters
    ----------
    program : Program
    cost : array of shape (C,)
        In place of the program's own.
    integer : bool
        Whether columns are whole numbers where the program says so.
    """
    rows = program.rows
    matrix = Matrix(rows.start[:-1], rows.column, rows.value, by_rows=True)
    upper = np.ones(program.columns)
    return Highs(cost, upper, rows.lower, rows.upper, matrix, program.integer if integer else None)


def lp_bound(program: Program, *, unit: float = 1.0, threads: int = 1) -> float | None:
    """Solve the LP relaxation; return a bound that is valid whatever HiGHS did, None for an infeasible LP.

    Parameters
    ----------
    program : Program
    unit : float
        Seconds of objective that HiGHS sees as 1.
    threads : int

    Raises
    ------
    MecoptError
        If HiGHS ends with neither.
    """

    def solve(post: Post) -> tuple[Ended, Floats, str]:
        highs = model(program, program.cost / unit, integer=False)
        highs.set(threads=threads)
        return highs.run(), highs.duals, highs.status

    (ended, dual, status), _ = watched(solve, lambda: None, lambda kind, value: None, lambda: False)
    if ended == "infeasible":
        return None
    if ended == "empty":
        return 0.0
    if ended != "optimal" or len(dual) != len(program.rows.lower):
        raise MecoptError(f"HiGHS ended with {status!r} on the LP relaxation")
    return safe_bound(program, dual * unit)
