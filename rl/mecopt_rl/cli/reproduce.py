"""`mecopt reproduce`: the paper's Figures 6 to 13 made again, with the optimum beside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import INTERRUPTED, common_options, printing

if TYPE_CHECKING:
    from mecopt_rl.reproduce.running import Tick


@click.command(short_help="Make the paper's figures again, with the optimum.")
@click.argument("figures", metavar="FIGURES...", nargs=-1, required=True)
@click.option(
    "--budget",
    type=click.Choice(["quick", "medium", "full"]),
    default="quick",
    show_default=True,
    help="Minutes; an hour or two; 400 episodes of 600 slots over many hours.",
)
@click.option("--seeds", metavar="N", type=click.IntRange(1), help="Seeds  [default: quick 2, else 5]")
@click.option("--setting", metavar="FILE", help="A setting of one's own, in the place of the paper's.")
@click.option(
    "--out", metavar="DIR", help="Folder; what is finished there is kept  [default: reproduction-BUDGET]"
)
@common_options.engine_options("Where the comparisons run.")
@common_options.json_option
@click.pass_context
def reproduce(
    ctx: click.Context,
    figures: tuple[str, ...],
    budget: str,
    seeds: int | None,
    setting: str | None,
    out: str | None,
    engine: Any,
    address: str | None,
    as_json: bool,
) -> None:
    """Make FIGURES of the paper again: fig6 to fig13, or all.

    Trains the learners, compares all schemes with the exact optimum, and writes a page with figures, tables
    and a verdict on every number that the paper prints. Killed, the same command goes on; given again, it
    repeats nothing.

    With --setting FILE (`mecopt generate --setting`) the figures are made in that setting alone, and nothing
    that the paper prints is judged.

    Exit status: 0 done, whatever the verdicts; 2 bad input; 130 interrupted, finished work is kept.
    """
    from mecopt_rl.reproduce import make

    folder = f"reproduction-{budget}" if out is None else out
    try:
        made = make.reproduce(
            figures,
            folder,
            budget=budget,
            seeds=seeds,
            setting=setting,
            engine=engine,
            address=address,
            progress=_shown,
        )
    except KeyboardInterrupt:
        printing.note(f"interrupted; finished work is kept in {folder}; the same command goes on")
        ctx.exit(INTERRUPTED)
    if as_json:
        printing.emit_json(made.document)
        return
    if setting is not None:
        for name, told in made.document["summaries"].items():
            for text in filter(None, told.values()):
                click.echo(f"{name}: {text}")
        printing.note(f"wrote {folder}/README.md with figures and tables")
        return
    claims = made.document["claims"]
    rows = [(c["where"], c["what"], c["against"], c["printed"], c["verdict"]) for c in claims]
    printing.table(
        ("Where", "What the paper says", "Against", "Printed", "Here"), rows, numbers=0, wraps=(1, 3)
    )
    click.echo(made.document["verdicts"])
    printing.note(f"wrote {folder}/README.md with figures and tables")


@contextmanager
def _shown(total: int, done: int) -> Iterator[Tick]:
    """Show how many trainings are made; without a terminal, a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("policies, left"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as progress:
        bar = progress.add_task("", total=total - done)
        made = done

        def tick() -> None:
            nonlocal made
            made += 1
            progress.update(bar, completed=made - done)
            if not console.is_terminal and (made % max(total // 10, 1) == 0 or made == total):
                printing.note(f"{made} of {total} policies trained")

        yield tick
