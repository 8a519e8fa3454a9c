"""Who runs the rounds: this process, or several that share the parameters (Algorithm 1)."""

from __future__ import annotations

import multiprocessing.connection
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NoReturn, cast

from mecopt.errors import MecoptError
from rl.episodes import Episodes
from rl.learner import Learner, LearnerKind, Shape, kind
from rl.observation import Encoder
from rl.rounds import TRAINING, Round, Tally, Worker

GRACE_S = 5.0  # what a worker that was told to end gets before it is killed


@dataclass(frozen=True)
class Job:
    """What a worker process needs to begin."""

    source: Any
    encoder: Encoder
    learner: str
    shape: Shape
    settings: Any
    seed: int


class InProcess:
    """One worker, here: the same seed gives the same bits."""

    def __init__(self, episodes: Episodes, encoder: Encoder, learner: Learner, seed: int) -> None:
        self.worker, self.seed = Worker(episodes, encoder, learner), seed

    def run(self, number: int, episodes: int, start: float, end: float) -> Tally:
        """Run round `number`."""
        return self.worker.run(Round((TRAINING, self.seed, number, 0), episodes, start, end))

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
    """

    def __init__(self, job: Job, learner: Learner, count: int) -> None:
        import torch.multiprocessing

        context = torch.multiprocessing.get_context("spawn")
        shared = learner.shared()
        self.seed = job.seed
        self.pipes: list[Connection] = []
        self.workers = []
        try:
            for number in range(count):
                here, there = context.Pipe()
                worker = context.Process(
                    target=_serve,
                    args=(there, job, number, shared),
                    daemon=True,
                    name=f"mecopt-worker-{number}",
                )
                worker.start()
                there.close()
                self.pipes.append(here)
                self.workers.append(worker)
        except BaseException:
            self.close()
            raise

    def run(self, number: int, episodes: int, start: float, end: float) -> Tally:
        """Run round `number`: the episodes are split between the workers.

        Raises
        ------
        MecoptError
            If a worker fails, or is killed.
        """
        shares = [len(range(i, episodes, len(self.pipes))) for i in range(len(self.pipes))]
        waiting = {}
        for i, (pipe, share) in enumerate(zip(self.pipes, shares, strict=True)):
            if share:
                try:
                    pipe.send(Round((TRAINING, self.seed, number, i), share, start, end))
                except OSError:
                    self._lost(i)
                waiting[pipe] = i
        total = Tally()
        while waiting:
            for ready in multiprocessing.connection.wait(list(waiting)):
                i = waiting.pop(cast(Connection, ready))
                try:
                    answer = self.pipes[i].recv()
                except (EOFError, OSError):
                    self._lost(i)
                if not isinstance(answer, Tally):
                    raise MecoptError(f"worker {i} failed: {answer}")
                total.add(answer)
        return total

    def _lost(self, i: int) -> NoReturn:
        worker = self.workers[i]
        worker.join(GRACE_S)
        code = worker.exitcode
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
        raise MecoptError(f"worker {i} {how}; the last checkpoint is kept, --resume goes on from it")

    def close(self) -> None:
        """End all workers."""
        for pipe in self.pipes:
            pipe.close()
        for worker in self.workers:
            worker.terminate()  # nothing of theirs is unfinished that a round would not do again
        for worker in self.workers:
            worker.join(GRACE_S)
            if worker.is_alive():
                worker.kill()
                worker.join()


def engine(job: Job, episodes: Episodes, learner: Learner, workers: int) -> InProcess | Processes:
    """Return who runs the rounds."""
    if workers == 1:
        return InProcess(episodes, job.encoder, learner, job.seed)
    return Processes(job, learner, workers)


def _serve(pipe: Connection, job: Job, number: int, shared: Any) -> None:
    """Run rounds until the pipe is closed."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    chosen: LearnerKind = kind(job.learner)
    learner = chosen.make(job.shape, job.settings, job.seed, shared)
    worker = Worker(Episodes(job.source), job.encoder, learner)
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            pipe.send(worker.run(task))
        except OSError:
            return
        except Exception as error:  # told to the first process, which ends with it
            pipe.send(f"{type(error).__name__}: {error}")
            return
