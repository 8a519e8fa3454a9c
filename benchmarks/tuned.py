"""Ours and those of Stable-Baselines3, tuned by Optuna with as many trials each, and trained on other seeds.

    python benchmarks/tuned.py [--settings A,B] [--learners A,B] [--trials N] [--seeds N] [--episodes N]

A trial is as long as the trainings that are reported: schedules run over the length of a training, so that
what is best in short ones need not be in long ones. Trials and trainings are added to
reports/learners/runs.jsonl as they end; what is there is not run again, and Optuna is told of it.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

import optuna
import torch
from common import clean_tree
from learner_runs import FIRST_SEED, PEERS, Job, once
from learners import test, train
from learners_page import TRIAL_SEED, TUNED, page
from peers import fast, train_peer

from mecopt_rl.learners.learner import kind
from mecopt_rl.training.training_plan import TrainingPlan
from mecopt_rl.training.tuning import Axis, TuningSpace

RATE = Axis("learning_rate", low=1e-4, high=1e-2)
ENTROPY = Axis("ent_coef", values=(0.0, 0.001, 0.01, 0.1))
SPACES = {
    "SB3 A2C": (
        RATE,
        ENTROPY,
        Axis("n_steps", values=(5, 16, 64)),
        Axis("normalize_advantage", values=(False, True)),
    ),
    "SB3 PPO": (
        RATE,
        ENTROPY,
        Axis("n_steps", values=(64, 256, 2048)),
        Axis("batch_size", values=(64, 256, 1024)),
        Axis("n_epochs", values=(3, 10)),
    ),
    "SB3 DQN": (
        RATE,
        Axis("batch_size", values=(32, 128)),
        Axis("gradient_steps", values=(1, 4)),
        Axis("exploration_fraction", low=0.05, high=0.5),
        Axis("exploration_final_eps", values=(0.01, 0.05)),
    ),
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "SB3 A2C": {"learning_rate": 7e-4, "ent_coef": 0.0, "n_steps": 5, "normalize_advantage": False},
    "SB3 PPO": {"learning_rate": 3e-4, "ent_coef": 0.0, "n_steps": 2048, "batch_size": 64, "n_epochs": 10},
    "SB3 DQN": {
        "learning_rate": 1e-4,
        "batch_size": 32,
        "gradient_steps": 1,
        "exploration_fraction": 0.1,
        "exploration_final_eps": 0.05,
    },
}
ENVIRONMENTS = "environments=30|60|120"  # beside the usual settings of `mecopt tune`
NO_GAP = 1e9  # of what violates a limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", default="camera-vgg")
    parser.add_argument("--learners", default=",".join(TUNED))
    parser.add_argument("--trials", type=int, default=13)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=400)
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    for setting in options.settings.split(","):
        learners = options.learners.split(",")
        best = {name: tune(setting, name, options.trials, options.episodes) for name in learners}
        for job in finals(setting, best, options):
            once(job, final)
            page()
    page()


def finals(setting: str, best: dict[str, dict[str, Any]], options: argparse.Namespace) -> Iterator[Job]:
    """Yield the trainings of what was found, and of what learners come with, one seed after the other."""
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        for learner, found in best.items():
            for trials, changes in ((0, {}), (options.trials, found)):
                yield {
                    "part": "tuned",
                    "seed": seed,
                    "setting": setting,
                    "learner": learner,
                    "episodes": options.episodes,
                    "trials": trials,
                    "changes": changes,
                }


def final(job: Job) -> dict[str, Any]:
    """Train by the settings of a job, and test the last weights."""
    if job["learner"] not in PEERS:
        return train(job)
    made = train_peer(job["learner"], job["setting"], job["episodes"], job["seed"], job["changes"], fast)
    return {"curve": made.curve, "last": test(job["setting"], made.encoder, made.policy)}


def tune(setting: str, learner: str, trials: int, episodes: int) -> dict[str, Any]:
    """Return the best settings of so many trials; those that were made before are told to Optuna again."""
    axes, first = space(setting, learner)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=TRIAL_SEED))
    study.enqueue_trial(first)
    for number in range(trials):
        trial = study.ask()
        job = {
            "part": "trial",
            "seed": TRIAL_SEED,
            "setting": setting,
            "learner": learner,
            "episodes": episodes,
            "number": number,
            "changes": {axis.name: axis.suggest(trial) for axis in axes},
        }
        study.tell(trial, once(job, worth)["value"])
    return dict(study.best_params)


def space(setting: str, learner: str) -> tuple[tuple[Axis, ...], dict[str, Any]]:
    """Return what is looked for, and what the learner comes with."""
    if learner in PEERS:
        return SPACES[learner], DEFAULTS[learner]
    plan = TrainingPlan(setting, learner)
    axes = (*TuningSpace.of(plan).axes, *TuningSpace.of(plan, (ENVIRONMENTS,)).axes)
    comes = kind(learner).settings()
    return axes, {axis.name: getattr(comes, axis.name) for axis in axes}


def worth(job: Job) -> dict[str, Any]:
    """Return the gap of a trial on validation episodes: of the last weights."""
    if job["learner"] in PEERS:
        args = job["learner"], job["setting"], job["episodes"], job["seed"]
        curve = train_peer(*args, job["changes"], fast).curve
    else:
        curve = train(job)["curve"]
    gap = curve[-1][2]
    return {"value": NO_GAP if gap is None else gap, "curve": curve}


if __name__ == "__main__":
    clean_tree()
    main()
