"""Fronts of delay and period: plans, and what proves how near they are to any other.

For a price m of a second of period and weights u >= 0 of sum 1 over a slot's resources, delay + m period of
any plan is at least the sum of the tasks' shortest paths by delay + m times weighed busy seconds
(`mecopt.period`). Those paths are plans too. A few prices, and for each some rounds of weights, give a front
between both.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import product
from typing import Any

import numpy as np

from mecopt import busy
from mecopt.arrays import Floats, Ints
from mecopt.costs import chain_costs
from mecopt.entities import PERIOD, Objective, OneRun
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.what_if.undominated import Plans, along_the_hull, supported, together, undominated

GROUP = "mecopt.fronts"  # of functions of an instance and a task that return such a front
NAME = "delay-period"
WITHIN = "delay-within-period"  # bounds of the delay of a slot's tasks within periods, and plans near them
ALL = 50_000  # placements of one task that are all looked at
PRICES = 16  # of a second of period, from a tenth of the number of tasks in a slot to a hundred times
MOST = 300_000  # sums of plans that are held at most
SAFE = 1e-12  # fraction for rounding
SOLVE_S = 10.0  # seconds for the least period
TARGETS = 32  # periods from the least to that of the least delay


@dataclass(frozen=True, eq=False)
class PeriodFront:
    """Plans by delay, and lines below which there is none."""

    figures: Floats  # (P, 2) delay and period
    placement: Ints  # (P, K, M)
    exact: bool
    cuts: Floats  # (C, 4): a delay + b period >= c for every plan of at most that period

    @property
    def gaps(self) -> Floats:
        """How far each plan is above the least delay that a little less period than the last one's needs."""
        if self.exact:
            return np.zeros(len(self.figures))
        delay, period = self.figures.T
        # Just within the period of one plan only the next one is listed.
        room = np.concatenate([[np.inf], period[:-1]])
        a, b, c, most = self.cuts[self.cuts[:, 0] > 0].T
        with np.errstate(invalid="ignore"):
            spent = np.where(b > 0, b[None, :] * room[:, None], 0.0)
        least = np.where(room[:, None] <= most, (c - spent) / a, -np.inf).max(axis=1)
        gaps: Floats = np.maximum((delay - least) / np.maximum(least, 1e-300), 0.0)
        return gaps


def period_front(instance: Instance) -> PeriodFront | None:
    """Find plans of little delay and little period; None where none was found that is feasible.

    Parameters
    ----------
    instance : Instance
        Without couplings. Its objective does not count.
    """
    by_period = instance.replace(rules=dataclasses.replace(instance.rules, objective=PERIOD))
    by_delay = instance.replace(rules=dataclasses.replace(instance.rules, objective=Objective()))
    paths = (instance.server_count + 1) ** instance.max_blocks
    alone = len(np.unique(instance.tasks.slot)) == instance.task_count
    if alone and paths * instance.task_count <= ALL * 4 and paths <= ALL:
        return _alone(by_period)
    if instance.task_count == 1:
        found = _elsewhere(instance)
        if found is not None:
            return found
    return _between(by_period, by_delay)


def _alone(instance: Instance) -> PeriodFront | None:
    """Add up the fronts of tasks each of which has its slot for itself."""
    parts, rows = [], []
    for k in range(instance.task_count):
        found = _every(instance, k)
        if found is None:
            return None
        parts.append(Plans(found[0], np.arange(len(found[0]))[:, None]))
        rows.append(found[1])
    total = together(parts, MOST)
    exact = total is not None
    total = total or along_the_hull(parts)
    placement = np.stack([own[total.nodes[:, k]] for k, own in enumerate(rows)], axis=1)
    return PeriodFront(total.figures, placement, exact, _edges(total.figures))


def _edges(figures: Floats) -> Floats:
    """Return the lines through neighbours on the hull of a front, and the ends."""
    hull = figures[supported(figures)]
    steps = np.diff(hull, axis=0)
    slope = steps[:, 0] / -steps[:, 1] if len(steps) else np.zeros(0)
    ones = np.ones(len(slope))
    lines = np.column_stack([ones, slope, hull[1:, 0] + slope * hull[1:, 1], np.inf * ones])
    return np.concatenate([[[1.0, 0.0, hull[0, 0], np.inf]], lines]) * [[1.0, 1.0, 1.0 - SAFE, 1.0]]


def _every(instance: Instance, k: int) -> tuple[Floats, Ints] | None:
    """Look at every placement of one task, each in a slot of its own; those that none beats."""
    nodes, blocks = instance.server_count + 1, int(instance.block_count[k])
    rows = np.full((nodes**blocks, instance.max_blocks), -1)
    rows[:, :blocks] = list(product(range(nodes), repeat=blocks))
    if instance.barred is not None:
        shut = instance.barred[k][np.arange(blocks), rows[:, :blocks]]
        rows = rows[~shut.any(axis=1)]
    slot = int(instance.tasks.slot[k])
    servers = tuple(
        dataclasses.replace(server, cycles_per_s=server.cycles_per_s[slot])
        if isinstance(server.cycles_per_s, np.ndarray)
        else server
        for server in instance.servers
    )
    copies = dataclasses.replace(instance.tasks.take(np.full(len(rows), k)), slot=np.arange(len(rows)))
    many = instance.replace(slot_count=len(rows), servers=servers, tasks=copies, allow=())
    judged = evaluate(many, rows)
    fine = np.ones(len(rows), dtype=bool)
    fine[[int(violation.where["task"]) for violation in judged.violations]] = False
    period = _periods(judged, len(rows))
    figures = np.column_stack([judged.task_delay_s, period])[fine]
    if not len(figures):
        return None
    kept = undominated(np.zeros(len(figures), dtype=np.int64), figures)
    return figures[kept], rows[fine][kept]


def _periods(judged: Any, slots: int) -> Floats:
    """Return the period of every slot, each of which has one task; `Evaluation.periods` of many."""
    placement, costs = judged.placement, judged.costs
    k, m = np.nonzero(placement >= 0)
    j = placement[k, m]
    i = np.where(m > 0, placement[k, np.maximum(m - 1, 0)], 0)
    row, _, seconds = busy.entries(judged.instance, costs, k, m, i, j)
    rows, at = np.unique(row, return_inverse=True)
    longest = np.zeros(slots)
    np.maximum.at(longest, rows // busy.resources(judged.instance), np.bincount(at, seconds, len(rows)))
    return longest


def _elsewhere(instance: Instance) -> PeriodFront | None:
    """Ask who has registered an exact front, of one stretch a node."""
    found = next(iter(entry_points(group=GROUP, name=NAME)), None)
    if found is None or instance.rules.one_run is OneRun.NONE:
        return None
    try:
        front = found.load()(instance, 0)
    except InputError:  # it does not take what the instance asks for
        return None
    if not len(front.delay_s):
        return None
    rows = np.full((len(front.delay_s), 1, instance.max_blocks), -1)
    rows[:, 0, : front.placement.shape[1]] = front.placement
    return PeriodFront(np.column_stack([front.delay_s, front.period_s]), rows, True, np.zeros((0, 4)))


def _between(by_period: Instance, by_delay: Instance) -> PeriodFront | None:
    """Price the period higher and higher; the plans met, and the lines that each price proves."""
    from mecopt.solving import solve
    from mecopt.what_if.period_search import PeriodSearch, met, slot_plans

    search = PeriodSearch(by_period, chain_costs(by_delay))
    if np.isinf(search.free).any():
        return None
    cuts = [(1.0, 0.0, float(search.free.sum()) * (1.0 - SAFE), np.inf)]
    least = solve(by_period, time_limit_s=SOLVE_S)
    if least.lower_bound is not None:
        cuts.append((0.0, 1.0, least.lower_bound, np.inf))
    if least.evaluation is not None and least.evaluation.feasible:
        search.meet(least.evaluation.placement)
    within = next(iter(entry_points(group=GROUP, name=WITHIN)), None)
    if within is not None and search.slots == 1 and least.lower_bound:
        longest = max(search.longest_period(), least.lower_bound)
        found, plans = within.load()(by_delay, np.geomspace(least.lower_bound, longest, TARGETS))
        cuts += [(1.0, price, total, most) for most, price, total in found.tolist()]
        for plan in plans:
            search.meet(plan)
    else:
        tasks = max(float(np.bincount(by_period.tasks.slot).max()), 1.0)
        dear = np.geomspace(tasks / 10.0, tasks * 100.0, PRICES).tolist()
        cuts += [(1.0, price, search.rounds(price), np.inf) for price in dear]
    paths = met(by_period, search)
    parts = [slot_plans(paths, slot) for slot in range(search.slots)]
    total = together([part for part, _ in parts], MOST) or along_the_hull([part for part, _ in parts])
    placements = np.full((len(total.figures), by_period.task_count, by_period.max_blocks), -1)
    for s, (_, choices) in enumerate(parts):
        chosen = choices[total.nodes[:, s]]  # (P, tasks of the slot) paths
        placements[:, paths.task[chosen[0]]] = paths.path[chosen]
    return PeriodFront(total.figures, placements, False, np.array(cuts))
