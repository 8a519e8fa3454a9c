"""One device with an energy budget over T slots: `energy-path` against `ilp` and `cpsat`.

Run: ``python benchmarks/energy.py`` (about ten minutes); writes reports/energy/.
"""

from __future__ import annotations

import csv
import sys
import time

from common import ROOT, machine, table

import mecopt

OUT = ROOT / "reports" / "energy"
SIZES = (600, 6000)
SEEDS = range(5)
PEERS = ("ilp", "cpsat")
PEER_SECONDS = 10.0
PEER_SEEDS = range(2)  # the peers get fewer: they use up their time


def one(
    method: str, slots: int, seed: int, instance: mecopt.Instance, limit: float | None
) -> dict[str, object]:
    """Solve once and account for it."""
    start_cpu, start = time.process_time(), time.perf_counter()
    result = mecopt.solve(instance, method, time_limit_s=limit)
    return {
        "method": method,
        "slots": slots,
        "seed": seed,
        "status": str(result.status),
        "objective": result.objective,
        "lower_bound": result.lower_bound,
        "gap": result.gap,
        "cpu_s": time.process_time() - start_cpu,
        "wall_s": time.perf_counter() - start,
    }


def main() -> None:
    """Write the report."""
    OUT.mkdir(parents=True, exist_ok=True)
    rows = []
    for slots in SIZES:
        for seed in SEEDS:
            instance = mecopt.generate(f"energy:slots={slots}", seed=seed)
            mecopt.solve(instance.replace(rules=mecopt.Rules(deadline="none")), "trellis")  # warm up
            rows.append(one("energy-path", slots, seed, instance, 60.0))
            print(rows[-1], file=sys.stderr)
            for peer in PEERS if seed in PEER_SEEDS else ():
                rows.append(one(peer, slots, seed, instance, PEER_SECONDS))
                print(rows[-1], file=sys.stderr)
    with open(OUT / "runs.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    body = []
    for row in rows:
        gap = "none" if row["gap"] is None else f"{100 * float(str(row['gap'])):.2g} %"
        body.append(
            [
                str(row["slots"]),
                str(row["seed"]),
                str(row["method"]),
                str(row["status"]),
                gap,
                f"{row['cpu_s']:.3f}",
                f"{row['wall_s']:.3f}",
            ]
        )
    page = [
        "# Energy budgets: one device, T slots",
        "",
        f"`python {' '.join(sys.argv)}`; the setting is `energy` of `mecopt generate`. "
        "The first run includes the imports. "
        f"`ilp` and `cpsat` had {PEER_SECONDS:g} s each.",
        "",
        *machine("numpy", "highspy", "ortools"),
        "",
        table(["T", "seed", "method", "status", "gap", "CPU s", "wall s"], body),
        "",
    ]
    (OUT / "README.md").write_text("\n".join(page))
    print("\n".join(page))


if __name__ == "__main__":
    main()
