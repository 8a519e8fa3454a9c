"""`best-server`: everything on one server, the same for all tasks."""

from __future__ import annotations

import numpy as np

from mecopt.entities import Coupling
from mecopt.features import Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.registry import Method
from mecopt_solvers.baselines.cuts import whole_on
from mecopt_solvers.baselines.placing import WITHIN_LEDGER


def _worth(judged: Evaluation) -> tuple[bool, float]:
    """Order placements: feasible ones first, then by what they cost."""
    worth = judged.period_s if judged.instance.rules.objective.period else judged.task_objective_s.sum()
    return not judged.feasible, np.inf if worth is None else float(worth)


def _solve(instance: Instance, run: Run) -> None:
    repairs, tried = [], []
    for node in range(1, instance.server_count + 1):
        before = run.repairs
        placement = whole_on(instance, run, node)
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
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY, Coupling.SHARING}),
    solve=_solve,
    takes=WITHIN_LEDGER | {Feature.PERIOD},
)
