"""Runs behind reports: a line of JSON for each, written as it ends, and not made again."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from common import ROOT, machine

OUT = ROOT / "reports" / "learners"
RUNS = OUT / "runs.jsonl"
OURS = ("mtl-a3c", "markov-a3c", "a3c", "dqn")
PEERS = ("SB3 A2C", "SB3 PPO", "SB3 DQN")
PEER_ENVIRONMENTS = 16
FIRST_SEED = 100  # of those reported; settings were tuned with others
IDLE = 1.5  # processes that ran on average while a time was taken, at most

Job = dict[str, Any]


def runs(file: Path = RUNS) -> list[dict[str, Any]]:
    """Return what was run; a line that was cut short is left out, and run again."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def once(job: Job, work: Callable[[Job], dict[str, Any]], file: Path = RUNS) -> dict[str, Any]:
    """Return what a job came to, made now unless it was before."""
    told = json.dumps(job, sort_keys=True)
    for run in runs(file):
        if json.dumps(run["job"], sort_keys=True) == told:
            return run
    run = {"job": job, **work(job), "load": round(os.getloadavg()[0], 2), "commit": commit()}
    file.parent.mkdir(parents=True, exist_ok=True)
    cut = file.exists() and not file.read_bytes().endswith(b"\n")
    with file.open("a", encoding="utf-8") as lines:
        lines.write("\n" * cut + json.dumps(run) + "\n")  # behind a line that was cut short
        lines.flush()
        os.fsync(lines.fileno())
    print(job, {name: value for name, value in run.items() if name not in ("job", "curve")}, flush=True)
    return run


@cache
def commit() -> str:
    """Return the commit that is measured."""
    return machine()[0].split("commit ")[1].split(" ")[0]


def timed_alone(run: dict[str, Any]) -> bool:
    """Whether nothing else is known to have run beside it: its times count."""
    return (run.get("load") or 0.0) <= IDLE


def commits(of: list[dict[str, Any]]) -> str:
    """Return the line that says of which commits runs are."""
    count = Counter(run["commit"].split(" ")[0] for run in of)
    return "- runs of commits " + ", ".join(f"{name} ({number})" for name, number in count.items())
