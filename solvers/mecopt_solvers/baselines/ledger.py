"""What is still free while tasks are placed one after the other: room in slots, memory and energy.

A place is a server in a slot, or a device in a slot: what has a load and a memory. The ledger holds the
limits as the judge reads them, inf where there is none, so that nobody has to ask which couplings are on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import slack
from mecopt.entities import Coupling
from mecopt.instance import Instance

# Sums in another order than the judge's may differ in the last bits.
WITHIN = 1.0 - 1e-13


class Ledger(NamedTuple):
    """Limits and what is used of them; K tasks, M blocks, J = N + 1 nodes, P places, D devices."""

    place: Ints  # (K, J) the place that a node is for a task
    device: Ints  # (K,)
    piece: Ints  # (K, M) (model, block) as one number, 0 for all when memory does not count
    size: Floats  # (pieces,) bytes
    capacity: Floats  # (P,) seconds
    memory: Floats  # (P,) bytes
    budget: Floats  # (D,) joules
    load: Floats  # (P,) seconds of calculation placed so far
    held: NDArray[np.int32]  # (P, pieces) how many blocks of tasks use a piece; (P, 1) unless memory counts
    stored: Floats  # (P,) bytes
    spent: Floats  # (D,) joules


def in_order(instance: Instance) -> Ints:
    """Return the tasks in the order in which they are released: by slot, then by position."""
    order: Ints = np.argsort(instance.tasks.slot, kind="stable")
    return order


def open_ledger(instance: Instance) -> Ledger:
    """Return the ledger of an instance with nothing placed yet."""
    tasks, servers, on = instance.tasks, instance.server_count, instance.rules.couplings
    slots, slot = np.unique(tasks.slot, return_inverse=True)
    pairs, pair = np.unique(slot * len(instance.devices) + tasks.device, return_inverse=True)
    edge = len(slots) * servers
    at_edge = slot[:, None] * servers + np.arange(servers)
    place = np.concatenate([edge + pair[:, None], at_edge], axis=1)
    capacity = np.full(edge + len(pairs), np.inf)
    memory, piece, size = capacity.copy(), np.zeros((len(tasks), instance.max_blocks), np.int64), np.zeros(1)
    if Coupling.CAPACITY in on:
        capacity[:edge] = slack(instance.slot_s) * WITHIN
    if Coupling.MEMORY in on:
        memory[:edge] = np.tile(_limits([s.memory_bytes for s in instance.servers]), len(slots))
        memory[edge:] = _limits([d.memory_bytes for d in instance.devices])[pairs % len(instance.devices)]
        piece = tasks.model[:, None] * instance.max_blocks + np.arange(instance.max_blocks)
        size = np.zeros((len(instance.models), instance.max_blocks))
        for i, model in enumerate(instance.models):
            size[i, : len(model.blocks)] = [block.param_bytes for block in model.blocks]
    budget = [d.energy_budget_j if Coupling.ENERGY in on else None for d in instance.devices]
    return Ledger(
        place=place,
        device=tasks.device.copy(),
        piece=piece,
        size=size.ravel(),
        capacity=capacity,
        memory=memory,
        budget=_limits(budget),
        load=np.zeros(len(capacity)),
        held=np.zeros((len(capacity), size.size), dtype=np.int32),
        stored=np.zeros(len(capacity)),
        spent=np.zeros(len(budget)),
    )


def _limits(values: list[float | None]) -> Floats:
    limits: Floats = slack(np.array([np.inf if v is None else v for v in values], dtype=np.float64)) * WITHIN
    return limits
