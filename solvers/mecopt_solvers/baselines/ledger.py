"""What is still free while tasks are placed one after the other: room in slots, memory and energy.

A place is a server in a slot, or a device in a slot: what has a load and a memory. The ledger holds the
limits as the judge reads them, inf where there is none, so that nobody has to ask which couplings are on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.instance import Instance
from mecopt.limits import Limit
from mecopt.tolerances import JUST_BELOW


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
    tasks, servers = instance.tasks, instance.server_count
    slots, slot = np.unique(tasks.slot, return_inverse=True)
    pairs, pair = np.unique(slot * len(instance.devices) + tasks.device, return_inverse=True)
    edge = len(slots) * servers
    at_edge = slot[:, None] * servers + np.arange(servers)
    place = np.concatenate([edge + pair[:, None], at_edge], axis=1)
    places = edge + len(pairs)
    piece, size = np.zeros((len(tasks), instance.max_blocks), np.int64), np.zeros(1)
    if limits.MEMORY in limits.of(instance):
        piece, size = limits.MEMORY.pieces(instance), limits.MEMORY.sizes(instance).ravel()
    budget = np.full(len(instance.devices), np.inf)
    if limits.ENERGY in limits.of(instance):
        budget = limits.ENERGY.most(instance, np.arange(len(budget))) * JUST_BELOW
    return Ledger(
        place=place,
        device=tasks.device.copy(),
        piece=piece,
        size=size,
        capacity=_of_places(instance, limits.CAPACITY, place, places),
        memory=_of_places(instance, limits.MEMORY, place, places),
        budget=budget,
        load=np.zeros(places),
        held=np.zeros((places, size.size), dtype=np.int32),
        stored=np.zeros(places),
        spent=np.zeros(len(budget)),
    )


def _of_places(instance: Instance, limit: Limit, place: Ints, places: int) -> Floats:
    """Return a limit's right-hand side at every place, (P,), inf where it is off."""
    most = np.full(places, np.inf)
    if limit in limits.of(instance):
        most[place] = limit.most(instance, limit.rows(instance)) * JUST_BELOW
    return most
