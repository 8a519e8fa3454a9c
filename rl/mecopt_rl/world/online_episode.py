"""One episode of tasks that arrive one by one: what is seen, what may be chosen, and what it costs.

What `mecopt_rl.world.online_env` and `mecopt_rl.world.online_vector` share.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.errors import InputError
from mecopt.simulation.engine import EventLoop
from mecopt.simulation.online_plan import OnlinePlan
from mecopt.simulation.online_rule import View
from mecopt.simulation.price_head import WINDOW_TASKS
from mecopt.simulation.world import World

MOST = 10.0  # of a number that is seen; what is forbidden looks like this
EPISODE_TASKS = 1000


@dataclass(frozen=True, eq=False)
class _Paths:
    """What the paths of a template are made of, at size 1; M blocks and N + 1 nodes."""

    step: Floats  # (M, N + 1, N + 1) seconds of a step [from, to], inf = none
    onwards: NDArray[np.bool_]  # (M, N + 1) whether the end can be reached from a node that has block m done
    both: NDArray[np.bool_]  # (M, N + 1) whether it can be reached at all, and the end from it
    seen: Floats  # (S,) seconds that are shown
    fixed: NDArray[np.bool_]  # (S,) of these, what does not grow with the size


class OnlineScene:
    """A setting whose episodes are drawn from seeds; tables of its tasks are made when they come.

    Parameters
    ----------
    plan : OnlinePlan
    """

    def __init__(self, plan: OnlinePlan) -> None:
        self.plan, self.world = plan, plan.world
        self._paths: dict[int, _Paths] = {}

    @cached_property
    def unit_s(self) -> float:
        """Mean seconds of a task on a server, by which seconds are shown."""
        work = self.world.tables[2][:, :, 1:].sum(axis=1)
        finite = work[np.isfinite(work)]
        return max(float(finite.mean()) if len(finite) else 1.0, 1e-9)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each part of the observation is.

        ``work`` (M, N + 1) seconds of every block; ``up`` and ``down`` (M + 1, N) of transfers, the result
        last; ``hop`` (M,) of a mean hop between servers; ``backlog`` and ``flight`` (N,) seconds seen and
        sent; ``own`` (2,) seconds of the device and its radio; ``age`` of the backlogs; ``arrivals`` (2,) in
        windows of 10 and 100 tasks, as a share of the mean, less 1; ``size``, its log. Seconds are in units
        of the mean work of a task, as log(1 + x), and what is forbidden is 10.
        """
        stages, servers = self.world.stages, self.world.servers
        sizes = {
            "work": stages * (servers + 1), "up": (stages + 1) * servers, "down": (stages + 1) * servers,
            "hop": stages, "backlog": servers, "flight": servers, "own": 2, "age": 1, "arrivals": 2,
            "size": 1,
        }  # fmt: skip
        ends = np.cumsum(list(sizes.values())).tolist()
        return {name: slice(end - sizes[name], end) for name, end in zip(sizes, ends, strict=True)}

    @property
    def width(self) -> int:
        """Numbers of an observation."""
        return int(self.slices["size"].stop)

    def paths(self, k: int) -> _Paths:
        """Return the tables of a template."""
        if k not in self._paths:
            self._paths[k] = _paths(self.world, k)
        return self._paths[k]


class OnlineEpisode:
    """The tasks of one stream, decided one by one.

    Parameters
    ----------
    scene : OnlineScene
    seed : int
        Of the stream.
    """

    def __init__(self, scene: OnlineScene, seed: int) -> None:
        plan = scene.plan
        self.scene, self.stream = scene, plan.stream(seed)
        self._loop = EventLoop(plan.world, self.stream, _undecided, plan.lag_s, plan.discipline, seed)
        self._loop.delay[:] = -1.0  # until it is known
        self._there = np.zeros(0, dtype=np.int64)  # tasks that have come and not ended
        self._meter = np.array(WINDOW_TASKS)
        self._last_s = 0.0
        self.at: int | None = self._loop.next_task(_nothing)
        self._look()

    @property
    def delay_s(self) -> Floats:
        """Delays of all tasks, once the episode has ended, (T,)."""
        return self._loop.delay

    def step(self, nodes: Ints) -> tuple[float, dict[str, Any]]:
        """Decide a task, and go on to the next; returns minus the seconds that tasks were there meanwhile.

        Over an episode that adds up to minus the sum of all delays, since the last step goes to the end.
        """
        assert self.at is not None
        k = int(self.stream.task[self.at])
        place, repairs = self._repaired(nodes, k)
        self._loop.decide(place)
        begun, came = float(self.stream.time_s[self.at]), self.at
        self.at = self._loop.next_task(_nothing)
        now = np.inf if self.at is None else float(self.stream.time_s[self.at])
        tasks = np.append(self._there, came)
        delay = self._loop.delay[tasks]
        ends = np.where(delay >= 0, self.stream.time_s[tasks] + delay, np.inf)
        cost = float((np.minimum(ends, now) - begun).sum())
        self._there = tasks[ends > now]
        self._look()
        infos = {"repairs": repairs, "tasks_there": len(self._there), "placement": place.astype(np.int64)}
        return -cost, infos

    def observe(self) -> NDArray[np.float32]:
        """Return what the next decision sees, `OnlineScene.slices`; zeros at the end."""
        found = np.zeros(self.scene.width)
        view = self.seen
        if view is None:
            return found.astype(np.float32)
        unit, slices, paths = self.scene.unit_s, self.scene.slices, self.scene.paths(view.task)
        seconds = paths.seen * np.where(paths.fixed, 1.0, view.size)
        state = [*view.backlog_s, *view.in_flight_s, view.device_s, view.radio_s, view.lag_s]
        both = np.concatenate([seconds, state])
        found[: len(both)] = np.log1p(both / unit)
        found[slices["arrivals"]] = self._meter / np.array(WINDOW_TASKS) - 1.0
        found[slices["size"]] = np.log(view.size)
        return np.clip(found, -MOST, MOST).astype(np.float32)

    def masks(self) -> NDArray[np.bool_]:
        """Return which nodes each block of the next task can have in some path, (M, N + 1)."""
        if self.seen is None:
            return np.ones((self.scene.world.stages, self.scene.world.servers + 1), dtype=np.bool_)
        return self.scene.paths(self.seen.task).both

    def _look(self) -> None:
        self.seen: View | None = None if self.at is None else self._loop.view()
        if self.seen is not None:
            past = (self.seen.time_s - self._last_s) * self.scene.plan.rate
            self._meter = self._meter * np.exp(-past / np.array(WINDOW_TASKS)) + 1.0
            self._last_s = self.seen.time_s

    def _repaired(self, nodes: Ints, k: int) -> tuple[NDArray[np.int8], int]:
        """Return a path: where a node is forbidden the allowed one of least step takes its place."""
        paths, blocks = self.scene.paths(k), int(self.scene.world.tables[0][k])
        place = np.full(self.scene.world.stages, -1, dtype=np.int8)
        before, repairs = 0, 0
        for m in range(blocks):
            seconds = np.where(paths.onwards[m], paths.step[m, before], np.inf)
            node = int(nodes[m])
            if not np.isfinite(seconds[node]):
                node = int(np.argmin(seconds))
                repairs += 1
            place[m] = before = node
        return place, repairs


def checked_nodes(actions: Any, world: World, rows: int) -> Ints:
    """Return actions as rows of nodes.

    Raises
    ------
    InputError
        If they are none.
    """
    given = np.asarray(actions)
    shape = (rows, world.stages)
    if given.shape != shape or given.dtype.kind not in "iu":
        raise InputError(f"action: {given.dtype} of shape {given.shape}, expected whole numbers of {shape}")
    if given.size and not 0 <= given.min() <= given.max() <= world.servers:
        raise InputError(f"action: {given.min()} to {given.max()}, expected nodes of 0..{world.servers}")
    return given.astype(np.int64)


def _paths(world: World, k: int) -> _Paths:
    count, _, work, start, starts, up, down, bits, lat, hop_s, hop_lat = world.tables
    blocks, stages, nodes = int(count[k]), world.stages, world.servers + 1
    step = np.full((stages, nodes, nodes), np.inf)
    back = np.where(down[k] < 0, 0.0, down[k] + lat)  # (M + 1, N); inf where there is no link
    between = np.where(np.isinf(hop_s), np.inf, hop_lat)
    for m in range(blocks):
        begin = start[k, m] if starts else np.zeros(nodes)
        step[m, 0, 1:] = up[k, m] + lat
        step[m, 1:, 0] = back[m]
        step[m, 1:, 1:] = between + np.where(np.isinf(hop_s), 0.0, bits[k, m] * hop_s)
        step[m] += begin
        np.fill_diagonal(step[m], begin if m == 0 else 0.0)
        step[m] += work[k, m]
    onwards = np.ones((stages, nodes), dtype=np.bool_)
    onwards[blocks - 1, 1:] = np.isfinite(back[-1])
    for m in range(blocks - 1, 0, -1):
        onwards[m - 1] = (np.isfinite(step[m]) & onwards[m]).any(axis=1)
    reached = np.ones((stages, nodes), dtype=np.bool_)
    before = np.arange(nodes) == 0
    for m in range(blocks):
        before = (np.isfinite(step[m]) & before[:, None]).any(axis=0)
        reached[m] = before
    hop = hop_s[~np.eye(world.servers, dtype=np.bool_)]
    hop = hop[np.isfinite(hop)]
    mean_hop = bits[k] * (float(hop.mean()) if len(hop) else 0.0)
    result = np.maximum(down[k], 0.0)
    seen = np.concatenate([work[k].ravel(), up[k].ravel(), result.ravel(), mean_hop])
    seen = np.where(np.isfinite(seen), seen, 1e12)
    return _Paths(step, onwards, onwards & reached, seen, seen >= 1e12)


def _undecided(view: View) -> list[int]:
    raise AssertionError("the environment decides")


def _nothing() -> None:
    return None
