"""What the simulator knows of an instance: its tasks as templates, in tables that the kernels read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt import features
from mecopt.arrays import Floats, Ints
from mecopt.costs import chain_costs
from mecopt.entities import Coupling, Deadline
from mecopt.errors import InputError
from mecopt.features import Feature
from mecopt.instance import Instance

TAKES = frozenset(
    {
        Feature.DOWN_RATE,
        Feature.ROOFLINE,
        Feature.START,
        Feature.ALLOW,
        Feature.TOTAL_DEADLINE,
        Feature.SOFT_END,
    }
)
# In the simulator servers queue; these two stand for that where there are slots.
STANDINS = frozenset({Coupling.CAPACITY, Coupling.SHARING})
MOST_NODES = 127  # a placement is kept in bytes


@dataclass(frozen=True, eq=False)
class World:
    """Templates of tasks, K of them; M blocks of the longest model, N servers, D devices.

    Resources are numbered: servers 0..N-1, processors of devices N..N+D-1, their radios N+D..N+2D-1.

    Attributes
    ----------
    instance : Instance
    tables : tuple of arrays
        What kernels read: blocks (K,), device (K,), work seconds (K, M, N+1), start seconds (K, M, N+1),
        whether there are any, radio seconds up and down (K, M+1, N; inf no link, below 0 not counted, last
        row the result), bits (K, M), radio latency (N,), hop seconds a bit (N, N), hop latency (N, N).
    energy : tuple of arrays
        Joules on the device (K, M), watts while it calculates beyond these (K,), while it sends (K,), while
        a hop is charged (K,).
    limit_s : array (K,)
        A task later than this has missed a deadline for sure; inf = none.
    """

    instance: Instance
    tables: tuple[Any, ...]
    energy: tuple[Floats, Floats, Floats, Floats]
    limit_s: Floats

    @classmethod
    def of(cls, instance: Instance) -> World:
        """Make the tables of an instance.

        Raises
        ------
        InputError
            If the instance asks for something that the simulator does not know, or a task has no path.
        """
        _refuse(instance)
        rules = dataclasses.replace(instance.rules, deadline=Deadline.NONE, couplings=frozenset())
        costs = chain_costs(instance.replace(rules=rules))
        servers, stages, count = instance.server_count, instance.max_blocks, instance.task_count
        real = np.arange(stages) < instance.block_count[:, None]
        work = np.empty((count, stages, servers + 1))
        work[:, :, 0] = costs.device_s
        work[:, :, 1:] = costs.batch[:, None, None] * costs.server_s[costs.group]
        work[~real] = 0.0
        if instance.barred is not None:
            work[instance.barred & real[:, :, None]] = np.inf
        start = np.zeros((1, 1, 1)) if costs.start_s is None else np.ascontiguousarray(costs.start_s)
        bits = np.where(real, costs.bits, 0.0)
        down = _flight(bits, costs.back_s)
        if not costs.return_transfer:
            down = np.where(np.isinf(down), np.inf, -1.0)
        result = _flight(costs.result_bits[:, None], costs.back_s)
        result = result if costs.return_result else np.full_like(result, -1.0)
        up = np.concatenate([_flight(bits, costs.send_s), np.zeros_like(result)], axis=1)
        tables = (
            costs.blocks.astype(np.int64),
            instance.tasks.device.astype(np.int64),
            work,
            start,
            costs.start_s is not None,
            np.ascontiguousarray(up),
            np.ascontiguousarray(np.concatenate([down, result], axis=1)),
            np.ascontiguousarray(bits),
            np.ascontiguousarray(costs.send_lat, dtype=np.float64),
            np.ascontiguousarray(costs.hop_s, dtype=np.float64),
            np.ascontiguousarray(costs.hop_lat, dtype=np.float64),
        )
        watts = np.zeros(count) if costs.device_w is None else costs.device_w
        joules = np.where(np.isfinite(costs.device_j), costs.device_j, 0.0)
        energy = (
            np.ascontiguousarray(joules),
            watts,
            costs.send_w,
            np.asarray(costs.hop_w, dtype=np.float64),
        )
        world = cls(instance, tables, energy, _limits(instance))
        world._refuse_pathless()
        return world

    @property
    def templates(self) -> int:
        """Number of templates K."""
        return self.instance.task_count

    @property
    def servers(self) -> int:
        """Number of servers N."""
        return self.instance.server_count

    @property
    def devices(self) -> int:
        """Number of devices D."""
        return len(self.instance.devices)

    @property
    def resources(self) -> int:
        """Number of resources R = N + 2 D."""
        return self.servers + 2 * self.devices

    @property
    def stages(self) -> int:
        """Number of blocks M of the longest model."""
        return self.instance.max_blocks

    @cached_property
    def resource_names(self) -> tuple[str, ...]:
        """Names of all resources."""
        devices = [device.name for device in self.instance.devices]
        servers = [server.name or f"es{n + 1}" for n, server in enumerate(self.instance.servers)]
        return (*servers, *devices, *(f"{name} radio" for name in devices))

    def room(self) -> tuple[Any, ...]:
        """Return scratch arrays for `choosing_kernels.choose`."""
        shape = (self.stages + 1, self.servers + 1)
        return (
            np.empty(shape),
            np.empty(shape[1]),
            np.empty(shape, dtype=np.int64),
            np.empty(shape, dtype=np.int64),
            np.empty(shape, dtype=np.int64),
        )

    def decide(
        self,
        task: Ints,
        size: Floats | None = None,
        *,
        backlog: Floats | None = None,
        price: Floats | None = None,
        grow: Floats | None = None,
        curve: Floats | None = None,
        time: float = 1.0,
    ) -> tuple[NDArray[np.int8], Floats, Floats]:
        """Decide for many tasks at once: the cheapest path of each at given backlogs and prices.

        Parameters
        ----------
        task : array (T,) of int
            Templates.
        size : array (T,), optional
            Factors of calculations and bits, 1 by default.
        backlog : array (T, R) or (R,), optional
            Seconds that every resource has to do, none by default.
        price, grow, curve : arrays (R,), optional
            p, q and r of `choosing_kernels.choose`, 0 by default.
        time : float
            1, or 0 where only prices count.

        Returns
        -------
        nodes : array (T, M)
        cost : array (T,)
        loads : array (T, N + 2)
            Seconds on every server, the task's device and its radio.
        """
        from mecopt.simulation.choosing_kernels import choose_many
        from mecopt.simulation.choosing_lane_kernels import LANES, choose_side_by_side, lane_room

        task = np.ascontiguousarray(task, dtype=np.int64)
        count, zero = len(task), np.zeros(self.resources)
        nodes = np.empty((count, self.stages), dtype=np.int8)
        cost, loads = np.empty(count), np.zeros((count, self.servers + 2))
        given = (
            task,
            np.ones(count) if size is None else np.ascontiguousarray(size, dtype=np.float64),
            self.tables,
            np.ascontiguousarray(np.atleast_2d(zero if backlog is None else backlog)),
            *(zero if row is None else np.ascontiguousarray(row) for row in (price, grow, curve)),
            time,
        )
        if count >= LANES:
            room = np.empty(lane_room(self.stages, self.servers))
            choose_side_by_side(*given, room, nodes, cost, loads)
        else:
            every = np.ones(self.servers, dtype=bool)
            choose_many(*given, every, self.room(), nodes, cost, loads)
        return nodes, cost, loads

    def mean_load(self, task: Ints, loads: Floats, weight: Floats | None = None) -> Floats:
        """Return the mean seconds a task asks of every resource, (R,), from the loads of `decide`."""
        device = self.tables[1][task]
        share = np.full(len(task), 1.0 / len(task)) if weight is None else weight
        mean = np.empty(self.resources)
        mean[: self.servers] = share @ loads[:, : self.servers]
        for column, rows in enumerate(mean[self.servers :].reshape(2, self.devices)):
            rows[:] = np.bincount(device, share * loads[:, self.servers + column], minlength=self.devices)
        return mean

    def _refuse_pathless(self) -> None:
        _, cost, _ = self.decide(np.arange(self.templates))
        for k in np.flatnonzero(np.isinf(cost))[:1]:
            raise InputError(f"task {k}: no path, for want of links or allowed nodes; nothing can serve it")


def _flight(bits: Floats, per_bit: Floats) -> Floats:
    """Return seconds of transfer, (K, anything, N), inf where there is no link."""
    linked = np.isfinite(per_bit)[:, None, :]
    seconds: Floats = np.where(linked, bits[:, :, None] * np.where(linked, per_bit[:, None, :], 0.0), np.inf)
    return seconds


def _limits(instance: Instance) -> Floats:
    if instance.rules.deadline is Deadline.NONE:
        return np.full(instance.task_count, np.inf)
    total = instance.tasks.max_total_delay_s
    real = np.arange(instance.max_blocks) < instance.block_count[:, None]
    blocks = np.where(real, instance.tasks.max_delay_s, 0.0).sum(axis=1)
    limit: Floats = np.where(np.isfinite(total), total, blocks)
    return limit


def _refuse(instance: Instance) -> None:
    """Refuse by name what the simulator does not know."""
    missed = features.of(instance) - TAKES
    if missed:
        raise InputError(f"the simulator does not take {', '.join(sorted(missed))}")
    coupled = instance.rules.couplings - STANDINS
    if coupled:
        raise InputError(
            f"the simulator does not take the coupling {', '.join(sorted(coupled))}: it knows queues alone"
        )
    if instance.server_count >= MOST_NODES:
        raise InputError(f"{instance.server_count} servers, the simulator takes at most {MOST_NODES - 1}")
