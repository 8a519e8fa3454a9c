"""What is still free while tasks are placed one after the other: room in slots, memory and energy.

A place is a server in a slot, or a device in a slot: what has a load and a memory. The ledger holds the
limits as the judge reads them, inf where there is none, so that nobody has to ask which couplings are on.
The largest load of a shared server counts as a capacity; deadlines are met without the stretch of loads,
which later tasks change.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.entities import OneRun, Sharing
from mecopt.instance import Instance
from mecopt.limits import Limit
from mecopt.limits.own import TotalDeadline
from mecopt.tolerances import JUST_BELOW

UNSHARED, AFFINE, MM1 = 0, 1, 2  # what a load makes of calculations
RUNS = {OneRun.NONE: 2, OneRun.SERVERS: 1, OneRun.ALL: 0}


class Ledger(NamedTuple):
    """Limits and what is used of them; K tasks, M blocks, J = N + 1 nodes, P places, D devices, E totals."""

    place: Ints  # (K, J) the place that a node is for a task
    device: Ints  # (K,)
    piece: Ints  # (K, M, layers) number of what a block holds, -1 = nothing; 0 when memory does not count
    size: Floats  # (pieces,) bytes
    each: Floats  # (K, M) bytes on top, of every task's own
    due: Floats  # (K, E) seconds in all, of the deadlines of `totals`
    once: int  # the first node that may run one stretch of a task alone; 2: any node runs many
    curve: int  # UNSHARED, AFFINE or MM1
    slot_s: float
    worth: Floats  # (K,) objective of a second of delay
    drop: Floats  # (K,) objective of leaving the task out, inf = it may not be
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
    piece, size, each = np.zeros((len(tasks), instance.max_blocks, 1), np.int64), np.zeros(1), None
    if limits.MEMORY in limits.of(instance):
        size, layers = limits.MEMORY.all_pieces(instance)
        piece, each = np.stack(layers, axis=2), limits.MEMORY.each(instance)
    budget = np.full(len(instance.devices), np.inf)
    if limits.ENERGY in limits.of(instance):
        budget = limits.ENERGY.most(instance, np.arange(len(budget))) * JUST_BELOW
    return Ledger(
        place=place,
        device=tasks.device.copy(),
        piece=piece,
        size=size,
        each=_or(each, np.zeros(piece.shape[:2])),
        due=_due(instance),
        once=RUNS[instance.rules.one_run],
        curve=_curve(instance),
        slot_s=float(instance.slot_s),
        worth=instance.rules.objective.delay * _or(tasks.weight, np.ones(len(tasks))),
        drop=_or(tasks.drop_cost, np.full(len(tasks), np.inf)),
        capacity=np.minimum(
            _of_places(instance, limits.CAPACITY, place, places),
            _of_places(instance, limits.SHARING, place, places) * instance.slot_s,
        ),
        memory=_of_places(instance, limits.MEMORY, place, places),
        budget=budget,
        load=np.zeros(places),
        held=np.zeros((places, size.size), dtype=np.int32),
        stored=np.zeros(places),
        spent=np.zeros(len(budget)),
    )


def totals(instance: Instance) -> list[TotalDeadline]:
    """Return the end-to-end deadlines that forbid."""
    return [deadline for deadline in limits.deadlines(instance) if deadline.on(instance)]


def _or(given: Floats | None, otherwise: Floats) -> Floats:
    """Return a copy of what is given, which compiled loops may take, or its default."""
    return otherwise if given is None else np.array(given)


def _due(instance: Instance) -> Floats:
    due = [d.most(instance, np.arange(instance.task_count)) * JUST_BELOW for d in totals(instance)]
    return np.stack(due, axis=1) if due else np.zeros((instance.task_count, 0))


def _curve(instance: Instance) -> int:
    if not limits.SHARING.on(instance):
        return UNSHARED
    return MM1 if instance.rules.sharing is Sharing.MM1 else AFFINE


def _of_places(instance: Instance, limit: Limit, place: Ints, places: int) -> Floats:
    """Return a limit's right-hand side at every place, (P,), inf where it is off."""
    most = np.full(places, np.inf)
    if limit in limits.of(instance):
        most[place] = limit.most(instance, limit.rows(instance)) * JUST_BELOW
    return most
