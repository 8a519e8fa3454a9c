"""Trainings and comparisons of a reproduction: each made once, kept in its folder, and taken up again.

A reproduction is a folder: ``reproduction.json`` says which, ``trainings/NAME`` are trainings
(`mecopt_rl.training.loop`), ``runs`` is the store of `mecopt.compare`. Whatever is finished there is not made
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from mecopt._version import __version__
from mecopt.comparing import machine
from mecopt.comparing.choices import MethodChoice
from mecopt.comparing.run_plan import ComparisonPlan
from mecopt.errors import InputError
from mecopt.files import write_bytes
from mecopt.generation import generate
from mecopt.instance import Instance
from mecopt.processes import safe_path
from mecopt_rl.reproduce import experiments as ex

FORMAT = "mecopt-reproduction/1"
RECORD, TRAININGS, RUNS, DONE = "reproduction.json", "trainings", "runs", "done.json"
FIRST_TRAINING = 50  # seed of the first training; recipes were tuned on others

Tick = Callable[[], None]


@dataclass(frozen=True)
class SeededTraining:
    """A training with its seed and budget."""

    train: ex.Train
    seed: int
    budget: ex.Budget

    @property
    def name(self) -> str:
        """Name of its folder."""
        all_of_it = {"train": asdict(self.train), "seed": self.seed, "budget": self.budget.to_json()}
        digest = hashlib.sha256(json.dumps(all_of_it, sort_keys=True).encode()).hexdigest()
        recipe = "" if self.train.recipe == "best" else f".{self.train.recipe}"
        own = self.budget.own
        setting = self.train.spec.partition(":")[0] if own is None else own.name
        return f"{setting}.{self.train.learner}{recipe}.{self.seed}.{digest[:8]}"


@dataclass(frozen=True)
class Course:
    """What a training came to.

    Attributes
    ----------
    episodes, reward, gap : list
        At every validation; the reward per 600 slots.
    collapsed : bool
        Whether every policy had collapsed, so that the last one was taken.
    cpu_s : float
        Of the process that finished it.
    """

    episodes: list[int]
    reward: list[float]
    gap: list[float]
    collapsed: bool
    cpu_s: float

    def check(self) -> None:
        """Refuse what no training writes.

        Raises
        ------
        ValueError, TypeError
        """
        columns = (self.episodes, self.reward, self.gap)
        if not isinstance(self.collapsed, bool) or not all(isinstance(column, list) for column in columns):
            raise TypeError
        if not self.episodes or len({len(column) for column in columns}) != 1:
            raise ValueError
        figures = [*self.episodes, *self.reward, *self.gap, self.cpu_s]
        if any(isinstance(value, bool) for value in figures) or not all(map(math.isfinite, figures)):
            raise TypeError


def open_folder(folder: Path, names: Sequence[str], budget: ex.Budget, seeds: int) -> tuple[str, ...]:
    """Make the folder, or take up what it holds; returns all its figures, those asked for among them.

    Raises
    ------
    InputError
        If it cannot be a folder, or holds something else or a reproduction of another budget.
    """
    from mecopt.reporting.build import check_folder

    check_folder(folder)
    record = folder / RECORD
    there: list[str] = []
    if record.exists():
        there = list(_record(record, budget))
    elif not _only_begun(folder):
        raise InputError(
            "holds something that is no reproduction; expected an empty or a new folder", str(folder)
        )
    every = ex.figures([*there, *names])
    document = {
        "format": FORMAT, "mecopt_version": __version__, "budget": budget.to_json() | {"seeds": None},
        "figures": list(every), "seeds": seeds,
    }  # fmt: skip
    write_bytes(record, (json.dumps(document, indent=1) + "\n").encode())
    return every


def _only_begun(folder: Path) -> bool:
    """Say whether a folder is empty, or has what was written last while the folder was removed."""
    names = {entry.name for entry in folder.iterdir()}
    return names <= {TRAININGS, RUNS} and not any((folder / TRAININGS).glob(f"*/{DONE}"))


def _record(path: Path, budget: ex.Budget) -> tuple[str, ...]:
    """Return the figures of a reproduction that goes on, and refuse another one's."""
    try:
        document = json.loads(path.read_text("utf-8"))
        stored = document["budget"], document["mecopt_version"], document["figures"]
        if document["format"] != FORMAT:
            raise InputError(f"format {document['format']!r}, expected {FORMAT}", str(path))
        if not isinstance(stored[2], list) or not all(isinstance(name, str) for name in stored[2]):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"cannot be read as {FORMAT}; choose another --out", str(path)) from None
    mine = json.loads(json.dumps(budget.to_json() | {"seeds": None}))  # tuples are lists there
    if stored[0] != mine:
        other = _called(stored[0]) if isinstance(stored[0], dict) else stored[0]
        raise InputError(
            f"holds another reproduction: {other}, here {_called(mine)}; choose another --out",
            str(path.parent),
        )
    if stored[1] != __version__:
        raise InputError(
            f"holds a reproduction by mecopt {stored[1]}, this is {__version__}; choose another --out",
            str(path.parent),
        )
    return ex.figures(stored[2])


def _called(budget: Mapping[str, Any]) -> str:
    """Name a budget, and the setting of one's own by its name and content."""
    own = budget.get("own")
    told = f"budget {budget.get('name')}"
    return told if not isinstance(own, dict) else f"{told}, setting {own['name']} ({own['sha256'][:8]})"


def jobs(names: Iterable[str], budget: ex.Budget, seeds: int) -> list[SeededTraining]:
    """Return the trainings of some figures, each once; the cheap ones of every figure first."""
    found: dict[SeededTraining, None] = {}
    for seed in range(FIRST_TRAINING, FIRST_TRAINING + seeds):
        for name in names:
            for setting in ex.settings(name, budget):
                for point in ex.points(name, setting, budget):
                    found |= dict.fromkeys(SeededTraining(one, seed, budget) for one in point.trainings)
                for part in ex.curves(name, setting, budget).values():
                    found |= dict.fromkeys(SeededTraining(one, seed, budget) for one in part.values())
    return list(found)


def policy_file(folder: Path, job: SeededTraining) -> Path:
    """Return the file of the policy that a training kept."""
    from mecopt_rl.training.loop import POLICY

    return folder / TRAININGS / job.name / POLICY


def course(folder: Path, job: SeededTraining) -> Course | None:
    """Return what a finished training came to; None while it is not finished."""
    path = folder / TRAININGS / job.name / DONE
    try:
        found = Course(**json.loads(path.read_text("utf-8")))
        found.check()
        return found
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, OSError, RecursionError, OverflowError):
        raise InputError("cannot be read; delete this training's folder to make it anew", str(path)) from None


def train(folder: Path, job: SeededTraining) -> None:
    """Make a training, or what is left of it."""
    from mecopt_rl.training.checkpoint import save_policy
    from mecopt_rl.training.loop import LAST, POLICY, Training
    from mecopt_rl.training.preconditions import check_still_there, clear_remains
    from mecopt_rl.training.training_plan import TrainingPlan

    own, budget, target = job.train, job.budget, folder / TRAININGS / job.name
    check_still_there(folder / RECORD)
    clear_remains(target, LAST)
    start = _cpu_s()
    plan = TrainingPlan(
        own.spec, own.learner, own.recipe, dict(own.changes), budget.episodes, own.workers, job.seed,
        budget.round_episodes, budget.validation_episodes,
    )  # fmt: skip
    training = Training(plan, target)
    training.run()
    collapsed = training.kept is None
    if collapsed:  # the paper would report it all the same
        save_policy(target / POLICY, training.learner.network, training.card_of(training.rows[-1]))
    scale = ex.REWARD_SLOTS / budget.slots
    found = Course(
        [int(row["episodes"]) for row in training.rows],
        [scale * float(row["reward"]) for row in training.rows],
        [float(row["gap"]) for row in training.rows],
        collapsed,
        round(_cpu_s() - start, 3),
    )
    check_still_there(folder / RECORD)
    write_bytes(target / DONE, (json.dumps(asdict(found)) + "\n").encode())
    (target / LAST).unlink()  # up to 24 MB of replay memory that nothing needs any more


def _cpu_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def train_all(folder: Path, work: Sequence[SeededTraining], tick: Tick) -> None:
    """Make all trainings that are not finished, as many at a time as there are cores.

    Raises
    ------
    KeyboardInterrupt
        The last checkpoint of every training is kept.
    """
    left = [job for job in work if course(folder, job) is None]
    alone = [job for job in left if job.train.workers > 1]  # they have processes of their own
    together = [job for job in left if job.train.workers == 1]
    count = min(machine.cores(), len(together))
    if count < 2:
        alone, together = [*together, *alone], []
    else:
        _side_by_side(folder, together, count, tick)
    for job in alone:
        train(folder, job)
        tick()


def _side_by_side(folder: Path, work: Sequence[SeededTraining], count: int, tick: Tick) -> None:
    import multiprocessing

    with safe_path():  # the locks of the pool start a process that looks after them
        pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_prepare)
    try:
        with safe_path():  # a process starts when it is first needed
            submitted = [pool.submit(train, folder, job) for job in work]
        for finished in as_completed(submitted):
            finished.result()
            tick()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()  # checkpoints are whole or not there
        raise
    pool.shutdown()


def _prepare() -> None:
    """Leave Ctrl-C to the first process, and end with it, however it ends."""
    import multiprocessing
    import multiprocessing.connection
    import signal
    import threading
    import warnings

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore", UserWarning)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            multiprocessing.connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@dataclass(frozen=True, eq=False)
class Paired(ComparisonPlan):
    """A comparison in which an instance meets only the policies that were trained for it."""

    pairs: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)

    def runs(self) -> Iterator[tuple[str, str, str, str, int]]:
        """Yield SHA-256, method, options, fingerprint and seed of every run."""
        for run in super().runs():
            sha256, method, options, *_ = run
            if (method, options) in self.pairs[sha256]:
                yield run


@dataclass(frozen=True)
class Meeting:
    """A scheme that runs on the instance of a point and seed."""

    figure: str
    point: ex.Point
    seed: int  # 0, 1, ...; training FIRST_TRAINING + seed meets instance FIRST_SEED + seed
    scheme: str
    method: str
    policy: str = ""  # file, of a learner trained here

    @property
    def instance(self) -> Instance:
        """What is decided."""
        return _instance(self.point.spec, ex.FIRST_SEED + self.seed)

    @property
    def choice(self) -> MethodChoice:
        """The method with its options, for `compare`."""
        return (self.method, {"policy": self.policy}) if self.policy else self.method

    @property
    def options_text(self) -> str:
        """The options as they stand in the store."""
        return json.dumps({"policy": self.policy} if self.policy else {}, ensure_ascii=False)


@cache
def _instance(spec: str, seed: int) -> Instance:
    return generate(spec, seed=seed)


VARIED = "choices"  # stands for a figure in the meetings of varied choices


def meetings(folder: Path, names: Iterable[str], budget: ex.Budget, seeds: int) -> list[Meeting]:
    """Return who meets whom: every scheme of every point, and the varied choices with one learner."""
    fixed = (*ex.PAPER_BASELINES, *ex.OTHER_BASELINES, ex.OPTIMUM, ex.ANY_SIZE)
    found = []
    for seed in range(seeds):
        for name in names:
            for setting in ex.settings(name, budget):
                for point in ex.points(name, setting, budget):
                    found += [Meeting(name, point, seed, scheme, scheme) for scheme in fixed]
                    for one in point.trainings:
                        path = policy_file(folder, SeededTraining(one, FIRST_TRAINING + seed, budget))
                        found.append(Meeting(name, point, seed, one.label, one.learner, str(path.resolve())))
        for choice, text, spec in ex.variations(budget) if budget.own is None else ():
            point = ex.Point(choice, "paper", 0.0, spec, text, ())
            found += [Meeting(VARIED, point, seed, scheme, scheme) for scheme in fixed]
    return found


def check_policies(work: Sequence[Meeting]) -> None:
    """Refuse policies that are damaged, before they meet anything.

    Raises
    ------
    InputError
    """
    from mecopt_rl.training.checkpoint import load_policy

    for path in dict.fromkeys(meeting.policy for meeting in work if meeting.policy):
        load_policy(path)


def plan(work: Sequence[Meeting], command: str) -> Paired:
    """Return the comparison in which all meetings take place."""
    sources = {meeting.instance.sha256: meeting.instance for meeting in work}
    choices: dict[tuple[str, str], MethodChoice] = {(m.method, m.policy): m.choice for m in work}
    every = ComparisonPlan.of(sources.values(), choices.values(), command=command)
    pairs: dict[str, set[tuple[str, str]]] = {}
    for one in work:
        pairs.setdefault(one.instance.sha256, set()).add((one.method, one.options_text))
    paired = {sha256: frozenset(own) for sha256, own in pairs.items()}
    return Paired(every.entries, every.methods, every.seeds, command=every.command, pairs=paired)


def compare(
    folder: Path,
    plan: Paired,
    *,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
) -> None:
    """Make the runs that the store does not have yet."""
    from mecopt.comparing.session import conduct
    from mecopt_rl.training.preconditions import check_still_there

    check_still_there(folder / RECORD)
    with quiet():
        conduct(plan, folder / RUNS, engine=engine, address=address, progress=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave out the warnings that single commands give: that a policy meets what it was not trained on."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
