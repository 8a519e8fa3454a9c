"""`mecopt import`: read a model from elsewhere as a chain of blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import common, common_options, printing
from mecopt.errors import InputError

if TYPE_CHECKING:
    from mecopt.importing.model_document import ModelDocument

MOST_ROWS = 40  # blocks that are listed; a file has them all


@click.command("import", short_help="Read a model from elsewhere as a chain of blocks.")
@click.argument("file")
@common_options.out_option("Write the model to this file (mecopt-model/1).")
@click.option("--dim", "dims", metavar="NAME=N", multiple=True, help="Length of an open dimension.")
@click.option("--blocks", type=click.IntRange(min=1), help="Join neighbours until so many blocks are left.")
@click.option(
    "--crossing",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Tensors that may cross a boundary, at most.",
)
@click.option("--cycles-per-mac", type=float, default=1.0, show_default=True, help="Cycles a multiply-add.")
@click.option("--name", help="Name of the model; which one, where a file holds several.")
@click.option(
    "--from",
    "kind",
    type=click.Choice(["scission", "pipeedge", "msr", "distilp"]),
    help="Read what this project measured: FILE is its file or folder.",
)
@click.option(
    "--instance",
    "instance_file",
    metavar="FILE",
    help="With --from: write the instance, with its machines, links and rules, too.",
)
@common_options.json_option
def import_(
    file: str,
    out: str | None,
    dims: tuple[str, ...],
    kind: str | None,
    instance_file: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Read FILE as a chain of blocks: .onnx, .pt2 (torch.export), .csv, or a language model's config.json.

    Says what each block holds and costs, and what the chain loses against the best cut of the whole graph.
    """
    if instance_file is not None and kind is None:
        raise click.UsageError("--instance needs --from")
    common.check_out("--out", out, file)
    common.check_out("--instance", instance_file, file, out)
    lengths = _dims(dims)
    with common.working("importing"):
        from mecopt.importing import import_model

        document = import_model(file, kind=kind, dims=lengths, **options)
        instance = None
        if instance_file is not None:
            from mecopt.importing.foreign import import_foreign

            instance = import_foreign(file, str(kind), options["name"])[1]
    if out is not None:
        document.save(out)
    if instance is not None and instance_file is not None:
        from mecopt.io import save

        save(instance, instance_file)
    if as_json:
        printing.emit_json(document.to_dict())
    else:
        _print(document)
    for note in document.notes:
        printing.note(f"note: {note}")
    for path in (out, instance_file):
        if path is not None:
            printing.note(f"wrote {path}")


def _dims(texts: tuple[str, ...]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        if not equals or not name or not value.strip().isdecimal():
            raise click.UsageError(f"--dim {text}: expected NAME=N, N a whole number >= 1")
        if name in lengths:
            raise InputError(f"--dim {name}: given twice")
        lengths[name] = int(value)
    return lengths


def _print(document: ModelDocument) -> None:
    from mecopt.cli.model_tables import titled, whole
    from mecopt.entities import in_phase

    model = document.model
    heads = ["Block", "Cycles", "Input bits", "Parameter bytes"]
    kinds = sorted({kind for block in model.blocks for kind in block.measured_seconds})
    rows = [
        (
            block.name,
            "" if block.cycles is None else whole(in_phase(block.cycles)),
            whole(in_phase(block.input_bits)),
            whole(block.param_bytes),
            *(f"{in_phase(block.measured_seconds.get(kind)):.4g}" for kind in kinds),
        )
        for block in model.blocks
    ]
    left = len(rows) - MOST_ROWS
    if left > 0:
        rows = [
            *rows[: MOST_ROWS // 2],
            (f"... {left} more", *[""] * (len(rows[0]) - 1)),
            *rows[-MOST_ROWS // 2 :],
        ]
    known = [in_phase(block.cycles) for block in model.blocks if block.cycles is not None]
    total = (
        "total",
        whole(sum(known)) if known else "",
        "",
        whole(sum(b.param_bytes for b in model.blocks) + sum(p.bytes for p in model.shared_params)),
        *[""] * len(kinds),
    )
    shared = (
        f", {printing.counted(len(model.shared_params), 'shared parameter')}" if model.shared_params else ""
    )
    title = (
        f"{printing.plain(model.name)}: {printing.counted(len(model.blocks), 'block')}{shared}, "
        f"output {whole(in_phase(model.output_bits))} bits"
    )
    titled(title, [*heads, *(f"s on {kind}" for kind in kinds)], rows, total)
    if document.losses:
        _print_losses(document)


def _print_losses(document: ModelDocument) -> None:
    from mecopt.cli.model_tables import titled
    from mecopt.importing.losses import DEVICE_MACS_PER_S, FASTER

    rows = [
        (
            f"{loss.rate_bps / 1e6:g} Mbit/s",
            f"{loss.chain_s:.4g}",
            f"{loss.graph_s:.4g}",
            f"{loss.share:.2%}",
        )
        for loss in document.losses
    ]
    printing.console().print()
    title = (
        f"Least delay of a device of {DEVICE_MACS_PER_S:g} multiply-adds a second and a server "
        f"{FASTER:g} times as fast"
    )
    titled(title, ("Link", "Chain, s", "Any cut of the graph, s", "Chain loses"), rows)
