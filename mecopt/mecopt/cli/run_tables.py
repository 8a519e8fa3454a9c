"""How `mecopt run` shows what came of a plan: its stretches, and its blocks one by one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from mecopt.cli import printing

if TYPE_CHECKING:
    from mecopt.deployment.outcome import BlockTimes, Deployment

PARTS = ("transfer", "calculation")
BLOCK_COLUMNS = ("measured_transfer_s", "predicted_alone_s", "measured_alone_s")
MOST_ROWS = 40  # blocks that are listed; the JSON document has them all


def show(found: Deployment, title: str) -> None:
    """Print what came of a plan."""
    from mecopt.drawing.timeline import seconds

    frame = found.to_frame()
    rows = []
    for one, row in zip(found.stretches, frame.itertuples(), strict=True):
        what = one.blocks or ("input" if row.Index == 0 else "result")
        times = (getattr(row, f"{kind}_{part}_s") for part in PARTS for kind in ("predicted", "measured"))
        rows.append(
            (one.node, what, *("-" if value != value else seconds(max(value, 0.0), 4) for value in times))
        )
    if title:
        printing.say(title)
    heads = ("node", "blocks", "transfer predicted", "measured", "calculation predicted", "measured")
    printing.table(heads, rows, numbers=4, wraps=())
    what = "Period" if found.pipeline else "Delay"
    measured = "nothing"
    if found.measured_s is not None and found.error is not None:
        side = "more" if found.error > 0 else "less"
        measured = f"{seconds(found.measured_s)} (predicted {abs(found.error):.1%} {side})"
    apart = f"{found.difference:.2g}" if math.isfinite(found.difference) else "beyond all numbers"
    click.echo(
        f"{what}: predicted {seconds(found.predicted_s)}, measured {measured}, "
        f"{printing.counted(len(found.outputs), 'input')}; "
        f"largest difference from the whole model {apart}"
    )
    if found.blocks is not None:
        click.echo()
        show_blocks(found, found.blocks)


def show_blocks(found: Deployment, times: BlockTimes) -> None:
    """Print what single blocks took, and beside it what stretches take as one piece."""
    from mecopt.drawing.timeline import seconds

    frame = times.to_frame()
    rows = [
        (str(m), row["block"], row["node"], *(seconds(max(row[name], 0.0), 4) for name in BLOCK_COLUMNS))
        for m, row in enumerate(frame.to_dict(orient="records"))
    ]
    left = len(rows) - MOST_ROWS
    if left > 0:
        more = ("...", f"{left} more, see --json", *[""] * (len(rows[0]) - 2))
        rows = [*rows[: MOST_ROWS // 2], more, *rows[-MOST_ROWS // 2 :]]
    count = printing.counted(len(times.calculations_s), "input")
    click.echo(
        f"After the run {count} went through block by block, each block a session of its own:"
        if times.apart
        else "Every stretch of this plan is one block: what the run itself took."
    )
    heads = ("block", "name", "node", "transfer measured", "alone predicted", "measured")
    printing.table(heads, rows, numbers=3, wraps={1})
    stretch = found.to_frame()["measured_calculation_s"]
    for one, together in zip(found.stretches, stretch, strict=True):
        if one.last > one.first and together == together:
            parts = frame["measured_alone_s"][one.first : one.last + 1].sum()
            click.echo(
                f"{one.node}, blocks {one.blocks}: {seconds(together, 4)} as one session, "
                f"{seconds(parts, 4)} block by block"
            )
