"""Exact choice among the few ways that the tasks of one device can still go: labels (delay, energy).

Every task has a short list of undominated ways, measured from its cheapest path under the price. Labels are
the undominated sums. They grow from both ends of the order at once, light tasks (whose second way costs
little) from one, heavy tasks from the other, whichever has fewer; in the end the best pair that keeps to
the budget is found by one search in sorted lists. So neither list gets as long as one alone would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt_solvers.energy.price_search import Excess, Stages

REFUSED = 50  # choices that may overstep the budget by rounding before the search gives up


@dataclass(frozen=True, eq=False)
class Ways:
    """The ways of n tasks, P in all, those of a task by energy; none dominated by another of its task."""

    task: Ints  # (P,) position of the task, ascending
    delay: Floats  # (P,) seconds
    energy: Floats  # (P,) joules
    excess: Floats  # (P,) seconds under the price, 0 for the cheapest
    nodes: Ints  # (P, M)

    @classmethod
    def of(cls, stages: Stages, excess: Excess, tasks: Ints, room: float) -> Ways:
        """Follow every path whose excess is at most `room`, stage by stage for all tasks at once."""
        task = np.arange(len(tasks))
        node, nodes = np.zeros(len(tasks), dtype=np.int64), np.empty((len(tasks), 0), dtype=np.int64)
        delay, energy, paid = (np.zeros(len(tasks)) for _ in range(3))
        for m in range(len(stages.delay)):
            onward = paid[:, None] + excess.arc[m, node, :, tasks[task]]
            at, to = np.nonzero(onward <= room)
            arc = m, node[at], to, tasks[task[at]]
            task, paid = task[at], onward[at, to]
            delay, energy = delay[at] + stages.delay[arc], energy[at] + stages.energy[arc]
            node, nodes = to, np.column_stack([nodes[at], to])
            last = m == len(stages.delay) - 1
            kept = _undominated(task if last else task * onward.shape[1] + node, energy, delay)
            task, node, nodes = task[kept], node[kept], nodes[kept]
            delay, energy, paid = delay[kept], energy[kept], paid[kept]
        return cls(task, delay, energy, paid, nodes)


def _undominated(group: Ints, energy: Floats, delay: Floats) -> Ints:
    """Return what no other one of its group beats in energy and delay, by group and energy."""
    order = np.lexsort((delay, energy, group))
    rank = np.unique(delay, return_inverse=True)[1][order] - group[order] * len(order)
    kept: Ints = order[_falls(rank, 0)]  # ranks of a group are below those of all groups before it
    return kept


def _falls(value: Floats | Ints, finest: float) -> NDArray[np.bool_]:
    """Say which entries are below all before them."""
    falls = np.ones(len(value), dtype=bool)
    falls[1:] = value[1:] < np.minimum.accumulate(value)[:-1] - finest
    return falls


@dataclass(frozen=True, eq=False)
class TaskWays:
    """The ways of one task, measured from its cheapest: S ways."""

    way: Ints  # (S,) index into the ways
    delay: Floats  # (S,)
    energy: Floats  # (S,)
    excess: Floats  # (S,)

    @property
    def second(self) -> float:
        """Least excess of leaving the cheapest way."""
        return float(np.partition(self.excess, 1)[1])


@dataclass(frozen=True)
class Target:
    """What the labels aim at, measured from everything on its cheapest way."""

    energy: float  # joules that may be spent more; below 0: that must be saved
    room: float  # seconds of excess that may be paid
    price: float  # seconds a joule
    finest: float  # delays closer than this are the same
    rounding: float  # joules by which sums of energies can be wrong


@dataclass(eq=False)
class Labels:
    """Undominated sums over the tasks of one end, energy ascending and so delay descending."""

    delay: Floats = field(default_factory=lambda: np.zeros(1))
    energy: Floats = field(default_factory=lambda: np.zeros(1))
    excess: Floats = field(default_factory=lambda: np.zeros(1))
    back: list[tuple[Ints, Ints]] = field(default_factory=list)  # label before, step taken; one a task
    whole: bool = True  # whether no label was left out for want of space

    def extend(self, steps: TaskWays, target: Target, most: int, rest: Rest | None = None) -> None:
        """Add a task; drop labels that cannot end well, and those beyond `most`."""
        delay, energy, excess = (
            np.add.outer(getattr(steps, name), getattr(self, name)).ravel()
            for name in ("delay", "energy", "excess")
        )
        keep = np.flatnonzero(excess <= target.room)
        if rest is not None:
            keep = keep[rest.can_end(len(self.back) + 1, energy[keep], excess[keep], target)]
        # The labels of each step are in order already: runs, which a stable sort merges.
        keep = keep[np.argsort(energy[keep], kind="stable")]
        keep = keep[_falls(delay[keep], target.finest)]
        keep = keep[np.diff(energy[keep], append=np.inf) > 0]  # of one energy the last is the best
        if len(keep) > most:
            self.whole = False
            keep = keep[_spread(energy[keep], excess[keep], most)]
        step, parent = np.divmod(keep, len(self.delay))
        self.back.append((parent.astype(np.int32), step.astype(np.int32)))
        self.delay, self.energy, self.excess = delay[keep], energy[keep], excess[keep]

    def trace(self, label: int) -> list[int]:
        """Return the step of every task on the way to a label, the latest task first."""
        steps = []
        for parent, step in reversed(self.back):
            steps.append(int(step[label]))
            label = int(parent[label])
        return steps


class Rest:
    """What the tasks from each one on can still do; tasks in order."""

    def __init__(self, tasks: Sequence[TaskWays]) -> None:
        up = np.array([steps.energy.max() for steps in tasks])
        down = -np.array([steps.energy.min() for steps in tasks])
        self.second = np.array([*(steps.second for steps in tasks), np.inf])
        self.up, self.most_up = _sums(up), _largest(up)
        self.down, self.most_down = _sums(down), _largest(down)

    def can_end(self, t: int, energy: Floats, excess: Floats, target: Target) -> NDArray[np.bool_]:
        """Say which labels can, with the tasks from t on, still end within the budget and the room."""
        room = target.room - excess
        with np.errstate(divide="ignore", invalid="ignore"):
            moves = np.floor(room / self.second[t] * (1 + 1e-9))  # tasks that can leave their cheapest way
            moves = np.where(np.isnan(moves), np.inf, moves)
            unspent = np.where(room > 0, room / target.price, 0.0) if target.price > 0 else np.inf
            up = np.fmin(moves * self.most_up[t], self.up[t])
            down = np.fmin(moves * self.most_down[t], self.down[t])
        fits: NDArray[np.bool_] = (energy - down <= target.energy + target.rounding) & (
            energy + up >= target.energy - unspent - target.rounding
        )
        return fits


def cheapest_and_steps(ways: Ways) -> tuple[Ints, list[TaskWays]]:
    """Return every task's cheapest way, (n,), and the steps of tasks with more than one, lightest first."""
    start = np.flatnonzero(np.diff(ways.task, prepend=-1))
    by_excess = np.lexsort((ways.excess, ways.task))  # a task's ways stay together
    cheapest = by_excess[start]
    base = cheapest[ways.task]
    delay, energy = ways.delay - ways.delay[base], ways.energy - ways.energy[base]
    ends = np.append(start[1:], len(ways.task))
    steps = [
        TaskWays(np.arange(a, b), delay[a:b], energy[a:b], ways.excess[a:b])
        for a, b in zip(start.tolist(), ends.tolist(), strict=True)
        if b - a > 1
    ]
    return cheapest, sorted(steps, key=lambda task: task.second)


def choose(
    tasks: list[TaskWays],
    target: Target,
    most: int,
    due: Callable[[], bool],
    take: Callable[[list[int]], bool],
) -> bool:
    """Find the choice of least delay within the target's energy, and hand it over.

    Parameters
    ----------
    tasks : list of Steps
        Lightest first.
    target : Target
    most : int
        Labels kept at each end.
    due : callable
        Says whether to stop.
    take : callable
        Takes a choice, one way for each of some tasks; the others stay on their cheapest. Says whether its
        energy, summed exactly, is within the budget.

    Returns
    -------
    bool
        Whether nothing better exists: nothing was left out, and `take` took the best choice, if any.
    """
    rest, light, heavy = Rest(tasks), Labels(), Labels()
    low, high = 0, len(tasks)
    while low < high:
        if due():
            return False
        if len(light.delay) <= len(heavy.delay):
            light.extend(tasks[low], target, most, rest)
            low += 1
            if not len(light.delay):
                return light.whole and heavy.whole
        else:
            high -= 1
            heavy.extend(tasks[high], target, most)
    limit = target.energy
    for _ in range(REFUSED):
        partner = np.searchsorted(light.energy, limit - heavy.energy, side="right") - 1
        total = np.where(partner >= 0, light.delay[partner] + heavy.delay, np.inf)
        at = int(total.argmin())
        if total[at] == np.inf:
            return light.whole and heavy.whole
        other = int(partner[at])
        picked = [*light.trace(other)[::-1], *heavy.trace(at)]
        if take([int(steps.way[way]) for steps, way in zip(tasks, picked, strict=True)]):
            return light.whole and heavy.whole
        limit = np.nextafter(min(limit, light.energy[other] + heavy.energy[at]), -np.inf)
    return False


def _sums(value: Floats) -> Floats:
    """Return the sum from every entry on, and 0 behind the last."""
    return np.append(np.cumsum(value[::-1])[::-1], 0.0)


def _largest(value: Floats) -> Floats:
    return np.append(np.maximum.accumulate(value[::-1])[::-1], 0.0)


def _spread(energy: Floats, excess: Floats, most: int) -> Ints:
    """Choose about `most` labels, sorted by energy: of each strip of energies the one of least excess."""
    width = (energy[-1] - energy[0]) / most
    strip = np.floor((energy - energy[0]) / width) if width > 0 else np.arange(len(energy))
    order = np.lexsort((excess, strip))
    first = np.concatenate([[True], strip[order][1:] != strip[order][:-1]])
    chosen: Ints = np.sort(order[first])
    return chosen
