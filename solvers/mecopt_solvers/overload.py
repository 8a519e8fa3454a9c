"""Slots that cannot hold their tasks: which server, or all of them together, and by how much.

A sufficient sign only. What no placement of a task avoids is added up, task by task: on one server of a slot,
and on all of them. Where that is more than there is nothing is feasible, whatever couples the tasks beside.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats
from mecopt.instance import Instance
from mecopt.limits import CAPACITY, SHARING, Limit
from mecopt.tolerances import JUST_ABOVE
from mecopt.trellis_arcs import Arcs


def overloads(instance: Instance, arcs: Arcs) -> list[dict[str, Any]]:
    """Name the servers and slots whose tasks need more calculation than there is time for.

    Parameters
    ----------
    instance : Instance
    arcs : Arcs
        Of all tasks; steps of infinite weight cannot be taken.

    Returns
    -------
    list of dict
        Reasons, as a result has them; empty where this shows nothing.
    """
    return [
        reason
        for limit in (CAPACITY, SHARING)
        if limit in limits.of(instance)
        for reason in _of(limit, instance, arcs)
    ]


def _of(limit: Limit, instance: Instance, arcs: Arcs) -> list[dict[str, Any]]:
    use = np.broadcast_to(limit.alone(arcs, instance), arcs.weight.shape)
    use = np.where(np.isfinite(arcs.weight), use, np.inf)
    slots, at = np.unique(instance.tasks.slot[arcs.tasks], return_inverse=True)
    must = np.ones(len(arcs.tasks), dtype=bool)
    if arcs.costs.drop_cost is not None:
        must = np.isinf(arcs.costs.drop_cost[arcs.tasks])
    servers = instance.server_count
    reasons = []
    forced = np.zeros((len(slots), servers))
    for n in range(servers):
        only = np.zeros(servers + 1)
        only[n + 1] = 1.0
        forced[:, n] = np.bincount(at, _least(use, arcs, only, must), len(slots))
    rows = slots[:, None] * servers + np.arange(servers)
    room = limit.most(instance, rows)
    for s, n in zip(*np.nonzero(forced > room * JUST_ABOVE), strict=True):
        reasons.append(limit.too_little(instance, int(rows[s, n]), float(forced[s, n])))
    every = np.append(0.0, np.ones(servers))
    together = np.bincount(at, _least(use, arcs, every, must), len(slots))
    spare = np.where((forced > room * JUST_ABOVE).any(axis=1), np.inf, room.sum(axis=1))
    reasons.extend(
        _together(limit, int(slots[s]), float(spare[s]), float(together[s]))
        for s in np.flatnonzero(together > spare * JUST_ABOVE).tolist()
    )
    return reasons


def _least(use: Floats, arcs: Arcs, counts: Floats, must: np.ndarray) -> Floats:
    """Return the least that each task uses on the nodes that count, (K,); 0 where it has no path at all."""
    with np.errstate(invalid="ignore"):
        mine = np.where(np.isinf(use), np.inf, use * counts)
    after = np.zeros((len(use), use.shape[3]))
    for m in range(use.shape[1] - 1, -1, -1):
        real = (m < arcs.blocks)[:, None]
        after = np.where(real, (mine[:, m] + after[:, None, :]).min(axis=2), after)
    least = after[:, 0]
    return np.where(np.isfinite(least) & must, least, 0.0)


def _together(limit: Limit, slot: int, room: float, least: float) -> dict[str, Any]:
    unit = f" {limit.unit}" if limit.unit else ""
    what = "load" if limit is SHARING else "calculation"
    return {
        "kind": limit.kind,
        "where": {"slot": slot},
        "limit": room,
        "value": least,
        "message": f"slot {slot}: the least {what} that its tasks put on all servers together is "
        f"{least:.6g}{unit}, at most {room:.6g}{unit} fits ({least - room:.3g}{unit} too much)",
    }
