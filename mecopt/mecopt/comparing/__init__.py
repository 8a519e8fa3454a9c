"""`compare`: many methods on many instances under equal conditions, kept run by run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from mecopt.comparing.table import Comparison

if TYPE_CHECKING:
    import pandas as pd

    from mecopt.comparing.choices import MethodChoices
    from mecopt.comparing.run_plan import Source

__all__ = ["Comparison", "compare"]


def compare(
    instances: Source | Iterable[Source],
    methods: MethodChoices,
    *,
    seeds: int = 1,
    time_limit_s: float | None = None,
    gap: float | None = None,
    threads: int = 1,
    workers: int | None = None,
    out: str | os.PathLike[str] | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    isolate: bool = False,
    progress: bool = False,
    rerun: str | Iterable[str] = (),
) -> pd.DataFrame:
    """Run methods on instances, and return the table of the runs.

    Parameters
    ----------
    instances : Instance, path, glob, folder, shipped name or generator spec, or an iterable of these
        A spec such as ``"paper:servers=2..9"`` may stand for several.
    methods : str, Method, callable, a pair of one of these and options, an iterable or a dict of them
        What `solve` takes as a method; ``"name=FILE"`` gives a learner its policy, a pair ``(method, {option:
        value})`` any options. A dict gives the methods the names that they have in the table.
    seeds : int
        Methods with randomness run with seeds 0 to seeds - 1, the others once.
    time_limit_s, gap : float, optional
        As in `solve`, for every run. A run that is late by more than 10 % and 2 s is ended from outside.
    threads : int
        Threads of each run.
    workers : int, optional
        Runs made at the same time, by default as many as the cores allow.
    out : path, optional
        Folder that keeps the runs. The same call goes on where another one stopped, and repeats nothing.
    engine : {"local", "ray"}
        Processes on this machine, or a Ray cluster.
    address : str, optional
        Address of the Ray cluster.
    isolate : bool
        One process for each run, whose peak memory is kept.
    progress : bool
        Show progress on standard error when that is a terminal.
    rerun : str or iterable of str
        Names of methods whose finished runs in `out` are made again.

    Returns
    -------
    DataFrame
        One row a run (docs/compare.md). A method that fails is a row that says so.

    Raises
    ------
    InputError
        If nothing matches, a method does not exist or cannot be sent to another process, or the folder holds
        another comparison.
    MissingExtraError
        If Ray is asked for and not installed.

    Examples
    --------
    >>> import mecopt
    >>> table = mecopt.compare("camera-alexnet:slots=10", ["trellis"], workers=1)
    >>> table[["method", "status"]].values.tolist()
    [['trellis', 'optimal']]
    """
    from mecopt.comparing.run_plan import ComparisonPlan
    from mecopt.comparing.session import conduct

    plan = ComparisonPlan.of(
        instances, methods, seeds=seeds, time_limit_s=time_limit_s, gap=gap, threads=threads, rerun=rerun
    )
    with tempfile.TemporaryDirectory(prefix="mecopt-") as temporary:
        folder = temporary if out is None else out
        conduct(
            plan,
            folder,
            workers=workers,
            engine=engine,
            address=address,
            isolate=isolate,
            progress=progress,
        )
        with Comparison.open(folder) as comparison:
            return comparison.runs
