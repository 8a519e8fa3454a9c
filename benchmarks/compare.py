"""What `mecopt compare` costs beside the solves themselves, and how fast its table is read.

Run: ``python benchmarks/compare.py``; writes reports/compare/.
"""

from __future__ import annotations

import csv
import datetime
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import ROOT, clean_tree, machine, random_instance, table

import mecopt
from mecopt.comparing import database, store
from mecopt.comparing.run_plan import ComparisonPlan

OUT = ROOT / "reports" / "compare"
ROWS = 100_000
STARTS = 5  # comparisons of one run

# A reading process of its own, so that its memory is that of reading alone.
READ = """
import json, resource, sys, time
from mecopt.comparing import Comparison
start, cpu = time.perf_counter(), time.process_time()
with Comparison.open(sys.argv[1]) as comparison:
    found = [len(comparison.runs), len(comparison.traces()), len(comparison.node_shares())]
figures = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"found": found, **figures, "memory_mb": memory}))
"""


def cpu_s() -> float:
    """Return the CPU seconds of this process and of those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measured(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU seconds of some work, and what it returned."""
    before = cpu_s()
    found = work()
    return cpu_s() - before, found


def overhead(
    name: str, instance: mecopt.Instance, method: str, runs: int, gap: float | None = None
) -> dict[str, Any]:
    """Compare one worker with a bare loop over the same seeds."""

    def compared(seeds: int) -> Any:
        return mecopt.compare(instance, method, seeds=seeds, gap=gap, workers=1)

    def bare() -> None:
        for seed in range(runs):
            mecopt.solve(instance, method, seed=seed, gap=gap)

    mecopt.solve(instance, method, gap=gap)  # imports and compilers
    before_cpu, _ = measured(bare)
    start_cpu = statistics.median(measured(lambda: compared(1))[0] for _ in range(STARTS))
    cpu, rows = measured(lambda: compared(runs))
    after_cpu, _ = measured(bare)
    begun = [datetime.datetime.fromisoformat(text).timestamp() for text in rows["started"]]
    walls = rows["wall_s"].tolist()
    # What passes between the end of a solve and the beginning of the next one in the same worker.
    between = [begun[i + 1] - begun[i] - walls[i] for i in range(len(begun) - 1)]
    bare_cpu = (before_cpu + after_cpu) / 2 / runs
    each_cpu = (cpu - start_cpu) / (runs - 1)
    return {
        "case": name,
        "method": method,
        "runs": runs,
        "bare_cpu_s": bare_cpu,
        "compared_cpu_s": each_cpu,
        "over_cpu_ms": 1e3 * (each_cpu - bare_cpu),
        "over_share": each_cpu / bare_cpu - 1.0,
        "between_wall_least_ms": 1e3 * min(between),
        "between_wall_median_ms": 1e3 * statistics.median(between),
        "between_wall_mean_ms": 1e3 * statistics.mean(between),
    }


def instance_cost(instance: mecopt.Instance) -> float:
    """Return the CPU seconds that one instance costs once: its document, packed, and its census."""
    (entry,) = ComparisonPlan.of(instance, "trellis").entries
    entry.row()
    return min(measured(entry.row)[0] for _ in range(3))


def many_rows(folder: Path) -> dict[str, Any]:
    """Read a store of many rows, each with its trace and shares, in a process of its own."""
    mecopt.compare([f"paper:slots=60,seed={i}" for i in range(10)], "rpdi", seeds=10, workers=1, out=folder)
    plan = ComparisonPlan.of([f"paper:slots=60,seed={i}" for i in range(10)], "rpdi", seeds=ROWS // 10)
    with store.RunStore(folder, plan) as runs, runs._transaction() as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(runs)")]
        kept = ", ".join(f"{n} = found.{n}" for n in names[names.index("status") :])
        # Every row gets the figures of one of the hundred real runs.
        db.execute(f"UPDATE runs SET {kept} FROM runs AS found WHERE found.run = 1 + runs.run % 100")
        db.execute(
            "INSERT OR IGNORE INTO details SELECT runs.run, trace, node_share, facts, placement "
            "FROM runs JOIN details ON details.run = 1 + runs.run % 100"
        )
    done = subprocess.run([sys.executable, "-c", READ, folder], capture_output=True, text=True, check=True)
    return {**json.loads(done.stdout), "store_mb": (folder / database.FILE).stat().st_size / 1e6}


def main() -> None:
    """Measure, and write the report."""
    OUT.mkdir(parents=True, exist_ok=True)
    paper = mecopt.load(ROOT / "instances" / "paper.json.gz")
    large = random_instance(36_000, 6, 4, seed=1)
    crowd = mecopt.generate("crowd:release_rate=300", seed=1)
    cases = [
        overhead("paper, 600 tasks", paper, "rpdi", 300),
        overhead("paper, 600 tasks", paper, "ilp", 200),
        overhead("random, 36,000 tasks", large, "rpdi", 60),
        overhead("crowd, 300 tasks coupled by capacity", crowd, "decomposition", 40, gap=0.005),
    ]
    costs = {"paper, 600 tasks": instance_cost(paper), "random, 36,000 tasks": instance_cost(large)}
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        reading = many_rows(Path(folder) / "many")
        print(f"{ROWS} rows made and read in {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    assert reading["found"] == [ROWS] * 3
    rows = [
        [
            f"{case['case']}, {case['method']}",
            str(case["runs"]),
            f"{case['bare_cpu_s']:.4f}",
            f"{case['compared_cpu_s']:.4f}",
            f"{case['over_cpu_ms']:.2f}",
            f"{100 * case['over_share']:.1f} %",
            f"{case['between_wall_median_ms']:.2f}",
            f"{case['between_wall_mean_ms']:.2f}",
        ]
        for case in cases
    ]
    heads = ["case", "runs", "bare solve, CPU [s]", "a run of compare, CPU [s]", "over it [ms]", "share"]
    heads += ["between, wall, median [ms]", "between, wall, mean [ms]"]
    where = f"a store of {reading['store_mb']:.0f} MB"
    took = f"{reading['wall_s']:.1f} s ({reading['cpu_s']:.1f} s of CPU)"
    page = [
        "# What compare costs",
        "",
        "`python benchmarks/compare.py`; one worker, one instance, as many seeds as runs. A bare loop makes",
        "the same solves before and after. A run of compare is the CPU time of all its processes, that of",
        f"a comparison of one run taken off (median of {STARTS}): solving, packing, sending, storing,",
        "claiming. The last columns are the wall time between the end of a solve and the beginning of the",
        "next one in the same worker, a finished run's memory given back included, which the bare loop",
        "does too; they grow with the load of the machine.",
        "",
        table(heads, rows),
        "",
        "An instance costs once, when it is added (census of its free optimum, document packed):",
        "",
        table(["instance", "CPU [s]"], [[name, f"{cost:.3f}"] for name, cost in costs.items()]),
        "",
        f"Reading {ROWS:,} rows with every trace and node share from {where} takes {took} and "
        f"{reading['memory_mb']:.0f} MB at its peak.",
        "",
        *machine("numpy", "pandas"),
        f"- load when it ended: {os.getloadavg()[0]:.1f} processes",
    ]
    (OUT / "README.md").write_text("\n".join(page) + "\n")
    with (OUT / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(cases[0]))
        writer.writeheader()
        writer.writerows(cases)
    print("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main()
