"""`best-constant`: the one placement of each model that is best when every task of it uses it."""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Ints
from mecopt.features import OF_STEPS, Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.registry import Method
from mecopt.trellis_arcs import shortest
from mecopt_solvers.baselines.placing import chunks, cut_off, respect


def _solve(instance: Instance, run: Run) -> None:
    nodes = instance.server_count + 1
    total = np.zeros((len(instance.models), instance.max_blocks, nodes, nodes))
    broken = np.zeros(total.shape)
    for tasks, arcs in chunks(run.costs, np.arange(instance.task_count)):
        missing = np.isinf(arcs.weight)
        weight = np.where(missing, 0.0, arcs.weight)
        for i in np.unique(instance.tasks.model[tasks]).tolist():
            those = instance.tasks.model[tasks] == i
            total[i] += weight[those].sum(axis=0)
            broken[i] += missing[those].sum(axis=0)
    # A step that some task cannot make counts more than all seconds together: as few of them as possible.
    much = 2.0 * max(float(total.sum()), 1.0)
    blocks = np.array([len(model.blocks) for model in instance.models])
    constant = shortest(total + much * broken, blocks)[1]
    placement = respect(run, cut_off(instance, constant[instance.tasks.model]))
    if placement is not None:
        run.found(_without_dear(run, placement))


def _without_dear(run: Run, placement: Ints) -> Ints:
    """Leave out the tasks that may be, where that is cheaper or where they break a limit."""
    drop_cost = run.costs.drop_cost
    if drop_cost is None:
        return placement
    judged = evaluate(run.instance, placement, costs=run.costs)
    cost = judged.task_objective_s.copy()
    cost[[int(violation.where["task"]) for violation in judged.violations]] = np.inf
    return np.where((drop_cost < cost)[:, None], -1, placement)


METHOD = Method(
    name="best-constant",
    kind="baseline",
    summary="the one placement of each model that is best for all its tasks together",
    honours=frozenset(),
    solve=_solve,
    takes=OF_STEPS | {Feature.DROP},
)
