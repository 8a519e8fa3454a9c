"""Plans of slots between the least delay and the least period: paths at prices, then single moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt import busy, features
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.trellis_arcs import build_arcs, shortest
from mecopt.what_if.undominated import Plans, undominated

ROUNDS = 40  # of weights for each price
STEP = 0.5  # of the first round, falling with the square root of the round
SAFE = 1e-12  # fraction for rounding
MOVES = 4  # single moves for each task of a slot, at most
SHORTER = 1.0 - 1e-9  # a move shortens the period by more than rounding


class PeriodSearch:
    """Shortest paths by delay and weighed busy seconds; every path met is kept."""

    def __init__(self, instance: Instance, costs: ChainCosts) -> None:
        arcs = build_arcs(costs, node_cost=features.forbidden(instance))
        self.costs, self.delay, self.blocks = costs, arcs.weight, arcs.blocks
        real = np.arange(self.delay.shape[1]) < self.blocks[:, None]
        self.arcs = np.nonzero(arcs.allowed & real[:, :, None, None])
        row, self.step, self.seconds = busy.entries(instance, costs, *self.arcs)
        names, self.at = np.unique(row, return_inverse=True)
        slots, self.slot = np.unique(names // busy.resources(instance), return_inverse=True)
        self.task_slot = np.searchsorted(slots, instance.tasks.slot)
        self.slots, self.count = len(slots), len(names)
        self.plans: dict[bytes, Ints] = {}
        self.free, path = shortest(self.delay, self.blocks)
        self.meet(path)

    def meet(self, placement: Ints) -> None:
        """Keep a placement of all tasks."""
        self.plans[placement.tobytes()] = placement

    def longest_period(self) -> float:
        """Return the period of the plan of least delay, summed over the slots."""
        path = next(iter(self.plans.values()))
        return float(self._busiest(self._load(path)).sum())

    def rounds(self, price: float) -> float:
        """Weigh resources again and again; return the best bound on delay + price times period."""
        count = len(self.arcs[0])
        weight = np.ones(self.count) / np.bincount(self.slot)[self.slot]
        best = np.zeros(self.slots)
        for n in range(ROUNDS):
            dear = self.delay.copy()
            dear[self.arcs] += price * np.bincount(self.step, self.seconds * weight[self.at], count)
            value, path = shortest(dear, self.blocks)
            self.meet(path)
            best = np.maximum(best, np.bincount(self.task_slot, value, self.slots))
            load = self._load(path)
            busiest = self._busiest(load)
            share = load / np.where(busiest > 0, busiest, 1.0)[self.slot]
            weight = weight * np.exp(STEP / np.sqrt(n + 1.0) * share)
            weight /= np.bincount(self.slot, weight)[self.slot]
        return float(best.sum() * (1.0 - SAFE))

    def _load(self, path: Ints) -> Floats:
        """Return how busy a placement keeps everything."""
        k, m, i, j = self.arcs
        before = np.where(m > 0, path[k, np.maximum(m - 1, 0)], 0)
        used = ((path[k, m] == j) & (before == i))[self.step]
        load: Floats = np.bincount(self.at[used], self.seconds[used], self.count).astype(np.float64)
        return load

    def _busiest(self, load: Floats) -> Floats:
        """Return the period of every slot."""
        busiest = np.zeros(self.slots)
        np.maximum.at(busiest, self.slot, load)
        return busiest


@dataclass(frozen=True, eq=False)
class MetPaths:
    """Every path that was met of every task; Q paths, those of a task together."""

    task: Ints  # (Q,)
    path: Ints  # (Q, M)
    delay: Floats  # (Q,) seconds
    slot: Ints  # (Q,) position of the task's slot
    row: Ints  # (E,) resource that is busy
    user: Ints  # (E,) path that keeps it busy
    seconds: Floats  # (E,)
    starts: Ints  # (S, K) the plans of all tasks that were met, as paths


def met(instance: Instance, search: PeriodSearch) -> MetPaths:
    """Put the paths together that a search has met."""
    plans = np.stack(list(search.plans.values()))  # (S, K, M)
    count, tasks = plans.shape[:2]
    keyed = np.concatenate(
        [np.tile(np.arange(tasks), count)[:, None], plans.reshape(count * tasks, -1)], axis=1
    )
    found, at = np.unique(keyed, axis=0, return_inverse=True)
    task, path = found[:, 0], found[:, 1:]
    q, m = np.nonzero(path >= 0)
    j = path[q, m]
    i = np.where(m > 0, path[q, np.maximum(m - 1, 0)], 0)
    delay = np.bincount(q, search.delay[task[q], m, i, j], len(path)).astype(np.float64)
    row, step, seconds = busy.entries(instance, search.costs, task[q], m, i, j)
    starts = np.asarray(at).reshape(count, tasks)
    return MetPaths(task, path, delay, search.task_slot[task], row, q[step], seconds, starts)


def slot_plans(paths: MetPaths, slot: int) -> tuple[Plans, Ints]:
    """Find plans of a slot that no other one found beats in delay and period.

    Returns
    -------
    plans : Plans
        Those, numbered.
    choices : array of shape (plans, tasks of the slot)
        The paths of each.
    """
    mine = np.flatnonzero(paths.slot == slot)
    mask = np.isin(paths.user, mine)
    rows, at = np.unique(paths.row[mask], return_inverse=True)
    load = np.zeros((len(mine), len(rows)))
    np.add.at(load, (np.searchsorted(mine, paths.user[mask]), at), paths.seconds[mask])
    own, which = np.unique(paths.task[mine], return_inverse=True)
    starts = np.unique(np.searchsorted(mine, paths.starts[:, own]), axis=0)
    states = list(starts)
    delays, periods = paths.delay[mine], load[starts].sum(axis=1).max(axis=1)
    for first in _corners(delays[starts].sum(axis=1), periods):
        states += _moves(starts[first], delays, load, which)
        states += _moves_back(starts[first], delays, load, which)
    choices = np.stack(states)
    figures = np.column_stack([delays[choices].sum(axis=1), load[choices].sum(axis=1).max(axis=1)])
    kept = undominated(np.zeros(len(figures), dtype=np.int64), figures)
    return Plans(figures[kept], np.arange(len(kept))[:, None]), mine[choices[kept]]


def _corners(delay: Floats, period: Floats) -> list[int]:
    """Return the plans from which moves begin: those that no other start beats."""
    found = undominated(np.zeros(len(delay), dtype=np.int64), np.column_stack([delay, period]))
    return [int(at) for at in found]


def _moves(now: Ints, delay: Floats, load: Floats, which: Ints) -> list[Ints]:
    """Move one task at a time to the path that shortens the period at the least delay; the states met."""
    now, states = now.copy(), []
    total = load[now].sum(axis=0)
    for _ in range(MOVES * len(now)):
        period = total.max(initial=0.0)
        after = (total + load - load[now[which]]).max(axis=1, initial=0.0)
        dear = delay - delay[now[which]]
        shorter = after < period * SHORTER
        if not shorter.any():
            break
        rate = np.where(shorter, dear / np.where(shorter, period - after, 1.0), np.inf)
        move = int(rate.argmin())
        total = total + load[move] - load[now[which[move]]]
        now[which[move]] = move
        states.append(now.copy())
    return states


def _moves_back(now: Ints, delay: Floats, load: Floats, which: Ints) -> list[Ints]:
    """Move one task at a time to the path that saves most delay for what it lengthens; the states met."""
    now, states = now.copy(), []
    total = load[now].sum(axis=0)
    for _ in range(MOVES * len(now)):
        period = total.max(initial=0.0)
        after = (total + load - load[now[which]]).max(axis=1, initial=0.0)
        saved = delay[now[which]] - delay
        quicker = saved > delay[now[which]] * (1.0 - SHORTER)
        if not quicker.any():
            break
        longer = np.maximum(after - period, period * (1.0 - SHORTER))
        move = int(np.where(quicker, saved / longer, -np.inf).argmax())
        total = total + load[move] - load[now[which[move]]]
        now[which[move]] = move
        states.append(now.copy())
    return states
