"""Problem P exactly: one shortest path per task through the block chain, all tasks at once.

Nothing in P (Eq. 10) joins two tasks, and what a step costs depends only on the nodes of two blocks that
follow each other. So the optimum of a task is a shortest path through a trellis of M stages and N + 1
nodes: O(M N) when all server links are alike, because the best predecessor on another server is then
the stage's minimum, and O(M N^2) when they differ.

Of predecessors that give the same sum, to the last bit, the lowest is taken. So all kernels agree to the last
bit, in the values and in the placements.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.stop import COMPILER

Kernel = Literal["auto", "numpy", "numba"]

# Below this many arcs numpy is done before numba is even imported (benchmarks/trellis.py); those of all calls
# count together, so that a process that goes on asking has it soon.
NUMBA_ARCS = 30_000_000
CHUNK = 4096  # tasks that numpy works on at a time, so that they stay in the cache


@dataclass(frozen=True, eq=False)
class Paths:
    """The shortest path of every task."""

    value: Floats  # (K,) objective in seconds, penalty and result return included; inf = no path
    placement: Ints  # (K, M) nodes, -1 behind the end of shorter models and where there is no path


def shortest_paths(
    costs: ChainCosts, node_cost: Floats | None = None, *, kernel: Kernel = "auto", threads: int = 1
) -> Paths:
    """Find the placement of least objective of every task, couplings ignored.

    Parameters
    ----------
    costs : ChainCosts
        The figures of K tasks.
    node_cost : array of shape (K, M, N + 1), optional
        Added for running a block on a node; inf forbids it.
    kernel : {"auto", "numpy", "numba"}
        All give the same bits. "auto" takes numba for many arcs, or when it is loaded already. Costs that are
        not `plain` are looked for among single arcs, whatever the kernel.
    threads : int
        Threads of the numba kernel.

    Returns
    -------
    Paths
        Ties go to the lowest node index, first for the last block, then for each one before it.
    """
    if not costs.plain:
        return _wide(costs, node_cost)
    if kernel == "auto":
        compiled = "mecopt.trellis_numba" in sys.modules
        kernel = "numba" if compiled or _asked(costs.arcs) > NUMBA_ARCS else "numpy"
    if kernel == "numba":
        with COMPILER.loading():
            from mecopt import trellis_numba

        return Paths(*trellis_numba.shortest_paths(costs, node_cost, threads))
    parts = []
    for start in range(0, len(costs.blocks), CHUNK):
        rows = slice(start, start + CHUNK)
        parts.append(_Stages(costs, rows, None if node_cost is None else node_cost[rows]).solve())
    values, placements = zip(*parts, strict=True)
    return Paths(np.concatenate(values), np.concatenate(placements))


def _asked(arcs: int) -> int:
    """Count arcs that numpy is asked to work on; return how many there were in this process."""
    global _arcs
    _arcs += arcs
    return _arcs


_arcs = 0


def _wide(costs: ChainCosts, node_cost: Floats | None) -> Paths:
    """Find the shortest paths of costs that only the arcs know; a task is left out where that is cheaper."""
    from mecopt.trellis_arcs import build_arcs, shortest

    parts = []
    for start in range(0, len(costs.blocks), CHUNK):
        tasks = np.arange(start, min(start + CHUNK, len(costs.blocks)))
        arcs = build_arcs(costs, tasks, node_cost)
        parts.append(shortest(arcs.weight, arcs.blocks))
    values, placements = zip(*parts, strict=True)
    value, placement = np.concatenate(values), np.concatenate(placements)
    if costs.drop_cost is not None:
        left_out = costs.drop_cost < value
        value, placement = np.where(left_out, costs.drop_cost, value), placement.copy()
        placement[left_out] = -1
    return Paths(value, placement)


class _Stages:
    """The numpy kernel on some of the tasks, stage by stage: J = N + 1 nodes, K tasks of the slice.

    Tasks are the last axis of every array, since numpy is slow along short rows.
    """

    def __init__(self, costs: ChainCosts, rows: slice, node_cost: Floats | None) -> None:
        self.costs, self.blocks, self.group = costs, costs.blocks[rows], costs.group[rows]
        self.node_cost = None if node_cost is None else node_cost.transpose(1, 2, 0)  # (M, J, K)
        self.batch, self.device_s = costs.batch[rows], costs.device_s[rows].T  # (M, K)
        self.bits, self.result_bits = costs.bits[rows].T, costs.result_bits[rows]
        send_s = costs.send_s[rows].T  # (N, K)
        self.unlinked = ~np.isfinite(send_s)
        self.every_link = not self.unlinked.any()
        self.send_bits = send_s if self.every_link else np.where(self.unlinked, 0.0, send_s)
        self.tau, self.limit = costs.tau[rows].T, costs.limit[rows].T
        self.hard = bool(np.isfinite(self.limit).any())
        self.tasks = np.arange(len(self.blocks))
        self.servers = len(send_s)

    def solve(self) -> tuple[Floats, Ints]:
        stages = len(self.device_s)
        values = np.empty((stages, self.servers + 1, len(self.tasks)))
        reached = values  # values before the cost of the node itself is added
        if self.node_cost is not None:
            reached = np.empty_like(values)
        for m in range(stages):
            self._first(reached[0]) if m == 0 else self._forward(m, values[m - 1], reached[m])
            if self.node_cost is not None:
                np.add(reached[m], self.node_cost[m], out=values[m])
        return self._backward(values, reached)

    def _weight(self, m: int, trans: Floats | float, calc: Floats) -> Floats:
        """Objective of a step; `trans` and `calc` are (anything, K)."""
        delay = trans + calc
        weight = delay
        if self.costs.penalty > 0:
            weight = delay + self.costs.penalty * np.maximum(delay - self.tau[m], 0.0)
        return np.where(delay > self.limit[m], np.inf, weight) if self.hard else weight

    def _calc(self, m: int) -> Floats:
        """Seconds of block m on every node, (J, K)."""
        calc = np.empty((self.servers + 1, len(self.tasks)))
        calc[0] = self.device_s[m]
        np.multiply(self.batch, self.costs.server_s[:, m].T[:, self.group], out=calc[1:])
        return calc

    def _radio(self, bits: Floats) -> Floats:
        """Seconds to move the bits between device and every server, (N, K)."""
        seconds = bits * self.send_bits
        seconds += self.costs.send_lat[:, None]
        if not self.every_link:
            seconds[self.unlinked] = np.inf
        return seconds

    def _return(self, m: int) -> Floats | float:
        """Seconds of the step back to the device from every server, (N, K) or the same for all."""
        if self.costs.return_transfer:
            return self._radio(self.bits[m])
        return 0.0 if self.every_link else np.where(self.unlinked, np.inf, 0.0)

    def _first(self, value: Floats) -> None:
        calc = self._calc(0)
        value[0] = self._weight(0, 0.0, calc[0])
        value[1:] = self._weight(0, self._radio(self.bits[0]), calc[1:])

    def _forward(self, m: int, before: Floats, value: Floats) -> None:
        calc = self._calc(m)
        np.add(before, self._weight(m, 0.0, calc), out=value)  # staying
        back = before[1:] + self._weight(m, self._return(m), calc[0])
        np.minimum(value[0], back.min(axis=0), out=value[0])
        send = self._weight(m, self._radio(self.bits[m]), calc[1:])
        np.minimum(value[1:], before[0] + send, out=value[1:])
        if self.servers == 1:
            return
        if self.costs.uniform:
            hop = self._weight(m, self._hop(m, 0, slice(1, 2)), calc[1:])
            # The least of all servers, j itself included: staying there is never dearer than a hop to itself.
            np.minimum(value[1:], before[1:].min(axis=0) + hop, out=value[1:])
            return
        for i in range(self.servers):
            hop = before[i + 1] + self._weight(m, self._hop(m, i, slice(None)), calc[1:])
            np.minimum(value[1:], hop, out=value[1:])

    def _hop(self, m: int, i: int | slice, j: Ints | slice) -> Floats:
        """Seconds of the step from server i to servers j, or from servers i to j of each task, (any, K)."""
        per_bit, latency = self.costs.hop_s[i, j], self.costs.hop_lat[i, j]
        if per_bit.ndim == 1:
            per_bit, latency = per_bit[:, None], latency[:, None]
        linked = np.isfinite(per_bit)
        seconds: Floats = latency + self.bits[m] * np.where(linked, per_bit, 0.0)
        return seconds if linked.all() else np.where(linked, seconds, np.inf)

    def _backward(self, values: Floats, reached: Floats) -> tuple[Floats, Ints]:
        ends = values[self.blocks - 1, :, self.tasks].T  # a copy, (J, K)
        if self.costs.return_result:
            ends[1:] += self._radio(self.result_bits)
        node = ends.argmin(axis=0)
        best = ends[node, self.tasks]
        placement = np.full((len(self.tasks), len(values)), -1, dtype=np.int64)
        for m in range(len(values) - 1, -1, -1):
            real = m < self.blocks
            placement[real, m] = node[real]
            if m > 0:
                node = np.where(real, self._predecessor(m, node, values[m - 1], reached[m]), node)
        placement[np.isinf(best)] = -1
        return best, placement

    def _predecessor(self, m: int, node: Ints, before: Floats, value: Floats) -> Ints:
        """Return the lowest node from which the value of `node` at stage m comes, (K,)."""
        on_server = node > 0
        server = np.maximum(node - 1, 0)
        radio = self.costs.send_lat[server] + self.bits[m] * self.send_bits[server, self.tasks]
        if not self.every_link:
            radio[self.unlinked[server, self.tasks]] = np.inf
        seconds = self.batch * self.costs.server_s[self.group, m, server]
        trans = np.empty_like(before)
        trans[0] = np.where(on_server, radio, 0.0)
        trans[1:] = self._return(m)
        if self.servers > 1:
            every = self.costs.uniform
            hop = self._hop(m, 0, slice(1, 2)) if every else self._hop(m, slice(None), server)
            np.copyto(trans[1:], hop, where=on_server)
        trans[node, self.tasks] = 0.0
        total = before + self._weight(m, trans, np.where(on_server, seconds, self.device_s[m]))
        found: Ints = (total == value[node, self.tasks]).argmax(axis=0)
        return found


def infeasible_tasks(
    instance: Instance, costs: ChainCosts, paths: Paths, node_cost: Floats | None = None
) -> list[dict[str, Any]]:
    """Say for every task without a path why no placement can serve it.

    Returns
    -------
    list of dict
        ``kind`` ("deadline", "link" or "ban"), ``where`` (task and block), ``limit`` (tau, or None),
        ``value`` (the smallest delay that the block can have, or None) and ``message``.
    """
    return [_reason(instance, costs, int(k), node_cost) for k in np.flatnonzero(np.isinf(paths.value))]


def _reason(instance: Instance, costs: ChainCosts, k: int, node_cost: Floats | None) -> dict[str, Any]:
    """Follow the nodes that task k can reach, block by block, to the one where none is left."""
    from mecopt.trellis_arcs import delays as step_delays

    nodes, blocks = costs.send_s.shape[1] + 1, int(costs.blocks[k])
    allowed = (
        np.ones((blocks, nodes), dtype=bool) if node_cost is None else np.isfinite(node_cost[k, :blocks])
    )
    every = step_delays(costs, np.array([k]), result=False)[0]
    delays = [np.where(allowed[m], every[m], np.inf) for m in range(blocks)]
    # A block that is late whatever comes before it is the plainest reason, so this is asked first.
    for condition in ("", " after blocks that meet their own"):
        reachable = np.arange(nodes) == 0  # the chain starts on the device
        for m in range(blocks):
            delay = np.where(reachable[:, None], delays[m], np.inf)
            smallest = float(delay.min())
            if costs.limit[k, m] < smallest < np.inf:
                return _late(instance, k, m, smallest, condition)
            in_time = delay <= costs.limit[k, m] if condition else True
            reachable = (np.isfinite(delay) & in_time).any(axis=0)
            if not reachable.any():
                message = f"task {k}, block {m}: pins, bans and `allow` leave no node that can be reached"
                where = {"task": k, "block": m}
                return {"kind": "ban", "where": where, "limit": None, "value": None, "message": message}
    message = (
        f"task {k}: the result cannot return from any server that meets the deadlines, for want of a link"
    )
    return {
        "kind": "link",
        "where": {"task": k, "block": blocks},
        "limit": None,
        "value": None,
        "message": message,
    }


def _late(instance: Instance, k: int, m: int, smallest: float, condition: str) -> dict[str, Any]:
    tau = float(instance.tasks.max_delay_s[k, m])
    name = instance.models[instance.tasks.model[k]].blocks[m].name
    return {
        "kind": "deadline",
        "where": {"task": k, "block": m},
        "limit": tau,
        "value": smallest,
        "message": f"task {k}, block {m} ({name}): the smallest delay it can have{condition} is "
        f"{smallest:.9g} s, its tau is {tau:.9g} s",
    }
