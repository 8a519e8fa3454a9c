"""`cpsat`: the flow formulation in whole numbers for OR-Tools CP-SAT.

Costs and limits are scaled to integers. The scale of the costs is the finest that sums allow, and the largest
error that it can make is worked out from the data, taken off the bound and reported. Limits are rounded
so that all that the judge allows stays allowed; what is let through besides is found by the judge and cut
off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.features import OF_STEPS, Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.limits import OF_ROWS
from mecopt.registry import Method
from mecopt.stop import COMPILER
from mecopt_solvers.programs.exact import SCALE, solve_exactly
from mecopt_solvers.programs.flow import build_flow
from mecopt_solvers.programs.jobs import Job, SearchOutcome
from mecopt_solvers.programs.linear_program import Program
from mecopt_solvers.programs.watched import Post, watched

LARGEST_SUM = 2.0**50  # of scaled costs; beyond that, CP-SAT's own sums get close to overflow
FINEST = 1e-11  # no finer than this fraction of the objective, which is far below what is asked of it
# What a limit of 1 becomes. No finer: with 10**10 the presolve of OR-Tools 9.15 loses feasible placements.
LIMIT = 10**8
PIECE = 10_000  # columns made between two looks at the clock


@dataclass(frozen=True, eq=False)
class Scaled:
    """Costs in whole units."""

    cost: Ints  # (C,)
    unit: float  # seconds
    error: float  # seconds by which the cost of a placement can be wrong

    @classmethod
    def of(cls, program: Program, objective: float) -> Scaled:
        """Choose the unit for an objective of about that size."""
        most = _stages(program, program.cost)[1]
        unit = max(most.sum() / LARGEST_SUM, FINEST * objective)
        if unit == 0:
            unit = 1.0
        cost = np.rint(program.cost / unit).astype(np.int64)
        error = _stages(program, np.abs(cost * unit - program.cost))[1].sum()
        return cls(cost, unit, float(error))


def _stages(program: Program, value: Floats) -> tuple[Ints, Floats]:
    """Return for every column which (task, block) it belongs to, and the largest value in each."""
    real = program.task >= 0
    key = program.task[real] * (program.block.max(initial=0) + 1) + program.block[real]
    names, stage = np.unique(key, return_inverse=True)
    most = np.zeros(len(names))
    np.maximum.at(most, stage, value[real])
    return stage, most


def search(job: Job, note: Callable[[Scaled], None]) -> SearchOutcome:
    """Solve a program by CP-SAT, a large one in a process of its own."""
    from mecopt_solvers.programs.apart import COLUMNS, solve_apart

    if job.program.columns > COLUMNS:
        return solve_apart(f"{__name__}:_in_thread", job, note)
    return _in_thread(job, note)


def _in_thread(job: Job, note: Callable[[Scaled], None]) -> SearchOutcome:
    """Run CP-SAT in a thread of its own."""
    with COMPILER.loading():
        from ortools.sat.python import cp_model

    scaled = Scaled.of(job.program, job.unit * SCALE)
    note(scaled)
    built = _model(job.program, scaled, job.due)
    if built is None:
        return SearchOutcome("stopped")
    model, columns = built
    if job.start is not None:
        for column, value in zip(columns, job.start.tolist(), strict=True):
            model.add_hint(column, int(value))
    solver = cp_model.CpSolver()
    parameters = solver.parameters
    parameters.num_workers = job.threads
    parameters.random_seed = job.seed % 2**31
    parameters.catch_sigint_signal = False
    if np.isfinite(job.time_left_s):
        # Counted before the model was built: `due` ends the search in time.
        parameters.max_time_in_seconds = job.time_left_s

    def handle(kind: str, value: Any) -> None:
        job.found(value) if kind == "found" else job.bound(value * scaled.unit - scaled.error)

    outcome: SearchOutcome | None
    outcome, _ = watched(
        lambda post: _solve_model(solver, model, columns, post), solver.stop_search, handle, job.due
    )
    if outcome is None:
        return SearchOutcome("stopped")
    bound = None if outcome.bound is None else outcome.bound * scaled.unit - scaled.error
    return replace(outcome, bound=bound, error=scaled.error)


def _solve_model(solver: Any, model: Any, columns: list[Any], post: Post) -> SearchOutcome:
    from ortools.sat.python import cp_model

    class Watcher(cp_model.CpSolverSolutionCallback):
        def on_solution_callback(self) -> None:
            post("found", np.array([self.boolean_value(column) for column in columns], dtype=np.float64))

    solver.best_bound_callback = lambda bound: post("bound", bound)
    status = solver.solve(model, Watcher())
    if status == cp_model.OPTIMAL:
        return SearchOutcome("optimal", solver.best_objective_bound)
    if status == cp_model.INFEASIBLE:
        return SearchOutcome("infeasible")
    if status in (cp_model.FEASIBLE, cp_model.UNKNOWN):
        return SearchOutcome("stopped", solver.best_objective_bound)
    return SearchOutcome(
        "failed", None, f"CP-SAT ended with {solver.status_name(status)}: {model.validate()}"
    )


def _model(program: Program, scaled: Scaled, due: Callable[[], bool]) -> tuple[Any, list[Any]] | None:
    """Build the CP-SAT model, one arc chosen for every block; None if `due` says stop before it is done."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    columns: list[Any] = []
    while len(columns) < program.columns:
        if due():
            return None
        columns += [model.new_bool_var("") for _ in range(min(PIECE, program.columns - len(columns)))]
    stage, most = _stages(program, program.cost)
    blocks: list[list[Any]] = [[] for _ in most]
    for at, c in zip(stage.tolist(), np.flatnonzero(program.task >= 0).tolist(), strict=True):
        blocks[at].append(columns[c])
    for arcs in blocks:
        if due():
            return None
        model.add_exactly_one(arcs)
    rows = program.rows
    for row in range(len(rows.lower)):
        if due():
            return None
        which, value = rows.entries(row)
        terms = [columns[c] for c in which.tolist()]
        lower, upper = float(rows.lower[row]), float(rows.upper[row])
        if np.array_equal(value, np.rint(value)):
            total = cp_model.LinearExpr.weighted_sum(terms, value.astype(np.int64).tolist())
            if lower == upper:
                model.add(total == round(lower))
            else:
                model.add(total <= int(np.floor(upper)))
        else:
            share = np.floor(value * LIMIT).astype(np.int64).tolist()
            model.add(cp_model.LinearExpr.weighted_sum(terms, share) <= int(np.ceil(upper * LIMIT)))
    model.minimize(cp_model.LinearExpr.weighted_sum(columns, scaled.cost.tolist()))
    return model, columns


def _solve(instance: Instance, run: Run) -> None:
    def note(scaled: Scaled) -> None:
        run.notes["cost_unit_s"] = scaled.unit
        run.notes["scaling_error_s"] = scaled.error

    solve_exactly(
        instance,
        run,
        lambda reduced, known, tangents: build_flow(instance, reduced.arcs),
        lambda job: search(job, note),
    )


METHOD = Method(
    name="cpsat",
    kind="exact",
    summary="OR-Tools CP-SAT on whole numbers, with the error of the scaling taken off the bound",
    honours=OF_ROWS,
    solve=_solve,
    random=True,
    takes=OF_STEPS | {Feature.ONE_RUN, Feature.TOTAL_DEADLINE, Feature.STATE},
)
