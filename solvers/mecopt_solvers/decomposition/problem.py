"""The tasks of one slot, or of several that budgets join, as dense arrays with all limits scaled to 1.

A row is one limit that tasks share: the capacity of a server in a slot, or the energy budget of a device.
What a task uses of a row is a fraction of the largest use that still counts as within the limit, so that
every row reads "used <= 1" whatever its unit. A task can touch few rows: its slot's servers and its device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, slack
from mecopt.entities import Coupling
from mecopt.instance import Instance
from mecopt.trellis_arcs import build_arcs

# Sums in another order than the judge's may differ in the last bits: what exceeds a limit by less is
# left to the judge.
WITHIN = 1.0 + 1e-12


@dataclass(frozen=True, eq=False)
class Memory:
    """Which node holds what: holders are a slot's servers and devices, pieces the blocks of all models."""

    piece_bytes: Floats  # (pieces,)
    limit: Floats  # (holders,) largest use that still counts as within the memory, inf = none
    holder: Ints  # (K, J) holder that node j is for task k
    piece: Ints  # (K, M) piece of every block, -1 behind the end of shorter models


@dataclass(frozen=True, eq=False)
class Part:
    """A problem that shares no limit with others; K tasks, M blocks, J = N + 1 nodes, R = N + 1 rows each."""

    tasks: Ints  # (K,) which tasks of the instance
    slot: Ints  # (K,) slots counted from 0 within the part
    kind: Ints  # (K,) model of the instance
    blocks: Ints  # (K,) number of blocks
    weight: Floats  # (K, M, J, J) objective of every arc, inf = forbidden (mecopt.trellis_arcs)
    work: Floats  # (K, M, J) share of the server's row that a block takes, 0 on the device
    energy: Floats  # (K, M, J, J) share of the device's row that an arc takes; (0, 0, 0, 0) without budgets
    row: Ints  # (K, R) the rows of a task: the servers of its slot, then its device
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
    couplings = instance.rules.couplings
    arcs = build_arcs(costs, tasks, node_cost)
    slots, slot = np.unique(instance.tasks.slot[tasks], return_inverse=True)
    servers = instance.server_count
    weight = arcs.weight
    capacity = Coupling.CAPACITY in couplings
    capacity_rows = len(slots) * servers if capacity else 0
    work = np.zeros((len(tasks), weight.shape[1], servers + 1))
    if capacity:
        work[:, :, 1:] = arcs.work_s / slack(np.float64(instance.slot_s))
        weight = np.where((work > WITHIN)[:, :, None, :], np.inf, weight)
    budget = np.array([np.inf if d.energy_budget_j is None else d.energy_budget_j for d in instance.devices])
    device = instance.tasks.device[tasks]
    limited = (
        np.unique(device[np.isfinite(budget[device])]) if Coupling.ENERGY in couplings else np.zeros(0, int)
    )
    energy = np.zeros((0, 0, 0, 0))
    rows = capacity_rows + len(limited)
    row = np.full((len(tasks), servers + 1), rows)
    if capacity:
        row[:, :servers] = slot[:, None] * servers + np.arange(servers)
    if len(limited):
        has = np.isin(device, limited)
        row[has, servers] = capacity_rows + np.searchsorted(limited, device[has])
        scale = np.where(has, slack(np.where(has, budget[device], 1.0)), np.inf)
        energy = arcs.energy_j / scale[:, None, None, None]
        weight = np.where(energy > WITHIN, np.inf, weight)
    memory = _memory(instance, tasks, slot, len(slots)) if Coupling.MEMORY in couplings else None
    if memory is not None:
        real = memory.piece >= 0
        size = np.where(real, memory.piece_bytes[np.maximum(memory.piece, 0)], 0.0)
        too_large = size[:, :, None] > memory.limit[memory.holder][:, None, :]
        weight = np.where(too_large[:, :, None, :], np.inf, weight)
    return Part(
        tasks=np.asarray(tasks),
        slot=slot,
        kind=instance.tasks.model[tasks],
        blocks=arcs.blocks,
        weight=np.ascontiguousarray(weight),
        work=work,
        energy=np.ascontiguousarray(energy),
        row=row,
        rows=rows,
        memory=memory,
        slots=len(slots),
    )


def split(instance: Instance) -> list[Ints]:
    """Sort the tasks into sets that share no limit: slots, joined where a device has a budget over them."""
    tasks = instance.tasks
    couplings = instance.rules.couplings
    count = len(tasks)
    label = tasks.slot.copy() if couplings & {Coupling.CAPACITY, Coupling.MEMORY} else np.arange(count)
    if Coupling.ENERGY in couplings:
        budget = np.array([d.energy_budget_j is not None for d in instance.devices])
        label = _joined(label, tasks.device, budget)
    _, label = np.unique(label, return_inverse=True)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)


def _joined(label: Ints, device: Ints, joins: NDArray[np.bool_]) -> Ints:
    """Give tasks of a device that joins them the same label, until nothing changes."""
    while True:
        least = np.full(len(joins), label.max())
        np.minimum.at(least, device, label)
        joined = np.where(joins[device], least[device], label)
        smallest = np.arange(label.max() + 1)
        np.minimum.at(smallest, label, joined)
        joined = smallest[label]
        if (joined == label).all():
            return label
        label = joined


def _memory(instance: Instance, tasks: Ints, slot: Ints, slots: int) -> Memory | None:
    """Lay out the holders and pieces; None where no memory that counts has a size."""
    servers = [np.inf if s.memory_bytes is None else s.memory_bytes for s in instance.servers]
    devices = np.array([np.inf if d.memory_bytes is None else d.memory_bytes for d in instance.devices])
    device = instance.tasks.device[tasks]
    if not np.isfinite([*servers, *devices[device]]).any():
        return None
    places, place = np.unique(slot * len(devices) + device, return_inverse=True)
    holder = np.concatenate(
        [slots * len(servers) + place[:, None], slot[:, None] * len(servers) + np.arange(len(servers))],
        axis=1,
    )
    limit = np.concatenate([np.tile(servers, slots), devices[places % len(devices)]])
    models, model = np.unique(instance.tasks.model[tasks], return_inverse=True)
    stages = instance.max_blocks
    sizes = np.zeros((len(models), stages))
    for i, m in enumerate(models.tolist()):
        blocks = instance.models[m].blocks
        sizes[i, : len(blocks)] = [block.param_bytes for block in blocks]
    piece = model[:, None] * stages + np.arange(stages)
    piece = np.where(np.arange(stages) < instance.block_count[tasks][:, None], piece, -1)
    return Memory(sizes.ravel(), slack(limit), holder, piece)
