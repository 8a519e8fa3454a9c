"""Train the policy for all sizes that ships with mecopt, and test it on sizes and seeds held out.

    python benchmarks/any_size.py train FOLDER    the training behind rl/mecopt_rl/policies/any-size
    python benchmarks/any_size.py test            reports/any_size/sizes.csv and regimes.csv, of that policy
    python benchmarks/any_size.py seeds [--seeds N] [--episodes E]    trainings.csv: how much the seed matters

``seeds`` adds a row to trainings.csv as each training ends, and makes none again that is there.

Trained on N in 2, 3, 5, 6, 8, 9 and ten values of M up to 18; N = 4 and 7, and the other M, are held out,
and so are all camera settings.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, table
from learner_runs import FIRST_SEED, commit, commits
from learners_page import interval, mean_of

from mecopt.files import write_bytes
from mecopt.tolerances import excess
from mecopt_rl.learners.any_size import KIND
from mecopt_rl.training.any_size_curriculum import Families
from mecopt_rl.training.checkpoint import load_policy, save_policy
from mecopt_rl.training.loop import POLICY, Training, TrainingPlan
from mecopt_rl.training.seeds import TEST
from mecopt_rl.world.prices import along

ROOT = Path(__file__).resolve().parent.parent
REPORT, SHIPPED = (
    ROOT / "reports" / "any_size",
    ROOT / "rl" / "mecopt_rl" / "policies" / "any-size.safetensors",
)
SERVERS, BLOCKS = (2, 3, 5, 6, 8, 9), (3, 4, 6, 7, 9, 10, 12, 14, 16, 18)
EPISODES, SEED = 32_000, 0
TRAININGS, SEEDS = "trainings.csv", "## How much the seed matters"

# One inference a slot, an input as large as a 224 x 224 frame, a device within reach of the servers.
FRAMES = (
    "input=600000,release_rate=1,cycles_per_mac=1,preset=physical,device_cycles_per_s=0.5e9..2e9,"
    "server_cycles_per_s=2e9..8e9,server_load_factor=0.4..1"
)
SETTINGS = (
    "paper-load:{},server_cycles_per_s=4e9..7e9",
    "paper-near:{},server_cycles_per_s=5e9..6.5e9,device_cycles_per_s=1e9..6e9",
    "paper-load:{},model=vgg16-cifar10|resnet32-cifar10," + FRAMES + ",server_bps=1e8,deadline=none",
    "paper-deadline:{}," + FRAMES + ",server_bps=1e8|1e9,max_delay_s=0.02..0.4",
)
REGIMES = (
    *("camera-alexnet", "camera-vgg", "camera-vgg-load", "camera-alexnet-deadline", "camera-alexnet-uint8"),
    *("paper", "paper-load", "paper-near", "paper-deadline"),
)


def specs(servers: Any, blocks: Any, slots: int) -> str:
    """Return all settings at these sizes."""
    sizes = f"servers={'|'.join(map(str, servers))},blocks={'|'.join(map(str, blocks))},slots={slots}"
    return " ".join(setting.format(sizes) for setting in SETTINGS)


def train(folder: str) -> None:
    """Train, and store the policy."""
    start = time.process_time()
    training = Training(
        TrainingPlan(specs(SERVERS, BLOCKS, 8), "any-size", episodes=EPISODES, seed=SEED),
        folder,
        report=lambda row: print(
            row["episodes"],
            f"{row['gap']:.4%}",
            f"{row['entropy']:.3f}",
            f"{row['seconds']:.0f} s",
            flush=True,
        ),
    )
    training.run()
    kept = load_policy(Path(folder) / POLICY)
    card = {name: value for name, value in kept.card.items() if name != "format"}
    card["training"] |= {"cpu_seconds": round(time.process_time() - start, 1)}
    save_policy(SHIPPED, kept.network, card)


def gaps(families: Families, network: Any, episodes: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return a row for every spec."""
    rows = []
    for spec in families.specs:
        steps, batch = families.draw(spec, episodes, rng)
        cost = along(steps, network.decide(torch.from_numpy(steps), None, None)[0]).sum(axis=1)
        best = batch.pool.optimum
        p, own = spec.parameters(), cost / best - 1.0
        rows.append(
            {
                "setting": spec.name,
                "model": p.network.model,
                "servers": p.servers.servers,
                "blocks": p.network.blocks,
                "server_bps": p.servers.server_bps,
                "tasks": len(steps),
                "gap_percent": round(100 * excess(float(cost.sum()), float(best.sum())), 5),
                "p99_task_percent": round(100 * float(np.quantile(own, 0.99)), 4),
            }
        )
    return rows


def by_size(network: Any, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return a row for every number of servers and blocks."""
    rows = gaps(Families(KIND, specs(range(2, 10), range(3, 19), 10)), network, 10, rng)
    for row in rows:
        row["trained"] = row["servers"] in SERVERS and row["blocks"] in BLOCKS
    return rows


def test() -> None:
    """Test the shipped policy."""
    torch.set_num_threads(1)
    network, rng = load_policy(SHIPPED).network, np.random.default_rng((TEST, 0))
    rows = by_size(network, rng)
    write("sizes.csv", rows)
    for name, part in (
        ("trained", [r for r in rows if r["trained"]]),
        ("held out", [r for r in rows if not r["trained"]]),
    ):
        values = [row["gap_percent"] for row in part]
        print(f"{name}: {len(part)} specs, mean {np.mean(values):.4f} %, median {np.median(values):.4f} %, "
              f"largest {max(values):.3f} %")  # fmt: skip
    rows = gaps(Families(KIND, " ".join(REGIMES)), network, 60, rng)
    write("regimes.csv", rows)
    for row in rows:
        print(row["setting"], f"{row['gap_percent']:.4f} %")


def seeds(count: int, episodes: int) -> None:
    """Train with several seeds, each as long, and test what each training kept."""
    torch.set_num_threads(1)
    path = REPORT / TRAININGS
    with path.open(newline="", encoding="utf-8") if path.exists() else io.StringIO() as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    done = {(row["seed"], row["episodes"]) for row in rows}
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        if (str(seed), str(episodes)) not in done:
            rows.append(one(seed, episodes))
            print(rows[-1], flush=True)
            write(TRAININGS, rows)
        page(rows)
    page(rows)


def one(seed: int, episodes: int) -> dict[str, Any]:
    """Return what a training comes to on sizes that it saw, on others, and on the named settings."""
    start, rng = time.process_time(), np.random.default_rng((TEST, 0))
    with tempfile.TemporaryDirectory() as folder:
        Training(
            TrainingPlan(specs(SERVERS, BLOCKS, 8), "any-size", episodes=episodes, seed=seed), folder
        ).run()
        network = load_policy(Path(folder) / POLICY).network
    cpu, rows = time.process_time() - start, by_size(network, rng)
    named = gaps(Families(KIND, " ".join(REGIMES)), network, 60, rng)
    found = {
        name: round(float(np.mean([row["gap_percent"] for row in rows if row["trained"] == own])), 5)
        for name, own in (("trained", True), ("held_out", False))
    }
    found |= {row["setting"]: row["gap_percent"] for row in named}
    ran = {"cpu_s": round(cpu, 1), "load": round(os.getloadavg()[0], 2), "commit": commit()}
    return {"seed": seed, "episodes": episodes, **found, **ran}


def page(rows: list[dict[str, Any]]) -> None:
    """Write the table of trainings into the page, in the place of the one that is there."""
    if not rows:
        return
    lines = []
    for length in sorted({int(row["episodes"]) for row in rows}):
        mine = [row for row in rows if int(row["episodes"]) == length]
        cpu = mean_of([float(row["cpu_s"]) for row in mine], ".0f")
        for name in ("trained", "held_out", *REGIMES):
            gap = interval([float(row[name]) / 100 for row in mine])
            lines.append([name.replace("_", " "), f"{length:,}", str(len(mine)), gap, cpu])
    text = (REPORT / "README.md").read_text(encoding="utf-8").partition(SEEDS)[0].rstrip()
    said = [
        "`python benchmarks/any_size.py seeds`: trainings with other seeds, each tested as above: on sizes",
        "that it saw and on sizes held out (the mean over specs), and on the named settings. Mean gap in %",
        "with its 95 % bootstrap interval over trainings. CPU seconds are of the training; other work ran",
        "beside it.",
    ]
    ends = [commits(rows), *machine("numpy", "torch")[1:]]
    head = ["instances", "episodes", "seeds", "gap", "CPU s"]
    parts = [text, "", SEEDS, "", *said, "", table(head, lines), "", *ends]
    (REPORT / "README.md").write_text("\n".join(parts) + "\n", encoding="utf-8")


def write(name: str, rows: list[dict[str, Any]]) -> None:
    """Write a table, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(REPORT / name, text.getvalue().encode())


if __name__ == "__main__":
    from common import clean_tree

    clean_tree()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "test", "seeds"))
    parser.add_argument("folder", nargs="?", default="any_size")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=EPISODES)
    options = parser.parse_args()
    if options.what == "seeds":
        seeds(options.seeds, options.episodes)
    else:
        train(options.folder) if options.what == "train" else test()
