"""One slot under the period: what its tasks' steps keep busy, and shortest paths by weighed seconds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mecopt import busy
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt_solvers.labels import path_kernels
from mecopt_solvers.labels.steps import StepSource
from mecopt_solvers.labels.unlimited_first import searched
from mecopt_solvers.period import target_kernels

WIDTH = 3  # resources that a step may keep busy: a node, a link or the radio, the radio for the result
FIRST_LABELS, MOST_LABELS = 1 << 14, 1 << 20


class Slot:
    """n tasks of M blocks on J nodes, R resources.

    What a step takes is `WIDTH` pairs of a resource and seconds, of which those that are not there are of
    resource R and 0 s.
    """

    def __init__(self, instance: Instance, costs: ChainCosts, source: StepSource, tasks: Ints) -> None:
        self.tasks, self.bit = tasks, source.bit
        steps = source.of(tasks)
        self.shape = steps.cost.shape
        real = np.arange(self.shape[1]) < steps.blocks[:, None]
        a, m, i, j = np.nonzero(np.isfinite(steps.cost) & real[:, :, None, None])
        row, step, seconds = busy.entries(instance, costs, tasks[a], m, i, j)
        names, at = np.unique(row, return_inverse=True)
        self.resources = len(names)
        flat = np.ravel_multi_index((a, m, i, j), self.shape)[step]
        order = np.argsort(flat, kind="stable")
        flat, at, seconds = flat[order], at[order], seconds[order]
        place = np.arange(len(flat)) - np.searchsorted(flat, flat)  # among those of the same step
        size = int(np.prod(self.shape))
        self.row = np.full((size, WIDTH), self.resources, dtype=np.int64)
        self.seconds = np.zeros((size, WIDTH))
        self.row[flat, place], self.seconds[flat, place] = at, seconds
        self.closed = np.where(np.isfinite(steps.cost), 0.0, np.inf)
        self.longest = self.seconds.max(axis=1).reshape(self.shape)
        self.busy = self.row.reshape(*self.shape, WIDTH), self.seconds.reshape(*self.shape, WIDTH)
        self.server = np.full(self.shape[2], -1)  # (J,) its resource
        calculating = np.flatnonzero(names % busy.resources(instance) < instance.server_count)
        self.server[names[calculating] % busy.resources(instance) + 1] = calculating
        own = self._of_devices(instance, names)
        self.steps = dataclasses.replace(steps, use=np.concatenate([steps.use, own], axis=1))

    def _of_devices(self, instance: Instance, names: Ints) -> Floats:
        """Return the seconds of every step on its device and on the device's radio, (n, 2, M, J, J)."""
        servers, devices = instance.server_count, len(instance.devices)
        kind = np.append((names % busy.resources(instance) - servers) // devices, -1)  # below 0: a server
        kind[:-1][names % busy.resources(instance) < servers] = -1
        own = [np.where(kind[self.row] == one, self.seconds, 0.0).sum(axis=1) for one in (0, 1)]
        return np.stack([seconds.reshape(self.shape) for seconds in own], axis=1)

    def moves(self, most: float) -> tuple[Any, ...]:
        """Return the steps as the kernels move tasks among them, nothing of one task busy beyond `most`."""
        steps = self.steps
        side = np.concatenate([steps.side, np.full((len(steps.side), 2), most)], axis=1)
        return (*self.busy, self.longest + self.closed, steps.use, side, self.bit, steps.blocks)

    def alone(self, path: Ints) -> Floats:
        """Return for how long paths (n, M) keep something busy that is their task's own or a step's, (n,)."""
        before = np.concatenate([np.zeros((len(path), 1), dtype=np.int64), path[:, :-1]], axis=1)
        real, at = path >= 0, (np.arange(len(path))[:, None], np.arange(path.shape[1]))
        where = (*at, np.maximum(before, 0), np.maximum(path, 0))
        longest = np.where(real, self.longest[where], 0.0).max(axis=1)
        own = np.moveaxis(self.steps.use[:, -2:], 1, 0)  # of the device and its radio
        sums = [np.where(real, one[where], 0.0).sum(axis=1) for one in own]
        found: Floats = np.maximum(longest, np.maximum(*sums))
        return found

    def price(self, weight: Floats, most: float = np.inf, *, by_delay: bool = False) -> tuple[Floats, Ints]:
        """Return every task's least seconds weighed by weight (R,), or a bound on them, and its path.

        With `by_delay` its delay, as its steps cost, counts too. No step of the path, nor its device or
        radio, is busy for longer than `most`.

        Returns
        -------
        value : (n,) inf = no path
        path : (n, M), -1 where none was found
        """
        worth = np.append(weight, 0.0)
        cost = (worth[self.row] * self.seconds).sum(axis=1).reshape(self.shape)
        cost += self.steps.cost if by_delay else self.closed
        cost[self.longest > most] = np.inf
        side = self.steps.side
        side = np.concatenate([side, np.full((len(side), 2), most)], axis=1)
        steps, bit = dataclasses.replace(self.steps, cost=cost, side=side), self.bit
        value, worth = np.empty(len(cost)), np.empty(len(cost))
        path = np.empty(cost.shape[:2], dtype=np.int64)
        path_kernels.free(cost, steps.use, side, steps.dear, steps.blocks, bit, value, worth, path)
        left, room = np.flatnonzero(np.isfinite(value) & np.isinf(worth)), FIRST_LABELS
        while len(left) and room <= MOST_LABELS:
            status, _, bound, found = searched(steps, left, np.full(len(left), np.inf), bit, room)
            value[left], path[left] = bound, found
            left = left[status == path_kernels.FULL]
            path[left] = -1
            room *= 8
        path[np.isinf(value)] = -1
        return value, path

    def delays(self, task: Ints, path: Ints) -> Floats:
        """Return what the steps of paths (P, M) of tasks (P,) cost, (P,)."""
        m, real = np.arange(self.shape[1]), path >= 0
        before = np.concatenate(
            [np.zeros((len(path), 1), dtype=np.int64), np.maximum(path[:, :-1], 0)], axis=1
        )
        cost = self.steps.cost[task[:, None], m, before, np.maximum(path, 0)]
        total: Floats = np.where(real, cost, 0.0).sum(axis=1)
        return total

    def columns(self, task: Ints, path: Ints) -> tuple[Ints, Floats]:
        """Return what paths (P, M) of tasks (P,) keep busy: resources and seconds, (P, W) each, padded."""
        stages = self.shape[1]
        before = np.concatenate([np.zeros((len(path), 1), dtype=np.int64), path[:, :-1]], axis=1)
        m = np.broadcast_to(np.arange(stages), path.shape)
        here = np.broadcast_to(task[:, None], path.shape)
        real = path >= 0
        flat = np.ravel_multi_index((here, m, np.maximum(before, 0), np.maximum(path, 0)), self.shape)
        row = np.where(real[:, :, None], self.row[flat], self.resources).reshape(len(path), -1)
        seconds = np.where(real[:, :, None], self.seconds[flat], 0.0).reshape(len(path), -1)
        row, seconds = row.copy(), seconds.copy()
        target_kernels.pack(row, seconds, self.resources)
        width = max(1, int((row < self.resources).sum(axis=1).max(initial=0)))
        return row[:, :width].copy(), seconds[:, :width].copy()
