"""What only several fields of an instance file together can show to be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mecopt.entities import block_number, name_problems
from mecopt.errors import shown

if TYPE_CHECKING:
    from mecopt.schema_docs import InstanceDoc


REQUIRED = ("slot", "device", "model", "rate_bps")
OPTIONAL: dict[str, Any] = {"batch": 1, "max_delay_s": None}  # what they are where they are not given


def columns_of(tasks: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the fields of the tasks of either format, a list for each field."""
    columns = {name: list(map(itemgetter(name), tasks)) for name in REQUIRED}
    if sum(map(len, tasks)) == len(REQUIRED) * len(tasks):  # none is given, as a count soon tells
        return columns | {name: [value] * len(tasks) for name, value in OPTIONAL.items()}
    return columns | {name: [task.get(name, value) for task in tasks] for name, value in OPTIONAL.items()}


def cross_problems(
    doc: InstanceDoc, models: Mapping[str, int], devices: Mapping[str, int], columns: Mapping[str, list[Any]]
) -> Iterator[str]:
    """Yield everything that only two fields together can show to be wrong; `columns` are of `columns_of`."""
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
    if wider:
        for i, one in enumerate(doc.models):
            yield from (f"models[{i}].{line}" for line in _model_problems(one))
    for k, task in enumerate(() if _plainly_fine(doc, models, devices, columns) else doc.tasks):
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


def _plainly_fine(
    doc: InstanceDoc, models: Mapping[str, int], devices: Mapping[str, int], columns: Mapping[str, list[Any]]
) -> bool:
    """Say whether no task can have a problem, which of tens of thousands is soon told."""
    return (
        not hasattr(doc, "allow")
        and max(columns["slot"]) < doc.slots.count
        and devices.keys() >= set(columns["device"])
        and models.keys() >= set(columns["model"])
        and set(map(len, columns["rate_bps"])) == {len(doc.servers)}
        and list not in set(map(type, columns["max_delay_s"]))
    )


def _model_problems(model: Any) -> Iterator[str]:
    """Yield what is wrong between the parts of a model of the wider format."""
    phases = 1 if model.phases is None else len(model.phases)
    for part in ("phases", "shared_params"):
        yield from name_problems(part, [member.name for member in getattr(model, part) or ()])
    lists = {"output_bits": model.output_bits}
    for m, block in enumerate(model.blocks):
        for name in ("cycles", "input_bits", "read_bytes", "state_read_bytes"):
            lists[f"blocks[{m}].{name}"] = getattr(block, name)
        for kind, seconds in (block.measured_seconds or {}).items():
            lists[f"blocks[{m}].measured_seconds.{kind}"] = seconds
    for place, values in lists.items():
        if isinstance(values, list) and len(values) != phases:
            yield f"{place}: {len(values)} values for {phases} phases"
    names = [block.name or f"block{m}" for m, block in enumerate(model.blocks, 1)]
    for p, shared in enumerate(model.shared_params or ()):
        for b, block in enumerate(shared.blocks):
            if block_number(block, names) is None:
                yield f"shared_params[{p}].blocks[{b}]: no block {shown(block)}, expected a name or number"


def _wider_task_problems(k: int, task: Any, servers: int, model: Any) -> Iterator[str]:
    down = task.get("down_rate_bps")
    if down is not None and len(down) != servers:
        yield f"tasks[{k}].down_rate_bps: {len(down)} rates for {servers} servers"
    limits = task.get("max_total_delay_s")
    phases = 1 if model is None or model.phases is None else len(model.phases)
    if isinstance(limits, list) and model is not None and len(limits) != phases:
        yield f"tasks[{k}].max_total_delay_s: {len(limits)} delays for {phases} phases"
