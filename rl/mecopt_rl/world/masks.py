"""Masks and repairs for whoever decides a whole instance: the same as in the environments.

A policy that decides an instance takes tasks in order only where a limit joins them. `lanes` says which
tasks may be decided at the same time, so that a network sees them in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt_rl.world.fleet import Fleet, TaskPool, in_order
from mecopt_rl.world.kernel_tables import GAPS
from mecopt_rl.world.observation import Encoder

# Chooses the nodes (E, M) of the tasks that a fleet decides next; fleet.now says which tasks these are.
Policy = Callable[[Fleet], Ints]


@dataclass(frozen=True, eq=False)
class Decided:
    """What a policy made of an instance."""

    placement: Ints  # (K, M) nodes, -1 behind the end of shorter models
    repairs: int  # choices that were forbidden and replaced
    forced: int  # blocks for which nothing was allowed: the placement violates a limit there
    prices: Mapping[str, Floats] | None = None  # that it was decided at: see `priced_bound`


def lanes(instance: Instance) -> Ints:
    """Return the tasks as columns that can be decided side by side, (T, E), -1 behind the end of each.

    Each column is in order. Without couplings every task is its own column; with capacity or memory every
    slot; an energy budget joins everything to one.
    """
    on, order = instance.rules.couplings, in_order(instance)
    if Coupling.ENERGY in on:
        return order[:, None]
    if not on:
        return order[None, :]
    _, first, lengths = np.unique(instance.tasks.slot[order], return_index=True, return_counts=True)
    columns = np.full((int(lengths.max()), len(first)), -1)
    place = np.arange(len(order)) - np.repeat(first, lengths)
    columns[place, np.repeat(np.arange(len(first)), lengths)] = order
    return columns


def fleet_of(instance: Instance, encoder: Encoder, *, costs: ChainCosts | None = None) -> Fleet:
    """Return the fleet that decides an instance once, its lanes side by side.

    Its ``pool`` holds the tasks in the instance's own order.
    """
    return Fleet(TaskPool.of(instance, encoder, costs=costs), lanes(instance), encoder)


def decide(
    instance: Instance,
    encoder: Encoder,
    policy: Policy,
    *,
    costs: ChainCosts | None = None,
    fleet: Fleet | None = None,
) -> Decided:
    """Let a policy decide a whole instance, with the environment's repairs.

    Parameters
    ----------
    instance : Instance
    encoder : Encoder
        What the policy sees.
    policy : callable
        Called with the fleet until every lane has ended; returns nodes of shape (E, M), of any value where
        ``fleet.now`` is -1 and behind the end of shorter models. ``fleet.observe()``,
        ``fleet.branch_masks()`` and ``fleet.block_mask(m, chosen)`` tell it what it may know.
    costs : ChainCosts, optional
    fleet : Fleet, optional
        That of `fleet_of`, its lanes in another order.
    """
    fleet = fleet_of(instance, encoder, costs=costs) if fleet is None else fleet
    placement = np.full((instance.task_count, encoder.blocks), -1, dtype=np.int64)
    repairs = forced = 0
    while not fleet.ended.all():
        now = fleet.now
        outcome = fleet.decide(checked(policy(fleet), fleet))
        live = now >= 0
        placement[now[live]] = outcome.nodes[live]
        repairs += int(outcome.repairs.sum())
        forced += int(outcome.forced.sum())
    return Decided(placement[:, : instance.max_blocks], repairs, forced)


def needed_masks(fleet: Fleet) -> Fleet | None:
    """Return the masks of the next decisions, None where every node is allowed: then they cost nothing."""
    pool = fleet.pool
    gaps = bool(pool.tables.whole[:, GAPS].any())
    return fleet if gaps or pool.rule.capacity or pool.rule.memory else None


def checked(actions: Ints, fleet: Fleet) -> Ints:
    """Return actions as the kernels need them; what is padding becomes node 0.

    Raises
    ------
    InputError
        If they have another shape or kind, or a block that exists goes to a node that does not.
    """
    nodes = fleet.encoder.servers + 1
    expected = (fleet.episodes, fleet.encoder.blocks)
    array = np.asarray(actions)
    if array.shape != expected or array.dtype.kind not in "iu":
        given = f"{array.dtype} of shape {array.shape}"
        raise InputError(f"actions: {given}, expected whole numbers of shape {expected}")
    wrong = (array < 0) | (array >= nodes)
    if wrong.any():
        wrong &= np.arange(expected[1]) < fleet.blocks_left[:, None]
        for e, m in np.argwhere(wrong)[:1].tolist():
            raise InputError(f"actions[{e}][{m}]: {array[e, m]}, expected 0 to {nodes - 1}")
        array = np.where((array < 0) | (array >= nodes), 0, array)
    return np.ascontiguousarray(array, dtype=np.int64)


def checked_prefix(chosen: Ints, m: int, encoder: Encoder) -> Ints:
    """Return the nodes of the first m blocks as the kernels need them.

    Raises
    ------
    InputError
        If there is no block m, or not one node that exists for each block before it.
    """
    array = np.asarray(chosen)
    if not 0 <= m < encoder.blocks:
        raise InputError(f"block {m}: expected 0 to {encoder.blocks - 1}")
    if array.ndim != 2 or array.shape[1] != m or (array.size and array.dtype.kind not in "iu"):
        raise InputError(f"chosen: {array.dtype} of shape {array.shape}, expected {m} nodes for each task")
    if array.size and not 0 <= array.min() <= array.max() <= encoder.servers:
        raise InputError(f"chosen: {array.min()} to {array.max()}, expected 0 to {encoder.servers}")
    return np.ascontiguousarray(array, dtype=np.int64)
