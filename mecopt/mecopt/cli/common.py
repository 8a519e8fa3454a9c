"""What several commands share: options, reading and writing, tables and messages."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from mecopt.errors import (
    PREFIX,
    InputError,
    InstanceError,
    MissingExtraError,
    PlacementError,
    located,
    terminal_line,
)
from mecopt.stop import COMPILER
from mecopt.text import cells, cut, visible

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from mecopt.instance import Instance
    from mecopt.judge import Evaluation
    from mecopt.schema_docs import SolutionDoc

STDIN = "-"
PATIENCE_S = 2.0  # what takes longer shows that it is alive
PLOT_SUFFIXES = (".png", ".svg", ".pdf")
NARROWEST, WIDEST = 20, 400  # columns; a terminal that claims others gets these
USUAL = 80  # columns where a terminal says 0, which is that it does not know
LONGEST_TITLE = 48  # columns of what stands before a progress bar

COMPILING = "compiling the search, once per installation: some 10 s that no time limit counts"

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
)


def engine_options(text: str) -> Callable[[Decorated], Decorated]:
    """Return the options ``--engine`` and ``--address``."""

    def options(command: Decorated) -> Decorated:
        address = click.option("--address", metavar="A", help="Address of a Ray cluster, HOST:PORT.")
        choice = click.Choice(["local", "ray"])
        engine = click.option("--engine", type=choice, default="local", show_default=True, help=text)
        return engine(address(command))

    return options


def out_option(text: str) -> Callable[[Decorated], Decorated]:
    """Return the option ``--out FILE``."""
    return click.option("--out", metavar="FILE", help=text)


def plot_options(command: Decorated) -> Decorated:
    """Add ``--plot`` and ``--task``, which say what is drawn."""
    task = click.option(
        "--task", "tasks", metavar="K", type=int, multiple=True, help="Draw this task; may be repeated."
    )
    plot = click.option("--plot", metavar="FILE", help="Write a timeline as .png, .svg or .pdf.")
    return plot(task(command))


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Refuse a number that is not finite or below 0."""
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise click.BadParameter(f"{value:g}, expected a finite number >= 0", ctx, param)
    return value


def load_instance(path: str) -> Instance:
    """Return what a text stands for (`mecopt.sources`); ``-`` is the instance on standard input."""
    from mecopt import io, sources

    with naming(path), telling_warnings(path):
        return sources.load(path) if path != STDIN else io.load_stdin()


def read_instance(data: bytes) -> Instance:
    """Return the instance in JSON text that came from standard input."""
    from mecopt import io

    with naming(STDIN), telling_warnings():
        return io.load_text(data)


@contextmanager
def telling_warnings(path: str = STDIN) -> Iterator[None]:
    """Print warnings as messages of the command, without the place in the code."""
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        yield
    for doubt in doubts:
        note(f"warning: {located(None if path == STDIN else path, str(doubt.message))}")


@contextmanager
def naming(path: str, kind: type[InputError] = InstanceError) -> Iterator[None]:
    """Name the file in an error of an instance that shows only when it is worked on."""
    try:
        yield
    except kind as error:
        if error.source is not None:
            raise
        raise kind(error.problems, "standard input" if path == STDIN else path) from None


@contextmanager
def as_typed(**more: str) -> Iterator[None]:
    """Name the options of the command in errors, where the library names the parameters that they become.

    Parameters
    ----------
    **more : str
        What else errors may name, and what was typed for it.
    """
    options = click.get_current_context().command.params
    typed = {str(each.name): each.opts[-1] for each in options if isinstance(each, click.Option)} | more
    try:
        yield
    except InputError as error:
        if error.source is not None or isinstance(error, InstanceError):  # of a file, which has fields
            raise
        raise type(error)([_typed(problem, typed) for problem in error.problems]) from None


def _typed(problem: str, typed: Mapping[str, str]) -> str:
    name, colon, rest = problem.partition(": ")
    if name not in typed:
        return problem
    for parameter in typed:
        if "_" in parameter:  # no other word looks so
            rest = re.sub(rf"\b{parameter}\b", typed[parameter], rest)
    return typed[name] + colon + re.sub(r"^(|.*?: )(-?\d+)\.0(?=, )", r"\1\2", rest)


def load_placement(path: str, instance: Instance) -> tuple[SolutionDoc, NDArray[Any]]:
    """Read a solution file and the placement in it, as an array that fits the instance.

    Raises
    ------
    InputError
        If the file is no solution, or its placement does not fit the instance.
    """
    from mecopt import io

    solution = io.load_solution(path)
    if solution.placement is None:
        found = f", its status is {solution.status}" if solution.status else ""
        raise InputError(f"placement: null, expected a placement{found}", path)
    from mecopt.placements import placement_array

    try:
        return solution, placement_array(solution.placement, instance)
    except PlacementError as error:
        problems = error.problems
        if other_instance(solution, instance):
            problems = (f"made for another instance ({solution.instance or 'unnamed'})", *problems)
        raise PlacementError(problems, path) from None


def other_instance(solution: SolutionDoc, instance: Instance) -> bool:
    """Say whether a solution file names an instance of another content."""
    return solution.instance_sha256 not in (None, instance.sha256)


def check_same_instance(solution: SolutionDoc, instance: Instance, path: str) -> None:
    """Refuse a solution file that names an instance of another content.

    Raises
    ------
    InputError
        If it was made for another instance.
    """
    if other_instance(solution, instance):
        made_for = f"{solution.instance or 'unnamed'}, {str(solution.instance_sha256)[:12]}…"
        given = f"{instance.name}, {instance.sha256[:12]}…"
        raise InputError(
            f"instance_sha256: made for another instance ({made_for}), this one is {given}", path
        )


def check_tasks(tasks: Iterable[int], instance: Instance) -> None:
    """Refuse a task that the instance does not have.

    Raises
    ------
    InputError
        If the instance has no such task.
    """
    wrong = [k for k in tasks if not 0 <= k < instance.task_count]
    if wrong:
        raise InputError(f"--task {k}: expected 0 to {instance.task_count - 1}" for k in wrong)


def check_out(option: str, path: str | None, *inputs: str | None) -> None:
    """Refuse a file that could not be written, before any work is done for it.

    Parameters
    ----------
    option : str
        The option that named the file.
    path : str or None
    *inputs : str or None
        Files that the command reads; none of them may be written over.

    Raises
    ------
    InputError
        If the file could not be written.
    """
    if path is None:
        return
    place, target = f"{option} {path}", Path(path)
    try:
        if target.is_dir():
            raise InputError(f"{place}: is a folder, expected a file name")
        if not target.parent.is_dir():
            raise InputError(f"{place}: folder {str(target.parent)!r} does not exist")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise InputError(f"{place}: no permission to write in {str(target.parent)!r}")
        for other in inputs:
            if other is not None and same_file(path, other):
                used = "read" if os.path.exists(path) else "written"
                raise InputError(f"{place}: is {used} by this command, expected another file")
    except (OSError, ValueError) as error:
        raise InputError(f"{place}: {getattr(error, 'strerror', None) or error}") from None


def same_file(path: str, other: str) -> bool:
    """Say whether two names are of one file; the second may be that of a shipped instance."""
    from mecopt.sources import shipped

    if not os.path.exists(other):
        other = str(shipped().get(other, other))
    if path == STDIN or not all(map(os.path.exists, (path, other))):
        return path != STDIN and os.path.abspath(path) == os.path.abspath(other)
    return os.path.samefile(path, other)


def check_plot(path: str | None, *inputs: str | None, pages: bool = False) -> None:
    """Refuse a plot that could not be written, before any work is done for it.

    Raises
    ------
    InputError
        If the kind of picture is unknown, or the file could not be written.
    """
    from importlib.util import find_spec

    if path is None:
        return
    suffixes = (*PLOT_SUFFIXES, ".html") if pages else PLOT_SUFFIXES
    if Path(path).suffix.lower() not in suffixes:
        raise InputError(f"--plot {path}: expected a name that ends in {', '.join(suffixes)}")
    check_out("--plot", path, *inputs)
    if find_spec("matplotlib") is None:
        raise MissingExtraError("--plot", "report")


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


FOLDED = 12  # columns at least of a column that may be folded


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


def absolute(path: str | None) -> str | None:
    """Return a path that stays the same file whatever folder code of others goes to."""
    return None if path is None else os.path.abspath(path)


def write_plot(evaluation: Evaluation, path: str, tasks: Sequence[int], shown: str | None = None) -> None:
    """Write the timeline of a placement, and say so by the name that the user gave."""
    from mecopt.drawing.plot import save_plot

    save_plot(evaluation, path, tasks)
    note(f"wrote {shown or path}")


@contextmanager
def working(what: str, limit_s: float | None = None) -> Iterator[None]:
    """Show progress on a terminal's standard error once the work has taken two seconds.

    Wherever standard error goes, it is told when loops are compiled, since that takes long and happens once.
    What the work prints goes there too, so that standard output holds what the command says.
    """
    COMPILER.on_begin = lambda: note(COMPILING)
    if sys.stderr is None or not sys.stderr.isatty():
        with said_aside():
            yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_progress, args=(done, what, limit_s), daemon=True)
    thread.start()
    try:
        with said_aside():
            yield
    finally:
        done.set()
        thread.join()


@contextmanager
def said_aside() -> Iterator[None]:
    """Turn standard output into standard error: of Python, of libraries in C, and of child processes."""
    stream, kept = sys.stdout, -1
    with open(os.devnull, "w") as nowhere:
        if stream is not None:  # without one, file descriptor 1 is closed, or is another file by now
            with suppress(OSError, ValueError):
                stream.flush()
                kept = os.dup(1)
                os.dup2(2 if sys.stderr is not None else nowhere.fileno(), 1)
        sys.stdout = sys.stderr or nowhere
        try:
            yield
        finally:
            sys.stdout = stream
            if kept >= 0:
                _flush_libraries()
                os.dup2(kept, 1)
                os.close(kept)


def _flush_libraries() -> None:
    """Write what C's own buffers hold while file descriptor 1 still is standard error."""
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)


def _progress(done: threading.Event, what: str, limit_s: float | None) -> None:
    start = time.perf_counter()
    if done.wait(PATIENCE_S):
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    until = [] if limit_s is None else [TextColumn(f"of {limit_s:g} s")]
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    # Standard output is `said_aside`'s to turn and to put back, in another thread than this one.
    console = Console(stderr=True)
    with Progress(*columns, *until, console=console, transient=True, redirect_stdout=False) as progress:
        bar = progress.add_task(cut(what, LONGEST_TITLE), total=limit_s)
        progress.update(bar, completed=time.perf_counter() - start)
        while not done.wait(0.1):
            progress.update(bar, completed=time.perf_counter() - start)
