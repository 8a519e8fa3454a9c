"""Seconds of single blocks: a few inputs more through the same plan, with each block a session of its own.

A stretch runs as one piece, within which nobody can tell where a block ends: a runtime joins operators over
the border. So what is measured here is each block by itself, and it is compared with what it should take so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats
from mecopt.deployment.outcome import BlockTimes
from mecopt.deployment.stages import Stretch, stretches
from mecopt.deployment.under_way import ReachedNodes, Running, send_through

if TYPE_CHECKING:
    from mecopt.deployment.whole import WholeModel
    from mecopt.judge import Evaluation

INPUTS = 5  # of a round of single blocks

Arrays = Mapping[str, NDArray[Any]]


def singles(judged: Evaluation, task: int) -> list[Stretch]:
    """Return the plan of a task with each block a stretch, and the seconds that it should take alone."""
    from mecopt.costs import chain_costs

    start_s = chain_costs(judged.instance).start_s
    steps, found = judged.steps, []
    for one in stretches(judged, task):
        if one.first < 0:
            found.append(one)
            continue
        for m in range(one.first, one.last + 1):
            seconds = float(steps.calc_s[task, m])
            if m > one.first and start_s is not None:
                seconds += float(start_s[task, m, judged.placement[task, m]])
            found.append(Stretch(one.node, m, m, float(steps.trans_s[task, m]), seconds))
    return found


def one_by_one(
    judged: Evaluation,
    task: int,
    whole: WholeModel,
    nodes: ReachedNodes,
    inputs: Sequence[Arrays],
    limit_s: float,
) -> BlockTimes:
    """Send inputs through a plan block by block, one input at a time.

    Raises
    ------
    AgentError
        If an agent is gone, stalls or fails.
    """
    running = nodes.running(singles(judged, task))
    try:
        nodes.begin(running, whole)
        send_through(running, whole, inputs[:INPUTS], {}, 1, limit_s)
    finally:
        running.end()
    return block_times(judged, task, running, len(inputs[:INPUTS]), apart=True)


def block_times(judged: Evaluation, task: int, running: Running, inputs: int, *, apart: bool) -> BlockTimes:
    """Return the times of a run whose stretches are single blocks."""
    found = running.table(inputs)
    found = found[:, np.isfinite(found).all(axis=(0, 2))]  # without what went through a plan before
    at = [s for s, one in enumerate(running.plan) if one.first >= 0]
    entering: Floats = np.zeros(found.shape[1:])
    entering[:, 1:] = found[0, :, 1:] - found[2, :, :-1]
    model = judged.instance.models[judged.instance.tasks.model[task]]
    return BlockTimes(
        names=tuple(block.name for block in model.blocks),
        alone=tuple(running.plan[s] for s in at),
        inside_s=np.array(judged.steps.calc_s[task, : len(at)]),
        transfers_s=entering[:, at],
        calculations_s=(found[2] - found[1])[:, at],
        apart=apart,
    )
