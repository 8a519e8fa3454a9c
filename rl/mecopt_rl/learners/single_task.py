"""Networks with a single head: a score for every placement of a task, or its blocks one after the other.

A task of M blocks on J = N + 1 nodes has J^M placements. While these are few, each is one action. Beyond,
the same head decides one block after the other, told which block it is and where the one before runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mecopt_rl.learners.deciding_kernels import FORBIDDEN
from mecopt_rl.learners.gradients import Passed, Slopes
from mecopt_rl.learners.learner import Flags, Masks, Nodes, Shape
from mecopt_rl.learners.modules import SPREAD, Standard, Trunk, linear_back

JOINT_ACTIONS = 20_000  # most placements that are one action each
ROWS = 64  # scored at once: a row of J^M scores can take 80 kB, and all should stay in the cache
Q_TEMPERATURE = 0.02  # of samples from values, in units of the mean cost


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
                picked.append(_pick(scores, noise, temperature))
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
            before = chosen[:, m] = _pick(scores, noise, temperature)
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


class ActorCritic(nn.Module):
    """An actor and a critic that share nothing but the scale of the observations.

    Parameters
    ----------
    shape : Shape
    width, layers : int
        Of each of the two.
    joint_actions : int
        See `Head`.
    """

    critic: Any  # nn.Sequential of a Trunk and a linear layer

    def __init__(self, shape: Shape, width: int, layers: int, joint_actions: int) -> None:
        super().__init__()
        self.shape = shape
        self.standard = Standard(shape.observation)
        self.actor = Head(shape, width, layers, joint_actions)
        self.critic = nn.Sequential(Trunk(shape.observation, width, layers), nn.Linear(width, 1))

    def values(self, observations: Tensor) -> Tensor:
        """Return V(X), (B,)."""
        values: Tensor = self.critic(self.standard(observations))
        return values[:, 0]

    def run(self, observations: Tensor, actions: Tensor, masks: Tensor | None) -> Passed:
        """Score all actions of every choice, and say V(X); see `mecopt_rl.learners.networks.Branches.run`."""
        seen = self.standard(observations)
        scores, outputs = self.actor.run(seen, actions, masks)
        trunk, last = self.critic
        seen_by_critic = trunk.outputs(seen)
        passed = outputs, seen_by_critic
        return Passed(scores, last(seen_by_critic[-1]), actions, self.actor.columns(actions), passed)

    @torch.no_grad()
    def sample(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Passed, Flags | None]:
        """Choose nodes as `decide` does; the way back can start from here."""
        if self.actor.joint:
            allowed = None if masks is None else masks.branch_masks()
            undecided = torch.zeros((len(observations), self.shape.blocks), dtype=torch.int64)
            passed = self.run(observations, undecided, None if allowed is None else torch.from_numpy(allowed))
            columns = _pick(passed.scores[0], noise, 1.0)[:, None]
            return replace(passed, nodes=self.actor.nodes(columns), chosen=columns), allowed
        nodes, allowed = self.decide(observations, masks, noise)
        free = None if allowed is None else torch.from_numpy(allowed)
        return self.run(observations, torch.from_numpy(nodes), free), allowed

    def back(self, passed: Passed, slopes: Slopes) -> None:
        """Write the gradients of all weights."""
        outputs, seen_by_critic = passed.layers
        self.actor.back(outputs, slopes.scores)
        trunk, last = self.critic
        linear_back(last, seen_by_critic[-1], slopes.values)
        trunk.back(seen_by_critic, slopes.values @ last.weight)

    @torch.no_grad()
    def decide(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes for observations (B, D); see `learner.Policy`."""
        return self.actor.decide(self.standard(observations), masks, noise)


class ActionValues(nn.Module):
    """Q: what every action is expected to return, in units of the cost.

    Parameters
    ----------
    shape : Shape
    width, layers, joint_actions : int
        See `Head`.
    first_value : float
        What Q starts at.
    """

    def __init__(self, shape: Shape, width: int, layers: int, joint_actions: int, first_value: float) -> None:
        super().__init__()
        self.shape = shape
        self.standard = Standard(shape.observation)
        self.head = Head(shape, width, layers, joint_actions)
        nn.init.constant_(self.head.score.bias, first_value)

    def chosen(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Return Q of these actions (B, M), (B, K)."""
        return self.head.chosen(self.standard(observations), actions)

    def first(self, observations: Tensor) -> Tensor:
        """Return Q of all actions of the first choice, (B, C)."""
        seen = self.standard(observations)
        if self.head.joint:
            return self.head.scores(seen, torch.empty(0, dtype=torch.int64))[0]
        return self.head.block(seen, 0, torch.zeros(len(seen), dtype=torch.int64))

    def all(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Return Q of all actions of every choice, given those before it, (B, K, C)."""
        return self.head.scores(self.standard(observations), actions).transpose(0, 1)

    @torch.no_grad()
    def decide(
        self, observations: Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes for observations (B, D); see `learner.Policy`. Samples: softmax of Q."""
        return self.head.decide(self.standard(observations), masks, noise, Q_TEMPERATURE)


def _pick(scores: Tensor, noise: torch.Generator | None, temperature: float) -> Tensor:
    """Return the column of the highest score, or a sample of their softmax, (B,)."""
    if noise is None:
        return torch.from_numpy(scores.numpy().argmax(-1))  # that of PyTorch takes as long as the scores
    # One random number a row: one for each of thousands of columns would cost more than the network.
    reached = torch.softmax(scores / temperature, dim=-1).cumsum(-1)
    drawn = torch.rand((len(scores), 1), generator=noise) * reached[:, -1:] * (1.0 - 1e-6)
    return torch.searchsorted(reached, drawn, right=True)[:, 0]
