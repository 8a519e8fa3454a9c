"""Devices with an energy budget each over T slots: `energy-path` against `ilp` and `cpsat`.

Run: ``python benchmarks/energy.py`` (about five minutes); writes reports/energy/.
"""

from __future__ import annotations

import csv
import sys
import time

from common import ROOT, clean_tree, machine, table

import mecopt
from mecopt.cli.show import gap_text

OUT = ROOT / "reports" / "energy"
SIZES = ((600, 1), (6000, 1), (600, 10), (600, 60))  # slots, devices
SEEDS = range(5)
PEERS = ("ilp", "cpsat")
PEER_SECONDS = 10.0
PEER_SEEDS = range(2)  # the peers get fewer: they use up their time
PEER_DEVICES = 1
TIMES = 3  # other work on the machine adds to CPU time too, through its caches


def one(
    method: str, slots: int, devices: int, seed: int, instance: mecopt.Instance, limit: float, times: int = 1
) -> dict[str, object]:
    """Solve, some times over, and account for it; of the times the least counts."""
    cpu, wall = [], []
    for _ in range(times):
        start_cpu, start = time.process_time(), time.perf_counter()
        result = mecopt.solve(instance, method, time_limit_s=limit)
        cpu.append(time.process_time() - start_cpu)
        wall.append(time.perf_counter() - start)
    return {
        "method": method,
        "slots": slots,
        "devices": devices,
        "seed": seed,
        "status": str(result.status),
        "objective": result.objective,
        "lower_bound": result.lower_bound,
        "gap": result.gap,
        "cpu_s": min(cpu),
        "wall_s": min(wall),
    }


def main() -> None:
    """Write the report."""
    OUT.mkdir(parents=True, exist_ok=True)
    rows = []
    for slots, devices in SIZES:
        for seed in SEEDS:
            more = f",tasks=individual,release_rate={devices}" if devices > 1 else ""
            instance = mecopt.generate(f"energy:slots={slots}{more}", seed=seed)
            mecopt.solve(instance.replace(rules=mecopt.Rules(deadline="none")), "trellis")  # warm up
            rows.append(one("energy-path", slots, devices, seed, instance, 60.0, TIMES))
            print(rows[-1], file=sys.stderr)
            for peer in PEERS if seed in PEER_SEEDS and devices <= PEER_DEVICES else ():
                rows.append(one(peer, slots, devices, seed, instance, PEER_SECONDS))
                print(rows[-1], file=sys.stderr)
    with open(OUT / "runs.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    body = []
    for row in rows:
        gap = "none" if row["gap"] is None else gap_text(float(str(row["gap"])))
        body.append(
            [
                str(row["slots"]),
                str(row["devices"]),
                str(row["seed"]),
                str(row["method"]),
                str(row["status"]),
                gap,
                f"{row['cpu_s']:.3f}",
                f"{row['wall_s']:.3f}",
            ]
        )
    page = [
        "# Energy budgets: T slots, a task of every device in each",
        "",
        f"`python {' '.join(sys.argv)}`; the setting is `energy` of `mecopt generate`. "
        f"`energy-path` was run {TIMES} times, of which the least counts. "
        f"`ilp` and `cpsat` had {PEER_SECONDS:g} s each.",
        "",
        *machine("numpy", "highspy", "ortools"),
        "",
        table(["T", "devices", "seed", "method", "status", "gap", "CPU s", "wall s"], body),
        "",
    ]
    (OUT / "README.md").write_text("\n".join(page))
    print("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main()
