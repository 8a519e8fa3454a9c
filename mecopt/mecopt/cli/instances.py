"""`mecopt instances`: the benchmark set that comes with mecopt, and new ones of models and profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import common, common_options, printing

if TYPE_CHECKING:
    from pathlib import Path

    from mecopt.best_known import Store


@click.group(
    invoke_without_command=True, short_help="List the instances that come with mecopt; make new ones."
)
@common_options.json_option
@click.pass_context
def instances(ctx: click.Context, as_json: bool) -> None:
    """List the instances that come with mecopt, with the best value and bound known of each.

    Every command takes their names in place of a file: `mecopt solve alexnet_6es`. `mecopt instances new`
    makes one of your own model and machines.
    """
    if ctx.invoked_subcommand is None:
        _list(as_json)
    elif as_json:
        raise click.UsageError(f"--json belongs behind {ctx.invoked_subcommand}")


def _list(as_json: bool) -> None:
    from mecopt import sources
    from mecopt.best_known import Store

    known = Store.load(sources.store(), missing_ok=True)
    rows = [_facts(name, path, known) for name, path in sources.shipped().items()]
    if as_json:
        printing.emit_json(rows)
        return
    heads = ("Name", "Couplings", "Tasks", "Servers", "Blocks", "Best [s]", "Bound [s]")
    printing.table(heads, [_shown(row) for row in rows], numbers=5, wraps=(0,))
    printing.note(f"the files lie in {sources.folder()}")


def _facts(name: str, path: Path, known: Store) -> dict[str, Any]:
    from mecopt import io

    instance = io.load(path)
    entry = known.get(instance)
    return {
        "name": name,
        "file": str(path),
        "sha256": instance.sha256,
        "tasks": instance.task_count,
        "slots": instance.slot_count,
        "devices": len(instance.devices),
        "servers": instance.server_count,
        "blocks": instance.max_blocks,
        "deadline": instance.rules.deadline.value,
        "couplings": sorted(c.value for c in instance.rules.couplings),
        "status": "unknown" if entry is None else entry.status.value,
        "objective": None if entry is None else entry.objective,
        "lower_bound": None if entry is None else entry.lower_bound,
        "gap": None if entry is None else entry.gap,
    }


def _shown(row: dict[str, Any]) -> tuple[str, ...]:
    from mecopt.drawing.timeline import number

    counts = (f"{row[key]:,}" for key in ("tasks", "servers", "blocks"))
    best, bound = ("" if row[key] is None else number(row[key]) for key in ("objective", "lower_bound"))
    if row["status"] == "infeasible":
        best = "none"
    return row["name"], ", ".join(row["couplings"]), *counts, best, bound


@instances.command(short_help="Make an instance of imported models, profiles and links.")
@click.option(
    "--model",
    "models",
    metavar="FILE",
    multiple=True,
    required=True,
    help="Model of `mecopt import`; may be repeated.",
)
@click.option(
    "--profiles",
    metavar="FILE,FILE",
    multiple=True,
    required=True,
    help="Profiles of `mecopt profile`, the device's first.",
)
@click.option(
    "--links", metavar="FILE", required=True, help="CSV of the columns from, to, rate_bps, latency_s."
)
@click.option("--name", help="Name of the instance.  [default: that of the first model]")
@common_options.out_option("File, .json or .json.gz.  [default: named after the instance]")
@common_options.json_option
def new(
    models: tuple[str, ...],
    profiles: tuple[str, ...],
    links: str,
    name: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Make an instance of imported models, of the machines that were profiled, and of the links between them.

    The first profile is the device's, the others are servers'. In place of a profile may stand the name of
    hardware of which the model has the seconds itself, as from a table. Machines are called by their hardware
    in the table of links too. A task of each model is released at the device; what else there is to say is
    written into its file.
    """
    from mecopt import io
    from mecopt.importing import model_document
    from mecopt.profiling import assembling
    from mecopt.profiling.profile_files import load
    from mecopt.text import file_name

    files = [file for part in profiles for file in part.split(",") if file]
    if name is not None and not name.strip():
        raise click.UsageError("--name is empty, expected a text")
    if out is not None and not out.endswith((".json", ".json.gz")):
        raise click.UsageError(f"--out {out}: expected a name that ends in .json or .json.gz")
    common.check_out("--out", out, *models, *files, links)
    known = [(file, model_document.load(file)) for file in models]
    profiled = [
        (file, None if any(assembling.measured(model, file) for _, model in known) else load(file))
        for file in files
    ]
    made = assembling.instance(known, profiled, links, name=name or known[0][1].model.name)
    path = out or file_name(made.name, ".json")
    common.check_out("--out", path, *models, *files, links)
    io.save(made, path)
    if as_json:
        printing.emit_json({"name": made.name, "path": path, "sha256": made.sha256, "origin": made.origin})
    else:
        printing.say(f"{printing.one_line(made)}; {made.description}; sha256 {made.sha256}")
    for part in made.origin["profiles"] if made.origin else ():
        if part["steadiness"] == "unsteady":
            printing.note(f"warning: the profile of {part['hardware']} is unsteady")
    printing.note(f"wrote {path}")
