"""Seconds and memory of the command line, each run in a process of its own.

Run: ``python benchmarks/command_line.py``; writes reports/command_line/.
"""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import ROOT, clean_tree, machine, random_instance, table

import mecopt

OUT = ROOT / "reports" / "command_line"
REPEATS = 7
MECOPT = Path(sys.executable).parent / "mecopt"


# A small process in between: a child's peak memory begins with that of the process that starts it.
WATCH = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
wall = time.perf_counter() - start
print(json.dumps([done.returncode, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def run(*arguments: str) -> dict[str, float]:
    """Run the command once; return wall and CPU seconds and the largest memory in MB."""
    watch = [sys.executable, "-S", "-c", WATCH, str(MECOPT), *arguments]
    status, *figures = json.loads(subprocess.run(watch, capture_output=True, text=True, check=True).stdout)
    if status != 0:
        sys.exit(f"mecopt {' '.join(arguments)} ended with {status}")
    return dict(zip(("wall_s", "cpu_s", "memory_mb"), figures, strict=True))


def main() -> None:
    """Measure, and write the report."""
    OUT.mkdir(parents=True, exist_ok=True)
    raw = []
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for blocks, servers in ((6, 4), (18, 9)):
            files[blocks] = f"{folder}/{blocks}x{servers}.json"
            mecopt.save(random_instance(36_000, blocks, servers, seed=1), files[blocks])
        cases = {
            "mecopt --help": ("--help",),
            "mecopt solve instances/alexnet_6es.json": ("solve", f"{ROOT}/instances/alexnet_6es.json"),
            "mecopt solve, 36,000 tasks, M = 6, N = 4": ("solve", files[6]),
            "mecopt solve --json, 36,000 tasks, M = 6, N = 4": ("solve", files[6], "--json"),
            "mecopt solve, 36,000 tasks, M = 18, N = 9": ("solve", files[18]),
        }
        for name, arguments in cases.items():
            run(*arguments)  # the second call on: files in the cache, the kernel compiled
            raw += [{"case": name, **run(*arguments)} for _ in range(REPEATS)]
    rows = []
    for name in cases:
        runs = [row for row in raw if row["case"] == name]
        wall = [row["wall_s"] for row in runs]
        rows.append(
            [
                f"`{name}`" if "," not in name else name,
                f"{statistics.median(wall):.2f}",
                f"{min(wall):.2f} to {max(wall):.2f}",
                f"{statistics.median(row['cpu_s'] for row in runs):.2f}",
                f"{max(row['memory_mb'] for row in runs):.0f}",
            ]
        )
    page = [
        "# The command line",
        "",
        f"`python benchmarks/command_line.py`; {REPEATS} runs each after one that is not counted.",
        "",
        table(["command", "wall [s], median", "wall, least to largest", "CPU [s]", "peak memory [MB]"], rows),
        "",
        *machine("numpy", "pydantic", "click", "rich", "numba"),
    ]
    (OUT / "README.md").write_text("\n".join(page) + "\n")
    with (OUT / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(raw[0]))
        writer.writeheader()
        writer.writerows(raw)
    print("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main()
