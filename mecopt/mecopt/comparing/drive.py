"""The loop that gives runs to workers, wherever they are, and keeps what comes back."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from mecopt.comparing.one_run import RunOrder, RunOutcome, ended, part_of
from mecopt.comparing.store import RunStore
from mecopt.errors import MecoptError
from mecopt.instance import Instance

WARM_S = 60.0  # a method that is not done with a tiny instance by then goes without its warm-up
START_S = 120.0  # a worker that is not ready by then will never be
POLL_S = 0.3  # how often is looked whether another process has finished, or left


@dataclass(frozen=True)
class Ready:
    """A worker can take runs; it lives on that machine."""

    host: str
    description: dict[str, Any]


@dataclass(frozen=True)
class Warm:
    """A worker has warmed up for the run that it was given, and waits for it.

    `taken` says whether that is good for further runs: a method may have refused the run's instance.
    """

    taken: bool


@dataclass(frozen=True)
class Lost:
    """A worker is gone; the text says how."""

    text: str


Event = Ready | Warm | RunOutcome | Lost


class RunWorker(Protocol):
    """Makes one run at a time; hashable by identity."""

    def warm_up(self, order: RunOrder, part: Instance) -> None:
        """Import what the method of a run needs, and try it on a part of its instance."""
        ...

    def submit(self, order: RunOrder, instance: Any) -> None:
        """Begin a run on what the pool's `share` returned."""
        ...

    def end(self) -> None:
        """End it, whatever it does."""
        ...


W = TypeVar("W", bound=RunWorker)


class WorkerPool(Protocol[W]):
    """Where workers come from."""

    count: int
    isolate: bool
    resubmits: int  # how often a run is made again whose worker was lost

    def start(self) -> W:
        """Start a worker."""
        ...

    def share(self, instance: Instance) -> Any:
        """Return what stands for an instance in `Worker.submit`."""
        ...

    def wait(self, workers: Iterable[W], timeout_s: float | None) -> Iterable[tuple[W, Event]]:
        """Wait for what any of the workers says."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


@dataclass
class CurrentRun:
    """What a worker is busy with; while it warms up, the run has not begun."""

    order: RunOrder
    warming: bool
    since: float = field(default_factory=time.perf_counter)

    @property
    def patience_s(self) -> float:
        """Seconds after which it is ended."""
        limit = WARM_S if self.warming else self.order.patience_s
        return float("inf") if limit is None else limit

    @property
    def took(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self.since


@dataclass(eq=False)
class Drive(Generic[W]):
    """The state of the loop: which worker does what."""

    store: RunStore
    pool: WorkerPool[W]
    instances: Mapping[str, Instance]
    tick: Callable[[], None]  # called after every finished run, and while waiting for other processes
    starting: dict[W, float] = field(default_factory=dict)  # since when
    idle: list[W] = field(default_factory=list)
    busy: dict[W, CurrentRun] = field(default_factory=dict)
    again: list[RunOrder] = field(default_factory=list)  # taken from a worker before they were finished
    failed_starts: int = 0  # since the last one that succeeded
    losses: Counter[int] = field(default_factory=Counter)  # of each run
    warm: dict[W, set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )  # methods that have been warmed up
    cold: set[str] = field(default_factory=set)  # methods that do not survive it

    def go(self) -> None:
        """Make all runs of the store that are not finished; workers are ended whatever happens."""
        try:
            while self._assign():
                self._listen()
        finally:
            for worker in (*self.starting, *self.idle, *self.busy):
                worker.end()

    def _assign(self) -> bool:
        """Give idle workers runs, start workers; say whether there is anything to listen to."""
        while True:
            self._give_idle()
            self._start()
            if self.busy or self.starting:
                return True
            if not self.store.unfinished():
                return False
            time.sleep(POLL_S)  # the rest is claimed by another process, which may leave it
            self.store.free_dead()
            self.tick()

    def _give_idle(self) -> None:
        while self.idle and (order := self._next()):
            self._give(self.idle.pop(), order)

    def _next(self) -> RunOrder | None:
        return self.again.pop() if self.again else self.store.claim()

    def _give(self, worker: W, order: RunOrder) -> None:
        """Begin a run, or what comes before the first run of a method in a process."""
        instance = self.instances[order.instance_sha256]
        known = self._kind(order) in self.cold | self.warm[worker]
        if known:
            self._submit(worker, order)
        else:
            self.busy[worker] = CurrentRun(order, warming=True)
            worker.warm_up(order, part_of(instance))

    def _submit(self, worker: W, order: RunOrder) -> None:
        self.busy[worker] = CurrentRun(order, warming=False)
        worker.submit(order, self.pool.share(self.instances[order.instance_sha256]))

    def _kind(self, order: RunOrder) -> str:
        """Return what one warm-up is good for."""
        couplings = sorted(self.instances[order.instance_sha256].rules.couplings)
        return f"{order.method.name} {order.method.code} {order.options} {couplings}"

    def _start(self) -> None:
        """Start as many workers as there is work for, and room."""
        missing = self.pool.count - len(self.busy) - len(self.starting) - len(self.idle)
        if missing > 0 and not self.idle:
            waiting = len(self.again) + self.store.waiting() - len(self.starting)
            for _ in range(min(missing, waiting)):
                self.starting[self.pool.start()] = time.perf_counter()

    def _listen(self) -> None:
        """Wait until something happens, keep what comes, and end what is overdue."""
        left = [job.patience_s - job.took for job in self.busy.values()]
        left += [since + START_S - time.perf_counter() for since in self.starting.values()]
        timeout = None if min(left) == float("inf") else max(0.0, min(left))
        for worker, event in self.pool.wait((*self.busy, *self.starting), timeout):
            self._hear(worker, event)
        for worker, job in list(self.busy.items()):
            if job.took > job.patience_s:
                self._end_overdue(worker, job)
        overdue = [w for w, since in self.starting.items() if time.perf_counter() - since > START_S]
        for worker in overdue:
            self._drop(worker)
        if overdue and not (self.busy or self.starting or self.idle):
            raise MecoptError(f"no worker was ready within {START_S:g} s")

    def _hear(self, worker: W, event: Event) -> None:
        if isinstance(event, Ready):
            self.store.add_machine(event.host, event.description)
            self.failed_starts = 0
            self.starting.pop(worker)
            self.idle.append(worker)
        elif isinstance(event, Warm):
            order = self.busy.pop(worker).order
            if event.taken:
                self.warm[worker].add(self._kind(order))
            self._submit(worker, order)
        elif isinstance(event, RunOutcome):
            self.busy.pop(worker)
            if self.pool.isolate:
                self._drop(worker)
            else:
                self.idle.append(worker)
            try:
                self._give_idle()  # it goes on while its last run is written
            finally:
                self._keep(event)
        else:
            self._lost(worker, event.text)

    def _end_overdue(self, worker: W, job: CurrentRun) -> None:
        self._drop(worker)
        if job.warming:
            self.cold.add(self._kind(job.order))
            self.again.append(job.order)
            return
        order, took = job.order, job.took
        text = f"ended from outside after {took:.1f} s, its limit is {order.time_limit_s:g} s"
        self._keep(ended(order, "timeout", text, took))

    def _lost(self, worker: W, text: str) -> None:
        """Make the run again elsewhere, or write down that it kills its worker."""
        job = self.busy.get(worker)
        self._drop(worker)
        if job is None:
            self.failed_starts += 1
            if self.failed_starts > self.pool.resubmits:
                raise MecoptError(f"a worker did not start: {text}")
            return
        if job.warming:
            self.cold.add(self._kind(job.order))
            self.again.append(job.order)
            return
        run = job.order.run
        self.losses[run] += 1
        if self.losses[run] <= self.pool.resubmits:
            self.again.append(job.order)
            return
        times = f" ({self.losses[run]} times)" if self.losses[run] > 1 else ""
        self._keep(ended(job.order, "failed", f"{text}{times}", job.took))

    def _drop(self, worker: W) -> None:
        self.busy.pop(worker, None)
        self.starting.pop(worker, None)
        self.warm.pop(worker, None)
        worker.end()

    def _keep(self, outcome: RunOutcome) -> None:
        self.store.finish(outcome)
        self.tick()
