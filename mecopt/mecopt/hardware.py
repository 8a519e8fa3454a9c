"""Measured seconds by hardware: names that nothing measures, blocks that would be free by omission."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mecopt.entities import Device, Server
from mecopt.errors import shown

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
    """Return one line for every kind of hardware for which no block has measured seconds."""
    measured = {kind for model in instance.models for b in model.blocks for kind in b.measured_seconds}
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


def free_blocks(instance: Instance) -> list[str]:
    """Return one line for every block of no cycles on a node that would run it for nothing by omission.

    It has measured seconds, but none for the node's hardware, and the links let a task run it there. A
    block of no cycles that is measured nowhere is free on purpose.
    """
    doubtful = [
        (i, m)
        for i, model in enumerate(instance.models)
        for m, block in enumerate(model.blocks)
        if block.cycles == 0 and block.measured_seconds
    ]
    problems: list[str] = []
    reached: dict[int, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}
    for i, m in doubtful:
        devices, servers = reached[i] if i in reached else reached.setdefault(i, _reached(instance, i))
        nodes: list[tuple[str, Device | Server, bool]] = [
            *((f"devices[{d}]", device, bool(devices[d])) for d, device in enumerate(instance.devices)),
            *((f"servers[{n}]", server, bool(servers[m, n])) for n, server in enumerate(instance.servers)),
        ]
        block = instance.models[i].blocks[m]
        problems += [
            f"models[{i}].blocks[{m}]: block {shown(block.name)} has neither cycles nor measured seconds for "
            f"{place} {shown(node.name)} ({_kind(node)}), which may run it, expected one of them"
            f"{_nearest(node.hardware or '', set(block.measured_seconds))}"
            for place, node, may_run in nodes
            if may_run and node.hardware not in block.measured_seconds
        ]
    return problems


def _reached(instance: Instance, model: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which nodes the links let run the blocks of a model's tasks.

    Returns
    -------
    devices : array of shape (devices,)
        Those that have a task of the model; a device may run every block.
    servers : array of shape (blocks, servers)
        Whether a server may run a block: within so many steps from the device, and with a way on to a node
        from which the result may return, where it has to.
    """
    mine = instance.tasks.model == model
    blocks, servers = len(instance.models[model].blocks), instance.server_count
    devices = np.bincount(instance.tasks.device[mine], minlength=len(instance.devices)) > 0
    hop = (instance.links.server_bps > 0) | np.eye(servers, dtype=bool)
    found = np.zeros((blocks, servers), dtype=bool)
    for radio in np.unique(instance.tasks.rate_bps[mine] > 0, axis=0):
        ahead, back = [radio], [radio | (not instance.rules.return_result)]
        for _ in range(blocks - 1):
            ahead.append(radio | (ahead[-1] @ hop))
            back.append(radio | (hop @ back[-1]))
        found |= np.array(ahead) & np.array(back[::-1])
    return devices, found


def _kind(node: Device | Server) -> str:
    return "no hardware named" if node.hardware is None else f"hardware {shown(node.hardware)}"


def _and_others(count: int) -> str:
    return f" and {count} more" if count else ""


def _nearest(kind: str, measured: set[str]) -> str:
    names = {name.casefold(): name for name in sorted(measured)}  # most often only the case is wrong
    match = difflib.get_close_matches(kind[:MOST_NAME].casefold(), names, n=1) if kind else []
    return f", did you mean {shown(names[match[0]])}?" if match else ""
