"""Every placement of all tasks, in the order of a lower bound: the optimum of small instances."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mecopt import allowing
from mecopt.arrays import Floats, Ints
from mecopt.entities import Coupling
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate

ROUNDING = 1e-12  # relative: sums in another order than the judge's


def brute_force(instance: Instance) -> Evaluation | None:
    """Look at every placement of all tasks; return the best feasible one, None where there is none.

    What tasks cost by themselves bounds what they cost together: others only lengthen calculations and keep
    resources busier. So placements are judged in the order of that bound, until it passes the best.
    """
    paths = [paths_of(instance, k) for k in range(instance.task_count)]
    alone = [_alone(instance, k, rows) for k, rows in enumerate(paths)]
    kept = [np.flatnonzero(fine) for fine, _ in alone]
    bound = _joint(instance, [value[rows] for (_, value), rows in zip(alone, kept, strict=True)])
    shape = [len(rows) for rows in kept]
    best: Evaluation | None = None
    least = np.inf
    for joint in np.argsort(bound, kind="stable").tolist():
        if bound[joint] >= least * (1.0 - ROUNDING):
            break
        index = np.unravel_index(joint, shape)
        placement = np.stack([paths[k][rows[i]] for k, (rows, i) in enumerate(zip(kept, index, strict=True))])
        judged = evaluate(instance, placement)
        if judged.objective is not None and judged.objective < least:
            best, least = judged, judged.objective
    return best


def paths_of(instance: Instance, k: int) -> Ints:
    """Return every placement of a task that `allow` lets it have, a row each; -1 alone leaves it out."""
    blocks, every = int(instance.block_count[k]), range(instance.server_count + 1)
    away = instance.barred
    nodes = [list(every) if away is None else np.flatnonzero(~away[k, m]).tolist() for m in range(blocks)]
    found = list(product(*nodes))
    rows = np.full((len(found) + 1, instance.max_blocks), -1)
    rows[:-1, :blocks] = found
    cost = instance.tasks.given("drop_cost")
    return rows if cost is not None and np.isfinite(cost[k]) else rows[:-1]


def _alone(instance: Instance, k: int, rows: Ints) -> tuple[NDArray[np.bool_], Floats]:
    """Judge every placement of a task on its own, each in a slot that nobody shares.

    Returns
    -------
    fine : (P,) whether it breaks nothing
    value : (P,) objective
    """
    tasks, slot = instance.tasks, int(instance.tasks.slot[k])
    copies = dataclasses.replace(tasks.take(np.full(len(rows), k)), slot=np.arange(len(rows)))
    servers = [
        dataclasses.replace(server, cycles_per_s=server.cycles_per_s[slot])
        if isinstance(server.cycles_per_s, np.ndarray)
        else server
        for server in instance.servers
    ]
    joined_by_slot = instance.rules.couplings - {Coupling.ENERGY}
    one = instance.replace(
        slot_count=len(rows),
        servers=tuple(servers),
        tasks=copies,
        rules=dataclasses.replace(instance.rules, couplings=joined_by_slot),
        allow=allowing.of_task(instance, k),
    )
    judged = evaluate(one, rows)
    fine = np.ones(len(rows), dtype=bool)
    fine[[int(v.where["task"] if "task" in v.where else v.where["slot"]) for v in judged.violations]] = False
    if not one.rules.objective.period:
        return fine, judged.task_objective_s
    return fine, np.array([judged.periods[p][0] for p in range(len(rows))])


def _joint(instance: Instance, values: list[Floats]) -> Floats:
    """Bound every joint placement from below, in the order of `numpy.unravel_index`.

    Objectives of tasks add up; of periods, those of one slot are at least the longest.
    """
    total = np.zeros([len(value) for value in values])
    along = [
        value.reshape([-1 if at == k else 1 for at in range(len(values))]) for k, value in enumerate(values)
    ]
    if not instance.rules.objective.period:
        for value in along:
            total = total + value
        return total.ravel()
    for slot in np.unique(instance.tasks.slot).tolist():
        longest = np.zeros_like(total)
        for k in np.flatnonzero(instance.tasks.slot == slot).tolist():
            longest = np.maximum(longest, along[k])
        total = total + longest
    return total.ravel()
