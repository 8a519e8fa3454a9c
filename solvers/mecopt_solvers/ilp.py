"""`ilp`: the flow formulation as arrays, straight into HiGHS."""

from __future__ import annotations

from mecopt.exact import solve_exactly
from mecopt.highs import branch_and_bound
from mecopt.instance import Instance
from mecopt.parts import Coupling
from mecopt.registry import Method
from mecopt.run import Run
from mecopt_solvers.flow import build_flow


def _solve(instance: Instance, run: Run) -> None:
    solve_exactly(instance, run, lambda reduced: build_flow(instance, reduced.arcs), branch_and_bound)


METHOD = Method(
    name="ilp",
    kind="exact",
    summary="flow formulation of all couplings, as arrays into HiGHS",
    honours=frozenset(Coupling),
    solve=_solve,
    random=True,
)
