"""The machine that a profile is measured on: cores to pin to, governor, load, and the clock."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mecopt.comparing.machine import cores, description
from mecopt.errors import InputError
from mecopt.profiling.profile_document import MachineDoc

GOVERNORS = "/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"
LOOK_S = 0.3  # how long is looked for the cores that others use least
PACKAGES = ("numpy", "onnx", "onnxruntime", "torch")


@contextlib.contextmanager
def pinned(threads: int) -> Iterator[list[int] | None]:
    """Keep this process, and threads that it starts, on so many cores: those that others use least.

    Yields
    ------
    list of int, or None where the system does not pin

    Raises
    ------
    InputError
        If there are fewer cores.
    """
    if threads > cores():
        raise InputError(f"--threads {threads}: expected at most the {cores()} cores that there are")
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    import psutil

    before = os.sched_getaffinity(0)
    use = psutil.cpu_percent(LOOK_S, percpu=True)
    chosen = sorted(before, key=lambda core: use[core] if core < len(use) else 0.0)[:threads]
    os.sched_setaffinity(0, chosen)
    try:
        yield sorted(chosen)
    finally:
        os.sched_setaffinity(0, before)


def clock(threads: int) -> tuple[str, Callable[[], float]]:
    """Return the clock of a measurement, and its name.

    One thread is timed by the CPU seconds it takes, which others on its core do not lengthen; several by the
    wall.
    """
    return ("cpu", time.thread_time) if threads == 1 else ("wall", time.perf_counter)


def load_per_core() -> float | None:
    """Return the mean number of processes that want to run, a core, over the last minute."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except (OSError, AttributeError):
        return None


def machine(pinned_to: list[int] | None, load_before: float | None) -> MachineDoc:
    """Return the account of this machine, made at the end of a measurement."""
    known = description()
    return MachineDoc(
        cpu_model=known["cpu_model"],
        cores=known["cores"],
        memory_bytes=known["memory_bytes"],
        platform=known["platform"],
        python=known["python"],
        versions={name: found for name in PACKAGES if (found := version(name))},
        governor=_governor(pinned_to or [0]),
        load_before=load_before,
        load_after=load_per_core(),
    )


def version(package: str) -> str | None:
    """Return the version of an installed package, None where it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _governor(pinned_to: list[int]) -> str | None:
    found = set()
    for core in pinned_to:
        with contextlib.suppress(OSError):
            found.add(Path(GOVERNORS.format(core=core)).read_text().strip())
    return ", ".join(sorted(found)) or None
