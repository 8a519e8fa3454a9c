"""Tasks that arrive one by one: rules against each other, against a bound, and against knowing more.

    python benchmarks/online.py [--minutes M]

Question 1 first: how far is a rule that is told the true state of the arrivals, and sees present loads, ahead
of the same rule without, both tuned by the same budget a scalar on other seeds? Then the rules over loads,
staleness, arrivals, numbers of servers and networks. Every run is kept in reports/online/runs, so that the
same command goes on; with --minutes no cell is begun after that time, and the page says what is missing.
"""

from __future__ import annotations

import csv
import itertools
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import ROOT, clean_tree, machine, table

import mecopt
from mecopt.simulation.batch_means import estimate

REPORT = ROOT / "reports" / "online"
TASKS, SEEDS = 50_000, 5
RULES = (
    "nominal", "least-work", "power-of-two", "selfish", "selfish-flight", "static-price", "price-value",
    "price-tuned", "mirror-descent",
)  # fmt: skip
ASKED = ("price-tuned", "price-told", "price-tuned-p99", "selfish-flight")
NETWORKS = ("camera-vgg", "camera-alexnet", "paper")
LOADS, STALE, KINDS = (0.9, 0.7, 0.95, 0.5), (5, 0, 1), ("both", "poisson", "bursty", "heavy")


@dataclass(frozen=True)
class Cell:
    """One setting in which rules are compared."""

    network: str
    servers: int
    kind: str
    load: float
    stale: int
    rules: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.network}-{self.servers}-{self.kind}-{self.load}-{self.stale}"

    @property
    def spec(self) -> str:
        """Forty devices, one template each."""
        return f"{self.network}:tasks=individual,slots=1,release_rate=40,servers={self.servers}"


def cells() -> list[Cell]:
    """Return the cells in the order in which they are measured; each setting once, with all its rules."""
    asked = [
        Cell(network, 4, kind, load, 0, ASKED)
        for network in NETWORKS[:2]
        for load in LOADS
        for kind in ("bursty", "both")
    ]
    base = [
        Cell("camera-vgg", 4, kind, load, stale, RULES)
        for load, stale, kind in itertools.product(LOADS, STALE, KINDS)
    ]
    others = [
        Cell(network, servers, kind, 0.9, stale, RULES)
        for network, servers in itertools.product(NETWORKS, (4, 2, 9))
        if (network, servers) != ("camera-vgg", 4)
        for kind, stale in (("both", 5), ("poisson", 0))
    ]
    found: dict[str, Cell] = {}
    for cell in (*asked[:4], *base[:8], *asked, *others[:6], *base, *others):
        there = found.get(cell.name)
        rules = cell.rules if there is None else tuple(dict.fromkeys((*there.rules, *cell.rules)))
        found[cell.name] = Cell(cell.network, cell.servers, cell.kind, cell.load, cell.stale, rules)
    return list(found.values())


def measure(cell: Cell) -> list[dict[str, Any]]:
    """Make the runs of a cell that are not there yet, and return all of it."""
    done = mecopt.simulate(
        cell.spec,
        cell.rules,
        load=cell.load,
        arrivals=cell.kind,
        staleness=cell.stale,
        tasks=TASKS,
        seeds=SEEDS,
        out=REPORT / "runs" / cell.name,
    )
    return done.runs


def spread(values: Any, percent: bool = True) -> str:
    """Return a mean over seeds with its 95 % interval."""
    found = estimate(np.array(values, dtype=np.float64))
    assert found.low is not None
    half = found.value - found.low
    return f"{found.value:.1%} ± {half:.1%}" if percent else f"{found.value:.4g} ± {half:.2g}"


def of(runs: list[dict[str, Any]], rule: str) -> list[dict[str, Any]]:
    return [run for run in runs if run["policy"] == rule]


def question(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table of question 1: the same tasks, seed by seed."""
    rows = []
    for cell in cells():
        runs = results.get(cell.name)
        if runs is None or "price-told" not in cell.rules:
            continue
        told, tuned, plain = (of(runs, rule) for rule in ("price-told", "price-tuned", "selfish-flight"))
        ahead = [1 - a["all_mean_s"] / b["all_mean_s"] for a, b in zip(told, tuned, strict=True)]
        worse = [1 - a["p99_s"][0] / b["p99_s"][0] for a, b in zip(told, tuned, strict=True)]
        gained = [1 - b["all_mean_s"] / c["all_mean_s"] for b, c in zip(tuned, plain, strict=True)]
        rows.append(
            [
                cell.network, cell.kind, f"{cell.load}", spread(gained), spread(ahead), spread(worse),
                spread([a["regret"] for a in told]), worst_status(told + tuned),
            ]
        )  # fmt: skip
    head = ["network", "arrivals", "load", "tuned ahead of selfish-flight", "told ahead of tuned"]
    return table([*head, "the same at p99", "told: regret to the bound", "runs"], rows)


def pulled(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table of question 3: tuned for the mean and for p99."""
    rows = []
    for cell in cells():
        runs = results.get(cell.name)
        if runs is None or "price-tuned-p99" not in cell.rules:
            continue
        mean, tail = of(runs, "price-tuned"), of(runs, "price-tuned-p99")
        dearer = [b["all_mean_s"] / a["all_mean_s"] - 1 for a, b in zip(mean, tail, strict=True)]
        gained = [1 - b["p99_s"][0] / a["p99_s"][0] for a, b in zip(mean, tail, strict=True)]
        where = [cell.network, cell.kind, f"{cell.load}"]
        rows.append([*where, spread(dearer), spread(gained), worst_status(mean + tail)])
    return table(["network", "arrivals", "load", "mean rises by", "p99 falls by", "runs"], rows)


def worst_status(runs: list[dict[str, Any]]) -> str:
    return max((run["status"] for run in runs), key=("stable", "unsure", "unstable").index)


def comparison(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table of all rules: mean, p99 and regret, the least mean of a cell in bold."""
    rows = []
    for cell in cells():
        runs = results.get(cell.name)
        if runs is None or "nominal" not in cell.rules:
            continue
        known = RULES
        means = {rule: float(np.mean([run["mean_s"][0] for run in of(runs, rule)])) for rule in known}
        best = min(means, key=lambda rule: means[rule])
        cellname = [cell.network, str(cell.servers), cell.kind, f"{cell.load}", str(cell.stale)]
        figures = []
        for rule in known:
            own = of(runs, rule)
            if worst_status(own) == "unstable":
                figures.append("unstable")
                continue
            text = f"{means[rule]:.3g} / {np.mean([run['p99_s'][0] for run in own]):.3g}"
            text += " ?" if worst_status(own) == "unsure" else ""
            figures.append(f"**{text}**" if rule == best else text)
        rows.append([*cellname, *figures, spread([run["regret"] for run in of(runs, best)])])
    return table(["network", "N", "arrivals", "load", "stale", *RULES, "least regret"], rows)


def page(results: dict[str, list[dict[str, Any]]]) -> str:
    missing = len(cells()) - len(results)
    return f"""# Tasks that arrive one by one

`python benchmarks/online.py`: {SEEDS} seeds a cell, {TASKS:,} tasks a run, 40 devices with a template each,
all rules on the same tasks. Tuned rules tried 40 settings (told: 80, for twice the scalars) on two streams
of 20,000 tasks of other seeds. Intervals are 95 % over seeds, seed by seed where two rules are compared.
Regret is to a bound that no policy gets below on these very tasks ([docs/online.md](../../docs/online.md)).
{f"{missing} of {len(cells())} cells are not measured yet; the same command goes on." if missing else ""}

{chr(10).join(machine("numpy", "numba", "highspy"))}

## Does it help to know?

The rule is told whether a burst is on, sees present loads, and has scalars of its own for either state.

{question(results)}

## Mean or p99

Tuned for p99 instead of for the mean, by the same budget:

{pulled(results)}

## Rules

Mean / p99 in seconds; the least mean in bold; "?" where some run was not shown to be stable.

{comparison(results)}

Every run: runs.csv beside this page.
"""


def write(results: dict[str, list[dict[str, Any]]]) -> None:
    REPORT.mkdir(parents=True, exist_ok=True)
    (REPORT / "README.md").write_text(page(results), encoding="utf-8")
    kept = ("policy", "seed", "status", "warm_up_tasks", "bound_s", "unloaded_s", "regret", "all_mean_s")
    spans = ("mean_s", "p50_s", "p95_s", "p99_s", "energy_j")
    with (REPORT / "runs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        ends = [f"{name}{end}" for name in spans for end in ("", "_low", "_high")]
        writer.writerow(["network", "servers", "arrivals", "load", "stale", *kept, *ends])
        for cell in cells():
            where = (cell.network, cell.servers, cell.kind, cell.load, cell.stale)
            for run in results.get(cell.name, []):
                figures = [f"{value:.6g}" for name in spans for value in run[name]]
                writer.writerow([*where, *(run[name] for name in kept), *figures])


def main() -> None:
    minutes = float(sys.argv[sys.argv.index("--minutes") + 1]) if "--minutes" in sys.argv else np.inf
    end = time.monotonic() + 60 * minutes
    results: dict[str, list[dict[str, Any]]] = {}
    for cell in cells():
        if time.monotonic() > end:
            break
        results[cell.name] = measure(cell)
        print(cell.name, flush=True)
        write(results)


if __name__ == "__main__":
    clean_tree()
    main()
