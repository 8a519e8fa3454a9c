"""What the networks are built of: a trunk with its way back, the scale of observations, masks and noise."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mecopt_rl.learners.deciding_kernels import FORBIDDEN
from mecopt_rl.learners.gradients import bent

SPREAD = 0.01  # of the last layer's first weights: the first policy is nearly uniform
SAME = 1e-6  # standard deviation of what does not vary


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
