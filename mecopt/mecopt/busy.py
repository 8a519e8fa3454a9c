"""What is busy, and for how long: the period in which a slot's tasks can come again and again.

The resources of a slot are each server, each device, each device's radio (both ways) and each wired link, one
for each direction. A resource is busy for the calculations or transfers on it, of all passes and of results
that return; latency, and transfers that the rules do not count, occupy nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance

if TYPE_CHECKING:
    from mecopt.judge import Evaluation


def resources(instance: Instance) -> int:
    """Return how many resources a slot has: servers, devices, radios, pairs of servers."""
    return instance.server_count * (1 + instance.server_count) + 2 * len(instance.devices)


def name(instance: Instance, row: int) -> dict[str, int | str]:
    """Name the resource of a row: slot, and node, device, radio or link."""
    slot, at = divmod(row, resources(instance))
    servers, devices = instance.server_count, len(instance.devices)
    if at < servers:
        return {"slot": slot, "node": at + 1}
    if at < servers + 2 * devices:
        radio, device = divmod(at - servers, devices)
        return {"slot": slot, "radio" if radio else "device": instance.devices[device].name}
    tail, head = divmod(at - servers - 2 * devices, servers)
    return {"slot": slot, "from": tail + 1, "to": head + 1}


def entries(
    instance: Instance, costs: ChainCosts, k: Ints, m: Ints, i: Ints, j: Ints
) -> tuple[Ints, Ints, Floats]:
    """Return what steps keep busy, C steps of task k into block m from node i to node j.

    Returns
    -------
    row : (E,) slot times `resources` plus resource
    step : (E,) which of the C steps
    seconds : (E,) inf over a missing link
    """
    servers, devices = instance.server_count, len(instance.devices)
    first = instance.tasks.slot[k] * resources(instance)
    own = instance.tasks.device[k]
    calc = np.where(
        j > 0, costs.batch[k] * costs.server_s[costs.group[k], m, np.maximum(j - 1, 0)], costs.device_s[k, m]
    )
    if costs.start_s is not None:
        calc = calc + np.where((i != j) | (m == 0), costs.start_s[k, m, j], 0.0)
    node = first + np.where(j > 0, j - 1, servers + own)
    far = np.maximum(np.maximum(i, j) - 1, 0)
    radio, wired = (i == 0) != (j == 0), (i > 0) & (j > 0) & (i != j)
    counted = (j > 0) | costs.return_transfer
    per_bit = np.where(wired, costs.hop_s[np.maximum(i - 1, 0), np.maximum(j - 1, 0)], costs.send_s[k, far])
    per_bit = np.where(radio & (j == 0), costs.back_s[k, far], per_bit)
    moves = (radio & counted) | wired
    flight = _flight(per_bit, costs.bits[k, m])
    link = first + np.where(wired, servers + 2 * devices + (i - 1) * servers + j - 1, servers + devices + own)
    returns = (m == costs.blocks[k] - 1) & (j > 0) & costs.return_result
    result = _flight(costs.back_s[k, np.maximum(j - 1, 0)], costs.result_bits[k])
    steps = np.arange(len(k))
    return (
        np.concatenate([node, link[moves], (first + servers + devices + own)[returns]]),
        np.concatenate([steps, steps[moves], steps[returns]]),
        np.concatenate([calc, flight[moves], result[returns]]),
    )


def _flight(per_bit: Floats, bits: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(per_bit), np.inf, per_bit * bits)


def periods(judged: Evaluation) -> dict[int, tuple[float, int]]:
    """Return the period of every slot that has tasks: seconds, and the row of its busiest resource."""
    k, m = np.nonzero(judged.placement >= 0)
    j = judged.placement[k, m]
    i = np.where(m > 0, judged.placement[k, np.maximum(m - 1, 0)], 0)
    row, _, seconds = entries(judged.instance, judged.costs, k, m, i, j)
    rows, at = np.unique(row, return_inverse=True)
    busy = np.bincount(at, seconds, len(rows))
    slots = rows // resources(judged.instance)
    found: dict[int, tuple[float, int]] = {}
    for slot in np.unique(slots).tolist():
        mine = np.flatnonzero(slots == slot)
        busiest = mine[busy[mine].argmax()]
        found[slot] = (float(busy[busiest]), int(rows[busiest]))
    return found
