"""`auto` beside every method that it could have taken, on random instances of all shapes.

    python benchmarks/auto.py [--shapes reported] [--limit 60] [--jobs 1] [--methods auto,ilp]

benchmarks/auto_shapes.py draws the shapes; those that `auto` was tuned on (``--shapes tuning``) are not those
that are reported. Each run is one solve in a process of its own, read from its trace at 1, 10 and 60 s, or at
the limit where that is less. A process that outlives its limit by far is ended, and that is a result too.
Runs are appended to runs.csv as they end, and what is there is not run again: start it as often as it takes.
Delete that file to measure anew. What a person found out about an exception goes into causes.txt, a line
``number: cause`` each.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from auto_page import Row, write_page
from auto_shapes import shape
from common import ROOT, clean_tree

import mecopt
from mecopt.result import gap
from mecopt.tolerances import OPTIMALITY_TOLERANCE

OUT = ROOT / "reports" / "auto"
METHODS = ("auto", "trellis", "energy-path", "decomposition", "ilp", "milp", "cpsat", "local-search")
COUNT = {"tuning": 24, "reported": 60}
MARKS_S = (1.0, 10.0, 60.0)
WARMING = (0, 1, 2, 12, 15)  # tuning shapes that between them load every compiled loop
START_S = 20.0  # what a process may take to start, to draw its shape, and to end after its limit


def measure(kind: str, i: int, method: str, limit: float) -> Row:
    """Solve once, in this process, and read the trace."""
    given = shape(kind, i)
    cpu = time.process_time()
    result = mecopt.solve(given.instance, method, time_limit_s=limit, bans=given.bans)
    row: Row = {
        "status": str(result.status),
        "objective": result.objective,
        "lower_bound": result.lower_bound,
        "gap": result.gap,
        "runtime_s": result.runtime_s,
        "cpu_s": time.process_time() - cpu,
        "proof_s": _proof_s(result),
        "picked": "+".join(result.options.get("picked", [])),
    }
    for n, mark in enumerate(marks(limit)):
        row[f"found_{n}"], row[f"gap_{n}"] = _at(result, mark)
    return row


def marks(limit: float) -> list[float]:
    """Return the moments at which traces are read, in seconds."""
    return [mark for mark in MARKS_S if mark < limit] + [limit]


def _proof_s(result: mecopt.Result) -> float | None:
    """Return when the trace closed the gap, or when infeasibility was proved; None without a proof."""
    if result.status == "infeasible":
        return result.runtime_s
    for moment, objective, bound in result.trace:
        between = gap(objective, bound)
        if between is not None and between <= OPTIMALITY_TOLERANCE:
            return moment
    return None


def _at(result: mecopt.Result, moment: float) -> tuple[bool, float | None]:
    """Return whether there was a feasible placement, and the gap, at a moment (seconds) of the trace."""
    before = [point for point in result.trace if point[0] <= moment]
    if not before or before[-1][1] is None:
        return False, None
    _, objective, bound = before[-1]
    return True, gap(objective, bound)


def run_apart(kind: str, i: int, method: str, limit: float) -> Row:
    """Measure in a process of its own, and end that if it does not end by itself."""
    command = [sys.executable, __file__, "--one", kind, str(i), method, "--limit", str(limit)]
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=1.5 * limit + START_S, check=False
        )
    except subprocess.TimeoutExpired:
        row: Row = {"status": "killed"}
    else:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        row = json.loads(done.stdout) if done.returncode == 0 else {"status": "failed", "error": last[0]}
    return row | {"wall_s": time.perf_counter() - start}


def methods_for(kind: str, i: int, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the methods that honour what the shape switches on."""
    couplings = shape(kind, i).couplings
    known = {method.name: method for method in mecopt.methods()}
    yield from (name for name in names if couplings <= known[name].honours)


FIELDS = (
    *("number", "kind", "method", "limit_s", "status", "objective", "lower_bound", "gap", "proof_s"),
    *(f"{name}_{n}" for n in range(len(MARKS_S)) for name in ("found", "gap")),
    *("runtime_s", "cpu_s", "wall_s", "picked", "error"),
)


def read(path: Path) -> list[Row]:
    """Read the runs that have ended; a last line that a kill cut short is left out, here and in the file."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        path.write_text("".join(lines))
    return [{key: _value(text) for key, text in row.items()} for row in csv.DictReader(lines)]


def _value(text: str) -> Any:
    if text in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[text]
    try:
        return float(text)
    except ValueError:
        return text


def append(path: Path, row: Row) -> None:
    """Add one run to the table."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        table = csv.DictWriter(file, FIELDS, restval="", lineterminator="\n")
        if new:
            table.writeheader()
        table.writerow(row)


def run_all(
    kind: str, numbers: list[int], names: tuple[str, ...], limit: float, jobs: int, out: Path
) -> None:
    """Run what runs.csv does not have yet."""
    path = out / "runs.csv"
    have = {(row["kind"], int(row["number"]), row["method"], row["limit_s"]) for row in read(path)}
    wanted = [(i, name) for i in numbers for name in methods_for(kind, i, names)]
    todo = [(i, name) for i, name in wanted if (kind, i, name, limit) not in have]
    print(
        f"{len(todo)} of {len(wanted)} runs to do, at most {len(todo) * limit / jobs / 60:.0f} minutes",
        file=sys.stderr,
    )
    if todo:  # whatever has to be compiled is compiled before anything is timed
        for i in WARMING:
            for name in methods_for("tuning", i, names):
                run_apart("tuning", i, name, 2.0)

    def work(job: tuple[int, str]) -> Row:
        i, name = job
        return {
            "number": i,
            "kind": kind,
            "method": name,
            "limit_s": limit,
            **run_apart(kind, i, name, limit),
        }

    with ThreadPoolExecutor(jobs) as pool:
        for n, row in enumerate(pool.map(work, todo), 1):
            append(path, row)
            print(
                f"{n}/{len(todo)} {row['number']} {row['method']}: {row['status']} {row['wall_s']:.1f} s",
                file=sys.stderr,
            )


def main() -> int:
    """Run and write the report; 1 when two methods contradict each other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shapes", choices=COUNT, default="reported")
    parser.add_argument("--numbers", help="some of them only, such as 0,5,7")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of every run")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        kind, number, method = given.one
        print(json.dumps(measure(kind, int(number), method, given.limit)))
        return 0
    given.out.mkdir(parents=True, exist_ok=True)
    numbers = (
        [int(n) for n in given.numbers.split(",")] if given.numbers else list(range(COUNT[given.shapes]))
    )
    run_all(given.shapes, numbers, tuple(given.methods.split(",")), given.limit, given.jobs, given.out)
    rows = [
        row for row in read(given.out / "runs.csv")
        if row["kind"] == given.shapes and row["limit_s"] == given.limit and int(row["number"]) in numbers
    ]  # fmt: skip
    contradictions = write_page(rows, given.shapes, marks(given.limit), given.out, " ".join(sys.argv[1:]))
    return 1 if contradictions else 0


if __name__ == "__main__":
    clean_tree()
    sys.exit(main())
