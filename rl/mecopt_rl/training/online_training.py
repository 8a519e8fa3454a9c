"""Training of a policy for tasks that arrive one by one: least mean delay, or least p99, in the long run.

What is made small is the mean over all tasks of a long stream, new tasks in every generation, so a policy
that lets queues grow slowly pays for it. Streams have other seeds than those of `mecopt simulate`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mecopt._version import __version__
from mecopt.arrays import Floats
from mecopt.errors import InputError, shown
from mecopt.simulation.arrivals import Stream
from mecopt.simulation.engine import simulate_stream
from mecopt.simulation.online_plan import OnlinePlan
from mecopt_rl.learners.online_policy import OnlinePolicy, first_weights, pricing_of
from mecopt_rl.training.checkpoint import read, write_arrays
from mecopt_rl.training.evolution import EvolutionSettings, EvolutionState, next_generation
from mecopt_rl.training.lock import locked
from mecopt_rl.training.preconditions import check_folder
from mecopt_solvers.online.scalar_tuning import tuned_scalars
from mecopt_solvers.online.static import value_figures

FORMAT = "mecopt-online-training/1"
LAST, POLICY = "last.safetensors", "policy.safetensors"
STARTS = ("tuned", "selfish")
AIMS = {"mean": None, "p99": 0.99}
SEEDS = 100_000_000  # training streams have the seeds from here on, a hundred thousand for each seed
JUDGES = (3_000_001, 3_000_002, 3_000_003)  # streams on which the policy to keep is chosen
EVERY = 10  # generations between two judgements
FADED = 10  # one in so many first tasks does not count

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class OnlineTraining:
    """What came out of a training.

    Attributes
    ----------
    policy : OnlinePolicy
        The best on the judging streams, the start among them.
    rows : list of dict
        One a judgement: ``generation``, ``figure_s`` (mean or p99 over the judging streams), ``best``.
    """

    policy: OnlinePolicy
    rows: list[dict[str, Any]]


def train_online(
    source: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    load: float | None = None,
    rate: float | None = None,
    arrivals: str = "poisson",
    staleness: float = 0.0,
    discipline: str = "fifo",
    start: str = "tuned",
    aim: str = "mean",
    seed: int = 0,
    settings: EvolutionSettings | None = None,
    report: Report = lambda row: None,
) -> OnlineTraining:
    """Train a policy in one setting, and keep the best.

    Parameters
    ----------
    source : Instance, path, name or spec
    out : path, optional
        Folder of the training, which goes on where it stopped; ``policy.safetensors`` in it is the policy.
    load, rate, arrivals, staleness, discipline
        The setting, as for `mecopt.simulate`.
    start : {"tuned", "selfish"}
        Begin as the rule `price-tuned`, or as `selfish-flight`.
    aim : {"mean", "p99"}
    seed : int
    settings : EvolutionSettings, optional
    report : callable
        Called with each row.

    Returns
    -------
    OnlineTraining

    Raises
    ------
    InputError
        If an argument is out of range, or the folder holds something else.
    """
    if start not in STARTS:
        raise InputError(f"start: {shown(start)}, expected {' or '.join(STARTS)}")
    if aim not in AIMS:
        raise InputError(f"aim: {shown(aim)}, expected {' or '.join(AIMS)}")
    if isinstance(seed, bool) or not 0 <= seed < 100_000:
        raise InputError(f"seed: {seed}, expected a whole number of 0..99999")
    chosen = EvolutionSettings() if settings is None else settings
    plan = OnlinePlan(source, arrivals, load, rate, staleness, discipline, chosen.tasks)
    course = {
        **plan.settings, "start": start, "aim": aim, "seed": seed,
        "evolution": dataclasses.asdict(chosen), "mecopt_version": __version__,
    }  # fmt: skip
    trainer = _Trainer(plan, chosen, course)
    if out is None:
        return trainer.run(None, report)
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be a folder ({error.strerror})", str(folder)) from None
    check_folder(folder, LAST)
    with locked(folder):
        return trainer.run(folder, report)


class _Trainer:
    """A training: from its start, or from what its folder holds, to its end."""

    def __init__(self, plan: OnlinePlan, settings: EvolutionSettings, course: dict[str, Any]) -> None:
        self.plan, self.settings, self.course = plan, settings, course
        self.setting = plan.setting()
        self.figures = value_figures(self.setting)
        self.quantile = AIMS[course["aim"]]
        self.judges: list[Stream] | None = None
        self.state: EvolutionState
        self.scalars: Floats
        self.best: Floats
        self.rows: list[dict[str, Any]] = []

    def run(self, folder: Path | None, report: Report) -> OnlineTraining:
        if folder is None or not (folder / LAST).exists():
            self._begin()
        else:
            self._take_up(folder / LAST)
        while True:
            generation = self.state.generation
            if self.rows[-1]["generation"] < generation and (
                generation % EVERY == 0 or generation >= self.settings.generations
            ):
                self._judge()
                report(self.rows[-1])
            elif generation == 0:
                report(self.rows[-1])
            if folder is not None:
                self._keep(folder)
            if generation >= self.settings.generations:
                return OnlineTraining(self._policy(), self.rows)
            stream = self.plan.stream(SEEDS + 100_000 * self.course["seed"] + generation)
            loss = partial(self._loss, streams=[stream])
            self.state = next_generation(self.state, self.settings, self.course["seed"], loss)

    def _begin(self) -> None:
        self.scalars = np.zeros(3)
        if self.course["start"] == "tuned":
            self.scalars = tuned_scalars(self.setting, self.figures, quantile=self.quantile)[0]
        weights = first_weights(self.settings.width, self.course["seed"])
        self.state = EvolutionState.begin(weights)
        self.best = weights
        self._judge()

    def _judge(self) -> None:
        """Judge the weights on the judging streams, and keep them if they are the best so far."""
        if self.judges is None:
            # A trace is one stream; there the policy is chosen on what it was trained on.
            self.judges = [self.plan.stream(seed) for seed in JUDGES[: 1 if self.plan.trace else None]]
        figure = float(np.exp(self._loss(self.state.weights, self.judges)))
        best = not self.rows or figure < min(row["figure_s"] for row in self.rows)
        if best:
            self.best = self.state.weights
        self.rows = [*self.rows, {"generation": self.state.generation, "figure_s": figure, "best": best}]

    def _loss(self, weights: Floats, streams: list[Stream]) -> float:
        """Return the mean log of what is to be small; in logs one bad stream is not all that counts."""
        rule = pricing_of(self.setting, self.figures, self.scalars, weights)
        logs = []
        for stream in streams:
            run = simulate_stream(
                self.plan.world, stream, rule, lag_s=self.plan.lag_s, discipline=self.plan.discipline
            )
            delay = run.delay_s[len(stream) // FADED :]
            figure = delay.mean() if self.quantile is None else np.quantile(delay, self.quantile)
            logs.append(np.log(max(float(figure), 1e-300)))
        return float(np.mean(logs))

    def _policy(self) -> OnlinePolicy:
        return OnlinePolicy(self.scalars, self.best, {"training": self.course, "rows": self.rows})

    def _keep(self, folder: Path) -> None:
        arrays = {
            "scalars": self.scalars, "best": self.best, "weights": self.state.weights,
            "first": self.state.first, "second": self.state.second,
        }  # fmt: skip
        document = {"format": FORMAT, "training": self.course, "rows": self.rows}
        write_arrays(folder / LAST, arrays, {**document, "generation": self.state.generation})
        if self.rows[-1]["best"] or not (folder / POLICY).exists():
            self._policy().save(folder / POLICY)

    def _take_up(self, path: Path) -> None:
        arrays, header = read(path, FORMAT, framework="numpy")
        there = header.get("training") or {}
        other = [
            f"{name} {there.get(name)} there, {value} here"
            for name, value in self.course.items()
            if there.get(name) != value
        ]
        if other:
            raise InputError(f"holds another training: {'; '.join(other)}; choose another", str(path.parent))
        try:
            self.scalars, self.best, self.rows = arrays["scalars"], arrays["best"], list(header["rows"])
            self.state = EvolutionState(
                arrays["weights"], arrays["first"], arrays["second"], int(header["generation"])
            )
            self._policy()
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"holds no whole training ({error})", str(path)) from None
