"""The tasks of one slot, or of several that budgets join, as dense arrays with all limits scaled to 1.

A row is one row of a limit that tasks share (`mecopt.limits`), such as the capacity of a server in a slot or
the energy budget of a device. What a task uses of a row is a fraction of the largest use that still counts as
within the limit, so that every row reads "used <= 1" whatever its unit. A task can touch few rows: those of
its slot's servers, and one for each layer of uses by steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.limits import ChargedLimit, LinearLimit
from mecopt.tolerances import JUST_ABOVE
from mecopt.trellis_arcs import Arcs, build_arcs

WITHIN = JUST_ABOVE  # what exceeds a limit by less is left to the judge


@dataclass(frozen=True, eq=False)
class Memory:
    """Which node holds what: holders are a slot's servers and devices, pieces the blocks of all models."""

    piece_bytes: Floats  # (pieces,)
    limit: Floats  # (holders,) largest use that still counts as within the memory, inf = none
    holder: Ints  # (K, J) holder that node j is for task k
    piece: Ints  # (K, M) piece of every block, -1 behind the end of shorter models

    def too_large(self) -> NDArray[np.bool_]:
        """Say which blocks alone are more than a node's memory, (K, M, J)."""
        size = np.where(self.piece >= 0, self.piece_bytes[np.maximum(self.piece, 0)], 0.0)
        return size[:, :, None] > self.limit[self.holder][:, None, :]


@dataclass(frozen=True, eq=False)
class Part:
    """A problem that shares no limit with others; K tasks, M blocks, J = N + 1 nodes, A layers.

    Every task has R = N + max(A, 1) rows: those of the servers of its slot, then one for each layer.
    """

    tasks: Ints  # (K,) which tasks of the instance
    slot: Ints  # (K,) slots counted from 0 within the part
    kind: Ints  # (K,) model of the instance
    blocks: Ints  # (K,) number of blocks
    weight: Floats  # (K, M, J, J) objective of every arc, inf = forbidden (mecopt.trellis_arcs)
    work: Floats  # (K, M, J) share of the server's row that a block takes, 0 on the device
    spend: Floats  # (A, K, M, J, J) share of the layer's row that an arc takes, such as a device's budget
    row: Ints  # (K, R) the rows of a task
    rows: int  # number of rows; one more, without a limit, stands for every limit that does not exist
    memory: Memory | None
    slots: int

    @property
    def nodes(self) -> int:
        """Number of nodes J, the device included."""
        return int(self.weight.shape[2])

    def limits(self, rows_limit: float = 1.0) -> Floats:
        """Right-hand side of every row, the unlimited one last, (rows + 1,)."""
        return np.append(np.full(self.rows, rows_limit), np.inf)


def build_part(instance: Instance, costs: ChainCosts, tasks: Ints, node_cost: Floats | None = None) -> Part:
    """Lay out some tasks of an instance; together they must be all that touch their rows."""
    arcs = build_arcs(costs, tasks, node_cost)
    slots, slot = np.unique(instance.tasks.slot[tasks], return_inverse=True)
    servers, on = instance.server_count, limits.linear(instance)
    weight = arcs.weight
    work = np.zeros((len(tasks), weight.shape[1], servers + 1))
    rows = 0
    row = np.full((len(tasks), servers), -1)
    if limits.CAPACITY in on:
        work[:, :, 1:] = arcs.work_s / limits.CAPACITY.most(instance, np.zeros(1, dtype=np.int64))
        row, rows = slot[:, None] * servers + np.arange(servers), len(slots) * servers
    found = [layer for limit in on for layer in layers(limit, instance, arcs)]
    spend = np.zeros((len(found), *weight.shape))
    for a, (own, use) in enumerate(found):
        names = np.unique(own[own >= 0])
        at = np.where(own >= 0, rows + np.searchsorted(names, own), -1)
        row, rows = np.concatenate([row, at[:, None]], axis=1), rows + len(names)
        spend[a] = use
    for used in (work[:, :, None, :], *spend):
        weight = np.where(used > WITHIN, np.inf, weight)
    if not found:
        row = np.concatenate([row, np.full((len(tasks), 1), -1)], axis=1)
    memory = next((lay_out_memory(limit, instance, tasks) for limit in limits.charged(instance)), None)
    if memory is not None:
        weight = np.where(memory.too_large()[:, :, None, :], np.inf, weight)
    return Part(
        tasks=np.asarray(tasks),
        slot=slot,
        kind=instance.tasks.model[tasks],
        blocks=arcs.blocks,
        weight=np.ascontiguousarray(weight),
        work=work,
        spend=spend,
        row=np.where(row >= 0, row, rows),
        rows=rows,
        memory=memory,
        slots=len(slots),
    )


def layers(limit: LinearLimit, instance: Instance, arcs: Arcs) -> Iterator[tuple[Ints, Floats]]:
    """Yield rows (K,), -1 = none, and shares (K, M, J, J) of a limit, where each task has one row at most.

    Capacity has a form of its own: the kernels know that a use on a server touches that server's row.
    """
    if limit is limits.CAPACITY:
        return
    rows, use = limit.rows(instance, arcs.tasks), limit.use(arcs, instance)
    most = limit.most(instance, rows)
    nodes = range(rows.shape[1]) if limit.by_node else (0,)
    for j in nodes:
        limited = np.isfinite(most[:, j])
        if not limited.any():
            continue
        share = np.zeros(arcs.weight.shape)
        if limit.by_node:
            share[:, :, :, j] = (use[:, :, j] / most[:, j, None])[:, :, None]
        else:
            share = use / most[:, j, None, None, None]
        yield np.where(limited, rows[:, j], -1), share


def lay_out_memory(limit: ChargedLimit, instance: Instance, tasks: Ints) -> Memory | None:
    """Lay out the holders and pieces; None where no memory that counts has a size."""
    rows = limit.rows(instance, tasks)
    holders, holder = np.unique(rows, return_inverse=True)
    most = limit.most(instance, holders)
    if np.isinf(most).all():
        return None
    models, model = np.unique(instance.tasks.model[tasks], return_inverse=True)
    stages = instance.max_blocks
    piece = model[:, None] * stages + np.arange(stages)
    piece = np.where(np.arange(stages) < instance.block_count[tasks][:, None], piece, -1)
    return Memory(limit.sizes(instance)[models].ravel(), most, holder.reshape(rows.shape), piece)
