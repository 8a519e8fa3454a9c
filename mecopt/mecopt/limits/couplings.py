"""The limits that tie tasks together and whose uses add up: energy, capacity, memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.calculation import block_table
from mecopt.entities import Coupling
from mecopt.limits.kinds import ChargedLimit, LinearLimit, Where

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation
    from mecopt.trellis_arcs import Arcs


class EnergyBudget(LinearLimit):
    """Over the horizon each device spends at most its budget (Eq. 11 as a constraint); a row a device."""

    name = kind = Coupling.ENERGY.value
    unit, component, by_node = "J", "energy_budget", False

    def on(self, instance: Instance) -> bool:
        """Say whether the coupling is."""
        return Coupling.ENERGY in instance.rules.couplings

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

    def index(self, instance: Instance, row: int) -> tuple[int, ...]:
        """Return the device."""
        return (row,)

    def joins(self, instance: Instance) -> Ints:
        """Join all tasks of a device that has a budget."""
        device = instance.tasks.device
        return np.where(np.isfinite(self.given(instance, device)), device, -1)

    def use(self, arcs: Arcs, instance: Instance) -> Floats:
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

    name = kind = Coupling.CAPACITY.value
    unit, component, by_node = "s", "server_capacity", True

    def on(self, instance: Instance) -> bool:
        """Say whether the coupling is."""
        return Coupling.CAPACITY in instance.rules.couplings

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

    def index(self, instance: Instance, row: int) -> tuple[int, ...]:
        """Return slot and node."""
        slot, server = divmod(row, instance.server_count)
        return slot, server + 1

    def joins(self, instance: Instance) -> Ints:
        """Join the tasks of a slot."""
        return instance.tasks.slot

    def use(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return seconds of calculation, none on the device."""
        return seconds_on_servers(arcs)

    def placed(self, judged: Evaluation) -> Floats:
        """Return seconds of calculation, however load may stretch them."""
        return judged.work_s


class NodeMemory(ChargedLimit):
    """In every slot a node holds the parameters of each distinct (model, block) it runs, once.

    A row is a slot and a holder: server n counts as n - 1, device d as the number of servers plus d.
    """

    name = kind = Coupling.MEMORY.value
    unit, component, charge = "bytes", "memory", "hold"

    def on(self, instance: Instance) -> bool:
        """Say whether the coupling is."""
        return Coupling.MEMORY in instance.rules.couplings

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

    def index(self, instance: Instance, row: int) -> tuple[int, ...]:
        """Return slot and holder."""
        slot, holder = divmod(row, self.holders(instance))
        return slot, holder

    def joins(self, instance: Instance) -> Ints:
        """Join the tasks of a slot."""
        return instance.tasks.slot

    def sizes(self, instance: Instance) -> Floats:
        """Return bytes of parameters."""
        return block_table(instance, "param_bytes", 0)

    def shared(self, instance: Instance) -> list[tuple[int, float, tuple[int, ...]]]:
        """Return parameters that several blocks share."""
        return [
            (i, part.bytes, tuple(int(m) for m in part.blocks))
            for i, model in enumerate(instance.models)
            for part in model.shared_params
        ]

    def each(self, instance: Instance) -> Floats | None:
        """Return the bytes of a task's own state."""
        state = block_table(instance, "state_bytes", 0)
        return state[instance.tasks.model] * instance.tasks.batch[:, None] if state.any() else None


def seconds_on_servers(arcs: Arcs) -> Floats:
    """Return seconds of calculation by node, 0 on the device; (K, M, J, J) where the node before matters."""
    device = np.zeros_like(arcs.calc_s[:, :, :, :1])
    seconds = np.concatenate([device, arcs.calc_s], axis=3)
    return seconds[:, :, 0] if seconds.shape[2] == 1 else seconds


def _given(values: Iterable[float | None]) -> Floats:
    return np.array([np.inf if value is None else value for value in values], dtype=np.float64)


ENERGY, CAPACITY, MEMORY = EnergyBudget(), ServerCapacity(), NodeMemory()
