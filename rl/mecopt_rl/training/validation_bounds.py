"""What validation episodes are measured against: bounds of the least that each can cost, proved beforehand.

Without couplings that is the trellis's optimum. Under couplings each instance is solved for a share of a time
limit, and counts with the bound that was proved: exact where the solver finished, else what it had.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import mecopt
from mecopt.arrays import Floats
from mecopt.costs import chain_costs
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt.result import Result, Status
from mecopt.stop import StopReason
from mecopt.trellis import infeasible_tasks, shortest_paths
from mecopt_rl.world.episodes import Batch

LIMIT_S = 30.0  # wall time for the bounds of all validation episodes together
CLOSE = 1e-4  # gap at which the solver stops: 0.01 %, below what learners reach under couplings
PATIENCE_S = 2.0  # what takes longer says that it is at work
MOST_S = 1e30  # learners count in single precision
LEAST_S = 1e-12  # sum of the bounds below which a gap means nothing, see `mecopt.result.gap`

Say = Callable[[str], None]


@dataclass(frozen=True)
class Bounds:
    """Lower bounds on the optimum of some episodes, in seconds."""

    lower: tuple[float | None, ...]  # of each episode; None: proved to have no feasible placement
    proved: int  # episodes whose optimum is known within `CLOSE`, or that have none
    reason: str | None = None  # why the first of those that have no feasible placement has none
    seconds: float = 0.0  # wall time that they took

    @property
    def possible(self) -> list[int]:
        """The episodes that have a feasible placement, as far as is known."""
        return [e for e, bound in enumerate(self.lower) if bound is not None]

    def sum(self) -> float:
        """Return the sum over all episodes that have a feasible placement."""
        return math.fsum(bound for bound in self.lower if bound is not None)

    def to_json(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {**dataclasses.asdict(self), "lower": list(self.lower)}

    @classmethod
    def from_json(cls, kept: Any, count: int) -> Bounds:
        """Take what `to_json` gave of so many episodes.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        lower = tuple(None if value is None else float(value) for value in kept["lower"])
        if len(lower) != count:
            raise ValueError(f"bounds of {len(lower)} episodes, expected {count}")
        return cls(**{**kept, "lower": lower})

    def check(self, source: str) -> None:
        """Refuse episodes on which no policy can be measured.

        Raises
        ------
        InputError
            If none has a feasible placement, or all together cost nothing, or more than can be counted.
        """
        if not self.possible:
            raise InputError(f"no placement is feasible: {self.reason}", source)
        if self.sum() < LEAST_S:
            text = f"the least cost that is proved is {self.sum():g} s, expected more than {LEAST_S:g} s"
            raise InputError(f"{text}: a gap to it means nothing", source)
        if self.sum() > MOST_S:
            text = f"the least cost is {self.sum():g} s, expected less than {MOST_S:g} s"
            raise InputError(f"{text}: learners cannot count it", source)


def bounds_of(batch: Batch, say: Say | None = None, limit_s: float = LIMIT_S) -> Bounds:
    """Bound the optimum of every episode.

    Parameters
    ----------
    batch : Batch
    say : callable, optional
        Called with a line when it takes longer than a moment, and with another one at the end.
    limit_s : float
        Wall time for all episodes whose tasks are joined by couplings.

    Raises
    ------
    KeyboardInterrupt
    """
    start = time.perf_counter()
    apart = optima(batch)
    infinite = np.flatnonzero(np.isinf(apart))
    reason = _why_alone(batch, int(infinite[0])) if infinite.size else None
    lower = [None if math.isinf(value) else value for value in apart.tolist()]
    coupling = " and ".join(sorted(batch.draws[0].instance.rules.couplings))
    if not coupling:
        return Bounds(tuple(lower), len(lower), reason)
    same: dict[tuple[int, int], list[int]] = {}  # a fixed instance may be several episodes
    for e in (e for e, value in enumerate(lower) if value is not None):
        same.setdefault(batch.origin[e], []).append(e)
    proved = len(lower) - sum(map(len, same.values()))
    what = f"bounding {_counted(len(same), 'validation episode')} under {coupling}, at most {limit_s:g} s"
    with _said_when_long(say, what) as long:
        for number, episodes in enumerate(same.values()):
            left = limit_s - (time.perf_counter() - start)
            result = _solved(batch.instance(episodes[0]), left / (len(same) - number))
            if result is not None and result.status is Status.INFEASIBLE:
                reason = reason or _words(batch, episodes[0], result.reasons)
            for e in episodes:
                lower[e] = _best(result, lower[e] or 0.0)
            proved += len(episodes) * _closed(result)
    seconds = time.perf_counter() - start
    if say is not None and long.is_set():
        say(f"bounded in {seconds:.1f} s, {proved} of {len(lower)} within {CLOSE:.2%} of the optimum")
    return Bounds(tuple(lower), proved, reason, round(seconds, 3))


def optima(batch: Batch) -> Floats:
    """Return the least objective of every episode, couplings left out, (E,) seconds; inf = it has none."""
    values = np.where(batch.rows >= 0, batch.pool.optimum[batch.rows], 0.0)
    total: Floats = values.sum(axis=0)
    return total


@contextmanager
def _said_when_long(say: Say | None, text: str) -> Iterator[threading.Event]:
    """Say what is going on once it has taken a moment; the event is set then."""
    long = threading.Event()

    def tell() -> None:
        long.set()
        if say is not None:
            say(text)

    timer = threading.Timer(PATIENCE_S, tell)
    timer.daemon = True
    timer.start()
    try:
        yield long
    finally:
        timer.cancel()


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _solved(instance: Instance, limit_s: float) -> Result | None:
    """Solve an instance as well as the time allows; None without any."""
    if limit_s <= 0.0:
        return None
    result = mecopt.solve(instance, time_limit_s=limit_s, gap=CLOSE)
    if result.stopped_by is StopReason.INTERRUPT:
        raise KeyboardInterrupt
    return result


def _best(result: Result | None, apart: float) -> float | None:
    """Return the better of the two bounds; None where there is no feasible placement."""
    if result is None:
        return apart
    return None if result.status is Status.INFEASIBLE else max(result.lower_bound or 0.0, apart)


def _closed(result: Result | None) -> bool:
    """Say whether the optimum is known, or that there is none."""
    if result is None:
        return False
    return result.status is Status.INFEASIBLE or (result.gap is not None and result.gap <= CLOSE)


def _why_alone(batch: Batch, e: int) -> str:
    """Say why a task of episode e has no placement, whatever the others do."""
    instance = batch.instance(e)
    costs = chain_costs(instance)
    return _words(batch, e, infeasible_tasks(instance, costs, shortest_paths(costs)))


def _words(batch: Batch, e: int, reasons: Sequence[dict[str, Any]]) -> str:
    """Return the first reason of episode e, and how many there are besides."""
    where = f"validation episode {e}: " if len(set(batch.origin)) > 1 else ""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{where}{reasons[0].get('message', reasons[0])}{more}"
