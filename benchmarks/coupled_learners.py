"""Learners under couplings: an energy budget, and servers that fill up; against rules and certified bounds.

    python benchmarks/coupled_learners.py [--trainings N]
    python benchmarks/coupled_learners.py --train SETTING [--seed S] [--out FILE]

The first trains N policies of each setting, measures them and the shipped ones, and writes
reports/coupled_learners/ (a minute a training); what is in its runs.csv is not made again, and it is written
after each training. The second trains one policy (half a minute).
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ROOT, clean_tree, machine, table
from learner_runs import FIRST_SEED, commit, commits, timed_alone
from learners_page import interval, mean_of

import mecopt
from mecopt.files import write_bytes
from mecopt.tolerances import excess
from mecopt_rl.training.checkpoint import save_policy
from mecopt_rl.training.priced_training import PricedPlan, train

OUT = ROOT / "reports" / "coupled_learners"
RUNS = OUT / "runs.csv"
KINDS = {  # of columns that hold numbers
    **dict.fromkeys(("objective", "lower_bound", "energy_j", "cpu_s", "load"), float),
    **dict.fromkeys(("seed", "violations", "repairs"), int),
}
DECISIONS = {"energy": 600_000, "crowd": 480_000}  # of a training
ENVIRONMENTS = 120
TEST_SEEDS = 20_000  # the first; tuning used seeds below 1000
SETTINGS = {
    "energy": ("energy-path", ("markov-a3c", "online-price")),
    "crowd": ("decomposition", ("markov-a3c", "slot-price", "greedy-arc", "local-search")),
}
LEARNER = "markov-a3c"
SEED = "training seed"
EPISODES = {"energy": 60, "crowd": 30}  # a crowd is one slot of 60 tasks
SECONDS = 1.0  # for what would go on


def main() -> None:
    """Train, or write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", choices=sorted(DECISIONS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--trainings", type=int, default=20)
    options = parser.parse_args()
    if options.train:
        target = (
            options.out or ROOT / "rl" / "mecopt_rl" / "policies" / f"{options.train}.markov-a3c.safetensors"
        )
        print(train_one(options.train, options.seed, target))
        return
    rows = stored()
    for setting in EPISODES:
        if not any(row["setting"] == setting for row in rows):
            rows += measure(setting, *SETTINGS[setting])
            write(rows)
    for seed in range(FIRST_SEED, FIRST_SEED + options.trainings):
        for setting in EPISODES:
            name = f"{LEARNER}, {SEED} {seed}"
            if not any((row["setting"], row["method"]) == (setting, name) for row in rows):
                rows += trained(setting, seed, name, bounds(rows, setting))
                write(rows)
    write(rows)


def stored() -> list[dict[str, Any]]:
    """Return what was measured before."""
    if not RUNS.exists():
        return []
    with RUNS.open(newline="", encoding="utf-8") as file:
        return [{name: _read(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def _read(name: str, text: str) -> Any:
    return KINDS.get(name, str)(text) if text else None  # a load that nobody noted


def write(rows: list[dict[str, Any]]) -> None:
    """Write table and page, whole."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(RUNS, text.getvalue().encode())
    write_bytes(OUT / "README.md", page(rows).encode())


def bounds(rows: list[dict[str, Any]], setting: str) -> dict[int, float]:
    """Return the lower bound of every instance of a setting that was measured, by its seed."""
    return {row["seed"]: row["lower_bound"] for row in rows if row["setting"] == setting}


def trained(setting: str, seed: int, name: str, lower: dict[int, float]) -> list[dict[str, Any]]:
    """Train a policy, and measure it on the instances that were measured before."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{setting}.{seed}.safetensors"
        print(train_one(setting, seed, target), file=sys.stderr, flush=True)
        rows = []
        for number, bound in lower.items():
            instance = mecopt.generate(setting, seed=number)
            start = time.process_time()
            result = mecopt.solve(instance, LEARNER, policy=str(target))
            rows.append(row_of(setting, number, name, instance, result, bound, time.process_time() - start))
    print(rows[-1], file=sys.stderr, flush=True)
    return rows


def train_one(setting: str, seed: int, target: Path) -> str:
    """Train one policy and store it."""
    network, card = train(PricedPlan(setting, DECISIONS[setting], ENVIRONMENTS, seed))
    save_policy(target, network, card, dtype="float16")
    return f"{target.name}: {card['training']}"


def measure(setting: str, bounding: str, methods: tuple[str, ...]) -> list[dict[str, Any]]:
    """Run the methods on fresh instances; the bounds are those of the first."""
    rows = []
    for method in (bounding, *methods):  # what is loaded and compiled on first use
        mecopt.solve(mecopt.generate(setting, seed=0), method, time_limit_s=SECONDS)
    for seed in range(TEST_SEEDS, TEST_SEEDS + EPISODES[setting]):
        instance = mecopt.generate(setting, seed=seed)
        bound = -math.inf
        for method in (bounding, *methods):
            limit = SECONDS if method in ("decomposition", "local-search") else None
            start = time.process_time()
            result = mecopt.solve(instance, method, time_limit_s=limit)
            cpu = time.process_time() - start
            bound = result.lower_bound if method == bounding else bound
            rows.append(row_of(setting, seed, method, instance, result, bound, cpu))
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def row_of(
    setting: str, seed: int, method: str, instance: Any, result: Any, bound: float, cpu: float
) -> dict[str, Any]:
    """Return a run as a row, judged again."""
    judged = mecopt.evaluate(instance, result.placement)
    return {
        "setting": setting, "seed": seed, "method": method, "status": str(result.status),
        "objective": judged.objective, "lower_bound": bound, "energy_j": judged.energy_j,
        "violations": len(judged.violations), "repairs": result.repairs, "cpu_s": round(cpu, 4),
        "load": round(os.getloadavg()[0], 2), "commit": commit(),
    }  # fmt: skip


def page(rows: list[dict[str, Any]]) -> str:
    """Return the report."""
    body = []
    for setting, (bounding, methods) in SETTINGS.items():
        for method in (bounding, *methods, f"{LEARNER}, {SEED}"):
            mine = [row for row in rows if row["setting"] == setting and _shown(row["method"]) == method]
            if not mine:  # that setting is yet to come
                continue
            names = dict.fromkeys(row["method"] for row in mine)
            by = [[row for row in mine if row["method"] == name] for name in names]
            gaps = [
                excess(sum(r["objective"] for r in one), sum(r["lower_bound"] for r in one)) for one in by
            ]
            worst = max(excess(row["objective"], row["lower_bound"]) for row in mine)
            violating = sum(row["violations"] > 0 for row in mine)
            cpu = mean_of([row["cpu_s"] for row in mine if timed_alone(row)], ".2f")
            name = method if len(by) == 1 else f"{LEARNER}, {len(by)} trainings"
            gap = f"{gaps[0]:.3%}" if len(by) == 1 else f"{interval(sorted(gaps))} %"
            body.append([setting, name, str(len(by[0])), gap, f"{worst:.3%}", str(violating), cpu])
    head = ["setting", "method", "episodes", "gap, ratio of sums", "worst episode", "violating", "CPU s each"]
    return "\n".join(
        [
            "# Learners under couplings",
            "",
            f"`python benchmarks/coupled_learners.py`; `{LEARNER}` is the policy that ships with mecopt. The "
            f"trainings have seeds from {FIRST_SEED} on: mean gap with its 95 % bootstrap interval over "
            "them, worst episode and violating episodes of all. Instances are those of `mecopt generate "
            f"SETTING --seed S` from S = {TEST_SEEDS} on, which neither training nor tuning used. The gap "
            "is to the bound of each setting's first method in the same run; decomposition and local-search "
            f"had {SECONDS:g} s of wall time. CPU seconds leave out runs beside which others are known to "
            "have run; of how many they are stands in brackets.",
            "",
            commits(rows),
            *machine("numpy", "torch")[1:],
            "",
            table(head, body),
            "",
        ]
    )


def _shown(method: str) -> str:
    """Return what stands for a method in the table: trainings are one row."""
    return method.rstrip("0123456789").rstrip() if SEED in method else method


if __name__ == "__main__":
    clean_tree()
    main()
