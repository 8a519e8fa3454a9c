"""Markov A3C: as multi-task A3C, but the branch of block m sees the node of block m-1.

The cost of a step depends on the nodes of two blocks that follow each other. A branch that knows the
first of them has only its own choice to make, and answers for what it and the blocks after it cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mecopt_rl.learners.deciding_kernels import chain
from mecopt_rl.learners.learner import Flags, LearnerKind, Masks, Nodes, Shape
from mecopt_rl.learners.multitask_a3c import A3C, A3CSettings, SharedMultitask, decide_in_parts
from mecopt_rl.learners.multitask_a3c import PAPER as MULTITASK_PAPER
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
)


@dataclass(frozen=True)
class MarkovSettings(A3CSettings):
    """As `A3CSettings`; there is one trunk, and every block has its own noise and its own credit."""

    shared_noise: bool = False
    credit: str = "block"


class MarkovBranches(nn.Module):
    """Branches in a chain: that of block m sees the node of block m-1, and so does its critic.

    Parameters
    ----------
    shape : Shape
    width, layers, branch_width : int
        As of `Branches`.
    """

    def __init__(self, shape: Shape, width: int, layers: int, branch_width: int) -> None:
        super().__init__()
        self.shape, self.branch_width = shape, branch_width
        self.standard = Standard(shape.observation)
        self.trunk = Trunk(shape.observation, width, layers)
        self.hidden = nn.Linear(width, shape.blocks * branch_width)
        self.previous = nn.Parameter(0.3 * torch.randn(shape.blocks, shape.nodes, branch_width))
        self.score = nn.Parameter(SPREAD * torch.randn(shape.blocks, branch_width, shape.nodes))
        self.score_bias = nn.Parameter(torch.zeros(shape.blocks, 1, shape.nodes))
        self.value = nn.Parameter(SPREAD * torch.randn(shape.blocks, branch_width, 1))
        self.value_bias = nn.Parameter(torch.zeros(shape.blocks, 1, 1))

    def _features(self, observations: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the trunk's layers, and what the branches start from, (B, M, branch width)."""
        outputs = self.trunk.outputs(self.standard(observations))
        flat = functional.linear(outputs[-1], self.hidden.weight, self.hidden.bias)
        return outputs, flat.view(-1, self.shape.blocks, self.branch_width)

    def values(self, observations: Tensor) -> Tensor:
        """Return V(X), (B,): what block 0 and all after it are expected to return from the device."""
        features = self._features(observations)[1][:, 0] + self.previous[0, 0]
        return (functional.relu(features) @ self.value[0] + self.value_bias[0])[:, 0]

    def run(self, observations: Tensor, actions: Tensor, masks: Tensor | None) -> Passed:
        """Score all nodes of every block given the one before, and say what is expected from there on.

        As `Branches.run`; values (B, M).
        """
        outputs, features = self._features(observations)
        hidden = torch.baddbmm(features.transpose(0, 1), self._told(actions), self.previous).relu_()
        scores = torch.baddbmm(self.score_bias, hidden, self.score)
        return Passed(masked(scores, masks), self._values(hidden), actions, actions, (outputs, hidden))

    def _told(self, actions: Tensor) -> Tensor:
        """Return the node of the block before each block as 0 and 1, (M, B, J)."""
        before = functional.pad(actions[:, :-1], (1, 0)).T
        return functional.one_hot(before, self.shape.nodes).to(self.previous.dtype)

    def _values(self, hidden: Tensor) -> Tensor:
        return torch.baddbmm(self.value_bias, hidden, self.value)[:, :, 0].T

    def back(self, passed: Passed, slopes: Slopes) -> None:
        """Write the gradients of all weights."""
        outputs, hidden = passed.layers
        values, upright = slopes.values.T[:, :, None], hidden.transpose(1, 2)
        torch.bmm(upright, slopes.scores, out=self.score.grad)
        torch.sum(slopes.scores, 1, keepdim=True, out=self.score_bias.grad)
        torch.bmm(upright, values, out=self.value.grad)
        torch.sum(values, 1, keepdim=True, out=self.value_bias.grad)
        slope = torch.bmm(slopes.scores, self.score.transpose(1, 2))
        slope = bent(slope.addcmul_(values, self.value.transpose(1, 2)), hidden)
        torch.bmm(self._told(passed.nodes).transpose(1, 2), slope, out=self.previous.grad)
        flat = slope.transpose(0, 1).flatten(1)
        linear_back(self.hidden, outputs[-1], flat)
        self.trunk.back(outputs, flat @ self.hidden.weight)

    @torch.no_grad()
    def sample(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Passed, Flags | None]:
        """Choose nodes as `decide` does, block by block; the way back can start from here."""
        outputs, features = self._features(observations)
        count, blocks, width = features.shape
        scores, hidden = torch.empty(blocks, count, self.shape.nodes), torch.empty(blocks, count, width)
        gumbel = torch.zeros_like(scores) if noise is None else gumbel_noise(scores, noise)
        chosen = np.zeros((count, blocks), dtype=np.int64)
        allowed = np.ones((count, blocks, self.shape.nodes), dtype=np.bool_)
        given = features, self.previous, self.score.mT.contiguous(), self.score_bias, gumbel, hidden, scores
        arrays = [part.numpy() for part in given]
        if masks is None:
            chain(0, blocks, *arrays, allowed, chosen)
        else:
            for m in range(blocks):
                allowed[:, m] = masks.block_mask(m, chosen)
                chain(m, m + 1, *arrays, allowed, chosen)
        nodes = torch.from_numpy(chosen)
        passed = Passed(scores, self._values(hidden), nodes, nodes, (outputs, hidden))
        return passed, None if masks is None else allowed

    def decide(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes for observations (B, D), block by block; see `mecopt_rl.learners.learner.Policy`."""
        return decide_in_parts(self, observations, masks, noise)


def network(shape: Shape, settings: MarkovSettings) -> MarkovBranches:
    """Return the untrained network."""
    return MarkovBranches(shape, settings.width, settings.layers, settings.branch_width)


def make(shape: Shape, settings: MarkovSettings, seed: int, shared: SharedMultitask | None = None) -> A3C:
    """Return the learner."""
    return A3C(network, shape, settings, seed, shared)


KIND = LearnerKind(
    name="markov-a3c",
    summary="A3C whose branch for each block sees the node of the block before",
    recipes={
        "best": MarkovSettings(),
        "paper": MarkovSettings(**{**vars(MULTITASK_PAPER), "credit": "block"}),
    },
    make=make,
    network=network,
)
