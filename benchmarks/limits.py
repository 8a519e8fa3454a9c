"""Do time limits hold? Wall time of every method at 0.1, 1 and 10 s, in a fresh process and in a used one.

Run: ``python benchmarks/limits.py`` (it says first how long that takes at most); writes reports/limits/.
``--methods``, ``--instances`` and ``--limits`` take a part, and only print. Every run is appended to
runs.jsonl there as it ends, and what is there is not run again: start it as often as it takes. Delete that
file to measure anew. ``--jobs N`` has N processes at a time, which makes wall times worse on fewer cores.

A process loads the instance, then calls `mecopt.solve` twice: the first call has to load what the second one
finds loaded. What is compiled once per installation is compiled before, by `mecopt.warm_up`.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path
from typing import Any

from common import ROOT, clean_tree, machine, table

import mecopt

OUT = ROOT / "reports" / "limits"
LIMITS_S = (0.1, 1.0, 10.0)
FACTOR, ALLOWANCE_S = 1.1, 0.5  # wall time is to stay within FACTOR * limit + ALLOWANCE_S
JOINED = "joined_600x10"
START_S = 1.0  # of a process and its instance, for the estimate
PATIENCE_S = 120.0  # beyond twice the limit, before a process is ended
Row = dict[str, Any]
Run = tuple[str, str, float]  # instance, method, limit

WORKER = """
import json, sys, time, warnings
import mecopt
path, method, limit = sys.argv[1], sys.argv[2], float(sys.argv[3])
instance = mecopt.load(path)
rows = []
warnings.simplefilter("ignore")
for process in ("fresh", "used"):
    cpu, wall = time.process_time(), time.perf_counter()
    row = {"process": process}
    try:
        found = mecopt.solve(instance, method, time_limit_s=limit)
        row["wall_s"] = time.perf_counter() - wall
        row |= {"status": str(found.status), "stopped_by": found.stopped_by, "gap": found.gap}
        row["objective"], row["bound"] = found.objective, found.lower_bound
        row["compiled_s"] = found.options.get("compiled_s", 0.0)
    except mecopt.InputError as error:
        row |= {"wall_s": time.perf_counter() - wall, "status": "refused", "error": str(error)[:200]}
    rows.append(row | {"cpu_s": time.process_time() - cpu})
print(json.dumps(rows))
"""


def instances(folder: Path) -> dict[str, Path]:
    """Return the files of the benchmark set, and that of 600 slots of 10 tasks that budgets join."""
    found = {
        path.name.split(".")[0]: path
        for path in sorted((ROOT / "instances").glob("*.json*"))
        if path.name != "best_known.json"
    }
    from joined import SEEDS, least_share, make

    share = ceil(least_share(SEEDS[0]) * 1e3) / 1e3
    found[JOINED] = folder / f"{JOINED}.json.gz"
    mecopt.save(make(SEEDS[0], share), found[JOINED])
    return found


def plan(files: dict[str, Path], methods: list[str], limits: list[float]) -> Iterator[Run]:
    """Yield what is to be measured: methods that take the instance's couplings."""
    for name, path in files.items():
        couplings = mecopt.load(path).rules.couplings
        for method in mecopt.methods():
            if method.name in methods and method.honours >= couplings:
                yield from ((name, method.name, limit) for limit in limits)


def measure(run: Run, path: Path) -> list[Row]:
    """Solve twice in a new process; a process that does not end is ended, and counts as that late."""
    name, method, limit = run
    command = [sys.executable, "-c", WORKER, str(path), method, str(limit)]
    patience = 2 * limit + PATIENCE_S
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
        rows = json.loads(done.stdout) if done.returncode == 0 else [failed(done.stderr[-200:])]
    except subprocess.TimeoutExpired:
        rows = [failed("did not end") | {"wall_s": patience}]
    return [{"instance": name, "method": method, "limit_s": limit, **row} for row in rows]


def failed(text: str) -> Row:
    return {"process": "fresh", "wall_s": 0.0, "cpu_s": 0.0, "status": "failed", "error": text}


def late(row: Row) -> float:
    """Return by how many seconds a run is over what is allowed; negative when within."""
    return float(row["wall_s"]) - FACTOR * row["limit_s"] - ALLOWANCE_S


def at_most_s(runs: list[Run]) -> float:
    """Return how long runs take when each uses its whole limit, twice."""
    return sum(START_S + 2 * (limit + ALLOWANCE_S) for _, _, limit in runs)


def read(path: Path) -> list[Row]:
    """Read the runs that have ended; a last line that a kill cut short is left out, here and in the file."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        path.write_text("".join(lines))
    return [json.loads(line) for line in lines]


def summary(rows: list[Row]) -> list[list[str]]:
    """Return a line for each method and limit: how late at worst, and where."""
    lines = []
    for method in sorted({row["method"] for row in rows}):
        for limit in sorted({row["limit_s"] for row in rows}):
            mine = [r for r in rows if (r["method"], r["limit_s"]) == (method, limit)]
            mine = [r for r in mine if r["status"] != "refused"]
            if mine:
                worst = max(mine, key=late)
                walls = [
                    [r["wall_s"] for r in mine if r["process"] == kind] or [0.0] for kind in ("fresh", "used")
                ]
                lines.append(
                    [
                        method,
                        f"{limit:g}",
                        f"{len(mine)}",
                        *(f"{f(w):.2f}" for w in walls for f in (statistics.median, max)),
                        f"{sum(late(r) > 0 for r in mine)}",
                        f"{worst['instance']}, {worst['process']}",
                    ]
                )
    return lines


HEADER = [
    "method", "limit s", "runs", "fresh, median s", "fresh, worst s", "used, median s", "used, worst s",
    "over", "worst on",
]  # fmt: skip


def write(rows: list[Row]) -> None:
    """Write the page and the raw numbers."""
    names = ["instance", "method", "limit_s", "process", "status", "stopped_by", "wall_s", "cpu_s"]
    names += ["objective", "bound", "gap", "compiled_s", "error"]
    with (OUT / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    over = sorted((row for row in rows if late(row) > 0), key=late, reverse=True)
    refused = sorted({row["method"] for row in rows if row["status"] == "refused"})
    runs = sum(row["status"] != "refused" for row in rows)
    page = [
        "# Time limits: wall time from the call to the result",
        "",
        "`python benchmarks/limits.py`; see benchmarks/protocol.md. Every method on every instance of the",
        f"benchmark set whose couplings it takes, and on `{JOINED}`: 600 slots of 10 tasks, joined by energy",
        "budgets (benchmarks/joined.py). One thread. A process loads the instance, not counted, and calls",
        '`mecopt.solve` twice, "fresh" and "used". What is compiled once per installation was compiled',
        "before.",
        "",
        f"Allowed: {FACTOR:g} x limit + {ALLOWANCE_S:g} s of wall time. "
        f"**{len(over)} of {runs} runs are over it.** "
        + (f"Without a policy for some instances: {', '.join(refused)}." if refused else ""),
        "",
        "## Over what is allowed",
        "",
        table(
            ["instance", "method", "limit s", "process", "wall s", "CPU s", "status"],
            [
                [r["instance"], r["method"], f"{r['limit_s']:g}", r["process"], f"{r['wall_s']:.2f}",
                 f"{r['cpu_s']:.2f}", r["status"]]
                for r in over
            ],
        )
        if over
        else "Nothing.",
        "",
        "## Every method",
        "",
        table(HEADER, summary(rows)),
        "",
        *machine("numpy", "numba", "highspy", "ortools", "pyomo", "torch"),
        "",
    ]  # fmt: skip
    (OUT / "README.md").write_text("\n".join(page))


def main() -> None:
    every = [method.name for method in mecopt.methods()]
    parser = argparse.ArgumentParser(description="Wall time of every method under time limits.")
    parser.add_argument("--methods", default=",".join(every), help="names, with commas")
    parser.add_argument("--instances", default="", help="names or parts of names, with commas")
    parser.add_argument("--limits", default=",".join(map(str, LIMITS_S)), help="seconds, with commas")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    given = parser.parse_args()
    methods, limits = given.methods.split(","), [float(text) for text in given.limits.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        files = {
            name: path
            for name, path in instances(Path(folder)).items()
            if not given.instances or any(part in name for part in given.instances.split(","))
        }
        runs = list(plan(files, methods, limits))
        whole = methods == every and limits == list(LIMITS_S) and not given.instances
        log = OUT / "runs.jsonl" if whole else None
        rows = [] if log is None else read(log)
        known = {(row["instance"], row["method"], row["limit_s"]) for row in rows}
        missing = [run for run in runs if run not in known]
        minutes = at_most_s(missing) / given.jobs / 60
        print(f"{len(missing)} processes, {minutes:.0f} minutes at most", flush=True)
        mecopt.warm_up(methods)
        start = time.perf_counter()
        with ThreadPoolExecutor(given.jobs) as pool:
            for found in pool.map(lambda run: measure(run, files[run[0]]), missing):
                rows += found
                if log is not None:
                    OUT.mkdir(parents=True, exist_ok=True)
                    with log.open("a") as file:
                        file.writelines(json.dumps(row) + "\n" for row in found)
                for row in found:
                    if late(row) > 0 or row["status"] == "failed" or log is None:
                        print(line(row), flush=True)
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")
    for cells in summary(rows):
        print(" | ".join(cells))
    if whole:
        write(rows)


def line(row: Row) -> str:
    """Return a run as one line."""
    mark = f"LATE by {late(row):.2f}" if late(row) > 0 else ""
    gap = "" if row.get("gap") is None else f"gap {row['gap']:.2g}"
    return (
        f"{row['method']:14} {row['instance']:24} {row['limit_s']:<5g} {row['process']:5} "
        f"wall {row['wall_s']:7.2f} CPU {row['cpu_s']:7.2f} {row['status']:10} {gap} {mark}"
    )


if __name__ == "__main__":
    clean_tree()
    main()
