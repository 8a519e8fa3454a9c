"""The parts of an instance: rules, models, devices, servers, links and tasks, each validated at birth.

Units: seconds, bits, bits/s, cycles, cycles/s, joules, watts; bytes for memory only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mecopt.arrays import Floats, Ints
from mecopt.errors import InstanceError, shown
from mecopt.scalars import finite, numbers, whole_numbers

Member = TypeVar("Member", bound=StrEnum)
Part = TypeVar("Part", "Block", "Server")


class Coupling(StrEnum):
    """A constraint that ties tasks together."""

    ENERGY = "energy"
    CAPACITY = "capacity"
    MEMORY = "memory"


class Deadline(StrEnum):
    """What the largest tolerable delays do: forbid (C2), cost (Eq. 14), or nothing."""

    HARD = "hard"
    SOFT = "soft"
    NONE = "none"


@dataclass(frozen=True)
class Rules:
    """Which reading of the paper counts; `Rules.preset` gives the two named ones.

    Parameters
    ----------
    return_transfer : bool
        Charge the step back from a server to the device (Eq. 5) or drop it (Eq. 9).
    hop_energy : bool
        Charge the device for a hop between two servers (Eq. 7 to the letter).
    return_result : bool
        Send the final output back to the device.
    deadline : Deadline
        Mode of the largest tolerable delays.
    deadline_penalty : float
        beta of Eq. 14: seconds of objective for each second above a deadline, under soft deadlines.
    couplings : frozenset of Coupling
        The constraints between tasks that are switched on.
    """

    return_transfer: bool = False
    hop_energy: bool = True
    return_result: bool = False
    deadline: Deadline = Deadline.HARD
    deadline_penalty: float = 1.0
    couplings: frozenset[Coupling] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "deadline", _member(Deadline, self.deadline, "rules.deadline"))
        couplings = (_member(Coupling, name, "rules.couplings") for name in self.couplings)
        object.__setattr__(self, "couplings", frozenset(couplings))
        for switch in PRESETS["paper"]:
            value = getattr(self, switch)
            if not isinstance(value, (bool, np.bool_)):
                raise InstanceError(f"rules.{switch}: {shown(value)}, expected true or false")
            object.__setattr__(self, switch, bool(value))
        _numbers(self, "rules", "deadline_penalty")

    @classmethod
    def preset(cls, name: str = "paper", **changes: Any) -> Rules:
        """Return the preset `paper` or `physical`, with the given fields changed."""
        if name not in PRESETS:
            raise InstanceError(f"rules.preset: {shown(name)}, expected one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changes})


PRESETS: dict[str, dict[str, bool]] = {
    "paper": {"return_transfer": False, "hop_energy": True, "return_result": False},
    "physical": {"return_transfer": True, "hop_energy": False, "return_result": True},
}


@dataclass(frozen=True)
class Block:
    """One block of a model: cycles c_m, parameters d_m [bytes], input I_m [bits].

    `measured_seconds` maps a kind of hardware to the seconds that one inference of the block takes there.
    """

    cycles: float
    input_bits: float
    param_bytes: float = 0.0
    name: str = ""
    measured_seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = f"block {shown(self.name)}"
        _texts(self, place, "name")
        _numbers(self, place, "cycles", "input_bits", "param_bytes")
        if not isinstance(self.measured_seconds, Mapping):
            raise InstanceError(
                f"{place}: measured_seconds: {shown(self.measured_seconds)}, expected seconds by hardware"
            )
        measured = {
            text(hardware, f"{place}: measured_seconds"): _number(
                seconds, f"{place}: measured_seconds.{hardware}"
            )
            for hardware, seconds in self.measured_seconds.items()
        }
        object.__setattr__(self, "measured_seconds", measured)


@dataclass(frozen=True)
class Model:
    """A DNN as a chain of blocks; `output_bits` is the size of its final output.

    Blocks without a name are called block1, block2, ...
    """

    name: str
    blocks: tuple[Block, ...]
    output_bits: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", named(self.blocks, "block"))
        if not self.blocks:
            raise InstanceError(f"model {shown(self.name)}: no blocks, expected at least one")
        _texts(self, f"model {shown(self.name)}", "name")
        _numbers(self, f"model {shown(self.name)}", "output_bits")


@dataclass(frozen=True)
class Device:
    """An IoT device (node 0 of its tasks): speed f_l, transmit power p, coefficient kappa, limits or None."""

    name: str
    cycles_per_s: float
    transmit_power_w: float = 0.0
    kappa: float = 1e-26
    compute_power_w: float | None = None
    energy_budget_j: float | None = None
    memory_bytes: float | None = None
    hardware: str | None = None

    def __post_init__(self) -> None:
        place = f"device {shown(self.name)}"
        _texts(self, place, "name", "hardware")
        limits = ("compute_power_w", "energy_budget_j", "memory_bytes")
        _numbers(self, place, "transmit_power_w", "kappa", *limits)
        _numbers(self, place, "cycles_per_s", positive=True)


@dataclass(frozen=True, eq=False)
class Server:
    """An edge server: speed F_n, one number or one per slot, memory S_n or None."""

    name: str
    cycles_per_s: float | Floats
    memory_bytes: float | None = None
    hardware: str | None = None

    def __post_init__(self) -> None:
        place = f"server {shown(self.name)}"
        _texts(self, place, "name", "hardware")
        speed = numbers(self.cycles_per_s)
        if speed is None or speed.ndim > 1 or not (np.isfinite(speed) & (speed > 0)).all():
            raise InstanceError(f"{place}: cycles_per_s: expected a number > 0, or one per slot")
        object.__setattr__(self, "cycles_per_s", frozen(speed) if speed.ndim else float(speed))
        _numbers(self, place, "memory_bytes")


@dataclass(frozen=True, eq=False)
class Links:
    """The wired links between servers, and the fixed latency of the devices' links."""

    server_bps: Floats  # (servers, servers) [from, to] in bits/s, 0 = no link, diagonal 0
    server_latency_s: Floats  # (servers, servers) seconds, diagonal 0
    device_latency_s: Floats  # (servers,) seconds

    def __post_init__(self) -> None:
        count = np.size(self.device_latency_s)
        for name in ("server_bps", "server_latency_s"):
            matrix = _shaped(getattr(self, name), (count, count), f"links.{name}")
            np.fill_diagonal(matrix, 0.0)
            object.__setattr__(self, name, frozen(matrix))
        latency = _shaped(self.device_latency_s, (count,), "links.device_latency_s")
        object.__setattr__(self, "device_latency_s", frozen(latency))

    @classmethod
    def of(
        cls,
        servers: int,
        server_bps: ArrayLike = 0.0,
        server_latency_s: ArrayLike = 0.0,
        device_latency_s: ArrayLike = 0.0,
    ) -> Links:
        """Build links for `servers` servers from numbers or matrices."""
        return cls(
            _shaped(server_bps, (servers, servers), "links.server_bps"),
            _shaped(server_latency_s, (servers, servers), "links.server_latency_s"),
            _shaped(device_latency_s, (servers,), "links.device_latency_s"),
        )

    @property
    def uniform(self) -> bool:
        """Whether every pair of servers has the same rate and latency."""
        off = ~np.eye(len(self.device_latency_s), dtype=bool)
        return all(np.unique(matrix[off]).size <= 1 for matrix in (self.server_bps, self.server_latency_s))


@dataclass(frozen=True, eq=False)
class Tasks:
    """All tasks as parallel arrays, in the instance's own order."""

    slot: Ints  # (tasks,)
    device: Ints  # (tasks,) index into Instance.devices
    model: Ints  # (tasks,) index into Instance.models
    batch: Ints  # (tasks,) inferences released together
    rate_bps: Floats  # (tasks, servers) uplink rate in bits/s, 0 = no link
    max_delay_s: Floats  # (tasks, longest model) tau in seconds, inf = none

    def __post_init__(self) -> None:
        count = len(self.rate_bps)
        for name in ("rate_bps", "max_delay_s"):
            table = _array(getattr(self, name), f"tasks.{name}")
            if table.ndim != 2 or len(table) != count:
                raise InstanceError(
                    f"tasks.{name}: shape {table.shape}, expected a row for each of {count} tasks"
                )
            object.__setattr__(self, name, frozen(table))
        for name in ("slot", "device", "model", "batch"):
            column = np.asarray(getattr(self, name))
            whole = whole_numbers(column)
            if column.shape != (count,) or whole is None:
                given = f"{column.dtype} of shape {column.shape}"
                expected = f"whole numbers, one for each of {count} tasks"
                raise InstanceError(f"tasks.{name}: {given}, expected {expected}")
            object.__setattr__(self, name, frozen(whole))

    @classmethod
    def of(
        cls,
        *,
        slot: ArrayLike,
        device: ArrayLike,
        model: ArrayLike,
        rate_bps: ArrayLike,
        blocks: int,
        batch: ArrayLike = 1,
        max_delay_s: ArrayLike = np.inf,
    ) -> Tasks:
        """Build tasks from arrays; numbers are repeated for every task, `blocks` is the longest model."""
        rates = _array(rate_bps, "tasks.rate_bps")
        if rates.ndim != 2:
            raise InstanceError(f"tasks.rate_bps: shape {rates.shape}, expected (tasks, servers)")
        count = rates.shape[0]

        def column(value: ArrayLike) -> NDArray[Any]:
            array = np.asarray(value)
            return np.broadcast_to(array, count) if array.ndim == 0 else array

        tau = _array(max_delay_s, "tasks.max_delay_s")
        tau = tau[:, None] if tau.ndim == 1 else tau
        if tau.shape not in ((), (count, 1), (count, blocks)):
            expected = f"({count},) or {(count, blocks)}"
            raise InstanceError(f"tasks.max_delay_s: shape {tau.shape}, expected {expected}")
        tau = np.broadcast_to(tau, (count, blocks))
        return cls(column(slot), column(device), column(model), column(batch), rates, tau)

    def __len__(self) -> int:
        return len(self.slot)


def frozen(array: NDArray[Any]) -> Any:
    """Return a contiguous read-only copy of the array (the array itself if it is both)."""
    if array.flags.writeable or not array.flags.c_contiguous or array.base is not None:
        array = np.array(array, order="C")
        array.setflags(write=False)
    return array


def _number(value: float, place: str, *, positive: bool = False) -> float:
    """Return the number as a Python float, whatever kind of number it was."""
    number = finite(value)
    if number is None or not (number > 0 if positive else number >= 0):
        raise InstanceError(f"{place}: {shown(value)}, expected a number {'> 0' if positive else '>= 0'}")
    return number


def _array(value: ArrayLike, place: str) -> Floats:
    """Return numbers as floats, infinities and NaN included."""
    array = numbers(value)
    if array is None:
        raise InstanceError(f"{place}: {shown(value)}, expected numbers")
    return array


def text(value: Any, place: str) -> str:
    """Return a text as Python's own; refuse what is none, and what UTF-8 cannot hold (half a character)."""
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise InstanceError(f"{place}: {shown(value)}, expected a text") from None
    return str(value)


def _texts(part: object, place: str, *names: str) -> None:
    for name in names:
        value = getattr(part, name)
        if value is not None or name != "hardware":
            object.__setattr__(part, name, text(value, f"{place}: {name}"))


def _numbers(part: object, place: str, *names: str, positive: bool = False) -> None:
    for name in names:
        value = getattr(part, name)
        optional = name in ("compute_power_w", "energy_budget_j", "memory_bytes")
        if value is not None or not optional:
            object.__setattr__(part, name, _number(value, f"{place}: {name}", positive=positive))


def named(parts: Iterable[Part], prefix: str) -> tuple[Part, ...]:
    """Give every part without a name the prefix and its number, from 1."""
    return tuple(
        part if part.name else dataclasses.replace(part, name=f"{prefix}{i}")
        for i, part in enumerate(parts, 1)
    )


def _member(kind: type[Member], value: Any, place: str) -> Member:
    if value not in list(kind):
        raise InstanceError(f"{place}: {shown(value)}, expected one of {', '.join(kind)}")
    return kind(value)


def _shaped(value: ArrayLike, shape: tuple[int, ...], place: str) -> Floats:
    array = _array(value, place)
    if array.ndim and array.shape != shape:
        expected = " x ".join(map(str, shape))
        raise InstanceError(f"{place}: shape {array.shape}, expected one number or {expected}")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise InstanceError(f"{place}: expected finite numbers >= 0")
    return np.array(np.broadcast_to(array, shape))


def name_problems(part: str, names: Sequence[str]) -> Iterator[str]:
    """Yield every name that is empty or already taken; `part` is where the names are, such as "models"."""
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        if not name:
            yield f"{part}[{i}].name: empty, expected a text"
        if first.setdefault(name, i) != i:
            yield f"{part}[{i}].name: {shown(name)} is also the name of {part}[{first[name]}]"
