"""`local-search` beside `decomposition` at the same time: gaps to the better bound of both.

Run: ``python benchmarks/local_search.py`` (about six minutes); writes reports/local_search/.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

from common import ROOT, clean_tree, machine, table

import mecopt
from mecopt.result import gap
from mecopt.tolerances import OPTIMALITY_TOLERANCE

OUT = ROOT / "reports" / "local_search"
METHODS = ("local-search", "decomposition")
SEEDS = range(201, 206)
SECONDS = 5.0


@dataclass(frozen=True)
class Case:
    """Instances of a setting."""

    name: str
    setting: str
    parameters: dict[str, Any]


CASES = (
    *(
        Case(f"`crowd`, {tasks} tasks, N = {servers}", "crowd", {"release_rate": tasks, "servers": servers})
        for tasks in (10, 60)
        for servers in (4, 9)
    ),
    *(
        Case(f"`energy`, {slots} slots, N = {servers}", "energy", {"slots": slots, "servers": servers})
        for slots in (10, 60, 600)
        for servers in (4, 9)
    ),
)


def measure(case: Case, seed: int) -> list[dict[str, Any]]:
    """Solve one instance by both methods."""
    instance = mecopt.generate(case.setting, seed=seed, **case.parameters)
    results, spent = {}, {}
    for method in METHODS:
        start = time.process_time()
        results[method] = mecopt.solve(instance, method, time_limit_s=SECONDS, seed=seed, threads=1)
        spent[method] = time.process_time() - start
    bound = max(result.lower_bound for result in results.values() if result.lower_bound is not None)
    return [
        {
            "case": case.name,
            "seed": seed,
            "method": method,
            "status": result.status.value,
            "objective": result.objective,
            "bound": bound,
            "gap": _gap(result, bound),
            "cpu_s": round(spent[method], 3),
        }
        for method, result in results.items()
    ]


def _gap(result: mecopt.Result, bound: float) -> float | None:
    if result.objective is None or result.status not in (mecopt.Status.OPTIMAL, mecopt.Status.FEASIBLE):
        return None
    return gap(result.objective, bound)


def shown(rows: list[dict[str, Any]]) -> str:
    """Return median and worst gap in per cent."""
    gaps = [float("inf") if row["gap"] is None else row["gap"] for row in rows]
    return f"{_percent(statistics.median(gaps))} ({_percent(max(gaps))})"


def _percent(gap: float) -> str:
    return "0" if gap <= OPTIMALITY_TOLERANCE else f"{100 * gap:.2g}"


def main() -> None:
    """Write the report."""
    # Compilation is not counted.
    mecopt.solve(mecopt.generate("crowd", release_rate=4), "local-search", iterations=1)
    rows: list[dict[str, Any]] = []
    lines = []
    for case in CASES:
        own = [row for seed in SEEDS for row in measure(case, seed)]
        lines.append([case.name, *(shown([row for row in own if row["method"] == name]) for name in METHODS)])
        print(*lines[-1], flush=True)
        rows += own
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / "runs.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    page = [
        "# Local search",
        "",
        f"`python {' '.join(sys.argv)}`; see benchmarks/protocol.md. Instances of `mecopt generate`, seeds "
        f"{SEEDS[0]} to {SEEDS[-1]}, {SECONDS:g} s of wall time for each method on one thread. The gap is to "
        "the better bound of both, in %: median (worst) over seeds.",
        "",
        table(["instance", *(f"`{method}`" for method in METHODS)], lines),
        "",
        *machine("numpy", "numba", "highspy"),
    ]
    (OUT / "README.md").write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    clean_tree()
    main()
