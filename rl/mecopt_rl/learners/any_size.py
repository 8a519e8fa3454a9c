"""One network for all sizes: scores of steps with shared weights, for any number of servers and blocks.

What the network sees of a task are the seconds of every step, from every node to every node, as shares of
the best placement on one node. Walking backwards over the blocks it keeps a state for every node, made from
the states of the nodes that may follow by pooling over them; a scorer turns the state behind a step and the
step's cost into the step's score. No weight belongs to a server or to a block, so the weights fit every N
and M, and renaming servers renames the answer. Block m is chosen knowing the node of block m-1.

The policy is a Markov chain over nodes and the costs are known, so what it costs in expectation is a sum
backwards over the blocks; its gradient needs neither samples nor a critic (an expected policy gradient,
Ciosek and Whiteson 2018). The temperature is annealed as in `mecopt_rl.learners.multitask_a3c`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mecopt.errors import InputError
from mecopt_rl.learners.deciding_kernels import CAP, FORBIDDEN, MOST_STEPS, SHARPEN, STRETCH, step_back, units
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
)
from mecopt_rl.learners.optimisers import Adam, set_rate, statistics
from mecopt_rl.training.any_size_curriculum import Families, Sizes

SMALL = 0.1
MOST_ROUNDS = 20  # its episodes are short


@dataclass(frozen=True)
class AnySizeSettings(Settings):
    """Settings of recipe `best`."""

    environments: int = 16  # episodes of one size that are drawn at a time
    batch: int = 128  # tasks of an update
    width: int = 32  # of a node's state
    temperature_start: float = 0.05  # weight of the entropy, in best placements on one node
    temperature_end: float = 0.001
    learning_rate: float = 0.002
    learning_rate_end: float = 0.02  # the last rate, as a share of the first
    gradient_norm: float = 1.0  # longer gradients are cut to this
    small_first: float = 0.5  # share of the training after which the largest sizes are drawn too

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "batch", "width")
        at_least(self, 0, "temperature_start", "temperature_end", "learning_rate", "small_first")
        if self.steps != 1 or self.raw_observations:
            raise InputError("steps, raw_observations: any-size has no such settings")


class StepScorer(nn.Module):
    """Scores the steps of chains of any length between any number of nodes.

    Parameters
    ----------
    width : int
        Of the state of a node.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.last = nn.Parameter(torch.zeros(width))  # state of every node behind the last block
        self.after = nn.Linear(width, width)  # the state behind a step ...
        self.cost = nn.Linear(2, width, bias=False)  # ... and the step's cost make the step's features
        self.pooled = nn.Linear(3 * width + 1, width)
        self.merge = nn.Linear(width, width)
        self.score = nn.Linear(2 * width, 1)
        self.gain = nn.Parameter(torch.tensor(0.5))  # decisions hang on small differences of costs
        with torch.no_grad():
            for layer in (self.after, self.merge):  # what is added to a state starts small
                layer.weight.mul_(SMALL)
                layer.bias.zero_()

    def forward(self, steps: Tensor) -> Tensor:
        """Return the log-probability of every node after every node.

        Parameters
        ----------
        steps : array of shape (B, M, J, J)
            Of `shares`: cost of running block m on node j after block m-1 on node i,
            at most `CAP`.

        Returns
        -------
        array of shape (B, M, J, J)
            [b, m, i, j]; sums to 1 over j once exponentiated.
        """
        count, blocks, nodes, _ = steps.shape
        possible = steps < CAP
        costs = self.cost(torch.stack([STRETCH * steps, (~possible).float()], dim=-1))  # (B, M, J, J, width)
        state = self.last.expand(count, nodes, -1)
        device = torch.zeros(count, nodes, 1)
        device[:, 0] = 1.0
        found = []
        for m in range(blocks - 1, -1, -1):
            step = (state + self.after(state))[:, None] + costs[:, m]
            bent = functional.relu(step)
            both = torch.cat([step, bent], dim=-1)
            found.append(self.score(both)[..., 0] * (SHARPEN * self.gain).exp())
            pools = torch.cat([step.amax(2), bent.mean(2), step.diagonal(dim1=1, dim2=2).transpose(1, 2)], -1)
            hidden = functional.relu(self.pooled(torch.cat([pools, device], dim=-1)))
            state = pools[..., : state.shape[-1]] + self.merge(hidden)
        scores = torch.stack(found[::-1], dim=1).masked_fill(~possible, FORBIDDEN)
        return torch.log_softmax(scores, dim=-1)

    @torch.no_grad()
    def scores(self, steps: Tensor) -> Tensor:
        """Return what `forward` takes the softmax of, far sooner; without the way for gradients back.

        Parameters
        ----------
        steps : array of shape (B, M, J, J)
            Of `shares`. Of block 0 only the steps from the device (node 0) count.
        """
        count, blocks, nodes, _ = steps.shape
        width, found = len(self.last), torch.empty_like(steps)
        behind = (self.last + self.after(self.last)).expand(count * nodes, width).contiguous()
        pools, hidden, state = (torch.empty(count * nodes, n) for n in (3 * width + 1, width, width))
        # Laid out for products that need no transposing: these are the faster ones.
        merge, pooled, after = (
            layer.weight.T.contiguous() for layer in (self.merge, self.pooled, self.after)
        )
        gain = float((SHARPEN * self.gain).exp())
        weights = (
            self.cost.weight.T.contiguous().numpy(),
            self.score.weight[0].numpy(),
            float(self.score.bias),
        )
        for m in range(blocks - 1, -1, -1):
            step_back(steps.numpy(), m, behind.numpy(), *weights, gain, found.numpy(), pools.numpy())
            if m > 0:
                torch.addmm(self.pooled.bias, pools, pooled, out=hidden).relu_()
                torch.addmm(self.merge.bias, hidden, merge, out=state).add_(pools[:, :width])
                torch.addmm(self.after.bias, state, after, out=behind).add_(state)
        return found

    @torch.no_grad()
    def decide(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes for tasks whose steps cost `observations` seconds, (B, M, J, J), block by block."""
        count, blocks, nodes, _ = observations.shape
        at_once = max(1, MOST_STEPS // observations[0].numel())
        scores = torch.cat([self.scores(shares(part)) for part in torch.split(observations, at_once)])
        chosen = torch.zeros((count, blocks), dtype=torch.int64)
        allowed = None if masks is None else np.ones((count, blocks, nodes), dtype=np.bool_)
        node, every = torch.zeros(count, dtype=torch.int64), torch.arange(count)
        for m in range(blocks):
            now = scores[every, m, node]
            if masks is not None and allowed is not None:
                allowed[:, m] = masks.block_mask(m, chosen.numpy())
                now = now.masked_fill(~torch.from_numpy(allowed[:, m]), 2.0 * FORBIDDEN)
            if noise is not None:
                uniform = torch.rand(now.shape, generator=noise).clamp(1e-9, 1.0 - 1e-7)
                now = now - torch.log(-torch.log(uniform))
            node = now.argmax(-1)
            chosen[:, m] = node
        return chosen.numpy(), allowed


def unit(steps: Tensor) -> Tensor:
    """Return the seconds of the best placement on one node, (B,); of (B, M, J, J) seconds of steps.

    Where no node can run the whole chain it is the sum of the cheapest steps.
    """
    found = np.empty(len(steps))
    units(steps.numpy(), found)
    return torch.from_numpy(found)


def shares(steps: Tensor) -> Tensor:
    """Return the costs of steps in units of `unit`, at most `CAP`, in single precision."""
    return (steps * (1.0 / unit(steps))[:, None, None, None]).float().clamp_(max=CAP)


def expected_cost(log_chances: Tensor, steps: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return what a policy costs in expectation, and its entropy per block.

    Parameters
    ----------
    log_chances : array of shape (B, M, J, J)
        Log-probability of node j for block m after node i.
    steps : array of shape (B, M, J, J)
        Cost of that step.
    temperature : float
        Weight of the mean entropy of the blocks, which is taken off.

    Returns
    -------
    cost : array of shape (B,)
        From the device on, less the weighted entropy.
    entropy : array of shape (B,)
        Mean over the blocks, in nats.
    """
    chances = log_chances.exp()
    nats = -(chances * log_chances).sum(-1)
    weight = temperature / steps.shape[1]
    cost = entropy = torch.zeros(steps.shape[0], steps.shape[2])
    for m in range(steps.shape[1] - 1, -1, -1):
        cost = (chances[:, m] * (steps[:, m] + cost[:, None])).sum(-1) - weight * nats[:, m]
        entropy = (chances[:, m] * entropy[:, None]).sum(-1) + nats[:, m]
    return cost[:, 0], entropy[:, 0] / steps.shape[1]


class AnySize:
    """The learner: one network, stepped on the exact gradient of what its policy costs.

    Parameters
    ----------
    settings : AnySizeSettings
    seed : int
        Of the first weights.
    """

    def __init__(self, settings: AnySizeSettings, seed: int) -> None:
        self.settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = StepScorer(settings.width)
        self.optimiser = Adam(self.network.parameters(), settings.learning_rate)

    def prepare(self, observations: Reals) -> None:
        """Do nothing: what a step costs is a share of what its task costs, whatever other tasks do."""

    def begin_round(self, seed: int) -> None:
        """Do nothing: no random number is drawn."""

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """Learn from tasks whose steps cost `rollout.observations` seconds, (T, E, M, J, J)."""
        own, s = shares(torch.from_numpy(rollout.observations).flatten(0, 1)), self.settings
        temperature = s.temperature_start * (s.temperature_end / s.temperature_start) ** progress
        cost, entropy = expected_cost(self.network(own), own, temperature)
        self.optimiser.zero_grad()
        cost.mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), s.gradient_norm)
        set_rate(self.optimiser, s.learning_rate * s.learning_rate_end**progress)
        self.optimiser.step()
        return {
            "entropy": float(entropy.detach().mean()),
            "cost": float(cost.detach().mean()),
            "temperature": temperature,
        }

    def state(self) -> dict[str, Tensor]:
        """Return everything that going on later needs."""
        weights = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        return weights | {f"optimiser.{name}": tensor for name, tensor in statistics(self.optimiser).items()}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take what `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])

    def shared(self) -> None:
        """Refuse: nothing is laid out for several processes.

        Raises
        ------
        InputError
        """
        raise InputError("--workers: any-size trains in one process, on this machine")


def network(shape: Shape, settings: AnySizeSettings) -> StepScorer:
    """Return the untrained network; it has no shape."""
    return StepScorer(settings.width)


def make(shape: Shape, settings: AnySizeSettings, seed: int, shared: None = None) -> AnySize:
    """Return the learner; it has no shape, and no workers."""
    return AnySize(settings, seed)


def curriculum(
    kind: LearnerKind[AnySizeSettings, None], spec: str, settings: AnySizeSettings, seed: int
) -> Sizes:
    """Return the episodes of several specs, separated by spaces."""
    return Sizes(Families(kind, spec), settings)


KIND = LearnerKind(
    name="any-size",
    summary="one network for any number of servers and blocks: scores of steps with shared weights",
    recipes={"best": AnySizeSettings()},
    make=make,
    network=network,
    curriculum=curriculum,
    couplings=frozenset(),
    any_size=True,
    workers=False,
    most_rounds=MOST_ROUNDS,
)
