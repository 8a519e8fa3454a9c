"""`mecopt models`: networks with their layers, language models, and the blocks that they are cut into."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import click
from click.core import ParameterSource

from mecopt import models as zoo
from mecopt.cli import common, common_options, printing
from mecopt.cli.model_tables import titled, whole
from mecopt.errors import InputError
from mecopt.models.unknown import unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mecopt.entities import Model
    from mecopt.models import Network, Segment

FOR_EITHER = {"cycles_per_mac": "--cycles-per-mac"}
FOR_NETWORKS = {"blocks": "--blocks", "bytes_per_value": "--bytes-per-value", "encoding": "--input"}
FOR_LANGUAGE = {
    "prefill": "--prefill",
    "decode": "--decode",
    "context": "--context",
    "bits_per_weight": "--bits-per-weight",
    "kv_bits": "--kv-bits",
    "activation_bits": "--activation-bits",
    "output": "--output",
}


@click.command()
@click.argument("name", required=False)
@click.option("--cycles-per-mac", type=float, default=1.0, show_default=True, help="Cycles a multiply-add.")
@click.option("--blocks", type=int, default=6, show_default=True, help="Networks: number of blocks.")
@click.option(
    "--bytes-per-value",
    type=float,
    default=4,
    show_default=True,
    help="Networks: bytes a parameter or value.",
)
@click.option(
    "--input",
    "encoding",
    default="float32",
    show_default=True,
    help="Networks: raw input: float32, uint8 or bytes.",
)
@click.option(
    "--prefill", type=int, default=512, show_default=True, help="Language models: tokens of the prompt."
)
@click.option(
    "--decode",
    type=int,
    default=200,
    show_default=True,
    help="Language models: passes after the prompt, one token each.",
)
@click.option(
    "--context",
    type=int,
    help="Language models: positions that the cache has room for.  [default: prefill + decode]",
)
@click.option(
    "--bits-per-weight",
    type=float,
    default=16,
    show_default=True,
    help="Language models: bits a parameter.",
)
@click.option(
    "--kv-bits", type=float, default=16, show_default=True, help="Language models: bits a cached value."
)
@click.option(
    "--activation-bits",
    type=float,
    default=16,
    show_default=True,
    help="Language models: bits a value between blocks.",
)
@click.option(
    "--output",
    default="token",
    show_default=True,
    help="Language models: what a pass gives back: token or logits.",
)
@common_options.json_option
@click.pass_context
def models(ctx: click.Context, /, name: str | None, as_json: bool, **options: Any) -> None:
    """List the models that mecopt counts, or show one of them: its layers or phases, and its blocks.

    NAME is a network, a language model, or the file of a language model's configuration (a config.json of
    Hugging Face transformers).
    """
    from mecopt.cli import language

    if name is None:
        _refuse(ctx, {**FOR_EITHER, **FOR_NETWORKS, **FOR_LANGUAGE}, "the NAME of a model")
        _list(as_json)
    elif name in zoo.names():
        _refuse(ctx, FOR_LANGUAGE, "a language model")
        with common.as_typed(input="--input"):
            _show(name, as_json, **{key: options[key] for key in (*FOR_EITHER, *FOR_NETWORKS)})
    elif name in language.names() or name.endswith(".json"):
        _refuse(ctx, FOR_NETWORKS, "a network")
        with common.as_typed():
            language.show(name, as_json, **{key: options[key] for key in (*FOR_EITHER, *FOR_LANGUAGE)})
    elif os.path.isdir(name):
        raise InputError("is a folder, expected a file", name)
    else:
        raise unknown(name, (*zoo.names(), *language.names()))


def _refuse(ctx: click.Context, options: Mapping[str, str], needs: str) -> None:
    """Refuse options that were given, but mean nothing here."""
    for option, flag in options.items():
        if ctx.get_parameter_source(option) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{flag} needs {needs}")


def _list(as_json: bool) -> None:
    from mecopt.cli import language

    networks = [zoo.network(known) for known in zoo.names()]
    if as_json:
        printing.emit_json([*(_summary(network) for network in networks), *language.summaries()])
    else:
        _print_all(networks)
        printing.console().print()
        language.print_all()


def _show(name: str, as_json: bool, *, blocks: int, encoding: str, **options: Any) -> None:
    network = zoo.network(name)
    raw = cast("Any", int(encoding) if encoding.isdecimal() else encoding)  # chain() refuses other words
    chain = zoo.chain(name, blocks, input=raw, **options)
    if as_json:
        printing.emit_json(_document(network, network.segments(blocks), chain))
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
            whole(n.params),
            whole(n.macs),
            len(n.layers),
            f"1-{n.max_blocks}",
        )
        for n in networks
    ]
    titled("", ("Name", "Input", "Parameters", "Multiply-adds", "Layers", "Blocks"), rows, words=2)


def _print_layers(network: Network) -> None:
    rows = [
        (row.name, row.kind, _shape(row.output_shape), whole(row.params), whole(row.macs))
        for row in network.layers
    ]
    total = ("total", "", "", whole(network.params), whole(network.macs))
    title = f"{network.name}, input {_shape(network.input_shape)}, after {network.source}"
    titled(title, ("Layer", "Kind", "Output", "Parameters", "Multiply-adds"), rows, total, words=3)


def _print_blocks(segments: Sequence[Segment], chain: Model) -> None:
    from mecopt.entities import in_phase

    rows = [
        (b.name, *map(whole, (s.macs, in_phase(b.cycles), in_phase(b.input_bits), b.param_bytes)))
        for s, b in zip(segments, chain.blocks, strict=True)
    ]
    total = (
        "total",
        whole(sum(s.macs for s in segments)),
        whole(sum(in_phase(b.cycles) for b in chain.blocks)),
        "",
        whole(sum(b.param_bytes for b in chain.blocks)),
    )
    title = f"{len(rows)} blocks, output {whole(in_phase(chain.output_bits))} bits"
    titled(title, ("Block", "Multiply-adds", "Cycles", "Input bits", "Parameter bytes"), rows, total)


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
