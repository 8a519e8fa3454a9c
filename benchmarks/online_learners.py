"""Learners for tasks that arrive one by one, against the rules that they begin as and may know less than.

    python benchmarks/online_learners.py

For every cell a policy is trained that begins as `price-tuned`; that rule itself is also tuned with as many
tries as a training makes. All meet the same tasks, which none was tuned or trained on. Trainings and runs are
kept, so that the same command goes on.
"""

from __future__ import annotations

import csv
import os
import time
from typing import Any

import numpy as np
from common import ROOT, clean_tree, machine, table

import mecopt
from mecopt.simulation import Pricing, Rule, Setting
from mecopt.simulation.batch_means import estimate
from mecopt_rl.training.evolution import EvolutionSettings
from mecopt_rl.training.online_training import train_online
from mecopt_solvers.online.scalar_tuning import tuned

REPORT = ROOT / "reports" / "online_learners"
TASKS, SEEDS = 50_000, 5
COURSE = EvolutionSettings(generations=40)
SPEC = "camera-vgg:tasks=individual,slots=1,release_rate=40,servers=4"
TRACE = "trace:azure_llm_code_2023"
# arrivals, staleness, starts; load 0.9. On the trace the policy is that of the first cell.
CELLS = (("both", 5, ("tuned",)), ("bursty", 0, ("tuned",)))
FIGURES = ("all_mean_s", "p99_s", "regret", "bound_s", "unloaded_s", "status")


def patient(setting: Setting) -> Pricing:
    """Return price-tuned with as many tries as a training makes."""
    return tuned(setting, tries=2 * COURSE.pairs * COURSE.generations)


LONG = Rule("price-tuned-long", "price-tuned with the learner's budget", patient)


def trained(kind: str, stale: int, start: str) -> Rule:
    """Train the policy of a cell, or take it up."""
    begun = time.process_time()
    name = f"{kind}-{stale}-{start}"
    done = train_online(
        SPEC, REPORT / "runs" / "trainings" / name, load=0.9, arrivals=kind, staleness=stale, start=start,
        settings=COURSE, report=lambda row: print(name, row, flush=True),
    )  # fmt: skip
    print(f"{name}: {time.process_time() - begun:.0f} CPU s", flush=True)
    done.policy.save(REPORT / f"{name}.safetensors")
    return done.policy.rule(f"learned from {start}")


def measure() -> list[dict[str, Any]]:
    found = []
    for kind, stale, starts in CELLS:
        learned = [trained(kind, stale, start) for start in starts]
        knows = ["price-told"] if stale == 0 else []
        rules = ["selfish-flight", "price-tuned", LONG, *knows, *learned]
        done = mecopt.simulate(
            SPEC, rules, load=0.9, arrivals=kind, staleness=stale, tasks=TASKS, seeds=SEEDS,
            out=REPORT / "runs" / f"{kind}-{stale}",
        )  # fmt: skip
        found += [{"arrivals": kind, "stale": stale, **run} for run in done.runs]
        write(found)
        if kind == "both":
            traced = mecopt.simulate(
                SPEC, ["selfish", "selfish-flight", "price-tuned", learned[0]], load=0.9, arrivals=TRACE,
                staleness=stale, out=REPORT / "runs" / f"trace-{stale}",
            )  # fmt: skip
            found += [{"arrivals": "trace", "stale": stale, **run} for run in traced.runs]
            write(found)
    return found


def spread(values: list[float]) -> str:
    """Return a mean over seeds with its 95 % interval, where there are several."""
    told = estimate(np.array(values))
    return f"{told.value:.1%}" + ("" if told.low is None else f" ± {told.value - told.low:.1%}")


def rows(found: list[dict[str, Any]]) -> list[list[str]]:
    lines = []
    for kind, stale in dict.fromkeys((run["arrivals"], run["stale"]) for run in found):
        cell = [run for run in found if (run["arrivals"], run["stale"]) == (kind, stale)]
        base = [run for run in cell if run["policy"] == "price-tuned"]
        for name in dict.fromkeys(run["policy"] for run in cell):
            own = [run for run in cell if run["policy"] == name]
            ahead = [1 - a["all_mean_s"] / b["all_mean_s"] for a, b in zip(own, base, strict=True)]
            tail = [1 - a["p99_s"][0] / b["p99_s"][0] for a, b in zip(own, base, strict=True)]
            lines.append(
                [
                    kind, str(stale), name, f"{np.mean([run['all_mean_s'] for run in own]):.3f}",
                    f"{np.mean([run['p99_s'][0] for run in own]):.2f}", spread(ahead), spread(tail),
                    spread([run["regret"] for run in own]), ", ".join(sorted({run["status"] for run in own})),
                ]
            )  # fmt: skip
    return lines


def write(found: list[dict[str, Any]]) -> None:
    head = ["arrivals", "stale", "rule", "mean s", "p99 s", "ahead of price-tuned", "at p99"]
    page = f"""# Learners for tasks that arrive one by one

`python benchmarks/online_learners.py`: camera-vgg, four servers, 40 devices, load 0.9; {SEEDS} seeds of
{TASKS:,} tasks a cell, all rules on the same tasks, which none was tuned or trained on; one training each
({COURSE.generations} generations of {2 * COURSE.pairs} tries on {COURSE.tasks:,} tasks).
`price-tuned` tried 40 settings of its three scalars, `price-tuned-long` could try
{2 * COURSE.pairs * COURSE.generations:,} and stops where no step helps. Intervals are 95 % over seeds,
seed by seed. The trace is one run: an hour of requests to a code completion service
(`instances/traces`), its times scaled to load 0.9; the learner is that
trained on `both`.
Regret is to the bound of [docs/online.md](../../docs/online.md).

{chr(10).join(machine("numpy", "numba", "highspy"))}

{table([*head, "runs"], rows(found))}

Every run: runs.csv beside this page; the policies: the safetensors files.
"""
    REPORT.mkdir(parents=True, exist_ok=True)
    (REPORT / "README.md").write_text(page, encoding="utf-8")
    with (REPORT / "runs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["arrivals", "stale", "policy", "seed", *FIGURES])
        for run in found:
            figures = [run[name][0] if isinstance(run[name], list) else run[name] for name in FIGURES]
            writer.writerow([run["arrivals"], run["stale"], run["policy"], run["seed"], *figures])


if __name__ == "__main__":
    clean_tree()
    os.nice(10)
    measure()
