"""`best-server`: everything on one server, the same for all tasks."""

from __future__ import annotations

import numpy as np

from mecopt.entities import Coupling
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.registry import Method
from mecopt_solvers.baselines.rules import cut_off, respect


def _worth(judged: Evaluation) -> tuple[bool, float]:
    """Order placements: feasible ones first, then by what they cost."""
    return not judged.feasible, float(judged.task_objective_s.sum())


def _solve(instance: Instance, run: Run) -> None:
    repairs, tried = [], []
    for node in range(1, instance.server_count + 1):
        before = run.repairs
        placement = respect(run, cut_off(instance, np.full(1, node)))
        if placement is None:
            return
        tried.append(evaluate(instance, placement, costs=run.costs))
        repairs.append(run.repairs - before)
        run.repairs = before
    best = min(range(len(tried)), key=lambda n: _worth(tried[n]))
    run.repairs += repairs[best]
    run.found(tried[best].placement)


METHOD = Method(
    name="best-server",
    kind="baseline",
    summary="everything on one server, the best one for all tasks together",
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY}),
    solve=_solve,
)
