"""The cells of reports/online_learners, and the page that is written of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from common import ROOT, machine, table
from learner_runs import commits, runs

import mecopt
from mecopt.simulation.batch_means import estimate
from mecopt_rl.training.evolution import EvolutionSettings

REPORT = ROOT / "reports" / "online_learners"
RUNS = REPORT / "runs.jsonl"
TASKS, SEEDS = 50_000, 5
COURSE = EvolutionSettings(generations=40)
SPEC = "camera-vgg:tasks=individual,slots=1,release_rate=40,servers=4"
TRACE = "trace:azure_llm_code_2023"
TWO = "two servers"
WORDS = {
    "bound": "bound on every policy", "optimum": "value iteration", "printed": "mtl-a3c as printed",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One setting in which learners and rules are compared."""

    name: str
    spec: str
    setting: dict[str, Any]
    rules: tuple[str, ...]
    aims: tuple[str, ...] = ("mean", "p99")
    trained_in: str = ""  # whose policies these are
    exact: bool = False  # whether value iteration takes it
    printed: bool = True

    @property
    def traced(self) -> bool:
        """Whether its tasks are one trace."""
        return str(self.setting["arrivals"]).startswith("trace:")

    def source(self) -> Any:
        """Return its instance or the text that makes it."""
        return unequal() if self.spec == TWO else self.spec


def unequal() -> mecopt.Instance:
    """Return servers of speeds 1 and 1/2, tasks of one second, and a device that is no use."""
    return mecopt.Instance(
        name="two",
        slot_count=1,
        models=(mecopt.Model("one", (mecopt.Block(1e9, 0.0),)),),
        devices=(mecopt.Device("camera", 1.0),),
        servers=(mecopt.Server("es1", 1e9), mecopt.Server("es2", 5e8)),
        links=mecopt.Links.of(2, 1e9),
        tasks=mecopt.Tasks.of(slot=[0], device=0, model=0, rate_bps=[[1e9, 1e9]], blocks=1),
        rules=mecopt.Rules(deadline="none"),
    )


def at(arrivals: str, staleness: float) -> dict[str, Any]:
    """Return a setting of load 0.9."""
    return {"arrivals": arrivals, "staleness": staleness, "load": 0.9}


_RULES = ("selfish-flight", "price-tuned", "price-tuned-p99", "price-tuned-long")
CELLS = {
    cell.name: cell
    for cell in (
        Cell(
            "two-poisson-0", TWO, at("poisson", 0), ("selfish-flight", "price-value", *_RULES[1:]),
            trained_in="two-poisson-0", exact=True, printed=False,
        ),
        Cell("bursty-0", SPEC, at("bursty", 0), (*_RULES, "price-told"), trained_in="bursty-0"),
        Cell("both-5", SPEC, at("both", 5), _RULES, trained_in="both-5"),
        Cell("trace-5", SPEC, at(TRACE, 5), ("selfish", *_RULES[:3]), trained_in="both-5", printed=False),
    )
}  # fmt: skip


def interval(values: Any) -> str:
    """Return a mean in percent with its 95 % interval, where there are several values."""
    told = estimate(np.array(values, dtype=np.float64))
    return f"{told.value:.1%}" + ("" if told.low is None else f" ± {told.value - told.low:.1%}")


def named(job: dict[str, Any]) -> str:
    """Return a row's name; trainings that differ by their seed alone share one."""
    if job["part"] == "rule":
        return str(job["rule"])
    if job["part"] == "learned":
        return f"learned for {job['aim']} from {job['start']}"
    return WORDS[job["part"]]


def rows(found: list[dict[str, Any]]) -> list[list[str]]:
    """Return a row a cell and rule: intervals over trainings where there are several, else over worlds."""
    lines = []
    for cell in CELLS.values():
        own = [run for run in found if run["job"]["cell"] == cell.name]
        parts = {name: [run for run in own if named(run["job"]) == name] for name in map(named, jobs_of(own))}
        for name, group in parts.items():
            lines.append([cell.name, name, *figures(group, parts)])
    return lines


def jobs_of(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the jobs of runs, those of one row beside each other."""
    return [run["job"] for run in found]


def figures(group: list[dict[str, Any]], parts: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return what a row says: means, and shares of the rule and of the bound on the same tasks."""
    mean = np.array([run["mean_s"] for run in group])  # (trainings, worlds)
    text = [str(len(group)), f"{mean.mean():.3f}"]
    base, least = parts.get("price-tuned"), parts.get(WORDS["bound"])
    if "p99_s" not in group[0]:
        return [*text, "", "", "", "", ""]
    tail = np.array([run["p99_s"] for run in group])

    def shown(shares: Any) -> str:
        return interval(shares.mean(axis=1) if len(shares) > 1 else shares[0])

    text.append(f"{tail.mean():.2f}")
    text.append(shown(1 - mean / np.array(base[0]["mean_s"])) if base else "")
    text.append(shown(1 - tail / np.array(base[0]["p99_s"])) if base else "")
    text.append(shown(mean / np.array(least[0]["mean_s"]) - 1) if least else "")
    return [*text, ", ".join(sorted({status for run in group for status in run["status"]}))]


def exact(found: list[dict[str, Any]]) -> str:
    """Return the table of two servers: against the policy that value iteration gives, on the same tasks."""
    lines = []
    for run in (run for run in found if run["job"]["part"] == "optimum"):
        own = [one for one in found if one["job"]["cell"] == run["job"]["cell"] and "p99_s" in one]
        for name in dict.fromkeys(named(one["job"]) for one in own):
            mean = np.array([one["mean_s"] for one in own if named(one["job"]) == name])
            above = mean / np.array(run["mean_s"]) - 1
            told = estimate(above.mean(axis=1) if len(above) > 1 else above[0])
            half = "" if told.low is None else f" ± {told.value - told.low:.2%}"
            lines.append([name, str(len(above)), f"{told.value:.2%}{half}"])
        text = f"The optimum is {run['optimum_s']:.4f} s a task, error {run['error_s']:.1g} s.\n\n"
        return text + table(["rule", "trainings", "above the policy of value iteration"], lines)
    return "Not measured yet."


def write() -> None:
    """Write the page of the runs that are there."""
    found = runs(RUNS)
    head = [
        "cell",
        "rule",
        "trainings",
        "mean s",
        "p99 s",
        "ahead of price-tuned",
        "at p99",
        "regret",
        "runs",
    ]
    page = f"""# Learners for tasks that arrive one by one

`python benchmarks/online_learners.py`: load 0.9; {SEEDS} seeds of {TASKS:,} tasks a cell, all rules on
the same tasks, which none was tuned or trained on. A training is {COURSE.generations} generations of
{2 * COURSE.pairs} tries on {COURSE.tasks:,} tasks. `price-tuned` and `price-tuned-p99` tried 40 settings of
three scalars, `price-tuned-long` could try {2 * COURSE.pairs * COURSE.generations:,} and stops where no step
helps. Where a row has several trainings, from seeds of their own, intervals are 95 % over trainings, the mean
of the worlds of each; else over worlds, world by world. A cell is arrivals and the slots that what is seen is
old: camera-vgg, four servers, 40 devices; `two-poisson-0` has servers of speeds 1 and 1/2, tasks of a second
and no device of use. `trace-5` is one run: an hour of requests to a code completion service
(`instances/traces`), its times scaled to load 0.9; the learners there are those of `both-5`.
`mtl-a3c as printed` is the paper's learner, recipe `paper`, trained on the templates: it sees no queue.
Regret is to the bound of [docs/online.md](../../docs/online.md).

{chr(10).join(machine("numpy", "numba", "highspy"))}
{commits(found) if found else ""}

{table(head, rows(found))}

## Two servers, Poisson

{exact(found)}

What is missing is measured by the same command, which goes on. Every run: runs.jsonl beside this page; the
policies of the first training of a cell: the safetensors files.
"""
    REPORT.mkdir(parents=True, exist_ok=True)
    (REPORT / "README.md").write_text(page, encoding="utf-8")
