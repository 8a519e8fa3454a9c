"""`mecopt models`: the networks, their layers, and the blocks that they are cut into."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import click
from click.core import ParameterSource

from mecopt import models as zoo
from mecopt.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mecopt.entities import Model
    from mecopt.models import Network, Segment

FOR_ONE = {
    "blocks": "--blocks",
    "cycles_per_mac": "--cycles-per-mac",
    "bytes_per_value": "--bytes-per-value",
    "encoding": "--input",
}


@click.command()
@click.argument("name", required=False)
@click.option("--blocks", type=int, default=6, show_default=True, help="Number of blocks.")
@click.option("--cycles-per-mac", type=float, default=1.0, show_default=True, help="Cycles a multiply-add.")
@click.option(
    "--bytes-per-value", type=float, default=4, show_default=True, help="Bytes a parameter or value."
)
@click.option(
    "--input", "encoding", default="float32", show_default=True, help="Raw input: float32, uint8 or bytes."
)
@common.json_option
@click.pass_context
def models(
    ctx: click.Context,
    name: str | None,
    blocks: int,
    cycles_per_mac: float,
    bytes_per_value: float,
    encoding: str,
    as_json: bool,
) -> None:
    """List the networks that mecopt counts, or the layers and blocks of one of them."""
    if name is None:
        for option, flag in FOR_ONE.items():
            if ctx.get_parameter_source(option) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"{flag} needs the NAME of a network")
        networks = [zoo.network(known) for known in zoo.names()]
        if as_json:
            common.emit_json([_summary(network) for network in networks])
        else:
            _print_all(networks)
        return
    network = zoo.network(name)
    chain = zoo.chain(
        name,
        blocks,
        cycles_per_mac=cycles_per_mac,
        bytes_per_value=bytes_per_value,
        input=cast("Any", int(encoding) if encoding.isdecimal() else encoding),  # chain() refuses other words
    )
    if as_json:
        common.emit_json(_document(network, network.segments(blocks), chain))
    else:
        _print_layers(network)
        _print_blocks(network.segments(blocks), chain)


def _summary(network: Network) -> dict[str, Any]:
    return {
        "name": network.name,
        "source": network.source,
        "input_shape": network.input_shape,
        "params": network.params,
        "macs": network.macs,
        "layer_count": len(network.layers),
        "max_blocks": network.max_blocks,
    }


def _document(network: Network, segments: Sequence[Segment], chain: Model) -> dict[str, Any]:
    """Everything about one network; `model` is an entry for the `models` of an instance file."""
    fields = ("name", "cycles", "param_bytes", "input_bits")
    return {
        **_summary(network),
        "layers": [{**asdict(row), "output_values": row.output_values} for row in network.layers],
        "blocks": [asdict(segment) for segment in segments],
        "model": {
            "name": chain.name,
            "output_bits": chain.output_bits,
            "blocks": [{field: getattr(block, field) for field in fields} for block in chain.blocks],
        },
    }


def _print_all(networks: Iterable[Network]) -> None:
    rows = [
        (
            n.name,
            _shape(n.input_shape),
            _whole(n.params),
            _whole(n.macs),
            len(n.layers),
            f"1-{n.max_blocks}",
        )
        for n in networks
    ]
    _table("", ("Name", "Input", "Parameters", "Multiply-adds", "Layers", "Blocks"), rows, words=2)


def _print_layers(network: Network) -> None:
    rows = [
        (row.name, row.kind, _shape(row.output_shape), _whole(row.params), _whole(row.macs))
        for row in network.layers
    ]
    total = ("total", "", "", _whole(network.params), _whole(network.macs))
    title = f"{network.name}, input {_shape(network.input_shape)}, after {network.source}"
    _table(title, ("Layer", "Kind", "Output", "Parameters", "Multiply-adds"), rows, total, words=3)


def _print_blocks(segments: Sequence[Segment], chain: Model) -> None:
    from mecopt.entities import in_phase

    rows = [
        (
            b.name,
            _whole(s.macs),
            _whole(in_phase(b.cycles)),
            _whole(in_phase(b.input_bits)),
            _whole(b.param_bytes),
        )
        for s, b in zip(segments, chain.blocks, strict=True)
    ]
    total = (
        "total",
        _whole(sum(s.macs for s in segments)),
        _whole(sum(in_phase(b.cycles) for b in chain.blocks)),
        "",
        _whole(sum(b.param_bytes for b in chain.blocks)),
    )
    title = f"{len(rows)} blocks, output {_whole(in_phase(chain.output_bits))} bits"
    _table(title, ("Block", "Multiply-adds", "Cycles", "Input bits", "Parameter bytes"), rows, total)


def _table(
    title: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[object]],
    total: Sequence[str] = (),
    words: int = 1,
) -> None:
    """Print a table whose first columns hold words and the others numbers."""
    if title:
        common.console().print(title)
    common.table(heads, rows, numbers=len(heads) - words, wraps=(0,), total=total)


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _whole(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or value >= 1000 else f"{value:,.6g}"
