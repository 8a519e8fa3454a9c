"""`decomposition` and `auto` beside `ilp` and `cpsat`: the certified gap at 1, 10 and 60 s of one run each.

Run: ``python benchmarks/head_to_head.py`` (12 cases x 4 methods x 5 seeds x 1 minute: up to 4 hours);
writes reports/head_to_head/. Every run is appended to runs.jsonl there as it ends, and what is there is not
run again: start it as often as it takes. Delete that file to measure anew.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import ROOT, clean_tree, machine, table
from decomposition import crowd, two_models

import mecopt
from mecopt.result import gap

OUT = ROOT / "reports" / "head_to_head"
OURS = ("decomposition", "auto")
PEERS = ("ilp", "cpsat")
MARKS_S = (1.0, 10.0, 60.0)
EQUAL = 1e-6  # gaps that differ by less are the same: proved optimal (model.md)
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Some instances, a seed each."""

    name: str
    make: Callable[[int], mecopt.Instance]


CASES = (
    *(
        Case(f"K = {tasks}, N = {servers}, ratio {ratio}", crowd(batch=tasks, servers=servers, ratio=ratio))
        for tasks, servers, ratio in (
            (1000, 4, 1.0),
            (1000, 4, 1.1),
            (300, 4, 1.0),
            (300, 4, 1.1),
            (60, 4, 1.0),
            (60, 4, 1.1),
            (60, 9, 1.1),
            (10, 4, 1.1),
            (10, 4, 1.3),
            (10, 9, 1.1),
        )
    ),
    Case("memory, 60 tasks, 2 models, N = 4", two_models),
    Case(
        "energy and capacity, 6 slots x 10 tasks",
        crowd(slots=6, batch=10, ratio=0.9, couplings=("capacity", "energy"), energy_budget_share=1.01),
    ),
)


def measure(case: Case, method: str, seed: int, marks: tuple[float, ...], threads: int) -> Row:
    """Solve once, and read the gap at every mark from the trace."""
    instance = case.make(seed)
    cpu, wall = time.process_time(), time.perf_counter()
    result = mecopt.solve(instance, method, time_limit_s=marks[-1], seed=seed, threads=threads)
    return {
        **key(case, method, seed, marks, threads),
        "status": str(result.status),
        "objective": result.objective,
        "lower_bound": result.lower_bound,
        "gaps": [_gap_at(result.trace, mark) for mark in marks],
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "version": mecopt.__version__,
    }


def _gap_at(trace: tuple[tuple[float, float | None, float | None], ...], mark: float) -> float | None:
    """Return the gap at the last point of a trace up to a time; None without a placement or a bound."""
    before = [point for point in trace if point[0] <= mark]
    return gap(*before[-1][1:]) if before else None


def key(case: Case, method: str, seed: int, marks: tuple[float, ...], threads: int) -> Row:
    """Return what tells one run from another."""
    return {
        "case": case.name,
        "method": method,
        "seed": seed,
        "marks_s": list(marks),
        "threads": threads,
    }


def done(path: Path) -> list[Row]:
    """Read the runs that have ended; a last line that a kill cut short is left out, here and in the file."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        path.write_text("".join(lines))
    return [json.loads(line) for line in lines]


def behind(rows: list[Row], mark: int) -> int:
    """Count the seeds at which `decomposition` or `auto` has a larger gap than a peer at a mark."""
    count = 0
    for seed in {row["seed"] for row in rows}:
        gaps = {row["method"]: row["gaps"][mark] for row in rows if row["seed"] == seed}
        sizes = {method: float("inf") if gap is None else gap for method, gap in gaps.items()}
        ours = [sizes[method] for method in OURS if method in sizes]
        peers = [sizes[method] for method in PEERS if method in sizes]
        count += bool(ours and peers) and max(ours) > min(peers) + EQUAL
    return count


def line(rows: list[Row], case: Case, marks: tuple[float, ...]) -> list[str]:
    """Return the line of one case: the median gap of every method at every mark."""
    mine = [row for row in rows if row["case"] == case.name]
    cells = [case.name]
    for method in (*OURS, *PEERS):
        gaps = [row["gaps"] for row in mine if row["method"] == method]
        cells.append(" / ".join(_median([gap[at] for gap in gaps]) for at in range(len(marks))))
    seeds = len({row["seed"] for row in mine})
    return [*cells, " / ".join(f"{behind(mine, at)}" for at in range(len(marks))) + f" of {seeds}"]


def _median(gaps: list[float | None]) -> str:
    if not gaps:
        return ""
    median = statistics.median(float("inf") if gap is None else gap for gap in gaps)
    return "none" if median == float("inf") else "0" if median <= EQUAL else f"{median:.1e}"


def write(out: Path, rows: list[Row], marks: tuple[float, ...], threads: int) -> None:
    """Write the page."""
    times = " / ".join(f"{mark:g}" for mark in marks)
    header = ["case", *(f"`{method}`" for method in (*OURS, *PEERS)), "behind"]
    page = [
        "# Head to head: certified gaps at the same time",
        "",
        "`python benchmarks/head_to_head.py`; see benchmarks/protocol.md. One run a method and seed; the",
        f"median certified gap (objective above the method's own bound) after {times} s, wall, read from",
        f'the trace; 0: proved optimal, "none": no placement or no bound yet. Threads: {threads}.',
        "Compilation is not counted. `behind`: seeds at which `decomposition` or `auto` has a larger gap",
        "than `ilp` or `cpsat`.",
        "",
        table(
            header, [line(rows, case, marks) for case in CASES if any(r["case"] == case.name for r in rows)]
        ),
        "",
        *machine("numpy", "numba", "highspy", "ortools"),
        "",
    ]
    (out / "README.md").write_text("\n".join(page))


def main() -> None:
    """Run what has not been run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[*range(5)], help="instances of every case")
    parser.add_argument(
        "--marks", type=float, nargs="+", default=MARKS_S, help="seconds, the last is the limit"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of every method")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument(
        "--methods", nargs="+", default=[*OURS, *PEERS], choices=[*OURS, *PEERS], help="methods to run now"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the report")
    arguments = parser.parse_args()
    marks, threads = tuple(sorted(arguments.marks)), arguments.threads
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "runs.jsonl"
    rows = done(path)
    warm = mecopt.generate("crowd", seed=99, batch=300)
    mecopt.solve(warm, "decomposition", gap=1e-4, time_limit_s=10)  # compiles
    few = mecopt.generate("crowd", seed=99, batch=10, servers=9)
    mecopt.solve(few, "decomposition", time_limit_s=10)  # compiles what few tasks need
    for seed in arguments.seeds:
        for case in (case for case in CASES if arguments.only in case.name):
            for method in arguments.methods:
                wanted = key(case, method, seed, marks, threads)
                if any(wanted.items() <= row.items() for row in rows):
                    continue
                row = measure(case, method, seed, marks, threads)
                rows.append(row)
                with path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(case.name, method, seed, row["status"], row["gaps"], file=sys.stderr, flush=True)
    same = [row for row in rows if row["marks_s"] == list(marks) and row["threads"] == threads]
    write(arguments.out, same, marks, threads)


if __name__ == "__main__":
    clean_tree()
    main()
