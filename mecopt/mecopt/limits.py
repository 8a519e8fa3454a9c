"""Every limit that tasks share: its unit, its rows, what uses them, how it is judged, whom it joins.

A limit is a set of rows, each a number: a device's budget, a server's time in a slot, a node's memory in a
slot. There are two kinds. Of a `LinearLimit` every step of a chain uses something, and the uses add up. Of a
`ChargedLimit` a node uses something once for each distinct piece that it runs, whoever runs it.

The judge, the programs, the decomposition, the ledger of the baselines, `explain` and the environments take
rows, right-hand sides and uses from here. A limit that is not in `LIMITS` is refused by all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.entities import Coupling
from mecopt.errors import CouplingError
from mecopt.tolerances import slack

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation
    from mecopt.trellis_arcs import Arcs

Where = dict[str, int | str]


class SharedLimit(ABC):
    """A limit that tasks share; K tasks, M blocks of the longest model, N servers, J = N + 1 nodes."""

    coupling: ClassVar[Coupling]
    unit: ClassVar[str]
    component: ClassVar[str]  # name of its rows in a model that people read

    @abstractmethod
    def rows(self, instance: Instance, tasks: Ints | slice = slice(None)) -> Ints:
        """Return the row that node j is for a task, (K, J), -1 where it has none."""

    @abstractmethod
    def given(self, instance: Instance, rows: Ints) -> Floats:
        """Return the right-hand side of rows as the instance gives it, inf = none."""

    @abstractmethod
    def where(self, instance: Instance, row: int) -> Where:
        """Name a row as `mecopt.Violation.where` does."""

    @abstractmethod
    def row(self, instance: Instance, where: dict[str, Any]) -> int:
        """Return the row of that name, the inverse of `where`."""

    @abstractmethod
    def index(self, instance: Instance, row: int) -> tuple[int, ...]:
        """Return the index of a row in a model that people read."""

    @abstractmethod
    def joins(self, instance: Instance) -> Ints:
        """Return the group in which the limit joins each task, (K,), -1 where it joins it with none."""

    @abstractmethod
    def alone(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return what a step uses by itself, (K, M, J, J) or what broadcasts to it."""

    @abstractmethod
    def used(self, judged: Evaluation) -> tuple[Ints, Floats]:
        """Return the rows of which a placement may use something, in order, and how much of each."""

    def most(self, instance: Instance, rows: Ints) -> Floats:
        """Return the largest use of rows that still counts as within the limit, inf = none or no row (-1)."""
        return np.where(rows >= 0, slack(self.given(instance, np.maximum(rows, 0))), np.inf)

    def violations(self, judged: Evaluation) -> Iterator[tuple[Where, float, float]]:
        """Yield place, limit and use of every row that a placement breaks."""
        rows, used = self.used(judged)
        for i in np.flatnonzero(used > self.most(judged.instance, rows)).tolist():
            row = int(rows[i])
            limit = float(self.given(judged.instance, rows[i : i + 1])[0])
            yield self.where(judged.instance, row), limit, float(used[i])

    def too_little(self, instance: Instance, row: int, least: float) -> dict[str, Any]:
        """Say that the tasks of a row need more than there is, as a reason why nothing is feasible."""
        where, limit = self.where(instance, row), float(self.given(instance, np.array([row]))[0])
        place = ", ".join(f"{name} {value}" for name, value in where.items())
        return {
            "kind": str(self.coupling),
            "where": where,
            "limit": limit,
            "value": least,
            "message": f"{place}: the least {self.coupling} its tasks can use is {least:.6g} {self.unit}, "
            f"the limit is {limit:.6g} {self.unit}",
        }


class LinearLimit(SharedLimit):
    """A limit whose use is a sum over the steps of tasks."""

    by_node: ClassVar[bool]  # whether a use depends on the step's head alone, and rows differ by node

    @abstractmethod
    def use(self, arcs: Arcs) -> Floats:
        """Return what every step uses: (K, M, J) by its head if `by_node`, else (K, M, J, J)."""

    @abstractmethod
    def placed(self, judged: Evaluation) -> Floats:
        """Return what every block of a placement uses, (K, M), 0 behind the end; finite."""

    def alone(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return what a step uses."""
        use = self.use(arcs)
        return use[:, :, None, :] if self.by_node else use

    def used(self, judged: Evaluation) -> tuple[Ints, Floats]:
        """Sum the uses of every row."""
        rows, placed = self.rows(judged.instance), self.placed(judged)
        if self.by_node:
            k, m = np.nonzero(judged.placement >= 0)
            row, use = rows[k, judged.placement[k, m]], placed[k, m]
        else:
            row, use = rows[:, 0], placed.sum(axis=1)
        touched = row >= 0
        found, at = np.unique(row[touched], return_inverse=True)
        return found, np.bincount(at, use[touched], len(found)).astype(np.float64, copy=False)


class ChargedLimit(SharedLimit):
    """A limit of which a node uses something once for each distinct piece that it runs in a slot."""

    charge: ClassVar[str]  # name of the columns that say, in a model that people read, what is held

    @abstractmethod
    def sizes(self, instance: Instance) -> Floats:
        """Return what every piece takes, (models, M), 0 behind the end of shorter models."""

    def pieces(self, instance: Instance) -> Ints:
        """Return the number of the piece that is block m of a task, (K, M): its place in `sizes`."""
        stages = instance.max_blocks
        return instance.tasks.model[:, None] * stages + np.arange(stages)

    def alone(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return what a node takes for a block."""
        return self.sizes(instance)[instance.tasks.model[arcs.tasks]][:, :, None, None]

    def used(self, judged: Evaluation) -> tuple[Ints, Floats]:
        """Sum the pieces of every row, each counted once."""
        instance, placement = judged.instance, judged.placement
        k, m = np.nonzero(placement >= 0)
        sizes = self.sizes(instance).ravel()
        held = np.unique(self.rows(instance)[k, placement[k, m]] * len(sizes) + self.pieces(instance)[k, m])
        row, piece = np.divmod(held, len(sizes))
        found, at = np.unique(row, return_inverse=True)
        return found, np.bincount(at, sizes[piece], len(found)).astype(np.float64, copy=False)


class EnergyBudget(LinearLimit):
    """Over the horizon each device spends at most its budget (Eq. 11 as a constraint); a row a device."""

    coupling, unit, component, by_node = Coupling.ENERGY, "J", "energy_budget", False

    def rows(self, instance: Instance, tasks: Ints | slice = slice(None)) -> Ints:
        """Every node is the task's device."""
        device = instance.tasks.device[tasks]
        return np.broadcast_to(device[:, None], (len(device), instance.server_count + 1))

    def given(self, instance: Instance, rows: Ints) -> Floats:
        """Return the budgets in joules."""
        return _given(device.energy_budget_j for device in instance.devices)[rows]

    def where(self, instance: Instance, row: int) -> Where:
        """Name the device."""
        return {"device": instance.devices[row].name}

    def row(self, instance: Instance, where: dict[str, Any]) -> int:
        """Find the device."""
        return _device(instance, where["device"])

    def index(self, instance: Instance, row: int) -> tuple[int, ...]:
        """Return the device."""
        return (row,)

    def joins(self, instance: Instance) -> Ints:
        """Join all tasks of a device that has a budget."""
        device = instance.tasks.device
        return np.where(np.isfinite(self.given(instance, device)), device, -1)

    def use(self, arcs: Arcs) -> Floats:
        """Return joules."""
        return arcs.energy_j

    def placed(self, judged: Evaluation) -> Floats:
        """Return joules; what a missing link would have cost is a violation of its own, and infinite."""
        energy = judged.steps.energy_j
        return np.where(np.isfinite(judged.task_energy_j)[:, None], energy, 0.0)

    def used(self, judged: Evaluation) -> tuple[Ints, Floats]:
        """Sum task by task, as the judge's figures of energy do."""
        energy = np.where(np.isfinite(judged.task_energy_j), judged.task_energy_j, 0.0)
        devices = len(judged.instance.devices)
        spent = np.bincount(judged.instance.tasks.device, energy, devices)
        return np.arange(devices), spent.astype(np.float64, copy=False)

    def too_little(self, instance: Instance, row: int, least: float) -> dict[str, Any]:
        """Name the least energy that a device needs."""
        reason = super().too_little(instance, row, least)
        reason["message"] = (
            f"device {instance.devices[row].name}: the least energy its tasks can spend is {least:.6g} J, "
            f"its budget is {reason['limit']:.6g} J"
        )
        return reason


class ServerCapacity(LinearLimit):
    """In every slot, a server calculates for at most the length of the slot; a row a slot and server."""

    coupling, unit, component, by_node = Coupling.CAPACITY, "s", "server_capacity", True

    def rows(self, instance: Instance, tasks: Ints | slice = slice(None)) -> Ints:
        """Return slot times N plus server, counted from 0."""
        slot, servers = instance.tasks.slot[tasks], instance.server_count
        rows = slot[:, None] * servers + np.arange(-1, servers)
        rows[:, 0] = -1
        return rows

    def given(self, instance: Instance, rows: Ints) -> Floats:
        """Return the length of a slot in seconds."""
        return np.full(rows.shape, instance.slot_s)

    def where(self, instance: Instance, row: int) -> Where:
        """Name slot and node."""
        slot, server = divmod(row, instance.server_count)
        return {"slot": slot, "node": server + 1}

    def row(self, instance: Instance, where: dict[str, Any]) -> int:
        """Find slot and server."""
        return int(where["slot"]) * instance.server_count + int(where["node"]) - 1

    def index(self, instance: Instance, row: int) -> tuple[int, ...]:
        """Return slot and node."""
        slot, server = divmod(row, instance.server_count)
        return slot, server + 1

    def joins(self, instance: Instance) -> Ints:
        """Join the tasks of a slot."""
        return instance.tasks.slot

    def use(self, arcs: Arcs) -> Floats:
        """Return seconds of calculation, none on the device."""
        return np.concatenate([np.zeros_like(arcs.work_s[:, :, :1]), arcs.work_s], axis=2)

    def placed(self, judged: Evaluation) -> Floats:
        """Return seconds of calculation."""
        return judged.steps.calc_s


class NodeMemory(ChargedLimit):
    """In every slot a node holds the parameters of each distinct (model, block) it runs, once.

    A row is a slot and a holder: server n counts as n - 1, device d as the number of servers plus d.
    """

    coupling, unit, component, charge = Coupling.MEMORY, "bytes", "memory", "hold"

    def holders(self, instance: Instance) -> int:
        """Return the number of holders."""
        return instance.server_count + len(instance.devices)

    def rows(self, instance: Instance, tasks: Ints | slice = slice(None)) -> Ints:
        """Return slot times holders plus holder."""
        slot, device = instance.tasks.slot[tasks], instance.tasks.device[tasks]
        servers = np.arange(instance.server_count)
        own = len(servers) + device[:, None]
        holder = np.concatenate([own, np.broadcast_to(servers, (len(device), len(servers)))], axis=1)
        rows: Ints = slot[:, None] * self.holders(instance) + holder
        return rows

    def given(self, instance: Instance, rows: Ints) -> Floats:
        """Return the memories in bytes."""
        held = [server.memory_bytes for server in instance.servers]
        held += [device.memory_bytes for device in instance.devices]
        return _given(held)[rows % len(held)]

    def where(self, instance: Instance, row: int) -> Where:
        """Name slot and node, and the device where the node is one."""
        slot, holder = self.index(instance, row)
        if holder < instance.server_count:
            return {"slot": slot, "node": holder + 1}
        return {"slot": slot, "node": 0, "device": instance.devices[holder - instance.server_count].name}

    def row(self, instance: Instance, where: dict[str, Any]) -> int:
        """Find slot and holder."""
        name = where.get("device")
        holder = where["node"] - 1 if name is None else instance.server_count + _device(instance, name)
        return int(where["slot"]) * self.holders(instance) + int(holder)

    def index(self, instance: Instance, row: int) -> tuple[int, ...]:
        """Return slot and holder."""
        slot, holder = divmod(row, self.holders(instance))
        return slot, holder

    def joins(self, instance: Instance) -> Ints:
        """Join the tasks of a slot."""
        return instance.tasks.slot

    def sizes(self, instance: Instance) -> Floats:
        """Return bytes of parameters."""
        sizes = np.zeros((len(instance.models), instance.max_blocks))
        for i, model in enumerate(instance.models):
            sizes[i, : len(model.blocks)] = [block.param_bytes for block in model.blocks]
        return sizes


ENERGY, CAPACITY, MEMORY = EnergyBudget(), ServerCapacity(), NodeMemory()

# In the order in which the judge names what is broken.
LIMITS: dict[Coupling, SharedLimit] = {limit.coupling: limit for limit in (ENERGY, CAPACITY, MEMORY)}
KNOWN = frozenset(LIMITS)
# Those that are rows of a program: what takes rows takes any of them, one that is added here too.
OF_ROWS = frozenset(c for c, limit in LIMITS.items() if isinstance(limit, (LinearLimit, ChargedLimit)))


def of(instance: Instance) -> tuple[SharedLimit, ...]:
    """Return the limits that are on in an instance.

    Raises
    ------
    CouplingError
        If one of its couplings has no limit here: nothing would judge it.
    """
    on = instance.rules.couplings
    unknown = sorted(str(name) for name in on - KNOWN)
    if unknown:
        raise CouplingError(f"rules.couplings: nothing here judges {', '.join(unknown)}")
    return tuple(limit for coupling, limit in LIMITS.items() if coupling in on)


def linear(instance: Instance) -> tuple[LinearLimit, ...]:
    """Return those whose uses add up."""
    return tuple(limit for limit in of(instance) if isinstance(limit, LinearLimit))


def charged(instance: Instance) -> tuple[ChargedLimit, ...]:
    """Return those of which a node uses something once for each piece."""
    return tuple(limit for limit in of(instance) if isinstance(limit, ChargedLimit))


def parts(instance: Instance) -> list[Ints]:
    """Sort the tasks into sets that share no limit with each other."""
    label = np.arange(instance.task_count)
    for limit in of(instance):
        label = _joined(label, limit.joins(instance))
    _, label = np.unique(label, return_inverse=True)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)


def strained(judged: Evaluation) -> NDArray[np.bool_]:
    """Say which tasks take part in a row that a placement breaks, (K,)."""
    instance = judged.instance
    found = np.zeros(instance.task_count, dtype=bool)
    for limit in of(instance):
        rows, used = limit.used(judged)
        broken = rows[used > limit.most(instance, rows)]
        if broken.size:
            found |= np.isin(limit.rows(instance), broken).any(axis=1)
    return found


def nothing_fits(instance: Instance, how: str) -> dict[str, Any]:
    """Say that no placement of all tasks meets the limits, and how that is known."""
    kinds = sorted(instance.rules.couplings)
    return {
        "kind": str(kinds[0]) if len(kinds) == 1 else "couplings",
        "where": {},
        "limit": None,
        "value": None,
        "message": f"no placement of all tasks meets the limits of {' and '.join(kinds)} ({how})",
    }


def _joined(label: Ints, group: Ints) -> Ints:
    """Give tasks of one group the same label, and those that shared a label before, until nothing changes."""
    inside = group >= 0
    if not inside.any():
        return label
    groups = int(group.max()) + 1
    while True:
        least = np.full(groups, label.max())
        np.minimum.at(least, group[inside], label[inside])
        joined = np.where(inside, least[group], label)
        smallest = np.arange(label.max() + 1)
        np.minimum.at(smallest, label, joined)
        joined = smallest[label]
        if (joined == label).all():
            return label
        label = joined


def _given(values: Iterable[float | None]) -> Floats:
    return np.array([np.inf if value is None else value for value in values], dtype=np.float64)


def _device(instance: Instance, name: object) -> int:
    return next(d for d, device in enumerate(instance.devices) if device.name == name)
