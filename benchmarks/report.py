"""What `mecopt report` costs: seconds, memory and size of the page as the comparison grows.

Run: ``python benchmarks/report.py``; writes reports/report/.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import ROOT, clean_tree, machine, table

import mecopt
from mecopt.comparing import database, store
from mecopt.comparing.run_plan import ComparisonPlan

OUT = ROOT / "reports" / "report"
METHODS = ["rpdi", "local-search", "online-price", "auto"]  # they have randomness, so that seeds multiply
REAL_SEEDS = 2
LIMIT_S = 0.05
SIZES = ((20, 5), (20, 50), (100, 25), (100, 250))  # instances, seeds

# A process of its own, so that time and memory are those of the report alone.
REPORT = """
import json, resource, sys, time
from mecopt.reporting import make_report
start, cpu = time.perf_counter(), time.process_time()
made = make_report(sys.argv[1])
figures = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - start}
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
size = (made.folder / "index.html").stat().st_size
print(json.dumps({"rows": made.document["runs"], **figures, "memory_mb": memory, "page_bytes": size}))
"""


def plan(instances: int, seeds: int) -> ComparisonPlan:
    """Return a comparison with as many rows as instances times methods times seeds."""
    half = instances // 2
    specs = [f"paper:slots=60,seed={i}" for i in range(half)]
    specs += [f"crowd:release_rate=20,servers=2,seed={i}" for i in range(instances - half)]
    return ComparisonPlan.of(specs, METHODS, seeds=seeds, time_limit_s=LIMIT_S)


def grown(folder: Path, instances: int, seeds: int) -> None:
    """Make a store of that size: the runs of the first seeds are real, the others have their figures."""
    specs = [entry.instance for entry in plan(instances, 1).entries]
    mecopt.compare(specs, METHODS, seeds=REAL_SEEDS, time_limit_s=LIMIT_S, workers=1, out=folder)
    same = (
        "found.instance_sha256 = runs.instance_sha256 AND found.method = runs.method "
        f"AND found.options = runs.options AND found.seed = runs.seed % {REAL_SEEDS}"
    )
    with store.RunStore(folder, plan(instances, seeds)) as runs, runs._transaction() as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(runs)")]
        kept = ", ".join(f"{name} = found.{name}" for name in names[names.index("status") :])
        db.execute(f"UPDATE runs SET {kept} FROM runs AS found WHERE runs.seed >= {REAL_SEEDS} AND {same}")
        details = [row[1] for row in db.execute("PRAGMA table_info(details)") if row[1] != "run"]
        db.execute(
            f"INSERT INTO details (run, {', '.join(details)}) "
            f"SELECT runs.run, {', '.join(f'details.{name}' for name in details)} "
            f"FROM runs JOIN runs AS found ON {same} JOIN details ON details.run = found.run "
            f"WHERE runs.seed >= {REAL_SEEDS}"
        )


def measured(instances: int, seeds: int) -> dict[str, Any]:
    """Report a comparison of that size, and return what it took."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "comparison"
        grown(folder, instances, seeds)
        done = subprocess.run(
            [sys.executable, "-c", REPORT, folder], capture_output=True, text=True, check=True
        )
        size = (folder / database.FILE).stat().st_size
    found = {"instances": instances, "methods": len(METHODS), "seeds": seeds, "store_bytes": size}
    found |= json.loads(done.stdout)
    assert found["rows"] == instances * len(METHODS) * seeds
    print(found, file=sys.stderr)
    return found


def main() -> None:
    """Measure, and write the report."""
    OUT.mkdir(parents=True, exist_ok=True)
    cases = [measured(*size) for size in SIZES]
    rows = [
        [
            f"{case['rows']:,}",
            f"{case['instances']} x {case['methods']} x {case['seeds']}",
            f"{case['store_bytes'] / 1e6:.1f}",
            f"{case['cpu_s']:.1f}",
            f"{case['wall_s']:.1f}",
            f"{case['memory_mb']:.0f}",
            f"{case['page_bytes'] / 1e6:.2f}",
        ]
        for case in cases
    ]
    heads = ["rows", "instances x methods x seeds", "store [MB]", "CPU [s]", "wall [s]", "peak memory [MB]"]
    page = [
        "# What a report costs",
        "",
        f"`python benchmarks/report.py`; {', '.join(METHODS)} on instances of the kinds `paper` (60 tasks) "
        "and",
        f"`crowd`. The runs of {REAL_SEEDS} seeds are real, every further seed has the figures, trace and "
        "placement",
        "of one of them. Each report is made by a process of its own; its imports are counted.",
        "",
        table([*heads, "page [MB]"], rows),
        "",
        *machine("numpy", "pandas", "altair", "vl-convert-python"),
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
