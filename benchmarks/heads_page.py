"""The page of `benchmarks/heads.py`, from what has been run."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
from common import ROOT, machine, table
from learner_runs import FIRST_SEED
from learners_page import TEST_EPISODES, interval

OUT = ROOT / "reports" / "heads"
RUNS = OUT / "runs.csv"
EPISODES = 150  # of a training
SHARES = ("worse", "stuck_of_worse", "stuck_of_excess")
HEAD = [
    *(
        "training",
        "seeds",
        "gap, %",
        "sampled, %",
        "tasks off, %",
        "stuck of these, %",
        "excess in stuck tasks, %",
    ),
    *("blocks to move", "gap when mended, %", "CPU s"),
]


def rows() -> list[dict[str, Any]]:
    """Return what has been run."""
    if not RUNS.exists():
        return []
    with RUNS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def page() -> str:
    """Return the report."""
    found, parts = rows(), []
    for setting in dict.fromkeys(row["setting"] for row in found):
        here = [row for row in found if row["setting"] == setting]
        variants = dict.fromkeys(row["variant"] for row in here)
        body = [line(name, [row for row in here if row["variant"] == name]) for name in variants]
        parts += [f"## {setting}", "", table(HEAD, body), ""]
    return "\n".join(
        [
            "# Why independent branches stop short",
            "",
            "`python benchmarks/heads.py`: the network of mtl-a3c (recipe `best`), trained in several ways",
            f"on as many decisions ({EPISODES} episodes) by the same optimiser and rates. Gap of the last",
            f"weights, likeliest nodes, ratio of sums on {TEST_EPISODES} test episodes; mean and 95 %",
            f"bootstrap interval over seeds from {FIRST_SEED} on.",
            "[The page of mtl-a3c](../../docs/methods/mtl-a3c.md) says what follows from it.",
            "",
            "- *imitation*: cross-entropy of the optimum's nodes, branch by branch; the critic learns its",
            "  cost.",
            "- *exact gradient*: no sampling; the gradient of the expected cost over independent branches,",
            "  worked out from the tasks' costs, with the temperatures of the recipe.",
            f"- *from it*: goes on from the imitation's weights, {EPISODES} episodes more, at the last",
            "  temperature.",
            "- *sampled*: the gap when every block is sampled by itself from the policy's distribution.",
            "- A task is *off* when its placement costs more than the optimum, and *stuck* when no block",
            "  alone can move and make it cheaper; *blocks to move*: in how many a stuck task's placement",
            "  and its optimum differ. *Mended*: blocks have moved, one at a time, until none gains.",
            "",
            *parts,
            *machine("numpy", "torch"),
            "",
        ]
    )


def line(variant: str, mine: list[dict[str, Any]]) -> list[str]:
    """Return the line of one training: means over its seeds."""

    def mean(name: str) -> float:
        return float(np.mean([float(row[name]) for row in mine]))

    shares = [f"{100 * mean(name):.1f}" for name in SHARES]
    gap = interval([float(row["gap"]) for row in mine])
    sampled = f"{100 * mean('gap_sampled'):.2f}"
    last = [f"{mean('blocks_moved'):.1f}", f"{100 * mean('gap_mended'):.2f}", f"{mean('cpu_s'):.0f}"]
    return [variant, str(len(mine)), gap, sampled, *shares, *last]
