"""Device placement (msr-fiddle/dnn-partitioning): graphs of layers or operators on CPUs and accelerators.

A JSON file holds nodes with their times on either, edges with the time of their transfer, and limits. Their
rules: a transfer is between an accelerator and the CPUs' memory, so two accelerators are two apart; a
contiguous part each; nodes of one colour together; some nodes on CPUs only. Times are taken for milliseconds.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from mecopt.entities import Allow, Block, Device, Links, Model, Rules, Server, Tasks
from mecopt.errors import InputError, shown
from mecopt.importing import places
from mecopt.importing.anywhere import Anywhere
from mecopt.importing.foreign.reading import Fields, read_json, source_of
from mecopt.importing.model_document import ModelDocument
from mecopt.importing.operators import Operator, OperatorGraph
from mecopt.importing.options import CROSSING
from mecopt.instance import Instance

UNIT_S = 1e-3
RATE_BPS = 1e9  # at which a transfer takes its time: sizes follow from it
CPU, ACCELERATOR = "cpu", "accelerator"


def read(place: str, name: str | None) -> tuple[ModelDocument, Instance]:
    """Read a workload of inference; one of training is refused."""
    path = Path(place)
    file = read_json(path)
    nodes = {int(one.number("id")): one for one in _entries(file, "nodes")}
    if len(nodes) < len(file.entries("nodes")):
        raise file.error("nodes", "an id is there twice")
    for one in nodes.values():
        if one.number("isBackwardNode", 0.0):
            raise one.error("isBackwardNode", "true: training has no counterpart in an instance")
    graph = _graph(nodes, _entries(file, "edges"), file)
    order = places.best(graph, Anywhere(frozenset(), frozenset()), CROSSING)
    kept = [p for p in order.allowed(CROSSING) if not _parts_a_colour(order, p, nodes)]
    if len(kept) < 3:
        reason = f"nowhere do at most {CROSSING} tensors cross without parting a colour: it is no chain"
        raise file.error("edges", reason)
    model, held = _model(name or path.stem, order, kept, nodes)
    notes = [f"{len(nodes)} nodes are {len(held)} blocks: at most {CROSSING} tensors cross a boundary"]
    if file.number("maxCPUs") > 1:
        notes.append(
            "one CPU: in a chain others gain no delay, for a period the limit would be a lower one with them"
        )
    instance = _instance(model, held, file, nodes)
    return ModelDocument(model, source_of("msr", path, [path]), notes=tuple(notes)), instance


def _entries(file: Fields, name: str) -> list[Fields]:
    return [Fields(entry, file.source, f"{name}[{i}]") for i, entry in enumerate(file.entries(name))]


def _graph(nodes: dict[int, Fields], edges: list[Fields], file: Fields) -> OperatorGraph:
    inputs: dict[int, list[str]] = {number: [] for number in nodes}
    cost: dict[int, float] = {}
    for edge in edges:
        ends = [int(edge.number(end)) for end in ("sourceId", "destId")]
        for number, end in zip(ends, ("sourceId", "destId"), strict=True):
            if number not in nodes:
                raise edge.error(end, f"{number}, no such node")
        inputs[ends[1]].append(str(ends[0]))
        cost[ends[0]] = max(cost.get(ends[0], 0.0), edge.number("cost"))
    done: dict[int, Operator] = {}
    waiting = list(nodes)
    while waiting:
        ready = [n for n in waiting if all(int(name) in done for name in inputs[n])]
        if not ready:
            raise file.error("edges", f"a cycle through node {waiting[0]}")
        for number in ready:
            time = nodes[number].number("cpuLatency")
            done[number] = Operator(
                str(number), "node", tuple(inputs[number]) or ("input",), (str(number),), (), time, 0.0, 0.0
            )
        waiting = [n for n in waiting if n not in done]
    bits = {str(number): cost.get(number, 0.0) * UNIT_S * RATE_BPS for number in nodes}
    read_by = {name for operator in done.values() for name in operator.inputs}
    outputs = tuple(str(number) for number in nodes if str(number) not in read_by)
    return OperatorGraph(tuple(done.values()), {**bits, "input": 0.0}, {}, ("input",), outputs)


def _parts_a_colour(order: places.Order, place: int, nodes: dict[int, Fields]) -> bool:
    """Say whether nodes of one colour stand on both sides of a place."""
    sides = [
        {str(nodes[int(one.name)].content.get("colorClass", f"own {one.name}")) for one in part}
        for part in (order.operators[:place], order.operators[place:])
    ]
    return bool(sides[0] & sides[1])


def _model(
    name: str, order: places.Order, kept: list[int], nodes: dict[int, Fields]
) -> tuple[Model, list[list[Fields]]]:
    spans = list(pairwise(kept))
    parts = [[nodes[int(one.name)] for one in order.operators[p:q]] for p, q in spans]
    blocks = []
    for (p, q), part in zip(spans, parts, strict=True):
        times = {
            CPU: UNIT_S * sum(one.number("cpuLatency") for one in part),
            ACCELERATOR: UNIT_S * sum(one.number("fpgaLatency") for one in part),
        }
        ends = dict.fromkeys((order.operators[p].name, order.operators[q - 1].name))
        size = sum(one.number("size") for one in part)
        label = f"node {'..'.join(ends)}"
        blocks.append(Block(None, order.bits[p], param_bytes=size, name=label, measured_seconds=times))
    return Model(name, tuple(blocks), output_bits=order.bits[-1]), parts


def _instance(model: Model, held: list[list[Fields]], file: Fields, nodes: dict[int, Fields]) -> Instance:
    # Each runs one stretch at most, so that more of them than blocks are never used.
    count = int(min(file.number("maxFPGAs"), len(held)))
    if count < 1 or file.number("maxCPUs") < 1:
        raise InputError(f"maxFPGAs {shown(count)}, expected at least one accelerator and CPU", file.source)
    only_cpu = tuple(i for i, part in enumerate(held) if not all(n.number("supportedOnFpga") for n in part))
    options: dict[str, Any] = {"return_transfer": True, "hop_energy": False, "one_run": "servers"}
    return Instance(
        name=model.name,
        slot_count=1,
        rules=Rules.preset("paper", deadline="none", couplings=frozenset({"memory"}), **options),
        models=(model,),
        devices=(Device(CPU, None, hardware=CPU),),
        servers=tuple(
            Server(
                f"{ACCELERATOR}{i + 1}",
                None,
                memory_bytes=file.number("maxSizePerFPGA"),
                hardware=ACCELERATOR,
            )
            for i in range(count)
        ),
        links=Links.of(count, RATE_BPS / 2),  # out of one accelerator and into the other
        tasks=Tasks.of(slot=[0], device=0, model=0, rate_bps=[[RATE_BPS] * count], blocks=len(model.blocks)),
        allow=(Allow(tasks="all", blocks=only_cpu, nodes=("device",)),) if only_cpu else (),
        origin={"source": "Device placement, https://github.com/msr-fiddle/dnn-partitioning"},
    )
