"""Labels: exact paths under end-to-end deadlines, and the exact delay-energy front of a task.

What a path costs and how long it takes are two sums, so a shortest path is not enough; labels keep both.
docs/methods/labels.md says how it works.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mecopt.arrays import Floats, Ints
from mecopt.entities import Deadline, OneRun
from mecopt.errors import CouplingError, InputError, shown
from mecopt.features import OF_STEPS, Feature
from mecopt.registry import Method
from mecopt.scalars import is_whole
from mecopt.sources import instance_of

if TYPE_CHECKING:
    from mecopt.incumbent import Run
    from mecopt.instance import Instance

__all__ = ["METHOD", "DelayEnergyFront", "front"]

MOST_NODES = 62  # of a set in one number


@dataclass(frozen=True, eq=False)
class DelayEnergyFront:
    """The placements of a task that no other one beats in delay and energy; P of them, quickest first."""

    delay_s: Floats  # (P,) ascending
    energy_j: Floats  # (P,) of the device, and of the servers where the objective counts theirs; descending
    placement: Ints  # (P, M)


def front(instance: Instance | str | os.PathLike[str], task: int = 0) -> DelayEnergyFront:
    """Return the whole delay-energy front of one task.

    Links, hard deadlines (of blocks, and the task's own), `allow` and `one_run` hold as the instance says;
    penalties of soft ones are neither delay nor energy.

    Parameters
    ----------
    instance : Instance, str or path
        Or what `mecopt.load` takes.
    task : int
        Its number, from 0.

    Raises
    ------
    CouplingError
        If something joins the tasks: a front is one of a task by itself.
    InputError
        If there is no such task, energy cannot be counted, or phases have hard deadlines.
    """
    instance = instance_of(instance)
    if not is_whole(task) or not 0 <= task < instance.task_count:
        raise InputError(f"task: {shown(task)}, expected 0 to {instance.task_count - 1}")
    if instance.rules.couplings:
        joined = ", ".join(sorted(instance.rules.couplings))
        raise CouplingError(f"a front of labels does not take the coupling {joined}")
    if instance.rules.deadline is Deadline.HARD and instance.tasks.given("max_phase_delay_s") is not None:
        raise InputError("a front of labels does not take deadlines of phases, expected the task's own")
    if reason := _refuses(instance):
        raise InputError(f"a front of labels {reason}")
    from mecopt_solvers.labels.delay_energy import front_of

    return DelayEnergyFront(*front_of(instance, int(task)))


def _refuses(instance: Instance) -> str:
    """Say why an instance cannot be taken as a whole."""
    if instance.rules.one_run is not OneRun.NONE and instance.server_count >= MOST_NODES:
        return (
            f"takes {MOST_NODES - 1} servers at most under one_run, the instance has {instance.server_count}"
        )
    return ""


def _solve(instance: Instance, run: Run) -> None:
    with run.loading():
        from mecopt_solvers.labels.unlimited_first import solve  # imports numba

    solve(instance, run)


METHOD = Method(
    name="labels",
    kind="exact",
    summary="end-to-end deadlines, exactly: labels of cost and delay, one task after the other",
    honours=frozenset(),
    solve=_solve,
    takes=OF_STEPS | {Feature.DROP, Feature.TOTAL_DEADLINE, Feature.SOFT_END, Feature.ONE_RUN},
    refuses=_refuses,
)
