"""The JSON formats: between files, plain Python values and `Instance`."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

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
    Phase,
    Rules,
    Server,
    SharedParams,
    Tasks,
    name_problems,
)
from mecopt.errors import InputError, InstanceError
from mecopt.files import read_bytes, read_stdin, write_bytes
from mecopt.hardware import warn_of_unmeasured
from mecopt.instance import FORMAT, WIDER_FORMAT, Instance

if TYPE_CHECKING:
    from mecopt.schema import InstanceDoc, RulesDoc, SolutionDoc
    from mecopt.schema_wider import AllowDoc


def load(path: str | os.PathLike[str]) -> Instance:
    """Read an instance file (``.json`` or ``.json.gz``).

    Raises
    ------
    InstanceError
        With one line for every problem; each names the place and what was expected.
    InputError
        If the file cannot be read.
    """
    data = read_bytes(path)
    try:
        instance = from_json(data)
    except InstanceError as error:
        raise InstanceError(error.problems, str(path)) from None
    warn_of_unmeasured(instance)
    return instance


def load_stdin() -> Instance:
    """Read an instance from standard input, packed or not."""
    instance = from_json(read_stdin())
    warn_of_unmeasured(instance)
    return instance


def from_json(data: bytes) -> Instance:
    """Build an instance from JSON text: UTF-8, with or without a byte-order mark; gives no warning."""
    from mecopt import schema

    return _build(_unrepeated(schema.parse_instance(data), data))


def from_dict(document: Mapping[str, Any]) -> Instance:
    """Build an instance from the plain values that a JSON file would hold."""
    from mecopt import schema

    instance = _build(schema.parse_instance(document))
    warn_of_unmeasured(instance)
    return instance


def save(instance: Instance, path: str | os.PathLike[str]) -> None:
    """Write an instance file, whole or not at all; packed when the name ends in ``.gz``."""
    write_bytes(path, to_json(instance).encode())


def to_json(instance: Instance, form: str | None = None) -> str:
    """Return the instance as JSON text, one task a line; `form` is as in `to_dict`."""
    document = to_dict(instance, form)
    tasks = document.pop("tasks")
    head = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    lines = ",\n  ".join(json.dumps(task, ensure_ascii=False, allow_nan=False) for task in tasks)
    return f'{head[:-2]},\n "tasks": [\n  {lines}\n ]\n}}\n'


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
        "models": [_model_dict(model) for model in instance.models],
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


def load_solution(path: str | os.PathLike[str]) -> SolutionDoc:
    """Read a solution file; nothing in it is trusted but the placement, which the judge then judges."""
    from mecopt import schema

    data = read_bytes(path)
    try:
        solution: SolutionDoc = _unrepeated(schema.parse_solution(data), data)
    except InstanceError as error:
        raise InputError(error.problems, str(path)) from None
    return solution


def _unrepeated(doc: Any, data: bytes) -> Any:
    """Refuse JSON text in which an object has a key twice."""
    from mecopt.repeated import repeated_keys

    repeated = repeated_keys(data, doc)
    if repeated:
        raise InstanceError(repeated)
    return doc


def _build(doc: InstanceDoc) -> Instance:
    models = {doc.models[i].name: i for i in reversed(range(len(doc.models)))}
    devices = {doc.devices[i].name: i for i in reversed(range(len(doc.devices)))}
    problems = list(_cross_problems(doc, models, devices))
    if problems:
        raise InstanceError(problems)
    links = doc.links
    count = len(doc.servers)
    return Instance.quiet(
        name=doc.name,
        description=doc.description,
        origin=doc.origin,
        slot_count=doc.slots.count,
        slot_s=doc.slots.seconds,
        rules=_rules(doc.rules),
        models=tuple(_placed(f"models[{i}]", _model, m) for i, m in enumerate(doc.models)),
        devices=tuple(Device(**dict(device)) for device in doc.devices),
        servers=tuple(_server(s) for s in doc.servers),
        links=Links.of(count, links.server_bps or 0.0, links.server_latency_s, links.device_latency_s),
        tasks=_tasks(doc, models, devices),
        allow=tuple(_allow(entry) for entry in getattr(doc, "allow", None) or ()),
    )


def _model(doc: Any) -> Model:
    fields: dict[str, Any] = {name: getattr(doc, name) for name in ("name", "output_bits")}
    if getattr(doc, "phases", None):
        fields["phases"] = tuple(Phase(**dict(phase)) for phase in doc.phases)
    fields["shared_params"] = tuple(
        SharedParams(**dict(p)) for p in getattr(doc, "shared_params", None) or ()
    )
    return Model(**fields, blocks=tuple(_block(block) for block in doc.blocks))


def _block(doc: Any) -> Block:
    fields = dict(doc)
    for name in ("measured_seconds", "start_seconds"):
        fields[name] = fields.get(name) or {}
    return Block(**fields | {"name": doc.name or ""})


def _server(doc: Any) -> Server:
    speed = None if doc.cycles_per_s is None else np.asarray(doc.cycles_per_s, dtype=float)
    return Server(**dict(doc) | {"name": doc.name or "", "cycles_per_s": speed})


def _allow(doc: AllowDoc) -> Allow:
    fields: dict[str, Any] = {name: v if isinstance(v, str) else tuple(v) for name, v in dict(doc).items()}
    return Allow(**fields)


def _placed(place: str, build: Callable[[Any], Model], doc: Any) -> Model:
    """Build a part, and say where it stands in the file if it is wrong."""
    try:
        return build(doc)
    except InstanceError as error:
        raise InstanceError([f"{place}: {line}" for line in error.problems]) from None


def _cross_problems(doc: InstanceDoc, models: Mapping[str, int], devices: Mapping[str, int]) -> Iterator[str]:
    """Yield everything that only two fields together can show to be wrong."""
    count, slots = len(doc.servers), doc.slots.count
    yield from name_problems("models", [model.name for model in doc.models])
    yield from name_problems("devices", [device.name for device in doc.devices])
    yield from name_problems("servers", [server.name or f"es{n}" for n, server in enumerate(doc.servers, 1)])
    for n, server in enumerate(doc.servers):
        if isinstance(server.cycles_per_s, list) and len(server.cycles_per_s) != slots:
            yield f"servers[{n}].cycles_per_s: {len(server.cycles_per_s)} speeds for {slots} slots"
    if count > 1 and doc.links.server_bps is None:
        yield f"links.server_bps: missing, expected a number or a matrix for {count} servers"
    for name in ("server_bps", "server_latency_s"):
        matrix = getattr(doc.links, name)
        if isinstance(matrix, list):
            if len(matrix) != count:
                yield f"links.{name}: {len(matrix)} rows for {count} servers"
            for i, row in enumerate(matrix):
                if len(row) != count:
                    yield f"links.{name}[{i}]: {len(row)} numbers for {count} servers"
    latency = doc.links.device_latency_s
    if isinstance(latency, list) and len(latency) != count:
        yield f"links.device_latency_s: {len(latency)} numbers for {count} servers"
    if len(set(doc.rules.couplings)) != len(doc.rules.couplings):
        yield "rules.couplings: a name is given twice"
    blocks = [len(model.blocks) for model in doc.models]
    wider = hasattr(doc, "allow")
    if "sharing" in doc.rules.couplings and getattr(doc.rules, "sharing", None) is None:
        yield "rules.sharing: missing beside the coupling sharing, expected 'mm1' or 'affine'"
    for k, task in enumerate(doc.tasks):
        if task["slot"] >= slots:
            yield f"tasks[{k}].slot: {task['slot']}, expected 0 to {slots - 1}"
        if task["device"] not in devices:
            yield f"tasks[{k}].device: no device {task['device']!r}"
        if len(task["rate_bps"]) != count:
            yield f"tasks[{k}].rate_bps: {len(task['rate_bps'])} rates for {count} servers"
        model = models.get(task["model"])
        tau = task.get("max_delay_s")
        if model is None:
            yield f"tasks[{k}].model: no model {task['model']!r}"
        elif isinstance(tau, list) and len(tau) != blocks[model]:
            yield f"tasks[{k}].max_delay_s: {len(tau)} delays for {blocks[model]} blocks"
        if wider:
            yield from _wider_task_problems(k, task, count, None if model is None else doc.models[model])


def _wider_task_problems(k: int, task: Any, servers: int, model: Any) -> Iterator[str]:
    down = task.get("down_rate_bps")
    if down is not None and len(down) != servers:
        yield f"tasks[{k}].down_rate_bps: {len(down)} rates for {servers} servers"
    limits = task.get("max_total_delay_s")
    phases = 1 if model is None or model.phases is None else len(model.phases)
    if isinstance(limits, list) and model is not None and len(limits) != phases:
        yield f"tasks[{k}].max_total_delay_s: {len(limits)} delays for {phases} phases"


def _tasks(doc: InstanceDoc, models: Mapping[str, int], devices: Mapping[str, int]) -> Tasks:
    tasks = doc.tasks
    blocks = max(len(model.blocks) for model in doc.models)
    delays = np.full((len(tasks), blocks), np.inf)
    for k, task in enumerate(tasks):
        tau = task.get("max_delay_s")
        if isinstance(tau, list):
            delays[k, : len(tau)] = [np.inf if value is None else value for value in tau]
        elif tau is not None:
            delays[k, : len(doc.models[models[task["model"]]].blocks)] = tau
    return Tasks.of(
        slot=[task["slot"] for task in tasks],
        device=[devices[task["device"]] for task in tasks],
        model=[models[task["model"]] for task in tasks],
        batch=[task.get("batch", 1) for task in tasks],
        rate_bps=[task["rate_bps"] for task in tasks],
        max_delay_s=delays,
        blocks=blocks,
        **(_wider_tasks(doc) if hasattr(doc, "allow") else {}),
    )


def _wider_tasks(doc: Any) -> dict[str, Any]:
    """Return the fields that only tasks of the wider format have."""
    tasks = doc.tasks
    total = np.full(len(tasks), np.inf)
    by_phase = np.full((len(tasks), max(len(model.phases or ONE_PASS) for model in doc.models)), np.inf)
    for k, task in enumerate(tasks):
        limits = task.get("max_total_delay_s")
        if isinstance(limits, list) and len(limits) > 1:
            by_phase[k, : len(limits)] = [np.inf if value is None else value for value in limits]
        elif isinstance(limits, list):  # of the only phase there is
            total[k] = np.inf if limits[0] is None else limits[0]
        elif limits is not None:
            total[k] = limits
    fields: dict[str, Any] = {"max_total_delay_s": total, "max_phase_delay_s": by_phase}
    fields["weight"] = [task.get("weight", 1.0) for task in tasks]
    costs = [task.get("drop_cost") for task in tasks]
    fields["drop_cost"] = [np.inf if cost is None else cost for cost in costs]
    if any(task.get("down_rate_bps") is not None for task in tasks):
        down = [task.get("down_rate_bps") for task in tasks]
        fields["down_rate_bps"] = [
            task["rate_bps"] if rates is None else rates for task, rates in zip(tasks, down, strict=True)
        ]
    return fields


def _rules(doc: RulesDoc) -> Rules:
    switches = {name: value for name in PRESETS["paper"] if (value := getattr(doc, name)) is not None}
    return Rules.preset(
        doc.preset,
        deadline=doc.deadline,
        deadline_penalty=doc.deadline_penalty,
        couplings=frozenset(doc.couplings),
        **switches,
        **_wider_rules(doc),
    )


def _wider_rules(doc: Any) -> dict[str, Any]:
    if not hasattr(doc, "objective"):
        return {}
    objective = doc.objective if isinstance(doc.objective, str) else dict(doc.objective)
    return {"objective": objective, "one_run": doc.one_run, "sharing": doc.sharing}


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
        if (value := getattr(part, f.name)) is not None and not is_default(f, value)
    }


def is_default(field: dataclasses.Field[Any], value: Any) -> bool:
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


def _model_dict(model: Model) -> dict[str, Any]:
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
        table = getattr(tasks, name)
        if table is not None:
            for document, value in zip(documents, table.tolist(), strict=True):
                if value not in (np.inf, 1.0) or (value == 1.0 and name != "weight"):
                    document[name] = value
    if tasks.max_phase_delay_s is not None:
        for k in np.flatnonzero(np.isfinite(tasks.max_phase_delay_s).any(axis=1)).tolist():
            count = len(instance.models[tasks.model[k]].phases)
            limits = tasks.max_phase_delay_s[k, :count].tolist()
            documents[k]["max_total_delay_s"] = [None if v == np.inf else v for v in limits]
