"""The page of benchmarks/learners.py: what it measures, and its tables from the runs that there are."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
from common import machine, table
from learner_runs import FIRST_SEED, OURS, OUT, PEER_ENVIRONMENTS, PEERS, commits, runs, timed_alone

TEST_EPISODES, THRESHOLD, HORIZON = 60, 0.01, 600
TRIAL_SEED = 1  # of the trials of benchmarks/tuned.py
ROUNDING = 1e-12  # of a sum of delays

# One factor at a time: changes to recipe `best`, and the number of workers where that is the factor.
FACTORS: dict[str, dict[str, Any]] = {
    "recipe best": {},
    "credit slot": {"credit": "slot"},
    "credit block": {"credit": "block"},
    "noise of its own for each block": {"shared_noise": False},
    "gamma 0.95": {"gamma": 0.95},
    "temperature 0.02 throughout": {"temperature_start": 0.02, "temperature_end": 0.02},
    "temperature 0.3 throughout": {"temperature_start": 0.3, "temperature_end": 0.3},
    "observations only by their ranges": {"standardise": False},
    "raw observations": {"standardise": False, "raw_observations": True},
    "RMSProp 0.003": {"optimiser": "rmsprop", "learning_rate": 0.003},
    "Adam 0.003": {"learning_rate": 0.003},
    "sharing soft": {"sharing": "soft", "soft_weight": 0.01},
    "two workers": {"workers": 2},
    "replay of 1000 segments": {"memory": 1000, "batch": 60},
}


def percent(value: float | None) -> str:
    """Return a fraction as a percentage of three digits."""
    return "-" if value is None else f"{100 * value if abs(value) > ROUNDING else 0.0:.3g}"


def interval(values: list[float]) -> str:
    """Return the mean and its 95 % bootstrap interval over seeds, in per cent."""
    mean = percent(statistics.fmean(values))
    if len(values) == 1:
        return f"{mean} (one seed)"
    drawn = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{mean} ({percent(low)} to {percent(high)})"


def mean_of(values: list[float], form: str) -> str:
    """Return a mean, and of how many values it is."""
    return f"{statistics.fmean(values):{form}} ({len(values)})" if values else "-"


def crossing(run: dict[str, Any]) -> list[float] | None:
    """Return the row of the curve that first is within the threshold."""
    return next((row for row in run["curve"] if row[2] <= THRESHOLD), None)


def staying(run: dict[str, Any]) -> list[float] | None:
    """Return the row of the curve from which on every row is within the threshold."""
    outside = [i for i, row in enumerate(run["curve"]) if row[2] > THRESHOLD]
    first = outside[-1] + 1 if outside else 0
    return run["curve"][first] if first < len(run["curve"]) else None


def episodes_until(found: list[list[float] | None]) -> str:
    """Return the median number of episodes at which runs got somewhere, and how many did."""
    reached = [row[0] / HORIZON for row in found if row is not None]
    share = f"{len(reached)} of {len(found)}"
    return f"{statistics.median(reached):,.0f} ({share})" if reached else f"- ({share})"


def grouped(part: str, *names: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Return the runs of a part by these fields of their job."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in runs():
        if run["job"]["part"] == part:
            found.setdefault(tuple(run["job"].get(name) for name in names), []).append(run)
    return found


def main_table() -> list[str]:
    """Return the table of gaps."""
    rows = []
    for (setting, learner, recipe, episodes), same in grouped(
        "main", "setting", "learner", "recipe", "episodes"
    ).items():
        learner = learner if recipe is None else f"{learner}, recipe {recipe}"
        kept = [run["kept"] for run in same if run["kept"] is not None]
        if not kept:
            rows.append([setting, learner, str(episodes), str(len(same)), "collapsed", *["-"] * 7])
            continue
        spread = [percent(statistics.fmean(one[name] for one in kept)) for name in ("median", "p95")]
        worst = percent(max(one["worst"] for one in kept))
        found = [episodes_until([where(run) for run in same]) for where in (crossing, staying)]
        seconds = [run["curve"][-1][1] for run in same if timed_alone(run)]
        gaps = [interval([one["gap"] for one in kept]), interval([run["last"]["gap"] for run in same])]
        counts = [str(episodes), str(len(same))]
        rows.append([setting, learner, *counts, *gaps, *spread, worst, *found, mean_of(seconds, ".0f")])
    if not rows:
        return []
    header = ["setting", "learner", "episodes", "seeds", "gap", "gap of the last weights", "median", "p95"]
    header += ["worst", "first within 1 %", "stays within 1 %", "CPU s"]
    said = [
        "## Gaps, %",
        "",
        "`main`: recipe `best` unless another is named, episodes and batch as for the shipped policies",
        "(benchmarks/policies.py), and 400 episodes with the recipe's own batch where these are trained for",
        f"longer; {TEST_EPISODES} test episodes of 600 slots. The gap is that of the policy that 20",
        "validation episodes kept; beside it that of the weights at the end. Means over seeds with 95 %",
        "bootstrap intervals. Median and 95th percentile over the tasks are means over seeds, the worst is",
        "the worst of all. The two columns within 1 %: episodes, judged on validation episodes every 20",
        "episodes, median over the seeds that get there; to stay means in every later row too. How soon that",
        "is depends on the length of the training, over which temperature and learning rate fall. CPU",
        "seconds leave out trainings beside which others are known to have run; of how many they are stands",
        "in brackets.",
    ]
    return [*said, "", table(header, sorted(rows)), ""]


def peers_table() -> list[str]:
    """Return the table of peers at equal decisions and at equal time."""
    lines = []
    for (setting, episodes), same in sorted(grouped("peers", "setting", "episodes").items()):
        alone = [run for run in same if timed_alone(run)]
        base = [run["curve"][-1][1] for run in alone if run["job"]["learner"] == "mtl-a3c"]
        budget, rows = statistics.fmean(base) if base else None, []
        for learner in OURS + PEERS:
            mine = [run for run in same if run["job"]["learner"] == learner]
            if not mine:
                continue
            timed = [run for run in mine if timed_alone(run)]
            early = [[r[2] for r in run["curve"] if r[1] <= (budget or 0.0) * 1.001] for run in timed]
            timely = [found[-1] for found in early if found]
            reached = [row[1] for row in map(crossing, timed) if row is not None]
            after = interval([run["last"]["gap"] for run in mine])
            soon = "-"
            if timed:
                soon = interval(timely) if len(timely) == len(timed) else "not one round done"
            first = mean_of(reached, ".1f") if reached or not timed else "never"
            rate = mean_of([run["per_cpu_s"] for run in timed], ",.0f")
            rows.append([learner, str(len(mine)), after, soon, first, rate])
        took = "-" if budget is None else f"{budget:.1f} CPU s"
        lines += [f"### {setting}, {episodes} episodes", "", f"Equal time: {took}, what mtl-a3c took.", ""]
        header = ["learner", "seeds", "gap after all decisions", "gap at equal time", "CPU s to 1 %"]
        lines += [table([*header, "decisions per CPU s"], rows), ""]
    if not lines:
        return []
    said = [
        "## Peers, gaps in %",
        "",
        "`peers`: the same settings, test episodes and observations. Ours with recipe `best`;",
        f"Stable-Baselines3 with its defaults on {PEER_ENVIRONMENTS} single environments (`DummyVecEnv`),",
        "but a discount of 0, since nothing joins two slots; its DQN takes a whole placement as one",
        "action. The gap after all decisions is that of the last weights on the test episodes, that at",
        "equal time is on validation episodes. Time is CPU time, without trainings beside which others are",
        "known to have run; of how many it is stands in brackets. Ours includes start and validation, theirs",
        "does not. Decisions per CPU second are of training alone, for all.",
    ]
    return [*said, "", *lines]


def time_table() -> list[str]:
    """Return the table of decision times."""
    rows = []
    for run in [one for same in grouped("time", "learner").values() for one in same]:
        each = [run["one_s"] * 1e3, run["batch_s"] / run["tasks"] * 1e6]
        trellis = [run["trellis_one_s"] * 1e3, run["trellis_batch_s"] / run["tasks"] * 1e6]
        rows.append([run["job"]["learner"], *(f"{value:.3g}" for value in each + trellis)])
    if not rows:
        return []
    header = ["learner", "one task, ms", "10,000 at once, microseconds a task", "trellis, one task, ms"]
    said = [
        "## Time of a decision",
        "",
        "`time`: the network alone, from observations (any-size: costs of steps) to nodes, 6 blocks and",
        "5 nodes; CPU time, median of 5. The compiled trellis goes from costs to optimal placements in",
        "the same run; its gap is 0: where costs are known and nothing couples the tasks, no learner is",
        "worth having. One head for whole placements scores 15,625 of them for every task.",
    ]
    return [*said, "", table([*header, "trellis, 10,000, microseconds a task"], rows), ""]


def ablation_table() -> list[str]:
    """Return the table of one factor at a time."""
    by = grouped("ablation", "setting", "learner", "episodes", "factor")
    places = sorted({key[:3] for key in by}, key=str)
    if not places:
        return []
    rows = []
    for factor in FACTORS:
        cells = [by.get((*place, factor)) for place in places]
        if any(cells):
            rows.append(
                [factor, *("-" if c is None else interval([run["last"]["gap"] for run in c]) for c in cells)]
            )
    said = [
        "## One factor at a time, gaps in %",
        "",
        "`ablation`: recipe `best` with one change; test episodes, last weights. Heads: the columns of the",
        "two learners.",
    ]
    header = ["", *(f"{learner}, {setting}, {n} episodes" for setting, learner, n in places)]
    return [*said, "", table(header, rows), ""]


TUNED = ("mtl-a3c", "markov-a3c", *PEERS)


def tuned_table() -> list[str]:
    """Return the table of ours and theirs, as they come and tuned by the same number of trials."""
    groups = grouped("tuned", "setting", "episodes", "learner", "trials")
    if not groups:
        return []
    rows = []
    for setting, episodes, learner, trials in sorted(
        groups, key=lambda key: (*key[:2], TUNED.index(key[2]), key[3])
    ):
        same = groups[setting, episodes, learner, trials]
        told = ", ".join(f"{name} {_short(value)}" for name, value in same[0]["job"]["changes"].items())
        row = [setting, str(episodes), learner, str(trials or "as it comes"), str(len(same))]
        rows.append([*row, interval([run["last"]["gap"] for run in same]), told or "-"])
    said = [
        "## Tuned alike, gaps in %",
        "",
        "`python benchmarks/tuned.py`: Optuna (tree-structured Parzen estimator, whose first ten trials are",
        "drawn at random) looks for settings of each learner, in the same number of trials for all; the",
        "first trial is what the learner comes with (recipe `best`, the defaults of Stable-Baselines3). A",
        f"trial is one training with seed {TRIAL_SEED}, and is worth the gap of its last weights on 20",
        "validation episodes. What was found best is then trained as long with the seeds from",
        f"{FIRST_SEED} on, as is what the learner comes with, and tested on {TEST_EPISODES} test episodes:",
        "last weights. Means over seeds with 95 % bootstrap intervals. Stable-Baselines3 has a discount of 0",
        f"and {PEER_ENVIRONMENTS} episodes side by side in the fast vector environment, and ends on a whole",
        "rollout: its PPO decides up to a rollout more often than is stated. Its DQN takes a whole placement",
        "as one action. Recipe `best` was found by hand before: the tables of docs/methods list what was",
        "tried, 12 settings for a3c and 13 for dqn; trials of the prototypes before them were not counted.",
        "Few trials of short trainings are a first look; the same command with more goes on from here.",
    ]
    header = ["setting", "episodes", "learner", "trials", "seeds", "gap", "what was found"]
    return [*said, "", table(header, rows), ""]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def page() -> None:
    """Write the page from the runs that there are."""
    parts = [*main_table(), *peers_table(), *tuned_table(), *time_table(), *ablation_table()]
    top = [
        "# Learners",
        "",
        "`python benchmarks/learners.py main peers time ablation` runs what is not yet in `runs.jsonl`, a",
        "line for each training; this page holds what was run so far and nothing else. Seeds of training,",
        "validation and test episodes share nothing; tuning used none of the seeds from",
        f"{FIRST_SEED} to 199.",
        "",
    ]
    here = machine("torch", "numpy", "stable-baselines3", "optuna")
    text = "\n".join([*top, *parts, commits(runs()), *here[1:]])
    (OUT / "README.md").write_text(text + "\n", encoding="utf-8")
