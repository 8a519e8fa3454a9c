"""The page of benchmarks/learners.py: what it measures, and its tables from the runs that there are."""

from __future__ import annotations

import json
import statistics
from typing import Any

import numpy as np
from common import ROOT, machine, table

OUT = ROOT / "reports" / "learners"
RUNS = OUT / "runs.jsonl"
OURS = ("mtl-a3c", "markov-a3c", "a3c", "dqn")
PEERS = ("SB3 A2C", "SB3 PPO", "SB3 DQN")
FIRST_SEED = 100  # of those reported; settings were tuned with others
TEST_EPISODES, THRESHOLD, HORIZON = 60, 0.01, 600
PEER_ENVIRONMENTS = 16
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


def runs() -> list[dict[str, Any]]:
    """Return what was run; a line that was cut short is left out, and run again."""
    found = []
    for line in RUNS.read_text(encoding="utf-8").splitlines() if RUNS.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


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
        seconds = statistics.fmean(run["curve"][-1][1] for run in same)
        gaps = [interval([one["gap"] for one in kept]), interval([run["last"]["gap"] for run in same])]
        counts = [str(episodes), str(len(same))]
        rows.append([setting, learner, *counts, *gaps, *spread, worst, *found, f"{seconds:.0f}"])
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
        "is depends on the length of the training, over which temperature and learning rate fall.",
    ]
    return [*said, "", table(header, sorted(rows)), ""]


def peers_table() -> list[str]:
    """Return the table of peers at equal decisions and at equal time."""
    lines = []
    for (setting, episodes), same in sorted(grouped("peers", "setting", "episodes").items()):
        base = [run["curve"][-1][1] for run in same if run["job"]["learner"] == "mtl-a3c"]
        budget, rows = statistics.fmean(base) if base else None, []
        for learner in OURS + PEERS:
            mine = [run for run in same if run["job"]["learner"] == learner]
            if not mine:
                continue
            early = [[r[2] for r in run["curve"] if r[1] <= (budget or 0.0) * 1.001] for run in mine]
            timely = [found[-1] for found in early if found]
            reached = [row for row in map(crossing, mine) if row is not None]
            rate = statistics.fmean(run["per_cpu_s"] for run in mine)
            after = interval([run["last"]["gap"] for run in mine])
            soon = interval(timely) if len(timely) == len(mine) else "not one round done"
            mean = statistics.fmean(row[1] for row in reached) if reached else 0.0
            first = f"{mean:.1f} ({len(reached)})" if reached else "never"
            rows.append([learner, str(len(mine)), after, soon, first, f"{rate:,.0f}"])
        took = "-" if budget is None else f"{budget:.1f} CPU s"
        lines += [f"### {setting}, {episodes} episodes", "", f"Equal time: {took}, what mtl-a3c took.", ""]
        header = ["learner", "seeds", "gap after all decisions", "gap at equal time", "CPU s to 1 % (seeds)"]
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
        "equal time is on validation episodes. The machine was shared, so time is CPU time; ours includes",
        "start and validation, theirs does not. Decisions per CPU second are of training alone, for all.",
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


def page() -> None:
    """Write the page from the runs that there are."""
    parts = [*main_table(), *peers_table(), *time_table(), *ablation_table()]
    top = [
        "# Learners",
        "",
        "`python benchmarks/learners.py main peers time ablation` runs what is not yet in `runs.jsonl`, a",
        "line for each training; this page holds what was run so far and nothing else. Seeds of training,",
        "validation and test episodes share nothing; tuning used none of the seeds from",
        f"{FIRST_SEED} to 199.",
        "",
    ]
    text = "\n".join([*top, *parts, *machine("torch", "numpy", "stable-baselines3")])
    (OUT / "README.md").write_text(text + "\n", encoding="utf-8")
