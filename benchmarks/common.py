"""What all benchmarks share: timing, random instances, and the account of the machine."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mecopt

TOLD, VARIABLE = "--dirty", "MECOPT_BENCHMARK_DIRTY"
ROOT = Path(__file__).resolve().parent.parent


def timed(work: Callable[[], Any], *, repeats: int = 7, warmups: int = 1) -> dict[str, float]:
    """Run `work` several times; return median, least and largest CPU seconds, and median wall seconds."""
    for _ in range(warmups):
        work()
    cpu, wall = [], []
    for _ in range(repeats):
        start_cpu, start = time.process_time(), time.perf_counter()
        work()
        cpu.append(time.process_time() - start_cpu)
        wall.append(time.perf_counter() - start)
    return {
        "cpu_s": statistics.median(cpu),
        "cpu_least_s": min(cpu),
        "cpu_largest_s": max(cpu),
        "wall_s": statistics.median(wall),
    }


def random_instance(
    tasks: int,
    blocks: int,
    servers: int,
    *,
    seed: int,
    uniform: bool = True,
    preset: str = "paper",
    **rules: Any,
) -> mecopt.Instance:
    """Return an uncoupled instance with server speeds that vary by slot, 60 tasks a slot."""
    rng = np.random.default_rng(seed)
    slots = -(-tasks // 60)
    chain = [mecopt.Block(rng.uniform(1e7, 1e9), rng.uniform(1e5, 3e6)) for _ in range(blocks)]
    return mecopt.Instance(
        name=f"random-{tasks}x{blocks}x{servers}",
        slot_count=slots,
        models=(mecopt.Model("chain", tuple(chain), output_bits=1e4),),
        devices=(mecopt.Device("camera", 1e9, transmit_power_w=0.5),),
        servers=tuple(mecopt.Server(f"es{n + 1}", rng.uniform(2e9, 8e9, slots)) for n in range(servers)),
        links=mecopt.Links.of(servers, 1e8 if uniform else rng.uniform(5e7, 2e8, (servers, servers))),
        tasks=mecopt.Tasks.of(
            slot=np.arange(tasks) // 60,
            device=0,
            model=0,
            rate_bps=rng.uniform(6.4e6, 1.6e7, (tasks, servers)),
            blocks=blocks,
        ),
        rules=mecopt.Rules.preset(preset, **{"deadline": "none", **rules}),
    )


def machine(*packages: str) -> list[str]:
    """Return the lines that say where and with what the numbers were measured."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
        processor = f"{names[0]}, {len(names)} logical cores" if names else processor
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return [
        f"- measured on {datetime.date.today()}, commit {commit()}",
        f"- {processor}; {platform.system()}, Python {platform.python_version()}",
        f"- mecopt {mecopt.__version__}, {versions}",
    ]


def clean_tree() -> None:
    """Refuse to measure code that no commit has, unless told to by ``--dirty``.

    The first thing that a benchmark does; what it starts is told by the environment.
    """
    if TOLD in sys.argv:
        sys.argv.remove(TOLD)
        os.environ[VARIABLE] = "1"
    changed = _changed()
    if changed and not os.environ.get(VARIABLE):
        raise SystemExit(
            f"{changed[0]} and {len(changed) - 1} more differ from the commit: figures are of a commit, so "
            f"commit first, or give {TOLD} to measure nevertheless (the report then says so)"
        )


def _changed() -> list[str]:
    """Return what differs from the commit; a report that is being written does not count."""
    tracked = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!reports")
    new = _git("ls-files", "--others", "--exclude-standard", "--", "*.py", ":!reports")
    return [line.split()[-1] for line in (*tracked.splitlines(), *new.splitlines())]


def commit() -> str:
    """Return the commit, with a remark where the code is not that of the commit."""
    head = _git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{head}-dirty (with changes that are in no commit)" if _changed() else head


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
