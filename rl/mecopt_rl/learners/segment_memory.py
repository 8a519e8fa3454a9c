"""The replay memory of Algorithm 1: whole k-step segments, so that Eq. 16 can be formed from a draw."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mecopt_rl.learners.learner import Rollout

FIELDS = tuple(field.name for field in dataclasses.fields(Rollout))


class SegmentMemory:
    """The last segments of `size` or fewer, all of the same number of steps."""

    def __init__(self, size: int) -> None:
        self.segments: deque[Rollout] = deque(maxlen=size)

    def add(self, rollout: Rollout) -> None:
        """Keep a segment; one that is shorter than the others, at the end of a round, is left out."""
        if not self.segments or len(rollout.rewards) == len(self.segments[0].rewards):
            self.segments.append(rollout)

    def sample(self, decisions: int, noise: torch.Generator) -> Rollout:
        """Draw segments of so many decisions together, at least one, with repetition."""
        count = max(1, decisions // self.segments[0].rewards.size)
        drawn = torch.randint(len(self.segments), (count,), generator=noise).tolist()
        return join([self.segments[i] for i in drawn])

    def state(self) -> dict[str, Tensor]:
        """Return all segments as tensors."""
        if not self.segments:
            return {}
        stacked = {name: [getattr(one, name) for one in self.segments] for name in FIELDS}
        return {
            f"memory.{name}": torch.from_numpy(np.stack(parts))
            for name, parts in stacked.items()
            if parts[0] is not None
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take what `state` gave."""
        found: dict[str, Any] = {
            name: state[f"memory.{name}"].numpy() for name in FIELDS if f"memory.{name}" in state
        }
        self.segments.clear()
        for i in range(len(found.get("rewards", ()))):
            self.segments.append(Rollout(**{name: parts[i] for name, parts in found.items()}))


def join(segments: list[Rollout]) -> Rollout:
    """Put segments of T steps side by side, as if of as many environments more."""
    parts = {name: [getattr(one, name) for one in segments] for name in FIELDS}
    joined: dict[str, Any] = {
        name: None if same[0] is None else np.concatenate(same, axis=1) for name, same in parts.items()
    }
    return Rollout(**joined)
