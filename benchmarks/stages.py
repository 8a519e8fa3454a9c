"""One task exactly, end-to-end deadlines, the period of many tasks: CPU seconds and gaps, with peers.

Run: ``python benchmarks/stages.py`` (about 6 minutes); writes reports/stages/. ``--quick`` takes one seed
and only prints; ``--requests`` measures requests to a language model alone, and only prints.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import statistics
import time

import numpy as np
from common import ROOT, clean_tree, machine, random_instance, table

import mecopt
from mecopt.models import language
from mecopt.registry import method as method_of

OUT = ROOT / "reports" / "stages"
PEER_S = 10.0  # time limit of HiGHS and CP-SAT
PERIOD_S = 10.0  # time limit of `period`
REQUESTS_S = 60.0  # time limit of `auto` on requests to a language model


def chain(blocks: int, servers: int, seed: int, objective: str) -> mecopt.Instance:
    """Return one task on unequal servers whose memory holds a fifth of it, or three blocks."""
    rng = np.random.default_rng(seed)
    parts = tuple(mecopt.Block(rng.uniform(1e7, 1e9), rng.uniform(1e5, 3e6), 1e6) for _ in range(blocks))
    memory = 1e6 * max(3, blocks // 5)
    return mecopt.Instance(
        name=f"chain-{blocks}x{servers}-{seed}",
        slot_count=1,
        models=(mecopt.Model("net", parts, output_bits=1e4),),
        devices=(mecopt.Device("camera", 1e9, transmit_power_w=0.5),),
        servers=tuple(
            mecopt.Server(f"es{n}", rng.uniform(2e9, 8e9), memory_bytes=memory) for n in range(servers)
        ),
        links=mecopt.Links.of(servers, rng.uniform(5e7, 2e8, (servers, servers))),
        tasks=mecopt.Tasks.of(
            slot=[0], device=0, model=0, rate_bps=rng.uniform(6.4e6, 1.6e7, (1, servers)), blocks=blocks
        ),
        rules=mecopt.Rules.preset(
            "physical", deadline="none", objective=objective, one_run="servers", couplings={"memory"}
        ),
    )


def in_time(tasks: int, seed: int) -> mecopt.Instance:
    """Return tasks of 18 blocks on 9 servers, to be in time between the quickest and most frugal."""
    free = random_instance(
        tasks, 18, 9, seed=seed, uniform=False, preset="physical", objective={"energy": 1.0}
    )
    quick = free.replace(rules=dataclasses.replace(free.rules, objective="delay"))
    least = mecopt.solve(quick, "trellis").evaluation.task_delay_s
    most = mecopt.solve(free, "trellis").evaluation.task_delay_s
    share = np.random.default_rng(seed).uniform(0.05, 0.9, tasks)
    limits = dataclasses.replace(free.tasks, max_total_delay_s=least + share * (most - least))
    return free.replace(tasks=limits, rules=dataclasses.replace(free.rules, deadline="hard"))


def crowd(servers: int, seed: int) -> mecopt.Instance:
    """Return 60 tasks of one slot, each with its own device, for the period."""
    return mecopt.generate("crowd", seed=seed, servers=servers, slots=1, couplings=(), objective="period")


def requests(count: int, seed: int, objective: str) -> mecopt.Instance:
    """Return like requests to a language model of 80 layers on 8 unequal nodes, each with a KV cache."""
    rng = np.random.default_rng(seed)
    servers = [
        {
            "cycles_per_s": rng.uniform(5e12, 4e13),
            "memory_bytes_per_s": rng.uniform(4e11, 2e12),
            "memory_bytes": rng.choice([24e9, 32e9, 48e9, 80e9]),
        }
        for _ in range(8)
    ]
    model = language.document(language.model("llama-3-70b"), prefill=512, decode=128)
    task = {"slot": 0, "device": "pc", "model": model["name"], "rate_bps": [1e9] * 8}
    document = {
        "format": "mecopt-instance/2",
        "slots": {"count": 1},
        "rules": {
            "deadline": "none", "objective": objective, "one_run": "servers", "couplings": ["memory"],
        },
        "models": [model],
        "devices": [{"name": "pc", "cycles_per_s": 1e12, "memory_bytes_per_s": 5e10, "memory_bytes": 8e9}],
        "servers": servers,
        "links": {"server_bps": 1e10, "server_latency_s": 1e-4},
        "tasks": [task] * count,
    }  # fmt: skip
    return mecopt.from_dict(document)


def measure(case: str, seed: int, instance: mecopt.Instance, method: str, limit: float) -> dict[str, object]:
    """Solve once and return the row."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = mecopt.solve(instance, method, time_limit_s=limit, seed=seed)
    return {
        "case": case,
        "seed": seed,
        "method": method,
        "status": str(result.status),
        "objective": result.objective,
        "bound": result.lower_bound,
        "gap": result.gap,
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
    }


def suited(instance: mecopt.Instance, *names: str) -> list[str]:
    """Return the methods that take an instance."""
    return [name for name in names if method_of(name).suits(instance)]


def rows_of(seeds: list[int], *, peers_too: bool = True) -> list[dict[str, object]]:
    """Measure everything."""
    rows = []
    for seed in seeds:
        peers = ("ilp", "cpsat") if peers_too and seed == seeds[0] else ()
        for objective in ("delay", "period"):
            for servers, blocks in ((10, 50), (15, 18)):
                case = f"{objective}, {servers} servers, {blocks} blocks"
                instance = chain(blocks, servers, seed, objective)
                names = suited(instance, "stages", *peers)
                rows += [measure(case, seed, instance, name, PEER_S) for name in names]
        for tasks in (36_000, 60):
            case = f"least energy in time, {tasks} tasks"
            instance = in_time(tasks, seed)
            names = suited(instance, "labels", *(peers if tasks == 60 else ()))
            rows += [measure(case, seed, instance, name, PEER_S) for name in names]
        for servers in (4, 9):
            for method in suited(crowd(servers, seed), "period", *peers):
                limit = PERIOD_S if method == "period" else PEER_S
                rows.append(
                    measure(f"period, 60 tasks, {servers} servers", seed, crowd(servers, seed), method, limit)
                )
        print(f"seed {seed} done", flush=True)
    return rows


def rows_of_requests(seed: int) -> list[dict[str, object]]:
    """Measure one and 20 requests to a language model."""
    return [
        measure(f"{objective}, {count} requests", seed, requests(count, seed, objective), "auto", REQUESTS_S)
        for objective in ("delay", "period")
        for count in (1, 20)
    ]


def summary(rows: list[dict[str, object]]) -> list[list[str]]:
    """Return a line for every case and method: medians, and the largest gap."""
    lines = []
    for case, method in dict.fromkeys((row["case"], row["method"]) for row in rows):
        mine = [row for row in rows if (row["case"], row["method"]) == (case, method)]
        gaps = [float("inf") if row["gap"] is None else float(str(row["gap"])) for row in mine]
        cpu = [float(str(row["cpu_s"])) for row in mine]
        proved = sum(row["status"] == "optimal" for row in mine)
        lines.append(
            [str(case), str(method), f"{statistics.median(cpu):.3f}", f"{max(cpu):.3f}",
             f"{statistics.median(gaps):.1e}", f"{max(gaps):.1e}", f"{proved} of {len(mine)}"]
        )  # fmt: skip
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Stages, labels and the period, with peers.")
    parser.add_argument("--quick", action="store_true", help="one seed, only printed")
    parser.add_argument("--requests", action="store_true", help="requests to a language model, only printed")
    given = parser.parse_args()
    quick = given.quick
    if given.requests:
        print(*(" | ".join(line) for line in summary(rows_of_requests(0))), sep="\n")
        return
    rows_of([99], peers_too=False)  # compiles
    rows = rows_of([10] if quick else [10, 11, 12])
    lines = summary(rows)
    print(*(" | ".join(line) for line in lines), sep="\n")
    if quick:
        return
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    header = ["case", "method", "CPU s, median", "CPU s, worst", "gap, median", "gap, worst", "proved"]
    page = [
        "# One task exactly, deadlines end to end, and the period of many tasks",
        "",
        "`python benchmarks/stages.py`; see benchmarks/protocol.md. Seeds 10 to 12, one thread; 99 is solved",
        "before, so that nothing is compiled on the clock. Peers (ilp is HiGHS) run on seed 10 alone,",
        f"for {PEER_S:g} s of wall at most; `period` has {PERIOD_S:g} s of wall. Other programs ran beside",
        "it on two cores, so CPU seconds count. A gap of inf: no feasible placement. The first four cases",
        "are one task under one_run, each server with memory for a fifth of it or three blocks; the least",
        "energy is for end-to-end deadlines between a task's quickest and most frugal path; the crowd's",
        "tasks have a device each.",
        "",
        table(header, lines),
        "",
        *machine("numpy", "numba", "highspy", "ortools"),
        "",
    ]
    (OUT / "README.md").write_text("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main()
