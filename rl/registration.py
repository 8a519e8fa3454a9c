"""Tells Gymnasium about the environment.

Gymnasium 1.0 dropped its plugin entry points, so whoever makes the environment by name imports `rl` after
Gymnasium, or lets Gymnasium do that: ``gymnasium.make("rl:mecopt/Partition-v0", instance=...)``.
"""

from __future__ import annotations

import gymnasium

ID = "mecopt/Partition-v0"


def register() -> None:
    """Register ``mecopt/Partition-v0``."""
    gymnasium.register(ID, entry_point="rl.env:Partition", vector_entry_point="rl.vector:VectorPartition")
