"""Learners for tasks that arrive one by one, against the rules that they begin as and may know less than.

    python benchmarks/online_learners.py [--seeds S] [--minutes M]

For every cell S policies are trained from seeds of their own, for the mean and for p99, from
`price-tuned` and from `selfish-flight`; beside them are `price-tuned` with a training's tries, the paper's
mtl-a3c as printed, and on two servers value iteration. All meet the same tasks, which none was tuned or
trained on. Every result is a line of reports/online_learners/runs.jsonl, written as it ends, the cheapest
first, and not made again; with --minutes nothing is begun after that time. The page is written after each.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import clean_tree
from learner_runs import Job, once
from online_learners_page import CELLS, COURSE, REPORT, RUNS, SEEDS, TASKS, Cell, write

import mecopt
from mecopt.simulation import Pricing, Rule, Setting
from mecopt.simulation.arrivals import Stream
from mecopt.simulation.batch_means import summary
from mecopt.simulation.bound import bound_of
from mecopt.simulation.engine import simulate_stream
from mecopt.simulation.online_plan import OnlinePlan
from mecopt.simulation.online_rule import find
from mecopt_rl.training.loop import POLICY, Training, TrainingPlan
from mecopt_rl.training.online_training import train_online
from mecopt_solvers.online.scalar_tuning import tuned
from mecopt_solvers.online.two_servers import optimum_of, rule_of

PAPER_EPISODES = 400  # as many as the paper trains for


def main() -> None:
    """Make what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=np.inf)
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    for job in jobs(options.seeds):
        if time.monotonic() > end:
            break
        once(job, lambda job: WORK[job["part"]](job, CELLS[job["cell"]]), RUNS)
        write()
    write()


def jobs(seeds: int) -> Iterator[Job]:
    """Yield what is to be measured, the cheapest first; trainings seed by seed, so that all cells grow."""
    for cell in CELLS.values():
        yield {"part": "bound", "cell": cell.name}
        yield from ({"part": "rule", "cell": cell.name, "rule": rule} for rule in cell.rules)
    for cell in CELLS.values():
        if cell.exact:
            yield {"part": "optimum", "cell": cell.name}
    for start, first, last in (("tuned", 0, 1), ("tuned", 1, seeds), ("selfish", 0, seeds)):
        for seed in range(first, min(last, seeds)):
            for cell in CELLS.values():
                for aim in cell.aims if start == "tuned" else cell.aims[:1]:
                    yield {"part": "learned", "cell": cell.name, "aim": aim, "start": start, "seed": seed}
        if first == 0:  # the printed learner's trainings cost the most, so more than one comes last
            yield from printed_jobs(seeds if start == "selfish" else 1)


def printed_jobs(seeds: int) -> Iterator[Job]:
    """Yield the trainings of the paper's learner."""
    for seed in range(seeds):
        yield from (
            {"part": "printed", "cell": cell.name, "seed": seed} for cell in CELLS.values() if cell.printed
        )


def streams_of(cell: Cell) -> tuple[OnlinePlan, list[Stream]]:
    """Return a cell's setting and its tasks, one stream a seed of the world."""
    plan = OnlinePlan(cell.source(), tasks=None if cell.traced else TASKS, **cell.setting)
    return plan, [plan.stream(seed) for seed in range(1 if cell.traced else SEEDS)]


def simulated(cell: Cell, rule: Rule) -> dict[str, Any]:
    """Return figures of a rule in a cell: one a seed of the world."""
    begun = time.process_time()
    plan, streams = streams_of(cell)
    prepared, found = rule.prepare(plan.setting()), []
    for seed, stream in enumerate(streams):
        run = simulate_stream(plan.world, stream, prepared, lag_s=plan.lag_s, seed=seed)
        found.append(summary(plan.world, run, stream.time_s, stream.task, stream.size))
    return {
        "mean_s": [one["all_mean_s"] for one in found],
        "p99_s": [one["p99_s"][0] for one in found],
        "status": [one["status"] for one in found],
        "cpu_s": time.process_time() - begun,
    }


def bound(_: Job, cell: Cell) -> dict[str, Any]:
    """Return what no policy gets below on the tasks of each seed."""
    plan, streams = streams_of(cell)
    return {"mean_s": [bound_of(plan.world, stream, plan.capacity.price).queueing_s for stream in streams]}


def plain(job: Job, cell: Cell) -> dict[str, Any]:
    """Return what a rule does."""
    return simulated(cell, LONG if job["rule"] == LONG.name else find(job["rule"]))


def optimum(_: Job, cell: Cell) -> dict[str, Any]:
    """Return the optimum of two servers, what is left of its error, and what its own policy does."""
    plan = OnlinePlan(cell.source(), tasks=TASKS, **cell.setting)
    begun = time.process_time()
    found = optimum_of(plan.world, plan.rate)
    spent = time.process_time() - begun
    told = {"optimum_s": found.mean_s, "error_s": found.error_s, "iteration_cpu_s": spent}
    return {**told, **simulated(cell, rule_of(found))}


def learned(job: Job, cell: Cell) -> dict[str, Any]:
    """Train a policy, or take it up, and return what it does; a trace has that of another cell."""
    own = CELLS[cell.trained_in]
    name = "-".join((own.name, job["aim"], job["start"], str(job["seed"])))
    begun = time.process_time()
    done = train_online(
        own.source(), REPORT / "runs" / "trainings" / name, start=job["start"], aim=job["aim"],
        seed=job["seed"], settings=COURSE, **own.setting,
    )  # fmt: skip
    spent = time.process_time() - begun
    if job["seed"] == 0 and job["start"] == "tuned":
        done.policy.save(REPORT / f"{own.name}-{job['aim']}.safetensors")
    return {"training_cpu_s": spent, **simulated(cell, done.policy.rule("learned"))}


def printed(job: Job, cell: Cell) -> dict[str, Any]:
    """Train the paper's learner on the templates, and return what its placements do; it sees no queue."""
    folder = REPORT / "runs" / "printed" / str(job["seed"])
    if not (folder / POLICY).exists():
        plan = TrainingPlan(cell.spec, "mtl-a3c", "paper", episodes=PAPER_EPISODES, seed=job["seed"])
        Training(plan, folder, report=lambda row: None).run()
    return simulated(cell, fixed(folder / POLICY))


def fixed(policy: Path) -> Rule:
    """Return the rule that gives every template the placement of a policy that sees templates alone."""

    def prepare(setting: Setting) -> Any:
        found = mecopt.solve(setting.world.instance, f"mtl-a3c={policy}").placement
        assert found is not None
        blocks = setting.world.tables[0]
        return lambda view: found[view.task, : blocks[view.task]]

    return Rule("mtl-a3c", "placements of templates", prepare)


def patient(setting: Setting) -> Pricing:
    """Return price-tuned with as many tries as a training makes."""
    return tuned(setting, tries=2 * COURSE.pairs * COURSE.generations)


LONG = Rule("price-tuned-long", "price-tuned with the learner's budget", patient)
WORK = {"bound": bound, "rule": plain, "optimum": optimum, "learned": learned, "printed": printed}


if __name__ == "__main__":
    clean_tree()
    os.nice(10)
    main()
