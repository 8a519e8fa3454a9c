"""What a policy sees of a task: named parts, each scaled by its known range to about [0, 1].

`Encoder` turns tasks into rows of numbers, all tasks at once, and is stored beside a trained policy: names,
shapes and ranges are what the policy was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.entities import Coupling, Deadline
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt.limits import CAPACITY, ENERGY, MEMORY, Limit

PAPER = ("cycles", "param_bytes", "rate", "energy_left")
OPTIONAL = (
    *("input_bits", "batch", "server_speed", "device_speed", "wired_rate", "max_delay"),
    *("free_capacity", "free_memory"),
)
PER_BLOCK = ("cycles", "param_bytes", "input_bits", "max_delay")
# What changes while an episode runs; read as the share that is left of the limit.
LIMIT_OF: dict[str, tuple[Limit, slice]] = {  # and of which nodes
    "energy_left": (ENERGY, slice(1)),
    "free_capacity": (CAPACITY, slice(1, None)),
    "free_memory": (MEMORY, slice(None)),
}
LEFT = tuple(LIMIT_OF)
LOW, HIGH = -1.0, 2.0  # scaled values are cut off here; what is unlimited reads HIGH

Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Encoder:
    """The observation of one task: D numbers in named parts.

    Parameters
    ----------
    parts : tuple of str
        Any of ``cycles``, ``param_bytes``, ``rate``, ``energy_left`` (Eq. 11) and ``input_bits``, ``batch``,
        ``server_speed``, ``device_speed``, ``wired_rate``, ``max_delay``, ``free_capacity``, ``free_memory``,
        in the order in which they stand in the observation. Per block are cycles, parameters, inputs and
        delays (0 behind the end of a shorter model), per server rates, speeds and free capacity;
        ``free_memory`` starts with the device's own.
    servers, blocks : int
        N, and M of the longest model.
    ranges : dict
        (low, high) of every part, in its own unit. low becomes 0, high 1; where they are equal, high is 1.
        ``energy_left``, ``free_capacity`` and ``free_memory`` are shares of their own limits instead.
    raw : bool
        Leave all values in their own units; unlimited reads 2 * high.
    """

    parts: tuple[str, ...]
    servers: int
    blocks: int
    ranges: Ranges
    raw: bool = False
    slices: dict[str, slice] = field(init=False, repr=False, compare=False)
    size: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        unknown = [name for name in self.parts if name not in PAPER + OPTIONAL]
        if unknown or not self.parts or len(set(self.parts)) < len(self.parts):
            wrong = f"{unknown[0]!r}, " if unknown else ""
            raise InputError(f"parts: {wrong}expected different ones of {', '.join(PAPER + OPTIONAL)}")
        missing = [name for name in self.parts if name not in self.ranges]
        if missing:
            raise InputError(f"ranges: none for {', '.join(missing)}")
        slices, start = {}, 0
        for name in self.parts:
            slices[name] = slice(start, start + self._width(name))
            start = slices[name].stop
        object.__setattr__(self, "slices", slices)
        object.__setattr__(self, "size", start)

    def _width(self, name: str) -> int:
        if name in PER_BLOCK:
            return self.blocks
        several = {"wired_rate": self.servers**2, "free_memory": self.servers + 1}
        one = name in ("energy_left", "batch", "device_speed")
        return 1 if one else several.get(name, self.servers)

    @classmethod
    def of(
        cls,
        instances: Sequence[Instance],
        *,
        parts: Iterable[str] | None = None,
        ranges: Ranges | None = None,
        raw: bool = False,
    ) -> Encoder:
        """Build the encoder of some instances; by default with the parts that matter for them.

        Those are the paper's own, the optional ones that differ between their tasks, and what is left of the
        limits that are switched on.

        Parameters
        ----------
        instances : sequence of Instance
            Of one number of servers.
        parts : iterable of str, optional
        ranges : dict, optional
            Where they are known; the others are those of the instances.
        raw : bool
        """
        found = ranges_of(instances) | (ranges or {})
        chosen = tuple(parts) if parts is not None else default_parts(instances)
        longest = max(instance.max_blocks for instance in instances)
        known = {name: found[name] for name in chosen if name in found}
        return cls(chosen, instances[0].server_count, longest, known, raw)

    def check(self, instance: Instance) -> None:
        """Refuse an instance of another shape.

        Raises
        ------
        InputError
            If it has another number of servers, or longer models.
        """
        if instance.server_count != self.servers or instance.max_blocks > self.blocks:
            given = f"{instance.server_count} servers and up to {instance.max_blocks} blocks"
            raise InputError(
                f"instance {instance.name!r}: {given}, expected {self.servers} servers and "
                f"up to {self.blocks} blocks"
            )

    def encode(
        self,
        instance: Instance,
        costs: ChainCosts | None = None,
        tasks: Ints | None = None,
        *,
        energy_left: Floats | None = None,
        free_capacity: Floats | None = None,
        free_memory: Floats | None = None,
        device_speed: Floats | None = None,
    ) -> NDArray[np.float32]:
        """Encode any tasks of an instance.

        Parameters
        ----------
        instance : Instance
        costs : ChainCosts, optional
            Not needed: what a policy sees are the task's own figures. Taken so that callers may pass both.
        tasks : array of shape (K,), optional
            Indices of the tasks; all by default.
        energy_left : array of shape (K,), optional
            Joules left to the task's device; the whole budget by default.
        free_capacity : array of shape (K, N), optional
            Seconds of calculation left on every server in the task's slot; the whole slot by default.
        free_memory : array of shape (K, N + 1), optional
            Bytes free on the task's device and on every server; all by default.
        device_speed : array of shape (tasks of the instance,), optional
            Cycles/s of every task's device, in place of the instance's own.

        Returns
        -------
        array of shape (K, D)
        """
        self.check(instance)
        k = np.arange(instance.task_count) if tasks is None else np.asarray(tasks)
        left = {"energy_left": energy_left, "free_capacity": free_capacity, "free_memory": free_memory}
        out = np.empty((len(k), self.size), dtype=np.float32)
        for name, columns in self.slices.items():
            if name in LEFT:
                limit = limits(name, instance, k)
                amount = left[name]
                free = limit if amount is None else np.asarray(amount, np.float64).reshape(limit.shape)
                out[:, columns] = self._share(name, free, limit)
            else:
                out[:, columns] = self._scaled(name, instance, k, device_speed)
        return out

    def _share(self, name: str, left: Floats, limit: Floats) -> Floats:
        if self.raw:
            return np.where(np.isinf(limit), HIGH * self.ranges[name][1], left)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(limit > 0, left / limit, np.where(left < 0, LOW, 0.0))
        return np.where(np.isinf(limit), HIGH, np.clip(share, LOW, HIGH))

    def _scaled(
        self, name: str, instance: Instance, k: Ints, device_speed: Floats | None
    ) -> NDArray[np.float32]:
        low, high = self.ranges[name]
        table, index = _values(name, instance)
        if name == "device_speed" and device_speed is not None:
            table, index = device_speed[:, None], None
        if self.raw:
            scaled = np.where(np.isinf(table), HIGH * high, table)
        else:
            start, span = (low, high - low) if low < high else (0.0, high or 1.0)
            scaled = np.clip((table - start) / span, LOW, HIGH)
        padded = np.zeros((len(scaled), self._width(name)), dtype=np.float32)
        padded[:, : scaled.shape[1]] = scaled
        if name in PER_BLOCK:
            lengths = np.array([len(model.blocks) for model in instance.models])
            if index is not instance.tasks.model:  # one row a task
                lengths = instance.block_count
            if lengths.min() < self.blocks:
                padded[np.arange(self.blocks) >= lengths[:, None]] = 0.0
        return padded[k] if index is None else padded[index[k]]

    def out_of_range(self, instance: Instance) -> list[str]:
        """Return the parts of which the instance has values outside the known ranges."""
        self.check(instance)
        outside = []
        for name, (low, high) in ranges_of([instance]).items():
            if name not in self.parts or name in LEFT:
                continue
            known_low, known_high = self.ranges[name]
            tolerance = 1e-9 * max(abs(known_low), abs(known_high))
            if low < known_low - tolerance or high > known_high + tolerance:
                outside.append(name)
        return outside

    def to_json(self) -> dict[str, Any]:
        """Return everything that makes this encoder, as JSON holds it."""
        ranges = {name: list(self.ranges[name]) for name in self.parts}
        return {
            "parts": list(self.parts),
            "servers": self.servers,
            "blocks": self.blocks,
            "ranges": ranges,
            "raw": self.raw,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Encoder:
        """Read what `to_json` wrote.

        Raises
        ------
        InputError
            If a field is missing or of the wrong kind.
        """
        try:
            given = document["ranges"].items()
            ranges = {str(name): (float(low), float(high)) for name, (low, high) in given}
            return cls(
                tuple(map(str, document["parts"])), int(document["servers"]), int(document["blocks"]),
                ranges, bool(document["raw"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"encoder: {type(error).__name__}: {error}") from None


def limits(name: str, instance: Instance, k: Ints) -> Floats:
    """Return the limits that a part is a share of, (tasks, width); inf = none or switched off."""
    limit, nodes = LIMIT_OF[name]
    rows = limit.rows(instance, k)[:, nodes]
    if not limit.on(instance):
        return np.full(rows.shape, np.inf)
    given: Floats = limit.given(instance, rows)
    return given


def _values(name: str, instance: Instance) -> tuple[Floats, Ints | None]:
    """Return a part's values as a table and the row of every task; None: one row a task."""
    tasks = instance.tasks
    if name in ("cycles", "param_bytes", "input_bits"):
        table = np.zeros((len(instance.models), instance.max_blocks))
        for i, model in enumerate(instance.models):
            table[i, : len(model.blocks)] = [getattr(block, name) for block in model.blocks]
        return table, tasks.model
    if name == "rate":
        return tasks.rate_bps, None
    if name == "batch":
        return tasks.batch.astype(np.float64)[:, None], None
    if name == "max_delay":
        off = instance.rules.deadline is Deadline.NONE
        return np.full_like(tasks.max_delay_s, np.inf) if off else tasks.max_delay_s, None
    if name == "server_speed":
        speed = instance.server_speed.T
        return speed, tasks.slot if len(speed) > 1 else np.zeros_like(tasks.slot)
    if name == "device_speed":
        return np.array([[device.cycles_per_s] for device in instance.devices]), tasks.device
    wired = instance.links.server_bps.reshape(1, -1)  # wired_rate
    return wired, np.zeros_like(tasks.slot)


def ranges_of(instances: Sequence[Instance]) -> Ranges:
    """Return the least and the largest value of every part over the instances.

    Values of blocks that do not exist, infinite ones and the diagonal of the wired links do not count.
    """
    ranges: Ranges = {}
    for name in PAPER + OPTIONAL:
        seen = [_seen(name, instance) for instance in instances]
        values = np.concatenate([part[np.isfinite(part)] for part in seen])
        ranges[name] = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    return ranges


def _seen(name: str, instance: Instance) -> Floats:
    if name in LEFT:
        top = limits(name, instance, np.arange(instance.task_count))
        return np.concatenate([[0.0], top[np.isfinite(top)]])
    table, index = _values(name, instance)
    if name in PER_BLOCK and index is not None:
        return np.concatenate([row[: len(m.blocks)] for row, m in zip(table, instance.models, strict=True)])
    if name == "wired_rate" and instance.server_count > 1:
        return instance.links.server_bps[~np.eye(instance.server_count, dtype=bool)]
    return table.ravel()


def default_parts(instances: Sequence[Instance]) -> tuple[str, ...]:
    """Return the parts that matter: the paper's own, and the optional ones that tell tasks apart."""
    parts = [name for name in PAPER if name != "energy_left"]
    on = frozenset[Coupling]().union(*(instance.rules.couplings for instance in instances))
    budgets = any(d.energy_budget_j is not None for instance in instances for d in instance.devices)
    if Coupling.ENERGY in on and budgets:
        parts.append("energy_left")
    parts += [name for name in OPTIONAL if name not in LEFT and _differs(name, instances)]
    parts += [name for name in ("free_capacity", "free_memory") if LIMIT_OF[name][0].name in on]
    return tuple(parts)


def _differs(name: str, instances: Sequence[Instance]) -> bool:
    """Whether a part differs between any two tasks."""
    first: Floats | None = None
    for instance in instances:
        table, index = _values(name, instance)
        rows = table if index is None else table[np.unique(index)]
        first = rows[0] if first is None else first
        if first.shape != rows.shape[1:] or (rows != first).any():
            return True
    return False
