"""`greedy`: every block to the server with the least work so far in its slot.

Under sharing that is the load, by which the server lengthens what it calculates.
"""

from __future__ import annotations

import numpy as np

from mecopt.arrays import Ints
from mecopt.entities import Coupling
from mecopt.features import Feature
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt_solvers.baselines.ledger import in_order, open_ledger
from mecopt_solvers.baselines.placing import LOAD, WITHIN_LEDGER, by_block, cut_off, switch

WAVES = 300  # with more tasks than this in a slot the compiled loop is faster


def _waves(instance: Instance) -> list[Ints]:
    """Return the first task of every slot, then the second one of every slot that has two, and so on."""
    order = in_order(instance)
    slot = instance.tasks.slot[order]
    first = np.searchsorted(slot, slot)
    rank = np.arange(len(slot)) - first
    return np.split(order[np.argsort(rank, kind="stable")], np.cumsum(np.bincount(rank))[:-1])


def _solve(instance: Instance, run: Run) -> None:
    device = switch(run, "include_device")
    own = np.zeros(instance.server_count + 1)
    own[0] = 0.0 if device else np.inf

    def free() -> Ints | None:
        """The first tasks of all slots side by side, then the second ones, and so on."""
        waves = _waves(instance)
        if len(waves) > WAVES or run.costs.start_s is not None:
            return None
        costs, place = run.costs, open_ledger(instance).place
        load = np.zeros(place.max() + 1)
        nodes = np.zeros((instance.task_count, instance.max_blocks), dtype=np.int64)
        for tasks in waves:
            for m in range(instance.max_blocks):
                node = (load[place[tasks]] + own).argmin(axis=1)
                on_server = (
                    costs.batch[tasks] * costs.server_s[costs.group[tasks], m, np.maximum(node - 1, 0)]
                )
                work = np.where(node > 0, on_server, costs.device_s[tasks, m])
                load[place[tasks, node]] += np.where(m < costs.blocks[tasks], work, 0.0)
                nodes[tasks, m] = node
        return cut_off(instance, nodes)

    by_block(instance, run, LOAD, own, free)


METHOD = Method(
    name="greedy",
    kind="baseline",
    summary="each block to the server with the least work so far in the slot (a baseline of the paper)",
    honours=frozenset({Coupling.ENERGY, Coupling.CAPACITY, Coupling.MEMORY, Coupling.SHARING}),
    solve=_solve,
    takes=WITHIN_LEDGER | {Feature.PERIOD},
    options=frozenset({"include_device"}),
)
