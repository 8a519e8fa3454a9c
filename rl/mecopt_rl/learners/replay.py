"""The replay memory of value-based learners: a ring of decisions that several processes can fill."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mecopt_rl.learners.learner import Rollout, Shape


class ProcessLock:
    """A lock between processes that is free again when the one that holds it dies, unlike a semaphore.

    Parameters
    ----------
    handle : int, optional
        Descriptor of a file that another process locks too; by default of a new one without a name.
    """

    def __init__(self, handle: int | None = None) -> None:
        if handle is None:
            with tempfile.TemporaryFile() as file:
                handle = os.dup(file.fileno())
        self.handle = handle
        weakref.finalize(self, os.close, handle)

    def __enter__(self) -> None:
        import fcntl

        fcntl.lockf(self.handle, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        import fcntl

        fcntl.lockf(self.handle, fcntl.LOCK_UN)

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd

        return _received, (DupFd(self.handle),)


def _received(handle: Any) -> ProcessLock:
    return ProcessLock(handle.detach())


class Decisions(NamedTuple):
    """B decisions."""

    observations: Tensor  # (B, D)
    actions: Tensor  # (B, M)
    block_costs: Tensor  # (B, M) seconds
    next_observations: Tensor  # (B, D)
    over: Tensor  # (B,) bool, nothing follows


@dataclass(eq=False)
class Replay:
    """The last decisions, oldest overwritten first; all tensors can lie in shared memory.

    Attributes
    ----------
    kept : Decisions
        Room for them, as tensors of that many rows.
    added : tensor of shape (1,)
        Decisions added so far.
    lock : context manager
        Held while decisions are added.
    """

    kept: Decisions
    added: Tensor
    lock: AbstractContextManager[Any] = field(default_factory=contextlib.nullcontext)

    @classmethod
    def empty(cls, size: int, shape: Shape) -> Replay:
        """Return a replay for `size` decisions."""
        seen, each = (size, shape.observation), (size, shape.blocks)
        kept = Decisions(
            torch.zeros(seen),
            torch.zeros(each, dtype=torch.int64),
            torch.zeros(each),
            torch.zeros(seen),
            torch.zeros(size, dtype=torch.bool),
        )
        return cls(kept, torch.zeros(1, dtype=torch.int64))

    def __len__(self) -> int:
        return min(int(self.added), len(self.kept.over))

    def add(self, rollout: Rollout) -> None:
        """Keep all decisions of a rollout; an episode that was cut off is not over."""
        new = Decisions(
            torch.from_numpy(rollout.observations).flatten(0, 1),
            torch.from_numpy(rollout.actions).flatten(0, 1),
            torch.from_numpy(rollout.block_costs).flatten(0, 1),
            torch.from_numpy(rollout.next_observations).flatten(0, 1),
            torch.from_numpy(rollout.terminated).flatten(),
        )
        size = len(self.kept.over)
        with self.lock:
            rows = (self.added + torch.arange(len(new.over)))[-size:] % size
            for room, part in zip(self.kept, new, strict=True):
                room[rows] = part[-size:]
            self.added.add_(len(new.over))

    def sample(self, count: int, noise: torch.Generator) -> Decisions:
        """Draw so many decisions, with repetition."""
        rows = torch.randint(len(self), (count,), generator=noise)
        return Decisions(*(room[rows] for room in self.kept))

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name."""
        return {**self.kept._asdict(), "added": self.added}
