"""Instances from imported models, profiles of machines, and the links between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError, shown
from mecopt.hardware import ESTIMATE
from mecopt.profiling import links as tables
from mecopt.profiling.profile_document import ProfileDoc

if TYPE_CHECKING:
    from mecopt.importing.model_document import ModelDocument
    from mecopt.instance import Instance


@dataclass
class MachineTimes:
    """A machine: its kind of hardware, and what it takes for each model by the model's name."""

    name: str
    hardware: str
    profiles: dict[str, ProfileDoc] = field(default_factory=dict)


def nodes(
    models: Sequence[tuple[str, ModelDocument]], profiles: Sequence[tuple[str, ProfileDoc | None]]
) -> list[MachineTimes]:
    """Return the machines that profiles describe, in the order in which they come first.

    Profiles of one hardware for several models are one machine; a profile of a model that it has already, as
    where a file is given twice, is another machine of that kind.

    Parameters
    ----------
    models, profiles : sequence of (file, document)
        None in place of a profile is a machine whose name is the first, which models have themselves.

    Raises
    ------
    InputError
        If a profile is of none of the models, or a machine lacks a model.
    """
    found: list[MachineTimes] = []
    for file, profile in profiles:
        if profile is None:
            earlier = sum(node.hardware == file for node in found)
            found.append(MachineTimes(f"{file}-{earlier + 1}" if earlier else file, file))
            continue
        name = _model_of(profile, file, models)
        kind = profile.hardware
        same = [node for node in found if node.hardware == kind]
        if any(node.profiles.get(name, profile) != profile for node in same):
            expected = "expected one for machines of a kind, or other names of hardware"
            raise InputError(
                f"--profiles {file}: hardware {shown(kind)} has another profile already, {expected}"
            )
        node = next((node for node in same if name not in node.profiles), None)
        if node is None:
            node = MachineTimes(f"{kind}-{len(same) + 1}" if same else kind, kind)
            found.append(node)
        node.profiles[name] = profile
    problems = [
        f"--profiles: none of model {shown(name)} on {shown(node.name)}, expected one of each model on each"
        " machine"
        for node in found
        for _, document in models
        if (name := document.model.name) not in node.profiles and not measured(document, node.hardware)
    ]
    if len(found) < 2:
        machines = "1 machine" if found else "no machine"
        problems.append(f"--profiles: {machines}, expected at least two: a device, then servers")
    if problems:
        raise InputError(problems)
    return found


def measured(model: ModelDocument, hardware: str) -> bool:
    """Say whether a model has the seconds of all its blocks there by itself, as from a table."""
    return all(hardware in block.measured_seconds for block in model.model.blocks)


def _model_of(profile: ProfileDoc, file: str, models: Sequence[tuple[str, ModelDocument]]) -> str:
    """Return the name of the model that a profile is of."""
    if profile.model is None:
        raise InputError(
            "holds constants of a machine, expected times of a model: `mecopt profile MODEL --estimate "
            f"{file}` makes them",
            file,
        )
    for _, document in models:
        if document.sha256 == profile.model.sha256:
            return document.model.name
    names = [block.name for _, d in models if d.model.name == profile.model.name for block in d.model.blocks]
    why = f"model {shown(profile.model.name)}, sha256 {profile.model.sha256[:12]}…"
    if names and names != profile.model.blocks:
        why = f"{len(profile.model.blocks)} blocks where the model has {len(names)}, or other names"
    given = ", ".join(f"{name} has {d.sha256[:12]}…" for name, d in models)
    raise InputError(f"model.sha256: a profile of another model ({why}; {given})", file)


def instance(
    models: Sequence[tuple[str, ModelDocument]],
    profiles: Sequence[tuple[str, ProfileDoc | None]],
    links: str,
    *,
    name: str,
) -> Instance:
    """Make an instance: a task for each model on the device, the first machine; the others are servers.

    Parameters
    ----------
    models, profiles : sequence of (file, document)
    links : str
        CSV file of the links.
    name : str

    Raises
    ------
    InputError
        If the parts do not fit together.
    """
    from mecopt import io

    machines = nodes(models, profiles)
    called = [[node.name, *_plain(node.name, machines)] for node in machines]
    found = tables.read(links, called)
    return io.from_dict(_document([d for _, d in models], machines, found, name))


def _plain(name: str, machines: Sequence[MachineTimes]) -> list[str]:
    """Return the name without the word for an estimate, if no other machine is called so."""
    short = name.removeprefix(ESTIMATE)
    return [short] if short != name and short not in [node.name for node in machines] else []


def _document(
    models: Sequence[ModelDocument], machines: Sequence[MachineTimes], links: tables.Links, name: str
) -> dict[str, Any]:
    device, *servers = machines
    count = len(servers)
    up = [links.get((0, n), tables.NO_LINK) for n in range(1, count + 1)]
    down = [links.get((n, 0), tables.NO_LINK) for n in range(1, count + 1)]
    task: dict[str, Any] = {"slot": 0, "device": device.name, "rate_bps": [link.rate_bps for link in up]}
    if [link.rate_bps for link in down] != task["rate_bps"]:
        task["down_rate_bps"] = [link.rate_bps for link in down]
    pairs = [[links.get((i, j), tables.NO_LINK) for j in range(1, count + 1)] for i in range(1, count + 1)]
    return {
        "format": "mecopt-instance/2",
        "name": name,
        "description": description(machines),
        "origin": {"profiles": [_origin(profile) for node in machines for profile in node.profiles.values()]},
        "slots": {"count": 1},
        "rules": {"preset": "physical", "deadline": "none"},
        "models": [_model(model, machines) for model in models],
        "devices": [{"name": device.name, "hardware": device.hardware}],
        "servers": [{"name": node.name, "hardware": node.hardware} for node in servers],
        "links": {
            "server_bps": [[link.rate_bps for link in row] for row in pairs],
            "server_latency_s": [[link.latency_s for link in row] for row in pairs],
            "device_latency_s": [_latency(a, b) for a, b in zip(up, down, strict=True)],
        },
        "tasks": [{**task, "model": model.model.name} for model in models],
    }


def _latency(up: tables.Link, down: tables.Link) -> float:
    """Return the one latency that an instance has for both ways: their mean, where both are links."""
    if up.rate_bps and down.rate_bps:
        return 0.5 * (up.latency_s + down.latency_s)
    return up.latency_s if up.rate_bps else down.latency_s


def _model(document: ModelDocument, machines: Sequence[MachineTimes]) -> dict[str, Any]:
    """Return a model with the seconds of every machine; cycles, which no machine needs, are kept."""
    from mecopt.documents import model_dict

    model = model_dict(document.model)
    for m, block in enumerate(model["blocks"]):
        own = [(node.hardware, node.profiles.get(document.model.name)) for node in machines]
        times = {kind: profile.blocks[m] for kind, profile in own if profile is not None}
        for name, figure in (("measured_seconds", "seconds"), ("start_seconds", "start_seconds")):
            block[name] = {**block.get(name, {}), **{k: getattr(time, figure) for k, time in times.items()}}
    return model


def description(machines: Sequence[MachineTimes]) -> str:
    """Say how the seconds of an instance came to be."""
    made = [node.hardware for node in machines if any(p.kind == "estimate" for p in node.profiles.values())]
    kinds = list(dict.fromkeys(node.hardware for node in machines))
    others = [kind for kind in kinds if kind not in made]
    parts = [f"seconds measured on {', '.join(others)}"] if others else []
    if made:
        parts.append(f"seconds estimated, not measured, on {', '.join(dict.fromkeys(made))}")
    return "; ".join(parts)


def _origin(profile: ProfileDoc) -> Mapping[str, Any]:
    verdict = None if profile.steadiness is None else profile.steadiness.verdict
    return {
        "hardware": profile.hardware,
        "kind": profile.kind,
        "model": None if profile.model is None else profile.model.name,
        "date": profile.date,
        "runtime": f"{profile.runtime.name} {profile.runtime.version}",
        "threads": profile.runtime.threads,
        "cpu_model": profile.machine.cpu_model,
        "steadiness": verdict,
    }
