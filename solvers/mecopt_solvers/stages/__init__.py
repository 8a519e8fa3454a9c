"""Stages: one stretch of a chain on each node, exactly; for delay, for the period, and for both at once.

Where `rules.one_run` lets a server run one stretch of a task, a task is a sequence of stretches on different
servers, the stages of a pipeline. docs/methods/stages.md says how it works.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from mecopt import features, limits
from mecopt.arrays import Floats, Ints
from mecopt.entities import Coupling, Deadline, OneRun
from mecopt.errors import CouplingError, InputError, shown
from mecopt.features import OF_STEPS, Feature
from mecopt.registry import Method
from mecopt.scalars import is_whole
from mecopt.sources import instance_of

if TYPE_CHECKING:
    from mecopt.incumbent import Run
    from mecopt.instance import Instance

__all__ = ["EQUAL_TASKS", "METHOD", "DelayPeriodFront", "front"]

MOST_BYTES = 2**30  # of the table of values


@dataclass(frozen=True, eq=False)
class DelayPeriodFront:
    """The placements of a task that no other one beats in delay and period; P of them, quickest first."""

    delay_s: Floats  # (P,) ascending
    period_s: Floats  # (P,) descending
    placement: Ints  # (P, M)


def front(instance: Instance | str | os.PathLike[str], task: int = 0) -> DelayPeriodFront:
    """Return the whole delay-period front of one task, by itself in its slot.

    Hard deadlines of blocks, routes, and the memory and time of nodes hold as the instance says; the task's
    own end-to-end deadline does not, it is a point on the front.

    Parameters
    ----------
    instance : Instance, str or path
        Or what `mecopt.load` takes; with ``one_run`` "servers" or "all".
    task : int
        Its number, from 0.

    Raises
    ------
    CouplingError
        If the instance has energy budgets or shared servers.
    InputError
        If there is no such task, or the method `stages` does not take what the instance asks for.
    """
    from mecopt.costs import chain_costs
    from mecopt_solvers.stages import chain, programme

    instance = instance_of(instance)
    if not is_whole(task) or not 0 <= task < instance.task_count:
        raise InputError(f"task: {shown(task)}, expected 0 to {instance.task_count - 1}")
    task = int(task)
    if instance.rules.one_run is OneRun.NONE:
        raise InputError("rules.one_run: none, expected servers or all: a front is one of stages")
    if missing := instance.rules.couplings - METHOD.honours:
        raise CouplingError(f"a front of stages does not take the coupling {', '.join(sorted(missing))}")
    if reason := _too_large(instance) or _shares(instance):
        raise InputError(f"a front of stages {reason}")
    forbidden = features.forbidden(instance)
    found = programme.front(chain.chain_of(instance, chain_costs(instance), task, forbidden))
    return DelayPeriodFront(
        np.array([figures.delay_s for figures, _ in found]),
        np.array([figures.period_s for figures, _ in found]),
        np.array([path for _, path in found], dtype=np.int64).reshape(-1, int(instance.block_count[task])),
    )


def _refuses(instance: Instance) -> str:
    """Say why an instance cannot be taken as a whole."""
    rules, tasks = instance.rules, instance.tasks
    if any(len(part) > 1 for part in limits.parts(instance)):
        return "takes tasks that share nothing; here limits, or the period, join tasks of a slot"
    if rules.one_run is OneRun.NONE and (rules.couplings or rules.objective.period):
        return "takes memory, capacity and the period under one_run alone"
    if rules.deadline is Deadline.HARD and tasks.given("max_phase_delay_s") is not None:
        return "takes no end-to-end deadlines of phases"
    if limits.TOTAL.on(instance) and rules.objective.energy:
        return "takes end-to-end deadlines beside delay or the period, not beside energy"
    return "" if rules.one_run is OneRun.NONE else _too_large(instance) or _shares(instance)


def _too_large(instance: Instance) -> str:
    """Say that there are too many sets of nodes."""
    nodes, stages = instance.server_count + 1, instance.max_blocks
    counted = nodes if instance.rules.one_run is OneRun.ALL else nodes - 1
    size = 8.0 * 2.0**counted * nodes * (stages + 1)
    if size <= MOST_BYTES:
        return ""
    return f"takes {MOST_BYTES / 2**30:g} GiB of sets of nodes at most, the instance has {size / 2**30:.3g}"


def _shares(instance: Instance) -> str:
    """Say that stretches on a device would share parameters."""
    if instance.rules.one_run is not OneRun.SERVERS or not limits.MEMORY.on(instance):
        return ""
    small = any(device.memory_bytes is not None for device in instance.devices)
    if small and any(model.shared_params for model in instance.models):
        return "takes no shared parameters where a device of limited memory may run several stretches"
    return ""


def _solve(instance: Instance, run: Run) -> None:
    from mecopt_solvers.stages.task_by_task import solve

    with run.loading():
        if instance.rules.one_run is not OneRun.NONE:
            import mecopt_solvers.stages.programme  # noqa: F401  imports numba
    solve(instance, run)


def _warm_up() -> None:
    """Compile the programme, with labels and without."""
    from mecopt.costs import chain_costs
    from mecopt.generation import generate
    from mecopt_solvers.stages import chain, programme

    instance = generate("paper:slots=1,servers=2")
    task = chain.chain_of(instance, chain_costs(instance), 0, None)
    programme.least_period(task, lambda: None)
    programme.with_sums(task, task.delay, np.inf, np.full(3, np.inf), lambda: None)


METHOD = Method(
    name="stages",
    kind="exact",
    summary="one stretch a node and task, exactly: delay, or the period of one task in a slot",
    honours=frozenset({Coupling.MEMORY, Coupling.CAPACITY}),
    solve=_solve,
    takes=OF_STEPS | {Feature.PERIOD, Feature.DROP, Feature.TOTAL_DEADLINE, Feature.ONE_RUN, Feature.STATE},
    refuses=_refuses,
    warm_up=_warm_up,
)


def _unlike(instance: Instance) -> str:
    """Say why tasks are not equal ones that share memory or the period."""
    tasks = instance.tasks
    columns = [getattr(tasks, column.name) for column in fields(tasks)]
    alike = (np.array_equal(c, np.broadcast_to(c[:1], c.shape), equal_nan=True) for c in columns)
    if len(tasks.slot) < 2 or not all(alike):
        return "is for two or more equal tasks of one slot and one device"
    if instance.rules.one_run is OneRun.NONE:
        return "is for tasks under one_run"
    if not instance.rules.couplings and not instance.rules.objective.period:
        return "is for tasks that share memory or the period"
    return _too_large(instance)


def _solve_equal(instance: Instance, run: Run) -> None:
    with run.loading():
        from mecopt_solvers.stages.equal_tasks import solve  # imports numba
    solve(instance, run)


EQUAL_TASKS = Method(
    name="equal-tasks",
    kind="heuristic",
    summary="many equal tasks under one_run that share memory or the period: a bound by prices, mixed paths",
    honours=frozenset({Coupling.MEMORY}),
    solve=_solve_equal,
    takes=OF_STEPS | {Feature.PERIOD, Feature.ONE_RUN, Feature.STATE},
    refuses=_unlike,
    warm_up=_warm_up,
)
