"""Lower bounds side by side: what each relaxation proves, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt import features
from mecopt.errors import MecoptError
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import method
from mecopt.result import Result
from mecopt.solving import solve
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.programs.flow import build_flow
from mecopt_solvers.programs.relaxation import lp_bound

SCALE = 1e3
ROUNDS = 1  # of the decomposition


@dataclass(frozen=True)
class Bound:
    """One relaxation; `value` None with a remark where it proves that nothing is feasible, or fails.

    A proof that nothing is feasible has `remark` "infeasible", and `reasons` as those of a result where the
    method gives any.
    """

    name: str
    value: float | None
    cpu_s: float
    wall_s: float
    remark: str = ""
    reasons: tuple[Mapping[str, Any], ...] = ()


def bounds(instance: Instance, *, time_limit_s: float = 60.0, threads: int = 1) -> Iterator[Bound]:
    """Yield the bounds of the trellis, of both formulations' LPs and of the decomposition as they are found.

    Parameters
    ----------
    instance : Instance
    time_limit_s : float
        Of the decomposition, in seconds.
    threads : int

    Yields
    ------
    Bound
        After the first only where every task can be placed. An error of one is its remark, as is what the
        instance asks for that its method does not take.
    """
    run = Run(instance, threads=threads, node_cost=features.forbidden(instance))
    unit: float = 1.0

    def trellis() -> Result | float | None:
        if instance.rules.objective.period:  # the sum of what tasks cost by themselves bounds nothing
            paths = run.free_paths()
            return None if paths is None else run.free_bound(paths)
        return solve(instance, "trellis", relax=True, threads=threads)

    def decomposition() -> Result:
        return solve(instance, "decomposition", time_limit_s=time_limit_s, threads=threads, iterations=ROUNDS)

    def flow() -> float | None:
        arcs = build_arcs(run.costs, node_cost=run.node_cost)
        program = build_flow(instance, arcs, all_tasks=True, drop=run.costs.drop_cost)
        return lp_bound(program, unit=unit, threads=threads)

    def assignment() -> float | None:
        from mecopt_solvers.programs.milp import build_model
        from mecopt_solvers.programs.pyomo_arrays import to_program

        arcs = build_arcs(run.costs, node_cost=run.node_cost)
        return lp_bound(
            to_program(build_model(instance, arcs, "assignment"), arcs), unit=unit, threads=threads
        )

    period = instance.rules.objective.period
    first = _timed("shortest paths, busy seconds" if period else "trellis, no couplings", trellis)
    yield first
    if first.value is None:
        return
    unit = first.value / SCALE if first.value > 0 else 1.0
    relaxations: tuple[tuple[str, str, Callable[[], float | Result | None]], ...] = (
        ("LP of the flow formulation", "ilp", flow),
        ("LP of the assignment formulation", "milp", assignment),
        ("decomposition", "decomposition", decomposition),
    )
    for name, of, work in relaxations:
        missing = _missing(instance, of)
        yield Bound(name, None, 0.0, 0.0, missing) if missing else _timed(name, work)


def _missing(instance: Instance, name: str) -> str:
    """Say what an instance asks for that a method does not take, "" where that is nothing."""
    known = method(name)
    couplings = {str(coupling) for coupling in instance.rules.couplings - known.honours}
    missing = sorted(couplings | {str(one) for one in features.of(instance) - known.takes})
    if missing:
        return f"does not take {', '.join(missing)}"
    return "" if known.refuses is None else known.refuses(instance)


def _timed(name: str, work: Callable[[], float | Result | None]) -> Bound:
    start, start_cpu, remark = time.perf_counter(), time.process_time(), ""
    reasons: tuple[Mapping[str, Any], ...] = ()
    try:
        found = work()
        if isinstance(found, Result):
            if found.stopped_by == "interrupt":  # of all bounds
                raise KeyboardInterrupt
            value, reasons = found.lower_bound, found.reasons
            remark = "infeasible" if found.status == "infeasible" else "no bound" if value is None else ""
        else:
            value, remark = found, "infeasible" if found is None else ""
    except MecoptError as error:
        value, remark = None, str(error)
    if value is not None and not np.isfinite(value):
        value, remark = None, "no bound"
    return Bound(name, value, time.process_time() - start_cpu, time.perf_counter() - start, remark, reasons)
