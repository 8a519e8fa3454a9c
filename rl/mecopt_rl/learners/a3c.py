"""A3C as a single task (the paper's baseline): actor and critic apart, one head for the whole placement.

Everything but the network is that of `mecopt_rl.learners.multitask_a3c`; docs/methods/a3c.md lists what was
chosen.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mecopt.errors import InputError
from mecopt_rl.learners.a3c_settings import PAPER as MULTITASK_PAPER
from mecopt_rl.learners.a3c_settings import A3CSettings
from mecopt_rl.learners.learner import LearnerKind, Shape, at_least
from mecopt_rl.learners.multitask_a3c import A3C, Shared
from mecopt_rl.learners.single_task import JOINT_ACTIONS, ActorCritic

BRANCHES_ONLY = ("branch_width", "sharing", "soft_weight", "shared_noise", "credit")


@dataclass(frozen=True)
class SingleTaskSettings(A3CSettings):
    """As `A3CSettings`; there are no branches, so what concerns them cannot be changed."""

    environments: int = 60  # more, or a lower last temperature, are worse here
    temperature_end: float = 0.002
    shared_noise: bool = False
    joint_actions: int = JOINT_ACTIONS  # most placements that are one action each; more: block by block

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "joint_actions")
        fixed = {field.name: field.default for field in dataclasses.fields(self)}
        for name in BRANCHES_ONLY:
            if getattr(self, name) != fixed[name]:
                raise InputError(f"{name}: a3c has no branches, so it cannot be changed")


def network(shape: Shape, settings: SingleTaskSettings) -> ActorCritic:
    """Return the untrained network."""
    return ActorCritic(shape, settings.width, settings.layers, settings.joint_actions)


def make(shape: Shape, settings: SingleTaskSettings, seed: int, shared: Shared | None = None) -> A3C:
    """Return the learner."""
    return A3C(network, shape, settings, seed, shared)


KIND = LearnerKind(
    name="a3c",
    summary="single-task A3C: actor and critic apart, the whole placement is one action while these are few",
    recipes={
        "best": SingleTaskSettings(),
        "paper": SingleTaskSettings(**vars(MULTITASK_PAPER)),
    },
    make=make,
    network=network,
)
