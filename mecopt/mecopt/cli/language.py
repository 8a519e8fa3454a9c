"""What `mecopt models` says of language models."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mecopt.cli import printing
from mecopt.cli.model_tables import titled, whole
from mecopt.models import language

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mecopt.models.language import LanguageModel

Entry = dict[str, Any]  # of the `models` of an instance file

names = language.names


def summaries() -> list[dict[str, Any]]:
    """Return a line for each shipped language model."""
    return [_summary(language.model(name)) for name in language.names()]


def print_all() -> None:
    """Print the shipped language models."""
    rows = [
        (
            row["name"],
            row["family"],
            row["layers"],
            whole(row["params"]),
            whole(2 * row["kv_values_per_token"]),
        )
        for row in summaries()
    ]
    heads = ("Language model", "Family", "Layers", "Parameters", "Cache bytes a token, 16 bits")
    titled("", heads, rows, words=2)


def show(name: str, as_json: bool, **options: Any) -> None:
    """Print one language model, shipped or read from a file: its blocks and its phases."""
    model = language.model(name) if name in language.names() else language.read(name)
    entry = language.document(model, **options)
    blocks = _blocks(model, **options)
    if as_json:
        printing.emit_json(
            {
                **_summary(model),
                "configuration": asdict(model.configuration),
                "blocks": blocks,
                "model": entry,
            }
        )
    else:
        _print_facts(model, entry, options["kv_bits"])
        _print_blocks(model, blocks, entry)
        _print_phases(blocks, entry)


def _summary(model: LanguageModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "kind": "language",
        "family": model.family,
        "source": model.source,
        "params": model.configuration.params,
        "published_params": model.published_params,
        "published_source": model.published_source,
        "layers": model.configuration.layers,
        "kv_values_per_token": model.configuration.kv_values_per_token,
    }


def _blocks(model: LanguageModel, prefill: int, decode: int, **_: Any) -> list[dict[str, Any]]:
    """Return parameters and multiply-adds of each block, the latter for a pass of each phase."""
    passes = language.phases(prefill, decode)
    counted = language.count(model.configuration, passes, prefill + decode)
    return [{"name": block.name, "params": block.params, "macs": block.macs} for block in counted]


def _print_facts(model: LanguageModel, entry: Entry, kv_bits: float) -> None:
    c = model.configuration
    total = "none found to the digit"
    if model.published_params is not None:
        total = f"{whole(model.published_params)}, {model.published_source}"
    full = whole(_sum(entry, "state_bytes"))
    rows = [
        ("Model", f"{model.name} ({model.family}), after {model.source}"),
        ("Parameters", whole(c.params)),
        ("Published", total),
        (
            "Cache",
            f"{whole(c.kv_values_per_token * kv_bits / 8)} bytes a token = 2 x {c.layers} layers x "
            f"{c.kv_heads} heads x {c.head_dim} values x {kv_bits:g} bits; {full} bytes when full",
        ),
    ]
    printing.facts(rows, style="bold")


def _print_blocks(model: LanguageModel, blocks: Sequence[Mapping[str, Any]], entry: Entry) -> None:
    phases = [phase["name"] for phase in entry["phases"]]
    rows = [_cells(*row) for row in _alike(blocks, entry["blocks"])]
    table = model.configuration.table_params
    rows += [_cells(part["name"], table, [0.0] * len(phases), 0.0) for part in entry["shared_params"]]
    total = _cells(
        "total",
        model.configuration.params,
        [sum(block["macs"][i] for block in blocks) for i in range(len(phases))],
        _sum(entry, "state_bytes"),
    )
    printing.console().print()
    heads = ("Each block", "Parameters", *phases, "Cache bytes")
    title = f"{len(blocks)} blocks, multiply-adds of a pass of {' and of '.join(phases)}, full cache"
    titled(title, heads, rows, total)


def _alike(
    blocks: Sequence[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, int, Sequence[float], float]]:
    """Yield a row for each run of blocks that differ only in their names, with the figures of one of them."""
    rows = [
        (block["name"], (block["params"], block["macs"], entry["state_bytes"]))
        for block, entry in zip(blocks, entries, strict=True)
    ]
    for figures, run in groupby(rows, key=lambda row: row[1]):
        labels = [name for name, _ in run]
        last = f"..{labels[-1].removeprefix('layer')}" if len(labels) > 1 else ""
        yield (labels[0] + last, *figures)


def _cells(name: str, params: int, macs: Sequence[float], cache: float) -> tuple[str, ...]:
    return (name, whole(params), *map(whole, macs), whole(cache))


def _sum(entry: Entry, field: str, phase: int | None = None) -> float:
    """Add a field up over the blocks, of a phase where it has one value for each."""
    return sum((block[field] if phase is None else block[field][phase] for block in entry["blocks"]), 0.0)


def _print_phases(blocks: Sequence[Mapping[str, Any]], entry: Entry) -> None:
    phases = range(len(entry["phases"]))
    first, second = entry["blocks"][:2]
    figures = {
        "multiply-adds": [sum(block["macs"][i] for block in blocks) for i in phases],
        "cycles": [_sum(entry, "cycles", i) for i in phases],
        "parameter bytes read": [_sum(entry, "read_bytes", i) for i in phases],
        "cache bytes moved": [_sum(entry, "state_read_bytes", i) for i in phases],
        "input bits": [first["input_bits"][i] for i in phases],
        "bits between layers": [second["input_bits"][i] for i in phases],
        "output bits": entry["output_bits"],
    }
    heads = ["A pass", *(f"{phase['name']} x {phase['repeat']}" for phase in entry["phases"])]
    printing.console().print()
    titled("", heads, [(name, *map(whole, values)) for name, values in figures.items()])
