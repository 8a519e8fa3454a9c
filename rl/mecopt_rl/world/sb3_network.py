"""The network of Stable-Baselines3 for one node a block, as fast as its training allows.

Its `MultiCategoricalDistribution` is a list of distributions, one for each block, and the training of PPO
asks each of them for several figures in every minibatch, in about half of the time of learning. Here every
block chooses among the same number of nodes, so all are one tensor. The figures and weights are the same.
"""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

EPSILON = 1e-5  # of Adam, as Stable-Baselines3 has it


class EvenCategoricals(MultiCategoricalDistribution):
    """A choice for each of M blocks, all among J nodes: log-probabilities (B, M, J) in place of a list."""

    scores: Tensor

    def proba_distribution(self, action_logits: Tensor) -> EvenCategoricals:
        """Take the scores (B, M * J)."""
        shape = len(action_logits), len(self.action_dims), self.action_dims[0]
        self.scores = action_logits.reshape(shape).log_softmax(dim=2)
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Return the log-probabilities (B,) of placements (B, M)."""
        return self.scores.gather(2, actions.long()[:, :, None])[:, :, 0].sum(dim=1)

    def entropy(self) -> Tensor:
        """Return the entropies (B,), summed over blocks."""
        return -(self.scores.exp() * self.scores).sum(dim=(1, 2))

    def sample(self) -> Tensor:
        """Draw placements (B, M)."""
        count, blocks, nodes = self.scores.shape
        chances = self.scores.detach().exp().reshape(-1, nodes)
        return torch.multinomial(chances, 1).reshape(count, blocks)

    def mode(self) -> Tensor:
        """Return the likeliest placements (B, M)."""
        return self.scores.argmax(dim=2)


class NodesPolicy(ActorCriticPolicy):
    """`MlpPolicy` of PPO and A2C, in less time: blocks decided at once, the steps of Adam in one call each.

    Parameters are those of ``ActorCriticPolicy``; other action spaces are as there.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        adam = kwargs.get("optimizer_class", torch.optim.Adam) is torch.optim.Adam
        if adam and kwargs.get("optimizer_kwargs") is None:
            kwargs["optimizer_kwargs"] = {"eps": EPSILON, "fused": True}
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Any) -> None:
        blocks = self.action_dist
        if isinstance(blocks, MultiCategoricalDistribution) and len(set(blocks.action_dims)) == 1:
            self.action_dist = EvenCategoricals(blocks.action_dims)
        super()._build(lr_schedule)
