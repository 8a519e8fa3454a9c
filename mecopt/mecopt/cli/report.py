"""`mecopt report`: a comparison as one page, tables and figures."""

from __future__ import annotations

import click

from mecopt.cli import common

MOST_TOLD = 5  # contradictions that are told one by one


@click.command(short_help="Make the page, tables and figures of a comparison.")
@click.argument("folder", metavar="DIR")
@click.option("--out", metavar="DIR2", help="Folder for the report  [default: DIR/report]")
@common.json_option
def report(folder: str, out: str | None, as_json: bool) -> None:
    """Make the report of a comparison, from its store alone.

    DIR is the --out of `mecopt compare`. Written are index.html (one page that needs no network), runs.csv,
    runs.parquet, instances.csv, tables/*.tex and figures/*.png and *.svg.
    """
    from mecopt.reporting import make_report

    with common.working("making the report"):
        made = make_report(folder, out)
    wrong = made.document.get("contradictions", [])
    for line in wrong[:MOST_TOLD]:
        common.note(common.plain(line))
    if len(wrong) > MOST_TOLD:
        common.note(f"and {len(wrong) - MOST_TOLD:,} more contradictions")
    if as_json:
        common.emit_json(made.document)
    else:
        page = made.folder / "index.html"
        common.say(f"{page}: {page.stat().st_size / 1e6:.1f} MB, and {len(made.files) - 1} files beside it")
