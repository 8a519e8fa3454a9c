"""Costs of steps as shares of a task's best placement on one node, and what a policy costs in expectation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mecopt_rl.learners.deciding_kernels import CAP, units


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
