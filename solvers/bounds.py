"""Lower bounds side by side: what each relaxation proves, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mecopt.arcs import build_arcs
from mecopt.errors import MecoptError
from mecopt.highs import lp_bound
from mecopt.instance import Instance
from mecopt.registry import method, methods
from mecopt.run import Run
from mecopt.solving import solve
from solvers.flow import build_flow

SCALE = 1e3
ROUNDS = 1  # of the decomposition


@dataclass(frozen=True)
class Bound:
    """One relaxation; `value` None with a remark where it proves that nothing is feasible, or fails."""

    name: str
    value: float | None
    cpu_s: float
    wall_s: float
    remark: str = ""


def bounds(instance: Instance, *, time_limit_s: float = 60.0, threads: int = 1) -> Iterator[Bound]:
    """Work out the bounds of the trellis, the LPs of both formulations and the decomposition, one after
    the other.
    """
    run = Run(instance, threads=threads)

    def trellis() -> float | None:
        result = solve(instance, "trellis", relax=True, threads=threads)
        return result.lower_bound

    unit: float = 1.0

    def flow() -> float | None:
        return lp_bound(
            build_flow(instance, build_arcs(run.costs), all_tasks=True), unit=unit, threads=threads
        )

    def assignment() -> float | None:
        from mecopt.milp import build_model
        from mecopt.pyomo_arrays import to_program

        arcs = build_arcs(run.costs)
        return lp_bound(
            to_program(build_model(instance, arcs, "assignment"), arcs), unit=unit, threads=threads
        )

    first = _timed("trellis, no couplings", trellis)
    yield first
    if first.value is None:
        return
    unit = max(first.value, 1e-300) / SCALE
    yield _timed("LP of the flow formulation", flow)
    yield _timed("LP of the assignment formulation", assignment)
    if "decomposition" in {m.name for m in methods()}:
        known = method("decomposition")
        if known.honours >= instance.rules.couplings:
            yield _timed("decomposition", lambda: _decomposition(instance, time_limit_s, threads))


def _decomposition(instance: Instance, time_limit_s: float, threads: int) -> float | None:
    result = solve(instance, "decomposition", time_limit_s=time_limit_s, threads=threads, iterations=ROUNDS)
    return result.lower_bound


def _timed(name: str, work: Callable[[], float | None]) -> Bound:
    start, start_cpu, remark = time.perf_counter(), time.process_time(), ""
    try:
        value = work()
        remark = "infeasible" if value is None else ""
    except MecoptError as error:
        value, remark = None, str(error)
    if value is not None and not np.isfinite(value):
        value, remark = None, "no bound"
    return Bound(name, value, time.process_time() - start_cpu, time.perf_counter() - start, remark)
