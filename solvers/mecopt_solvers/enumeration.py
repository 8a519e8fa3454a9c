"""`enumeration`: every placement of every task, as far as bounds do not rule it out.

For few tasks of few placements, whatever the instance asks for: what a placement is worth and whether it is
feasible says the judge. Each task's placements are judged on their own first; those that break a link, a
deadline or a rule of a single task are out. Then tasks are placed one after the other, cheapest first, as
long as what is placed, with the least of what is not, can still be better than the best placement known.
Sharing and period only grow with every task, so what is placed bounds them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import product

import numpy as np

from mecopt import allowing, busy, limits
from mecopt.arrays import Floats, Ints
from mecopt.entities import Sharing
from mecopt.features import ALL
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.limits.sharing import FULLEST
from mecopt.registry import Method
from mecopt.tolerances import JUST_ABOVE, JUST_BELOW
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.overload import overloads

MOST = 200_000  # placements of one task
MOST_TASKS = 1000


@dataclass(frozen=True, eq=False)
class Choices:
    """The P placements of one task that are feasible on its own, cheapest first; R rows of limits."""

    paths: Ints  # (P, M)
    cost: Floats  # (P,) objective on its own
    use: Floats  # (P, R) of the linear limits' rows
    load: Floats  # (P, S) seconds on the servers of its slot, where they are shared
    busy: Floats  # (P, B) seconds of the resources of its slot, where the period counts


class Enumeration:
    """Depth first over the tasks of an instance."""

    def __init__(self, instance: Instance, run: Run) -> None:
        self.instance, self.run = instance, run
        self.choices = [choices(instance, run, k) for k in range(instance.task_count)]
        self.order = np.argsort([len(c.paths) for c in self.choices], kind="stable").tolist()
        least = [c.cost.min(initial=np.inf) for c in self.choices]
        self.rest = [*np.cumsum([least[k] for k in reversed(self.order)])[::-1].tolist(), 0.0]
        self.rows = [limit for limit in limits.linear(instance) if limit.name in limits.KNOWN]
        self.most = _most(instance, self.rows)
        self.period = instance.rules.objective.period
        weight = instance.tasks.given("weight")
        # A second of stretch costs at least this much, whichever task it belongs to.
        self.stretch = run.costs.delay_worth * (1.0 if weight is None else float(weight.min()))
        self.placement = np.full((instance.task_count, instance.max_blocks), -1)

    def work(self) -> None:
        """Look at all placements that may be better than the best one known."""
        if any(len(choices.paths) == 0 for choices in self.choices):
            self._infeasible("every placement of a task was looked at")
            return
        slots = self.instance.slot_count
        nodes = self.instance.server_count
        loads = np.zeros((slots, nodes))
        resources = np.zeros((slots, busy.resources(self.instance)))
        if not self.period:
            self.run.improve_bound(self.rest[0] * JUST_BELOW)
        self._place(0, 0.0, np.zeros(len(self.most)), loads, resources)
        known = self.run.objective
        if known is None:
            self._infeasible("every placement was looked at")
        else:
            self.run.improve_bound(known)

    def _infeasible(self, how: str) -> None:
        reasons = overloads(self.instance, build_arcs(self.run.costs, node_cost=self.run.node_cost))
        self.run.infeasible(reasons or [limits.nothing_fits(self.instance, how)])

    def _place(self, at: int, cost: float, used: Floats, loads: Floats, resources: Floats) -> None:
        """Try every placement of the task in turn, cheapest first."""
        if at == len(self.order):
            self.run.found(self.placement)
            return
        k = self.order[at]
        choices, slot = self.choices[k], int(self.instance.tasks.slot[k])
        fine = (used + choices.use <= self.most).all(axis=1)
        bound = cost + choices.cost + self.rest[at + 1]
        if choices.load.size:
            now = loads[slot] + choices.load
            fine &= (now <= self._fullest()).all(axis=1)
            others = _longer(self.instance, np.delete(loads, slot, axis=0)).sum()
            bound = bound + self.stretch * (others + _longer(self.instance, now).sum(axis=1))
        if choices.busy.size:
            now = (resources[slot] + choices.busy).max(axis=1)
            bound = now + np.delete(resources, slot, axis=0).max(axis=1).sum()
        for p in np.argsort(bound, kind="stable").tolist():
            known = self.run.objective
            if known is not None and bound[p] * JUST_BELOW >= known:
                return
            if not fine[p]:
                continue
            self.run.keep_time()
            self.placement[k] = choices.paths[p]
            if choices.load.size:
                loads[slot] += choices.load[p]
            if choices.busy.size:
                resources[slot] += choices.busy[p]
            self._place(at + 1, cost + float(choices.cost[p]), used + choices.use[p], loads, resources)
            if choices.load.size:
                loads[slot] -= choices.load[p]
            if choices.busy.size:
                resources[slot] -= choices.busy[p]

    def _fullest(self) -> float:
        mm1 = self.instance.rules.sharing is Sharing.MM1
        return FULLEST * self.instance.slot_s * JUST_ABOVE if mm1 else np.inf


def _longer(instance: Instance, seconds: Floats) -> Floats:
    """Return the seconds that load adds to calculations of so many seconds on a server in a slot."""
    load = np.maximum(seconds, 0.0) / instance.slot_s
    if instance.rules.sharing is Sharing.MM1:
        load = np.minimum(load, FULLEST)
        return seconds * load / (1.0 - load) * JUST_BELOW
    return seconds * load * JUST_BELOW


def _most(instance: Instance, rows: list[limits.LinearLimit]) -> Floats:
    """Return the right-hand sides of all rows of the linear limits, one after the other."""
    sides = [limit.most(instance, np.arange(_count(instance, limit))) * JUST_ABOVE for limit in rows]
    return np.concatenate(sides) if sides else np.zeros(0)


def _count(instance: Instance, limit: limits.LinearLimit) -> int:
    return int(limit.rows(instance).max()) + 1


def choices(instance: Instance, run: Run, k: int) -> Choices:
    """Judge every placement of a task on its own.

    Raises
    ------
    InputError
        If there are more than `MOST`.
    """
    blocks, nodes = int(instance.block_count[k]), instance.server_count + 1
    allowed = np.ones((blocks, nodes), dtype=bool)
    if run.node_cost is not None:
        allowed = np.isfinite(run.node_cost[k, :blocks])
    count = float(np.prod(allowed.sum(axis=1).astype(np.float64)))
    run.keep_time()
    nodes_of = [np.flatnonzero(row).tolist() for row in allowed]
    paths = np.full((int(count) + 1, instance.max_blocks), -1)
    paths[:-1, :blocks] = np.array(list(product(*nodes_of)), dtype=np.int64).reshape(-1, blocks)
    cost = instance.tasks.given("drop_cost")
    if cost is None or not np.isfinite(cost[k]):  # the last one leaves the task out
        paths = paths[:-1]
    judged = _alone(instance, k, paths)
    fine = np.ones(len(paths), dtype=bool)
    fine[[int(violation.where["task"]) for violation in judged.violations]] = False
    value = judged.task_objective_s[fine]
    order = np.flatnonzero(fine)[np.argsort(value, kind="stable")]
    use = [
        _uses(judged, limit, _count(instance, limit))
        for limit in limits.linear(instance)
        if limit.name in limits.KNOWN
    ]
    uses = np.concatenate(use, axis=1) if use else np.zeros((len(paths), 0))
    return Choices(
        paths[order],
        judged.task_objective_s[order],
        uses[order],
        _loads(judged)[order] if limits.SHARING.on(instance) else np.zeros((len(order), 0)),
        _busy(judged)[order] if instance.rules.objective.period else np.zeros((len(order), 0)),
    )


def _alone(instance: Instance, k: int, paths: Ints) -> Evaluation:
    """Judge placements of one task, each on its own: without what joins tasks, sharing included."""
    rules = dataclasses.replace(instance.rules, couplings=frozenset())
    copies = instance.tasks.take(np.full(len(paths), k))
    alone = instance.replace(tasks=copies, rules=rules, allow=allowing.of_task(instance, k))
    return evaluate(alone, paths)


def _uses(judged: Evaluation, limit: limits.LinearLimit, rows: int) -> Floats:
    """Return what each placement uses of every row of a limit, (P, rows)."""
    row, placed = limit.rows(judged.instance), limit.placed(judged)
    use = np.zeros((len(placed), rows))
    for m in range(placed.shape[1]):
        node = judged.placement[:, m]
        at = row[np.arange(len(placed)), np.maximum(node, 0)]
        there = (node >= 0) & (at >= 0)
        np.add.at(use, (np.flatnonzero(there), at[there]), placed[there, m])
    return use


def _loads(judged: Evaluation) -> Floats:
    """Return the seconds that each placement calculates on every server, (P, N)."""
    nodes = np.arange(1, judged.instance.server_count + 1)
    on = judged.placement[:, :, None] == nodes
    loads: Floats = np.where(on, judged.work_s[:, :, None], 0.0).sum(axis=1)
    return loads


def _busy(judged: Evaluation) -> Floats:
    """Return the seconds that each placement keeps the resources of its slot busy, (P, resources)."""
    instance = judged.instance
    k, m = np.nonzero(judged.placement >= 0)
    j = judged.placement[k, m]
    i = np.where(m > 0, judged.placement[k, np.maximum(m - 1, 0)], 0)
    row, step, seconds = busy.entries(instance, judged.costs, k, m, i, j)
    count = busy.resources(instance)
    held = np.zeros((len(judged.placement), count))
    np.add.at(held, (k[step], row % count), seconds)
    return held


def _too_many(instance: Instance) -> str:
    """Say that there are too many tasks, or placements of one."""
    if instance.task_count > MOST_TASKS:
        return f"takes {MOST_TASKS} tasks at most, the instance has {instance.task_count}"
    nodes = float(instance.server_count + 1)
    free = np.full((instance.task_count, instance.max_blocks), nodes)
    if instance.barred is not None:
        free -= instance.barred.sum(axis=2)
    free[np.arange(instance.max_blocks) >= instance.block_count[:, None]] = 1.0
    with np.errstate(over="ignore"):
        count = free.prod(axis=1)
    k = int(count.argmax())
    return (
        f"takes {MOST} placements of a task at most, task {k} has {count[k]:.3g}" if count[k] > MOST else ""
    )


def _solve(instance: Instance, run: Run) -> None:
    if run.free_optimum() is not None:
        Enumeration(instance, run).work()


METHOD = Method(
    name="enumeration",
    kind="exact",
    summary="every placement that bounds do not rule out; takes whatever can be judged, while it is small",
    honours=frozenset(limits.COUPLINGS),
    solve=_solve,
    takes=ALL,
    refuses=_too_many,
)
