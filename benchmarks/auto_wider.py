"""Methods that `auto` may take for the wider model, on shapes of it: gaps after some seconds of wall time.

Run: ``python benchmarks/auto_wider.py`` (about ten minutes); writes reports/auto_wider/. The shapes are those
that its order was chosen on: seeds 100 on, which no other report shows. ``--limit S`` and ``--only TEXT`` are
for trying; with the second it only prints.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import statistics
from collections.abc import Callable

from common import ROOT, clean_tree, machine, table

import mecopt
from mecopt.tolerances import OPTIMALITY_TOLERANCE

OUT = ROOT / "reports" / "auto_wider"
SEEDS = range(100, 110)
LIMIT_S = 3.0
Make = Callable[[int], mecopt.Instance]


def crowd(objective: object = "delay", **options: object) -> Make:
    """Return the generator of crowded slots under an objective, the seed left open."""

    def make(seed: int) -> mecopt.Instance:
        made = mecopt.generate("crowd", seed=seed, **options)
        rules = dataclasses.replace(made.rules, objective=objective)
        return made.replace(rules=rules)

    return make


def due(batch: int) -> Make:
    """Return the generator of crowded slots in which every task has five times as long as its path takes."""

    def make(seed: int) -> mecopt.Instance:
        made = mecopt.generate("crowd", seed=seed, batch=batch)
        free = made.replace(rules=dataclasses.replace(made.rules, couplings=frozenset()))
        judged = mecopt.solve(free, "trellis").evaluation
        assert judged is not None
        tasks = dataclasses.replace(made.tasks, max_total_delay_s=5.0 * judged.task_delay_s)
        return made.replace(tasks=tasks, rules=dataclasses.replace(made.rules, deadline=mecopt.Deadline.HARD))

    return make


JOULES = {"delay": 1.0, "energy": 0.1}
SHAPES: dict[str, tuple[Make, tuple[str, ...]]] = {
    "period, 4 tasks": (crowd("period", batch=4, couplings=()), ("period", "ilp")),
    "period, 10 tasks": (crowd("period", batch=10, couplings=()), ("period", "ilp")),
    "period, 60 tasks": (crowd("period", batch=60, couplings=()), ("period", "ilp")),
    "joules and capacity, 6 tasks": (crowd(JOULES, batch=6), ("decomposition", "local-search", "ilp")),
    "joules and capacity, 60 tasks": (crowd(JOULES), ("decomposition", "local-search", "ilp")),
    "sharing, 6 tasks": (crowd(batch=6, couplings=(), sharing="mm1", ratio=0.85), ("decomposition", "ilp")),
    "sharing, 60 tasks": (crowd(couplings=(), sharing="mm1", ratio=0.85), ("decomposition", "ilp")),
    "capacity and whole deadlines, 6 tasks": (due(6), ("ilp", "enumeration")),
}


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds of every run")
    parser.add_argument("--only", default="", help="shapes whose name contains this; only printed")
    asked = parser.parse_args()
    raw, rows = [], []
    for shape, (make, methods) in SHAPES.items():
        if asked.only not in shape:
            continue
        mecopt.solve(make(0), time_limit_s=1.0)  # loads and compiles
        for method in (*methods, "auto"):
            gaps = []
            for seed in SEEDS:
                instance = make(seed)
                known = next(m for m in mecopt.methods() if m.name == method)
                if not known.suits(instance):
                    break
                result = mecopt.solve(instance, method, time_limit_s=asked.limit)
                gaps.append(float("inf") if result.gap is None else result.gap)
                raw.append(
                    {
                        "shape": shape,
                        "method": method,
                        "seed": seed,
                        "status": str(result.status),
                        "gap": result.gap,
                        "runtime_s": result.runtime_s,
                        "picked": "+".join(result.options.get("picked", [])),
                    }
                )
            if gaps:
                proved = sum(gap <= OPTIMALITY_TOLERANCE for gap in gaps)
                figures = (statistics.median(gaps), max(gaps))
                rows.append([shape, method, *(f"{figure:.1e}" for figure in figures), f"{proved}"])
                print(*rows[-1], sep=" | ", flush=True)
    page = [
        "# What `auto` takes for the wider model",
        "",
        f"`python benchmarks/auto_wider.py --limit {asked.limit:g}`: gaps after so many seconds of "
        f"wall time, seeds {SEEDS[0]} to {SEEDS[-1]}; inf where there is no placement or no bound.",
        "",
        table(["shape", "method", "gap, median", "largest", f"proved, of {len(SEEDS)}"], rows),
        "",
        *machine("numpy", "numba", "highspy"),
    ]
    if not asked.only:
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / "README.md").write_text("\n".join(page) + "\n")
        with (OUT / "runs.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(raw[0]))
            writer.writeheader()
            writer.writerows(raw)


if __name__ == "__main__":
    clean_tree()
    main()
