"""The delay-energy front of a task: the least energy within a delay, again and again."""

from __future__ import annotations

import dataclasses

import numpy as np

from mecopt import features
from mecopt.arrays import Floats, Ints
from mecopt.costs import chain_costs
from mecopt.entities import Deadline, Objective
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt.tolerances import JUST_BELOW, slack
from mecopt_solvers.labels import path_kernels
from mecopt_solvers.labels.steps import StepSource, TaskSteps
from mecopt_solvers.labels.unlimited_first import FIRST_LABELS, MOST_LABELS, searched


def front_of(instance: Instance, task: int) -> tuple[Floats, Floats, Ints]:
    """Return delays, joules and placements of the front, quickest first."""
    rules = instance.rules
    joules = Objective(delay=0.0, energy=1.0, of=rules.objective.of)
    kept = Deadline.HARD if rules.deadline is Deadline.HARD else Deadline.NONE  # penalties are no joules
    alone = instance.replace(
        tasks=dataclasses.replace(instance.tasks, weight=np.ones(instance.task_count)),
        rules=dataclasses.replace(rules, objective=joules, deadline=kept),
    )
    source = StepSource(alone, chain_costs(alone), features.forbidden(alone))
    steps = source.of(np.array([task]), whole=True)
    due = float(alone.tasks.max_total_delay_s[task])
    most = float(slack(due)) if kept is Deadline.HARD else np.inf
    found: list[tuple[float, float, Ints]] = []
    while most > 0 and (way := _least_energy(steps, source.bit, most)) is not None:
        joule, delay, path = way
        if found and joule <= found[-1][1]:  # as little, and quicker
            found.pop()
        found.append((delay, joule, path))
        most = delay * JUST_BELOW
    blocks = int(instance.block_count[task])
    return (
        np.array([delay for delay, _, _ in reversed(found)]),
        np.array([joule for _, joule, _ in reversed(found)]),
        np.array([path[:blocks] for _, _, path in reversed(found)], dtype=np.int64).reshape(-1, blocks),
    )


def _least_energy(steps: TaskSteps, bit: Ints, most: float) -> tuple[float, float, Ints] | None:
    """Return energy, delay and path of the least energy within a delay, None where nothing is as quick."""
    room, one = FIRST_LABELS, np.zeros(1, dtype=np.int64)
    limited = dataclasses.replace(steps, side=np.array([[most]]))
    while room <= MOST_LABELS:
        status, worth, _, path = searched(limited, one, np.full(1, np.inf), bit, room)
        if status[0] == path_kernels.NONE:
            return None
        if status[0] == path_kernels.DONE:
            delay = float(path_kernels.used(steps.use[0, 0], _padded(path[0])))
            return float(worth[0]), delay, path[0]
        room *= 8
    raise InputError(f"the front takes more than {MOST_LABELS} labels")


def _padded(path: Ints) -> Ints:
    """Return a path that stays where it ends."""
    last = path[path >= 0][-1]
    return np.where(path >= 0, path, last)
