"""Tells Gymnasium about ``mecopt/Partition-v0`` and ``mecopt/Online-v0`` when it is imported.

Gymnasium 1.0 dropped its plugin entry points, so whoever makes an environment by name imports this module
first, or lets Gymnasium do that: ``gymnasium.make("mecopt_rl.gym:mecopt/Partition-v0", instance=...)``.
"""

from __future__ import annotations

import gymnasium

ID = "mecopt/Partition-v0"
ONLINE_ID = "mecopt/Online-v0"

if ID not in gymnasium.registry:
    gymnasium.register(
        ID,
        entry_point="mecopt_rl.world.env:Partition",
        vector_entry_point="mecopt_rl.world.vector:VectorPartition",
    )

if ONLINE_ID not in gymnasium.registry:
    gymnasium.register(
        ONLINE_ID,
        entry_point="mecopt_rl.world.online_env:Online",
        vector_entry_point="mecopt_rl.world.online_vector:VectorOnline",
    )
