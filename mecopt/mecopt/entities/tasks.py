"""Tasks as parallel arrays, and entries of the list of nodes that tasks may use."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mecopt.arrays import Floats, Ints
from mecopt.entities.fields import array_of, frozen, text
from mecopt.entities.models import ADDED
from mecopt.errors import InstanceError, shown
from mecopt.scalars import is_whole, whole_numbers


@dataclass(frozen=True, eq=False)
class Tasks:
    """All tasks as parallel arrays, in the instance's own order.

    Those with a default may be left out; then they are arrays of it.
    """

    slot: Ints  # (tasks,)
    device: Ints  # (tasks,) index into Instance.devices
    model: Ints  # (tasks,) index into Instance.models
    batch: Ints  # (tasks,) inferences released together
    rate_bps: Floats  # (tasks, servers) uplink rate in bits/s, 0 = no link
    max_delay_s: Floats  # (tasks, longest model) tau in seconds, inf = none
    # (tasks,) limit D on the task's whole delay in seconds, inf = none
    max_total_delay_s: Floats = field(default=None, metadata=ADDED)  # type: ignore[arg-type]
    # (tasks, most phases) limit on the delay of each phase in seconds, inf = none
    max_phase_delay_s: Floats = field(default=None, metadata=ADDED)  # type: ignore[arg-type]
    # (tasks, servers) rate from the servers to the device in bits/s, 0 = no way back, NaN = as the uplink
    down_rate_bps: Floats = field(default=None, metadata=ADDED)  # type: ignore[arg-type]
    # (tasks,) factor of the task's objective
    weight: Floats = field(default=None, metadata=ADDED)  # type: ignore[arg-type]
    # (tasks,) objective of leaving the task out, inf = it must be served
    drop_cost: Floats = field(default=None, metadata=ADDED)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        count = len(self.rate_bps)
        for name in ("rate_bps", "max_delay_s"):
            put(name, self._rows(name, 2))
        for name, dimensions, default in (
            ("max_total_delay_s", 1, np.full(count, np.inf)),
            ("max_phase_delay_s", 2, np.full((count, 1), np.inf)),
            ("down_rate_bps", 2, np.full((count, 1), np.nan)),
            ("weight", 1, np.ones(count)),
            ("drop_cost", 1, np.full(count, np.inf)),
        ):
            if getattr(self, name) is None:
                put(name, default)
            put(name, self._rows(name, dimensions))
        for name in ("slot", "device", "model", "batch"):
            column = np.asarray(getattr(self, name))
            whole = whole_numbers(column)
            if column.shape != (count,) or whole is None:
                given = f"{column.dtype} of shape {column.shape}"
                expected = f"whole numbers, one for each of {count} tasks"
                raise InstanceError(f"tasks.{name}: {given}, expected {expected}")
            put(name, frozen(whole))

    def _rows(self, name: str, dimensions: int) -> Floats:
        table, count = array_of(getattr(self, name), f"tasks.{name}"), len(self.rate_bps)
        if table.ndim != dimensions or len(table) != count:
            what = "row" if dimensions == 2 else "number"
            raise InstanceError(
                f"tasks.{name}: shape {table.shape}, expected a {what} for each of {count} tasks"
            )
        rows: Floats = frozen(table)
        return rows

    def given(self, name: str) -> Floats | None:
        """Return an array that has a default, or None where it says no more than that."""
        if name not in self._given:
            self._given[name] = self._said(name)
        return self._given[name]

    @cached_property
    def _given(self) -> dict[str, Floats | None]:
        return {}  # by field; everybody asks, time and again

    def _said(self, name: str) -> Floats | None:
        table: Floats = getattr(self, name)
        if name == "down_rate_bps":
            as_uplink = np.isnan(table)
            if as_uplink.all():
                return None
            down: Floats = frozen(np.where(as_uplink, self.rate_bps, table))
            return None if np.array_equal(down, self.rate_bps) else down
        said = bool((table != (1.0 if name == "weight" else np.inf)).any())
        return table if said else None

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
        max_total_delay_s: ArrayLike = np.inf,
        max_phase_delay_s: ArrayLike | None = None,
        down_rate_bps: ArrayLike | None = None,
        weight: ArrayLike = 1.0,
        drop_cost: ArrayLike = np.inf,
    ) -> Tasks:
        """Build tasks from arrays; numbers are repeated for every task, `blocks` is the longest model.

        Raises
        ------
        InstanceError
            If numbers or shapes are wrong; the text names the field.
        """
        rates = array_of(rate_bps, "tasks.rate_bps")
        if rates.ndim != 2:
            raise InstanceError(f"tasks.rate_bps: shape {rates.shape}, expected (tasks, servers)")
        count = rates.shape[0]

        def column(value: ArrayLike) -> NDArray[Any]:
            array = np.asarray(value)
            return np.broadcast_to(array, count) if array.ndim == 0 else array

        tau = array_of(max_delay_s, "tasks.max_delay_s")
        tau = tau[:, None] if tau.ndim == 1 else tau
        if tau.shape not in ((), (count, 1), (count, blocks)):
            expected = f"({count},) or {(count, blocks)}"
            raise InstanceError(f"tasks.max_delay_s: shape {tau.shape}, expected {expected}")
        tau = np.broadcast_to(tau, (count, blocks))
        return cls(
            column(slot),
            column(device),
            column(model),
            column(batch),
            rates,
            tau,
            column(max_total_delay_s),
            max_phase_delay_s,  # type: ignore[arg-type]
            down_rate_bps,  # type: ignore[arg-type]
            column(weight),
            column(drop_cost),
        )

    @property
    def back_bps(self) -> Floats:
        """Rate from every server to the device in bits/s, (tasks, servers), 0 = no way back."""
        down = self.given("down_rate_bps")
        return self.rate_bps if down is None else down

    @property
    def wider(self) -> bool:
        """Whether an array that has a default says something."""
        return any(f.metadata and self.given(f.name) is not None for f in dataclasses.fields(self))

    def take(self, rows: Ints | slice) -> Tasks:
        """Return some of the tasks, each as often as it is named."""
        return Tasks(**{f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)})

    def __len__(self) -> int:
        return len(self.slot)


@dataclass(frozen=True)
class Allow:
    """An entry of the list of what may run where: these blocks of these tasks run on these nodes only.

    Parameters
    ----------
    tasks : "all" or tuple of int
    blocks : "all" or tuple of str or int
        Names, or 0-based numbers.
    nodes : tuple of str
        ``"device"`` and names of servers.
    """

    tasks: str | tuple[int, ...]
    blocks: str | tuple[str | int, ...]
    nodes: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("tasks", "blocks"):
            value = getattr(self, name)
            if isinstance(value, str) and value != "all":
                raise InstanceError(f'allow.{name}: {shown(value)}, expected "all" or a list')
            if not isinstance(value, str):
                object.__setattr__(self, name, _listed(value, f"allow.{name}"))
        if isinstance(self.nodes, str):
            raise InstanceError(f"allow.nodes: {shown(self.nodes)}, expected a list of names")
        nodes = tuple(text(node, "allow.nodes") for node in _listed(self.nodes, "allow.nodes"))
        object.__setattr__(self, "nodes", nodes)


def _listed(value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, (Sequence, np.ndarray)) or not len(value):
        raise InstanceError(f"{place}: {shown(value)}, expected a list that is not empty")
    for one in value:
        if not isinstance(one, str) and not is_whole(one):
            raise InstanceError(f"{place}: {shown(one)}, expected names or whole numbers")
    return tuple(one if isinstance(one, str) else int(one) for one in value)
