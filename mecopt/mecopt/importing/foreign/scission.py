"""Scission (qub-blesson/Scission): layers of Keras networks timed on a device, edges and clouds.

A folder holds a file ``TIER-NAME.dat`` for each machine (Python's pickle, of which nothing but the records
of layers is read) and a table of links. Their rules: the input is on the device, work goes from the device
over an edge to a cloud and never back, each does one stretch, any may be left out.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from mecopt.encoding import csv_rows
from mecopt.entities import Block, Device, Links, Model, Rules, Server, Tasks
from mecopt.errors import InputError, said
from mecopt.files import read_bytes
from mecopt.importing.foreign.reading import Fields, chosen, source_of
from mecopt.importing.model_document import ModelDocument
from mecopt.instance import Instance

TIERS = ("device", "edge", "cloud")
INPUT_BYTES = 150_000  # of the picture, where nothing else is said: their default
# What Python writes for a dictionary of lists of records of numbers and texts.
STEPS = frozenset(
    """PROTO FRAME STOP MARK MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET EMPTY_DICT EMPTY_LIST EMPTY_TUPLE
    GLOBAL STACK_GLOBAL NEWOBJ BUILD SETITEM SETITEMS APPEND APPENDS NONE BININT BININT1 BININT2 LONG1
    BINFLOAT BINUNICODE SHORT_BINUNICODE""".split()  # noqa: SIM905
)
Links_ = dict[tuple[str, str], tuple[float, float]]  # latency [s] and rate [bits/s] by source and destination


class _Layer:
    """A record of a layer, whatever its file put in it."""


class _Records(pickle.Unpickler):
    """Reads records of layers; any other class is refused, so that no file runs code."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "LayerBenchmark":
            return _Layer
        raise pickle.UnpicklingError(f"{module}.{name} is no record of a layer")


def _check_steps(data: bytes) -> None:
    """Refuse steps that records of layers do not need, and places in memory that no such file has."""
    for step, argument, _ in pickletools.genops(data):
        if step.name not in STEPS or (step.name == "LONG_BINPUT" and int(argument or 0) > len(data)):
            raise pickle.UnpicklingError(f"step {step.name} has no place in records of layers")


def read(place: str, name: str | None) -> tuple[ModelDocument, Instance]:
    """Read a folder of measurements; `name` is that of the network."""
    folder = Path(place)
    files = sorted(folder.glob("*-*.dat")) if folder.is_dir() else []
    if not files:
        raise InputError("no files TIER-NAME.dat, expected a folder with them", place)
    tables = sorted(folder.glob("network*.csv"))
    if not tables:
        raise InputError("no file network_stats.csv, expected one with the links", place)
    machines: dict[str, tuple[str, dict[str, Any]]] = {}
    for file in files:
        tier, _, machine = file.stem.partition("-")
        if tier.lower() not in TIERS:
            raise InputError(f"tier {tier!r}, expected one of {', '.join(TIERS)}", str(file))
        machines[machine] = (tier.lower(), _records(file))
    wanted = chosen(next(iter(machines.values()))[1], name, place)
    model = _model(wanted, machines, place)
    instance = _instance(model, machines, _links(tables[0]), place)
    notes = (f"the input is taken for {INPUT_BYTES:,} bytes, their default; parameters were not measured",)
    return ModelDocument(model, source_of("scission", folder, [*files, tables[0]]), notes=notes), instance


def _records(file: Path) -> dict[str, Any]:
    try:
        data = read_bytes(file)
        _check_steps(data)
        content = _Records(io.BytesIO(data)).load()
    except InputError:
        raise
    except Exception as error:  # a damaged pickle raises whatever it happens to hit
        raise InputError(f"not measurements of Scission ({said(error)})", str(file)) from None
    return dict(Fields(content, str(file)).content)


def _layers(content: dict[str, Any], name: str, source: str) -> list[Fields]:
    records = Fields(content, source).entries(name)
    return [Fields(getattr(one, "__dict__", one), source, f"{name}[{i}]") for i, one in enumerate(records)]


def _model(name: str, machines: dict[str, tuple[str, dict[str, Any]]], place: str) -> Model:
    seconds: dict[str, list[float]] = {}
    spans: list[tuple[int, int]] = []
    sizes: list[float] = []
    for machine, (tier, content) in machines.items():
        layers = _layers(content, name, f"{place}/{tier}-{machine}.dat")
        own = [(int(one.number("input_layer")), int(one.number("output_layer"))) for one in layers]
        if spans and own != spans:
            raise InputError(f"{name} is cut elsewhere on {machine} than on {next(iter(seconds))}", place)
        spans, seconds[machine] = own, [one.number("second_prediction") for one in layers]
        sizes = sizes or [one.number("output_size") for one in layers]
    entering = [INPUT_BYTES, *sizes[:-1]]
    blocks = tuple(
        Block(
            name=f"layers {first}..{last}",
            cycles=None,
            input_bits=8 * size,
            measured_seconds={machine: values[i] for machine, values in seconds.items()},
        )
        for i, ((first, last), size) in enumerate(zip(spans, entering, strict=True))
    )
    return Model(name, blocks, output_bits=8 * sizes[-1])


def _links(table: Path) -> Links_:
    rows = csv_rows(read_bytes(table), str(table))
    found: Links_ = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        try:
            source, destination, ping, rate = (cell.strip() for cell in row)
            found[source, destination] = (float(ping) / 1e3, float(rate) * 1e6)
        except ValueError:
            expected = "expected source, destination, ping(ms), bandwidth(mbps)"
            raise InputError(f"row {number}: {expected}", str(table)) from None
    return found


def _instance(
    model: Model, machines: dict[str, tuple[str, dict[str, Any]]], links: Links_, place: str
) -> Instance:
    tiers = {tier: [name for name, (own, _) in machines.items() if own == tier] for tier in TIERS}
    servers = [*tiers["edge"], *tiers["cloud"]]
    if not tiers["device"] or not servers:
        raise InputError("expected a device, and an edge or a cloud", place)
    rates = np.array([[links.get((d, s), (0.0, 0.0))[1] for s in servers] for d in tiers["device"]])
    pings = np.array([[links.get((d, s), (0.0, 0.0))[0] for s in servers] for d in tiers["device"]])
    if (pings != pings[0]).any():
        raise InputError("devices of different latency to one server, expected one latency each", place)
    between = np.array([[links.get((a, b), (0.0, 0.0)) for b in servers] for a in servers])
    count = len(tiers["device"])
    return Instance(
        name=f"scission-{model.name}",
        slot_count=1,
        rules=Rules.preset("physical", return_result=False, deadline="none", one_run="all"),
        models=(model,),
        devices=tuple(Device(name, None, hardware=name) for name in tiers["device"]),
        servers=tuple(Server(name, None, hardware=name) for name in servers),
        links=Links.of(len(servers), between[:, :, 1], between[:, :, 0], pings[0]),
        tasks=Tasks.of(
            slot=np.zeros(count, dtype=int),
            device=np.arange(count),
            model=0,
            rate_bps=rates,
            down_rate_bps=np.zeros_like(rates),
            blocks=len(model.blocks),
        ),
        origin={"source": "Scission, https://github.com/qub-blesson/Scission"},
    )
