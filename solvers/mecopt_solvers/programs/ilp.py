"""`ilp`: the flow formulation as arrays, straight into HiGHS."""

from __future__ import annotations

from mecopt.entities import Coupling
from mecopt.features import ALL
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.limits import OF_ROWS
from mecopt.registry import Method
from mecopt_solvers.programs.branch_and_bound import branch_and_bound
from mecopt_solvers.programs.exact import Tangents, solve_exactly
from mecopt_solvers.programs.extras import apart
from mecopt_solvers.programs.flow import build_flow
from mecopt_solvers.programs.linear_program import Program
from mecopt_solvers.programs.presolve import Reduced


def _solve(instance: Instance, run: Run) -> None:
    def build(reduced: Reduced, known: float | None, tangents: Tangents) -> Program:
        return build_flow(instance, reduced.arcs, drop=reduced.drop, known=known, tangents=tangents)

    solve_exactly(instance, run, build, branch_and_bound, "ilp")


METHOD = Method(
    name="ilp",
    kind="exact",
    summary="flow formulation of all couplings, as arrays into HiGHS",
    honours=OF_ROWS | {Coupling.SHARING},
    solve=_solve,
    random=True,
    takes=ALL,
    refuses=apart,
)
