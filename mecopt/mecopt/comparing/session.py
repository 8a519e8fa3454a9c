"""A comparison made: store, workers and progress brought together."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from mecopt.comparing import machine
from mecopt.comparing.drive import Drive, WorkerPool
from mecopt.comparing.run_plan import ComparisonPlan
from mecopt.comparing.store import RunStore
from mecopt.ray_cluster import check_engine

REFRESH_S = 0.5  # how often the progress bar asks the store, which other processes may fill too


def conduct(
    plan: ComparisonPlan,
    folder: str | os.PathLike[str],
    *,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    isolate: bool = False,
    progress: bool = False,
) -> None:
    """Make the runs of a plan that the folder does not have yet.

    Parameters
    ----------
    plan : Plan
    folder : path
    workers : int, optional
        Runs made at the same time; as many as the cores allow by default.
    engine : {"local", "ray"}
    address : str, optional
        Address of a Ray cluster; without one, Ray runs on this machine.
    isolate : bool
        One process for each run, so that its peak memory is known.
    progress : bool
        Show progress on standard error when that is a terminal.

    Raises
    ------
    InputError
        If workers times threads are more than the cores, or the folder holds something else.
    MissingExtraError
        If the engine is not installed.
    """
    check_engine(engine, address)
    pool: WorkerPool[Any] = _pool(plan, workers, engine, address, isolate)
    try:
        with RunStore(folder, plan) as store:
            store.put_conduct({"workers": pool.count, "engine": engine, "isolate": isolate})
            with _bar(store, progress and sys.stderr.isatty()) as tick:
                Drive(store, pool, plan.instances, tick).go()
    finally:
        pool.close()


def _pool(
    plan: ComparisonPlan, workers: int | None, engine: str, address: str | None, isolate: bool
) -> WorkerPool[Any]:
    if engine == "ray":
        from mecopt.comparing.ray_workers import RayPool

        return RayPool(workers, plan.threads, isolate, address)
    from mecopt.comparing.local_workers import LocalPool

    return LocalPool(machine.allowed_workers(workers, plan.threads, machine.cores()), plan.threads, isolate)


@contextmanager
def _bar(store: RunStore, shown: bool) -> Iterator[Callable[[], None]]:
    """Show a progress bar with the time that is left."""
    if not shown:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("comparing"), BarColumn(), MofNCompleteColumn(), TextColumn("runs, left"))
    total = store.total()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        # What was finished before is no measure of the speed now.
        before = total - store.unfinished()
        bar = progress.add_task("", total=total - before)
        asked = time.perf_counter()

        def tick() -> None:
            nonlocal asked
            if time.perf_counter() - asked >= REFRESH_S:
                asked = time.perf_counter()
                progress.update(bar, completed=total - before - store.unfinished())

        yield tick
