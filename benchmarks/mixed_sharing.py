"""Sharing beside energy budgets and memory: gaps of `decomposition` on one slot, and its CPU seconds.

Run: ``python benchmarks/mixed_sharing.py`` (about three minutes of CPU); writes reports/mixed_sharing/.

The slots of benchmarks/sharing.py at load 0.85 with 4 servers, ten tasks a device (five of 10 tasks). A
device's budget is halfway between the least energy that its tasks can take and what they take where nothing
but sharing is limited; servers hold 95 % of the parameters. Development used seed 0 alone.
"""

from __future__ import annotations

import csv
import time
from dataclasses import replace

from common import ROOT, clean_tree, machine, table
from sharing import CpuLimit, make, number

import mecopt

OUT = ROOT / "reports" / "mixed_sharing"
CPU_S = {10: 10.0, 60: 15.0, 300: 20.0}  # by tasks
SERVERS, LOAD, SEEDS = 4, 0.85, range(3)
HELD = 0.95  # of a model's parameters
COLUMNS = ["tasks", "seed", "status", "objective", "bound", "gap", "cpu_s"]


def limited(tasks: int, seed: int) -> mecopt.Instance:
    """Return a slot in which budgets and memory bind."""
    each = 5 if tasks == 10 else 10
    made = make(tasks, SERVERS, LOAD, seed)
    device = [k // each for k in range(tasks)]
    devices = made.devices[: device[-1] + 1]
    made = made.replace(devices=devices, tasks=replace(made.tasks, device=device))
    free = mecopt.solve(made, "decomposition", gap=1e-3, time_limit_s=5)
    cheapest = made.replace(rules=replace(made.rules, objective=ENERGY, couplings=frozenset()))
    least = mecopt.solve(cheapest, "trellis")
    spent = [found.evaluation.device_energy_j for found in (least, free)]
    budgets = [sum(energy[device.name] for energy in spent) / 2 for device in devices]
    held = HELD * max(sum(block.param_bytes for block in model.blocks) for model in made.models)
    both = made.rules.couplings | {mecopt.Coupling.ENERGY, mecopt.Coupling.MEMORY}
    return made.replace(
        devices=tuple(replace(d, energy_budget_j=b) for d, b in zip(devices, budgets, strict=True)),
        servers=tuple(replace(server, memory_bytes=held) for server in made.servers),
        rules=replace(made.rules, couplings=both),
    )


ENERGY = mecopt.Objective(delay=0.0, energy=1.0)


def measure(tasks: int, seed: int) -> dict[str, object]:
    """Solve one until its CPU seconds are spent."""
    instance = limited(tasks, seed)
    start = time.process_time()
    result = mecopt.solve(instance, "decomposition", gap=1e-6, stop=CpuLimit(CPU_S[tasks], start))
    found = (tasks, seed, str(result.status), result.objective, result.lower_bound, result.gap)
    return dict(zip(COLUMNS, (*found, time.process_time() - start), strict=True))


def main() -> None:
    measure(10, 9)  # compiles
    rows = [measure(tasks, seed) for tasks in CPU_S for seed in SEEDS]
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    shown = [
        [
            str(r["tasks"]),
            str(r["seed"]),
            str(r["status"]),
            *(f"{number(r[x]):.2g}" for x in ("gap", "cpu_s")),
        ]
        for r in rows
    ]
    page = [
        "# Sharing beside energy budgets and memory",
        "",
        "`python benchmarks/mixed_sharing.py`; see benchmarks/protocol.md. One slot of `crowd`, 6 blocks, 4",
        "servers, mm1 at load 0.85; ten tasks a device, five of 10 tasks. Budgets halfway between the least",
        "energy and what is taken without them, servers that hold 95 % of the parameters. Runs stop after",
        "10, 15 and 20 CPU seconds at 10, 60 and 300 tasks.",
        "",
        table(["tasks", "seed", "status", "gap", "CPU s"], shown),
        "",
        *machine("numpy", "numba", "highspy"),
        "",
    ]
    (OUT / "README.md").write_text("\n".join(page))
    print("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main()
