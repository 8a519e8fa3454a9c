"""Training: rounds of episodes, validation, logs, checkpoints; what it takes to go on after a kill.

A training is a folder: ``last.safetensors`` (everything that going on needs), ``policy.safetensors`` with its
card ``policy.json`` (the best so far: on validation episodes it violates least, then has the least gap),
``log.csv`` and ``tensorboard``.
The first is written first and holds the second too, so a kill between the two loses nothing.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mecopt._version import __version__
from mecopt.errors import InputError
from mecopt.ray_cluster import check_engine
from mecopt_rl.learners.learner import LearnerKind, kind
from mecopt_rl.training import cards
from mecopt_rl.training.beginning import Beginning
from mecopt_rl.training.checkpoint import (
    OF_DAMAGE,
    POLICY_FORMAT,
    TRAINING_FORMAT,
    read,
    save_policy,
    write,
)
from mecopt_rl.training.curriculum import Judge, Judgement, Tally
from mecopt_rl.training.lock import locked
from mecopt_rl.training.logs import CSV_NAME, Logs
from mecopt_rl.training.preconditions import check_folder, check_workers
from mecopt_rl.training.resume import check_count, check_header, check_same, check_samples, check_shapes
from mecopt_rl.training.rounds import Diverged, OneShape
from mecopt_rl.training.training_plan import TrainingPlan
from mecopt_rl.training.validation import collapsed, rank, worth
from mecopt_rl.training.validation_bounds import Bounds
from mecopt_rl.training.workers import Engine, InProcess, Note, Processes, WorkerStart

LAST, POLICY = "last.safetensors", "policy.safetensors"
BEST = "best."  # what the names of the best policy's weights begin with, in the former

GROWS = "memory."  # what the names of segments kept for replay begin with, which are ever more

Report = Callable[[Mapping[str, Any]], None]


class Training:
    """One training in one folder; where the folder holds its beginning already, it goes on from there.

    Parameters
    ----------
    plan : Plan
    folder : path
        Made if it does not exist.
    address : str, optional
        Of the Ray cluster, where that is the engine; without one Ray is started on this machine.
    report : callable, optional
        Called with the row of every round.
    note : callable, optional
        Called with a text when something is not as it should be; a warning by default.
    say : callable, optional
        Called with a text before and after work that may take long.
    learner : LearnerKind, optional
        In place of the one that the plan names.

    Raises
    ------
    InputError
        If a part of the plan does not exist, the learner cannot take the sizes or couplings of the episodes,
        or the folder holds something else.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        folder: str | os.PathLike[str],
        *,
        address: str | None = None,
        report: Report | None = None,
        note: Note = warnings.warn,
        say: Note | None = None,
        learner: LearnerKind[Any, Any] | None = None,
    ) -> None:
        torch.set_num_threads(1)  # a network this small only waits for more
        check_engine(plan.engine, address)
        self.kind = kind(plan.learner) if learner is None else learner
        check_workers(self.kind, plan)
        if self.kind.most_rounds is not None:
            least = -(-plan.episodes // self.kind.most_rounds)
            plan = dataclasses.replace(plan, round_episodes=max(plan.round_episodes, least))
        self.plan, self.folder, self.address = plan, Path(folder), address
        self.report, self.note, self.say = report, note, say
        self.beginning = Beginning.of(plan, self.kind)
        if self.beginning is None:
            self.settings = self.kind.settings(plan.recipe, plan.changes)
        else:
            self.settings = self.beginning.settings(plan, self.kind)
        make = self.kind.curriculum or OneShape.of
        self.curriculum = make(self.kind, plan.spec, self.settings, plan.seed)
        if self.beginning is not None:
            self.beginning.show(self.curriculum)
        self.learner = self.kind.make(self.curriculum.shape, self.settings, plan.seed, None)
        if self.beginning is not None:
            self.beginning.give(self.learner)  # refuses what does not fit before there is a folder
        self.rows: list[dict[str, Any]] = []
        self.kept: dict[str, Any] | None = None  # the row of the best policy
        self.card: dict[str, Any] | None = None  # of that policy
        self.weights: dict[str, Tensor] = {}  # and its weights
        self.seconds = 0.0
        self.bounds: Bounds | None = None  # of the validation episodes
        self._open()

    @property
    def best(self) -> float | None:
        """Validation gap of the policy that is kept; None where there is none, or it violates a limit."""
        return None if self.kept is None else self.kept["gap"]

    def _open(self) -> None:
        """Make the folder, or take up what it holds."""
        try:
            self._new = not self.folder.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be a folder ({error.strerror})", str(self.folder)) from None
        check_folder(self.folder, LAST)
        for name in (LAST, POLICY, Path(POLICY).with_suffix(".json").name, CSV_NAME):
            if (self.folder / name).is_dir():
                raise InputError("is a folder, expected a file", str(self.folder / name))
        if (self.folder / LAST).exists():
            self._take_up()
        else:
            self.curriculum.prepare(self.learner)
            if self.beginning is not None:
                self.beginning.give(self.learner)

    def _take_up(self) -> None:
        """Go on from the last checkpoint."""
        last = self.folder / LAST
        state, header = read(last, TRAINING_FORMAT)
        check_header(header, last)
        check_same(self._said(), header["said"], self.folder)
        check_samples(self.curriculum.samples, header["samples"], self.folder, self.plan.spec)
        check_count(header["rows"], self.rounds, last)
        self.rows, self.seconds = header["rows"], header["seconds"]
        self.kept, self.card = header["kept"], header["card"]
        try:
            self.bounds = (
                None
                if header["bounds"] is None
                else Bounds.from_json(header["bounds"], self.plan.validation_episodes)
            )
        except OF_DAMAGE as error:
            raise InputError(f"does not hold this learner's state (bounds: {error})", str(last)) from None
        mine = {name: t for name, t in self.learner.state().items() if not name.startswith(GROWS)}
        if self.card is not None:
            mine |= {BEST + name: t for name, t in self.learner.network.state_dict().items()}
        check_shapes(mine, state, last)
        self.weights = {name[len(BEST) :]: state[name] for name in state if name.startswith(BEST)}
        try:
            self.learner.load_state(state)
        except OF_DAMAGE as error:
            reason = " ".join(str(error).split())
            raise InputError(f"does not hold this learner's state ({reason})", str(last)) from None

    def _said(self) -> dict[str, Any]:
        """Return what makes two trainings one and the same; recipes may share settings."""
        plan = dataclasses.asdict(self.plan)
        del plan["recipe"], plan["changes"]
        plan["start"] = None if self.beginning is None else self.beginning.sha256
        return {**plan, **dataclasses.asdict(self.settings)}

    def _judge(self) -> Judge:
        """Return the validation episodes; say how many are left out."""
        count, known = self.plan.validation_episodes, self.bounds
        validation = self.curriculum.judge(count, known, self.say)
        self.bounds = validation.bounds
        if known is None and self.bounds is not None and len(self.bounds.possible) < count:
            left = f"{count - len(self.bounds.possible)} of {count} validation episodes"
            self.note(f"{left} have no feasible placement and are left out: {self.bounds.reason}")
        return validation

    def _engine(self) -> Engine:
        plan = self.plan
        if plan.engine == "local" and plan.workers == 1:
            return InProcess(self.curriculum, self.learner, plan.seed)
        job = WorkerStart(self.curriculum, plan.learner, self.settings, plan.seed)
        if plan.engine == "local":
            return Processes(job, self.learner, plan.workers, self.note)
        from mecopt_rl.training.ray_engine import Cluster

        return Cluster(job, self.learner, plan.workers, self.address, self.note)

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return math.ceil(self.plan.episodes / self.plan.round_episodes)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to run."""
        return len(self.rows) >= self.rounds

    def run(self) -> dict[str, Any]:
        """Run all rounds that are left; returns the last row.

        Raises
        ------
        InputError
            If another process is training in the folder, no placement is feasible, or all cost nothing.
        MecoptError
            If the learner's weights stop being numbers, or workers are lost again and again. Checkpoints
            are kept.
        KeyboardInterrupt
            The last checkpoint is kept; all workers end.
        """
        if self.complete and self._policy_kept():
            return self.rows[-1]
        try:
            with locked(self.folder):
                self._run()
        except (InputError, KeyboardInterrupt):  # where nothing was trained, nothing is left behind
            if self._new and not self.rows:
                with suppress(OSError):
                    self.folder.rmdir()
            raise
        return self.rows[-1]

    def _run(self) -> None:
        """Run all rounds that are left, in a folder that nobody else trains in."""
        if (self.folder / LAST).exists():  # another process may have gone on since this one looked
            self._take_up()
            if not self._policy_kept():
                self._keep_policy()
        if self.complete:
            return
        validation, workers = self._judge(), self._engine()
        with closing(workers), closing(Logs(self.folder, self.rows)) as logs:
            for number in range(len(self.rows), self.rounds):
                self._round(number, workers, validation, logs)

    def _round(self, number: int, workers: Engine, validation: Judge, logs: Logs) -> None:
        plan, start = self.plan, time.perf_counter()
        done = number * plan.round_episodes
        after = min(done + plan.round_episodes, plan.episodes)
        tally = workers.run(number, after - done, done / plan.episodes, after / plan.episodes)
        if not all(bool(torch.isfinite(weight).all()) for weight in self.learner.network.parameters()):
            best = "no policy" if self.kept is None else f"the best policy ({worth(self.kept)})"
            raise Diverged(f"round {number}: a weight is no longer a finite number; {best} is kept")
        judged = validation.judge(self.learner.network)
        self.seconds += time.perf_counter() - start
        row = self._row(number, after, tally, judged)
        rows = [*self.rows, row]
        better = not row["collapsed"] and (self.kept is None or rank(row) < rank(self.kept))
        if better:
            self.kept, self.card = row, self.card_of(row)
            self.weights = {name: t.clone() for name, t in self.learner.network.state_dict().items()}
        header = {
            "format": TRAINING_FORMAT,
            "mecopt_version": __version__,
            "said": self._said(),
            "samples": self.curriculum.samples,
            "rows": rows,
            "kept": self.kept,
            "card": self.card,
            "bounds": None if self.bounds is None else self.bounds.to_json(),
            "seconds": self.seconds,
        }
        weights = {BEST + name: tensor for name, tensor in self.weights.items()}
        write(self.folder / LAST, {**self.learner.state(), **weights}, header)
        self.rows = rows
        if better:
            self._keep_policy()
        logs.add(row)
        if self.report is not None:
            self.report(row)

    def _keep_policy(self) -> None:
        """Write the best policy."""
        network = copy.deepcopy(self.learner.network)
        network.load_state_dict(self.weights)
        save_policy(self.folder / POLICY, network, self.card or {})

    def _policy_kept(self) -> bool:
        """Return whether the file of the best policy, if there is one, is what the checkpoint says."""
        if self.card is None:
            return True
        try:
            return read(self.folder / POLICY, POLICY_FORMAT)[1] == {"format": POLICY_FORMAT, **self.card}
        except InputError:
            return False

    def _row(self, number: int, episodes: int, tally: Tally, judged: Judgement) -> dict[str, Any]:
        figures = {name: float(value) for name, value in (tally.figures or {}).items()}
        return {
            "round": number,
            "episodes": episodes,
            "decisions": (self.rows[-1]["decisions"] if self.rows else 0) + tally.decisions,
            "violations": judged.violations,
            "gap": judged.gap,
            "violating_tasks": judged.violating_tasks,
            "tasks": judged.tasks,
            "reward": judged.reward,
            "training_violations": tally.violations,
            "training_gap": tally.gap,
            "repairs": judged.repairs,
            "top_placement_share": judged.share,
            "collapsed": collapsed(judged, figures.get("entropy")),
            "seconds": round(self.seconds, 3),
            **figures,
        }

    def card_of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the card of the policy that the learner has now, after the round of that row."""
        plan = self.plan
        trained = cards.Trained(
            plan.command, plan.spec, plan.seed, row["episodes"], row["decisions"], row["seconds"],
            plan.validation_episodes, row["gap"], row["violations"], row["violating_tasks"], row["tasks"],
        )  # fmt: skip
        begun = None if self.beginning is None else str(self.beginning.policy.card["recipe"])
        recipe = plan.recipe or begun or next(iter(self.kind.recipes))
        seen = self.curriculum.seen(self.learner.network)
        return cards.card_of(plan.learner, recipe, self.settings, self.curriculum.shape, seen, trained)
