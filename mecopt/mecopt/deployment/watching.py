"""Keep an eye on a plan: run it again and again, and plan anew where machines or links have drifted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mecopt.deployment.client import Credentials
from mecopt.deployment.deploying import deploy
from mecopt.deployment.outcome import Deployment, medians
from mecopt.deployment.replanning import Measured, as_measured, drifts, one_task, planned
from mecopt.judge import evaluate

if TYPE_CHECKING:
    from mecopt.arrays import Ints
    from mecopt.deployment.whole import WholeModel
    from mecopt.instance import Instance

WORTH = 0.02  # a plan is changed only for one that is better by this fraction: less is the machines' noise


@dataclass(frozen=True, eq=False)
class WatchRound:
    """One round of watching.

    Parameters
    ----------
    found : Deployment
    drifts : tuple of str
        What is not as was predicted.
    placement : array of shape (1, M)
        The plan from here on.
    changed : bool
        Whether it is another one than in this round.
    """

    found: Deployment
    drifts: tuple[str, ...]
    placement: Ints
    changed: bool


def watch(
    instance: Instance,
    placement: Ints,
    model: str | WholeModel,
    agents: Mapping[str, str],
    *,
    task: int = 0,
    inputs: int = 5,
    tolerance: float = 0.2,
    shapes: Mapping[tuple[str, str], tuple[float, float]] | None = None,
    credentials: Credentials | None = None,
) -> Iterator[WatchRound]:
    """Run a task's plan round after round; where something drifted or was lost, plan again and go on.

    Parameters
    ----------
    instance, placement, model, agents, task, shapes, credentials
        As `mecopt.deploy` takes them.
    inputs : int
        Random inputs a round.
    tolerance : float
        A fraction; drifts beyond it are said, and the plan is made again from what was measured.

    Yields
    ------
    Round
        Without end: the caller stops, and waits between two rounds as long as it likes.

    Raises
    ------
    InputError, AgentError
        As `mecopt.deploy` does.
    """
    now, plan = one_task(instance, task), np.asarray(placement)[[task]]
    there = dict(agents)
    while True:
        found = deploy(
            now,
            plan,
            model,
            there,
            inputs,
            shapes=shapes,
            credentials=credentials,
            replan=True,
            tolerance=np.inf,
            blocks=False,
        )
        lost = {
            node for node in there if any(event == f"planned again without {node}" for event in found.events)
        }
        there = {node: address for node, address in there.items() if node not in lost}
        measured = Measured(medians(found.transfers_s()), medians(found.calculations_s()))
        stretches = list(found.stretches)
        drifted = drifts(now, 0, stretches, measured, tolerance)
        if drifted:
            now = as_measured(now, 0, stretches, measured)
        after = plan
        if drifted or lost:
            best = planned(now, {"device", *there})
            before = evaluate(now, plan)
            gone = any(one in lost for one in _nodes(now, plan))
            if gone or best.task_delay_s[0] < (1 - WORTH) * before.task_delay_s[0]:
                after = best.placement
        changed = not np.array_equal(after, plan)
        plan = after
        yield WatchRound(found, (*found.events, *drifted), plan, changed)


def _nodes(instance: Instance, plan: Ints) -> set[str]:
    from mecopt.schedule import node_names

    names = node_names(instance)
    return {names[node] for node in plan[0] if node >= 0}
