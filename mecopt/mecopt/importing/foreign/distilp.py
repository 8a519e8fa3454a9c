"""DistiLP (firstbatchxyz/distilp): layers of language models counted, and machines profiled.

A folder holds model_profile.json and a file for each machine. Their rules: the head has the input and gets
the output, each machine runs one window of layers. A machine with Metal is taken with it. Experts and CUDA
beside a CPU are refused; layers are never read from disk, so that a model may find no room.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mecopt.entities import Block, Device, Links, Model, Phase, Rules, Server, Tasks
from mecopt.errors import InputError
from mecopt.importing.foreign.reading import Fields, read_json, source_of
from mecopt.importing.model_document import ModelDocument
from mecopt.instance import Instance

MODEL = "model_profile.json"
RATE_BPS = 1e15  # a transfer takes the machine's `t_comm`, whatever its size: a latency
BATCH = "b_1"
KV_BYTES = 2  # of a value in the cache


def read(place: str, name: str | None) -> tuple[ModelDocument, Instance]:
    """Read a folder with the profiles of a model and of machines."""
    folder = Path(place)
    if not (folder / MODEL).is_file():
        raise InputError(f"no file {MODEL}, expected a folder with one", place)
    machines = [read_json(path) for path in sorted(folder.glob("*.json")) if path.name != MODEL]
    if len(machines) < 2:
        raise InputError(f"{len(machines)} machines, expected two or more", place)
    heads = [one for one in machines if one.get("is_head") is True]
    if len(heads) != 1:
        raise InputError(f"{len(heads)} machines have is_head, expected one", place)
    profile = read_json(folder / MODEL)
    model, width = _model(name or folder.name, profile)
    ordered = [heads[0], *(one for one in machines if one is not heads[0])]
    instance = _instance(model, ordered, str(profile.get("quantization")))
    notes = (
        f"work and speeds are those of batch {BATCH}",
        f"cache of {8 * KV_BYTES} bits a value, {width:,.0f} bytes a layer; nothing is read from disk",
        "a link of the head takes the longer of both machines' t_comm, either way",
    )
    source = source_of("distilp", folder, folder.glob("*.json"))
    return ModelDocument(model, source, notes=notes), instance


def _model(name: str, profile: Fields) -> tuple[Model, float]:
    if profile.content.get("is_moe"):
        raise profile.error("is_moe", "true: experts that lie apart have no counterpart in an instance")
    layers = int(profile.number("L"))
    work = profile.fields("f_q")
    phases = work.names() if BATCH not in work.content else []
    flops = [work.fields(p).numbers(BATCH) for p in phases] or [work.numbers(BATCH)]
    weights, entering, leaving = (profile.numbers(key) for key in ("b", "b_i", "b_o"))
    columns = {"b": weights, "b_i": entering, "b_o": leaving}
    columns |= {f"f_q.{phase}": own for phase, own in zip(phases or [BATCH], flops, strict=True)}
    for key, values in columns.items():
        if len(values) not in (layers, layers + 1):  # the first is the embedding, counted as nothing
            raise profile.error(key, f"{len(values)} values for {layers} layers")
    if len({len(values) for values in columns.values()}) > 1 or not layers:
        raise profile.error("L", f"{layers} layers, expected some, and lists of one length")
    state = KV_BYTES * profile.number("n_kv")
    state *= profile.number("hk") * profile.number("ek") + profile.number("hv") * profile.number("ev")
    # In a decoding pass one token enters where in a prefill `seq_len` of them do.
    tokens = max(profile.number("seq_len", 1.0), 1.0)
    shares = [1 / tokens if phase == "decode" else 1.0 for phase in phases] or [1.0]
    first = len(weights) - layers
    blocks = [
        Block(
            name=f"layer{i - first + 1}",
            cycles=tuple(own[i] for own in flops),
            input_bits=tuple(8 * entering[i] * share for share in shares),
            param_bytes=weights[i],
            state_bytes=state,
            state_read_bytes=state,
        )
        for i in range(first, len(weights))
    ]
    output = tuple(8 * leaving[-1] * share for share in shares)
    passes = tuple(Phase(phase, 1) for phase in phases) or (Phase(),)
    return Model(name, tuple(blocks), output_bits=output, phases=passes), state


def _instance(model: Model, machines: list[Fields], quantization: str) -> Instance:
    comm = [one.number("t_comm") for one in machines]
    nodes = [_node(machine, quantization) for machine in machines]
    count = len(nodes) - 1
    between = np.array([[comm[i + 1] for _ in range(count)] for i in range(count)])
    return Instance(
        name=f"distilp-{model.name}",
        slot_count=1,
        rules=Rules.preset("physical", deadline="none", one_run="all", couplings=frozenset({"memory"})),
        models=(model,),
        devices=(Device(**nodes[0]),),
        servers=tuple(Server(**node) for node in nodes[1:]),
        links=Links.of(count, RATE_BPS, between, [max(comm[0], own) for own in comm[1:]]),
        tasks=Tasks.of(slot=[0], device=0, model=0, rate_bps=[[RATE_BPS] * count], blocks=len(model.blocks)),
        origin={"source": "DistiLP, https://github.com/firstbatchxyz/distilp"},
    )


def _node(machine: Fields, quantization: str) -> dict[str, Any]:
    """Return the fields of a machine as a node; one with Metal as its GPU."""
    if machine.content.get("has_cuda"):
        raise machine.error("has_cuda", "true: layers on a GPU beside a CPU have no counterpart here")
    metal = bool(machine.content.get("has_metal"))
    speeds = machine.fields("sgpu_metal" if metal else "scpu").fields(quantization)
    return {
        "name": str(machine.get("name")),
        "cycles_per_s": speeds.number(BATCH),
        "memory_bytes": machine.number("d_avail_metal" if metal else "d_avail_ram"),
        "memory_bytes_per_s": machine.number("T_metal" if metal else "T_cpu"),
    }
