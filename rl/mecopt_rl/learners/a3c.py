"""A3C as a single task (the paper's baseline): actor and critic apart, one head for the whole placement.

Everything but the network is that of `mecopt_rl.learners.multitask_a3c`; docs/methods/a3c.md lists what was
chosen.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mecopt.errors import InputError
from mecopt_rl.learners.learner import Flags, LearnerKind, Masks, Nodes, Shape, at_least
from mecopt_rl.learners.multitask_a3c import A3C, A3CSettings, SharedMultitask
from mecopt_rl.learners.multitask_a3c import PAPER as MULTITASK_PAPER
from mecopt_rl.learners.network_layers import (
    JOINT_ACTIONS,
    Head,
    Passed,
    Slopes,
    Standard,
    Trunk,
    linear_back,
    pick,
)

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


class ActorCritic(nn.Module):
    """An actor and a critic that share nothing but the scale of the observations.

    Parameters
    ----------
    shape : Shape
    width, layers : int
        Of each of the two.
    joint_actions : int
        See `Head`.
    """

    critic: Any  # nn.Sequential of a Trunk and a linear layer

    def __init__(self, shape: Shape, width: int, layers: int, joint_actions: int) -> None:
        super().__init__()
        self.shape = shape
        self.standard = Standard(shape.observation)
        self.actor = Head(shape, width, layers, joint_actions)
        self.critic = nn.Sequential(Trunk(shape.observation, width, layers), nn.Linear(width, 1))

    def values(self, observations: Tensor) -> Tensor:
        """Return V(X), (B,)."""
        values: Tensor = self.critic(self.standard(observations))
        return values[:, 0]

    def run(self, observations: Tensor, actions: Tensor, masks: Tensor | None) -> Passed:
        """Score all actions of every choice, and say V(X); as `multitask_a3c.Branches.run`."""
        seen = self.standard(observations)
        scores, outputs = self.actor.run(seen, actions, masks)
        trunk, last = self.critic
        seen_by_critic = trunk.outputs(seen)
        passed = outputs, seen_by_critic
        return Passed(scores, last(seen_by_critic[-1]), actions, self.actor.columns(actions), passed)

    @torch.no_grad()
    def sample(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Passed, Flags | None]:
        """Choose nodes as `decide` does; the way back can start from here."""
        if self.actor.joint:
            allowed = None if masks is None else masks.branch_masks()
            undecided = torch.zeros((len(observations), self.shape.blocks), dtype=torch.int64)
            passed = self.run(observations, undecided, None if allowed is None else torch.from_numpy(allowed))
            columns = pick(passed.scores[0], noise, 1.0)[:, None]
            return replace(passed, nodes=self.actor.nodes(columns), chosen=columns), allowed
        nodes, allowed = self.decide(observations, masks, noise)
        free = None if allowed is None else torch.from_numpy(allowed)
        return self.run(observations, torch.from_numpy(nodes), free), allowed

    def back(self, passed: Passed, slopes: Slopes) -> None:
        """Write the gradients of all weights."""
        outputs, seen_by_critic = passed.layers
        self.actor.back(outputs, slopes.scores)
        trunk, last = self.critic
        linear_back(last, seen_by_critic[-1], slopes.values)
        trunk.back(seen_by_critic, slopes.values @ last.weight)

    @torch.no_grad()
    def decide(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes for observations (B, D); see `learner.Policy`."""
        return self.actor.decide(self.standard(observations), masks, noise)


def network(shape: Shape, settings: SingleTaskSettings) -> ActorCritic:
    """Return the untrained network."""
    return ActorCritic(shape, settings.width, settings.layers, settings.joint_actions)


def make(shape: Shape, settings: SingleTaskSettings, seed: int, shared: SharedMultitask | None = None) -> A3C:
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
