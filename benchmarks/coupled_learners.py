"""Learners under couplings: an energy budget, and servers that fill up; against rules and certified bounds.

    python benchmarks/coupled_learners.py [--trainings N]
    python benchmarks/coupled_learners.py --train SETTING [--seed S] [--out FILE]

The first trains N policies of each setting, measures them and the shipped ones, and writes
reports/coupled_learners/ (ten minutes); the second trains one policy (a minute).
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ROOT, clean_tree, machine, table
from learners_page import FIRST_SEED, interval

import mecopt
from mecopt.tolerances import excess
from mecopt_rl.training.checkpoint import save_policy
from mecopt_rl.training.priced_training import PricedPlan, train

OUT = ROOT / "reports" / "coupled_learners"
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
    parser.add_argument("--trainings", type=int, default=5)
    options = parser.parse_args()
    if options.train:
        target = (
            options.out or ROOT / "rl" / "mecopt_rl" / "policies" / f"{options.train}.markov-a3c.safetensors"
        )
        print(train_one(options.train, options.seed, target))
        return
    OUT.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for setting, episodes in EPISODES.items():
            policies = {}
            for seed in range(FIRST_SEED, FIRST_SEED + options.trainings):
                target = Path(folder) / f"{setting}.{seed}.safetensors"
                print(train_one(setting, seed, target), file=sys.stderr, flush=True)
                policies[f"{LEARNER}, {SEED} {seed}"] = str(target)
            rows += measure(setting, episodes, policies)
            with open(OUT / "runs.csv", "w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
            (OUT / "README.md").write_text(page(rows))


def train_one(setting: str, seed: int, target: Path) -> str:
    """Train one policy and store it."""
    network, card = train(PricedPlan(setting, DECISIONS[setting], ENVIRONMENTS, seed))
    save_policy(target, network, card, dtype="float16")
    return f"{target.name}: {card['training']}"


def measure(setting: str, episodes: int, policies: dict[str, str]) -> list[dict[str, Any]]:
    """Run everything on fresh instances; policies by the name of their row."""
    rows = []
    bounding, methods = SETTINGS[setting]
    for method in (bounding, *methods):  # what is loaded and compiled on first use
        mecopt.solve(mecopt.generate(setting, seed=0), method, time_limit_s=SECONDS)
    for seed in range(TEST_SEEDS, TEST_SEEDS + episodes):
        instance = mecopt.generate(setting, seed=seed)
        runs = []
        for name in (bounding, *methods, *policies):
            method, options = (LEARNER, {"policy": policies[name]}) if name in policies else (name, {})
            limit = SECONDS if method in ("decomposition", "local-search") else None
            start = time.process_time()
            result = mecopt.solve(instance, method, time_limit_s=limit, **options)
            runs.append((name, result, time.process_time() - start))
        bound = runs[0][1].lower_bound
        for method, result, cpu in runs:
            judged = mecopt.evaluate(instance, result.placement)
            rows.append(
                {
                    "setting": setting, "seed": seed, "method": method, "status": str(result.status),
                    "objective": judged.objective, "lower_bound": bound, "energy_j": judged.energy_j,
                    "violations": len(judged.violations), "repairs": result.repairs, "cpu_s": round(cpu, 4),
                }
            )  # fmt: skip
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """Return the report."""
    body = []
    for setting, (bounding, methods) in SETTINGS.items():
        for method in (bounding, *methods, f"{LEARNER}, {SEED}"):
            mine = [row for row in rows if row["setting"] == setting and _shown(row["method"]) == method]
            if not mine:  # that setting is yet to come
                continue
            by = [[row for row in mine if row["method"] == name] for name in {r["method"] for r in mine}]
            gaps = [
                excess(sum(r["objective"] for r in one), sum(r["lower_bound"] for r in one)) for one in by
            ]
            worst = max(excess(row["objective"], row["lower_bound"]) for row in mine)
            violating = sum(row["violations"] > 0 for row in mine)
            cpu = statistics.fmean(row["cpu_s"] for row in mine)
            name = method if len(by) == 1 else f"{LEARNER}, {len(by)} trainings"
            gap = f"{gaps[0]:.3%}" if len(by) == 1 else f"{interval(sorted(gaps))} %"
            body.append([setting, name, str(len(by[0])), gap, f"{worst:.3%}", str(violating), f"{cpu:.2f}"])
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
            f"had {SECONDS:g} s of wall time.",
            "",
            *machine("numpy", "torch"),
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
