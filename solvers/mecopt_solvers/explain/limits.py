"""The limits of an instance, and how much of each a placement uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt.costs import slack
from mecopt.drawing.timeline import number, seconds
from mecopt.entities import Coupling, Deadline
from mecopt.instance import Instance
from mecopt.judge import Evaluation, held_bytes, server_load_s

BINDING = 0.999  # a limit binds from this share of it on
UNITS = {"deadline": "s", "capacity": "s", "energy": "J", "memory": "bytes"}
PRICE_UNITS = {"capacity": "s", "energy": "J", "memory": "MB"}
BYTES_PER_MB = 1e6


@dataclass(frozen=True)
class Limit:
    """One limit of the instance.

    Parameters
    ----------
    kind : {"deadline", "energy", "capacity", "memory"}
    where : dict
        Task and block, device, or slot and node (and device), as in `mecopt.Violation`.
    limit : float
        Seconds, joules or bytes.
    used : float, optional
        How much of it the placement uses; None without a placement, or over a missing link.
    price : float, optional
        Seconds of objective that one more second, joule or MB would save in the linear relaxation; None where
        no price was worked out.
    """

    kind: str
    where: dict[str, int | str]
    limit: float
    used: float | None = None
    price: float | None = None

    @property
    def share(self) -> float | None:
        """Use as a fraction of the limit; None where one of them is missing or the limit is 0."""
        return None if self.used is None or self.limit == 0 else self.used / self.limit

    @property
    def binds(self) -> bool:
        """Whether the placement uses at least 99.9 % of it."""
        return self.used is not None and self.used >= BINDING * self.limit and self.used > 0

    @property
    def exceeded(self) -> bool:
        """Whether the placement uses more than there is."""
        return self.used is not None and bool(self.used > slack(np.array(self.limit)))

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from the others."""
        return (self.kind, *self.where.items())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "where": dict(self.where),
            "unit": UNITS[self.kind],
            "limit": self.limit,
            "used": self.used,
            "share": self.share,
            "price_s": self.price,
            "price_per": PRICE_UNITS.get(self.kind),
        }


def shared_limits(judged: Evaluation) -> list[Limit]:
    """Return the budgets, capacities and memories that tasks share, with what the placement uses of each."""
    couplings, found = judged.instance.rules.couplings, []
    if Coupling.ENERGY in couplings:
        found += list(_energy(judged))
    if Coupling.CAPACITY in couplings:
        slots, load = server_load_s(judged)
        for row, slot in enumerate(slots.tolist()):
            for n, used in enumerate(load[row].tolist(), 1):
                where: dict[str, int | str] = {"slot": slot, "node": n}
                found.append(Limit("capacity", where, judged.instance.slot_s, used))
    if Coupling.MEMORY in couplings:
        found += list(_memory(judged))
    return found


def deadlines(judged: Evaluation) -> list[Limit]:
    """Return the deadlines that the placement meets within 0.1 % of tau, or misses."""
    instance = judged.instance
    if instance.rules.deadline is Deadline.NONE:
        return []
    delay, tau = judged.block_delay_s, instance.tasks.max_delay_s
    real = (judged.placement >= 0) & np.isfinite(tau) & np.isfinite(delay)
    near = np.argwhere(real & (delay >= BINDING * tau) & (delay > 0)).tolist()
    return [Limit("deadline", {"task": k, "block": m}, float(tau[k, m]), float(delay[k, m])) for k, m in near]


def tightest(limits: list[Limit]) -> list[Limit]:
    """Sort limits by the share that is used, the fullest first."""
    return sorted(limits, key=_fullness, reverse=True)


def _fullness(limit: Limit) -> float:
    if limit.used is None:
        return -1.0
    return limit.used / limit.limit if limit.limit > 0 else (np.inf if limit.used > 0 else 0.0)


def _energy(judged: Evaluation) -> Iterator[Limit]:
    for device, used in zip(judged.instance.devices, judged.device_energy_j.values(), strict=True):
        if device.energy_budget_j is not None:
            yield Limit("energy", {"device": device.name}, device.energy_budget_j, used)


def _memory(judged: Evaluation) -> Iterator[Limit]:
    instance = judged.instance
    for place in zip(*(part.tolist() for part in held_bytes(judged)), strict=True):
        holder, slot, used = place
        where = memory_place(instance, slot, holder)
        memory = memory_bytes(instance, holder)
        if memory is not None:
            yield Limit("memory", where, memory, used)


def memory_bytes(instance: Instance, holder: int) -> float | None:
    """Return the memory of a holder: the servers count first, then the devices."""
    servers = instance.server_count
    part = instance.servers[holder] if holder < servers else instance.devices[holder - servers]
    return part.memory_bytes


def memory_place(instance: Instance, slot: int, holder: int) -> dict[str, int | str]:
    """Say where a memory is, in the judge's words; `holder` counts the servers, then the devices."""
    if holder < instance.server_count:
        return {"slot": slot, "node": holder + 1}
    return {"slot": slot, "node": 0, "device": instance.devices[holder - instance.server_count].name}


def place_text(instance: Instance, where: dict[str, int | str]) -> str:
    """Write a place for people: ``task 3, block 1``, ``device cam0``, ``slot 2, es1``."""
    if "task" in where:
        return f"task {where['task']}, block {where['block']}"
    server = int(where.get("node", 0))
    name = instance.servers[server - 1].name if server else f"device {where['device']}"
    return f"slot {where['slot']}, {name}" if "slot" in where else name


def amount(kind: str, value: float) -> str:
    """Write an amount of a limit with its unit."""
    if kind == "energy":
        return f"{number(value, 5)} J"
    return f"{number(value / BYTES_PER_MB, 5)} MB" if kind == "memory" else seconds(value, 5)
