"""MTL-A3C (section 4 of the paper): one trunk, a branch for each block, one critic; Eq. 15-24, Algorithm 1.

Recipe `paper` follows the paper to the letter, recipe `best` is mecopt's own; every difference is a setting.
docs/methods/mtl-a3c.md lists what the paper leaves open and what was chosen.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mecopt_rl.learners.a3c_settings import PAPER, A3CSettings
from mecopt_rl.learners.gradients import Passed, one_vector, slopes
from mecopt_rl.learners.learner import Flags, LearnerKind, Masks, Nodes, Reals, Rollout, Shape
from mecopt_rl.learners.networks import Branches
from mecopt_rl.learners.optimisers import Adam, RMSProp, set_rate, statistics
from mecopt_rl.learners.returns import block_returns, k_step_returns
from mecopt_rl.learners.segment_memory import SegmentMemory

if TYPE_CHECKING:
    from mecopt_rl.training.parameter_server import Server

SCALE_DECISIONS = 2000  # first decisions whose mean cost becomes the unit of rewards


@dataclass(frozen=True, eq=False)
class Shared:
    """What all workers work on: the global parameters, the optimiser's statistics, the unit of rewards."""

    network: Any
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
        network: Callable[[Shape, Any], Any],
        shape: Shape,
        settings: A3CSettings,
        seed: int,
        shared: Shared | None = None,
    ) -> None:
        self.settings = settings
        if shared is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                made = network(shape, settings)
            weights = one_vector(made)
            optimiser = _optimiser(weights, settings)
            shared = Shared(made, weights, optimiser, torch.zeros(2, dtype=torch.float64))
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
        if self.settings.soft_weight and self.settings.sharing == "soft":
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
        again: Passed = self.own.run(torch.from_numpy(observations), torch.from_numpy(actions), masks)
        return again

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

    def shared(self) -> Shared:
        """Move parameters and statistics to shared memory."""
        self.network.share_memory()
        for tensor in self.all.tensors().values():
            tensor.share_memory_()  # type: ignore[no-untyped-call]
        return self.all

    def remote(self, server: Server) -> Shared:
        """Return what a worker of a parameter server works on: its own parameters, stepped there."""
        from mecopt_rl.training.parameter_server import Pushing

        optimiser = Pushing([self.all.weights], self.all.counters(), server)
        return dataclasses.replace(self.all, optimiser=optimiser)

    def count(self, more: list[Tensor]) -> None:
        """Add what a worker of this parameter server has counted."""
        for counter, added in zip(self.all.counters(), more, strict=True):
            counter.add_(added)


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


def make(shape: Shape, settings: A3CSettings, seed: int, shared: Shared | None = None) -> A3C:
    """Return the learner."""
    return A3C(network, shape, settings, seed, shared)


KIND = LearnerKind(
    name="mtl-a3c",
    summary="the paper's multi-task A3C: one trunk, an independent branch for each block",
    recipes={"best": A3CSettings(), "paper": PAPER},
    make=make,
    network=network,
)
