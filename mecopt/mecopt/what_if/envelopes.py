"""Costs of steps as functions of one number, `constant + x * slope`, and their lower envelopes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import NO_DEADLINE, ChainCosts
from mecopt.trellis_arcs import build_arcs, delays

CHUNK = 256  # tasks whose steps are held at a time
ROOM = 24  # pieces of a task at first; more get it when they need it
NOTHING = np.empty((0, 0, 0, 0))


@dataclass(frozen=True, eq=False)
class Lines:
    """Steps of some tasks, all (K, M, J, J); the last three are empty where nothing like them is."""

    free: Floats  # objective at 0, inf = forbidden
    per: Floats  # what x adds to it
    knee: Floats  # from which x on the deadline costs
    over: Floats  # seconds above it at 0
    over_per: Floats  # what x adds to them
    worth: Floats  # (K,) objective of a second above a deadline
    until: Floats  # up to which x the step is allowed

    @classmethod
    def of(
        cls,
        free: Floats,
        per: Floats,
        *,
        over: Floats = NOTHING,
        over_per: Floats = NOTHING,
        worth: Floats,
        until: Floats = NOTHING,
    ) -> Lines:
        """Put the figures in order: a step that is forbidden has no slope."""
        shut = np.isinf(free) | np.isinf(per)
        knee = NOTHING
        if over.size:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                knee = np.where(over_per > 0, -over / over_per, np.where(over > 0, -np.inf, np.inf))
        return cls(np.where(shut, np.inf, free), np.where(shut, 0.0, per), knee, over, over_per, worth, until)


@dataclass(frozen=True, eq=False)
class Pieces:
    """The optimum of every task piece by piece, those of a task together and from left to right; P pieces."""

    task: Ints  # (P,) which task
    low: Floats  # (P,) where it begins
    high: Floats  # (P,) and ends
    constant: Floats  # (P,) the value is constant + x * slope
    slope: Floats  # (P,)
    placement: Ints  # (P, M) nodes, -1 behind the end of shorter models and where the task is left out

    @property
    def first(self) -> Ints:
        """Position of the first piece of every task that has any, (tasks,)."""
        return np.flatnonzero(np.diff(self.task, prepend=-1))


def without_limits(costs: ChainCosts) -> ChainCosts:
    """Return the costs under no deadline."""
    if costs.penalty == 0 and not np.isfinite(costs.limit).any():
        return costs
    return replace(costs, penalty=0.0, limit=np.full(costs.limit.shape, np.inf))


def of_costs(
    costs: ChainCosts, fixed: ChainCosts, moving: ChainCosts, tasks: Ints, node_cost: Floats | None
) -> Lines:
    """Return the steps of tasks whose costs are those of `fixed` and x times those of `moving`.

    Parameters
    ----------
    costs : ChainCosts
        Of the instance; its deadlines count.
    """
    free = build_arcs(without_limits(fixed), tasks, node_cost).weight
    per = build_arcs(without_limits(moving), tasks).weight
    soft, hard = costs.penalty > 0, bool(np.isfinite(costs.limit[tasks]).any())
    over = over_per = until = NOTHING
    if soft or hard:
        at_0, each = (delays(part, tasks, result=False) for part in (fixed, moving))
        shut = np.isinf(at_0) | np.isinf(each)
        at_0, each = np.where(shut, 0.0, at_0), np.where(shut, 0.0, each)
        if soft:
            over, over_per = at_0 - costs.tau[tasks][:, :, None, None], each
        if hard:
            room = costs.limit[tasks][:, :, None, None] - at_0
            with np.errstate(divide="ignore", invalid="ignore"):
                until = np.where(each > 0, room / each, np.where(room >= 0, np.inf, -np.inf))
    return Lines.of(free, per, over=over, over_per=over_per, worth=worth_of(costs, tasks), until=until)


def of_deadlines(costs: ChainCosts, tasks: Ints, node_cost: Floats | None, hard: bool) -> Lines:
    """Return the steps where minus x is the factor of all deadlines, so that costs rise with x."""
    free = build_arcs(without_limits(costs), tasks, node_cost).weight
    late = delays(costs, tasks, result=False)
    late = np.where(np.isinf(late), 0.0, late)
    tau = np.broadcast_to(costs.tau[tasks][:, :, None, None], late.shape)
    due = tau < NO_DEADLINE
    per = np.zeros_like(free)
    worth = worth_of(costs, tasks)
    if hard:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            least = _least_limit(late) / tau
        until = np.where(due, np.where(np.isnan(least), 0.0, -least), np.inf)
        return Lines.of(free, per, worth=worth, until=until)
    over = np.where(due, late, -NO_DEADLINE)
    return Lines.of(free, per, over=over, over_per=np.where(due, tau, 0.0), worth=worth)


def worth_of(costs: ChainCosts, tasks: Ints) -> Floats:
    """Return the objective of a second above a deadline for every task, (K,)."""
    weight = np.ones(len(tasks)) if costs.weight is None else costs.weight[tasks]
    return np.asarray(costs.delay_worth * costs.penalty * weight)


def _least_limit(used: Floats) -> Floats:
    """Return the least limit that a use still meets: the inverse of `mecopt.tolerances.slack`."""
    from mecopt.tolerances import RELATIVE_SLACK, SMALLEST_SCALE

    large = used / (1.0 + RELATIVE_SLACK)
    small = np.maximum(used - RELATIVE_SLACK * SMALLEST_SCALE, 0.0)
    return np.where(large >= SMALLEST_SCALE, large, small)


def envelopes(
    lines: Callable[[Ints], Lines], costs: ChainCosts, tasks: Ints, low: float, high: float
) -> Pieces:
    """Follow the optimum of every task.

    Parameters
    ----------
    lines : callable
        Returns the steps of some tasks.
    low, high : float
        Range of x.
    """
    found = [
        _envelopes(lines(tasks[at : at + CHUNK]), costs, tasks[at : at + CHUNK], low, high)
        for at in range(0, len(tasks), CHUNK)
    ]
    if len(found) == 1:
        return found[0]
    names = ("task", "low", "high", "constant", "slope", "placement")
    return Pieces(**{name: np.concatenate([getattr(part, name) for part in found]) for name in names})


def _envelopes(steps: Lines, costs: ChainCosts, tasks: Ints, low: float, high: float) -> Pieces:
    from mecopt.what_if.envelope_kernels import pieces

    count, stages = len(tasks), steps.free.shape[1]
    drop = np.empty(0) if costs.drop_cost is None else costs.drop_cost[tasks]
    room = ROOM
    while True:
        counts = np.zeros(count, dtype=np.int64)
        ends, values = np.empty((count, room, 2)), np.empty((count, room, 2))
        paths = np.empty((count, room, stages), dtype=np.int64)
        whole = pieces(
            low, high, costs.blocks[tasks], steps.free, steps.per, steps.knee, steps.over, steps.over_per,
            steps.worth, steps.until, drop, counts, ends, values, paths,
        )  # fmt: skip
        if whole:
            break
        room *= 4
    there = np.arange(room) < counts[:, None]
    ends, values = ends[there], values[there]
    return Pieces(np.repeat(tasks, counts), ends[:, 0], ends[:, 1], values[:, 0], values[:, 1], paths[there])
