"""Instances as the plain values of a file; defaults are left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.entities import (
    DELAY,
    ONE_PASS,
    PRESETS,
    Allow,
    Block,
    Device,
    Links,
    Model,
    OneRun,
    Rules,
    Server,
)
from mecopt.errors import InstanceError
from mecopt.instance import FORMAT, WIDER_FORMAT, Instance


def to_dict(instance: Instance, form: str | None = None) -> dict[str, Any]:
    """Return the instance as plain values in the form of the file; defaults are left out.

    Parameters
    ----------
    instance : Instance
    form : str, optional
        ``"mecopt-instance/1"`` or ``/2``; the least that has all its fields, if None.

    Raises
    ------
    InstanceError
        If the instance uses what that format does not have; the line names the first such field.
    """
    document = _document(instance)
    if form is not None:
        document["format"] = form
        if form != instance.format and form == FORMAT:
            _refuse_wider(document)
    return document


def _refuse_wider(document: dict[str, Any]) -> None:
    from mecopt import schema

    try:
        schema.parse(schema.INSTANCE, document)
    except InstanceError as error:
        raise InstanceError(f"{error.problems[0]} (what it holds needs {WIDER_FORMAT})") from None


def _document(instance: Instance) -> dict[str, Any]:
    document: dict[str, Any] = {"format": instance.format, "name": instance.name}
    if instance.description is not None:
        document["description"] = instance.description
    if instance.origin is not None:
        document["origin"] = dict(instance.origin)
    document |= {
        "slots": {"count": instance.slot_count, "seconds": instance.slot_s},
        "rules": _rules_dict(instance.rules),
        "models": [model_dict(model) for model in instance.models],
        "devices": [_part_dict(device) for device in instance.devices],
        "servers": [_part_dict(server) for server in instance.servers],
    }
    links = _links_dict(instance.links)
    if links:
        document["links"] = links
    if instance.allow:
        document["allow"] = [_allow_dict(entry) for entry in instance.allow]
    document["tasks"] = list(_task_dicts(instance))
    _add_wider(document["tasks"], instance)
    return document


def _rules_dict(rules: Rules) -> dict[str, Any]:
    switches = {name: getattr(rules, name) for name in PRESETS["paper"]}
    preset = next((name for name, values in PRESETS.items() if values == switches), None)
    return {
        **({"preset": preset} if preset else {"preset": "paper", **switches}),
        "deadline": rules.deadline.value,
        "deadline_penalty": rules.deadline_penalty,
        "couplings": sorted(c.value for c in rules.couplings),
        **({} if rules.objective == DELAY else {"objective": rules.objective.plain()}),
        **({} if rules.one_run is OneRun.NONE else {"one_run": rules.one_run.value}),
        **({} if rules.sharing is None else {"sharing": rules.sharing.value}),
    }


def _part_dict(part: Device | Server | Block) -> dict[str, Any]:
    """Return the fields of a part that say something, as copies."""
    return {
        f.name: _plain(value)
        for f in dataclasses.fields(part)
        if (value := getattr(part, f.name)) is not None and not _is_default(f, value)
    }


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    """Say whether a file may leave the field out: it is empty, or an added one that says nothing new."""
    if isinstance(value, Mapping):
        return not value
    return bool(field.metadata) and not isinstance(value, np.ndarray) and bool(value == field.default)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return list(value)
    return {key: _plain(v) for key, v in value.items()} if isinstance(value, Mapping) else value


def model_dict(model: Model) -> dict[str, Any]:
    """Return a model as an element of the `models` of a file."""
    document: dict[str, Any] = {"name": model.name, "output_bits": _plain(model.output_bits)}
    if model.phases != ONE_PASS:
        document["phases"] = [{"name": phase.name, "repeat": phase.repeat} for phase in model.phases]
    if model.shared_params:
        document["shared_params"] = [
            {"name": part.name, "bytes": part.bytes, "blocks": list(part.blocks)}
            for part in model.shared_params
        ]
    return document | {"blocks": [_part_dict(block) for block in model.blocks]}


def _allow_dict(entry: Allow) -> dict[str, Any]:
    return {name: value if isinstance(value, str) else list(value) for name, value in vars(entry).items()}


def _links_dict(links: Links) -> dict[str, Any]:
    if len(links.device_latency_s) == 1:
        fields: dict[str, NDArray[np.float64]] = {}
    else:
        fields = {"server_bps": links.server_bps, "server_latency_s": links.server_latency_s}
    off = ~np.eye(len(links.device_latency_s), dtype=bool)
    document: dict[str, Any] = {}
    for name, matrix in fields.items():
        values = np.unique(matrix[off])
        document[name] = float(values[0]) if values.size == 1 else matrix.tolist()
    latency = np.unique(links.device_latency_s)
    document["device_latency_s"] = float(latency[0]) if latency.size == 1 else links.device_latency_s.tolist()
    return {name: value for name, value in document.items() if value != 0.0 or name == "server_bps"}


def _task_dicts(instance: Instance) -> Iterator[dict[str, Any]]:
    tasks = instance.tasks
    devices = [device.name for device in instance.devices]
    models = [model.name for model in instance.models]
    rows = zip(
        *(
            c.tolist()
            for c in (
                tasks.slot,
                tasks.device,
                tasks.model,
                tasks.batch,
                tasks.rate_bps,
                tasks.max_delay_s,
                instance.block_count,
            )
        ),
        strict=True,
    )
    for slot, device, model, batch, rates, tau, count in rows:
        task = {"slot": slot, "device": devices[device], "model": models[model], "rate_bps": rates}
        if batch != 1:
            task["batch"] = batch
        delays = [None if value == np.inf else value for value in tau[:count]]
        if any(value is not None for value in delays):
            task["max_delay_s"] = delays[0] if len(set(delays)) == 1 else delays
        yield task


def _add_wider(documents: list[dict[str, Any]], instance: Instance) -> None:
    """Add to the tasks what only the wider format has."""
    tasks = instance.tasks
    for name in ("max_total_delay_s", "down_rate_bps", "weight", "drop_cost"):
        table = tasks.given(name)
        if table is not None:
            for document, value in zip(documents, table.tolist(), strict=True):
                if value not in (np.inf, 1.0) or (value == 1.0 and name != "weight"):
                    document[name] = value
    if tasks.given("max_phase_delay_s") is not None:
        for k in np.flatnonzero(np.isfinite(tasks.max_phase_delay_s).any(axis=1)).tolist():
            count = len(instance.models[tasks.model[k]].phases)
            limits = tasks.max_phase_delay_s[k, :count].tolist()
            documents[k]["max_total_delay_s"] = [None if v == np.inf else v for v in limits]
