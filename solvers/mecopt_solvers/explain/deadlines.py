"""What deadlines cost, and by how little they would have to give way: exact, from the trellis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mecopt.arrays import Floats
from mecopt.costs import NO_DEADLINE, ChainCosts
from mecopt.instance import Instance
from mecopt.tolerances import slack
from mecopt.trellis import Paths, shortest_paths
from mecopt.trellis_arcs import build_arcs, shortest
from mecopt_solvers.explain.elastic_flow import delays

LONGER = 1.1

Member = TypeVar("Member")


@dataclass(frozen=True)
class DeadlineValue:
    """What the deadline of one block costs its task, couplings ignored.

    Parameters
    ----------
    task, block : int
    tau_s : float
    saved_longer_s : float
        Seconds of objective that a deadline 10 % longer would save.
    saved_without_s : float
        Seconds of objective that no deadline would save.
    """

    task: int
    block: int
    tau_s: float
    saved_longer_s: float
    saved_without_s: float


@dataclass(frozen=True)
class TaskRelaxation:
    """What would let a task be placed that no placement can serve.

    Parameters
    ----------
    task : int
    conflict : tuple of (block, tau)
        Deadlines that cannot hold together, though any of them could be met without the others.
    factor : float or None
        The least number to multiply all its deadlines with; None where a deadline of 0 is missed.
    extra_s : float
        The least total of additional seconds.
    raises : tuple of (block, tau, needed)
        The deadlines that such a least total raises, and to what.
    nodes : tuple of int
        A placement that it allows.
    """

    task: int
    conflict: tuple[tuple[int, float], ...]
    factor: float | None
    extra_s: float
    raises: tuple[tuple[int, float, float], ...]
    nodes: tuple[int, ...]


def deadline_values(instance: Instance, costs: ChainCosts, paths: Paths) -> list[DeadlineValue]:
    """List the deadlines whose absence would make their task's optimum smaller, the dearest first."""
    found = []
    placed = np.flatnonzero(np.isfinite(paths.value))
    value = paths.value[placed]
    tiny = 1e-12 * np.maximum(value, 1e-3)
    for m in range(instance.max_blocks):
        tau = instance.tasks.max_delay_s[:, m]
        if not (costs.tau[placed, m] < NO_DEADLINE).any():
            continue
        freed, longer = (
            value - shortest_paths(_changed(costs, m, other)).value[placed]
            for other in (np.full(len(tau), np.inf), tau * LONGER)
        )
        for at in np.flatnonzero(freed > tiny).tolist():
            k = int(placed[at])
            saved = float(longer[at]) if longer[at] > tiny[at] else 0.0
            found.append(DeadlineValue(k, m, float(tau[k]), saved, float(freed[at])))
    return sorted(found, key=lambda value: (-value.saved_without_s, value.task, value.block))


def _changed(costs: ChainCosts, block: int, tau: Floats) -> ChainCosts:
    """Give one block of every task another deadline, of the kind that the instance has."""
    limits, taus = costs.limit.copy(), costs.tau.copy()
    if np.isfinite(limits).any():
        limits[:, block] = slack(tau)
    taus[:, block] = np.minimum(tau, NO_DEADLINE)
    return dataclasses.replace(costs, limit=limits, tau=taus)


def relax_task(costs: ChainCosts, task: int) -> TaskRelaxation | None:
    """Find how little a task without a placement needs; None where its deadlines are not to blame."""
    one = np.array([task])
    blocks = int(costs.blocks[task])
    loose = dataclasses.replace(costs, limit=np.full_like(costs.limit, np.inf))
    allowed = build_arcs(loose, one).allowed
    delay, tau = delays(costs, one)[0], costs.tau[task]
    late = delay > costs.limit[task][:, None, None]
    excess = np.where(late, delay - tau[:, None, None], 0.0)
    excess[blocks:] = 0.0
    weight = np.where(allowed, excess[None], np.inf)
    extra, placement = shortest(weight, costs.blocks[one])
    if not np.isfinite(extra[0]):
        return None
    nodes = tuple(placement[0, :blocks].tolist())
    raises, before = [], 0
    for m, node in enumerate(nodes):
        if excess[m, before, node] > 0:
            raises.append((m, float(tau[m]), float(delay[m, before, node])))
        before = node
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(late, delay / tau[:, None, None], 0.0)
    ratio[blocks:] = 0.0
    factor = _bottleneck(np.where(allowed[0], ratio, np.inf), blocks)
    return TaskRelaxation(
        task,
        _conflict(costs, task),
        factor if np.isfinite(factor) else None,
        float(extra[0]),
        tuple(raises),
        nodes,
    )


def _bottleneck(ratio: Floats, blocks: int) -> float:
    """Return the least possible largest ratio along a path."""
    value = ratio[0, 0]
    for m in range(1, blocks):
        value = np.maximum(value[:, None], ratio[m]).min(axis=0)
    return float(value.min())


def _conflict(costs: ChainCosts, task: int) -> tuple[tuple[int, float], ...]:
    """Find deadlines of a task that cannot hold together, none of them superfluous."""
    one = np.array([task])
    members = np.flatnonzero(np.isfinite(costs.limit[task])).tolist()
    loose = build_arcs(dataclasses.replace(costs, limit=np.full_like(costs.limit, np.inf)), one).weight
    late = (delays(costs, one)[0] > costs.limit[task][:, None, None])[None]

    def impossible(kept: list[int]) -> bool:
        shut = np.isin(np.arange(loose.shape[1]), kept)[None, :, None, None]
        value, _ = shortest(np.where(late & shut, np.inf, loose), costs.blocks[one])
        return bool(np.isinf(value[0]))

    return tuple((m, float(costs.tau[task, m])) for m in smallest_conflict(members, impossible))


def smallest_conflict(members: list[Member], impossible: Callable[[list[Member]], bool]) -> list[Member]:
    """Find a subset that is impossible and of which every part is possible (QuickXplain, Junker 2004).

    Parameters
    ----------
    members : list
        All together impossible.
    impossible : callable
        Says whether some of them are impossible together. Whatever it answers, what is returned is a set that
        it called impossible.
    """

    def explain(background: list[Member], changed: bool, open_: list[Member]) -> list[Member]:
        if changed and impossible(background):
            return []
        if len(open_) == 1:
            return open_
        half = len(open_) // 2
        first, second = open_[:half], open_[half:]
        kept_second = explain(background + first, True, second)
        kept_first = explain(background + kept_second, bool(kept_second), first)
        return kept_first + kept_second

    return explain([], True, members) if members else []
