"""The machine that runs are measured on, and the processes on it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import time
from functools import cache
from pathlib import Path
from typing import Any

from mecopt.errors import InputError
from mecopt.scalars import whole

PACKAGES = ("numpy", "highspy", "ortools", "numba", "torch")
CLOCK_STEP_S = 5.0  # start times of processes are counted from the boot, whose time a clock update moves


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def allowed_workers(workers: int | None, threads: int, cores: int) -> int:
    """Return the number of workers, so that with their threads they fit the cores.

    Raises
    ------
    InputError
        If they do not fit.
    """
    if threads > cores:
        raise InputError(f"threads: {threads}, expected at most the {cores} cores that there are")
    if workers is None:
        return cores // threads
    workers = whole("workers", workers, 1)
    if workers * threads > cores:
        raise InputError(
            f"workers: {workers} with {threads} threads each are {workers * threads}, "
            f"expected at most the {cores} cores that there are"
        )
    return workers


@cache
def description() -> dict[str, Any]:
    """Return what of this machine and its software a reader of times must know."""
    import psutil

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_model": _cpu_model(),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


@cache
def machine_id() -> str:
    """Return what tells this machine from others without giving its name away."""
    text = f"{platform.node()} {_cpu_model()} {platform.machine()}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def started(pid: int) -> float | None:
    """Return when a process of this machine began, in seconds since 1970; None where there is none."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:  # it is there, but belongs to somebody else
        return time.time()


def alive(machine: str, pid: int, since: float) -> bool:
    """Say whether a process is still there; one of another machine is taken for dead (docs/compare.md)."""
    if machine != machine_id():
        return False
    found = started(pid)
    return found is not None and abs(found - since) < CLOCK_STEP_S


def peak_memory_bytes() -> int | None:
    """Return the largest resident memory of this process so far; None where the system does not tell.

    Linux carries the peak of the process that started this one over into `getrusage`, so `VmHWM` is read
    there, which begins anew with every program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
