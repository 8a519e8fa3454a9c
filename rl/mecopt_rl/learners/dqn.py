"""Distributed DQN (the paper's value-based baseline): several actors, one replay, a target network.

Every worker acts, adds to the one replay, and steps the one network with the gradients of its own
minibatches, as in Nair et al., "Massively parallel methods for deep reinforcement learning", 2015.
docs/methods/dqn.md lists what was chosen.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mecopt.errors import InputError
from mecopt_rl.learners.learner import (
    Flags,
    LearnerKind,
    Masks,
    Nodes,
    Reals,
    Rollout,
    Settings,
    Shape,
    at_least,
    one_of,
)
from mecopt_rl.learners.network_layers import JOINT_ACTIONS, Head, Standard
from mecopt_rl.learners.optimisers import Adam, RMSProp, set_rate, statistics
from mecopt_rl.learners.replay import Decisions, ProcessLock, Replay

if TYPE_CHECKING:
    from mecopt_rl.training.parameter_server import ParameterSource

SCALE_DECISIONS = 2000  # first decisions whose mean cost becomes the unit of rewards
Q_TEMPERATURE = 0.02  # of samples from values, in units of the mean cost


@dataclass(frozen=True)
class DQNSettings(Settings):
    """Settings of recipe `best`; those of recipe `paper` are in `PAPER`."""

    environments: int = 30
    width: int = 64
    layers: int = 2
    joint_actions: int = JOINT_ACTIONS  # most placements that are one action each; more: block by block
    first_value: float = (
        -1.0
    )  # of all actions before training: what a random placement returns, in mean costs
    standardise: bool = True  # observations to mean 0 and variance 1 over a sample
    gamma: float = 0.0  # nothing joins two slots unless something couples them
    double: bool = True  # the network chooses the action whose value the target network gives
    cost_unit: str = "mean"  # of rewards: the mean cost of the first decisions, or "second"
    optimiser: str = "adam"  # or "rmsprop", Eq. 23-24
    learning_rate: float = 0.003
    learning_rate_end: float = 0.03  # the last rate, as a share of the first
    rms_alpha: float = 0.99
    rms_epsilon: float = 1e-5
    gradient_norm: float = 1.0  # longer gradients are cut to this; 0: none is
    explore_start: float = 1.0  # probability of a random action, falling linearly
    explore_end: float = 0.01
    explore_share: float = 0.2  # of the training, after which it has reached its end
    memory: int = 20_000  # decisions in the replay, the workers' together
    batch: int = 256  # decisions of a minibatch
    target_every: int = 200  # updates between two copies to the target network, the workers' together

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self, optimiser=("adam", "rmsprop"), cost_unit=("mean", "second"))
        at_least(self, 1, "width", "layers", "joint_actions", "memory", "batch", "target_every")
        at_least(self, 0, "learning_rate", "gradient_norm")
        at_least(self, 1e-12, "rms_epsilon", "explore_share")
        for name in ("gamma", "rms_alpha", "explore_start", "explore_end"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name}: {getattr(self, name)}, expected 0 to 1")


PAPER = DQNSettings(
    environments=1,
    steps=8,
    first_value=0.0,
    standardise=False,
    gamma=0.95,
    double=False,
    cost_unit="second",
    optimiser="rmsprop",
    learning_rate=0.01,
    learning_rate_end=1.0,
    gradient_norm=0.0,
    explore_share=0.5,
    memory=8000,
    batch=32,
)


class ActionValues(nn.Module):
    """Q: what every action is expected to return, in units of the cost.

    Parameters
    ----------
    shape : Shape
    width, layers, joint_actions : int
        See `Head`.
    first_value : float
        What Q starts at.
    """

    def __init__(self, shape: Shape, width: int, layers: int, joint_actions: int, first_value: float) -> None:
        super().__init__()
        self.shape = shape
        self.standard = Standard(shape.observation)
        self.head = Head(shape, width, layers, joint_actions)
        nn.init.constant_(self.head.score.bias, first_value)

    def chosen(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Return Q of these actions (B, M), (B, K)."""
        return self.head.chosen(self.standard(observations), actions)

    def first(self, observations: Tensor) -> Tensor:
        """Return Q of all actions of the first choice, (B, C)."""
        seen = self.standard(observations)
        if self.head.joint:
            return self.head.scores(seen, torch.empty(0, dtype=torch.int64))[0]
        return self.head.block(seen, 0, torch.zeros(len(seen), dtype=torch.int64))

    def all(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Return Q of all actions of every choice, given those before it, (B, K, C)."""
        return self.head.scores(self.standard(observations), actions).transpose(0, 1)

    @torch.no_grad()
    def decide(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes for observations (B, D); see `learner.Policy`. Samples: softmax of Q."""
        return self.head.decide(self.standard(observations), masks, noise, Q_TEMPERATURE)


@dataclass(frozen=True, eq=False)
class SharedDqn:
    """What all workers work on."""

    network: Any
    target: Any
    optimiser: torch.optim.Optimizer
    replay: Any  # a Replay, or what stands for one that lies elsewhere
    cost: Tensor  # (2,) sum of the first costs in seconds, and how many
    updates: Tensor  # (1,)

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name."""
        found = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        found |= {f"target.{name}": tensor for name, tensor in self.target.state_dict().items()}
        found |= {f"optimiser.{name}": tensor for name, tensor in statistics(self.optimiser).items()}
        found |= {f"replay.{name}": tensor for name, tensor in self.replay.tensors().items()}
        return found | {"cost": self.cost, "updates": self.updates}

    def counters(self) -> list[Tensor]:
        """Return what workers only add to."""
        return [self.cost, self.updates]


class DQN:
    """One worker: an actor and a learner on what all workers share.

    Parameters
    ----------
    shape : Shape
    settings : DQNSettings
    seed : int
        Of the first weights.
    shared : Shared, optional
        What another process made; by default this one makes its own.
    """

    def __init__(
        self, shape: Shape, settings: DQNSettings, seed: int, shared: SharedDqn | None = None
    ) -> None:  # fmt: skip
        self.settings = settings
        self.all = _fresh(shape, settings, seed) if shared is None else shared
        self.network = self.all.network
        self.noise = torch.Generator()

    def prepare(self, observations: Reals) -> None:
        """Take the scale of observations from a sample (B, D), before the first decision."""
        if self.settings.standardise:
            for each in (self.network, self.all.target):
                each.standard.fit(torch.from_numpy(observations))

    def begin_round(self, seed: int) -> None:
        """Take all random numbers from this seed from now on."""
        self.noise.manual_seed(seed)

    def act(self, observations: Reals, masks: Masks | None, progress: float) -> tuple[Nodes, Flags | None]:
        """Take the action of highest value; some are replaced by random ones."""
        actions, allowed = self.network.decide(torch.from_numpy(observations), masks, None)
        replaced = torch.rand(len(actions), generator=self.noise).numpy() < self._explore(progress)
        drawn = torch.rand((*actions.shape, self.network.shape.nodes), generator=self.noise).numpy()
        random = (drawn if allowed is None else np.where(allowed, drawn, -1.0)).argmax(-1)
        return np.where(replaced[:, None], random, actions), allowed

    def _explore(self, progress: float) -> float:
        settings = self.settings
        done = min(progress / settings.explore_share, 1.0)
        return settings.explore_start + done * (settings.explore_end - settings.explore_start)

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """Add a rollout to the replay, and make one step with the gradients of a minibatch."""
        settings, all_ = self.settings, self.all
        copies = int(all_.updates) // settings.target_every
        if all_.cost[1] < SCALE_DECISIONS:
            all_.cost.add_(torch.tensor([-rollout.rewards.sum(), rollout.rewards.size], dtype=torch.float64))
        all_.replay.add(rollout)
        batch = all_.replay.sample(settings.batch, self.noise)
        rate = settings.learning_rate * (1.0 - progress * (1.0 - settings.learning_rate_end))
        values = self.network.chosen(batch.observations, batch.actions)
        loss = (self.targets(batch) - values).square().mean()
        all_.optimiser.zero_grad()  # the gradients are this process's own, even where weights are shared
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), settings.gradient_norm or float("inf"))
        set_rate(all_.optimiser, rate)
        all_.optimiser.step()
        all_.updates.add_(1)
        self._follow(copies)
        return {
            "loss": float(loss.detach()),
            "value": float(values.detach().mean()),
            "gradient_norm": float(norm),
            "explore": self._explore(progress),
            "learning_rate": rate,
        }

    def _follow(self, copies: int) -> None:
        """Copy to the target network, if the updates (also others' since) ask for more copies than these."""
        if int(self.all.updates) // self.settings.target_every > copies:
            self.all.target.load_state_dict(self.network.state_dict())

    @torch.no_grad()
    def targets(self, batch: Decisions) -> Tensor:
        """Return what the values (B, K) are drawn to.

        A whole placement: its reward, and gamma times the best value of what follows. Block by block: the
        cost of the block with its sign turned, and the best value of the next block, undiscounted, as it
        belongs to the same reward; after the last block, gamma times the best value of what follows.
        """
        settings = self.settings
        rewards = -batch.block_costs / self._unit()
        following = torch.zeros(len(rewards))
        if settings.gamma > 0.0:
            ahead = batch.next_observations
            best = self._best(self.all.target.first(ahead), lambda: self.network.first(ahead))
            following = settings.gamma * torch.where(batch.over, 0.0, best)
        if self.network.head.joint:
            return (rewards.sum(-1) + following)[:, None]
        given = batch.observations, batch.actions
        later = self._best(self.all.target.all(*given), lambda: self.network.all(*given))[:, 1:]
        return rewards + torch.cat([later, following[:, None]], dim=1)

    def _best(self, values: Tensor, chooser: Any) -> Tensor:
        """Return the target network's value of the best action, (...), from those of all (..., C)."""
        if not self.settings.double:
            return values.max(-1).values
        return values.gather(-1, chooser().argmax(-1, keepdim=True))[..., 0]

    def _unit(self) -> float:
        """Return the unit of rewards in seconds."""
        mean = float(self.all.cost[0] / self.all.cost[1])
        return mean if self.settings.cost_unit == "mean" and mean > 0.0 else 1.0

    def state(self) -> dict[str, Tensor]:
        """Return everything that going on later needs."""
        return self.all.tensors()

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take what `state` gave."""
        for name, tensor in self.all.tensors().items():
            tensor.copy_(state[name])

    def shared(self) -> SharedDqn:
        """Move networks, statistics and the replay to shared memory."""
        for tensor in self.all.tensors().values():
            tensor.share_memory_()  # type: ignore[no-untyped-call]
        self.network.share_memory()
        self.all.target.share_memory()
        context: Any = torch.multiprocessing.get_context("spawn")
        lock = ProcessLock() if os.name == "posix" else context.Lock()
        self.all = replace(self.all, replay=replace(self.all.replay, lock=lock))
        return self.all

    def remote(self, server: ParameterSource) -> SharedDqn:
        """Return what a worker of a parameter server works on: its own networks, stepped there."""
        from mecopt_rl.training.parameter_server import Pushing, RemoteReplay

        optimiser = Pushing(self.network.parameters(), self.all.counters(), server)
        return replace(self.all, optimiser=optimiser, replay=RemoteReplay(server))

    def count(self, more: list[Tensor]) -> None:
        """Add what a worker of this parameter server has counted."""
        copies = int(self.all.updates) // self.settings.target_every
        for counter, added in zip(self.all.counters(), more, strict=True):
            counter.add_(added)
        self._follow(copies)


def _fresh(shape: Shape, settings: DQNSettings, seed: int) -> SharedDqn:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = network(shape, settings)
        target = network(shape, settings)
    target.load_state_dict(made.state_dict())
    for weight in target.parameters():
        weight.requires_grad_(False)
    if settings.optimiser == "adam":
        optimiser: torch.optim.Optimizer = Adam(made.parameters(), settings.learning_rate)
    else:
        optimiser = RMSProp(
            made.parameters(), settings.learning_rate, settings.rms_alpha, settings.rms_epsilon
        )
    replay = Replay.empty(settings.memory, shape)
    cost, updates = torch.zeros(2, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    return SharedDqn(made, target, optimiser, replay, cost, updates)


def network(shape: Shape, settings: DQNSettings) -> ActionValues:
    """Return the untrained network."""
    return ActionValues(shape, settings.width, settings.layers, settings.joint_actions, settings.first_value)


def make(shape: Shape, settings: DQNSettings, seed: int, shared: SharedDqn | None = None) -> DQN:
    """Return the learner."""
    return DQN(shape, settings, seed, shared)


KIND = LearnerKind(
    name="dqn",
    summary="distributed DQN: actors fill one replay, a target network; one value for every placement",
    recipes={"best": DQNSettings(), "paper": PAPER},
    make=make,
    network=network,
)
