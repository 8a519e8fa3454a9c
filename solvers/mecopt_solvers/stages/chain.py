"""One task as the programme over stretches needs it: costs of steps, busy seconds, where stretches end."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mecopt import busy, limits
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.entities import OneRun
from mecopt.instance import Instance
from mecopt.tolerances import slack
from mecopt.trellis_arcs import build_arcs, delays

SAFE = 1.0 + 1e-9  # sums in other orders differ by less
RADIO, DEVICE, HELD = range(3)  # the sums over all stretches of a task


@dataclass(frozen=True, eq=False)
class StageChain:
    """A task of M blocks on J nodes; arrays as in `stage_kernels`, costs of two kinds."""

    cost: Floats  # (J, J, M) objective of the step, inf = forbidden
    delay: Floats  # (J, J, M) seconds
    link: Floats  # (J, J, M) seconds of the transfer of the step on a wired link or the radio
    begin: Floats  # (J, M) seconds of a block that begins a stretch
    stay: Floats  # (J, M) seconds of one that does not
    reach: Ints  # (J, M) behind which block a stretch must end
    bit: Ints  # (J,)
    use: Floats  # (3, J, J, M) seconds of radio and device, bytes on the device
    held: float  # bytes that the device may hold at most

    @property
    def sets(self) -> int:
        """Number of sets of nodes."""
        return int(self.bit.sum()) + 1

    def span(self, most_s: float) -> tuple[Ints, Ints]:
        """Return how few and how many blocks are done once a set of nodes has been used, (sets,) each.

        Nobody is busy for longer than `most_s`, so nodes that are left can do only so much of what is left.
        Work is counted in seconds of whichever node takes least for a block.
        """
        if np.isinf(most_s):
            return np.zeros(self.sets, dtype=np.int64), np.full(self.sets, self.begin.shape[1])
        seconds = np.minimum(self.begin, self.stay)
        least = seconds.min(axis=0)
        least[np.isinf(least)] = 0.0
        times = np.divide(seconds, least, out=np.full(seconds.shape, np.inf), where=least > 0).min(axis=1)
        done = np.append(0.0, np.cumsum(least))
        most = most_s / times
        used = np.full(self.sets, most[self.bit == 0].sum())
        for bit, able in zip(self.bit.tolist(), most.tolist(), strict=True):
            if bit:
                used += np.where(np.arange(self.sets) & bit, able, 0.0)
        left = most[self.bit == 0].sum() + most.sum() - used
        low = np.searchsorted(done, done[-1] / SAFE - left * SAFE)
        return low, np.searchsorted(done, used * SAFE, "right") - 1

    def without(self, link_s: float) -> Floats:
        """Return which steps keep no link busy for longer, as costs of 0 and inf, (J, J, M)."""
        return np.where((self.link <= link_s) & np.isfinite(self.cost), 0.0, np.inf)

    def shorter(self, most_s: float) -> StageChain:
        """Return it without what keeps the device or its radio busy for longer by itself."""
        return replace(self, cost=self.cost + self.without(most_s))


def chain_of(instance: Instance, costs: ChainCosts, k: int, node_cost: Floats | None) -> StageChain:
    """Work out the figures of task k."""
    blocks, nodes = int(instance.block_count[k]), instance.server_count + 1
    one = np.array([k])
    arcs = build_arcs(costs, one, node_cost)
    seconds, radio, wired = _busy(instance, costs, k, blocks, nodes)
    places = np.arange(nodes)
    stay = seconds[:, places, places].T.copy()
    other = (places + 1) % nodes  # the seconds of a block that begins do not depend on where it comes from
    begin = seconds[:, other, places].T.copy()
    begin[:, 0] = seconds[0, 0]
    begin[:, 1:] = np.where(np.isnan(begin[:, 1:]), np.inf, begin[:, 1:])
    bit = np.zeros(nodes, dtype=np.int64)
    counted = places if instance.rules.one_run is OneRun.ALL else places[1:]
    bit[counted] = 1 << np.arange(len(counted))
    held, most = _held(instance, k, blocks)
    use = np.zeros((3, nodes, nodes, blocks))
    use[RADIO] = np.moveaxis(radio, 0, 2)
    use[DEVICE, :, 0] = np.moveaxis(seconds[:, :, 0], 0, 1)
    use[HELD, :, 0] = held
    cost = np.moveaxis(arcs.weight[0, :blocks], 0, 2).copy()
    cost[1:, :, 0] = np.inf
    return StageChain(
        cost=cost,
        delay=np.moveaxis(delays(costs, one)[0, :blocks], 0, 2).copy(),
        link=np.moveaxis(np.maximum(radio, wired), 0, 2).copy(),
        begin=begin,
        stay=stay,
        reach=_reach(instance, k, begin, stay),
        bit=bit,
        use=np.where(np.isfinite(use), use, 0.0),
        held=most if bit[0] == 0 else np.inf,
    )


def _busy(
    instance: Instance, costs: ChainCosts, k: int, blocks: int, nodes: int
) -> tuple[Floats, Floats, Floats]:
    """Return the seconds of every step on its node, on the radio and on a wired link, (M, J, J) each."""
    m, i, j = (axis.ravel() for axis in np.indices((blocks, nodes, nodes)))
    row, step, seconds = busy.entries(instance, costs, np.full(len(m), k), m, i, j)
    servers, devices = instance.server_count, len(instance.devices)
    row = row % busy.resources(instance)
    kind = (row >= servers + devices).astype(np.int64) + (row >= servers + 2 * devices)
    tables = np.zeros((3, len(m)))
    np.add.at(tables, (kind, step), seconds)
    calc, radio, wired = tables.reshape(3, blocks, nodes, nodes)
    return calc, radio, wired


def _held(instance: Instance, k: int, blocks: int) -> tuple[Floats, float]:
    """Return the bytes of every block on the device, parts that blocks share apart, and the most of them."""
    if not limits.MEMORY.on(instance):
        return np.zeros(blocks), np.inf
    own = limits.MEMORY.sizes(instance)[instance.tasks.model[k], :blocks].copy()
    each = limits.MEMORY.each(instance)
    if each is not None:
        own += each[k, :blocks]
    memory = instance.devices[instance.tasks.device[k]].memory_bytes
    return own, np.inf if memory is None else float(slack(memory))


def _reach(instance: Instance, k: int, begin: Floats, stay: Floats) -> Ints:
    """Return behind which block a stretch ends at the latest, by memory and by a server's time, (J, M)."""
    nodes, blocks = begin.shape
    reach = np.full((nodes, blocks), blocks, dtype=np.int64)
    capacity = float(slack(instance.slot_s)) if limits.CAPACITY.on(instance) else np.inf
    memory = np.full(nodes, np.inf)
    if limits.MEMORY.on(instance):
        memory = limits.MEMORY.most(instance, limits.MEMORY.rows(instance, np.array([k]))[0])
    own, _ = _held(instance, k, blocks)
    parts = shared_parts(instance, k)
    for j in range(nodes):
        room = capacity if j > 0 else np.inf
        if np.isinf(room) and np.isinf(memory[j]):
            continue
        for m in range(blocks):
            held = _growing(own, parts, m)
            seconds = np.cumsum(np.concatenate([begin[j, m : m + 1], stay[j, m + 1 :]]))
            fits = (held <= memory[j]) & (seconds <= room)
            reach[j, m] = m + int(np.argmin(fits)) if not fits.all() else blocks
    return reach


def _growing(own: Floats, parts: list[tuple[float, NDArray[np.bool_]]], m: int) -> Floats:
    """Return the bytes of blocks m, m and m + 1, and so on."""
    held: Floats = np.cumsum(own[m:])
    for size, members in parts:
        held = held + size * (np.cumsum(members[m:]) > 0)
    return held


def shared_parts(instance: Instance, k: int) -> list[tuple[float, NDArray[np.bool_]]]:
    """Return parameters that blocks of a task share: bytes, and which of its blocks, (M,)."""
    model, blocks = int(instance.tasks.model[k]), int(instance.block_count[k])
    found = []
    for kind, size, members in limits.MEMORY.shared(instance):
        if kind == model:
            inside = np.zeros(blocks, dtype=bool)
            inside[list(members)] = True
            found.append((size, inside))
    return found
