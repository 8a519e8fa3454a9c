"""Which nodes an instance lets run which blocks: the list `allow`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mecopt.entities import Allow, block_number
from mecopt.errors import shown

if TYPE_CHECKING:
    from mecopt.arrays import Ints
    from mecopt.instance import Instance

DEVICE = "device"  # what node 0 of every task is called


def problems(instance: Instance) -> list[str]:
    """Return one line for every entry that names what is not there, or that leaves a block no node."""
    if not instance.allow:
        return []
    names = [server.name for server in instance.servers]
    found = [
        f"servers[{n}].name: {DEVICE!r} is what `allow` calls a task's device, expected another name"
        for n, name in enumerate(names)
        if name == DEVICE
    ]
    for i, entry in enumerate(instance.allow):
        found += (f"allow[{i}].{line}" for line in _unknown(instance, entry, names))
    if not found and instance.barred is not None:
        shut = np.argwhere(instance.barred.all(axis=2)).tolist()
        found += [f"allow: leaves no node for block {m} of task {k}, expected at least one" for k, m in shut]
    return found


def _unknown(instance: Instance, entry: Allow, names: list[str]) -> Iterator[str]:
    count = instance.task_count
    for k in () if isinstance(entry.tasks, str) else entry.tasks:
        if not isinstance(k, int) or not 0 <= k < count:
            yield f"tasks: {shown(k)}, expected 0 to {count - 1}"
    for node in entry.nodes:
        if node != DEVICE and node not in names:
            yield f"nodes: no node {shown(node)}, expected {DEVICE!r} or the name of a server"
    models = [instance.models[i] for i in np.unique(instance.tasks.model[_tasks(instance, entry)]).tolist()]
    for block in () if isinstance(entry.blocks, str) else entry.blocks:
        if all(block_number(block, [b.name for b in model.blocks]) is None for model in models):
            yield f"blocks: no block {shown(block)} in the models of its tasks"


def _tasks(instance: Instance, entry: Allow) -> Ints:
    """Return the tasks that an entry covers, those that exist."""
    if isinstance(entry.tasks, str):
        return np.arange(instance.task_count)
    named = np.array([k for k in entry.tasks if isinstance(k, int)], dtype=np.int64)
    return np.unique(named[(named >= 0) & (named < instance.task_count)])


def barred(instance: Instance) -> NDArray[np.bool_] | None:
    """Return which nodes the list forbids, (K, M, N + 1); None where it forbids none."""
    if not instance.allow:
        return None
    nodes = [DEVICE, *(server.name for server in instance.servers)]
    away = np.zeros((instance.task_count, instance.max_blocks, len(nodes)), dtype=bool)
    for entry in instance.allow:
        others = np.array([node not in entry.nodes for node in nodes])
        tasks = _tasks(instance, entry)
        for i, model in enumerate(instance.models):
            names = [block.name for block in model.blocks]
            mine = tasks[instance.tasks.model[tasks] == i]
            for block in range(len(names)) if isinstance(entry.blocks, str) else entry.blocks:
                m = block_number(block, names)
                if m is not None:
                    away[mine, m] |= others
    return away if away.any() else None


def of_task(instance: Instance, k: int) -> tuple[Allow, ...]:
    """Return a list that says of all tasks what `allow` says of one."""
    if instance.barred is None:
        return ()
    nodes = [DEVICE, *(server.name for server in instance.servers)]
    away = instance.barred[k]
    return tuple(
        Allow("all", (m,), tuple(nodes[j] for j in np.flatnonzero(~away[m]).tolist()))
        for m in np.flatnonzero(away.any(axis=1)).tolist()
    )
