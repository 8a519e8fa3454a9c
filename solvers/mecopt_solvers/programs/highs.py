"""HiGHS on a `Program`: as a mixed-integer program that can be watched and stopped, or as its LP."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mecopt.arrays import Floats
from mecopt.errors import MecoptError
from mecopt.stop import COMPILER
from mecopt_solvers.programs.apart import COLUMNS, solve_apart
from mecopt_solvers.programs.linear_program import Program, safe_bound
from mecopt_solvers.programs.search import Job, Outcome
from mecopt_solvers.programs.watched import Post, watched

if TYPE_CHECKING:
    import highspy

BOUND_EVERY_S = 0.05
STRICT = 1e-9  # feasibility tolerance of scaled rows, and of reduced costs in scaled seconds
LOOSE = 1e-7
CUTOFF = 1e-6  # what is worse than a known solution by more than this fraction is not looked at


def branch_and_bound(job: Job) -> Outcome:
    """Solve a program by HiGHS, a large one in a process of its own."""
    if job.program.columns > COLUMNS:
        return solve_apart(f"{__name__}:_in_thread", job)
    return _in_thread(job)


def _in_thread(job: Job, note: Callable[[Any], None] = lambda value: None) -> Outcome:
    """Run HiGHS in a thread of its own.

    HiGHS has one scheduler a thread, and one that was made for another
    number of
    threads makes it return zeros; a fresh thread has none.
    """
    with COMPILER.loading():
        import highspy  # noqa: F401
    tell = {"stop": False}

    def handle(kind: str, value: Any) -> None:
        job.found(value) if kind == "found" else job.bound(value)

    def stop() -> None:
        tell["stop"] = True

    outcome, _ = watched(lambda post: _branch_and_bound(job, post, tell), stop, handle, job.due)
    return Outcome("stopped") if outcome is None else outcome


def _branch_and_bound(job: Job, post: Post, tell: dict[str, bool]) -> Outcome:
    from highspy import HighsModelStatus, cb

    Kind = cb.HighsCallbackType

    highs = model(job.program, job.program.cost / job.unit, integer=True)
    tolerance = STRICT if job.strict else LOOSE
    _set(
        highs,
        mip_rel_gap=0.0,
        mip_abs_gap=0.0,
        mip_feasibility_tolerance=tolerance,
        primal_feasibility_tolerance=tolerance,
        dual_feasibility_tolerance=tolerance,
        threads=job.threads,
        random_seed=job.seed % 2**31,
    )
    if np.isfinite(job.time_left_s):
        _set(highs, time_limit=max(job.time_left_s, 0.01))
    if job.start is not None:
        # Its value as a cutoff, not the start itself: presolve of HiGHS 1.16 gives a start that is set by
        # `setSolution` another, lower value wherever it has merged or removed columns, prunes by that and
        # ends as optimal with a worse solution (tests/solvers/programs). The run keeps the placement.
        value = float(job.program.cost @ job.start) / job.unit
        _set(highs, objective_bound=value + CUTOFF * max(value, 1.0))
    told = {"bound": -np.inf, "at": 0.0}

    def call(kind: Any, message: str, out: Any, into: Any, data: Any) -> None:
        if kind == Kind.kCallbackMipSolution:
            post("found", np.array(out.mip_solution))
            return
        now = time.perf_counter()
        if kind == Kind.kCallbackMipInterrupt and now - told["at"] > BOUND_EVERY_S:
            told["at"] = now
            if told["bound"] < out.mip_dual_bound < np.inf:
                told["bound"] = out.mip_dual_bound
                post("bound", out.mip_dual_bound * job.unit)
        into.user_interrupt = tell["stop"]

    highs.setCallback(call, None)
    for kind in (Kind.kCallbackMipSolution, Kind.kCallbackMipInterrupt):
        highs.startCallback(kind)
    status = _run(highs)
    info = highs.getInfo()
    bound = info.mip_dual_bound * job.unit if np.isfinite(info.mip_dual_bound) else None
    if status == HighsModelStatus.kOptimal:
        post("found", np.array(highs.getSolution().col_value))
        return Outcome("optimal", bound)
    if status == HighsModelStatus.kInfeasible:
        return Outcome("infeasible")
    if status in (HighsModelStatus.kTimeLimit, HighsModelStatus.kInterrupt):
        return Outcome("stopped", bound)
    return Outcome("failed", None, f"HiGHS ended with {highs.modelStatusToString(status)!r}")


def lp_bound(program: Program, *, unit: float = 1.0, threads: int = 1) -> float | None:
    """Solve the LP relaxation; return a bound that is valid whatever HiGHS did, None for an infeasible LP.

    Raises
    ------
    MecoptError
        If HiGHS ends with neither.
    """
    from highspy import HighsModelStatus

    def solve(post: Post) -> tuple[Any, Floats, str]:
        highs = model(program, program.cost / unit, integer=False)
        _set(highs, threads=threads)
        status = _run(highs)
        return status, np.array(highs.getSolution().row_dual), highs.modelStatusToString(status)

    (status, dual, name), _ = watched(solve, lambda: None, lambda kind, value: None, lambda: False)
    if status == HighsModelStatus.kInfeasible:
        return None
    if status == HighsModelStatus.kModelEmpty:
        return 0.0
    if status != HighsModelStatus.kOptimal or len(dual) != len(program.rows.lower):
        raise MecoptError(f"HiGHS ended with {name!r} on the LP relaxation")
    return safe_bound(program, dual * unit)


def quiet() -> highspy.Highs:
    """Return an empty HiGHS that prints nothing; `highspy.Highs()` itself greets on standard output."""
    from highspy._core import _Highs

    highs = _Highs()
    highs.setOptionValue("output_flag", False)
    return cast("highspy.Highs", highs)


def model(program: Program, cost: Floats, *, integer: bool) -> highspy.Highs:
    """Return a HiGHS that prints nothing, with a program in it.

    Parameters
    ----------
    program : Program
    cost : array of shape (columns,)
        In place of the program's own.
    integer : bool
        Whether columns are whole numbers where the program says so.
    """
    import highspy

    highs = quiet()
    rows = program.rows
    highs.passModel(
        program.columns,
        len(rows.lower),
        len(rows.column),
        int(highspy.MatrixFormat.kRowwise),
        int(highspy.ObjSense.kMinimize),
        0.0,
        cost,
        np.zeros(program.columns),
        np.ones(program.columns),
        rows.lower,
        rows.upper,
        rows.start[:-1].astype(np.int32),
        rows.column.astype(np.int32),
        rows.value,
        (program.integer & integer).astype(np.int32),
    )
    return highs


def _set(highs: highspy.Highs, **options: Any) -> None:
    from highspy import HighsStatus

    for name, value in options.items():
        if highs.setOptionValue(name, value) != HighsStatus.kOk:
            raise MecoptError(f"HiGHS refuses its option {name} = {value!r}")


def _run(highs: highspy.Highs) -> Any:
    from highspy import HighsModelStatus, HighsStatus

    status = highs.run()
    return HighsModelStatus.kSolveError if status == HighsStatus.kError else highs.getModelStatus()
