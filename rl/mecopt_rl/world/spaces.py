"""The spaces of the environments: a vector that knows its scale, and the placement as one number."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from mecopt.arrays import Ints
from mecopt.errors import InputError
from mecopt_rl.world.observation import HIGH, LOW, Encoder


class EncodedBox(spaces.Box):
    """A vector of numbers that an `Encoder` makes; equal to another only where that scales alike.

    A model that is trained on one scale and shown another would decide nonsense without a word. Libraries
    compare spaces when a model meets an environment, so there the difference becomes their error. What they
    store of the space holds the encoder too.
    """

    def __init__(self, encoder: Encoder) -> None:
        low, high = (-np.inf, np.inf) if encoder.raw else (LOW, HIGH)
        super().__init__(low, high, (encoder.size,), np.float32)
        self.encoder = encoder.to_json()

    def __eq__(self, other: object) -> bool:
        """Compare shape and bounds, and the encoder where both have one."""
        theirs = getattr(other, "encoder", self.encoder)
        return bool(super().__eq__(other)) and theirs == self.encoder

    __hash__ = None  # type: ignore[assignment]  # as that of every box

    def __repr__(self) -> str:
        """Name the parts, so that a message tells two encoders apart."""
        ranges = ", ".join(
            f"{name} {low:g}..{high:g}" for name, (low, high) in self.encoder["ranges"].items()
        )
        return f"EncodedBox({self.shape[0]}: {ranges})"


def nodes_of(action: Any, encoder: Encoder) -> Ints:
    """Return the nodes (..., M) of placements that are one number each, the first block's its highest digit.

    Raises
    ------
    InputError
        If one is no whole number, or there is no such placement.
    """
    numbers, count = np.asarray(action), (encoder.servers + 1) ** encoder.blocks
    if numbers.dtype.kind not in "iu" or (numbers.size and not 0 <= numbers.min() <= numbers.max() < count):
        raise InputError(f"action: {action!r:.60}, expected whole numbers from 0 to {count - 1}")
    sizes = [encoder.servers + 1] * encoder.blocks
    return np.stack(np.unravel_index(numbers.astype(np.int64), sizes), axis=-1)


def joint_count(encoder: Encoder) -> int:
    """Return the number of placements of a task.

    Raises
    ------
    InputError
        If there are more than one action each can be made of.
    """
    from mecopt_rl.learners.network_layers import JOINT_ACTIONS  # brings torch

    count = int((encoder.servers + 1) ** encoder.blocks)
    if count > JOINT_ACTIONS:
        raise InputError(
            f"discrete: {encoder.servers + 1} nodes for {encoder.blocks} blocks are {count:,} placements, "
            f"expected {JOINT_ACTIONS:,} or fewer; without it every block is an action of its own"
        )
    return count


def joint_masks(branches: Any) -> Any:
    """Return which placements (E, (N + 1) ** M) use only nodes that each block (E, M, N + 1) can use."""
    found = branches[:, 0]
    for m in range(1, branches.shape[1]):
        found = (found[:, :, None] & branches[:, m, None, :]).reshape(len(found), -1)
    return found
