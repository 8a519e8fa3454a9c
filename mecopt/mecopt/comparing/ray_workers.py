"""Workers on a Ray cluster: actors, each with the cores of one run."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from mecopt._version import __version__
from mecopt.comparing import machine
from mecopt.comparing.drive import Event, Lost, Ready, Warm
from mecopt.comparing.local_workers import thread_limits
from mecopt.comparing.one_run import RunOrder, RunOutcome, perform, warm_up
from mecopt.errors import MecoptError
from mecopt.instance import Instance
from mecopt.ray_cluster import STEP_S, check_release, connect, first_line, import_ray

KEPT = 16  # instances that are held in the object store


class RunMaker:
    """What lives on a node and makes runs."""

    def __init__(self, threads: int) -> None:
        os.environ.update(thread_limits(threads))

    def hello(self) -> tuple[str, str, dict[str, Any]]:
        """Return the release of mecopt, and which machine this is."""
        return __version__, machine.machine_id(), machine.description()

    def warm_up(self, order: RunOrder, part: Instance) -> Warm:
        """Import what the method of a run needs, and try it on a part of its instance."""
        return Warm(warm_up(order, part))

    def perform(self, order: RunOrder, instance: Instance, isolated: bool) -> RunOutcome:
        """Make a run."""
        return perform(instance, order, isolated=isolated)


class RayWorker:
    """The handle of one actor."""

    def __init__(self, ray: Any, actor: Any, isolate: bool) -> None:
        self._ray = ray
        self._actor = actor
        self._isolate = isolate
        self.answer = actor.hello.remote()  # what it is to say next

    def warm_up(self, order: RunOrder, part: Instance) -> None:
        """Let it import what the method of a run needs, and try it on a part of its instance."""
        self.answer = self._actor.warm_up.remote(order, part)

    def submit(self, order: RunOrder, instance: Any) -> None:
        """Send a run; `instance` is a reference into the object store."""
        self.answer = self._actor.perform.remote(order, instance, self._isolate)

    def event(self) -> Event:
        """Return what it said, or how it was lost."""
        try:
            said = self._ray.get(self.answer)
        except self._ray.exceptions.RayTaskError as error:  # our own code failed there
            cause = error.cause if getattr(error, "cause", None) is not None else error
            raise MecoptError(
                f"a Ray worker fails: {type(cause).__name__}: {cause}".splitlines()[0]
            ) from error
        except self._ray.exceptions.RayError as error:
            return Lost(f"its Ray worker is gone ({first_line(error)})")
        if isinstance(said, (RunOutcome, Warm)):
            return said
        version, host, description = said
        check_release(version)
        return Ready(host, description)

    def end(self) -> None:
        """End the actor, whatever it does."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor, no_restart=True)


class RayPool:
    """The workers on a cluster.

    Parameters
    ----------
    count : int, optional
        How many; as many as the cores of the cluster allow by default.
    threads : int
        Threads of each, which Ray reserves as cores.
    isolate : bool
        One process for each run.
    address : str, optional
        ``HOST:PORT`` or ``auto``; without one Ray is started on this machine.
    """

    resubmits = 3  # a node may go, and its runs go elsewhere; what loses four workers is at fault itself

    def __init__(self, count: int | None, threads: int, isolate: bool, address: str | None) -> None:
        self._ray = import_ray()
        self.isolate = isolate
        self._threads = threads
        self._references: OrderedDict[str, Any] = OrderedDict()
        self._own = not self._ray.is_initialized()
        if self._own:
            connect(self._ray, address)
        try:
            cores = int(self._ray.cluster_resources().get("CPU", 0))
            self.count = machine.allowed_workers(count, threads, cores)
        except BaseException:
            self.close()
            raise
        # Lost runs are sent again by `Drive`, which counts them, not by Ray.
        self._maker = self._ray.remote(num_cpus=threads, max_restarts=0, max_task_retries=0)(RunMaker)

    def start(self) -> RayWorker:
        """Ask for an actor; it says when it is ready."""
        return RayWorker(self._ray, self._maker.remote(self._threads), self.isolate)

    def share(self, instance: Instance) -> Any:
        """Return a reference to the instance, which goes into the object store once."""
        found = self._references.pop(instance.sha256, None)
        self._references[instance.sha256] = self._ray.put(instance) if found is None else found
        while len(self._references) > KEPT:
            self._references.popitem(last=False)
        return self._references[instance.sha256]

    def wait(
        self, workers: Iterable[RayWorker], timeout_s: float | None
    ) -> Iterator[tuple[RayWorker, Event]]:
        """Yield what workers say, as soon as one of them says something."""
        by_answer = {worker.answer: worker for worker in workers}
        step = STEP_S if timeout_s is None else min(STEP_S, timeout_s)
        ready, _ = self._ray.wait(list(by_answer), num_returns=1, timeout=step)
        for answer in ready:
            yield by_answer[answer], by_answer[answer].event()

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._own:
            self._ray.shutdown()
