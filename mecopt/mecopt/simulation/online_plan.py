"""What a simulation is of: an instance, arrivals at a rate, and news of some age; checked once for all."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.errors import InputError, shown
from mecopt.scalars import number, whole
from mecopt.simulation.online_rule import Setting

if TYPE_CHECKING:
    from mecopt.simulation.arrivals import Stream

DISCIPLINES = ("fifo", "ps")
MOST_LAG_SLOTS = 1e6
SMALLEST_LOAD, LARGEST_LOAD = 1e-6, 100.0


class OnlinePlan:
    """What all runs share: the world, the arrivals, and what is seen.

    Parameters are those of `mecopt.simulate`, and refused as there.

    Attributes
    ----------
    world : World
    capacity : Capacity
        Its rate is load 1.
    rate : float
        Tasks a second.
    count : int
        Tasks of a stream.
    lag_s : float
        Age of the backlogs that are seen.
    settings : dict
        All of it in words and numbers.
    """

    def __init__(
        self,
        source: Any,
        arrivals: str,
        load: float | None = None,
        rate: float | None = None,
        staleness: float = 0.0,
        discipline: str = "fifo",
        tasks: int | None = None,
    ) -> None:
        from mecopt.simulation import arrivals as coming
        from mecopt.simulation.batch_means import LEAST_TASKS
        from mecopt.simulation.capacity import load_one
        from mecopt.simulation.world import World
        from mecopt.sources import instance_of

        if discipline not in DISCIPLINES:
            raise InputError(f"discipline: {shown(discipline)}, expected {' or '.join(DISCIPLINES)}")
        staleness = number("staleness", staleness)
        if staleness > MOST_LAG_SLOTS:
            raise InputError(f"staleness: {staleness:g}, expected at most {MOST_LAG_SLOTS:g} slots")
        if load is not None and rate is not None:
            raise InputError("load and rate: both given, expected one of them")
        load = None if load is None else number("load", load)
        rate = None if rate is None else number("rate", rate)
        tasks = None if tasks is None else whole("tasks", tasks, 1)
        for name, value in (("load", load), ("rate", rate)):
            if value is not None and value < SMALLEST_LOAD:
                raise InputError(f"{name}: {value:g}, expected a finite number > 0")
        if load is not None and load > LARGEST_LOAD:
            raise InputError(f"load: {load:g}, expected at most {LARGEST_LOAD:g}")
        traced = arrivals.startswith(coming.TRACE)
        if not traced and arrivals not in coming.KINDS:
            kinds = ", ".join((*coming.KINDS, coming.TRACE + "FILE"))
            raise InputError(f"arrivals: {shown(arrivals)}, expected one of {kinds}")
        instance = instance_of(source)
        self.world = World.of(instance)
        self.trace = (
            coming.read_trace(arrivals.removeprefix(coming.TRACE), instance.task_count) if traced else None
        )
        self.capacity = load_one(self.world)
        if self.trace is not None:
            self.count = len(self.trace) if tasks is None else tasks
            if tasks is None and self.count < LEAST_TASKS:
                raise InputError(f"{arrivals}: {self.count} arrivals, expected at least {LEAST_TASKS}")
            if self.count > len(self.trace):
                raise InputError(
                    f"tasks: {tasks:,}, expected at most the {len(self.trace):,} arrivals of the trace"
                )
            own = len(self.trace) / self.trace.span_s
            given = rate if rate is not None else own if load is None else load * self.capacity.rate
            first = slice(self.count)
            time_s = self.trace.time_s[first] * (own / given)
            self.trace = coming.Stream.of(time_s, self.trace.task[first], self.trace.size[first])
        else:
            self.count = 200_000 if tasks is None else tasks
            given = rate if rate is not None else (0.7 if load is None else load) * self.capacity.rate
        if not LEAST_TASKS <= self.count <= coming.MOST_TASKS:
            raise InputError(f"tasks: {self.count:,}, expected {LEAST_TASKS} to {coming.MOST_TASKS:,}")
        self.rate, self.arrivals, self.discipline = float(given), arrivals, discipline
        self.lag_s = staleness * instance.slot_s
        self.settings = {
            "instance": instance.name,
            "instance_sha256": instance.sha256,
            "arrivals": arrivals if self.trace is None else f"trace {_digest(self.trace)}",
            "rate_per_s": self.rate,
            "load": self.rate / self.capacity.rate,
            "staleness_slots": float(staleness),
            "discipline": discipline,
            "tasks": self.count,
        }

    def stream(self, seed: int) -> Stream:
        """Return the tasks of a seed; a trace is the same for all."""
        from mecopt.simulation.arrivals import draw

        if self.trace is not None:
            return self.trace
        return draw(self.arrivals, self.world.templates, self.rate, self.count, seed)

    def setting(self) -> Setting:
        """Return what rules may know beforehand."""
        from mecopt.simulation.arrivals import sizes_of

        sizes, chances = sizes_of(self.arrivals)
        if self.trace is not None:
            sizes, counts = np.unique(self.trace.size, return_counts=True)
            chances = counts / counts.sum()
        kind = "trace" if self.trace is not None else self.arrivals
        return Setting(self.world, self.rate, self.lag_s, sizes, chances, kind, self.discipline)


def _digest(stream: Stream) -> str:
    digest = hashlib.sha256()
    for values in (stream.time_s, stream.task, stream.size):
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]
