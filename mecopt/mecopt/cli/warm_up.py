"""`mecopt warm-up`: compile what the methods need, ahead of the first solve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mecopt.cli import common, common_options, printing

if TYPE_CHECKING:
    from mecopt.warming import Warmed


@click.command(short_help="Compile what the methods need, once per installation.")
@click.option("--methods", metavar="A,B", help="Only for these methods. [default: all that are installed]")
@common_options.json_option
def warm_up(methods: str | None, as_json: bool) -> None:
    """Compile what the methods need into the cache on disk, so that no solve waits for it.

    Once per installation is enough, until mecopt, numba or the processor changes. It takes some two minutes.

    Exit status: 0 done, 2 no such method, 130 interrupted (what is compiled by then is kept).
    """
    from mecopt.errors import InputError
    from mecopt.warming import warming

    names = None if methods is None else [name.strip() for name in methods.split(",")]
    if names is not None and not all(names):
        raise InputError(f"--methods {methods}: expected names with commas between them")
    done: list[Warmed] = []
    with common.working("warming up"):
        for warmed in warming(names):
            done.append(warmed)
            printing.note(_line(warmed))
    compiled = sum(warmed.compiled_s for warmed in done)
    if as_json:
        printing.emit_json({"compiled_s": compiled, "methods": [vars(warmed) for warmed in done]})
        return
    what = f"{compiled:.1f} s of compiling" if compiled else "everything was compiled already"
    click.echo(f"{printing.counted(len(done), 'method')}, {what}")


def _line(warmed: Warmed) -> str:
    if warmed.error:
        return f"{warmed.method}: {warmed.error}"
    if not warmed.compiled_s:
        return f"{warmed.method}: ready"
    return f"{warmed.method}: compiled in {warmed.compiled_s:.1f} s"
