"""The decomposition on crowded slots, many slots, memory and energy: certified gap and CPU seconds.

Run: ``python benchmarks/decomposition.py`` (a quarter of an hour); writes reports/decomposition/. ``--quick``
takes one seed of the small cases, ``--only TEXT`` the cases whose name contains it; both only print.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import highspy
import numpy as np
from common import ROOT, clean_tree, machine, table

import mecopt
from mecopt import limits
from mecopt.costs import chain_costs
from mecopt.highs import quiet
from mecopt_solvers.decomposition.branch import Tree
from mecopt_solvers.decomposition.problem import build_part

OUT = ROOT / "reports" / "decomposition"
SEEDS = range(5)


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    make: Callable[[int], mecopt.Instance]
    gap: float  # asked for
    limit_s: float  # wall seconds
    target: str
    seeds: int = 5
    threads: int = 1


def crowd(**changes: object) -> Callable[[int], mecopt.Instance]:
    """Return the generator of crowded slots, the seed left open."""
    return lambda seed: mecopt.generate("crowd", seed=seed, **changes)


def two_models(seed: int) -> mecopt.Instance:
    """Return 60 tasks of two models; every server holds half of what the free optimum puts there."""
    first = mecopt.generate("crowd", seed=seed)
    second = mecopt.generate("crowd", seed=seed, model="alexnet-224").models[0]
    tasks = dataclasses.replace(first.tasks, model=np.arange(first.task_count) % 2)
    free = first.replace(
        models=(first.models[0], second),
        tasks=tasks,
        rules=dataclasses.replace(first.rules, couplings=frozenset()),
    )
    judged = mecopt.evaluate(free, mecopt.solve(free, "trellis").placement)
    rows, used = limits.MEMORY.used(judged)
    holder = rows % limits.MEMORY.holders(judged.instance)
    wanted = dict(zip(holder.tolist(), used.tolist(), strict=True))
    servers = tuple(
        dataclasses.replace(server, memory_bytes=0.5 * wanted.get(n, 0.0))
        for n, server in enumerate(free.servers)
    )
    return free.replace(
        servers=servers, rules=dataclasses.replace(free.rules, couplings=frozenset({"memory"}))
    )


def budgets(seed: int) -> mecopt.Instance:
    """Return 600 slots of 10 tasks with capacity, budgets what the free optimum spends (share 1.0).

    A share of 0.8 is impossible: on some device the free optimum is within 3 % of the least energy that its
    tasks can spend. `joined.py` measures at shares near the least, and says why none below it can be met.
    """
    return mecopt.generate(
        "crowd",
        seed=seed,
        slots=600,
        batch=10,
        ratio=0.8,
        couplings=("capacity", "energy"),
        energy_budget_share=1.0,
    )


CASES = (
    *(
        Case(f"K = 1000, N = 4, ratio {r}", crowd(batch=1000, ratio=r), 1e-4, 8, "1e-4 in 2 s")
        for r in (1.0, 1.1, 1.3)
    ),
    *(
        Case(
            f"K = {k}, N = 4, ratio 1.0, a minute",
            crowd(batch=k, ratio=1.0),
            gap,
            60,
            f"{gap:.0e} in 60 s",
            3,
        )
        for k, gap in ((60, 1e-3), (300, 2e-4), (1000, 3e-5))
    ),
    Case("K = 300, N = 4, ratio 1.1", crowd(batch=300), 3e-4, 8, "3e-4 in 2 s"),
    Case("K = 60, N = 4, ratio 1.1", crowd(), 1e-3, 10, "1e-3 in 1 s"),
    Case("K = 60, N = 4, ratio 1.1, on", crowd(), 3e-4, 20, "3e-4 in 10 s"),
    Case("K = 60, N = 9, ratio 1.1", crowd(servers=9), 5e-3, 20, "5e-3 in 10 s"),
    Case("K = 10, N = 4, ratio 1.0", crowd(batch=10, ratio=1.0), 2e-2, 60, "2e-2 in 60 s"),
    Case("K = 10, N = 4, ratio 1.1", crowd(batch=10), 1e-6, 90, "optimal in 60 s"),
    Case("K = 10, N = 4, ratio 1.3", crowd(batch=10, ratio=1.3), 1e-6, 90, "optimal in 60 s"),
    Case("K = 10, N = 9, ratio 1.1", crowd(batch=10, servers=9), 2e-2, 60, "2e-2 in 60 s"),
    Case("memory, 60 tasks, 2 models, N = 4", two_models, 1e-6, 30, "1e-2 in 30 s"),
    Case("600 slots x 60 tasks, N = 4", crowd(slots=600), 1e-3, 300, "1e-3 in 300 s on 2 cores"),
    Case("energy and capacity, 600 slots x 10", budgets, 1e-2, 120, "1e-2 in 120 s"),
)


def measure(case: Case, seed: int) -> dict[str, object]:
    """Solve one instance and return its row."""
    instance = case.make(seed)
    cpu, wall = time.process_time(), time.perf_counter()
    result = mecopt.solve(
        instance, "decomposition", gap=case.gap, time_limit_s=case.limit_s, threads=case.threads, seed=seed
    )
    return {
        "case": case.name,
        "seed": seed,
        "status": str(result.status),
        "objective": result.objective,
        "bound": result.lower_bound,
        "gap": result.gap,
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "dual_bound": result.options.get("dual_bound"),
        "dual_proved": result.options.get("dual_proved"),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "budget_share": (instance.origin or {}).get("parameters", {}).get("energy_budget_share"),
    }


def flow_bound(instance: mecopt.Instance) -> tuple[float, float]:
    """Return the value of the flow LP by HiGHS with its own defaults, and its CPU seconds."""
    part = build_part(instance, chain_costs(instance), np.arange(instance.task_count))
    tasks, stages, nodes = part.weight.shape[:3]
    k, m, i, j = np.nonzero(np.isfinite(part.weight))
    keep = (m > 0) | (i == 0)
    k, m, i, j = k[keep], m[keep], i[keep], j[keep]
    vertex = (k * (stages - 1) + m) * nodes  # conservation at every block but the last
    column = np.arange(len(k))
    out, into = m < stages - 1, m > 0
    base = tasks * (stages - 1) * nodes
    first = m == 0
    entries = [
        (vertex[out] + j[out], column[out], np.ones(out.sum())),
        (vertex[into] - nodes + i[into], column[into], -np.ones(into.sum())),
        (base + k[first], column[first], np.ones(first.sum())),
        (base + tasks + part.row[k, j - 1][j > 0], column[j > 0], part.work[k, m, j][j > 0]),
    ]
    row, col, value = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    order = np.lexsort((row, col))
    start = np.searchsorted(col[order], np.arange(len(k) + 1))
    rows = base + tasks + part.rows
    lower = np.concatenate([np.zeros(base), np.ones(tasks), np.full(part.rows, -highspy.kHighsInf)])
    upper = np.concatenate([np.zeros(base), np.ones(tasks + part.rows)])
    begin = time.process_time()
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(k), rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = part.weight[k, m, i, j], np.zeros(len(k)), np.ones(len(k))
    lp.row_lower_, lp.row_upper_ = lower, upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = start.astype(np.int32)
    lp.a_matrix_.index_, lp.a_matrix_.value_ = row[order].astype(np.int32), value[order]
    highs = quiet()
    highs.setOptionValue("threads", 1)
    highs.passModel(lp)
    highs.run()
    return highs.getInfo().objective_function_value, time.process_time() - begin


def root_bounds(seeds: int) -> list[list[str]]:
    """Compare the bound of the linear program with the flow LP's, and what each costs."""
    rows = []
    for tasks in (60, 300, 1000):
        off, ours, theirs = [], [], []
        for seed in range(seeds):
            instance = mecopt.generate("crowd", seed=seed, batch=tasks)
            begin = time.process_time()
            tree = Tree(build_part(instance, chain_costs(instance), np.arange(tasks)))
            tree.advance(0.0, lambda: False, 0)
            ours.append(time.process_time() - begin)
            value, seconds = flow_bound(instance)
            theirs.append(seconds)
            off.append(abs(tree.open[0][0] / value - 1.0))
        a, b = statistics.median(ours), statistics.median(theirs)
        rows.append([f"{tasks}", f"{max(off):.1e}", f"{a:.3f}", f"{b:.3f}", f"{b / a:.0f}"])
    return rows


def summary(rows: list[dict[str, object]], case: Case) -> list[str]:
    """Return the line of one case."""
    mine = [row for row in rows if row["case"] == case.name]
    gaps = [float("inf") if row["gap"] is None else float(str(row["gap"])) for row in mine]
    cpu = [float(str(row["cpu_s"])) for row in mine]
    reached = sum(gap <= case.gap for gap in gaps)
    best = [row for row in mine if row["dual_proved"]]
    dual = [float(str(row["objective"])) / float(str(row["dual_bound"])) - 1.0 for row in best]
    return [
        case.name,
        case.target,
        f"{statistics.median(gaps):.1e}",
        f"{max(gaps):.1e}",
        f"{statistics.median(cpu):.2f}",
        f"{max(cpu):.2f}",
        f"{reached} of {len(mine)}",
        f"{statistics.median(dual):.1e} ({len(dual)})" if dual else "-",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed a case, small cases only")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    mecopt.solve(mecopt.generate("crowd", seed=99), "decomposition", gap=1e-3, time_limit_s=30)  # compiles
    rows: list[dict[str, object]] = []
    chosen = [case for case in CASES if arguments.only in case.name]
    if arguments.quick:
        chosen = [case for case in chosen if case.limit_s <= 90]
    for case in chosen:
        for seed in SEEDS[: 1 if arguments.quick else case.seeds]:
            row = measure(case, seed)
            rows.append(row)
        print(" | ".join(summary(rows, case)), flush=True)
    bounds = root_bounds(1 if arguments.quick else 5)
    print(*bounds, sep="\n")
    if arguments.only or arguments.quick:
        return
    write(rows, chosen, bounds)


def write(rows: list[dict[str, object]], chosen: list[Case], bounds: list[list[str]]) -> None:
    """Write the table and the raw numbers."""
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    header = [
        "case",
        "goal",
        "gap, median",
        "gap, worst",
        "CPU s, median",
        "CPU s, worst",
        "goal's gap reached",
        "to the best prices",
    ]
    page = [
        "# The decomposition: certified gaps",
        "",
        "`python benchmarks/decomposition.py`; see benchmarks/protocol.md. Runs stop at the goal's gap,",
        "or at a limit of wall seconds that is not shorter than the goal's. Compilation is not counted.",
        "`To the best prices`: the median distance from what prices alone prove, over the runs (in brackets)",
        "in which no other prices prove more, to 1e-9; what the gap is below that, branching has proved.",
        "",
        table(header, [summary(rows, case) for case in chosen]),
        "",
        "At ratio 1.0 the demand is the capacity to the last cycle, and the linear program fills all servers",
        "exactly with parts of tasks. With 1000 tasks the placements found put one whole task on its device,",
        "and the gap is about what that costs. Where only a task's last, tiny block runs there, servers have",
        "to be full to within that block; no such placement was found, and that there is none is not proved.",
        "",
        "## The bound before branching, beside the flow LP's",
        "",
        table(["tasks", "largest relative difference", "CPU s", "CPU s, flow LP by HiGHS", "times"], bounds),
        "",
        *machine("numpy", "numba", "highspy"),
        "",
    ]
    (OUT / "README.md").write_text("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main()
