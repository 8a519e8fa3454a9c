"""Training: rounds of episodes, validation, logs, checkpoints; what it takes to go on after a kill.

A training is a folder: ``last.safetensors`` (everything that going on needs), ``policy.safetensors`` with its
card ``policy.json`` (the best so far, by its gap on validation episodes), ``log.csv`` and ``tensorboard``.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mecopt._version import __version__
from mecopt.errors import InputError, MecoptError
from rl.checkpoint import TRAINING_FORMAT, read, save_policy, write
from rl.episodes import Episodes
from rl.fingerprint import fingerprint
from rl.learner import Shape, kind
from rl.logs import Logs
from rl.rounds import TRAINING, Judgement, Tally, Validation
from rl.workers import Job, engine

LAST, POLICY, LOCK = "last.safetensors", "policy.safetensors", ".lock"

# A policy has collapsed when it is far off, but no longer explores, or gives nearly all tasks one placement.
COLLAPSED_SHARE, COLLAPSED_ENTROPY, COLLAPSED_GAP = 0.99, 0.05, 0.01

Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Plan:
    """What is trained: together with the seed this says everything (`rl.learner` explains the parts)."""

    spec: str  # of the episodes: a generator's text, or the file of an instance
    learner: str
    recipe: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)  # settings that differ from the recipe's
    episodes: int = 400  # in all, the workers' together
    workers: int = 1
    seed: int = 0
    round_episodes: int = 20  # between two validations
    validation_episodes: int = 20

    def __post_init__(self) -> None:
        for name, least in (
            ("episodes", 1), ("workers", 1), ("seed", 0), ("round_episodes", 1), ("validation_episodes", 1),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)}, expected at least {least}")

    @property
    def command(self) -> str:
        """The command line that trains the same policy."""
        words = ["mecopt", "train", self.spec, "--learner", self.learner, "--episodes", str(self.episodes)]
        words += ["--workers", str(self.workers), "--seed", str(self.seed)]
        words += [] if self.recipe is None else ["--recipe", self.recipe]
        for name, value in self.changes.items():
            words += ["--set", f"{name}={value}"]
        return shlex.join(words)


class Training:
    """One training in one folder.

    Parameters
    ----------
    plan : Plan
    folder : path
        Made if it does not exist.
    resume : bool
        Go on with the training that the folder holds.
    report : callable, optional
        Called with the row of every round.

    Raises
    ------
    InputError
        If a part of the plan does not exist, the folder holds a training and `resume` is not set, another
        process is training in it, or it holds another plan's.
    """

    def __init__(
        self,
        plan: Plan,
        folder: str | os.PathLike[str],
        *,
        resume: bool = False,
        report: Report | None = None,
    ) -> None:
        torch.set_num_threads(1)  # a network this small only waits for more
        self.plan, self.folder, self.report = plan, Path(folder), report
        self.kind = kind(plan.learner)
        self.settings = self.kind.settings(plan.recipe, plan.changes)
        self.episodes = Episodes(plan.spec)
        self.encoder = self.episodes.encoder(raw=self.settings.raw_observations)
        self.shape = Shape(self.encoder.size, self.episodes.blocks, self.episodes.servers + 1)
        self.learner = self.kind.make(self.shape, self.settings, plan.seed, None)
        self.rows: list[dict[str, Any]] = []
        self.best: float | None = None  # validation gap of the policy that is kept
        self.seconds = 0.0
        self._open(resume)

    def _open(self, resume: bool) -> None:
        """Make the folder, or take up what it holds."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be a folder ({error.strerror})", str(self.folder)) from None
        last = self.folder / LAST
        if last.exists() and not resume:
            raise InputError("holds a training already; --resume goes on with it", str(self.folder))
        if not last.exists():
            self._prepare()
            return
        state, header = read(last, TRAINING_FORMAT)
        stored, mine = header["plan"], dataclasses.asdict(self.plan)
        other = [name for name in mine if stored.get(name) != mine[name]]
        if other:
            parts = ", ".join(f"{name} {stored.get(name)!r} (here {mine[name]!r})" for name in other)
            raise InputError(f"holds a training with {parts}; expected the same", str(self.folder))
        self.rows, self.best, self.seconds = header["rows"], header["best"], header["seconds"]
        try:
            self.learner.load_state(state)
        except (KeyError, RuntimeError) as error:
            raise InputError(f"does not hold this learner's state ({error})", str(last)) from None

    def _prepare(self) -> None:
        """Show the learner observations of some episodes."""
        sample = self.episodes.draw(20, np.random.default_rng((TRAINING, self.plan.seed)), self.encoder)
        self.learner.prepare(sample.pool.static)

    def _parts(self) -> tuple[Any, Any]:
        """Return who judges and who runs the rounds."""
        plan = self.plan
        validation = Validation(self.episodes, self.encoder, plan.validation_episodes)
        job = Job(plan.spec, self.encoder, plan.learner, self.shape, self.settings, plan.seed)
        return validation, engine(job, self.episodes, self.learner, plan.workers)

    def _seen(self) -> dict[str, Any]:
        """Return what the network sees and what it was trained on, for the card."""
        return {"encoder": self.encoder.to_json(), "fingerprint": fingerprint(self.episodes)}

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return math.ceil(self.plan.episodes / self.plan.round_episodes)

    def run(self) -> dict[str, Any]:
        """Run all rounds that are left; returns the last row.

        Raises
        ------
        MecoptError
            If the learner's weights stop being numbers, or a worker is lost. Checkpoints are kept.
        KeyboardInterrupt
            The last checkpoint is kept; all workers end.
        """
        with _locked(self.folder):
            validation, workers = self._parts()
            logs = Logs(self.folder, self.rows)
            try:
                for number in range(len(self.rows), self.rounds):
                    self._round(number, workers, validation, logs)
            finally:
                workers.close()
                logs.close()
        return self.rows[-1]

    def _round(self, number: int, workers: Any, validation: Any, logs: Logs) -> None:
        plan, start = self.plan, time.perf_counter()
        done = number * plan.round_episodes
        after = min(done + plan.round_episodes, plan.episodes)
        tally = workers.run(number, after - done, done / plan.episodes, after / plan.episodes)
        if not all(bool(torch.isfinite(weight).all()) for weight in self.learner.network.parameters()):
            best = "no policy" if self.best is None else f"the best policy (gap {self.best:.3%})"
            raise MecoptError(f"round {number}: a weight is no longer a finite number; {best} is kept")
        judged = validation.judge(self.learner.network)
        self.seconds += time.perf_counter() - start
        row = self._row(number, after, tally, judged)
        self.rows.append(row)
        if not row["collapsed"] and (self.best is None or judged.gap < self.best):
            self.best = judged.gap
            save_policy(self.folder / POLICY, self.learner.network, self._card(row))
        header = {
            "format": TRAINING_FORMAT,
            "mecopt_version": __version__,
            "plan": dataclasses.asdict(plan),
            "rows": self.rows,
            "best": self.best,
            "seconds": self.seconds,
        }
        write(self.folder / LAST, self.learner.state(), header)
        logs.add(row)
        if self.report is not None:
            self.report(row)

    def _row(self, number: int, episodes: int, tally: Tally, judged: Judgement) -> dict[str, Any]:
        figures = {name: float(value) for name, value in (tally.figures or {}).items()}
        alike = judged.share >= COLLAPSED_SHARE  # for learners without an entropy
        settled = figures["entropy"] < COLLAPSED_ENTROPY if "entropy" in figures else alike
        return {
            "round": number,
            "episodes": episodes,
            "decisions": (self.rows[-1]["decisions"] if self.rows else 0) + tally.decisions,
            "gap": judged.gap,
            "reward": judged.reward,
            "training_gap": tally.cost_s / tally.optimum_s - 1.0,
            "repairs": judged.repairs,
            "top_placement_share": judged.share,
            "collapsed": settled and judged.gap > COLLAPSED_GAP,
            "seconds": round(self.seconds, 3),
            **figures,
        }

    def _card(self, row: Mapping[str, Any]) -> dict[str, Any]:
        plan = self.plan
        return {
            "mecopt_version": __version__,
            "learner": plan.learner,
            "recipe": plan.recipe or next(iter(self.kind.recipes)),
            "settings": dataclasses.asdict(self.settings),
            "shape": dataclasses.asdict(self.shape),
            **self._seen(),
            "training": {
                "command": plan.command,
                "spec": plan.spec,
                "seed": plan.seed,
                "episodes": row["episodes"],
                "decisions": row["decisions"],
                "seconds": row["seconds"],
                "validation_episodes": plan.validation_episodes,
                "validation_gap": row["gap"],
            },
        }


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder; the lock ends with this process, however it ends."""
    try:
        import fcntl
    except ImportError:  # a system without file locks
        yield
        return
    with open(folder / LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError("another process is training here", str(folder)) from None
        try:
            yield
        finally:
            with suppress(OSError):
                os.unlink(folder / LOCK)
