"""The problem as data: a frozen `Instance`, validated at birth, its arrays read-only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt import allowing, features, hardware
from mecopt.arrays import Floats, Ints
from mecopt.entities import (
    Allow,
    Device,
    Links,
    Model,
    Objective,
    Rules,
    Server,
    Tasks,
    frozen,
    name_problems,
    named,
    text,
)
from mecopt.errors import InstanceError, shown
from mecopt.scalars import EXACT, finite, is_whole, plain_numbers

FORMAT = "mecopt-instance/1"
WIDER_FORMAT = "mecopt-instance/2"  # of instances that use what the first format does not have
MAX_SLOTS = 10_000_000


@dataclass(frozen=True, eq=False)
class Instance:
    """One problem: slots, models, devices, servers, links and tasks, under stated rules.

    Two instances are equal when their content is: name, description and origin do not count.

    Raises
    ------
    InstanceError
        If a part is missing or out of range; the text names every place that is wrong.

    Warns
    -----
    UserWarning
        For a device or server whose `hardware` no block has measured seconds for. Copies made by `replace`
        do not warn again.
    """

    name: str
    slot_count: int
    models: tuple[Model, ...]
    devices: tuple[Device, ...]
    servers: tuple[Server, ...]
    links: Links
    tasks: Tasks
    rules: Rules = field(default_factory=Rules)
    slot_s: float = 1.0
    description: str | None = None
    origin: Mapping[str, Any] | None = None
    allow: tuple[Allow, ...] = ()

    def __post_init__(self) -> None:
        self._check()
        hardware.warn_of_unmeasured(self)

    def _check(self) -> None:
        """Put every field into its own form, or say what is wrong."""
        for part in ("models", "devices", "servers", "allow"):
            object.__setattr__(self, part, tuple(getattr(self, part)))
        object.__setattr__(self, "servers", named(self.servers, "es"))
        problems = _part_problems(self)
        if self.models and self.devices and is_whole(self.slot_count):
            problems += _task_problems(self)
        if problems:
            raise InstanceError(problems)
        problems = [*allowing.problems(self), *_wider_problems(self)] or hardware.unknown_times(self)
        if problems:
            raise InstanceError(problems)
        object.__setattr__(self, "slot_count", int(self.slot_count))
        object.__setattr__(self, "slot_s", float(self.slot_s))
        behind = np.arange(self.max_blocks) >= self.block_count[:, None]
        if np.isfinite(self.tasks.max_delay_s[behind]).any():  # no block is there, so no deadline either
            tau = np.where(behind, np.inf, self.tasks.max_delay_s)
            object.__setattr__(self, "tasks", dataclasses.replace(self.tasks, max_delay_s=tau))

    @property
    def task_count(self) -> int:
        """Number of tasks K."""
        return len(self.tasks)

    @property
    def server_count(self) -> int:
        """Number of servers N."""
        return len(self.servers)

    @cached_property
    def block_count(self) -> Ints:
        """Number of blocks of each task, shape (tasks,)."""
        counts: Ints = frozen(
            np.array([len(m.blocks) for m in self.models], dtype=np.int64)[self.tasks.model]
        )
        return counts

    @cached_property
    def max_blocks(self) -> int:
        """Number of blocks M of the longest model."""
        return max(len(m.blocks) for m in self.models)

    @cached_property
    def server_speed(self) -> Floats:
        """Speed of every server in every slot, (servers, slots or 1 if none varies), NaN = none."""
        varies = any(isinstance(s.cycles_per_s, np.ndarray) for s in self.servers)
        slots = self.slot_count if varies else 1
        given = [np.nan if s.cycles_per_s is None else s.cycles_per_s for s in self.servers]
        speeds: Floats = frozen(np.stack([np.broadcast_to(speed, slots) for speed in given]))
        return speeds

    @cached_property
    def barred(self) -> NDArray[np.bool_] | None:
        """Which nodes `allow` forbids, (tasks, longest model, servers + 1); None where it forbids none."""
        return allowing.barred(self)

    @cached_property
    def asked(self) -> frozenset[features.Feature]:
        """What it asks for beyond links, block deadlines and couplings."""
        return features.look_for(self)

    @property
    def phase_count(self) -> int:
        """Number of phases of the model that has most."""
        return max(len(m.phases) for m in self.models)

    @cached_property
    def passes(self) -> Ints:
        """How often each task passes the chain, all phases together, shape (tasks,)."""
        counts = np.array([sum(p.repeat for p in m.phases) for m in self.models], dtype=np.int64)
        passes: Ints = frozen(counts[self.tasks.model])
        return passes

    @property
    def format(self) -> str:
        """The format of the file that says all of it: the wider one only where it is needed."""
        wider = _wider(self.rules) or self.barred is not None or any(map(_wider, self.devices))
        wider = wider or any(map(_wider, self.servers)) or any(map(_wider_model, self.models))
        wider = wider or any(device.cycles_per_s is None for device in self.devices)
        wider = wider or any(server.cycles_per_s is None for server in self.servers)
        return WIDER_FORMAT if wider or self.tasks.wider else FORMAT

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content in its canonical form (docs/formats.md); the identity of the instance."""
        digest = hashlib.sha256(json.dumps(_head(self), sort_keys=True, separators=(",", ":")).encode())
        tasks = self.tasks
        for ints in (tasks.slot, tasks.device, tasks.model, tasks.batch):
            digest.update(ints.astype("<i8").tobytes())
        for floats in (tasks.rate_bps, tasks.max_delay_s):
            digest.update((floats + 0.0).astype("<f8").tobytes())  # + 0.0 turns -0.0 into 0.0
        for added in dataclasses.fields(tasks):
            table = tasks.given(added.name) if added.metadata else None
            if table is not None:
                digest.update(added.name.encode() + (table + 0.0).astype("<f8").tobytes())
        if self.barred is not None:
            digest.update(b"allow" + np.packbits(self.barred).tobytes())
        return digest.hexdigest()

    def replace(self, **changes: Any) -> Instance:
        """Return a copy with some fields changed, validated again.

        Raises
        ------
        TypeError
            If there is no such field.
        """
        names = {f.name for f in dataclasses.fields(self)}
        if not changes.keys() <= names:
            unknown = ", ".join(sorted(changes.keys() - names))
            raise TypeError(f"an instance has no {unknown}, expected fields among {', '.join(sorted(names))}")
        return Instance.quiet(**{name: getattr(self, name) for name in names} | changes)

    @classmethod
    def quiet(cls, **fields: Any) -> Instance:
        """Build an instance from all its fields, without a warning: the caller gives it, or gave it."""
        made = object.__new__(cls)
        for name, value in fields.items():
            object.__setattr__(made, name, value)
        made._check()
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instance) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        size = f"{self.task_count} tasks, {self.server_count} servers, up to {self.max_blocks} blocks"
        deadlines = "no" if self.rules.deadline == "none" else self.rules.deadline
        couplings = ", ".join(sorted(self.rules.couplings)) or "no couplings"
        return f"<Instance {self.name!r}: {size}, {deadlines} deadlines, {couplings}>"


def _wider(part: Any) -> bool:
    """Say whether a part uses a field that the first format does not have."""
    return any(f.metadata and not _default(f, getattr(part, f.name)) for f in dataclasses.fields(part))


def _default(given: dataclasses.Field[Any], value: Any) -> bool:
    if given.default is dataclasses.MISSING:
        return not value  # an empty mapping
    return bool(value is None if given.default is None else value == given.default)


def _wider_model(model: Model) -> bool:
    # Without phases no value is one for each phase, so those need not be looked for.
    return _wider(model) or any(_wider(block) or block.cycles is None for block in model.blocks)


def _head(instance: Instance) -> dict[str, Any]:
    """Everything of the content that is not per task, as plain JSON values; added fields where used."""

    def plain(part: Any) -> Any:
        if isinstance(part, np.ndarray):
            constant = part.ndim == 1 and (part == part[0]).all()
            return plain(part.flat[0]) if constant else (part + 0.0).tolist()
        if isinstance(part, Objective):
            return part.plain()
        if dataclasses.is_dataclass(part):
            kept = (
                f for f in dataclasses.fields(part) if not (f.metadata and _default(f, getattr(part, f.name)))
            )
            return {f.name: plain(getattr(part, f.name)) for f in kept}
        if isinstance(part, Mapping):
            return {key: plain(value) for key, value in part.items()}
        if isinstance(part, frozenset):
            return sorted(part)
        if isinstance(part, tuple):
            return [plain(value) for value in part]
        if isinstance(part, bool):
            return part
        return float(part) + 0.0 if isinstance(part, (int, float)) else part

    return {
        "format": instance.format,
        "slots": {"count": instance.slot_count, "seconds": float(instance.slot_s)},
        "rules": plain(instance.rules),
        "models": plain(instance.models),
        "devices": plain(instance.devices),
        "servers": plain(instance.servers),
        "links": plain(instance.links),
        "tasks": instance.task_count,
    }


def _wider_problems(instance: Instance) -> list[str]:
    """Return what the wider format's fields cannot be together."""
    rules, tasks = instance.rules, instance.tasks
    found = []
    for name, usual in (("weight", 1.0), ("drop_cost", np.inf)):
        table = tasks.given(name)
        if rules.objective.period and table is not None:
            k = int(np.flatnonzero(table != usual)[0])
            found.append(f"tasks[{k}].{name}: {table[k]:g}, expected none under the objective period")
    if rules.objective.energy or "energy" in rules.couplings:
        found += [
            f"devices[{d}]: {shown(device.name)} has neither cycles_per_s nor compute_power_w, "
            "expected one of them where energy counts"
            for d, device in enumerate(instance.devices)
            if device.cycles_per_s is None and device.compute_power_w is None
        ]
    return found


def _part_problems(instance: Instance) -> list[str]:
    problems: list[str] = []
    if not (is_whole(instance.slot_count) and 1 <= instance.slot_count <= MAX_SLOTS):
        expected = f"1 to {MAX_SLOTS}" if is_whole(instance.slot_count) else "a whole number"
        problems.append(f"slots.count: {shown(instance.slot_count)}, expected {expected}")
    if not (finite(instance.slot_s) or 0.0) > 0:
        problems.append(f"slots.seconds: {shown(instance.slot_s)}, expected a number > 0")
    for name in ("name", "description"):
        if name == "name" or instance.description is not None:
            try:
                object.__setattr__(instance, name, text(getattr(instance, name), name))
            except InstanceError as error:
                problems += error.problems
    parts: dict[str, Sequence[Model | Device | Server]] = {
        "models": instance.models,
        "devices": instance.devices,
        "servers": instance.servers,
    }
    for part, members in parts.items():
        if not members:
            problems.append(f"{part}: none, expected at least one")
        problems += name_problems(part, [member.name for member in members])
    try:
        if instance.origin is not None and not isinstance(instance.origin, Mapping):
            raise TypeError(f"{shown(instance.origin)}, expected an object")
        object.__setattr__(instance, "origin", plain_numbers(instance.origin))
        text(json.dumps(instance.origin, allow_nan=False, ensure_ascii=False), "origin")
    except RecursionError:
        problems.append("origin: nested too deeply, expected an object that JSON can hold")
    except InstanceError:
        problems.append("origin: half a character (a lone surrogate), expected text that UTF-8 can hold")
    except (TypeError, ValueError) as error:
        problems.append(f"origin: {error}")
    for i, server in enumerate(instance.servers):
        speed = server.cycles_per_s
        if isinstance(speed, np.ndarray) and len(speed) != instance.slot_count:
            problems.append(f"servers[{i}].cycles_per_s: {len(speed)} speeds for {instance.slot_count} slots")
    if len(instance.links.device_latency_s) != len(instance.servers):
        given = len(instance.links.device_latency_s)
        problems.append(f"links: for {given} servers, expected {len(instance.servers)}")
    return problems


def _task_problems(instance: Instance) -> list[str]:
    tasks = instance.tasks
    problems: list[str] = []
    if not len(tasks):
        return ["tasks: none, expected at least one"]

    def check(ok: Any, name: str, expected: str) -> None:
        problems.extend(f"tasks[{k}].{name}: expected {expected}" for k in np.flatnonzero(~ok))

    check((tasks.slot >= 0) & (tasks.slot < instance.slot_count), "slot", f"0 to {instance.slot_count - 1}")
    check((tasks.device >= 0) & (tasks.device < len(instance.devices)), "device", "a device of the instance")
    check((tasks.model >= 0) & (tasks.model < len(instance.models)), "model", "a model of the instance")
    check(tasks.batch >= 1, "batch", "a whole number >= 1")
    check(tasks.batch <= EXACT, "batch", f"at most {EXACT}")
    finite = np.isfinite(tasks.rate_bps) & (tasks.rate_bps >= 0)
    check(finite.all(axis=1), "rate_bps", "finite numbers >= 0")
    down = tasks.down_rate_bps
    fine = np.isnan(down) | (np.isfinite(down) & (down >= 0))
    check(fine.all(axis=1), "down_rate_bps", "finite numbers >= 0")
    if not np.isnan(down).all() and down.shape != tasks.rate_bps.shape:
        problems.append(f"tasks: {down.shape[1]} down rates each for {len(instance.servers)} servers")
    check((tasks.max_delay_s >= 0).all(axis=1), "max_delay_s", "numbers >= 0")
    check(np.isfinite(tasks.weight) & (tasks.weight > 0), "weight", "a number > 0")
    check(tasks.drop_cost >= 0, "drop_cost", "a number >= 0")
    check(tasks.max_total_delay_s >= 0, "max_total_delay_s", "a number >= 0")
    check((tasks.max_phase_delay_s >= 0).all(axis=1), "max_phase_delay_s", "numbers >= 0")
    both = np.isfinite(tasks.max_total_delay_s) & np.isfinite(tasks.max_phase_delay_s).any(axis=1)
    check(~both, "max_total_delay_s", "no limit of the whole beside limits of phases (max_phase_delay_s)")
    if tasks.rate_bps.shape != (len(tasks), len(instance.servers)):
        problems.append(f"tasks: {tasks.rate_bps.shape[1]} rates each for {len(instance.servers)} servers")
    phases = tasks.given("max_phase_delay_s")
    if phases is not None and phases.shape[1] != instance.phase_count:
        problems.append(f"tasks: {phases.shape[1]} delays each for {instance.phase_count} phases")
    if tasks.max_delay_s.shape != (len(tasks), instance.max_blocks):
        problems.append(f"tasks: {tasks.max_delay_s.shape[1]} delays each for {instance.max_blocks} blocks")
    return problems
