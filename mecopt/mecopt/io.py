"""The JSON formats: between files, plain Python values and `Instance`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.entities import PRESETS, Block, Device, Links, Model, Rules, Server, Tasks, name_problems
from mecopt.errors import InputError, InstanceError, PlacementError, shown
from mecopt.files import read_bytes, read_stdin, write_bytes
from mecopt.hardware import warn_of_unmeasured
from mecopt.instance import Instance
from mecopt.scalars import is_whole

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from mecopt.schema import InstanceDoc, RulesDoc, SolutionDoc

SOLUTION_FORMAT = "mecopt-solution/1"


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

    return _build(_parsed(schema.INSTANCE, data))


def from_dict(document: Mapping[str, Any]) -> Instance:
    """Build an instance from the plain values that a JSON file would hold."""
    from mecopt import schema

    instance = _build(schema.parse(schema.INSTANCE, document))
    warn_of_unmeasured(instance)
    return instance


def save(instance: Instance, path: str | os.PathLike[str]) -> None:
    """Write an instance file, whole or not at all; packed when the name ends in ``.gz``."""
    write_bytes(path, to_json(instance).encode())


def to_json(instance: Instance) -> str:
    """Return the instance as JSON text, one task a line."""
    document = to_dict(instance)
    tasks = document.pop("tasks")
    head = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    lines = ",\n  ".join(json.dumps(task, ensure_ascii=False, allow_nan=False) for task in tasks)
    return f'{head[:-2]},\n "tasks": [\n  {lines}\n ]\n}}\n'


def to_dict(instance: Instance) -> dict[str, Any]:
    """Return the instance as plain values in the form of the file; defaults are left out."""
    document: dict[str, Any] = {"format": "mecopt-instance/1", "name": instance.name}
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
    document["tasks"] = list(_task_dicts(instance))
    return document


def load_solution(path: str | os.PathLike[str]) -> SolutionDoc:
    """Read a solution file; nothing in it is trusted but the placement, which the judge then judges."""
    from mecopt import schema

    data = read_bytes(path)
    try:
        solution: SolutionDoc = _parsed(schema.SOLUTION, data)
    except InstanceError as error:
        raise InputError(error.problems, str(path)) from None
    return solution


def _parsed(adapter: TypeAdapter[Any], data: bytes) -> Any:
    """Validate JSON text in which no object has a key twice."""
    from mecopt.repeated import repeated_keys
    from mecopt.schema import parse

    doc = parse(adapter, data)
    repeated = repeated_keys(data, doc)
    if repeated:
        raise InstanceError(repeated)
    return doc


def placement_array(
    placement: Sequence[Sequence[int]] | NDArray[Any], instance: Instance
) -> NDArray[np.int64]:
    """Return a placement as an array of shape (tasks, longest model), -1 behind the end of shorter models.

    Parameters
    ----------
    placement : sequence of sequences of int, or array
        The node of every block of every task, in the instance's own order.

    Raises
    ------
    PlacementError
        If a task or block is missing or left over, or a node does not exist.
    """
    behind = np.arange(instance.max_blocks) >= instance.block_count[:, None]
    if isinstance(placement, np.ndarray):
        nodes = _checked_array(placement, instance)
        outside = ~behind & ((nodes < 0) | (nodes > instance.server_count))
        wrong = [(k, m, int(nodes[k, m])) for k, m in np.argwhere(outside).tolist()]
    else:
        rows = _checked_rows(placement, instance)
        wrong = [
            (k, m, node)
            for k, row in enumerate(rows)
            for m, node in enumerate(row)
            if not 0 <= node <= instance.server_count
        ]
        nodes = np.full(behind.shape, -1, dtype=np.int64)
        if not wrong:
            nodes[~behind] = [int(node) for row in rows for node in row]
    if wrong:
        raise PlacementError(
            f"placement[{k}][{m}]: node {shown(node)}, expected 0 to {instance.server_count}"
            for k, m, node in wrong
        )
    nodes[behind] = -1
    return nodes


def _checked_rows(placement: Any, instance: Instance) -> list[Sequence[int]]:
    """Return the rows without padding, whole numbers all of them."""
    if not isinstance(placement, Sequence) or isinstance(placement, str):
        raise PlacementError(f"placement: {type(placement).__name__}, expected a list of nodes for each task")
    if len(placement) != instance.task_count:
        raise PlacementError(f"placement: {len(placement)} tasks, expected {instance.task_count}")
    rows, problems = [], []
    for k, (row, count) in enumerate(zip(placement, instance.block_count.tolist(), strict=True)):
        row = row.tolist() if isinstance(row, np.ndarray) else row
        if not isinstance(row, Sequence) or isinstance(row, str):
            problems.append(f"placement[{k}]: {type(row).__name__}, expected a list of nodes")
            continue
        padded = len(row) == instance.max_blocks and all(node == -1 for node in row[count:])
        if len(row) != count and not padded:
            problems.append(f"placement[{k}]: {len(row)} nodes for {count} blocks")
        rows.append(row[:count])
        problems += [
            f"placement[{k}][{m}]: {shown(node)}, expected a whole number"
            for m, node in enumerate(row[:count])
            if not is_whole(node)
        ]
    if problems:
        raise PlacementError(problems)
    return rows


def _checked_array(placement: NDArray[Any], instance: Instance) -> NDArray[np.int64]:
    expected = (instance.task_count, instance.max_blocks)
    if placement.shape != expected:
        raise PlacementError(f"placement: shape {placement.shape}, expected {expected}")
    if not np.issubdtype(placement.dtype, np.integer):  # an array of floats is scores or shares, not nodes
        raise PlacementError(f"placement: {placement.dtype}, expected whole numbers")
    return placement.astype(np.int64)


def placement_lists(placement: NDArray[np.int64]) -> list[list[int]]:
    """Return a placement array as the lists of the file, without the padding."""
    return [[node for node in row if node >= 0] for row in placement.tolist()]


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
        models=tuple(
            Model(
                m.name,
                tuple(
                    Block(b.cycles, b.input_bits, b.param_bytes, b.name or "", b.measured_seconds or {})
                    for b in m.blocks
                ),
                m.output_bits,
            )
            for m in doc.models
        ),
        devices=tuple(Device(**dict(device)) for device in doc.devices),
        servers=tuple(
            Server(s.name or "", np.asarray(s.cycles_per_s, dtype=float), s.memory_bytes, s.hardware)
            for s in doc.servers
        ),
        links=Links.of(count, links.server_bps or 0.0, links.server_latency_s, links.device_latency_s),
        tasks=_tasks(doc, models, devices),
    )


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
    )


def _rules(doc: RulesDoc) -> Rules:
    switches = {name: value for name in PRESETS["paper"] if (value := getattr(doc, name)) is not None}
    return Rules.preset(
        doc.preset,
        deadline=doc.deadline,
        deadline_penalty=doc.deadline_penalty,
        couplings=frozenset(doc.couplings),
        **switches,
    )


def _rules_dict(rules: Rules) -> dict[str, Any]:
    switches = {name: getattr(rules, name) for name in PRESETS["paper"]}
    preset = next((name for name, values in PRESETS.items() if values == switches), None)
    return {
        **({"preset": preset} if preset else {"preset": "paper", **switches}),
        "deadline": rules.deadline.value,
        "deadline_penalty": rules.deadline_penalty,
        "couplings": sorted(c.value for c in rules.couplings),
    }


def _part_dict(part: Device | Server | Block) -> dict[str, Any]:
    """Return the fields of a part that are not None or empty, as copies."""
    fields = {key: _plain(value) for key, value in vars(part).items()}
    return {key: value for key, value in fields.items() if value is not None and value != {}}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else value


def _model_dict(model: Model) -> dict[str, Any]:
    blocks = [_part_dict(block) for block in model.blocks]
    return {"name": model.name, "output_bits": model.output_bits, "blocks": blocks}


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
