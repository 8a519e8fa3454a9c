"""The networks: a trunk, one actor branch per block, and a critic.

`Branches` is the paper's (Fig. 4): M independent branches on a shared trunk. In `MarkovBranches` the branch
of block m also sees the node of block m-1, on which the cost of the step depends; so blocks are decided one
after the other. Weights of all branches are stacked, so that all M are one matrix product.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from rl.learner import Flags, Masks, Nodes, Shape

SPREAD = 0.01  # of the last layer's first weights: the first policy is nearly uniform
SAME = 1e-6  # standard deviation of what does not vary
FORBIDDEN = -1e9  # score of a node that may not be used; finite, so that no gradient is NaN


class Trunk(nn.Sequential):
    """Fully connected layers with rectifiers."""

    def __init__(self, inputs: int, width: int, layers: int) -> None:
        sizes = [inputs] + [width] * layers
        steps = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        super().__init__(*(part for step in steps for part in (step, nn.ReLU())))


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
        spread = observations.std(0)
        self.mean.copy_(observations.mean(0))
        self.scale.copy_(torch.where(spread > SAME, 1.0 / spread, 1.0))

    def forward(self, observations: Tensor) -> Tensor:
        """Return the observations on the new scale."""
        return (observations - self.mean) * self.scale


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
        Sample all branches with the same noise for a node (`_gumbel`).
    """

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
        self.hidden, self.hidden_bias = _stacked(outputs, width, branch_width)
        self.score = nn.Parameter(SPREAD * torch.randn(shape.blocks, branch_width, shape.nodes))
        self.score_bias = nn.Parameter(torch.zeros(shape.blocks, 1, shape.nodes))
        self.value = nn.Linear(branch_width, 1)

    def _features(self, observations: Tensor) -> Tensor:
        """Return the hidden layers of the branches and, last, of the critic, (M + 1, B, branch width)."""
        standard = self.standard(observations)
        trunks = torch.stack([trunk(standard) for trunk in self.trunks])
        inputs = trunks.expand(len(self.hidden), -1, -1)
        return functional.relu(torch.baddbmm(self.hidden_bias, inputs, self.hidden))

    def _scores(self, features: Tensor, masks: Tensor | None) -> Tensor:
        """Return the log-probabilities of all nodes, (B, M, J)."""
        scores = torch.baddbmm(self.score_bias, features[:-1], self.score).transpose(0, 1)
        return torch.log_softmax(_masked(scores, masks), dim=-1)

    def distance(self) -> Tensor:
        """Return the mean square by which the weights of the trunks differ from their mean."""
        squares = []
        for same in zip(*(trunk.parameters() for trunk in self.trunks), strict=True):
            stacked = torch.stack(same)
            squares.append((stacked - stacked.mean(0)).square().sum())
        return torch.stack(squares).sum() / sum(p.numel() for p in self.trunks.parameters())

    def values(self, observations: Tensor) -> Tensor:
        """Return V(X), (B,)."""
        values: Tensor = self.value(self._features(observations)[-1])
        return values[:, 0]

    def evaluate(self, observations: Tensor, actions: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return log-probabilities of all nodes (B, M, J), and values (B, 1)."""
        features = self._features(observations)
        return self._scores(features, masks), self.value(features[-1])

    @torch.no_grad()
    def decide(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes for observations (B, D); see `rl.learner.Policy`."""
        allowed = None if masks is None else masks.branch_masks()
        scores = self._scores(
            self._features(observations), None if allowed is None else torch.from_numpy(allowed)
        )
        if noise is not None:
            scores = scores + _gumbel(len(scores), self.shape, noise, self.shared_noise)
        return scores.argmax(-1).numpy(), allowed


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

    def _features(self, observations: Tensor) -> Tensor:
        """Return what the branches start from, (M, B, branch width)."""
        flat: Tensor = self.hidden(self.trunk(self.standard(observations)))
        return flat.view(-1, self.shape.blocks, self.branch_width).transpose(0, 1)

    def values(self, observations: Tensor) -> Tensor:
        """Return V(X), (B,): what block 0 and all after it are expected to return from the device."""
        features = self._features(observations)[0] + self.previous[0, 0]
        return (functional.relu(features) @ self.value[0] + self.value_bias[0])[:, 0]

    def evaluate(self, observations: Tensor, actions: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return log-probabilities of all nodes given the one before (B, M, J), and values (B, M)."""
        before = functional.pad(actions[:, :-1], (1, 0))
        features = (
            self._features(observations) + self.previous[torch.arange(self.shape.blocks)[:, None], before.T]
        )
        hidden = functional.relu(features)
        scores = torch.baddbmm(self.score_bias, hidden, self.score).transpose(0, 1)
        values = torch.baddbmm(self.value_bias, hidden, self.value)[:, :, 0].T
        return torch.log_softmax(_masked(scores, masks), dim=-1), values

    @torch.no_grad()
    def decide(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes for observations (B, D), block by block; see `rl.learner.Policy`."""
        features = self._features(observations)
        count = features.shape[1]
        gumbel = None if noise is None else _gumbel(count, self.shape, noise)
        chosen = torch.zeros((count, self.shape.blocks), dtype=torch.int64)
        allowed = None if masks is None else torch.ones((count, self.shape.blocks, self.shape.nodes)).bool()
        node = torch.zeros(count, dtype=torch.int64)
        for m in range(self.shape.blocks):
            scores = (
                functional.relu(features[m] + self.previous[m][node]) @ self.score[m] + self.score_bias[m]
            )
            if masks is not None and allowed is not None:
                allowed[:, m] = torch.from_numpy(masks.block_mask(m, chosen.numpy()))
                scores = _masked(scores, allowed[:, m])
            node = (scores if gumbel is None else scores + gumbel[:, m]).argmax(-1)
            chosen[:, m] = node
        return chosen.numpy(), None if allowed is None else allowed.numpy()


def _stacked(count: int, inputs: int, outputs: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Return weights and biases of several linear layers, with the first values of `nn.Linear`."""
    layers = [nn.Linear(inputs, outputs) for _ in range(count)]
    weight = torch.stack([layer.weight.detach().T for layer in layers]).contiguous()
    bias = torch.stack([layer.bias.detach() for layer in layers])[:, None]
    return nn.Parameter(weight), nn.Parameter(bias)


def _masked(scores: Tensor, masks: Tensor | None) -> Tensor:
    return scores if masks is None else scores.masked_fill(~masks, FORBIDDEN)


def _gumbel(count: int, shape: Shape, noise: torch.Generator, shared: bool = False) -> Tensor:
    """Return noise whose addition to log-probabilities makes the maximum a sample, (B, M or 1, J).

    Shared by the blocks, it leaves each block's distribution as it is but moves blocks together: those
    that agree on the scores agree on the node. Then a whole group of blocks tries another server
    at once, which independent noise almost never does.
    """
    uniform = torch.rand((count, 1 if shared else shape.blocks, shape.nodes), generator=noise)
    return -torch.log(-torch.log(uniform.clamp(1e-9, 1.0 - 1e-7)))
