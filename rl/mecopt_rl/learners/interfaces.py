"""What learners, environments and training hand to each other; `learners.learner` explains the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mecopt_rl.learners.settings import Settings

if TYPE_CHECKING:
    import torch

Reals = NDArray[np.float32]
Nodes = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Shape:
    """What a policy sees and decides."""

    observation: int  # D, numbers of an observation
    blocks: int  # M
    nodes: int  # N + 1


@dataclass(frozen=True, eq=False)
class Rollout:
    """T steps of E environments; M blocks, J = N + 1 nodes, D numbers of an observation."""

    observations: NDArray[np.floating[Any]]  # (T, E, D); (T, E, M, J, J) seconds of steps for any-size
    actions: Nodes  # (T, E, M)
    rewards: Reals  # (T, E) Eq. 14, seconds with the sign turned
    block_costs: Reals  # (T, E, M) seconds, what each block adds to -reward
    next_observations: Reals  # (T, E, D) where an episode was cut off, its last observation
    terminated: Flags  # (T, E) nothing follows
    truncated: Flags  # (T, E) the episode was cut off here, so its value goes on
    masks: Flags | None = None  # (T, E, M, J) what each block was chosen from; None: from all nodes

    @classmethod
    def untried(cls, observations: NDArray[np.floating[Any]]) -> Rollout:
        """Return E tasks as they are seen (E, ...), none of them decided: every other array is empty."""
        none = np.empty((1, 0), dtype=np.float32)
        never = np.empty((1, 0), dtype=np.bool_)
        nowhere = np.empty((1, 0, 0), dtype=np.int64)
        return cls(observations[None], nowhere, none, none[..., None], none[..., None], never, never)


class Masks(Protocol):
    """What may be chosen now in E episodes; `mecopt_rl.world.fleet.Fleet` is one."""

    def branch_masks(self) -> Flags:
        """Return the nodes that each block may use at all, (E, M, J)."""
        ...

    def block_mask(self, m: int, chosen: Nodes) -> Flags:
        """Return the nodes that block m may use after the blocks in `chosen` (E, m or more), (E, J)."""
        ...


class Policy(Protocol):
    """A network that decides."""

    def decide(
        self, observations: torch.Tensor, masks: Masks | None, noise: torch.Generator | None
    ) -> tuple[Nodes, Flags | None]:
        """Choose nodes for observations (E, D): the likeliest without noise, else sampled.

        Returns
        -------
        actions : array of shape (E, M)
        masks : array of shape (E, M, J), or None
            What each block was chosen from.
        """
        ...


class PolicyNetwork(Policy, Protocol):
    """A `torch.nn.Module` that is a `Policy`: what a checkpoint stores and a method runs."""

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Return the weights."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return weights and what else is stored, by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> object:
        """Take what `state_dict` gave."""
        ...

    def eval(self) -> Self:
        """Leave training."""
        ...


class Learner(Protocol):
    """A learner at work."""

    @property
    def settings(self) -> Settings:
        """Its settings."""
        ...

    @property
    def network(self) -> PolicyNetwork:
        """What is trained."""
        ...

    def prepare(self, observations: Reals) -> None:
        """See observations (B, D) of some episodes before the first decision; only once in a training."""
        ...

    def begin_round(self, seed: int) -> None:
        """Take all random numbers from this seed from now on."""
        ...

    def update(self, rollout: Rollout, progress: float) -> dict[str, float]:
        """Learn from a rollout; returns figures for the logs, "entropy" among them where there is one.

        `progress` runs from 0 to 1 over the training.
        """
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Return everything that going on later needs."""
        ...

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take what `state` gave."""
        ...

    def shared(self) -> object:
        """Move what workers share to shared memory, and return it for `LearnerKind.make` in each."""
        ...


@runtime_checkable
class Actor(Protocol):
    """A learner that tries placements, which one that knows what every step costs need not."""

    def act(self, observations: Reals, masks: Masks | None, progress: float) -> tuple[Nodes, Flags | None]:
        """Choose nodes while learning, as `Policy.decide` does."""
        ...
