"""One run: a world, a stream of tasks and a rule become the delay and the joules of every task."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.errors import InputError, MethodError, said, shown
from mecopt.simulation.arrivals import Stream
from mecopt.simulation.online_rule import POOLS, SEES, Decide, Pricing, View
from mecopt.simulation.price_head import WINDOW_TASKS, no_head
from mecopt.simulation.world import World

BATCHES = 20  # of which intervals are made

FIRST_ROOM = 1024  # entries of what grows


@dataclass(frozen=True, eq=False)
class StreamRun:
    """What came out for every task, in the order of arrival; T tasks.

    Attributes
    ----------
    delay_s : array (T,)
        From arrival to end, all waiting included.
    unloaded_s : array (T,)
        What the chosen path takes without any waiting.
    energy_j : array (T,)
    nodes : array (T, M)
        Placement, -1 behind the end of shorter models.
    offered_s : array (BATCHES, R)
        Seconds of work that the tasks of each batch gave every resource.
    events : int
        Arrivals and visits.
    cpu_s : float
        CPU seconds of the event loop.
    """

    delay_s: Floats
    unloaded_s: Floats
    energy_j: Floats
    nodes: NDArray[np.int8]
    offered_s: Floats
    events: int
    cpu_s: float


def simulate_stream(
    world: World,
    stream: Stream,
    decide: Pricing | Decide,
    *,
    lag_s: float = 0.0,
    discipline: str = "fifo",
    seed: int = 0,
    rest: Callable[[], None] = lambda: None,
) -> StreamRun:
    """Let the tasks of a stream come, and follow each to its end.

    Parameters
    ----------
    world : World
    stream : Stream
    decide : Pricing or function of a View
    lag_s : float
        Age of the servers' backlogs that decisions see.
    discipline : {"fifo", "ps"}
        How servers serve; device processors and radios are always first come, first served.
    seed : int
        Of the draws of rules that draw; the same for all of them, so that they meet the same luck.
    rest : callable
        Called now and then.

    Raises
    ------
    MethodError
        If a rule of one's own raises, or returns what is no placement.
    """
    loop = EventLoop(world, stream, decide, lag_s, discipline, seed)
    loop.go(rest)
    return StreamRun(
        loop.delay, loop.unloaded, loop.spent, loop.place, loop.offered, int(loop.state[2]), loop.cpu_s
    )


def replay(world: World, stream: Stream, discipline: str = "fifo") -> Callable[[NDArray[np.int8]], Floats]:
    """Return a function that says what delays placements of shape (T, M) lead to, (T,)."""

    def run(nodes: NDArray[np.int8]) -> Floats:
        loop = EventLoop(world, stream, Pricing.free(world), 0.0, discipline, 0)
        loop.place[:] = nodes
        loop.state[3] = 2
        loop.go(lambda: None)
        return loop.delay

    return run


class EventLoop:
    """The arrays in which a simulation stands.

    With a function to decide, `next_task`, `view` and `decide` go from task to task, and `go` does all that.
    """

    def __init__(
        self,
        world: World,
        stream: Stream,
        rule: Pricing | Decide,
        lag_s: float,
        discipline: str,
        seed: int,
    ) -> None:
        count, servers = len(stream.time_s), world.servers
        self.world, self.stream, self.lag_s = world, stream, lag_s
        self.own = None if isinstance(rule, Pricing) else rule
        pricing = rule if isinstance(rule, Pricing) else Pricing.free(world)
        self.place = np.full((count, world.stages), -1, dtype=np.int8)
        self.position = np.zeros(count, dtype=np.int16)
        self.delay, self.spent, self.unloaded = np.zeros(count), np.zeros(count), np.zeros(count)
        self.free = np.zeros(world.resources)
        self.seen = np.zeros((2, servers))
        self.times, self.codes = np.empty(FIRST_ROOM), np.empty(FIRST_ROOM, dtype=np.int64)
        log = FIRST_ROOM if lag_s > 0 else 1
        self.logs = [np.zeros((servers, log)) for _ in range(3)]
        self.ends = [np.zeros(servers, dtype=np.int64) for _ in range(2)]  # head and tail of the logs
        self.flow = [np.zeros(servers) for _ in range(2)]  # seconds that came, and that were sent
        queue = FIRST_ROOM if discipline == "ps" else 1
        self.sharing = discipline == "ps"
        self.virtual, self.member = np.zeros((servers, queue)), np.zeros((servers, queue), dtype=np.int64)
        self.counts = [np.zeros(servers, dtype=np.int64) for _ in range(2)]  # tasks, version
        self.clocks = [np.zeros(servers) for _ in range(2)]
        self.state = np.zeros(5, dtype=np.int64)
        self.state[4] = -1
        self.offered = np.zeros((BATCHES, world.resources))
        self.cpu_s = 0.0
        self.how = (
            SEES[pricing.sees], POOLS[pricing.pool], seed, float(lag_s), float(pricing.own),
            float(pricing.keep), float(pricing.rate), bool(pricing.told), pricing.head is not None,
        )  # fmt: skip
        self.rule = (
            *(_rows(values, pricing) for values in (pricing.prices, pricing.grow, pricing.curve)),
            np.array(pricing.mean, dtype=np.float64),
            np.array([0.0, *WINDOW_TASKS]),
            float(pricing.unit),
            no_head() if pricing.head is None else pricing.head.table(),
        )
        moved = np.zeros((3, world.resources))
        self.scratch = (np.zeros(world.resources), np.ones(servers, dtype=bool), moved, *world.room())
        self.work_of = np.zeros(servers + 2)

    def go(self, rest: Callable[[], None]) -> None:
        """Go on to the end; a rule of one's own is asked about every task."""
        while (i := self.next_task(rest)) is not None:
            if self.own is None:
                k = int(self.stream.task[i])
                raise MethodError(f"tasks[{k}]: no finite path at its prices")
            try:
                nodes = self.own(self.view())
            except (KeyboardInterrupt, InputError):
                raise
            except BaseException as error:  # the code of a third party may raise anything
                raise MethodError(f"raised at task {i}: {said(error)}") from error
            self.decide(self._checked(nodes, int(self.stream.task[i]), i))

    def next_task(self, rest: Callable[[], None]) -> int | None:
        """Go on to the next task that is not decided by compiled code; None when all are at their end."""
        from mecopt.simulation import engine_kernels as kernels

        stream, world = self.stream, self.world
        fixed = (
            (stream.time_s, stream.task, stream.size, stream.phase),
            (world.tables, world.servers, world.devices),
            world.energy,
        )
        while True:
            start = time.process_time()
            code = kernels.run(
                *fixed,
                self.how,
                self.rule,
                self.own is not None,
                float(self.lag_s),
                self.sharing,
                (self.place, self.position, self.delay, self.spent, self.unloaded),
                (self.free, self.seen, self.work_of),
                (self.times, self.codes),
                (*self.logs, *self.ends, *self.flow),
                (self.virtual, self.member, self.counts[0], *self.clocks, self.counts[1]),
                self.scratch,
                self.state,
                self.offered,
            )
            self.cpu_s += time.process_time() - start
            if code == kernels.DONE:
                return None
            if code == kernels.DECIDE:
                return int(self.state[1])
            if code == kernels.GROW:
                self._grow()
            else:
                rest()

    def view(self) -> View:
        """Return what the decision about the next task sees."""
        i = int(self.state[1])
        t, k, size = float(self.stream.time_s[i]), int(self.stream.task[i]), float(self.stream.size[i])
        device = int(self.world.tables[1][k]) + self.world.servers
        own = np.maximum(self.free[[device, device + self.world.devices]] - t, 0.0)
        backlog, flight = self.seen.copy()
        return View(self.world, t, k, size, backlog, flight, self.lag_s, float(own[0]), float(own[1]))

    def decide(self, place: NDArray[np.int8]) -> None:
        """Decide the next task: a row of placements, which a path must have."""
        self.place[int(self.state[1])] = place
        self.state[3] = 1

    def _grow(self) -> None:
        """Give twice the room to what is nearly full."""
        if self.state[0] > len(self.times) // 2:
            self.times, self.codes = (np.concatenate([a, np.empty_like(a)]) for a in (self.times, self.codes))
        room = self.logs[0].shape[1]
        if self.lag_s > 0 and (self.ends[1] - self.ends[0]).max() > room // 2:
            head, tail = self.ends
            for i, log in enumerate(self.logs):
                wider = np.zeros((len(head), 2 * room))
                for n in range(len(head)):
                    at = np.arange(head[n], tail[n])
                    wider[n, at % (2 * room)] = log[n, at % room]
                self.logs[i] = wider
        if self.sharing and self.counts[0].max() > self.virtual.shape[1] // 2:
            self.virtual, self.member = (
                np.concatenate([a, np.zeros_like(a)], axis=1) for a in (self.virtual, self.member)
            )

    def _checked(self, nodes: Any, k: int, i: int) -> NDArray[np.int8]:
        """Return the nodes of a task as a row of placements, or say what is wrong with them."""
        blocks = int(self.world.tables[0][k])
        place = np.full(self.world.stages, -1, dtype=np.int8)
        try:
            given = np.asarray(nodes)
        except ValueError:  # rows of unequal length
            given = np.zeros(0)
        expected = f"{blocks} nodes of 0..{self.world.servers}, one a block"
        whole = given.shape == (blocks,) and given.dtype.kind in "iu"
        if not whole or ((given < 0) | (given > self.world.servers)).any():
            raise MethodError(f"returned {shown(nodes)} at task {i}, expected {expected}")
        place[:blocks] = given
        if not np.isfinite(self._unloaded(k, place)):
            raise MethodError(
                f"returned {given.tolist()} at task {i}, which a missing link or `allow` forbids"
            )
        return place

    def _unloaded(self, k: int, place: NDArray[np.int8]) -> float:
        from mecopt.simulation.choosing_kernels import load_of

        return float(load_of(k, 1.0, self.world.tables, place, 0, self.work_of))


def _rows(values: Floats, pricing: Pricing) -> Floats:
    """Return figures of resources as a row for every row of prices, in the one order that kernels know."""
    return np.array(np.broadcast_to(values, pricing.prices.shape), dtype=np.float64, order="C")


def node_shares(nodes: NDArray[np.int8], servers: int) -> Floats:
    """Return the share of blocks on the device and on every server, (N + 1,)."""
    counts: Ints = np.bincount(nodes[nodes >= 0].astype(np.int64), minlength=servers + 1)
    shares: Floats = counts / max(1, counts.sum())
    return shares
