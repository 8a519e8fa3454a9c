"""The JSON formats: between files, plain Python values and `Instance`."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.cross_checks import columns_of, cross_problems
from mecopt.documents import to_dict
from mecopt.entities import (
    ONE_PASS,
    PRESETS,
    Allow,
    Block,
    Device,
    Links,
    Model,
    Phase,
    Rules,
    Server,
    SharedParams,
    Tasks,
)
from mecopt.errors import InputError, InstanceError
from mecopt.files import read_bytes, read_stdin, write_bytes
from mecopt.hardware import warn_of_unmeasured
from mecopt.instance import Instance

if TYPE_CHECKING:
    from mecopt.schema_docs import InstanceDoc, RulesDoc, SolutionDoc
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
    return load_text(read_stdin())


def load_text(data: bytes) -> Instance:
    """Build an instance from JSON text as `from_json`, with its warnings."""
    instance = from_json(data)
    warn_of_unmeasured(instance)
    return instance


def from_json(data: bytes) -> Instance:
    """Build an instance from JSON text: UTF-8, with or without a byte-order mark; gives no warning."""
    from mecopt import schema

    with _uncollected():
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


def load_solution(path: str | os.PathLike[str]) -> SolutionDoc:
    """Read a solution file; nothing in it is trusted but the placement, which the judge then judges.

    Raises
    ------
    InputError
        If it cannot be read, or is no solution; the text names the file and every place.
    """
    from mecopt import schema

    data = read_bytes(path)
    try:
        solution: SolutionDoc = _unrepeated(schema.parse_solution(data), data)
    except InstanceError as error:
        raise InputError(error.problems, str(path)) from None
    return solution


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: tens of thousands of new objects in use would set that off often."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


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
    columns = columns_of(doc.tasks)
    problems = list(cross_problems(doc, models, devices, columns))
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
        models=tuple(_placed(f"models[{i}]", model_of, m) for i, m in enumerate(doc.models)),
        devices=tuple(Device(**dict(device)) for device in doc.devices),
        servers=tuple(_server(s) for s in doc.servers),
        links=Links.of(count, links.server_bps or 0.0, links.server_latency_s, links.device_latency_s),
        tasks=_tasks(doc, models, devices, columns),
        allow=tuple(_allow(entry) for entry in getattr(doc, "allow", None) or ()),
    )


def model_of(doc: Any) -> Model:
    """Build a model from what was read of a file."""
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


def _tasks(
    doc: InstanceDoc, models: Mapping[str, int], devices: Mapping[str, int], columns: Mapping[str, list[Any]]
) -> Tasks:
    count, servers = len(doc.tasks), len(doc.servers)

    def whole(values: Iterable[int]) -> NDArray[np.int64]:
        return np.fromiter(values, np.int64, count)

    model = list(map(models.__getitem__, columns["model"]))
    rates = np.fromiter(chain.from_iterable(columns["rate_bps"]), float, count * servers)
    return Tasks.of(
        slot=whole(columns["slot"]),
        device=whole(map(devices.__getitem__, columns["device"])),
        model=whole(model),
        batch=whole(columns["batch"]),
        rate_bps=rates.reshape(count, servers),
        max_delay_s=_delays(columns["max_delay_s"], doc, model),
        blocks=max(len(one.blocks) for one in doc.models),
        **(_wider_tasks(doc) if hasattr(doc, "allow") else {}),
    )


def _delays(taus: Sequence[Any], doc: InstanceDoc, model: Sequence[int]) -> Any:
    """Return the block deadlines of every task, (tasks, longest model), or inf where none has any."""
    counts = [len(one.blocks) for one in doc.models]
    given = set(map(type, taus))
    if given == {type(None)}:
        return np.inf
    delays = np.full((len(taus), max(counts)), np.inf)
    if list not in given:
        delays[:] = np.array(taus, dtype=float)[:, None]  # None is NaN
        delays[np.isnan(delays)] = np.inf
        return delays  # `Instance` takes off what stands behind the end of shorter models
    for k, tau in enumerate(taus):
        if isinstance(tau, list):
            delays[k, : len(tau)] = [np.inf if value is None else value for value in tau]
        elif tau is not None:
            delays[k, : counts[model[k]]] = tau
    return delays


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
