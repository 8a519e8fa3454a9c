"""Decisions per second of the environments: `VectorPartition` beside vectors of single environments.

What PPO gains by it: benchmarks/ppo.py.

Run: ``python benchmarks/environment.py`` (some five minutes of CPU time); writes reports/environment/.
"""

from __future__ import annotations

import csv
import os
import statistics
import time
import warnings
from typing import Any

import numpy as np
from common import ROOT, clean_tree, machine, table
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from mecopt_rl.world.env import Partition
from mecopt_rl.world.vector import VectorPartition

OUT = ROOT / "reports" / "environment"
REPEATS = 3
MEMORY = "crowd:couplings=capacity,memory,server_memory_bytes=4e8"
SPECS = {
    "paper": "paper",
    "camera-vgg-load": "camera-vgg-load",
    "camera-alexnet-deadline": "camera-alexnet-deadline",
    "energy (budget)": "energy",
    "crowd (capacity)": "crowd",
    "crowd (capacity, memory)": MEMORY,
    "crowd (capacity, memory, energy)": MEMORY.replace("memory,", "memory,energy,") + ",energy_budget_j=0.01",
}
SIZES = (256,)
SINGLE = 16  # environments in the vectors of single ones
WALK = 600  # steps of a timing: a whole episode of 600 slots, ten crowds of 60 tasks


def rate(env: Any, count: int, steps: int) -> list[float]:
    """Return decisions per CPU second, several times; every timing holds the resets that fall due."""
    actions = np.random.default_rng(0).integers(0, 5, (64, count, 6))
    env.reset()
    for i in range(3):  # compile, fill caches
        env.step(actions[i])
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        for i in range(steps):
            env.step(actions[i % 64])
        found.append(count * steps / (time.process_time() - start))
    return found


def calls(spec: str) -> dict[str, float]:
    """Return nanoseconds of CPU time per task of single calls, 256 episodes, the median."""
    env = VectorPartition(spec, 256, seed=0)
    env.reset()
    fleet, rng = env.fleet, np.random.default_rng(0)
    chosen = rng.integers(0, 5, (256, 6))
    work = {
        "deciding": lambda: fleet.decide(chosen),
        "observation": fleet.observe,
        "branch masks": env.action_masks,
        "mask of block 3": lambda: env.block_mask(3, chosen[:, :3]),
        "step costs": env.step_cost,
    }
    return {name: once(call, fleet) for name, call in work.items()}


def once(call: Any, fleet: Any) -> float:
    """Time one call; deciding moves on, so every round begins at the first task."""
    found = []
    for _ in range(REPEATS + 1):
        fleet.load(fleet.pool, fleet.rows)
        start = time.process_time()
        for _ in range(50):
            call()
        found.append((time.process_time() - start) / (50 * 256) * 1e9)
    return statistics.median(found[1:])


def main() -> None:
    """Run everything and write the report."""
    warnings.simplefilter("ignore", UserWarning)
    raw = []
    for name, spec in SPECS.items():

        def make(spec: str = spec) -> Partition:
            return Partition(spec=spec)

        runs = {
            f"VectorPartition, {size} episodes": (VectorPartition(spec, size, seed=0), size, WALK)
            for size in SIZES
        }
        runs[f"gymnasium SyncVectorEnv, {SINGLE}"] = (SyncVectorEnv([make] * SINGLE), SINGLE, WALK // 4)
        runs[f"Stable-Baselines3 DummyVecEnv, {SINGLE}"] = (DummyVecEnv([make] * SINGLE), SINGLE, WALK // 4)
        for label, (env, count, steps) in runs.items():
            for repeat, value in enumerate(rate(env, count, steps)):
                raw.append({"episodes": name, "environment": label, "repeat": repeat, "per_s": round(value)})
            print(raw[-1], flush=True)
    busy = f"the machine was shared: {os.getloadavg()[2]:.1f} processes ran on average"
    times = {name: calls(SPECS[name]) for name in ("camera-vgg-load", "crowd (capacity, memory)")}
    write(raw, times, busy)


def write(
    raw: list[dict[str, Any]],
    times: dict[str, dict[str, float]],
    busy: str,
) -> None:
    """Write the raw numbers and the page."""
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "rates.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(raw[0]))
        writer.writeheader()
        writer.writerows(raw)
    labels = list(dict.fromkeys(row["environment"] for row in raw))
    rows = []
    for name in SPECS:
        cells = [name]
        for label in labels:
            each = [r["per_s"] for r in raw if (r["episodes"], r["environment"]) == (name, label)]
            cells.append(f"{statistics.median(each):,.0f} ({min(each):,} to {max(each):,})")
        rows.append(cells)
    kinds = list(next(iter(times.values())))
    page = [
        "# Environments: decisions per second",
        "",
        "`python benchmarks/environment.py`. A decision places the 6 blocks of one task on 4 servers or",
        "the device. Random actions, drawn beforehand; observations, infos and the resets that fall due are",
        "included, and every episode is a fresh instance of the generator (600 tasks; crowd: 60). CPU time,",
        f"the median of {REPEATS} timings with the least and the largest. The peers step",
        f"`mecopt_rl.world.env.Partition`, a single environment, {SINGLE} at a time, in the same run; no",
        "reset falls into their timings but the crowds', which is in their favour.",
        "",
        table(["", *labels], rows),
        "",
        "Nanoseconds a task of single calls on 256 episodes, fresh instances not included:",
        "",
        table(["", *kinds], [[n, *(f"{t[k]:,.0f}" for k in kinds)] for n, t in times.items()]),
        "",
        f"- {busy}",
        *machine("numpy", "numba", "gymnasium", "stable-baselines3"),
    ]
    (OUT / "README.md").write_text("\n".join(page) + "\n", encoding="utf-8")
    print("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main()
