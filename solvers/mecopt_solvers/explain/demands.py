"""What an instance demands of placements, piece by piece: each can be left out, and some can be eased."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt import limits
from mecopt.entities import Coupling, Deadline, OneRun, Tasks
from mecopt.instance import Instance

EASED = 1.1  # times as long a deadline or slot, as much energy or memory
GONE = np.inf


@dataclass(frozen=True)
class Demand:
    """A deadline, a budget, a memory, the slots of a coupling, an entry of `allow`, or a rule.

    Parameters
    ----------
    kind : "deadline", "one_run", "allow", "pin", "ban" or a `mecopt.Coupling`
    where : tuple of (name, value)
        As in `mecopt.Violation` but without slots: memories and budgets are of all of them. Of `allow` the
        entry, of pins and bans the text, nothing of a rule.
    """

    kind: str
    where: tuple[tuple[str, int | str], ...] = ()

    @property
    def eases(self) -> bool:
        """Whether there can be more of it, not only none."""
        return self.kind not in ("one_run", "allow", "pin", "ban")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"kind": self.kind, "where": dict(self.where)}


def demands(instance: Instance, pins: Iterable[str] = (), bans: Iterable[str] = ()) -> list[Demand]:
    """List what an instance demands; links, and which tasks there are, are not among it."""
    rules, tasks = instance.rules, instance.tasks
    found: list[Demand] = []
    if rules.deadline is not Deadline.NONE:
        blocks = np.argwhere(np.isfinite(tasks.max_delay_s)).tolist()
        found += [Demand("deadline", (("task", k), ("block", m))) for k, m in blocks]
        for limit in limits.deadlines(instance):
            rows = np.flatnonzero(np.isfinite(limit.given(instance, np.arange(len(tasks)))))
            found += [Demand("deadline", tuple(limit.where(instance, row).items())) for row in rows.tolist()]
    if Coupling.ENERGY in rules.couplings:
        budgets = [d.name for d in instance.devices if d.energy_budget_j is not None]
        found += [Demand("energy", (("device", name),)) for name in budgets]
    if Coupling.MEMORY in rules.couplings:
        held = [n for n, server in enumerate(instance.servers, 1) if server.memory_bytes is not None]
        own = [d.name for d in instance.devices if d.memory_bytes is not None]
        found += [Demand("memory", (("node", n),)) for n in held]
        found += [Demand("memory", (("device", name),)) for name in own]
    found += [Demand(c.value) for c in (Coupling.CAPACITY, Coupling.SHARING) if c in rules.couplings]
    found += [Demand("one_run")] if rules.one_run is not OneRun.NONE else []
    found += [Demand("allow", (("entry", i),)) for i in range(len(instance.allow))]
    found += [Demand("pin", (("text", text),)) for text in pins]
    return [*found, *(Demand("ban", (("text", text),)) for text in bans)]


def changed(instance: Instance, factors: Mapping[Demand, float]) -> Instance:
    """Return an instance in which there is so many times as much of what some demands allow.

    Raises
    ------
    InstanceError
        If nothing tells how long a block takes on a node that `allow` kept it from.
    """
    gone = {demand for demand, factor in factors.items() if factor == GONE}
    away = {Coupling(d.kind) for d in gone if not d.where and d.kind != "one_run"}
    rules = dataclasses.replace(
        instance.rules,
        couplings=instance.rules.couplings - away,
        one_run=OneRun.NONE if Demand("one_run") in gone else instance.rules.one_run,
    )
    slot_s = instance.slot_s
    for kind in (Coupling.CAPACITY, Coupling.SHARING):
        factor = factors.get(Demand(kind.value), 1.0)
        slot_s *= factor if factor < GONE else 1.0

    def more(given: float | None, kind: str, **where: int | str) -> float | None:
        factor = factors.get(Demand(kind, tuple(where.items())), 1.0)
        return None if given is None or factor == GONE else given * factor

    return instance.replace(
        rules=rules,
        slot_s=slot_s,
        tasks=_tasks(instance, factors),
        servers=tuple(
            dataclasses.replace(s, memory_bytes=more(s.memory_bytes, "memory", node=n))
            for n, s in enumerate(instance.servers, 1)
        ),
        devices=tuple(
            dataclasses.replace(
                d,
                memory_bytes=more(d.memory_bytes, "memory", device=d.name),
                energy_budget_j=more(d.energy_budget_j, "energy", device=d.name),
            )
            for d in instance.devices
        ),
        allow=tuple(
            entry for i, entry in enumerate(instance.allow) if Demand("allow", (("entry", i),)) not in gone
        ),
    )


def _tasks(instance: Instance, factors: Mapping[Demand, float]) -> Tasks:
    """Give tasks the deadlines that are so many times as long; those of a factor of inf have none."""
    tasks = instance.tasks
    names = ("max_delay_s", "max_total_delay_s", "max_phase_delay_s")
    tables = {name: table.copy() for name in names if (table := getattr(tasks, name)) is not None}
    for demand, factor in factors.items():
        if demand.kind != "deadline":
            continue
        where = dict(demand.where)
        k = int(where["task"])
        name, at = "max_total_delay_s", tuple[int, ...]([k])
        if "block" in where:
            name, at = "max_delay_s", (k, int(where["block"]))
        elif "phase" in where:
            phases = [phase.name for phase in instance.models[tasks.model[k]].phases]
            name, at = "max_phase_delay_s", (k, phases.index(str(where["phase"])))
        tables[name][at] = GONE if factor == GONE else tables[name][at] * factor
    return dataclasses.replace(tasks, **tables)
