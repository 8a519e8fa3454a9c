"""What several commands share: options, reading and writing, tables and messages."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mecopt.cli.printing import note
from mecopt.errors import (
    InputError,
    InstanceError,
    MissingExtraError,
    PlacementError,
    located,
)
from mecopt.stop import COMPILER
from mecopt.text import cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mecopt.instance import Instance
    from mecopt.judge import Evaluation
    from mecopt.schema_docs import SolutionDoc

STDIN = "-"
PATIENCE_S = 2.0  # what takes longer shows that it is alive
PLOT_SUFFIXES = (".png", ".svg", ".pdf")
LONGEST_TITLE = 48  # columns of what stands before a progress bar

COMPILING = "compiling the search, once per installation: some 10 s that no time limit counts"


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
