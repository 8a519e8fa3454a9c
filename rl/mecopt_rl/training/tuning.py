"""Settings of a learner looked for by Optuna: trainings in one folder, kept trial by trial.

The folder holds the study (``study.journal``, Optuna's own log of JSON lines), a training for each choice of
settings in ``trials``, a table of them, and a copy of the best policy. A trial that was ended is begun again
with the same settings, and its training goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError, MecoptError, MissingExtraError, said
from mecopt.files import read_bytes, write_bytes
from mecopt_rl.learners.learner import kind
from mecopt_rl.training.lock import LOCK, locked
from mecopt_rl.training.loop import LAST, POLICY, Training
from mecopt_rl.training.preconditions import check_still_there, clear_remains
from mecopt_rl.training.rounds import Diverged
from mecopt_rl.training.training_plan import TrainingPlan
from mecopt_rl.training.validation import worth

if TYPE_CHECKING:
    import optuna

STORE, TRIALS, TABLE = "study.journal", "trials", "trials.csv"
STUDY, PLAN = "mecopt tune", "plan"
USUAL = ("learning_rate", "temperature_start", "temperature_end")  # looked for where nothing is asked
AROUND = 10.0  # times more and less than the recipe has
WORTHLESS = 1e9  # of a training that kept no policy; one that breaks limits is worth this much a limit
FIRST = 5  # trials that run to their end before any is cut short
LOG_FROM = 10.0  # a range as wide as this is looked through by its logarithm

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Axis:
    """What a setting may be: one of some values, or anything between two numbers."""

    name: str
    values: Values = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what a study is told apart by."""
        return {**dataclasses.asdict(self), "values": list(self.values)}

    def suggest(self, trial: optuna.Trial) -> Any:
        """Let Optuna choose."""
        if self.values:
            return trial.suggest_categorical(self.name, self.values)
        log = self.low > 0 and self.high >= LOG_FROM * self.low
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=log)
        return trial.suggest_float(self.name, self.low, self.high, log=log)


@dataclass(frozen=True)
class TuningSpace:
    """What is tuned: the training that all trials share, and the settings that differ."""

    plan: TrainingPlan
    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, plan: TrainingPlan, texts: Sequence[str] = ()) -> TuningSpace:
        """Read what is looked for: ``NAME=LOW..HIGH`` or ``NAME=a|b|c``; without any the usual settings.

        Raises
        ------
        InputError
            If the learner has no such setting, or a value is of another kind.
        """
        chosen = kind(plan.learner)
        base = chosen.settings(plan.recipe, plan.changes)
        if texts:
            axes = tuple(_axis(text, chosen, plan) for text in texts)
        else:
            usual = {name: getattr(base, name, 0.0) for name in USUAL if name not in plan.changes}
            axes = tuple(
                Axis(name, low=value / AROUND, high=value * AROUND)
                for name, value in usual.items()
                if value > 0
            )
        names = [axis.name for axis in axes]
        for name in names:
            if names.count(name) > 1 or name in plan.changes:
                raise InputError(f"--search {name}: given twice, expected each setting once")
        if not axes:
            raise InputError(
                f"--search: {plan.learner} has none of the usual settings, expected NAME=LOW..HIGH"
            )
        return cls(plan, axes)

    def to_json(self) -> dict[str, Any]:
        """Return what a study is told apart by; the trials of one may become more."""
        return {**dataclasses.asdict(self.plan), "search": [axis.to_json() for axis in self.axes]}


def _axis(text: str, chosen: Any, plan: TrainingPlan) -> Axis:
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise InputError(f"--search {text}: expected NAME=LOW..HIGH or NAME=a|b|c")

    def read(one: str) -> Any:
        try:
            return getattr(chosen.settings(plan.recipe, {**plan.changes, name: one.strip()}), name)
        except InputError as error:
            raise InputError(error.problems[0].replace("--set ", "--search ", 1)) from None

    low, dots, high = value.partition("..")
    if not dots:
        return Axis(name, values=tuple(dict.fromkeys(read(one) for one in value.split("|"))))
    ends = read(low), read(high)
    if any(isinstance(end, (bool, str)) for end in ends) or not ends[0] < ends[1]:
        raise InputError(f"--search {text}: expected two numbers, the lower first")
    return Axis(name, low=float(ends[0]), high=float(ends[1]), whole=isinstance(ends[0], int))


@dataclass(frozen=True)
class Trial:
    """One finished choice of settings."""

    number: int  # from 1 on
    changes: Mapping[str, Any]
    cut_short: bool  # it was worse than half of the others so far
    best: Mapping[str, Any] | None  # row of the policy that was kept

    @property
    def outcome(self) -> str:
        """What came of it, in words."""
        text = "no policy" if self.best is None else worth(self.best)
        return f"{text}, cut short" if self.cut_short else text

    def row(self) -> dict[str, Any]:
        """Return it as a row of the table."""
        best = self.best or {}
        kept = {name: best.get(name) for name in ("gap", "violations", "episodes")}
        return {"trial": self.number, **self.changes, **kept, "cut_short": self.cut_short}


class Tuning:
    """A study in a folder; where the folder holds its beginning already, it goes on from there.

    Parameters
    ----------
    search : Search
    folder : path
    tell : callable, optional
        Called with every `Trial` when it is finished.

    Raises
    ------
    InputError
        If the folder holds another study, or something else.
    MissingExtraError
        If Optuna is not installed.
    """

    def __init__(self, search: TuningSpace, folder: str, tell: Callable[[Trial], None] | None = None) -> None:
        if find_spec("optuna") is None:
            raise MissingExtraError("mecopt tune", "tune")
        self.search, self.folder, self.tell = search, Path(folder), tell
        self._check_folder()

    def _check_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = sorted(entry.name for entry in self.folder.iterdir())
        except OSError as error:
            raise InputError(f"cannot be a folder ({error.strerror})", str(self.folder)) from None
        # A training may have written last while the folder was removed; trainings look after themselves.
        strange = [name for name in found if name != TRIALS and not name.startswith((LOCK, ".mecopt-"))]
        if strange and STORE not in found:
            text = f"holds {', '.join(strange[:3])} but no study; expected an empty or new folder"
            raise InputError(text, str(self.folder))

    def run(self, trials: int) -> list[Trial]:
        """Run trials until so many are finished; returns them, the best first.

        Raises
        ------
        InputError
            If another process is at work in the folder, or the study is another one.
        KeyboardInterrupt
            What is finished is kept; the trial that was ended is begun again, and its training goes on.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with locked(self.folder), _quiet():
            study = self._study()
            for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                study.enqueue_trial(trial.params)
            while (done := len(self._finished(study))) < trials:
                # A sampler of its own for each trial: an interrupt changes nothing in what is tried.
                study.sampler = optuna.samplers.TPESampler(seed=(self.search.plan.seed << 20) + done)
                try:
                    study.optimize(self._trial, n_trials=1)
                except Exception as error:
                    if self.journal.failed is not None:
                        raise self.journal.failed from error
                    raise
                finished = self._finished(study)
                self._write(finished)
                if self.tell is not None and len(finished) > done:
                    self.tell(finished[-1])
            finished = self._finished(study)
            self._write(finished)
        return sorted(finished, key=lambda trial: _value(trial.best))

    def _study(self) -> optuna.Study:
        import optuna

        from mecopt_rl.training.study_journal import StudyJournal

        path, mine = self.folder / STORE, self.search.to_json()
        if path.exists():
            read_bytes(path)  # names what is wrong with the place
        pruner = optuna.pruners.MedianPruner(
            n_startup_trials=FIRST, n_warmup_steps=self.search.plan.episodes // 4
        )
        try:
            self.journal = StudyJournal(path)
            storage = optuna.storages.JournalStorage(self.journal)
            names = [study.study_name for study in storage.get_all_studies()]
            if names and STUDY not in names:
                raise InputError(f"a study named {names[0][:40]!r}, expected one of `mecopt tune`", str(path))
            study = optuna.create_study(storage=storage, study_name=STUDY, pruner=pruner, load_if_exists=True)
        except MecoptError:
            raise
        except Exception as error:  # whatever a damaged file makes of Optuna
            raise InputError(f"no study that can be read ({said(error)[:80]})", str(path)) from None
        stored = study.user_attrs.get(PLAN)
        if stored is None and not study.trials:
            study.set_user_attr(PLAN, mine)
        elif stored != mine:
            there = stored if isinstance(stored, dict) else {}
            other = [n for n in mine if there.get(n) != mine[n]]
            parts = ", ".join(f"{n} {there.get(n)!r:.60} (here {mine[n]!r:.60})" for n in other)
            raise InputError(
                f"holds another study, with {parts}; expected the same, or another folder", str(self.folder)
            )
        return study

    def _trial(self, trial: optuna.Trial) -> float:
        import optuna

        changes = {axis.name: axis.suggest(trial) for axis in self.search.axes}
        plan = dataclasses.replace(self.search.plan, changes={**self.search.plan.changes, **changes})
        text = json.dumps(changes, sort_keys=True)
        folder = self.folder / TRIALS / hashlib.sha256(text.encode()).hexdigest()[:12]
        check_still_there(self.folder / STORE)
        clear_remains(folder, LAST)
        trial.set_user_attr("folder", folder.name)
        training: Training | None = None

        def report(row: Mapping[str, Any]) -> None:
            trial.report(_value(row), int(row["episodes"]))
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            training = Training(plan, folder, report=report, note=lambda text: None)
            for row in training.rows:  # of a trial that goes on
                report(row)
            training.run()
        except Diverged as error:
            trial.set_user_attr("error", str(error)[:200])
        finally:
            if training is not None and training.kept is not None:
                trial.set_user_attr("best", training.kept)
        return _value(None if training is None else training.kept)

    def _finished(self, study: optuna.Study) -> list[Trial]:
        import optuna

        cut, ended = optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.COMPLETE
        found = study.get_trials(deepcopy=False, states=(cut, ended))
        return [
            Trial(number, dict(one.params), one.state is cut, one.user_attrs.get("best"))
            for number, one in enumerate(found, 1)
        ]

    def best_folder(self, trial: Trial) -> Path:
        """Return the folder of a trial's training."""
        text = json.dumps(dict(trial.changes), sort_keys=True)
        return self.folder / TRIALS / hashlib.sha256(text.encode()).hexdigest()[:12]

    def _write(self, finished: Sequence[Trial]) -> None:
        """Write the table, and a copy of the best policy."""
        import pandas as pd

        from mecopt.text import csv

        if not finished:
            return
        write_bytes(self.folder / TABLE, csv(pd.DataFrame([trial.row() for trial in finished])))
        best = min(finished, key=lambda trial: _value(trial.best))
        policy = self.best_folder(best) / POLICY
        if best.best is not None and policy.exists():
            for path in (policy, policy.with_suffix(".json")):
                write_bytes(self.folder / path.name, read_bytes(path))

    def command(self, trial: Trial) -> str:
        """Return the command that trains with the settings of a trial."""
        plan = dataclasses.replace(self.search.plan, changes={**self.search.plan.changes, **trial.changes})
        return f"{plan.command} --out {shlex.quote(str(self.folder) + '_best')}"


def _value(row: Mapping[str, Any] | None) -> float:
    """Return what Optuna makes small: the gap; limits that are broken count before it."""
    if row is None or row["collapsed"]:
        return WORTHLESS
    if row["gap"] is None:
        return WORTHLESS * float(min(row["violations"] / max(row["tasks"], 1), 1.0))
    return float(row["gap"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's notes on what is experimental from who did not ask."""
    import warnings

    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
