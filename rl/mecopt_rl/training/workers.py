"""Who runs the rounds on this machine: this process, or several that share the parameters (Algorithm 1)."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, NoReturn, Protocol, cast

from mecopt.errors import MecoptError
from mecopt.processes import safe_path
from mecopt_rl.learners.learner import Learner, Settings, kind
from mecopt_rl.training.curriculum import Curriculum, Round, Tally
from mecopt_rl.training.rounds import Worker
from mecopt_rl.training.seeds import TRAINING

REPLACEMENTS = 3  # lost workers that are replaced in a round; what loses more is at fault itself
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)

Note = Callable[[str], None]


@dataclass(frozen=True)
class WorkerStart:
    """What a worker process needs to begin."""

    curriculum: Curriculum
    learner: str
    settings: Settings
    seed: int

    def make(self, shared: object = None) -> Learner:
        """Return a learner, on what others share where they do."""
        return kind(self.learner).make(self.curriculum.shape, self.settings, self.seed, shared)


class Engine(Protocol):
    """Runs rounds."""

    def run(self, number: int, episodes: int, start: float, end: float) -> Tally:
        """Run round `number`, of so many episodes, from one progress (0 to 1) to another.

        Raises
        ------
        MecoptError
            If a worker fails, or too many are lost.
        """
        ...

    def close(self) -> None:
        """End all workers."""
        ...


class InProcess:
    """One worker, here: the same seed gives the same bits."""

    def __init__(self, curriculum: Curriculum, learner: Learner, seed: int) -> None:
        self.worker, self.seed = Worker(curriculum, learner), seed

    def run(self, number: int, episodes: int, start: float, end: float) -> Tally:
        """Run a round, see `Engine`."""
        return self.worker.run(*shares(self.seed, number, episodes, 1, start, end))

    def close(self) -> None:
        """Nothing is left to end."""


class Processes:
    """Several worker processes, each with its own episodes; they step the same parameters without locks.

    Parameters
    ----------
    job : Job
    learner : Learner
        Its parameters and statistics are moved to shared memory.
    count : int
    note : callable
        Told what is not as it should be.
    """

    def __init__(self, job: WorkerStart, learner: Learner, count: int, note: Note) -> None:
        import torch.multiprocessing

        self._context: Any = torch.multiprocessing.get_context("spawn")
        self._job, self._shared, self._note = job, learner.shared(), note
        self.workers: list[Any] = []
        self.pipes: list[Connection] = []
        try:
            for i in range(count):
                self._start(i)
        except BaseException:
            self.close()
            raise

    def run(self, number: int, episodes: int, start: float, end: float) -> Tally:
        """Run a round, see `Engine`; its episodes are split between the workers.

        A worker that is lost is replaced, and its share run again.
        """
        tasks = shares(self._job.seed, number, episodes, len(self.workers), start, end)
        total, lost = Tally(), 0
        waiting = {self._give(i, task): i for i, task in enumerate(tasks)}
        while waiting:
            for ready in multiprocessing.connection.wait(list(waiting)):
                i = waiting.pop(cast(Connection, ready))
                try:
                    answer = self.pipes[i].recv()
                except (EOFError, OSError):
                    lost += 1
                    self._replace(i, number, lost)
                    waiting[self._give(i, tasks[i])] = i
                    continue
                if not isinstance(answer, Tally):
                    raise MecoptError(f"worker {i} failed: {answer}")
                total.add(answer)
        return total

    def _give(self, i: int, task: Round) -> Connection:
        """Send worker i a share, and return where it answers."""
        with suppress(OSError):  # it is gone, which is noticed where its answer is read
            self.pipes[i].send(task)
        return self.pipes[i]

    def _start(self, i: int) -> None:
        """Start worker i, in place of the one that there was."""
        with safe_path():
            resource_tracker.ensure_running()  # started by the first worker, it would let interrupts through
        with _no_interrupts(), safe_path():
            here, there = self._context.Pipe()
            worker = self._context.Process(
                target=_serve, args=(there, self._job, self._shared), daemon=True, name=f"mecopt-worker-{i}"
            )
            worker.start()
            there.close()
            self.workers[i : i + 1], self.pipes[i : i + 1] = [worker], [here]

    def _replace(self, i: int, number: int, lost: int) -> None:
        worker = self.workers[i]
        worker.join()
        code = worker.exitcode
        how = f"ended with status {code}" if code >= 0 else f"was ended by {_signal_name(-code)}"
        if lost > REPLACEMENTS:
            raise MecoptError(f"worker {i} {how}, the {lost}th loss in round {number}; {kept(number)}")
        self.pipes[i].close()
        self._note(f"worker {i} {how}; another one runs its share of round {number} again")
        self._start(i)

    def close(self) -> None:
        """End all workers; nothing of theirs is unfinished that a round would not do again."""
        for worker in self.workers:
            worker.kill()
        for worker, pipe in zip(self.workers, self.pipes, strict=True):
            worker.join()
            pipe.close()


def shares(seed: int, number: int, episodes: int, count: int, start: float, end: float) -> list[Round]:
    """Split the episodes of round `number` between `count` workers; each share has a seed of its own."""
    sizes = [len(range(i, episodes, count)) for i in range(min(count, episodes))]
    return [Round((TRAINING, seed, number, i), size, start, end) for i, size in enumerate(sizes)]


def kept(number: int) -> str:
    """Say what is left of a training that ends in round `number`."""
    if number == 0:
        return "there is no checkpoint yet"
    return "the last checkpoint is kept, and the same command goes on from it"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Hold interrupts back: a process started meanwhile is known when they come, and begins without them.

    It inherits the mask of signals. The mask is no help to this process, where any thread may take one.
    """
    came: list[int] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # others are not interrupted
        handlers = {each: signal.signal(each, lambda number, _: came.append(number)) for each in INTERRUPTS}
    masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS) if masks else set()
    try:
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for each, handler in handlers.items():
            signal.signal(each, handler or signal.SIG_DFL)
        if came:
            signal.raise_signal(came[0])


def _serve(pipe: Connection, job: WorkerStart, shared: object) -> None:
    """Run rounds until the first process closes the pipe, or is gone."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    torch.set_num_threads(1)
    try:
        worker = Worker(job.curriculum, job.make(shared))
        while (task := _next(pipe)) is not None:
            pipe.send(worker.run(task))
    except MecoptError as error:
        _tell(pipe, str(error))
    except Exception as error:  # told to the first process, which ends with it
        _tell(pipe, f"{type(error).__name__}: {error}")


def _next(pipe: Connection) -> Round | None:
    try:
        task: Round = pipe.recv()
    except (EOFError, OSError):
        return None
    return task


def _tell(pipe: Connection, text: str) -> None:
    with suppress(OSError):
        pipe.send(text)


def _end_with_the_first() -> NoReturn:
    """End this process as soon as the one that started it is gone, even in the middle of a round."""
    first = multiprocessing.parent_process()
    if first is not None:
        multiprocessing.connection.wait([first.sentinel])
    os._exit(1)
