"""`mecopt report`: a comparison as one page, tables and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mecopt.cli import common, common_options, printing
from mecopt.errors import InputError

if TYPE_CHECKING:
    from mecopt.reporting.build import Made

MOST_TOLD = 5  # contradictions that are told one by one


@click.command(short_help="Make the page, tables and figures of a comparison.")
@click.argument("folder", metavar="DIR")
@click.option("--out", metavar="DIR2", help="Folder for the report  [default: DIR/report]")
@click.option("--methods", metavar="A,B", help="Show these only, in this order.")
@click.option("--label", "labels", metavar="METHOD=TEXT", multiple=True, help="Call a method otherwise.")
@click.option(
    "--columns",
    type=click.Choice(["1", "2"]),
    default="1",
    show_default=True,
    help="Columns of a 10 pt article that LaTeX tables take.",
)
@click.option("--figure-size", metavar="WxH", help="Size of the figures in inches, as 3.4x2.4.")
@common_options.json_option
def report(
    folder: str,
    out: str | None,
    methods: str | None,
    labels: tuple[str, ...],
    columns: str,
    figure_size: str | None,
    as_json: bool,
) -> None:
    """Make the report of a comparison, from its store alone, or of trainings.

    DIR is the --out of `mecopt compare`. Written are index.html (one page that needs no network), runs.csv,
    runs.parquet, instances.csv, tables/*.tex and figures/*.png, *.svg and *.pdf.

    A folder without a comparison that holds trainings (of `mecopt train`, `mecopt tune`) gives their learning
    curves, a table, and trainings.csv.
    """
    from mecopt.reporting import make_report, trainings

    if not trainings.is_comparison(folder) and trainings.holds_trainings(folder):
        if methods or labels or columns != "1":
            raise InputError("--methods, --label, --columns: of comparisons, and this folder holds trainings")
        size = None if figure_size is None else _size(figure_size)
        with common.working("making the report"):
            made = trainings.make_trainings_report(folder, out, size_in=size)
        _say(made, as_json)
        return
    with common.working("making the report"):
        made = make_report(
            folder,
            out,
            methods=[name.strip() for name in (methods or "").split(",") if name.strip()],
            labels=dict(map(_label, labels)),
            columns=int(columns),
            size_in=None if figure_size is None else _size(figure_size),
        )
    wrong = made.document.get("contradictions", [])
    for line in wrong[:MOST_TOLD]:
        printing.note(printing.plain(line))
    if len(wrong) > MOST_TOLD:
        printing.note(f"and {len(wrong) - MOST_TOLD:,} more contradictions")
    _say(made, as_json)


def _say(made: Made, as_json: bool) -> None:
    if as_json:
        printing.emit_json(made.document)
    else:
        page = made.folder / "index.html"
        printing.say(f"{page}: {page.stat().st_size / 1e6:.1f} MB, and {len(made.files) - 1} files beside it")


def _label(text: str) -> tuple[str, str]:
    name, equals, label = text.rpartition("=")
    if not equals or not name or not label:
        raise InputError(f"--label {text}: expected METHOD=TEXT")
    return name, label


def _size(text: str) -> tuple[float, float]:
    width, cross, height = text.partition("x")
    try:
        return float(width), float(height if cross else "")
    except ValueError:
        raise InputError(f"--figure-size {text}: expected WxH in inches, as 3.4x2.4") from None
