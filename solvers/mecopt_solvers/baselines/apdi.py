"""`apdi`: the blocks of every task spread equally over the servers, in chunks or in turn."""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.entities import Coupling
from mecopt.features import Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_solvers.baselines.placing import STATIC, WITHIN_LEDGER, by_block, cut_off, switch


def _servers(instance: Instance, *, in_turn: bool) -> Ints:
    """Return the server of every block, counted from 0, (models, longest model)."""
    block, servers = np.arange(instance.max_blocks), instance.server_count
    if in_turn:
        return np.tile(block % servers, (len(instance.models), 1))
    length = np.array([len(model.blocks) for model in instance.models])[:, None]
    server: Ints = np.minimum(block * servers // length, servers - 1)
    return server


def _solve(instance: Instance, run: Run) -> None:
    server = _servers(instance, in_turn=switch(run, "round_robin"))[instance.tasks.model]
    # The order of a block's nodes: its own server, then the next ones in a circle; never the device.
    others = (np.arange(instance.server_count) - server[:, :, None]) % instance.server_count
    score: Floats = np.concatenate([np.full((*server.shape, 1), np.inf), others], axis=2)
    by_block(instance, run, STATIC, score, lambda: cut_off(instance, server + 1))


METHOD = Method(
    name="apdi",
    kind="baseline",
    summary="blocks in equal chunks over the servers (a baseline of the paper)",
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY, Coupling.SHARING}),
    solve=_solve,
    takes=WITHIN_LEDGER | {Feature.PERIOD},
    options=frozenset({"round_robin"}),
)
