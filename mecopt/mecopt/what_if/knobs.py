"""What a sweep turns: rates, the speed of a node, deadlines, budgets, how many servers, the batch.

A knob says what an instance is at a value of it, and where it can how the costs of steps depend on it.
Most values are factors: 1 is the instance as it is. The number of servers and the batch are those themselves.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import Coupling, Deadline, Device, Server
from mecopt.errors import InputError, listed, shown
from mecopt.instance import Instance
from mecopt.what_if.envelopes import Lines, of_costs, of_deadlines

Steps = Callable[[Ints], Lines]
NAMES = ("rate", "rate:SERVER", "speed:SERVER", "speed:device", "deadline", "energy", "servers", "batch")


class Knob(ABC):
    """One figure of an instance.

    Attributes
    ----------
    falls : bool
        Whether the optimum never rises when the value does; else it never falls.
    whole : bool
        Whether values are whole numbers.
    usual : (float, float)
        The range if none is given.
    """

    falls: ClassVar[bool] = True
    whole: ClassVar[bool] = False
    usual: tuple[float, float] = (0.1, 10.0)

    def __init__(self, instance: Instance, name: str) -> None:
        self.instance, self.name = instance, name

    @abstractmethod
    def at(self, value: float) -> Instance:
        """Return the instance at a value."""

    def lines(self, costs: ChainCosts, node_cost: Floats | None) -> Steps | None:
        """Return what gives the steps of tasks as functions of `x_of` the value; None where they are none."""
        return None

    def x_of(self, value: float) -> float:
        """Return the number in which costs are affine and rise."""
        return 1.0 / value

    def value_of(self, x: float) -> float:
        """Return the value at a number of `x_of`."""
        return 1.0 / x

    @property
    def today(self) -> float | None:
        """The value at which the instance is what it is; None where there is no single one."""
        return 1.0

    def values(self, low: float, high: float, count: int) -> list[float]:
        """Return about so many values from `low` to `high`, evenly by ratio, today's among them."""
        spread = np.geomspace(low, high, count)
        spread[0], spread[-1] = low, high
        inside = {self.today} if self.today is not None and low < self.today < high else set()
        if not self.whole:
            return sorted({*spread.tolist(), *inside})
        if high - low < count:
            return [float(n) for n in range(int(low), int(high) + 1)]
        return sorted({float(round(value)) for value in spread.tolist()} | inside)

    def natural(self) -> tuple[float, str] | None:
        """Return what 1 is in a unit of its own, such as megabits per second; None where it has none."""
        return None


class RateKnob(Knob):
    """A factor of the rates between devices and servers, both ways; of one server where it is named."""

    def __init__(self, instance: Instance, name: str, server: int | None = None) -> None:
        super().__init__(instance, name)
        self.server = server
        column = instance.tasks.rate_bps[:, self._columns]
        if not (column > 0).any():
            raise InputError(f"{name}: no task has such a link, expected a rate above 0")

    @property
    def _columns(self) -> slice:
        return slice(None) if self.server is None else slice(self.server, self.server + 1)

    def at(self, value: float) -> Instance:
        """Return the instance with other rates."""
        tasks = self.instance.tasks
        factor = np.ones(self.instance.server_count)
        factor[self._columns] = value
        down = tasks.down_rate_bps
        if down.shape[1] > 1 or not np.isnan(down).all():
            down = down * factor
        changed = dataclasses.replace(tasks, rate_bps=tasks.rate_bps * factor, down_rate_bps=down)
        return self.instance.replace(tasks=changed)

    def lines(self, costs: ChainCosts, node_cost: Floats | None) -> Steps:
        """Transfers over the radio take their bits over the rate."""
        mine = np.zeros(self.instance.server_count, dtype=bool)
        mine[self._columns] = True
        send, back = costs.send_s, costs.back_s
        alike = back is send
        fixed_send = np.where(np.isfinite(send) & mine, 0.0, send)
        fixed_back = fixed_send if alike else np.where(np.isfinite(back) & mine, 0.0, back)
        moving_send = np.where(np.isfinite(send) & ~mine, 0.0, send)
        moving_back = moving_send if alike else np.where(np.isfinite(back) & ~mine, 0.0, back)
        fixed = replace(costs, send_s=fixed_send, back_s=fixed_back)
        moving = nothing(costs, send_s=moving_send, back_s=moving_back)
        return lambda tasks: of_costs(costs, fixed, moving, tasks, node_cost)

    def natural(self) -> tuple[float, str]:
        """Return the mean rate of the links that there are."""
        rates = self.instance.tasks.rate_bps[:, self._columns]
        return float(rates[rates > 0].mean()) / 1e6, "Mbit/s"


class SpeedKnob(Knob):
    """A factor of the speed of one server, or of every device."""

    def __init__(self, instance: Instance, name: str, server: int | None) -> None:
        super().__init__(instance, name)
        self.server = server
        nodes = self._nodes
        if any(node.cycles_per_s is None for node in nodes):
            raise InputError(f"{name}: has no cycles_per_s, expected a node that has")
        rules = instance.rules
        if server is None and (rules.objective.energy or Coupling.ENERGY in rules.couplings):
            raise InputError(f"{name}: not where energy counts, because joules go by the speed too")
        faster, costs = chain_costs(self.at(2.0)), chain_costs(instance)
        same = np.array_equal(faster.server_s, costs.server_s) and np.array_equal(
            faster.device_s, costs.device_s
        )
        if same:
            raise InputError(f"{name}: makes no difference, expected a node whose times go by its speed")

    @property
    def _nodes(self) -> tuple[Device | Server, ...]:
        return self.instance.devices if self.server is None else (self.instance.servers[self.server],)

    def at(self, value: float) -> Instance:
        """Return the instance with a faster or slower node."""
        if self.server is None:
            devices = tuple(
                replace(device, cycles_per_s=float(device.cycles_per_s or 0.0) * value)
                for device in self.instance.devices
            )
            return self.instance.replace(devices=devices)
        servers = list(self.instance.servers)
        speed = servers[self.server].cycles_per_s
        assert speed is not None
        servers[self.server] = replace(servers[self.server], cycles_per_s=speed * value)
        return self.instance.replace(servers=tuple(servers))

    def lines(self, costs: ChainCosts, node_cost: Floats | None) -> Steps | None:
        """Calculations take their cycles over the speed; measured ones stay what they are."""
        if any(node.memory_bytes_per_s is not None for node in self._nodes):
            return None  # the larger of two times
        twice = chain_costs(self.at(2.0))
        with np.errstate(invalid="ignore"):
            server_s = np.where(np.isinf(costs.server_s), np.inf, 2.0 * (costs.server_s - twice.server_s))
            device_s = np.where(np.isinf(costs.device_s), np.inf, 2.0 * (costs.device_s - twice.device_s))
            rest = np.where(np.isinf(costs.server_s), np.inf, 2.0 * twice.server_s - costs.server_s)
            rest_device = np.where(np.isinf(costs.device_s), np.inf, 2.0 * twice.device_s - costs.device_s)
        fixed = replace(costs, server_s=rest, device_s=rest_device)
        moving = nothing(costs, server_s=server_s, device_s=device_s, server_w=costs.server_w)
        return lambda tasks: of_costs(costs, fixed, moving, tasks, node_cost)

    def natural(self) -> tuple[float, str]:
        """Return the mean speed."""
        speeds = [node.cycles_per_s for node in self._nodes if node.cycles_per_s is not None]
        return float(np.mean([np.mean(speed) for speed in speeds])) / 1e9, "Gcycles/s"


class DeadlineKnob(Knob):
    """A factor of every deadline."""

    def __init__(self, instance: Instance, name: str) -> None:
        super().__init__(instance, name)
        tasks, mode = instance.tasks, instance.rules.deadline
        if mode is Deadline.NONE:
            raise InputError(
                f"{name}: the instance's deadlines count for nothing, expected hard or soft ones"
            )
        if not any(np.isfinite(getattr(tasks, given)).any() for given in LIMITS):
            raise InputError(f"{name}: no task has one, expected max_delay_s or max_total_delay_s")

    def at(self, value: float) -> Instance:
        """Return the instance with other deadlines."""
        tasks = self.instance.tasks
        changed = dataclasses.replace(tasks, **{given: getattr(tasks, given) * value for given in LIMITS})
        return self.instance.replace(tasks=changed)

    def lines(self, costs: ChainCosts, node_cost: Floats | None) -> Steps:
        """Deadlines of blocks rise with the factor."""
        hard = self.instance.rules.deadline is Deadline.HARD
        return lambda tasks: of_deadlines(costs, tasks, node_cost, hard)

    def x_of(self, value: float) -> float:
        """Costs rise as deadlines fall."""
        return -value

    def value_of(self, x: float) -> float:
        """Return the factor."""
        return -x

    def natural(self) -> tuple[float, str] | None:
        """Return the deadline, if all are alike."""
        every = np.concatenate([getattr(self.instance.tasks, given).ravel() for given in LIMITS])
        every = np.unique(every[np.isfinite(every)])
        return (float(every[0]), "s") if len(every) == 1 else None


LIMITS = ("max_delay_s", "max_total_delay_s", "max_phase_delay_s")


class BudgetKnob(Knob):
    """A factor of every device's energy budget."""

    def __init__(self, instance: Instance, name: str) -> None:
        super().__init__(instance, name)
        if Coupling.ENERGY not in instance.rules.couplings:
            raise InputError(
                f"{name}: the instance has no energy budgets, expected rules.couplings with energy"
            )
        if all(device.energy_budget_j is None for device in instance.devices):
            raise InputError(f"{name}: no device has an energy_budget_j, expected at least one")

    def at(self, value: float) -> Instance:
        """Return the instance with other budgets."""
        devices = tuple(
            device
            if device.energy_budget_j is None
            else replace(device, energy_budget_j=device.energy_budget_j * value)
            for device in self.instance.devices
        )
        return self.instance.replace(devices=devices)

    def natural(self) -> tuple[float, str]:
        """Return the joules of all budgets together."""
        return float(sum(device.energy_budget_j or 0.0 for device in self.instance.devices)), "J"


class ServersKnob(Knob):
    """How many servers there are: the first ones, in the instance's order."""

    whole = True

    def __init__(self, instance: Instance, name: str) -> None:
        super().__init__(instance, name)
        self.usual = (1.0, float(instance.server_count))

    @property
    def today(self) -> float:
        """All of them."""
        return float(self.instance.server_count)

    def at(self, value: float) -> Instance:
        """Return the instance with its first servers only."""
        count, instance = int(value), self.instance
        if count > instance.server_count:
            raise InputError(f"{self.name}: {count}, expected at most the instance's {instance.server_count}")
        links, tasks = instance.links, instance.tasks
        down = tasks.down_rate_bps
        gone = {server.name for server in instance.servers[count:]}
        allow = tuple(
            replace(entry, nodes=tuple(node for node in entry.nodes if node not in gone))
            for entry in instance.allow
        )
        return instance.replace(
            servers=instance.servers[:count],
            links=replace(
                links,
                server_bps=links.server_bps[:count, :count],
                server_latency_s=links.server_latency_s[:count, :count],
                device_latency_s=links.device_latency_s[:count],
            ),
            tasks=dataclasses.replace(
                tasks,
                rate_bps=tasks.rate_bps[:, :count],
                down_rate_bps=down if down.shape[1] == 1 and np.isnan(down).all() else down[:, :count],
            ),
            allow=allow,
        )


class BatchKnob(Knob):
    """The batch of every task."""

    falls = False
    whole = True
    usual = (1.0, 32.0)

    @property
    def today(self) -> float | None:
        """The batch, if all tasks have the same."""
        found = np.unique(self.instance.tasks.batch)
        return float(found[0]) if len(found) == 1 else None

    def at(self, value: float) -> Instance:
        """Return the instance with that batch everywhere."""
        tasks = self.instance.tasks
        return self.instance.replace(
            tasks=dataclasses.replace(tasks, batch=np.full(len(tasks), int(value), dtype=np.int64))
        )


def knob(instance: Instance, text: str) -> Knob:
    """Return the knob that a text names.

    Raises
    ------
    InputError
        If there is none of that name, or the instance lacks what it turns.
    """
    if not isinstance(text, str):
        raise InputError(f"over: {shown(text)}, expected one of {', '.join(NAMES)}")
    head, colon, node = text.partition(":")
    kinds: dict[str, type[Knob]] = {
        "deadline": DeadlineKnob,
        "energy": BudgetKnob,
        "servers": ServersKnob,
        "batch": BatchKnob,
    }
    if head in kinds and not colon:
        return kinds[head](instance, text)
    if head == "rate":
        return RateKnob(instance, text, _server(instance, text, node) if colon else None)
    if head == "speed" and node:
        return SpeedKnob(instance, text, None if node == "device" else _server(instance, text, node))
    raise InputError(f"over: {shown(text)}, expected one of {', '.join(NAMES)}")


def _server(instance: Instance, text: str, node: str) -> int:
    names = [server.name for server in instance.servers]
    if node not in names:
        raise InputError(f"over: {shown(text)}: no such server, expected one of {listed(names)}")
    return names.index(node)


def nothing(costs: ChainCosts, **but: Any) -> ChainCosts:
    """Return costs of nothing at all but some figures; links that are missing are so."""

    def none(figures: Floats) -> Floats:
        return np.where(np.isinf(figures), np.inf, 0.0)

    send = none(costs.send_s)
    free: dict[str, Any] = {
        "server_s": none(costs.server_s),
        "device_s": none(costs.device_s),
        "device_j": np.zeros_like(costs.device_j),
        "send_s": send,
        "back_s": send if costs.back_s is costs.send_s else none(costs.back_s),
        "send_lat": np.zeros_like(costs.send_lat),
        "hop_s": none(costs.hop_s),
        "hop_lat": np.zeros_like(costs.hop_lat),
        "start_s": None,
        "device_w": None,
        "server_w": None,
        "drop_cost": None,
    }
    return replace(costs, **{**free, **but})
