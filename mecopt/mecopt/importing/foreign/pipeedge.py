"""PipeEdge (usc-isi/PipeEdge): layers of transformers timed on types of devices, for pipelines.

A folder holds models.yml, device_types.yml and devices.yml. Their rules: any host may be any stage, each is
one at most, the longest of all calculations and transfers between stages is minimised; the way of the input
to the first stage costs nothing. A rate between hosts is the lower of theirs, a Mbps 2^20 bits a second.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mecopt.entities import Allow, Block, Device, Links, Model, Rules, Server, Tasks
from mecopt.errors import InputError, MissingExtraError, said
from mecopt.files import read_bytes
from mecopt.importing.foreign.reading import Fields, chosen, source_of
from mecopt.importing.model_document import ModelDocument
from mecopt.instance import Instance

FILES = ("models.yml", "device_types.yml", "devices.yml")
MEGA = 2.0**20
VALUE_BYTES = {"torch.float64": 8, "torch.float32": 4, "torch.float16": 2, "torch.bfloat16": 2}
SOURCE = "source"  # of the input: a device that runs nothing


def read(place: str, name: str | None) -> tuple[ModelDocument, Instance]:
    """Read a folder of profiles; `name` is that of the model."""
    folder = Path(place)
    models, types, hosts = (_yaml(folder / file) for file in FILES)
    there = [one for one in models.names() if models.fields(one).number("layers")]
    wanted = chosen(there, name, str(folder / FILES[0]))
    given = {kind: hosts.entries(kind) for kind in types.names() if hosts.content.get(kind)}
    kinds = {kind: [str(host) for host in names] for kind, names in given.items()}
    kinds = {kind: names for kind, names in kinds.items() if names}
    unknown = [kind for kind in hosts.names() if hosts.content[kind] and kind not in kinds]
    if unknown:
        raise hosts.error(unknown[0], f"no such type in {FILES[1]}")
    if not kinds:
        raise InputError("no hosts, expected at least one", str(folder / FILES[2]))
    batch, dtype, seconds = _profiles(types, kinds, wanted)
    model = _model(models.fields(wanted), wanted, batch, dtype, seconds)
    notes = (
        f"a pass is a microbatch of {batch} in {dtype}",
        "memory is that of the layers: their buffers for data in and out are not counted",
    )
    source = source_of("pipeedge", folder, [folder / file for file in FILES])
    return ModelDocument(model, source, notes=notes), _instance(model, types, kinds)


def _yaml(path: Path) -> Fields:
    if find_spec("yaml") is None:
        raise MissingExtraError("reading YAML", "onnx")
    import yaml

    try:
        return Fields(yaml.safe_load(read_bytes(path)), str(path))
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"not YAML ({said(error)})", str(path)) from None


def _profiles(types: Fields, kinds: dict[str, list[str]], model: str) -> tuple[int, str, dict[str, Fields]]:
    """Return the first microbatch and type of values that every type of device was timed with."""
    found: list[dict[tuple[int, str], Fields]] = []
    for kind in kinds:
        own = types.fields(kind).fields("model_profiles")
        entries = [Fields(entry, own.source, f"{own.place}.{model}") for entry in own.entries(model)]
        found.append({(int(e.number("batch_size", 1)), str(e.get("dtype"))): e for e in entries})
    common = [key for key in found[0] if all(key in own for own in found)]
    if not common:
        raise types.error(model, "no microbatch that every type of device was timed with")
    batch, dtype = common[0]
    return batch, dtype, {kind: own[common[0]] for kind, own in zip(kinds, found, strict=True)}


def _model(entry: Fields, name: str, batch: int, dtype: str, profiles: dict[str, Fields]) -> Model:
    layers = int(entry.number("layers"))
    if dtype not in VALUE_BYTES:
        raise entry.error("dtype", f"{dtype!r}, expected one of {', '.join(VALUE_BYTES)}")
    memory = entry.numbers("mem_MB", layers)
    values = entry.numbers("parameters_out", layers)
    seconds = {kind: profile.numbers("time_s", layers) for kind, profile in profiles.items()}
    bits = [8.0 * VALUE_BYTES[dtype] * batch * count for count in values]
    blocks = tuple(
        Block(
            name=f"layer{i + 1}",
            cycles=None,
            input_bits=bits[i - 1] if i else 0.0,  # the way to the first stage costs nothing
            param_bytes=memory[i] * MEGA,
            measured_seconds={kind: own[i] for kind, own in seconds.items()},
        )
        for i in range(layers)
    )
    return Model(name, blocks, output_bits=bits[-1])


def _instance(model: Model, types: Fields, kinds: dict[str, list[str]]) -> Instance:
    names = [(host, kind) for kind, hosts in kinds.items() for host in hosts]
    entries = {kind: types.fields(kind) for kind in kinds}
    rate = np.array([entries[kind].number("bw_Mbps") * MEGA for _, kind in names])
    options: dict[str, Any] = {"deadline": "none", "objective": "period", "one_run": "all"}
    return Instance(
        name=f"pipeedge-{model.name}",
        slot_count=1,
        rules=Rules.preset("paper", hop_energy=False, couplings=frozenset({"memory"}), **options),
        models=(model,),
        devices=(Device(SOURCE, None),),
        servers=tuple(
            Server(host, None, memory_bytes=entries[kind].number("mem_MB") * MEGA, hardware=kind)
            for host, kind in names
        ),
        links=Links.of(len(names), np.minimum.outer(rate, rate)),
        tasks=Tasks.of(slot=[0], device=0, model=0, rate_bps=rate[None, :], blocks=len(model.blocks)),
        allow=(Allow(tasks="all", blocks="all", nodes=tuple(host for host, _ in names)),),
        origin={"source": "PipeEdge, https://github.com/usc-isi/PipeEdge"},
    )
