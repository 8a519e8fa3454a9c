"""`mecopt instances`: the benchmark set that comes with mecopt, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import common

if TYPE_CHECKING:
    from pathlib import Path

    from mecopt.best_known import Store


@click.command(short_help="List the instances that come with mecopt.")
@common.json_option
def instances(as_json: bool) -> None:
    """List the instances that come with mecopt, with the best value and bound known of each.

    Every command takes their names in place of a file: `mecopt solve alexnet_6es`.
    """
    from mecopt import sources
    from mecopt.best_known import Store

    known = Store.load(sources.store(), missing_ok=True)
    rows = [_facts(name, path, known) for name, path in sources.shipped().items()]
    if as_json:
        common.emit_json(rows)
        return
    heads = ("Name", "Couplings", "Tasks", "Servers", "Blocks", "Best [s]", "Bound [s]")
    common.table(heads, [_shown(row) for row in rows], numbers=5, wraps=(0,))
    common.note(f"the files lie in {sources.folder()}")


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
