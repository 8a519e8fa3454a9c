"""Measured seconds by hardware: names that nothing measures, blocks that would be free by omission."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mecopt.entities import Block, Device, PerPhase, Server
from mecopt.errors import shown

ESTIMATE = "estimate:"  # in front of the name of hardware whose seconds are estimates
MOST_NAME = 60  # characters of a name that are compared with others

if TYPE_CHECKING:
    from mecopt.instance import Instance


def warn_of_unmeasured(instance: Instance) -> None:
    """Warn of every kind of hardware that nothing measures; the warning points outside mecopt."""
    for doubt in unmeasured(instance):
        level, frame = 1, sys._getframe(0)
        while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "mecopt":
            level, frame = level + 1, frame.f_back
        warnings.warn(doubt, stacklevel=level)


def unmeasured(instance: Instance) -> list[str]:
    """Return one line for every kind of hardware of which no block has seconds, measured or to start."""
    blocks = [block for model in instance.models for block in model.blocks]
    measured = {kind for b in blocks for kind in (*b.measured_seconds, *b.start_seconds)}
    nodes: list[tuple[str, Sequence[Device | Server]]] = [
        ("devices", instance.devices),
        ("servers", instance.servers),
    ]
    found: dict[str, list[str]] = {}
    for part, members in nodes:
        for i, member in enumerate(members):
            if member.hardware is not None and member.hardware not in measured:
                found.setdefault(member.hardware, []).append(f"{part}[{i}].hardware")
    return [
        f"{places[0]}{_and_others(len(places) - 1)}: no block has measured seconds for {shown(kind)}"
        f"{_nearest(kind, measured)}; cycles count there"
        for kind, places in found.items()
    ]


def estimated(instance: Instance) -> list[str]:
    """Return the kinds of hardware of an instance whose seconds are estimates, not measured."""
    nodes: list[Device | Server] = [*instance.devices, *instance.servers]
    kinds = {node.hardware for node in nodes}
    return sorted(kind for kind in kinds if kind is not None and kind.startswith(ESTIMATE))


def unknown_times(instance: Instance) -> list[str]:
    """Return one line for every block on a node whose calculation nothing in the instance tells.

    The links and `allow` let a task run it there, but it is not measured there, the node has no memory
    rate, and cycles or speed are missing. A block of no cycles that is measured elsewhere is taken for one
    whose cycles were left out: nothing may be free by omission. One measured nowhere is free on purpose.
    """
    nodes: list[tuple[str, Device | Server]] = [
        *((f"devices[{d}]", device) for d, device in enumerate(instance.devices)),
        *((f"servers[{n}]", server) for n, server in enumerate(instance.servers)),
    ]
    slow = any(node.cycles_per_s is None for _, node in nodes)
    problems: list[str] = []
    for i, model in enumerate(instance.models):
        doubtful = [m for m, b in enumerate(model.blocks) if slow or not _counts(b)]
        if not doubtful:
            continue
        may_run = np.concatenate(_reached(instance, i), axis=1)  # (blocks, devices + servers)
        problems += [
            f"models[{i}].blocks[{m}]: block {shown(model.blocks[m].name)} has neither {lack} for {place} "
            f"{shown(node.name)} ({_kind(node)}), which may run it, expected one of them"
            f"{_meant(model.blocks[m], node)}"
            for m in doubtful
            for at, (place, node) in enumerate(nodes)
            if may_run[m, at] and (lack := _lacks(model.blocks[m], node))
        ]
    return problems


def _counts(block: Block) -> bool:
    """Say whether a block has cycles that are not left out."""
    return block.cycles is not None and not (_none(block.cycles) and block.measured_seconds)


def _none(cycles: PerPhase) -> bool:
    return not (any(cycles) if isinstance(cycles, tuple) else cycles)


def _lacks(block: Block, node: Device | Server) -> str:
    """Say what is missing to know how long a block takes on a node, nothing where it is known."""
    if node.hardware in block.measured_seconds or node.memory_bytes_per_s is not None:
        return ""
    if block.cycles is not None and _none(block.cycles) and block.measured_seconds:
        return "cycles nor measured seconds"
    if block.cycles is None or node.cycles_per_s is None:
        what = "cycles" if block.cycles is None else "a cycles_per_s"
        return f"measured seconds nor {what} nor memory_bytes_per_s"
    return ""


def _meant(block: Block, node: Device | Server) -> str:
    return _nearest(node.hardware or "", set(block.measured_seconds))


def _reached(instance: Instance, model: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which nodes links and `allow` let run the blocks of a model's tasks.

    Returns
    -------
    devices : array of shape (blocks, devices)
        Those that have a task of the model; without `allow` a device may run every block.
    servers : array of shape (blocks, servers)
        Whether a server may run a block: within so many steps from the device, and with a way on to a node
        from which the result may return, where it has to.
    """
    mine = instance.tasks.model == model
    blocks, servers = len(instance.models[model].blocks), instance.server_count
    devices = np.bincount(instance.tasks.device[mine], minlength=len(instance.devices)) > 0
    hop = (instance.links.server_bps > 0) | np.eye(servers, dtype=bool)
    up, down = instance.tasks.rate_bps[mine] > 0, instance.tasks.back_bps[mine] > 0
    found = np.zeros((blocks, servers), dtype=bool)
    for both in np.unique(np.concatenate([up, down], axis=1), axis=0):
        radio, way = np.split(both, 2)
        ahead, back = [radio], [way | (not instance.rules.return_result)]
        for _ in range(blocks - 1):
            ahead.append(radio | (ahead[-1] @ hop))
            back.append(way | (hop @ back[-1]))
        found |= np.array(ahead) & np.array(back[::-1])
    own = np.broadcast_to(devices, (blocks, len(devices)))
    if instance.barred is None:
        return own, found
    free = ~instance.barred[mine, :blocks]
    tasks_of = instance.tasks.device[mine]
    own = np.array([free[tasks_of == d, :, 0].any(axis=0) for d in range(len(devices))]).T
    return own, found & free[:, :, 1:].any(axis=0)


def _kind(node: Device | Server) -> str:
    return "no hardware named" if node.hardware is None else f"hardware {shown(node.hardware)}"


def _and_others(count: int) -> str:
    return f" and {count} more" if count else ""


def _nearest(kind: str, measured: set[str]) -> str:
    names = {name.casefold(): name for name in sorted(measured)}  # most often only the case is wrong
    match = difflib.get_close_matches(kind[:MOST_NAME].casefold(), names, n=1) if kind else []
    return f", did you mean {shown(names[match[0]])}?" if match else ""
