"""What the networks are built of, each with its way back: trunk, head, scale, masks, noise; and the loss.

The loss is that of an actor and its critic (Eq. 17-20), its gradients in closed form. With p the softmax of
the scores s of one choice, H its entropy, a the column taken and A the advantage,

    d/ds_c of -log p_a A - beta_H H  =  p_c (A + beta_H (log p_c + H)) - [c = a] A.

A network takes it from there. For nets this small autograd costs more than the matrix products; tests
compare with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mecopt.compiling import njit
from mecopt_rl.learners.deciding_kernels import FORBIDDEN
from mecopt_rl.learners.learner import Flags, Masks, Nodes, Reals, Shape

SPREAD = 0.01  # of the last layer's first weights: the first policy is nearly uniform
SAME = 1e-6  # standard deviation of what does not vary
JOINT_ACTIONS = 20_000  # most placements that are one action each
ROWS = 64  # scored at once: a row of J^M scores can take 80 kB, and all should stay in the cache


@dataclass(frozen=True, eq=False)
class Passed:
    """What a network makes of B observations and actions, and what its way back needs."""

    scores: Tensor  # (K, B, C) of the C columns of each of K choices
    values: Tensor  # (B, 1 or K)
    nodes: Tensor  # (B, M) the actions
    chosen: Tensor  # (B, K) the columns that they take
    layers: tuple[Any, ...]  # the network's own


@dataclass(frozen=True, eq=False)
class Slopes:
    """Gradients of the loss of an actor and its critic, and what it is made of."""

    scores: Tensor  # (K, B, C)
    values: Tensor  # (B, 1 or K)
    actor: float  # Eq. 18, its sign turned
    critic: float  # Eq. 19
    entropy: float  # nats, mean over the choices


def slopes(passed: Passed, targets: Reals, temperature: float, value_weight: float) -> Slopes:
    """Return the gradients of ``actor + value_weight * critic``, a mean over B K choices.

    Parameters
    ----------
    passed : Passed
    targets : array of shape (B, 1 or K)
        Returns, what each choice is credited with.
    temperature : float
        Weight of the entropy, beta_H.
    value_weight : float
    """
    shifted = passed.scores - passed.scores.amax(-1, keepdim=True)
    raised, values = shifted.exp(), torch.zeros_like(passed.values)
    actor, critic, entropy = _slopes(
        shifted.numpy(), raised.numpy(), passed.chosen.numpy(), targets, passed.values.numpy(),
        np.float32(temperature), np.float32(value_weight), values.numpy(),
    )  # fmt: skip
    return Slopes(raised, values, actor - temperature * entropy, critic, entropy)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _slopes(shifted, raised, chosen, targets, values, temperature, value_weight, value_slopes):  # type: ignore[no-untyped-def]
    """Turn `raised`, the exponentials of scores `shifted`, into gradients; see `slopes`."""
    choices, count, columns = raised.shape
    credits, critics = targets.shape[1] - 1, values.shape[1] - 1
    width = max(credits, critics) + 1
    share = np.float32(1.0 / (choices * count))
    pull = np.float32(2.0 * value_weight / (width * count))
    actor, critic, entropy = 0.0, 0.0, 0.0
    for k in range(choices):
        for b in range(count):
            scores, row, a = shifted[k, b], raised[k, b], chosen[b, k]
            total, mean = np.float32(0.0), np.float32(0.0)
            for c in range(columns):
                total += row[c]
                mean += row[c] * scores[c]
            mean /= total
            log_total = np.log(total)
            advantage = targets[b, min(k, credits)] - values[b, min(k, critics)]
            actor -= (scores[a] - log_total) * advantage
            entropy += log_total - mean
            each = share / total
            for c in range(columns):  # log p + H = s - mean
                row[c] *= each * (advantage + temperature * (scores[c] - mean))
            row[a] -= share * advantage
    for b in range(count):
        for i in range(width):
            error = targets[b, min(i, credits)] - values[b, min(i, critics)]
            critic += error * error
            value_slopes[b, min(i, critics)] -= pull * error
    return actor / (choices * count), critic / (width * count), entropy / (choices * count)


class Trunk(nn.Sequential):
    """Fully connected layers with rectifiers."""

    def __init__(self, inputs: int, width: int, layers: int) -> None:
        sizes = [inputs] + [width] * layers
        steps = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        super().__init__(*(part for step in steps for part in (step, nn.ReLU())))
        self.steps = tuple(steps)

    def outputs(self, inputs: Tensor) -> list[Tensor]:
        """Return the inputs (B, .) and what every layer makes of those before it."""
        found = [inputs]
        for step in self.steps:
            found.append(functional.linear(found[-1], step.weight, step.bias).relu_())
        return found

    def back(self, outputs: list[Tensor], slope: Tensor) -> None:
        """Write the gradients of the weights, from that of the last output."""
        for i in reversed(range(len(self.steps))):
            slope = bent(slope, outputs[i + 1])
            linear_back(self.steps[i], outputs[i], slope)
            if i > 0:
                slope = slope @ self.steps[i].weight


def linear_back(layer: nn.Linear, inputs: Tensor, slope: Tensor) -> None:
    """Write the gradients of a linear layer, from that of its outputs (B, .)."""
    torch.mm(slope.T, inputs, out=layer.weight.grad)
    torch.sum(slope, 0, out=layer.bias.grad)


class Standard(nn.Module):
    """Shifts and scales observations to mean 0 and variance 1 over a sample; before `fit` changes nothing."""

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def fit(self, observations: Tensor) -> None:
        """Take mean and scale from observations (B, D); what is the same in all of them is only shifted."""
        spread = observations.std(0) if len(observations) > 1 else torch.zeros_like(observations[0])
        self.mean.copy_(observations.mean(0))
        self.scale.copy_(torch.where(spread > SAME, 1.0 / spread, 1.0))

    def forward(self, observations: Tensor) -> Tensor:
        """Return the observations on the new scale."""
        return (observations - self.mean) * self.scale


def stacked(count: int, inputs: int, outputs: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Return weights and biases of several linear layers, with the first values of `nn.Linear`."""
    layers = [nn.Linear(inputs, outputs) for _ in range(count)]
    weight = torch.stack([layer.weight.detach().T for layer in layers]).contiguous()
    bias = torch.stack([layer.bias.detach() for layer in layers])[:, None]
    return nn.Parameter(weight), nn.Parameter(bias)


def masked(scores: Tensor, masks: Tensor | None) -> Tensor:
    """Rule out what masks (B, M, J) forbid, of scores (M, B, J)."""
    return scores if masks is None else scores.masked_fill(~masks.transpose(0, 1), FORBIDDEN)


def gumbel_noise(scores: Tensor, noise: torch.Generator, shared: bool = False) -> Tensor:
    """Return noise for scores (M, B, J), with which the maximum is a sample of their softmax.

    Shared by the blocks, it leaves each block's distribution as it is but moves blocks together: those
    that agree on the scores agree on the node. Then a whole group of blocks tries another server
    at once, which independent noise almost never does.
    """
    uniform = torch.rand((1 if shared else len(scores), *scores.shape[1:]), generator=noise)
    return uniform.clamp_(1e-9, 1.0 - 1e-7).log_().neg_().log_().neg_()


def bent(slope: Tensor, output: Tensor) -> Tensor:
    """Return the gradient before a rectifier, from that behind it and its output."""
    found: Tensor = torch.ops.aten.threshold_backward(slope, output, 0.0)
    return found


class Head(nn.Module):
    """Scores of actions, from layers of its own.

    Parameters
    ----------
    shape : Shape
    width, layers : int
        Of the hidden layers.
    joint_actions : int
        Up to so many placements of a task are one action each (K = 1 choice among C = J^M); of more, it is
        chosen block by block (K = M choices among C = J).
    """

    place: Tensor

    def __init__(self, shape: Shape, width: int, layers: int, joint_actions: int) -> None:
        super().__init__()
        self.shape = shape
        count = shape.nodes**shape.blocks
        self.joint = count <= joint_actions
        inputs = shape.observation + (0 if self.joint else shape.blocks + shape.nodes)
        self.body = Trunk(inputs, width, layers)
        self.score = nn.Linear(width, count if self.joint else shape.nodes)
        with torch.no_grad():
            self.score.weight.mul_(SPREAD)
            self.score.bias.zero_()
        places = [shape.nodes**m for m in reversed(range(shape.blocks))] if self.joint else []
        self.register_buffer("place", torch.tensor(places, dtype=torch.int64), persistent=False)

    def columns(self, actions: Tensor) -> Tensor:
        """Return which of the C columns the actions (B, M) take, (B, K)."""
        return (actions * self.place).sum(-1, keepdim=True) if self.joint else actions

    def nodes(self, columns: Tensor) -> Tensor:
        """Return the actions (B, M) of the columns (B, K)."""
        return columns // self.place % self.shape.nodes if self.joint else columns

    def scores(self, seen: Tensor, actions: Tensor, masks: Tensor | None = None) -> Tensor:
        """Return the scores of all actions, (K, B, C).

        Parameters
        ----------
        seen : tensor of shape (B, D)
        actions : tensor of int, shape (B, M)
            Where the blocks before run; not looked at where placements are single actions.
        masks : tensor of bool, shape (B, M, J), optional
            What each block may use.
        """
        return self.run(seen, actions, masks)[0]

    def run(self, seen: Tensor, actions: Tensor, masks: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the scores, as `scores`, and the outputs of the layers, (K B, .)."""
        outputs = self.body.outputs(self._inputs(seen, actions))
        scores = functional.linear(outputs[-1], self.score.weight, self.score.bias)
        return self._masked(scores.view(-1, len(seen), scores.shape[-1]), masks), outputs

    def back(self, outputs: list[Tensor], slope: Tensor) -> None:
        """Write the gradients of all weights, from those of the scores (K, B, C)."""
        flat = slope.flatten(0, 1)
        linear_back(self.score, outputs[-1], flat)
        self.body.back(outputs, flat @ self.score.weight)

    def chosen(self, seen: Tensor, actions: Tensor) -> Tensor:
        """Return the scores of these actions alone, (B, K); far cheaper than all."""
        hidden, columns = self.body(self._inputs(seen, actions)), self.columns(actions).T.flatten()
        found = (hidden * self.score.weight[columns]).sum(-1) + self.score.bias[columns]
        chosen: Tensor = found.view(-1, len(seen)).T
        return chosen

    def block(self, seen: Tensor, m: int, before: Tensor) -> Tensor:
        """Return the scores of block m (B, J), when the block before it runs on the nodes `before` (B,)."""
        which = functional.one_hot(torch.full_like(before, m), self.shape.blocks)
        told = torch.cat([which, functional.one_hot(before, self.shape.nodes)], dim=-1)
        scores: Tensor = self.score(self.body(torch.cat([seen, told.to(seen.dtype)], dim=-1)))
        return scores

    def decide(
        self, seen: Tensor, masks: Masks | None, noise: torch.Generator | None, temperature: float = 1.0
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes, see `learner.Policy`: the highest score, or with noise a sample."""
        if self.joint:
            allowed = None if masks is None else masks.branch_masks()
            picked, weight = [], self.score.weight.T
            room = torch.empty(min(len(seen), ROWS), weight.shape[1])  # one, since fresh memory is slow
            for start in range(0, len(seen), ROWS):
                rows = slice(start, start + ROWS)
                free = None if allowed is None else torch.from_numpy(allowed[rows])
                hidden = self.body.outputs(seen[rows])[-1]
                scores = torch.mm(hidden, weight, out=room[: len(hidden)]).add_(self.score.bias)
                scores = self._masked(scores[None], free)[0]
                picked.append(pick(scores, noise, temperature))
            return self.nodes(torch.cat(picked)[:, None]).numpy(), allowed
        blocks, nodes = self.shape.blocks, self.shape.nodes
        chosen = torch.zeros((len(seen), blocks), dtype=torch.int64)
        allowed = None if masks is None else np.ones((len(seen), blocks, nodes), dtype=np.bool_)
        before = torch.zeros(len(seen), dtype=torch.int64)
        for m in range(blocks):
            scores = self.block(seen, m, before)
            if masks is not None and allowed is not None:
                allowed[:, m] = masks.block_mask(m, chosen.numpy())
                scores = scores.masked_fill(~torch.from_numpy(allowed[:, m]), FORBIDDEN)
            before = chosen[:, m] = pick(scores, noise, temperature)
        return chosen.numpy(), allowed

    def _inputs(self, seen: Tensor, actions: Tensor) -> Tensor:
        """Return what the first layer sees, (K B, .)."""
        if self.joint:
            return seen
        blocks, nodes, count = self.shape.blocks, self.shape.nodes, len(seen)
        which = torch.eye(blocks)[:, None].expand(-1, count, -1)
        before = functional.one_hot(functional.pad(actions[:, :-1], (1, 0)).T, nodes).to(seen.dtype)
        return torch.cat([seen.expand(blocks, -1, -1), which, before], dim=-1).flatten(0, 1)

    def _masked(self, scores: Tensor, masks: Tensor | None) -> Tensor:
        """Rule out what masks (B, M, J) forbid, of scores (K, B, C)."""
        if masks is None:
            return scores
        if self.joint:
            whole = masks[:, 0]
            for m in range(1, self.shape.blocks):
                whole = (whole[:, :, None] & masks[:, m, None]).flatten(1)
            return scores.masked_fill(~whole, FORBIDDEN)
        return scores.masked_fill(~masks.transpose(0, 1), FORBIDDEN)


def pick(scores: Tensor, noise: torch.Generator | None, temperature: float) -> Tensor:
    """Return the column of the highest score, or a sample of their softmax, (B,)."""
    if noise is None:
        return torch.from_numpy(scores.numpy().argmax(-1))  # that of PyTorch takes as long as the scores
    # One random number a row: one for each of thousands of columns would cost more than the network.
    reached = torch.softmax(scores / temperature, dim=-1).cumsum(-1)
    drawn = torch.rand((len(scores), 1), generator=noise) * reached[:, -1:] * (1.0 - 1e-6)
    return torch.searchsorted(reached, drawn, right=True)[:, 0]
