"""Cuts for deadlines that only load breaks: a program knows the times of a task by itself.

Load never shortens anything. So a step that is late is late in every placement that has it and, on its server
in its slot, at least the calculations that make it late: these columns cannot all be 1. Of a deadline on a
whole task they are all of the task's steps, and all calculations on the servers that these use.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mecopt import limits
from mecopt.arrays import Ints
from mecopt.entities import Deadline
from mecopt.judge import Evaluation
from mecopt.limits.sharing import stretch
from mecopt.tolerances import JUST_ABOVE, slack

if TYPE_CHECKING:
    from mecopt_solvers.programs.linear_program import Program


def late_columns(program: Program, judged: Evaluation) -> Iterator[Ints]:
    """Yield columns of a placement that together make something late, whatever else there is."""
    instance = judged.instance
    if not limits.SHARING.on(instance) or instance.rules.deadline is not Deadline.HARD:
        return
    placed = np.flatnonzero((program.encode(judged.placement) > 0.5) & program.decides & (program.head >= 0))
    task, block, head = program.task[placed], program.block[placed], program.head[placed]
    work = judged.work_s[task, block]
    row = np.where(work > 0, limits.SHARING.rows(instance)[task, head], -1)
    delay, due = judged.block_delay_s, slack(instance.tasks.max_delay_s)
    late = np.isfinite(delay) & (delay > due) & (judged.placement > 0)
    for at in np.flatnonzero(late[task, block]).tolist():
        k, m = task[at], block[at]
        order = np.flatnonzero(row == row[at])
        order = order[np.lexsort((-work[order], order != at))]  # itself, then the heaviest
        load = np.cumsum(work[order]) / instance.slot_s
        assert instance.rules.sharing is not None
        longer = judged.steps.trans_s[k, m] + work[at] * stretch(instance.rules.sharing, load)
        yield placed[order[: np.count_nonzero(longer <= due[k, m] * JUST_ABOVE) + 1]]
    for deadline in limits.deadlines(instance):
        for k in deadline.broken(judged)[0].tolist():
            used = np.unique(row[(task == k) & (row >= 0)])
            yield placed[(task == k) | np.isin(row, used)]
