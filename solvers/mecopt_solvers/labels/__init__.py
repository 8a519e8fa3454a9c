"""Labels: exact paths under end-to-end deadlines, and the exact delay-energy front of a task.

What a path costs and how long it takes are two sums, so a shortest path is not enough; labels keep both.
docs/methods/labels.md says how it works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mecopt.arrays import Floats, Ints
from mecopt.entities import OneRun
from mecopt.errors import InputError
from mecopt.features import OF_STEPS, Feature
from mecopt.registry import Method

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


def front(instance: Instance, task: int = 0) -> DelayEnergyFront:
    """Return the whole delay-energy front of one task, whatever others do.

    Links, hard deadlines of blocks, `allow` and `one_run` hold as the instance says; end-to-end deadlines do
    not, they are points on the front.

    Parameters
    ----------
    instance : Instance
    task : int
        Its number, from 0.

    Raises
    ------
    InputError
        If there is no such task, or energy cannot be counted.
    """
    if not 0 <= task < instance.task_count:
        raise InputError(f"task {task}: expected 0 to {instance.task_count - 1}")
    if reason := _refuses(instance):
        raise InputError(f"a front {reason}")
    from mecopt_solvers.labels.delay_energy import front_of

    return DelayEnergyFront(*front_of(instance, task))


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
