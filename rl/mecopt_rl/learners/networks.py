"""The networks: a trunk, one actor branch per block, and a critic.

`Branches` is the paper's (Fig. 4): M independent branches on a shared trunk. In `MarkovBranches` the branch
of block m also sees the node of block m-1, on which the cost of the step depends; so blocks are decided one
after the other. Weights of all branches are stacked, so that all M are one matrix product.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mecopt_rl.learners.deciding_kernels import chain
from mecopt_rl.learners.gradients import Passed, Slopes, bent
from mecopt_rl.learners.learner import Flags, Masks, Nodes, Shape
from mecopt_rl.learners.modules import (
    SPREAD,
    Standard,
    Trunk,
    gumbel_noise,
    linear_back,
    masked,
    stacked,
)

ROWS = 1000  # tasks decided at a time


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
        Sample all branches with the same noise for a node (`mecopt_rl.learners.modules.gumbel_noise`).
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
        return _decide(self, observations, masks, noise)


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
        return _decide(self, observations, masks, noise)


def _decide(
    network: Branches | MarkovBranches, observations: Tensor, masks: Masks | None, noise: Any
) -> tuple[Nodes, Flags | None]:
    """Choose nodes, so many tasks at a time that what is made of them stays in the processor's cache."""
    if masks is not None:  # these are asked for all tasks at once
        passed, allowed = network.sample(observations, masks, noise)
        return passed.nodes.numpy(), allowed
    parts = [network.sample(part, None, noise)[0].nodes for part in torch.split(observations, ROWS)]
    return torch.cat(parts).numpy(), None
