"""MTL-A3C (section 4 of the paper): one trunk, a branch for each block, one critic; Eq. 15-24, Algorithm 1.

Recipe `paper` follows the paper to the letter, recipe `best` is mecopt's own; every difference is a setting.
docs/methods/mtl-a3c.md lists what the paper leaves open and what was chosen.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mecopt.errors import InputError
from mecopt_rl.learners.learner import (
    Flags,
    LearnerKind,
    Masks,
    Nodes,
    PolicyNetwork,
    Reals,
    Rollout,
    Settings,
    Shape,
    at_least,
    one_of,
)
from mecopt_rl.learners.network_layers import (
    SPREAD,
    Passed,
    Slopes,
    Standard,
    Trunk,
    bent,
    gumbel_noise,
    linear_back,
    masked,
    slopes,
    stacked,
)
from mecopt_rl.learners.optimisers import Adam, RMSProp, one_vector, set_rate, statistics
from mecopt_rl.learners.segment_memory import SegmentMemory

if TYPE_CHECKING:
    from mecopt_rl.training.parameter_server import ParameterSource

SCALE_DECISIONS = 2000  # first decisions whose mean cost becomes the unit of rewards
ROWS = 1000  # tasks decided at a time


@dataclass(frozen=True)
class A3CSettings(Settings):
    """Settings of recipe `best`; those of recipe `paper` are in `PAPER`."""

    environments: int = 120
    width: int = 64  # of the trunk's layers
    layers: int = 2
    branch_width: int = 64
    sharing: str = "trunk"  # or "soft": a trunk each, held together by a penalty
    soft_weight: float = 0.0  # of that penalty
    shared_noise: bool = True  # blocks are sampled with common random numbers
    credit: str = "slot"  # or "block": a block answers for itself and those after it
    standardise: bool = True  # observations to mean 0 and variance 1 over a sample
    gamma: float = 0.0  # nothing joins two slots unless something couples them
    cost_unit: str = "mean"  # of rewards: the mean cost of the first decisions, or "second"
    temperature_start: float = 0.3  # weight of the entropy, beta_H of Eq. 18; in units of the cost
    temperature_end: float = 0.0005
    value_weight: float = 0.5  # of the critic's loss beside the actor's
    optimiser: str = "adam"  # or "rmsprop", Eq. 23-24
    learning_rate: float = 0.01
    learning_rate_end: float = 0.03  # the last rate, as a share of the first
    rms_alpha: float = 0.99
    rms_epsilon: float = 1e-5
    gradient_norm: float = 1.0  # longer gradients are cut to this; 0: none is
    explore_start: float = 0.0  # probability of a random action
    explore_end: float = 0.0
    explore_share: float = 1.0  # of the training, after which it has reached its end
    memory: int = 0  # segments kept for replay; 0: each is used once, as it comes
    batch: int = 32  # decisions of a minibatch, whole segments

    def __post_init__(self) -> None:
        super().__post_init__()
        words = ("adam", "rmsprop"), ("mean", "second"), ("slot", "block"), ("trunk", "soft")
        one_of(self, **dict(zip(("optimiser", "cost_unit", "credit", "sharing"), words, strict=True)))
        at_least(self, 1, "width", "layers", "branch_width", "batch")
        at_least(self, 0, "memory", "temperature_start", "temperature_end", "learning_rate", "gamma")
        at_least(self, 0, "gradient_norm", "value_weight", "soft_weight", "explore_start", "explore_end")
        at_least(self, 1e-12, "rms_epsilon", "explore_share")
        for name in ("gamma", "rms_alpha", "explore_start", "explore_end"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name}: {getattr(self, name)}, expected 0 to 1")


PAPER = A3CSettings(
    environments=1,
    steps=8,
    shared_noise=False,
    standardise=False,
    gamma=0.95,
    cost_unit="second",
    temperature_start=0.01,
    temperature_end=0.01,
    value_weight=1.0,
    optimiser="rmsprop",
    learning_rate=0.01,
    learning_rate_end=1.0,
    gradient_norm=0.0,
    explore_start=1.0,
    explore_end=0.01,
    explore_share=0.5,
    memory=1000,
)


class Branches(nn.Module):
    """Independent branches: one trunk shared by M actor branches and one critic, as in Fig. 4.

    Parameters
    ----------
    shape : Shape
    width, layers : int
        Of the trunk.
    branch_width : int
        Of the hidden layer of every branch.
    sharing : {"trunk", "soft"}
        "soft": a trunk for each branch and the critic, held close to each other by `distance`.
    shared_noise : bool
        Sample all branches with the same noise for a node (`mecopt_rl.learners.network_layers.gumbel_noise`).
    """

    trunks: Any  # nn.ModuleList of Trunk

    def __init__(
        self,
        shape: Shape,
        width: int,
        layers: int,
        branch_width: int,
        *,
        sharing: str = "trunk",
        shared_noise: bool = False,
    ) -> None:
        super().__init__()
        self.shape, self.shared_noise = shape, shared_noise
        outputs, count = shape.blocks + 1, 1 if sharing == "trunk" else shape.blocks + 1
        self.standard = Standard(shape.observation)
        self.trunks = nn.ModuleList(Trunk(shape.observation, width, layers) for _ in range(count))
        self.hidden, self.hidden_bias = stacked(outputs, width, branch_width)
        self.score = nn.Parameter(SPREAD * torch.randn(shape.blocks, branch_width, shape.nodes))
        self.score_bias = nn.Parameter(torch.zeros(shape.blocks, 1, shape.nodes))
        self.value = nn.Linear(branch_width, 1)

    def run(self, observations: Tensor, actions: Tensor, masks: Tensor | None) -> Passed:
        """Score all nodes of every block, K = M choices among C = J, and say V(X).

        Parameters
        ----------
        observations : tensor of shape (B, D)
        actions : tensor of int, shape (B, M)
        masks : tensor of bool, shape (B, M, J), optional
        """
        layers = self._features(observations)
        scores = torch.baddbmm(self.score_bias, layers[-1][:-1], self.score)
        return Passed(masked(scores, masks), self.value(layers[-1][-1]), actions, actions, layers)

    @torch.no_grad()
    def sample(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Passed, Flags | None]:
        """Choose nodes as `decide` does; the way back can start from here."""
        allowed = None if masks is None else masks.branch_masks()
        undecided = torch.empty(0, dtype=torch.int64)
        passed = self.run(observations, undecided, None if allowed is None else torch.from_numpy(allowed))
        scores = passed.scores
        if noise is not None:
            scores = scores + gumbel_noise(scores, noise, self.shared_noise)
        nodes = scores.argmax(-1).T.contiguous()
        return replace(passed, nodes=nodes, chosen=nodes), allowed

    def _features(self, observations: Tensor) -> tuple[list[list[Tensor]], Tensor, Tensor]:
        """Return the trunks' layers; inputs and outputs of branches and, last, critic, (M + 1, B, .)."""
        standard = self.standard(observations)
        outputs = [trunk.outputs(standard) for trunk in self.trunks]
        last = torch.stack([each[-1] for each in outputs]) if len(outputs) > 1 else outputs[0][-1]
        inputs = last.expand(len(self.hidden), -1, -1)
        return outputs, inputs, torch.baddbmm(self.hidden_bias, inputs, self.hidden).relu_()

    def back(self, passed: Passed, slopes: Slopes) -> None:
        """Write the gradients of all weights."""
        outputs, inputs, features = passed.layers
        torch.bmm(features[:-1].transpose(1, 2), slopes.scores, out=self.score.grad)
        torch.sum(slopes.scores, 1, keepdim=True, out=self.score_bias.grad)
        linear_back(self.value, features[-1], slopes.values)
        slope = torch.empty_like(features)
        torch.bmm(slopes.scores, self.score.transpose(1, 2), out=slope[:-1])
        torch.mm(slopes.values, self.value.weight, out=slope[-1])
        slope = bent(slope, features)
        torch.bmm(inputs.transpose(1, 2), slope, out=self.hidden.grad)
        torch.sum(slope, 1, keepdim=True, out=self.hidden_bias.grad)
        below = torch.bmm(slope, self.hidden.transpose(1, 2))
        for trunk, own, part in zip(self.trunks, outputs, self._of_trunks(below), strict=True):
            trunk.back(own, part)

    def _of_trunks(self, slope: Tensor) -> Tensor:
        """Return the gradient of every trunk's output, from those of the inputs of branches and critic."""
        return slope if len(self.trunks) > 1 else slope.sum(0, keepdim=True)

    def distance_back(self, weight: float) -> None:
        """Add the gradients of `distance` times a weight."""
        count = sum(p.numel() for p in self.trunks.parameters())
        for same in zip(*(trunk.parameters() for trunk in self.trunks), strict=True):
            mean = torch.stack(same).mean(0)
            for parameter in same:
                parameter.grad.add_(parameter - mean, alpha=2.0 * weight / count)

    def distance(self) -> Tensor:
        """Return the mean square by which the weights of the trunks differ from their mean."""
        squares = []
        for same in zip(*(trunk.parameters() for trunk in self.trunks), strict=True):
            stacked = torch.stack(same)
            squares.append((stacked - stacked.mean(0)).square().sum())
        count = sum(p.numel() for p in self.trunks.parameters())
        found: Tensor = torch.stack(squares).sum() / count
        return found

    def values(self, observations: Tensor) -> Tensor:
        """Return V(X), (B,)."""
        values: Tensor = self.value(self._features(observations)[-1][-1])
        return values[:, 0]

    def decide(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes for observations (B, D); see `mecopt_rl.learners.learner.Policy`."""
        return decide_in_parts(self, observations, masks, noise)


class ActorAndCritic(PolicyNetwork, Protocol):
    """A network that `A3C` trains, with its way back."""

    shape: Shape
    standard: Standard

    def sample(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Passed, Flags | None]:
        """Choose nodes as `Policy.decide` does; the way back can start from here."""
        ...

    def run(self, observations: Tensor, actions: Tensor, masks: Tensor | None) -> Passed:
        """Score all columns of every choice, and say V(X), of observations (B, D) and actions (B, M)."""
        ...

    def back(self, passed: Passed, slopes: Slopes) -> None:
        """Write the gradients of all weights."""
        ...

    def values(self, observations: Tensor) -> Tensor:
        """Return V(X), (B,)."""
        ...

    def share_memory(self) -> object:
        """Move all weights to shared memory."""
        ...


def decide_in_parts(
    network: ActorAndCritic, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
) -> tuple[Nodes, Flags | None]:
    """Choose nodes, so many tasks at a time that what is made of them stays in the processor's cache."""
    if masks is not None:  # these are asked for all tasks at once
        passed, allowed = network.sample(observations, masks, noise)
        return passed.nodes.numpy(), allowed
    parts = [network.sample(part, None, noise)[0].nodes for part in torch.split(observations, ROWS)]
    return torch.cat(parts).numpy(), None


@dataclass(frozen=True, eq=False)
class SharedMultitask:
    """What all workers work on: the global parameters, the optimiser's statistics, the unit of rewards."""

    network: ActorAndCritic
    weights: nn.Parameter  # of the network, one vector
    optimiser: torch.optim.Optimizer
    cost: Tensor  # (2,) sum of the first costs in seconds, and how many

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name."""
        found = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        found |= {f"optimiser.{name}": tensor for name, tensor in statistics(self.optimiser).items()}
        return found | {"cost": self.cost}

    def counters(self) -> list[Tensor]:
        """Return what workers only add to."""
        return [self.cost]


class A3C:
    """One worker: a copy of the global parameters acts and gives gradients; the global ones are stepped.

    Parameters
    ----------
    network : callable
        ``network(shape, settings)``, the untrained network.
    shape : Shape
    settings : A3CSettings
    seed : int
        Of the first weights.
    shared : Shared, optional
        What another process made; by default this one makes its own.
    """

    def __init__(
        self,
        network: Callable[[Shape, Any], ActorAndCritic],
        shape: Shape,
        settings: A3CSettings,
        seed: int,
        shared: SharedMultitask | None = None,
    ) -> None:
        self.settings = settings
        if shared is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                made = network(shape, settings)
            weights = one_vector(made)
            optimiser = _optimiser(weights, settings)
            shared = SharedMultitask(made, weights, optimiser, torch.zeros(2, dtype=torch.float64))
        self.all = shared
        self.network = shared.network  # the global parameters
        self.own = copy.deepcopy(shared.network)
        self._weights = one_vector(self.own, gradients=True)
        self._seen: tuple[Reals, Passed] | None = None  # what acting saw, and made of it
        self.noise = torch.Generator()
        self.memory = SegmentMemory(settings.memory)

    def prepare(self, observations: Reals) -> None:
        """Take the scale of observations from a sample (B, D), before the first decision."""
        if self.settings.standardise:
            for network in (self.network, self.own):
                network.standard.fit(torch.from_numpy(observations))

    def begin_round(self, seed: int) -> None:
        """Take all random numbers from this seed from now on."""
        self.noise.manual_seed(seed)
        self._synchronise()

    def act(self, observations: Reals, masks: Masks | None, progress: float) -> tuple[Nodes, Flags | None]:
        """Sample from the worker's policy; some actions are replaced by random ones (Algorithm 1)."""
        passed, allowed = self.own.sample(torch.from_numpy(observations), masks, self.noise)
        self._seen = observations, passed
        actions = passed.nodes.numpy()
        done = min(progress / self.settings.explore_share, 1.0)
        explore = self.settings.explore_start + done * (
            self.settings.explore_end - self.settings.explore_start
        )
        if explore > 0.0:
            replaced = torch.rand(len(actions), generator=self.noise).numpy() < explore
            nodes = self.network.shape.nodes
            drawn = torch.rand((*actions.shape, nodes), generator=self.noise).numpy()
            random = (drawn if allowed is None else np.where(allowed, drawn, -1.0)).argmax(-1)
            actions = np.where(replaced[:, None], random, actions)
        return actions, allowed

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """Make one step of the global parameters with this worker's gradients."""
        settings = self.settings
        self._count_costs(rollout.rewards)
        if settings.memory:
            self.memory.add(rollout)
            rollout = self.memory.sample(settings.batch, self.noise)
        ratio = settings.temperature_end / settings.temperature_start if settings.temperature_start else 0.0
        temperature = settings.temperature_start * ratio**progress
        rate = settings.learning_rate * (1.0 - progress * (1.0 - settings.learning_rate_end))
        figures = self._gradients(rollout, temperature)
        norm = self._cut(settings.gradient_norm)
        self._step(rate)
        return {**figures, "gradient_norm": norm, "temperature": temperature, "learning_rate": rate}

    @torch.no_grad()
    def _gradients(self, rollout: Rollout, temperature: float) -> dict[str, float]:
        """Write the gradients of Eq. 20, the actor's sign turned, over the T E decisions of a rollout."""
        passed, targets = self._passed(rollout), self._targets(rollout)
        credited = targets.reshape(-1, targets.shape[-1])
        found = slopes(passed, credited, temperature, self.settings.value_weight)  # Eq. 17-19
        self.own.back(passed, found)
        if self.settings.soft_weight and isinstance(self.own, Branches) and len(self.own.trunks) > 1:
            self.own.distance_back(self.settings.soft_weight)
        each = passed.chosen.shape[1] / self.network.shape.blocks  # choices a block: logged alike for all
        return {"actor": found.actor, "critic": found.critic, "entropy": found.entropy * each}

    def _passed(self, rollout: Rollout) -> Passed:
        """Run the network on a rollout; where acting has just done so, with its results."""
        observations, actions = (
            part.reshape(-1, part.shape[-1]) for part in (rollout.observations, rollout.actions)
        )
        if self._seen is not None:
            seen, passed = self._seen
            if np.array_equal(seen, observations) and np.array_equal(passed.nodes.numpy(), actions):
                return passed
        masks = None if rollout.masks is None else torch.from_numpy(rollout.masks).flatten(0, 1)
        return self.own.run(torch.from_numpy(observations), torch.from_numpy(actions), masks)

    def _cut(self, longest: float) -> float:
        """Cut the gradient to a length, 0: to none; return the length that it had."""
        gradient = self._weights.grad
        assert gradient is not None
        norm = float(gradient.norm())
        if longest and norm > longest:
            gradient.mul_(longest / norm)
        return norm

    def _targets(self, rollout: Rollout) -> Reals:
        """Return the returns that each block is credited with, (T, E, 1 or M)."""
        unit = np.float32(self._unit())
        rewards, gamma = rollout.rewards / unit, self.settings.gamma
        following = np.zeros_like(rewards)
        if gamma > 0.0:
            with torch.no_grad():
                ahead = torch.from_numpy(rollout.next_observations).flatten(0, 1)
                following = self.own.values(ahead).view(rewards.shape).numpy()
        returns = k_step_returns(rewards, following, rollout.terminated, rollout.truncated, gamma)
        return block_returns(rollout.block_costs / unit, returns, rewards, self.settings.credit)

    def _step(self, rate: float) -> None:
        """Give the worker's gradients to the global parameters, step them, and copy them back."""
        self.all.weights.grad = self._weights.grad
        set_rate(self.all.optimiser, rate)
        self.all.optimiser.step()
        self.all.weights.grad = None  # the gradients are the worker's; nothing may stay behind
        self._synchronise()

    @torch.no_grad()
    def _synchronise(self) -> None:
        self._weights.copy_(self.all.weights)
        self._seen = None  # by other weights

    def _count_costs(self, rewards: Reals) -> None:
        if self.all.cost.tolist()[1] < SCALE_DECISIONS:
            self.all.cost.add_(torch.tensor([-float(rewards.sum()), rewards.size], dtype=torch.float64))

    def _unit(self) -> float:
        """Return the unit of rewards in seconds."""
        total, count = self.all.cost.tolist()
        return total / count if self.settings.cost_unit == "mean" and total > 0.0 else 1.0

    def state(self) -> dict[str, Tensor]:
        """Return everything that going on later needs."""
        return {**self.all.tensors(), **self.memory.state()}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take what `state` gave."""
        for name, tensor in self.all.tensors().items():
            tensor.copy_(state[name])
        self.memory.load_state(state)
        self.own.load_state_dict(self.network.state_dict())
        self._seen = None

    def shared(self) -> SharedMultitask:
        """Move parameters and statistics to shared memory."""
        self.network.share_memory()
        for tensor in self.all.tensors().values():
            tensor.share_memory_()  # type: ignore[no-untyped-call]
        return self.all

    def remote(self, server: ParameterSource) -> SharedMultitask:
        """Return what a worker of a parameter server works on: its own parameters, stepped there."""
        from mecopt_rl.training.parameter_server import Pushing

        optimiser = Pushing([self.all.weights], self.all.counters(), server)
        return dataclasses.replace(self.all, optimiser=optimiser)

    def count(self, more: list[Tensor]) -> None:
        """Add what a worker of this parameter server has counted."""
        for counter, added in zip(self.all.counters(), more, strict=True):
            counter.add_(added)


def k_step_returns(
    rewards: Reals, next_values: Reals, terminated: Flags, truncated: Flags, gamma: float
) -> Reals:
    """Return Eq. 16 for every step of a segment of T steps, of E environments.

    Parameters
    ----------
    rewards : array of shape (T, E)
    next_values : array of shape (T, E)
        V of the observation that each step led to. It counts at the end of the segment and where an episode
        was cut off; not where it came to its end.
    terminated, truncated : array of bool, shape (T, E)
    gamma : float
        Discount.

    Returns
    -------
    array of shape (T, E)
        Step t looks T - t steps ahead, or to the end of its episode.
    """
    returns = np.empty_like(rewards)
    following = next_values[-1]
    for t in range(len(rewards) - 1, -1, -1):
        following = np.where(terminated[t], 0.0, np.where(truncated[t], next_values[t], following))
        following = rewards[t] + np.float32(gamma) * following
        returns[t] = following
    return returns


def block_returns(block_costs: Reals, returns: Reals, rewards: Reals, credit: str) -> Reals:
    """Return what each block's choice is credited with.

    Parameters
    ----------
    block_costs : array of shape (..., M)
        What each block adds to -reward.
    returns, rewards : array of shape (...)
        Return and reward of the whole step.
    credit : {"slot", "block"}
        "slot": all blocks the same return. "block": block m what it and the blocks after it cost, since
        its choice cannot change those before it, and what follows the step.

    Returns
    -------
    array of shape (..., 1) or (..., M)
    """
    if credit == "slot":
        return returns[..., None]
    to_go = np.flip(np.flip(block_costs, -1).cumsum(-1), -1)
    credited: Reals = (returns - rewards)[..., None] - to_go
    return credited


def _optimiser(weights: nn.Parameter, settings: A3CSettings) -> torch.optim.Optimizer:
    if settings.optimiser == "adam":
        return Adam([weights], settings.learning_rate)
    return RMSProp([weights], settings.learning_rate, settings.rms_alpha, settings.rms_epsilon)


def network(shape: Shape, settings: A3CSettings) -> Branches:
    """Return the untrained network."""
    return Branches(
        shape,
        settings.width,
        settings.layers,
        settings.branch_width,
        sharing=settings.sharing,
        shared_noise=settings.shared_noise,
    )


def make(shape: Shape, settings: A3CSettings, seed: int, shared: SharedMultitask | None = None) -> A3C:
    """Return the learner."""
    return A3C(network, shape, settings, seed, shared)


KIND = LearnerKind(
    name="mtl-a3c",
    summary="the paper's multi-task A3C: one trunk, an independent branch for each block",
    recipes={"best": A3CSettings(), "paper": PAPER},
    make=make,
    network=network,
)
