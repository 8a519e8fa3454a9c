"""Answers to "what if": times of rate curves, fronts, robust plans and samples, and random checks of them.

Run: ``python benchmarks/what_if.py [COUNT]`` (2,000 checks: about five minutes); writes reports/what_if/.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import ROOT, clean_tree, machine, random_instance, table, timed

import mecopt
from mecopt import features
from mecopt.costs import chain_costs
from mecopt.entities import Deadline, Objective, OneRun
from mecopt.trellis import shortest_paths
from mecopt_solvers.crosscheck import random_instance as small_instance
from mecopt_solvers.crosscheck import wide_instance
from mecopt_solvers.crosscheck.brute import brute_force

OUT = ROOT / "reports" / "what_if"
LOW, HIGH = 0.01, 100.0
GRID = 1000  # rates at which the peer solves, evenly by ratio
SEEDS = range(5)
BUDGETS = (1, 3, 10, 25)
SAME = 1e-9  # relative difference of what is the same


def spread(instance: mecopt.Instance, seed: int) -> mecopt.Instance:
    """Return the instance with spreads of 0 to 1 on its nodes."""
    rng = np.random.default_rng(seed)
    devices = tuple(dataclasses.replace(d, calc_spread=float(rng.uniform())) for d in instance.devices)
    servers = tuple(dataclasses.replace(s, calc_spread=float(rng.uniform())) for s in instance.servers)
    return instance.replace(devices=devices, servers=servers)


def measure(what: str, goal: str, size: str, runs: list[dict[str, float]], note: str = "") -> dict[str, Any]:
    """Account for some runs of the same kind, one a seed: the median and the largest of their medians."""
    cpu = sorted(run["cpu_s"] for run in runs)
    row = {
        "what": what,
        "size": size,
        "goal": goal,
        "cpu_s": cpu[len(cpu) // 2],
        "cpu_largest_s": cpu[-1],
        "wall_s": sorted(run["wall_s"] for run in runs)[len(runs) // 2],
        "note": note,
    }
    print(row, file=sys.stderr)
    return row


def times() -> list[dict[str, Any]]:
    """Time everything; a call from the instance to the answer."""
    rows = []
    singles = [random_instance(1, 18, 9, seed=seed) for seed in SEEDS]
    curves = [mecopt.sweep(one, "rate", LOW, HIGH) for one in singles]
    pieces = sorted(len(curve.to_frame()) for curve in curves)
    runs = [timed(lambda one=one: mecopt.sweep(one, "rate", LOW, HIGH), repeats=101) for one in singles]
    note = f"{pieces[0]} to {pieces[-1]} pieces"
    rows.append(measure("rate curve of a task", "1 ms", "M = 18, N = 9", runs, note))
    runs = [timed(lambda one=one: grid(one), repeats=3) for one in singles]
    rows.append(
        measure(f"peer: the trellis at {GRID} rates", "", "M = 18, N = 9", runs, "not exact between them")
    )
    many = random_instance(36_000, 18, 9, seed=0)
    runs = [timed(lambda: mecopt.sweep(many, "rate", LOW, HIGH).points, repeats=3)]
    total = len(mecopt.sweep(many, "rate", LOW, HIGH).to_frame())
    rows.append(
        measure("rate curve of many tasks", "10 s", "36,000 tasks, M = 18, N = 9", runs, f"{total:,} pieces")
    )
    for budget in BUDGETS:
        shaky = [spread(random_instance(1, 50, 9, seed=seed), seed) for seed in SEEDS]
        runs = [timed(lambda one=one, b=budget: mecopt.robust(one, b), repeats=51) for one in shaky]
        rows.append(measure(f"robust plan, budget {budget}", "5 ms", "M = 50, N = 9", runs))
    runs = [timed(lambda one=one: mecopt.pareto(one), repeats=21) for one in singles]
    sizes = sorted(len(mecopt.pareto(one)) for one in singles)
    note = f"all {sizes[0]} to {sizes[-1]} plans"
    rows.append(measure("delay-energy front of a task", "", "M = 18, N = 9", runs, note))
    camera = mecopt.generate("camera-alexnet", seed=0)
    front = mecopt.pareto(camera)
    note = f"{len(front)} supported plans, gap {front.gap:.2%}"
    rows.append(
        measure(
            "delay-energy front of many",
            "",
            "600 tasks, M = 6, N = 4",
            [timed(lambda: mecopt.pareto(camera))],
            note,
        )
    )
    rows.append(period_front())
    runs = [timed(lambda: mecopt.stress(camera, samples=100), repeats=3)]
    rows.append(measure("100 samples of all rates", "", "600 tasks, M = 6, N = 4", runs))
    return rows


def period_front() -> dict[str, Any]:
    """Time the delay-period front of tasks that share a slot."""
    crowd = mecopt.generate("crowd:release_rate=60,servers=4", seed=2)
    rules = dataclasses.replace(crowd.rules, couplings=frozenset(), deadline="none")
    crowd = crowd.replace(rules=rules)
    front = mecopt.pareto(crowd, ("delay", "period"))
    note = f"{len(front)} plans, gap {front.gap:.1%}, {np.median(front.gaps):.2%} in the median"
    runs = [timed(lambda: mecopt.pareto(crowd, ("delay", "period")), repeats=3)]
    return measure("delay-period front of many", "", "60 tasks in a slot, M = 6, N = 4", runs, note)


def grid(instance: mecopt.Instance) -> None:
    """Solve at many rates: what one does without an exact curve."""
    costs = chain_costs(instance)
    for factor in np.geomspace(LOW, HIGH, GRID).tolist():
        send = costs.send_s / factor
        shortest_paths(dataclasses.replace(costs, send_s=send, back_s=send))


def drawn(seed: int) -> mecopt.Instance:
    """Draw a small instance without what joins tasks; every second one with anything of the wider model."""
    rng = np.random.default_rng(seed)
    instance = wide_instance(rng) if seed % 2 else small_instance(rng)
    rules = instance.rules
    objective = rules.objective if rules.objective.delay > 0 else Objective()
    changed = dataclasses.replace(
        rules, couplings=frozenset(), one_run=OneRun.NONE, sharing=None, objective=objective
    )
    return features.without(instance.replace(rules=changed), features.RELAXABLE)


def curve_is_right(seed: int) -> bool | None:
    """Hold a curve to every placement at two values; None where there is no exact curve."""
    instance, rng = drawn(seed), np.random.default_rng(seed)
    server = instance.servers[int(rng.integers(instance.server_count))].name
    over = ("rate", f"rate:{server}", f"speed:{server}", "speed:device", "deadline")[int(rng.integers(5))]
    try:
        curve = mecopt.sweep(instance, over, LOW, HIGH)
    except mecopt.InputError:
        return None
    if curve.pieces is None:
        return None
    for value in (1.0, float(np.exp(rng.uniform(math.log(LOW), math.log(HIGH))))):
        best = brute_force(curve.knob.at(value))
        found, expected = curve.at(value).objective, None if best is None else best.objective
        if (found is None) != (expected is None):
            return False
        if found is not None and expected is not None and abs(found - expected) > SAME * max(expected, 1e-12):
            return False
    return True


def front_is_right(seed: int) -> bool | None:
    """Hold a delay-energy front to the optimum under energy budgets and weights, by every placement."""
    instance = drawn(seed)
    try:
        front = mecopt.pareto(instance)
    except mecopt.MecoptError:
        return None
    rng, rules = np.random.default_rng(seed), instance.rules
    worth = float(10.0 ** rng.uniform(-3, 3))
    of = rules.objective.of
    weighed = dataclasses.replace(rules, objective=Objective(1.0, worth, of))
    best = brute_force(instance.replace(rules=weighed))
    if best is None or best.objective is None:
        return False
    least = float((front.points @ [1.0, worth]).min())
    return abs(least - best.objective) <= SAME * max(best.objective, 1e-12)


def robust_is_right(seed: int) -> bool | None:
    """Hold a robust plan of budget 1 to every placement in every case: one block of a task late at a time."""
    instance = drawn(seed)
    mode = Deadline.HARD if instance.rules.deadline is Deadline.HARD else Deadline.NONE
    rules = dataclasses.replace(instance.rules, deadline=mode, objective=Objective())
    instance = spread(instance.replace(rules=rules), seed)
    found = mecopt.robust(instance, 1)
    from mecopt import allowing
    from mecopt.tolerances import slack
    from mecopt_solvers.crosscheck.brute import paths_of

    for k in range(instance.task_count):
        rows = paths_of(instance, k)
        copies = instance.tasks.take(np.full(len(rows), k))
        judged = mecopt.evaluate(instance.replace(tasks=copies, allow=allowing.of_task(instance, k)), rows)
        nodes = (instance.devices[instance.tasks.device[k]], *instance.servers)
        broken = {violation.where["task"] for violation in judged.violations}
        least = math.inf
        for row, path in enumerate(rows.tolist()):
            if row in broken:
                continue
            if path[0] < 0:
                least = min(least, float(instance.tasks.drop_cost[k]))
                continue
            more = [nodes[n].calc_spread * judged.work_s[row, m] for m, n in enumerate(path) if n >= 0]
            tau = slack(instance.tasks.max_delay_s[k, : len(more)])
            if mode is Deadline.HARD and (judged.block_delay_s[row, : len(more)] + more > tau).any():
                continue
            worst = float(judged.task_delay_s[row]) + max(more)
            least = min(least, worst * float(instance.tasks.weight[k]))
        if least == math.inf:
            if k not in found.unserved:
                return False
        elif abs(float(found.worst[k]) - least) > SAME * max(least, 1e-12):
            return False
    return True


def checks(count: int) -> list[dict[str, Any]]:
    """Check `count` answers in all, a third of each kind."""
    kinds: dict[str, Callable[[int], bool | None]] = {
        "curve": curve_is_right,
        "front": front_is_right,
        "robust": robust_is_right,
    }
    rows = []
    for at, (kind, right) in enumerate(kinds.items()):
        done = wrong = seed = 0
        while done < -(-(count - at) // len(kinds)):
            outcome = right(10_000 + seed)
            seed += 1
            if outcome is not None:
                done += 1
                wrong += not outcome
                if not outcome:
                    print(f"wrong: {kind}, seed {9_999 + seed}", file=sys.stderr)
        rows.append({"kind": kind, "checked": done, "wrong": wrong})
        print(rows[-1], file=sys.stderr)
    return rows


def write(name: str, rows: list[dict[str, Any]]) -> None:
    with open(OUT / name, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.2f} ms"


def main(count: int) -> None:
    """Write the report."""
    OUT.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    measured, checked = times(), checks(count)
    write("times.csv", measured)
    write("checks.csv", checked)
    body = [
        [
            r["what"],
            r["size"],
            r["goal"],
            seconds(r["cpu_s"]),
            seconds(r["cpu_largest_s"]),
            seconds(r["wall_s"]),
            r["note"],
        ]
        for r in measured
    ]
    page = [
        "# What if: curves, fronts, robust plans, samples",
        "",
        f"`python benchmarks/what_if.py {count}`. Times are of a call in Python from the instance to the "
        "answer, one thread, kernels compiled before; for one task the median and the largest over five "
        "random instances of the median of many calls. Rates go from 0.01 to 100 times the instance's.",
        "",
        *machine("numpy", "numba"),
        f"- all of it in {time.perf_counter() - start:.0f} s; other work ran beside it, so CPU times count",
        "",
        table(["what", "size", "goal", "CPU", "CPU, largest", "wall", ""], body),
        "",
        "Random checks against every placement, judged one by one: curves at the instance's value and at a "
        f"random one between {LOW:g} and {HIGH:g}, fronts by the least of delay and energy at a random "
        "weight, robust plans in every case that the adversary has. `pytest -m slow tests/mecopt/what_if` "
        "has more of them, and holds whole fronts.",
        "",
        table(
            ["kind", "checked", "wrong"], [[r["kind"], f"{r['checked']:,}", str(r["wrong"])] for r in checked]
        ),
        "",
    ]
    (OUT / "README.md").write_text("\n".join(page))
    print("\n".join(page))


if __name__ == "__main__":
    clean_tree()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
