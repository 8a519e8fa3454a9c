"""Learners: gaps on test episodes, peers, decision times, one factor at a time.

    python benchmarks/learners.py PART... [--settings A,B] [--learners A,B] [--seeds N] [--episodes N]

PART is ``main`` (the trainings behind the shipped policies, and `a3c`, `dqn` and recipe `paper` beside them),
``peers``, ``time`` or ``ablation``; ``page`` only writes the page anew. Every training is added to
reports/learners/runs.jsonl as it ends; what is there is not run again. The rows that cost least come first,
so that what is ended early has most rows whole. The page says what was run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import clean_tree, timed
from learner_runs import FIRST_SEED, OURS, PEERS, Job, once, runs
from learners_page import FACTORS, TEST_EPISODES, page
from peers import train_peer, usual
from policies import WORK

import mecopt
from mecopt.costs import chain_costs
from mecopt.tolerances import excess
from mecopt.trellis import shortest_paths
from mecopt.trellis_arcs import build_arcs
from mecopt_rl.learners.learner import Shape, kind
from mecopt_rl.training.checkpoint import load_policy
from mecopt_rl.training.curriculum import Round
from mecopt_rl.training.loop import POLICY, Training, TrainingPlan
from mecopt_rl.training.rounds import Worker
from mecopt_rl.training.seeds import TEST
from mecopt_rl.world.episodes import Episodes
from mecopt_rl.world.fleet import Fleet
from mecopt_rl.world.masks import needed_masks

SETTINGS = (
    *("paper", "paper-load", "paper-deadline", "paper-near"),
    *("camera-alexnet", "camera-vgg", "camera-vgg-load", "camera-alexnet-deadline"),
)
MTL_ONLY = ("sharing soft",)
PAPER_EPISODES = 400  # as many as the paper trains for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=("main", "peers", "time", "ablation", "page"))
    parser.add_argument("--settings", default="", help="instead of all of the part")
    parser.add_argument("--learners", default="", help="instead of all of the part")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=400, help="of the peers and the ablation")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(1)
    for part in (part for part in options.parts if part in KINDS):
        for job in jobs(part, options):
            once(job, PARTS[part])
            page()
    page()


def jobs(part: str, options: argparse.Namespace) -> Iterator[Job]:
    """Yield what a part consists of."""
    settings = tuple(filter(None, options.settings.split(",")))
    learners = tuple(filter(None, options.learners.split(",")))
    seeds = {"time": 1, "ablation": min(options.seeds, 3)}.get(part, options.seeds)
    spent = costs(part)
    for job in sorted(KINDS[part](options.episodes), key=lambda job: spent.get(told(job), 0.0)):
        wanted = not settings or job["setting"] in settings
        if wanted and (not learners or job["learner"] in learners):
            yield from ({"part": part, "seed": seed, **job} for seed in range(FIRST_SEED, FIRST_SEED + seeds))


def costs(part: str) -> dict[str, float]:
    """Return CPU seconds of a training of each job, where one was made before."""
    found: dict[str, float] = {}
    for run in runs():
        if run["job"]["part"] == part and run.get("curve"):
            job = {name: value for name, value in run["job"].items() if name not in ("part", "seed")}
            found.setdefault(told(job), run["curve"][-1][1])
    return found


def told(job: Job) -> str:
    """Return a job as a text."""
    return json.dumps(job, sort_keys=True)


def main_jobs(_: int) -> Iterator[Job]:
    """Yield the trainings behind the shipped policies, and the paper's learners at the paper's own budget."""
    paper = {"episodes": PAPER_EPISODES, "changes": {}}
    for setting, learner, episodes, changes in WORK:
        if setting in SETTINGS:
            yield {"setting": setting, "learner": learner, "episodes": episodes, "changes": changes}
            if episodes > PAPER_EPISODES:
                yield {"setting": setting, "learner": learner, **paper}
    for learner in ("a3c", "dqn"):  # at the camera settings they are among the peers
        yield {"setting": "paper", "learner": learner, **paper}
    for setting in ("paper", "camera-vgg"):
        yield {"setting": setting, "learner": "mtl-a3c", "recipe": "paper", **paper}


def peer_jobs(episodes: int) -> Iterator[Job]:
    """Yield our learners and those of Stable-Baselines3."""
    for setting in ("camera-vgg", "camera-alexnet"):
        for learner in OURS + PEERS:
            yield {"setting": setting, "learner": learner, "episodes": episodes}


def ablation_jobs(episodes: int) -> Iterator[Job]:
    """Yield one factor at a time."""
    for setting in ("camera-vgg-load", "camera-alexnet"):
        for learner in OURS[:2]:
            for factor in (name for name in FACTORS if changes_something(learner, name)):
                yield {"setting": setting, "learner": learner, "episodes": episodes, "factor": factor}


def time_jobs(_: int) -> Iterator[Job]:
    """Yield the learners whose decisions are timed."""
    for learner in (*OURS, "any-size"):
        yield {"setting": "camera-vgg", "learner": learner}


KINDS = {"main": main_jobs, "peers": peer_jobs, "ablation": ablation_jobs, "time": time_jobs}


def changes_something(learner: str, factor: str) -> bool:
    """Return whether a factor is not what the learner's recipe has anyway."""
    changes = {name: value for name, value in FACTORS[factor].items() if name != "workers"}
    same = kind(learner).settings(None, changes) == kind(learner).settings()
    return (learner == "mtl-a3c" or factor not in MTL_ONLY) and not (changes and same)


def train(job: Job) -> dict[str, Any]:
    """Train one policy and test the one that validation kept."""
    if job["learner"] in PEERS:
        return train_sb3(job)
    changes = {**job.get("changes", {}), **FACTORS[job.get("factor", "recipe best")]}
    workers = changes.pop("workers", 1)
    plan = TrainingPlan(
        job["setting"], job["learner"], job.get("recipe"), changes, job["episodes"], workers, job["seed"]
    )
    start, curve = time.process_time(), []

    def report(row: Any) -> None:
        curve.append([row["decisions"], time.process_time() - start, row["gap"], row["seconds"]])

    with tempfile.TemporaryDirectory() as folder:
        training = Training(plan, folder, report=report)
        training.run()
        encoder = training.curriculum.encoder
        last = test(job["setting"], encoder, training.learner.network)
        kept = Path(folder) / POLICY
        best = test(job["setting"], encoder, load_policy(kept).network) if kept.exists() else None
    return {"curve": curve, "workers": workers, "kept": best, "last": last, "per_cpu_s": speed(training)}


def speed(training: Training) -> float:
    """Return decisions per CPU second of one more round in this process: no start, no validation."""
    worker, start = Worker(training.curriculum, training.learner), time.process_time()
    done = worker.run(Round((training.plan.seed,), training.plan.round_episodes, 1.0, 1.0))
    return done.decisions / (time.process_time() - start)


def train_sb3(job: Job) -> dict[str, Any]:
    """Train with Stable-Baselines3: its defaults, but no discount over slots, as nothing joins them."""
    made = train_peer(job["learner"], job["setting"], job["episodes"], job["seed"], {}, usual)
    return {
        "curve": made.curve,
        "workers": 1,
        "kept": None,
        "last": test(job["setting"], made.encoder, made.policy),
        "per_cpu_s": made.decisions / made.cpu_s,
    }


def test(setting: str, encoder: Any, policy: Any) -> dict[str, float]:
    """Run a policy on the test episodes: ratio of sums, and the distribution over tasks, as fractions."""
    batch = Episodes(setting).draw(TEST_EPISODES, np.random.default_rng((TEST, TEST_EPISODES)), encoder)
    fleet = Fleet(batch.pool, batch.rows, encoder)
    masks, cost, optimum = needed_masks(fleet), [], []
    while not fleet.ended.all():
        live, now = ~fleet.ended, fleet.now.copy()
        actions = policy.decide(torch.from_numpy(fleet.observe()), masks, None)[0]
        cost.append(-fleet.decide(actions).reward[live])
        optimum.append(batch.pool.optimum[now[live]])
    paid, least = np.concatenate(cost), np.concatenate(optimum)
    above = paid / least - 1.0
    median, p95 = np.quantile(above, (0.5, 0.95))
    gap = excess(float(paid.sum()), float(least.sum()))
    named = {"gap": gap, "median": median, "p95": p95, "worst": above.max()}
    return {name: float(value) for name, value in named.items()}


def decision_time(job: Job) -> dict[str, Any]:
    """Time decisions of a network with its first weights, and the trellis on the same tasks."""
    episodes = Episodes(job["setting"])
    encoder = episodes.encoder()
    instance = mecopt.generate(job["setting"], slots=10_000, seed=job["seed"])
    costs = chain_costs(instance)
    chosen = kind(job["learner"])
    any_size = job["learner"] == "any-size"  # sees the costs of steps
    seen = torch.from_numpy(build_arcs(costs).weight if any_size else encoder.encode(instance, costs))
    shape = Shape(encoder.size, episodes.blocks, episodes.servers + 1)
    network = chosen.network(shape, chosen.settings())
    small = mecopt.generate(job["setting"], slots=1, seed=job["seed"])
    small_costs, one = chain_costs(small), seen[:1].clone()
    work: dict[str, tuple[Callable[[], Any], int]] = {
        "one_s": (lambda: network.decide(one, None, None), 200),
        "batch_s": (lambda: network.decide(seen, None, None), 1),
        "trellis_one_s": (lambda: shortest_paths(small_costs, kernel="numba"), 200),
        "trellis_batch_s": (lambda: shortest_paths(costs, kernel="numba"), 1),
    }

    def often(call: Callable[[], Any], times: int) -> Callable[[], None]:
        return lambda: [call() for _ in range(times)] and None

    found = {name: timed(often(call, n), repeats=5)["cpu_s"] / n for name, (call, n) in work.items()}
    return {**found, "tasks": len(seen)}


PARTS = {"main": train, "peers": train, "ablation": train, "time": decision_time}


if __name__ == "__main__":
    clean_tree()
    main()
