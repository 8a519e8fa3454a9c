"""Workers on a Ray cluster, and the parameter server that they work for (`parameter_server`).

The server lives on the machine of the process that trains, and goes only with it; workers live anywhere.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mecopt._version import __version__
from mecopt.comparing.machine import allowed_workers
from mecopt.errors import InputError, MecoptError
from mecopt.ray_cluster import STEP_S, check_release, connect, first_line, import_ray
from mecopt_rl.learners.learner import Learner, Reals, Rollout
from mecopt_rl.training.curriculum import Round, Tally
from mecopt_rl.training.parameter_server import Arrays, ParameterServer, Remote, RemoteWorker
from mecopt_rl.training.workers import REPLACEMENTS, Note, WorkerStart, kept, shares

START_S = 120.0  # a round that nobody is ready to run for so long never will be


class ServerLost(Exception):
    """The parameter server is gone."""


class Handle:
    """`mecopt_rl.training.parameter_server.Server` for whoever holds the actor."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def tensors(self, names: Sequence[str]) -> dict[str, Any]:
        """See `Server`."""
        found: dict[str, Any] = self._get(self.actor.tensors, list(names))
        return found

    def step(self, gradients: Reals | None, rate: float, more: Arrays) -> tuple[Reals, Arrays]:
        """See `Server`."""
        found: tuple[Reals, Arrays] = self._get(self.actor.step, gradients, rate, more)
        return found

    def replay(self, rollout: Rollout | None, count: int, seed: int) -> Arrays:
        """See `Server`."""
        found: Arrays = self._get(self.actor.replay, rollout, count, seed)
        return found

    def _get(self, method: Any, *arguments: Any) -> Any:
        import ray

        try:
            return ray.get(method.remote(*arguments))
        except ray.exceptions.RayActorError as error:
            raise ServerLost(first_line(error)) from None


class RoundMaker:
    """What lives on a node and runs shares of rounds."""

    def __init__(self, job: WorkerStart, server: Any) -> None:
        self.job, self.server = job, server
        self.worker: RemoteWorker | None = None

    def hello(self) -> str:
        """Return the release of mecopt."""
        return __version__

    def run(self, task: Round) -> Tally | None:
        """Run a share; None: the server is gone."""
        try:
            if self.worker is None:
                self.worker = RemoteWorker(self.job, Handle(self.server))
            return self.worker.run(task)
        except ServerLost:
            return None


class Cluster:
    """A parameter server and workers on a Ray cluster; a `mecopt_rl.training.workers.Engine`.

    Parameters
    ----------
    job : Job
    learner : Learner
        Takes over what the server holds at the end of every round.
    count : int
        Workers, a core each.
    address : str, optional
        ``HOST:PORT`` or ``auto``; without one Ray is started on this machine.
    note : callable
        Told what is not as it should be.

    Raises
    ------
    InputError
        If the learner cannot be trained so, or the cluster has fewer cores than workers.
    MissingExtraError
        If Ray is not installed.
    MecoptError
        If no cluster answers.
    """

    def __init__(
        self, job: WorkerStart, learner: Learner, count: int, address: str | None, note: Note
    ) -> None:
        self._ray = import_ray()
        if not isinstance(learner, Remote):
            raise InputError(f"--engine ray: {job.learner} has no parameter server, expected --engine local")
        self._job, self._learner, self._count, self._note = job, learner, count, note
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}  # workers by what they will answer
        self._busy: dict[Any, tuple[Any, int]] = {}  # and which share each is at
        self._server: Any = None
        self._own = not self._ray.is_initialized()
        if self._own:
            connect(self._ray, address)
        try:
            cores = int(self._ray.cluster_resources().get("CPU", 0))
            allowed_workers(count, 1, cores)
            # What is lost is begun again here, which counts it, not by Ray.
            self._maker = self._ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(RoundMaker)
            self._begin()
        except BaseException:
            self.close()
            raise

    def run(self, number: int, episodes: int, start: float, end: float) -> Tally:
        """Run a round, see `mecopt_rl.training.workers.Engine`; its episodes are split between the workers.

        The share of a worker that is lost is run again by any other. Should the server be lost, the round
        begins anew from the parameters before it.
        """
        tasks = shares(self._job.seed, number, episodes, self._count, start, end)
        for lost in range(REPLACEMENTS + 1):
            try:
                tally = self._round(number, tasks)
                state = Handle(self._server).tensors(list(self._learner.state()))
            except ServerLost as error:
                if lost == REPLACEMENTS:
                    text = f"the parameter server is lost {lost + 1} times in round {number} ({error})"
                    raise MecoptError(f"{text}; {kept(number)}") from None
                self._note(f"the parameter server is lost ({error}); round {number} begins anew")
                self._end()
                self._begin()
                continue
            self._learner.load_state({name: torch.tensor(array) for name, array in state.items()})
            return tally
        raise AssertionError("the loop above returns or raises")

    def _begin(self) -> None:
        """Start the server on this node, with what the learner knows."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        server = self._ray.remote(num_cpus=0, max_restarts=0, scheduling_strategy=here)(ParameterServer)
        state = {name: np.array(tensor.numpy()) for name, tensor in self._learner.state().items()}
        self._server = server.remote(self._job, state)

    def _round(self, number: int, tasks: Sequence[Round]) -> Tally:
        waiting, total, losses, failed_starts = list(range(len(tasks))), Tally(), Counter[int](), 0
        since = time.monotonic()
        while waiting or self._busy:
            self._start()
            while waiting and self._idle:
                worker, share = self._idle.pop(), waiting.pop()
                self._busy[worker.run.remote(tasks[share])] = worker, share
            if self._busy:
                since = time.monotonic()
            elif time.monotonic() - since > START_S:
                text = f"no worker of the Ray cluster was ready within {START_S:g} s"
                raise MecoptError(f"{text}; {kept(number)}")
            ready, _ = self._ray.wait([*self._busy, *self._starting], num_returns=1, timeout=STEP_S)
            for answer in ready:
                worker, at = self._taken(answer)
                said, lost = self._said(answer)
                if lost and at is None:
                    failed_starts += 1
                    if failed_starts > REPLACEMENTS * self._count:
                        raise MecoptError(f"a worker did not start: {lost}; {kept(number)}")
                elif lost and at is not None:
                    losses[at] += 1
                    if losses[at] > REPLACEMENTS:
                        times = f"the {losses[at]}th that its share of round {number} has lost"
                        raise MecoptError(f"a worker is lost ({lost}), {times}; {kept(number)}")
                    self._note(f"a worker is lost ({lost}); its share of round {number} is run again")
                    waiting.append(at)
                else:
                    self._idle.append(worker)
                    if at is None:
                        check_release(said)
                    elif said is None:
                        raise ServerLost("its workers do not reach it")
                    else:
                        total.add(said)
        return total

    def _start(self) -> None:
        """Ask for as many workers as are missing; where cores went with a node, Ray holds them back."""
        for _ in range(self._count - len(self._idle) - len(self._busy) - len(self._starting)):
            worker = self._maker.remote(self._job, self._server)
            self._starting[worker.hello.remote()] = worker

    def _taken(self, answer: Any) -> tuple[Any, int | None]:
        """Return whose answer it is, and to which share; the worker is neither starting nor busy any more."""
        return self._busy.pop(answer) if answer in self._busy else (self._starting.pop(answer), None)

    def _said(self, answer: Any) -> tuple[Any, str | None]:
        """Return an answer, or how its worker was lost."""
        try:
            return self._ray.get(answer), None
        except self._ray.exceptions.RayTaskError as error:  # our own code failed there
            cause: Any = error.cause if getattr(error, "cause", None) is not None else error
            name = "" if isinstance(cause, MecoptError) else f"{type(cause).__name__}: "
            raise MecoptError(f"a worker failed: {name}{first_line(cause)}") from None
        except self._ray.exceptions.RayError as error:
            return None, first_line(error)

    def _end(self) -> None:
        """End the server and all workers, whatever they do."""
        workers = [*self._idle, *self._starting.values(), *(worker for worker, _ in self._busy.values())]
        for actor in (*workers, *([] if self._server is None else [self._server])):
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor, no_restart=True)
        self._idle, self._starting, self._busy, self._server = [], {}, {}, None

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._end()
        if self._own:
            self._ray.shutdown()
