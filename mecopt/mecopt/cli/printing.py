"""What commands print: lines, tables, facts, documents."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import click

from mecopt.errors import PREFIX, InputError, terminal_line
from mecopt.text import cells, visible

if TYPE_CHECKING:
    from rich.console import Console

    from mecopt.instance import Instance

NARROWEST, WIDEST = 20, 400  # columns; a terminal that claims others gets these
USUAL = 80  # columns where a terminal says 0, which is that it does not know
FOLDED = 12  # columns at least of a column that may be folded


def emit_json(document: Any, out: str | None = None) -> None:
    """Print a JSON document, or write it whole to a file."""
    emit(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", out)


def print_or_write(document: Any, out: str | None, as_json: bool) -> None:
    """Write a JSON document to a file where one is named, and print it where that is asked for."""
    if out is not None:
        emit_json(document, out)
    if as_json:
        emit_json(document)


def emit(text: str, out: str | None = None) -> None:
    """Print a text as UTF-8, whatever the terminal's encoding, or write it whole to a file.

    A file name that is not UTF-8 comes as lone surrogates, whose escapes are those of JSON.
    """
    data = text.encode(errors="backslashreplace")
    if out is None:
        click.echo(data, nl=False)
    else:
        from mecopt.files import write_bytes

        try:
            write_bytes(out, data)
        except InputError as error:
            raise InputError(error.problems, f"--out {out}") from None


def say(text: str) -> None:
    """Print a line to standard output, whatever is in it."""
    click.echo(visible(text))


def note(text: str) -> None:
    """Print a message of one line to standard error, if there is anybody to read it."""
    with suppress(OSError):
        click.echo(terminal_line(PREFIX + text, sys.stderr.encoding), err=True)


def console() -> Console:
    """Return the console for tables and pictures on standard output."""
    from rich.console import Console

    out = Console(highlight=False, markup=False, emoji=False)
    out.width = min(max(out.width or USUAL, NARROWEST), WIDEST)
    return out


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: int,
    wraps: Collection[int],
    total: Sequence[object] = (),
) -> None:
    """Print a table whose last `numbers` columns hold numbers; the columns in `wraps` may be folded.

    Where the terminal is too narrow for it, each row becomes a list of its cells with their heads. `total` is
    a last row below a line.
    """
    from rich import box
    from rich.table import Table

    shown = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, show_footer=bool(total)
    )
    texts = [[visible(str(cell)) for cell in row] for row in rows]
    last = [visible(str(cell)) for cell in total]
    for i, head in enumerate(heads):
        side: Literal["left", "right"] = "right" if i >= len(heads) - numbers else "left"
        least = FOLDED if i in wraps else None
        foot = last[i] if last else ""
        shown.add_column(head, foot, justify=side, overflow="fold", no_wrap=i not in wraps, min_width=least)
    for row in texts:
        shown.add_row(*row)
    out, everything = console(), [list(heads), *texts, *([last] if last else [])]
    least_width = sum(
        FOLDED if i in wraps else max(cells(row[i]) for row in everything) for i in range(len(heads))
    )
    if least_width + 2 * (len(heads) - 1) <= out.width:  # a column's padding, and the box's divider
        out.print(shown)
    else:
        _print_records(out, heads, everything[1:])


def _print_records(out: Console, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print each row as a list, the first cell above the others."""
    from rich.padding import Padding

    for row in rows:
        named = [f"{head}: {cell}" if head else cell for head, cell in zip(heads, row, strict=True) if cell]
        for i, text in enumerate(named):
            out.print(Padding(text, (0, 0, 0, 1 if i else 0), expand=False))


def facts(rows: Sequence[tuple[str, str]], style: str) -> None:
    """Print names and values side by side, the first value in a style of its own."""
    from rich.text import Text

    out = console()
    width = max(len(name) for name, _ in rows)
    out.print()
    for i, (name, value) in enumerate(rows):
        line = Text(f" {name.ljust(width)}  " if out.width >= 2 * width + 3 else f" {name.strip()}: ")
        line.append(visible(value), style="" if i else style)
        out.print(line)


def headline(instance: Instance) -> None:
    """Print what instance it is above what a command found, folded where the terminal is narrow."""
    console().print(one_line(instance), style="dim")


plain = visible  # as commands call it


def one_line(instance: Instance) -> str:
    """Describe an instance in one line."""
    couplings = sorted(instance.rules.couplings)
    return ", ".join(
        (
            f"{plain(instance.name)}: {counted(instance.task_count, 'task')}",
            counted(instance.server_count, "server"),
            f"up to {counted(instance.max_blocks, 'block')}",
            f"{instance.rules.deadline} deadlines" if instance.rules.deadline != "none" else "no deadlines",
            f"coupled by {' and '.join(couplings)}" if couplings else "no couplings",
        )
    )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 task``, ``36,000 tasks``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
