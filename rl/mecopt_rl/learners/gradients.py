"""The loss of an actor and its critic (Eq. 17-20) and its gradients, in closed form.

With p the softmax of the scores s of one choice, H its entropy, a the column taken and A the advantage,

    d/ds_c of -log p_a A - beta_H H  =  p_c (A + beta_H (log p_c + H)) - [c = a] A.

A network takes it from there: `networks` and `single_task` have the way back of every
layer. For nets this small autograd costs more than the matrix products; tests compare with it.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mecopt.compiling import njit
from mecopt_rl.learners.learner import Reals

ALIGNED = 16  # numbers; every parameter begins at a multiple of it, a cache line


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
def _slopes(shifted, raised, chosen, targets, values, temperature, value_weight, value_slopes):
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


def bent(slope: Tensor, output: Tensor) -> Tensor:
    """Return the gradient before a rectifier, from that behind it and its output."""
    found: Tensor = torch.ops.aten.threshold_backward(slope, output, 0.0)
    return found


def one_vector(network: nn.Module, gradients: bool = False) -> nn.Parameter:
    """Lay all parameters of a network into one vector, of which they become views, and return it.

    A norm, a step or a copy is then one call rather than one for each parameter.

    Parameters
    ----------
    network : torch.nn.Module
    gradients : bool
        Lay out the gradients too, for the way back to write into.
    """
    parameters = list(network.parameters())
    places = np.cumsum([0] + [-(-p.numel() // ALIGNED) * ALIGNED for p in parameters]).tolist()
    vector = nn.Parameter(torch.zeros(places[-1]))
    if gradients:
        vector.grad = torch.zeros_like(vector, requires_grad=False)
    for parameter, at in zip(parameters, places, strict=False):
        part = slice(at, at + parameter.numel())
        view = vector.data[part].view(parameter.shape)
        parameter.data = view.copy_(parameter.data)
        if vector.grad is not None:
            parameter.grad = vector.grad[part].view(parameter.shape)
    return vector
