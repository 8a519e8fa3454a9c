"""Nodes and what joins them: IoT devices, edge servers, wired links."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from mecopt.arrays import Floats
from mecopt.entities.fields import frozen, set_numbers, set_texts, shaped
from mecopt.entities.models import ADDED
from mecopt.errors import InstanceError, shown
from mecopt.scalars import numbers


@dataclass(frozen=True)
class Device:
    """An IoT device (node 0 of its tasks): speed f_l, transmit power p, coefficient kappa, limits or None.

    `memory_bytes_per_s` is the rate at which it reads memory (roofline); with it, or where every block is
    measured, the speed may be None. `calc_spread` is the fraction by which a calculation may take longer,
    for `mecopt.robust` alone.
    """

    name: str
    cycles_per_s: float | None
    transmit_power_w: float = 0.0
    kappa: float = 1e-26
    compute_power_w: float | None = None
    energy_budget_j: float | None = None
    memory_bytes: float | None = None
    hardware: str | None = None
    memory_bytes_per_s: float | None = field(default=None, metadata=ADDED)
    calc_spread: float = field(default=0.0, metadata=ADDED)

    def __post_init__(self) -> None:
        place = f"device {shown(self.name)}"
        set_texts(self, place, "name", "hardware")
        set_numbers(self, place, "compute_power_w", "energy_budget_j", "memory_bytes", optional=True)
        set_numbers(self, place, "transmit_power_w", "kappa", "calc_spread")
        set_numbers(self, place, "cycles_per_s", "memory_bytes_per_s", positive=True, optional=True)


@dataclass(frozen=True, eq=False)
class Server:
    """An edge server: speed F_n, one number or one per slot, memory S_n or None.

    `memory_bytes_per_s` and `calc_spread` are as a device's; `compute_power_w` counts where the objective has
    the servers' energy.
    """

    name: str
    cycles_per_s: float | Floats | None
    memory_bytes: float | None = None
    hardware: str | None = None
    memory_bytes_per_s: float | None = field(default=None, metadata=ADDED)
    compute_power_w: float | None = field(default=None, metadata=ADDED)
    calc_spread: float = field(default=0.0, metadata=ADDED)

    def __post_init__(self) -> None:
        place = f"server {shown(self.name)}"
        set_texts(self, place, "name", "hardware")
        if self.cycles_per_s is not None:
            speed = numbers(self.cycles_per_s)
            if speed is None or speed.ndim > 1 or not (np.isfinite(speed) & (speed > 0)).all():
                raise InstanceError(f"{place}: cycles_per_s: expected a number > 0, or one per slot")
            object.__setattr__(self, "cycles_per_s", frozen(speed) if speed.ndim else float(speed))
        set_numbers(self, place, "memory_bytes", "compute_power_w", optional=True)
        set_numbers(self, place, "memory_bytes_per_s", positive=True, optional=True)
        set_numbers(self, place, "calc_spread")


@dataclass(frozen=True, eq=False)
class Links:
    """The wired links between servers, and the fixed latency of the devices' links."""

    server_bps: Floats  # (servers, servers) [from, to] in bits/s, 0 = no link, diagonal 0
    server_latency_s: Floats  # (servers, servers) seconds, diagonal 0
    device_latency_s: Floats  # (servers,) seconds

    def __post_init__(self) -> None:
        count = np.size(self.device_latency_s)
        for name in ("server_bps", "server_latency_s"):
            matrix = shaped(getattr(self, name), (count, count), f"links.{name}")
            np.fill_diagonal(matrix, 0.0)
            object.__setattr__(self, name, frozen(matrix))
        latency = shaped(self.device_latency_s, (count,), "links.device_latency_s")
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
            shaped(server_bps, (servers, servers), "links.server_bps"),
            shaped(server_latency_s, (servers, servers), "links.server_latency_s"),
            shaped(device_latency_s, (servers,), "links.device_latency_s"),
        )

    @cached_property
    def uniform(self) -> bool:
        """Whether every pair of servers has the same rate and latency."""
        off = ~np.eye(len(self.device_latency_s), dtype=bool)
        return all((m[off] == m[off][:1]).all() for m in (self.server_bps, self.server_latency_s))
