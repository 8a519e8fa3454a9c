"""A reproduction made: trainings, comparison, verdicts, figures and the page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from mecopt.errors import InputError, MissingExtraError
from mecopt_rl.reproduce import experiments as ex
from mecopt_rl.reproduce import running as run

NEEDED = ("torch", "gymnasium", "safetensors", "altair", "vl_convert", "PIL")

Progress = Callable[[int, int], AbstractContextManager[run.Tick]]  # of so many, so many were there before


@dataclass(frozen=True)
class Reproduced:
    """What was made: the folder, its files, and the numbers for programs."""

    folder: Path
    files: list[str]
    document: dict[str, Any]


def reproduce(
    names: Iterable[str],
    out: str | os.PathLike[str],
    *,
    budget: str | ex.Budget = "quick",
    seeds: int | None = None,
    setting: str | os.PathLike[str] | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    progress: Progress | None = None,
) -> Reproduced:
    """Make figures of the paper again.

    Parameters
    ----------
    names : iterable of str
        ``fig6`` to ``fig13``, or ``all``.
    out : path
        Folder. What is finished in it is not made again; figures and seeds can be added.
    budget : {"quick", "medium", "full"} or Budget
    seeds : int, optional
        Seeds instead of the budget's.
    setting : path, optional
        File of a setting of one's own: the figures are made in it alone, and no claim of the paper is judged.
    engine, address
        As of `mecopt.compare`, for the comparisons; trainings run on this machine.
    progress : callable, optional
        ``progress(total, done)`` gives a context whose value is called after every training.

    Raises
    ------
    InputError
        If there is no such figure or budget, the figures cannot be made in the setting, or the folder holds
        something else.
    MissingExtraError
        If PyTorch or the libraries of the figures are not installed.
    KeyboardInterrupt
        What is finished is kept; the same call goes on.
    """
    from mecopt.cli.common import working

    wanted = ex.figures(names)
    if not wanted:
        raise InputError(f"no figure, expected some of {', '.join(ex.FIGURES)}, or all")
    own = ex.BUDGETS.get(budget) if isinstance(budget, str) else budget
    if own is None:
        raise InputError(f"budget: {budget!r}, expected one of {', '.join(ex.BUDGETS)}")
    count = own.seeds if seeds is None else seeds
    if count < 1:
        raise InputError(f"seeds: {count}, expected at least 1")
    if address is not None and engine != "ray":
        raise InputError(f"address: {address!r}, but the engine is {engine!r}, expected 'ray'")
    if any(find_spec(name) is None for name in NEEDED):
        raise MissingExtraError("mecopt reproduce", "rl,report")
    if engine == "ray" and find_spec("ray") is None:
        raise MissingExtraError("engine 'ray'", "ray")
    if setting is not None:
        from mecopt_rl.reproduce.own_axes import own_base

        own = replace(own, own=own_base(os.fspath(setting), wanted))
    folder = Path(out)
    every = run.open_folder(folder, wanted, own, count)
    with run.quiet():
        work = run.jobs(every, own, count)
        done = sum(run.course(folder, job) is not None for job in work)
        with nullcontext(lambda: None) if progress is None else progress(len(work), done) as tick:
            run.train_all(folder, work, tick)
        command = _command(every, own, count)
        meetings = run.meetings(folder, every, own, count)
        run.check_policies(meetings)
        with nullcontext() if progress is None else working("making the instances"):
            plan = run.plan(meetings, command)
        run.compare(folder, plan, engine=engine, address=address)
        with nullcontext() if progress is None else working("drawing"):
            return _written(folder, every, own, count, command)


def _command(names: Iterable[str], budget: ex.Budget, seeds: int) -> str:
    given = tuple(names)
    words = ["all"] if given == tuple(ex.FIGURES) else list(given)
    own = [] if budget.own is None else ["--setting", shlex.quote(budget.own.path)]
    return " ".join(["mecopt reproduce", *words, *own, f"--budget {budget.name} --seeds {seeds}"])


def _written(folder: Path, names: tuple[str, ...], budget: ex.Budget, seeds: int, command: str) -> Reproduced:
    """Read the results, judge, draw, and write all files."""
    from mecopt.reporting.build import write_all
    from mecopt_rl.reproduce import paper_figures, paper_page, results
    from mecopt_rl.training.preconditions import check_still_there

    found = results.collect(folder, names, budget, seeds)
    answers = paper_page.answers(found)
    varied = paper_page.varied(found)
    files = paper_figures.draw(found)
    files |= paper_page.tables(found, answers)
    files["README.md"] = paper_page.page(
        found, answers, varied, command
    ).encode()  # last: all it names is there
    check_still_there(folder / run.RECORD)
    write_all(folder, files)
    document = {
        "folder": str(folder),
        "command": command,
        "figures": list(names),
        "budget": budget.to_json() | {"seeds": seeds},
        "setting": None if budget.own is None else budget.own.name,
        "summaries": paper_page.summaries(found),
        "verdicts": paper_page.verdicts(answers),
        "claims": [answer.to_json() for answer in answers],
        "choices": varied,
        "cpu_s": {name: round(value, 1) for name, value in found.cpu_s.items()},
        "files": list(files),
    }
    return Reproduced(folder, list(files), document)
