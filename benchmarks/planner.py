"""What a planner's answer costs: one task, many tasks, threads, JSON lines, and the same through `solve`.

Run: ``python benchmarks/planner.py``; writes reports/planner/.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, clean_tree, machine, random_instance, table

import mecopt

OUT = ROOT / "reports" / "planner"
MECOPT = Path(sys.executable).parent / "mecopt"
REPEATS = 15
THREADS, CORES = 4, os.cpu_count()
SERVERS, BLOCKS = 4, 6


def plain_python(instance: mecopt.Instance) -> Callable[[list[float]], tuple[float, list[int]]]:
    """Return the shortest path of the instance's first task as a programme without any library would find it.

    It knows this instance's rules alone (`paper`, one batch, equal server links); it checks nothing.
    """
    device = instance.devices[0].cycles_per_s or 1.0
    speeds = [float(s.cycles_per_s[0]) for s in instance.servers]  # type: ignore[index]
    hop = 1.0 / float(instance.links.server_bps[0, 1])
    blocks = [(float(b.input_bits), float(b.cycles)) for b in instance.models[0].blocks]  # type: ignore[arg-type]
    nodes = range(SERVERS)

    def plan(rates: list[float]) -> tuple[float, list[int]]:
        (bits, cycles), *rest = blocks
        home, away = cycles / device, [bits / rates[n] + cycles / speeds[n] for n in nodes]
        came: list[list[int]] = []
        for bits, cycles in rest:
            least = min(away)
            best, row = away.index(least), []
            stay, back = home + cycles / device, least + cycles / device
            row.append(0 if stay <= back else best + 1)
            now = []
            for n in nodes:
                calc = cycles / speeds[n]
                radio, same, far = home + bits / rates[n], away[n], least + bits * hop
                before = min(radio, same, far)
                row.append(0 if before == radio else n + 1 if before == same else best + 1)
                now.append(before + calc)
            home, away = min(stay, back), now
            came.append(row)
        value = min(home, *away)
        node = 0 if value == home else away.index(value) + 1
        path = [node]
        for row in reversed(came):
            node = row[node]
            path.append(node)
        return value, path[::-1]

    return plan


def cpu(work: Callable[[], Any], calls: int) -> list[float]:
    """Return CPU seconds of a call, for every repeat."""
    work()
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        for _ in range(calls):
            work()
        found.append((time.process_time() - start) / calls)
    return found


def threads(planner: mecopt.Planner, rates: np.ndarray) -> list[float]:
    """Return by how much four threads get more done in a second than one, for every repeat."""

    def some(_: int) -> None:
        for _ in range(40):
            planner.plan(rates=rates)

    found = []
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(some, range(THREADS)))
        for _ in range(REPEATS):
            start = time.perf_counter()
            for i in range(THREADS):
                some(i)
            alone = time.perf_counter() - start
            start = time.perf_counter()
            list(pool.map(some, range(THREADS)))
            found.append(alone / (time.perf_counter() - start))
    return found


def lines(folder: str, one: mecopt.Instance, rates: np.ndarray) -> list[float]:
    """Return lines a CPU second of `mecopt plan`, Python's start and the layout not counted."""
    file, wanted, short = f"{folder}/one.json", f"{folder}/lines", f"{folder}/short"
    mecopt.save(one, file)
    Path(wanted).write_text("".join(json.dumps({"rates": row.tolist()}) + "\n" for row in rates))
    Path(short).write_text("{}\n")
    found = []
    for _ in range(5):
        seconds = [child("plan", file, stdin=text) for text in (short, wanted)]
        found.append(len(rates) / (seconds[1] - seconds[0]))
    return found


def child(*arguments: str, stdin: str | None = None) -> float:
    """Run the command once; return its CPU seconds."""
    before = os.times()
    with open(stdin or os.devnull, "rb") as source:
        subprocess.run([MECOPT, *arguments], stdin=source, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    used = after.children_user - before.children_user
    return used + after.children_system - before.children_system


def measured() -> list[tuple[str, str, str, float, list[float]]]:
    """Return case, unit, goal, factor into the unit, and the raw figures."""
    one, thousand, big = (random_instance(k, BLOCKS, SERVERS, seed=1) for k in (1, 1000, 36_000))
    rng = np.random.default_rng(7)
    rates, row = rng.uniform(6.4e6, 1.6e7, (1000, SERVERS)), rng.uniform(6.4e6, 1.6e7, SERVERS)
    speeds, planner, plain = np.full(SERVERS, 4e9), mecopt.Planner(one), plain_python(one)
    ours, listed = planner.plan(rates=row), row.tolist()
    value, path = plain(listed)
    assert path == ours.placements[0].tolist()
    assert abs(value - ours.delays[0]) < 1e-9 * value
    whole = mecopt.Planner(big)
    mecopt.solve(big, "trellis")
    from mecopt import trellis_numba  # as a process has it that goes on asking

    assert trellis_numba
    cases = [
        ("one task, rates changed", "us", "20", 1e6, cpu(lambda: planner.plan(rates=row), 1000)),
        ("the same, rates a list", "us", "20", 1e6, cpu(lambda: planner.plan(rates=listed), 1000)),
        ("the same in plain Python, unjudged", "us", "", 1e6, cpu(lambda: plain(listed), 1000)),
        (
            "one task, rates, speeds, deadlines and batch changed",
            "us",
            "",
            1e6,
            cpu(lambda: planner.plan(rates=row, speeds=speeds, deadlines=9.0, batch=2), 1000),
        ),
        ("one task, `mecopt.solve`", "us", "", 1e6, cpu(lambda: mecopt.solve(one, "trellis").objective, 100)),
        ("1,000 tasks in a call", "us", "150", 1e6, cpu(lambda: planner.plan(rates=rates), 100)),
        ("1,000 tasks, `mecopt.solve`", "us", "", 1e6, cpu(lambda: mecopt.solve(thousand, "trellis"), 20)),
        ("36,000 tasks in a call, a task", "ns", "", 1e9 / 36_000, cpu(whole.plan, 3)),
        (
            "36,000 tasks, `mecopt.solve`, a task",
            "ns",
            "300",
            1e9 / 36_000,
            cpu(lambda: mecopt.solve(big, "trellis").objective, 3),
        ),
        ("four threads against one, 1,000 tasks a call", "times", "1.8", 1.0, threads(planner, rates)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        many = np.tile(rates, (20, 1))
        cases.append(
            ("`mecopt plan`, JSON lines of one task", "lines/s", "8,000", 1.0, lines(folder, one, many))
        )
        mecopt.save(big, f"{folder}/big.json")
        files = [child("solve", f"{folder}/big.json", "--out", f"{folder}/out.json") for _ in range(5)]
        cases.append(("`mecopt solve`, 36,000 tasks, file to file", "s", "0.25", 1.0, files))
    return cases


def main() -> None:
    """Measure, and write the report."""
    OUT.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    cases = measured()
    with (OUT / "runs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "unit", "repeat", "value"])
        for name, unit, _, factor, raw in cases:
            writer.writerows([name, unit, i, value * factor] for i, value in enumerate(raw))
    rows = []
    for name, unit, goal, factor, raw in cases:
        figures = [value * factor for value in raw]
        digits = 0 if max(figures) >= 100 else 2 if max(figures) < 10 else 1
        shown = [f"{f(figures):,.{digits}f}" for f in (statistics.median, min, max)]
        rows.append([name, unit, shown[0], f"{shown[1]} to {shown[2]}", goal or "-"])
    page = [
        "# The planner",
        "",
        f"`python benchmarks/planner.py`; N = {SERVERS}, M = {BLOCKS}; CPU time but for the threads;",
        f"{REPEATS} repeats of many calls (5 of the commands); placement, bound and judge included.",
        "Every answer has the bits of `mecopt.solve`, which tests hold.",
        "",
        table(["case", "unit", "median", "least to largest", "goal"], rows),
        "",
        *machine("numpy", "numba"),
        f"- {CORES} cores, load average {load:.1f} when it began: where that is above 1 others were at work,",
        "  and two busy hyperthreads of a core slow each other down, in CPU time too",
    ]
    (OUT / "README.md").write_text("\n".join(page) + "\n")
    print("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main()
