"""Plans carried out on this machine: predicted beside measured, plan by plan.

Run: ``python benchmarks/deploy.py [--quick] [NETWORK ...]``; writes reports/deploy/. Networks that are named
are measured again, the rows of the others stay: every row says of which commit it is, and how busy the
machine was.

A device and two servers as processes, the second server three times slower, links shaped to 10 and 100 Mbit/s
with 2 ms of latency. For each network and link six plans: the optimum of the measured times, everything on
each node, and two random cuts, one input at a time; as a pipeline the optimum and the plan of the least
period. Blocks are timed by `mecopt profile` with gaps like the run's. The prediction is also made again with
what the agents measured in the plan before: never in the plan that it is held against. The machine has to be
idle; the page says how busy it was.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, clean_tree, commit, machine, table
from profiles import SUBJECTS, save

import mecopt
from mecopt.deployment import Deployment, deploy
from mecopt.deployment.local_agents import local_agents
from mecopt.deployment.outcome import medians
from mecopt.deployment.replanning import Measured, as_measured
from mecopt.deployment.whole import WholeModel
from mecopt.documents import model_dict
from mecopt.importing.model_document import ModelDocument
from mecopt.profiling import measuring
from mecopt.profiling.profile_document import ProfileDoc

OUT = ROOT / "reports" / "deploy"
NETWORKS = ("AlexNet", "MobileNetV2", "ResNet50", "YOLO-like", "BERT-base")
BLOCKS = 12
RATES_BPS = (1e7, 1e8)
LATENCY_S = 0.002
SLOWER = 3
APART = 0.05  # measured delays closer than this have no order
IDLE_MS = 20.0
PERIOD = "least period"
NODES = ("device", "es1", "es2")
FIELDS = (
    "network", "rate_bps", "plan", "placement", "pipeline", "predicted_s", "corrected_s", "measured_s",
    "lower_quartile_s", "upper_quartile_s", "difference", "cores_s", "load", "commit",
)  # fmt: skip


def instance_of(model: ModelDocument, profile: ProfileDoc, rate_bps: float, **rules: str) -> mecopt.Instance:
    """Return a device and two servers of the measured times, the second server slower."""
    document = model_dict(model.model)
    for block, times in zip(document["blocks"], profile.blocks, strict=True):
        block["measured_seconds"] = {"here": times.seconds, "slow": SLOWER * times.seconds}
        block["start_seconds"] = {"here": times.start_seconds, "slow": SLOWER * times.start_seconds}
    return mecopt.from_dict(
        {
            "format": "mecopt-instance/2",
            "name": document["name"],
            "slots": {"count": 1},
            "rules": {"preset": "physical", "deadline": "none", **rules},
            "models": [document],
            "devices": [{"name": "device", "hardware": "here"}],
            "servers": [{"name": "es1", "hardware": "here"}, {"name": "es2", "hardware": "slow"}],
            "links": {"server_bps": rate_bps, "server_latency_s": LATENCY_S, "device_latency_s": LATENCY_S},
            "tasks": [{"slot": 0, "device": "device", "model": document["name"], "rate_bps": [rate_bps] * 2}],
        }
    )


def plans(instance: mecopt.Instance, seed: int) -> dict[str, list[int]]:
    """Return the optimum, everything on each node, and two random cuts over all nodes."""
    best = mecopt.solve(instance, "trellis").placement
    assert best is not None
    count, draw = instance.max_blocks, np.random.default_rng(seed)
    found = {"optimum": best[0].tolist(), **{f"all on {name}": [n] * count for n, name in enumerate(NODES)}}
    for number in (1, 2):
        cuts = np.sort(draw.choice(np.arange(1, count), 2, replace=False))
        nodes = draw.permutation(3)
        found[f"cut {number}"] = np.repeat(nodes, np.diff([0, *cuts, count])).tolist()
    return found


def least_period(instance: mecopt.Instance) -> list[int]:
    """Return the plan whose pipeline is proved to be the quickest, every server holding one stretch."""
    best = mecopt.solve(instance, "stages").placement
    assert best is not None
    return best[0].tolist()


def shared_s(instance: mecopt.Instance, placement: list[int]) -> float:
    """Return what the calculations of an input take at least on the cores that all nodes share here."""
    return float(mecopt.evaluate(instance, [placement]).steps.calc_s.sum()) / (os.cpu_count() or 1)


@contextmanager
def agents() -> Iterator[dict[str, str]]:
    """Start the three machines."""
    with local_agents(("device", "es1")) as quick, local_agents(("es2",), slower=SLOWER) as slow:
        yield {**quick, **slow}


def shapes(rate_bps: float) -> dict[tuple[str, str], tuple[float, float]]:
    """Return every link at one rate."""
    return dict.fromkeys(itertools.permutations(NODES, 2), (rate_bps, LATENCY_S))


def corrected(instance: mecopt.Instance, before: Deployment | None, placement: list[int]) -> float | None:
    """Predict a plan from what the agents measured in the one before; None for the first."""
    if before is None:
        return None
    measured = Measured(medians(before.transfers_s()), medians(before.calculations_s()))
    now = as_measured(instance, 0, list(before.stretches), measured)
    return mecopt.evaluate(now, [placement]).total_delay_s


def carried_out(
    name: str, model: ModelDocument, whole: WholeModel, profile: ProfileDoc, inputs: int
) -> list[dict[str, Any]]:
    """Carry all plans of a network out."""
    rows = []
    for rate in RATES_BPS:
        instance, before = instance_of(model, profile, rate), None
        chosen = plans(instance, seed=len(name))
        single = [(False, plan) for plan in chosen]
        chosen[PERIOD] = least_period(
            instance_of(model, profile, rate, objective="period", one_run="servers")
        )
        with agents() as there:
            for pipeline, plan in [*single, (True, "optimum"), (True, PERIOD)]:
                found = deploy(
                    instance, [chosen[plan]], whole, there, inputs,
                    shapes=shapes(rate), pipeline=pipeline, blocks=False,
                )  # fmt: skip
                low, high = np.nanquantile(found.delays_s, (0.25, 0.75))
                rows.append(
                    {
                        "network": name, "rate_bps": rate, "plan": plan, "pipeline": pipeline,
                        "placement": " ".join(map(str, chosen[plan])),
                        "predicted_s": found.predicted_s,
                        "corrected_s": None if pipeline else corrected(instance, before, chosen[plan]),
                        "measured_s": found.measured_s, "lower_quartile_s": low, "upper_quartile_s": high,
                        "difference": found.difference,
                        "cores_s": shared_s(instance, chosen[plan]) if pipeline else None,
                        "load": round(os.getloadavg()[0], 2), "commit": commit(),
                    }
                )  # fmt: skip
                before = None if pipeline else found
                print(f"{name} {rate:g} {plan}: {found.error:+.1%}", flush=True)
    return rows


def ordered(rows: list[dict[str, Any]]) -> tuple[int, int]:
    """Count pairs of the optimum and another plan that are apart, and in how many the optimum is faster."""
    pairs = right = 0
    for _, group in itertools.groupby(rows, lambda row: (row["network"], row["rate_bps"])):
        single = [row for row in group if not row["pipeline"]]
        chosen, best = single[0]["placement"], single[0]["measured_s"]  # the optimum comes first
        others = [row["measured_s"] for row in single if row["placement"] != chosen]
        apart = [other for other in others if abs(other / best - 1) > APART]
        pairs, right = pairs + len(apart), right + sum(other > best for other in apart)
    return pairs, right


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", choices=[*SUBJECTS, []])
    parser.add_argument("--quick", action="store_true", help="fewer inputs and repeats")
    args = parser.parse_args()
    inputs, repeat = (5, 2) if args.quick else (20, 7)
    asked = args.networks or NETWORKS
    rows = [row for row in measured_before() if row["network"] not in asked]
    with tempfile.TemporaryDirectory() as temporary:
        for name in asked:
            path = save(name, Path(temporary))
            most = len(mecopt.import_model(path).model.blocks)
            model = mecopt.import_model(path, blocks=min(BLOCKS, most))
            ready = measuring.runner(model, str(path), "onnxruntime")
            profile = measuring.measure(model, ready, hardware="here", repeat=repeat, idle_ms=IDLE_MS)
            rows += carried_out(name, model, WholeModel(model, str(path)), profile, inputs)
            write(sorted(rows, key=lambda row: NETWORKS.index(row["network"])), inputs)


def measured_before() -> list[dict[str, Any]]:
    """Return the rows of the table that is there."""
    if not (OUT / "runs.csv").exists():
        return []
    with (OUT / "runs.csv").open(newline="") as file:
        return [
            dict.fromkeys(FIELDS) | {name: read(name, cell) for name, cell in row.items()}
            for row in csv.DictReader(file)
        ]


def read(name: str, cell: str) -> Any:
    """Read a cell of the table again."""
    if name == "pipeline":
        return cell == "True"
    numbers = name.endswith(("_s", "_bps")) or name in ("load", "difference")
    return (float(cell) if cell else None) if numbers else cell


def write(rows: list[dict[str, Any]], inputs: int) -> None:
    """Write the page and the raw table."""
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    pairs, right = ordered(rows)
    loads = [row["load"] for row in rows]
    page = [
        "# Plans carried out",
        "",
        "Made by `python benchmarks/deploy.py`. A device and two servers as processes of one machine, the",
        f"second server {SLOWER} times slower (it runs every part so often), links shaped in the transport",
        f"with a latency of {LATENCY_S * 1e3:g} ms; {inputs} inputs a plan, one at a time, medians.",
        f"Load of the machine after a plan, of two cores: {min(loads):.1f} to {max(loads):.1f}.",
        "",
        table(["absolute error of", "median", "worst", "plans"], summary(rows)),
        "",
        f"Of {pairs} pairs (the optimum, another plan) whose measured delays differ by more than",
        f"{APART:.0%}, the optimum was the faster in {right} ({right / max(pairs, 1):.0%}).",
        f"Largest difference from the whole model's output: {max(row['difference'] for row in rows):.2g}.",
        "",
        table(["network", "Mbit/s", "plan", "nodes", "predicted, ms", "measured, ms", "error"], each(rows)),
        "",
        "Predictions are for machines of their own. Here all nodes share the cores of one: where the",
        "calculations of an input, divided among the cores, take longer than the predicted period, that is",
        "what a pipeline over several nodes can reach at most:",
        "",
        table(["network", "Mbit/s", "plan", "predicted, ms", "cores, ms", "measured, ms"], on_cores(rows)),
        "",
        *machine("numpy", "onnx", "onnxruntime", "grpcio"),
        "",
    ]
    (OUT / "README.md").write_text("\n".join(page))


def summary(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return the errors in three lines."""
    single, piped = ([row for row in rows if row["pipeline"] is kind] for kind in (False, True))
    kinds = (
        ("delay, from profiles", single, "predicted_s"),
        (
            "delay, from what the plan before took",
            [row for row in single if row["corrected_s"]],
            "corrected_s",
        ),
        ("period of the pipeline, from profiles", piped, "predicted_s"),
    )
    found = []
    for name, some, key in kinds:
        errors = [abs(row[key] / row["measured_s"] - 1) for row in some]
        found.append([name, f"{statistics.median(errors):.1%}", f"{max(errors):.1%}", str(len(errors))])
    return found


def on_cores(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return a line for every pipeline whose share of the cores is known."""
    names = ("predicted_s", "cores_s", "measured_s")
    return [
        [
            row["network"],
            f"{row['rate_bps'] / 1e6:g}",
            row["plan"],
            *(f"{1e3 * row[name]:.2f}" for name in names),
        ]
        for row in rows
        if row["cores_s"] is not None
    ]


def each(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return a line for every run."""
    found = []
    for row in rows:
        plan = row["plan"] + (", pipeline" if row["pipeline"] else "")
        times = [f"{1e3 * row[name]:.2f}" for name in ("predicted_s", "measured_s")]
        error = f"{row['predicted_s'] / row['measured_s'] - 1:+.1%}"
        found.append([row["network"], f"{row['rate_bps'] / 1e6:g}", plan, row["placement"], *times, error])
    return found


if __name__ == "__main__":
    clean_tree()
    main()
