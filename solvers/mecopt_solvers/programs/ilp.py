"""`ilp`: the flow formulation as arrays, straight into HiGHS."""

from __future__ import annotations

from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.limits import OF_ROWS
from mecopt.registry import Method
from mecopt_solvers.programs.branch_and_bound import branch_and_bound
from mecopt_solvers.programs.exact import solve_exactly
from mecopt_solvers.programs.flow import build_flow


def _solve(instance: Instance, run: Run) -> None:
    solve_exactly(instance, run, lambda reduced: build_flow(instance, reduced.arcs), branch_and_bound)


METHOD = Method(
    name="ilp",
    kind="exact",
    summary="flow formulation of all couplings, as arrays into HiGHS",
    honours=OF_ROWS,
    solve=_solve,
    random=True,
)
