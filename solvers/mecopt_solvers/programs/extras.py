"""What the flow program needs beyond steps: columns and rows for drops, soft ends, the period and sharing.

Every extra column is between 0 and 1, a share of the most that it can be. A period column is at least what
each resource of its slot is busy. A sharing column is at least every tangent that was asked for of the
seconds by which load lengthens a server's calculations, a convex function (outer approximation: Duran and
Grossmann 1986).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mecopt import busy, features, limits
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import Deadline, Sharing
from mecopt.features import Feature
from mecopt.instance import Instance
from mecopt.limits.sharing import FULLEST
from mecopt.tolerances import JUST_ABOVE
from mecopt.trellis_arcs import Arcs, delays
from mecopt_solvers.programs.linear_program import WIDER, Label, Rows

Steps = tuple[Ints, Ints, Ints, Ints]  # of every column: task of the arcs, block, node before, node

FIRST_LOADS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95)  # where sharing has tangents from the start


@dataclass(eq=False)
class Extras:
    """Columns behind the `first` ones, and rows over all of them."""

    first: int
    cost: list[float] = field(default_factory=list)
    task: list[int] = field(default_factory=list)  # of a drop; -1 of others
    row: list[Ints] = field(default_factory=list)
    column: list[Ints] = field(default_factory=list)
    value: list[Floats] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    labels: dict[Label, int] = field(default_factory=dict)

    def add_column(self, cost: float, task: int = -1) -> int:
        """Add a column; return its number."""
        self.cost.append(cost)
        self.task.append(task)
        return self.first + len(self.cost) - 1

    def add_row(self, column: Ints, value: Floats, lower: float = -np.inf, upper: float = np.inf) -> int:
        """Add a row; return its number."""
        at = len(self.lower)
        self.row.append(np.full(len(column), at))
        self.column.append(np.asarray(column))
        self.value.append(np.asarray(value, dtype=np.float64))
        self.lower.append(lower)
        self.upper.append(upper)
        return at

    def rows(self) -> Rows:
        """Return the rows."""
        none = np.zeros(0, dtype=np.int64)
        return Rows.of(
            np.concatenate([none, *self.row]),
            np.concatenate([none, *self.column]),
            np.concatenate([np.zeros(0), *self.value]),
            np.array(self.lower),
            np.array(self.upper),
        )


def needed(instance: Instance) -> bool:
    """Say whether the objective is more than what steps cost."""
    rules = instance.rules
    soft = rules.deadline is Deadline.SOFT and bool(limits.deadlines(instance))
    return rules.objective.period or limits.SHARING.on(instance) or soft


def add_soft_ends(extras: Extras, instance: Instance, arcs: Arcs, steps: Steps) -> None:
    """Add a column for the seconds by which each task is late end to end."""
    if instance.rules.deadline is not Deadline.SOFT:
        return
    k, m, i, j = steps
    for deadline in limits.deadlines(instance):
        costs = arcs.costs if deadline.phase is None else chain_costs(instance, phase=deadline.phase)
        delay = delays(costs, arcs.tasks)[k, m, i, j]
        given = deadline.given(instance, arcs.tasks)
        for at in np.flatnonzero(np.isfinite(given)).tolist():
            mine = np.flatnonzero(k == at)
            most = _longest(delay[mine], m[mine]) - float(given[at])
            if most > 0:
                worth = arcs.costs.delay_worth * arcs.costs.penalty * _weight(arcs.costs, int(arcs.tasks[at]))
                column = extras.add_column(worth * most)
                value = np.append(delay[mine] / most, -1.0)
                extras.add_row(np.append(mine, column), value, upper=float(given[at]) / most)


def _longest(value: Floats, block: Ints) -> float:
    """Return a bound on the sum along a path."""
    most = np.zeros(int(block.max()) + 1)
    np.maximum.at(most, block, value)
    return float(most.sum())


def _weight(costs: ChainCosts, task: int) -> float:
    return 1.0 if costs.weight is None else float(costs.weight[task])


def add_period(extras: Extras, instance: Instance, arcs: Arcs, steps: Steps, known: float | None) -> None:
    """Add a column for each slot's period, and a row for each resource that may set it."""
    k, m, i, j = steps
    row, step, seconds = busy.entries(instance, arcs.costs, arcs.tasks[k], m, i, j)
    names, at = np.unique(row, return_inverse=True)
    order = np.argsort(at, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(at[order])) + 1)
    most: dict[int, float] = {}
    for name, part in zip(names.tolist(), parts, strict=True):
        slot = name // busy.resources(instance)
        most[slot] = max(most.get(slot, 0.0), _most_busy(k[step[part]], m[step[part]], seconds[part]))
    columns = {}
    for slot, longest in most.items():
        top = longest if known is None else min(longest, known * JUST_ABOVE)
        if top > 0:
            columns[slot] = (extras.add_column(top), top)
    for name, part in zip(names.tolist(), parts, strict=True):
        column, top = columns.get(name // busy.resources(instance), (-1, 1.0))
        part = part[seconds[part] > 0]
        if column >= 0 and len(part):
            # A step is on one resource at most twice (a transfer and a result on one radio): added up.
            value = np.bincount(step[part], seconds[part] / top)
            used = np.flatnonzero(value)
            extras.add_row(np.append(used, column), np.append(value[used], -1.0), upper=0.0)


def _most_busy(task: Ints, block: Ints, seconds: Floats) -> float:
    """Return a bound on what all tasks keep a resource busy."""
    key = task * (int(block.max()) + 1) + block
    keys, at = np.unique(key, return_inverse=True)
    most = np.zeros(len(keys))
    # Two entries of one step (transfer and result) may both count: a factor of two is bound enough.
    np.maximum.at(most, at, seconds)
    return 2.0 * float(most.sum())


def add_sharing(
    extras: Extras,
    instance: Instance,
    arcs: Arcs,
    steps: Steps,
    tangents: Mapping[int, list[float]],
    known: float | None,
) -> None:
    """Add the load of every server of a slot: its limit, and what it lengthens.

    Parameters
    ----------
    tangents : mapping from row of the limit to loads, each a share of the slot
        Where the function is touched, beside `FIRST_LOADS`.
    """
    k, m, i, j = steps
    calc = arcs.calc_s
    on = np.flatnonzero(j > 0)
    before = i[on] if calc.shape[2] > 1 else np.zeros(len(on), dtype=np.int64)
    load = calc[k[on], m[on], before, j[on] - 1] / instance.slot_s
    row = limits.SHARING.rows(instance, arcs.tasks)[k[on], j[on]]
    mm1 = instance.rules.sharing is Sharing.MM1
    for name in np.unique(row).tolist():
        mine = np.flatnonzero((row == name) & (load > 0))
        if not len(mine):
            continue
        column, share = on[mine], load[mine]
        top = _most_busy(k[column], m[column], share) / 2.0
        if mm1:
            if top > FULLEST:
                full = extras.add_row(column, share / FULLEST, upper=1.0 + WIDER)
                extras.labels[limits.SHARING.name, name] = full
            top = min(top, FULLEST)
        worth = arcs.costs.delay_worth * instance.slot_s
        if worth > 0:
            points = [x for x in FIRST_LOADS if x < top] + [x for x in tangents.get(name, []) if x <= top]
            most = np.inf if known is None else known * JUST_ABOVE / worth  # more cannot be better
            _lengthen(extras, column, share, points, worth, (top, most), mm1=mm1)


def longer(load: Floats | float, *, mm1: bool) -> Floats | float:
    """Return by how much a load lengthens calculations in all, both as shares of the slot."""
    return load * load / (1.0 - load) if mm1 else load * load


def _slope(load: float, *, mm1: bool) -> float:
    return load * (2.0 - load) / (1.0 - load) ** 2 if mm1 else 2.0 * load


def _lengthen(
    extras: Extras,
    column: Ints,
    share: Floats,
    points: list[float],
    worth: float,
    tops: tuple[float, float],
    *,
    mm1: bool,
) -> None:
    """Add a column above tangents of what load adds; `tops` are the largest load, and the most it may add."""
    top, limit = tops
    most = float(longer(top, mm1=mm1))
    scale = min(most, limit)
    if scale <= 0:
        return
    above = extras.add_column(worth * scale)
    for load in sorted(set(points)):
        slope = _slope(load, mm1=mm1)
        if slope == 0.0:
            continue
        side = slope * load - float(longer(load, mm1=mm1))
        value = np.append(share * slope / scale, -1.0)
        norm = max(1.0, float(np.abs(value).max()))
        extras.add_row(np.append(column, above), value / norm, upper=side / scale / norm)


def add_drops(extras: Extras, arcs: Arcs, cost: Floats) -> dict[int, int]:
    """Add a column for leaving out each task; return task of the arcs -> column."""
    return {
        at: extras.add_column(float(cost[at]), int(arcs.tasks[at]))
        for at in np.flatnonzero(np.isfinite(cost)).tolist()
    }


def apart(instance: Instance) -> str:
    """Say what does not go together in a linear program, nothing where all does.

    Products of loads and choices would be left of sharing with weights of tasks, or with soft deadlines,
    which are on stretched times. So are hard ones, but a placement that breaks one is cut off (`late_cuts`).
    """
    if not limits.SHARING.on(instance):
        return ""
    asked = features.of(instance) & {Feature.WEIGHT, Feature.SOFT_END}
    beside = sorted(str(feature) for feature in asked)
    if instance.rules.deadline is Deadline.SOFT and np.isfinite(instance.tasks.max_delay_s).any():
        beside.append("soft deadlines")
    return f"does not take sharing together with {', '.join(beside)}" if beside else ""
