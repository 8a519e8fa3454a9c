"""What instances may ask for beyond links, block deadlines and couplings: a method takes it or refuses it.

Each is a field of the wider format (docs/model.md). Those that only change what steps cost are in the arcs of
the trellis; the others need something of the method that takes them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from mecopt.entities import ONE_PASS, Deadline, Device, OneRun, Server

if TYPE_CHECKING:
    from mecopt.instance import Instance


class Feature(StrEnum):
    """One thing that an instance may ask for."""

    ENERGY_OBJECTIVE = "energy in the objective"
    PERIOD = "the objective period"
    WEIGHT = "weights of tasks"
    DROP = "drop costs"
    DOWN_RATE = "down rates"
    PHASES = "phases"
    ROOFLINE = "memory rates"
    START = "start seconds"
    STATE = "state and shared parameters"
    TOTAL_DEADLINE = "end-to-end deadlines"
    SOFT_END = "soft end-to-end deadlines"
    ONE_RUN = "one_run"
    ALLOW = "allow"


# These only change what steps cost, or which steps there are.
OF_STEPS = frozenset(
    {
        Feature.ENERGY_OBJECTIVE,
        Feature.WEIGHT,
        Feature.DOWN_RATE,
        Feature.PHASES,
        Feature.ROOFLINE,
        Feature.START,
        Feature.ALLOW,
    }
)
# Those that a relaxation may leave out of an instance.
RELAXABLE = frozenset({Feature.TOTAL_DEADLINE, Feature.SOFT_END, Feature.ONE_RUN})
ALL = frozenset(Feature)


def of(instance: Instance) -> frozenset[Feature]:
    """Return what an instance asks for."""
    return instance.asked


def look_for(instance: Instance) -> frozenset[Feature]:
    """Work out what an instance asks for; `Instance.asked` keeps it."""
    rules, tasks = instance.rules, instance.tasks
    late = tasks.given("max_total_delay_s") is not None or tasks.given("max_phase_delay_s") is not None
    nodes: list[Device | Server] = [*instance.devices, *instance.servers]
    blocks = [block for model in instance.models for block in model.blocks]
    held = any(b.state_bytes for b in blocks) or any(model.shared_params for model in instance.models)
    asked = {
        Feature.ENERGY_OBJECTIVE: rules.objective.energy > 0 or rules.objective.delay not in (0.0, 1.0),
        Feature.PERIOD: rules.objective.period,
        Feature.WEIGHT: tasks.given("weight") is not None,
        Feature.DROP: tasks.given("drop_cost") is not None,
        Feature.DOWN_RATE: tasks.given("down_rate_bps") is not None,
        Feature.PHASES: any(model.phases != ONE_PASS for model in instance.models),
        Feature.ROOFLINE: any(n.memory_bytes_per_s is not None or n.cycles_per_s is None for n in nodes)
        or any(block.cycles is None for block in blocks),
        Feature.START: any(block.start_seconds for block in blocks),
        Feature.STATE: "memory" in rules.couplings and held,
        Feature.TOTAL_DEADLINE: rules.deadline is Deadline.HARD and late,
        Feature.SOFT_END: rules.deadline is Deadline.SOFT and late,
        Feature.ONE_RUN: rules.one_run is not OneRun.NONE,
        Feature.ALLOW: instance.barred is not None,
    }
    return frozenset(feature for feature, there in asked.items() if there)


def without(instance: Instance, features: frozenset[Feature]) -> Instance:
    """Return a relaxation that leaves out those of `RELAXABLE` that are named."""
    import dataclasses

    if Feature.ONE_RUN in features:
        rules = dataclasses.replace(instance.rules, one_run=OneRun.NONE)
        instance = instance.replace(rules=rules)
    if features & {Feature.TOTAL_DEADLINE, Feature.SOFT_END}:
        no_limit = np.full(instance.task_count, np.inf)
        tasks = dataclasses.replace(
            instance.tasks, max_total_delay_s=no_limit, max_phase_delay_s=no_limit[:, None]
        )
        instance = instance.replace(tasks=tasks)
    return instance


def forbidden(instance: Instance) -> np.ndarray | None:
    """Return `Instance.barred` as node costs of 0 and inf, (K, M, N + 1)."""
    return None if instance.barred is None else np.where(instance.barred, np.inf, 0.0)
