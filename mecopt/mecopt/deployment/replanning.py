"""Plan again from what was measured: without a node that is lost, with rates and speeds as they are now."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mecopt.allowing import DEVICE
from mecopt.errors import MecoptError
from mecopt.schedule import node_names

if TYPE_CHECKING:
    from mecopt.deployment.deploying import Running
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation


def alone(instance: Instance, task: int) -> Instance:
    """Return the instance of one task."""
    from mecopt import allowing

    return instance.replace(
        tasks=instance.tasks.take(np.array([task])), allow=allowing.of_task(instance, task)
    )


def without(
    judged: Evaluation, task: int, node: str, running: Running, addresses: Mapping[str, str]
) -> Evaluation:
    """Solve a task's instance again without a node, and without those that have no agent.

    Raises
    ------
    MecoptError
        If nothing is feasible without it.
    """
    import mecopt

    instance = judged.instance
    names = node_names(instance)
    there = [name for name in names if name == DEVICE or (name in addresses and name != node)]
    gone = [n for n, name in enumerate(names) if name not in there]
    blocks = int(instance.block_count[task])
    bans = [f"{task}:{m}={n}" for m in range(blocks) for n in gone]
    result = mecopt.solve(instance, "auto", bans=bans, time_limit_s=5.0)
    if result.evaluation is None or result.status not in ("optimal", "feasible"):
        raise MecoptError(f"nothing is feasible without {node}")
    return dataclasses.replace(result.evaluation)
