"""The tasks of one slot under sharing, or of several that budgets join, as dense arrays.

Loads are shares of the slot, what is spent of a budget is a share of that.

What a placement costs is split in two. Its *base* is what every step costs with nobody else there, and what
loads add to it: a sum over tasks and a convex function of every server's load, which prices bound. What is
above the base is never negative: deadlines that are missed because others lengthen a calculation, and
weights of tasks above the least one. Only the search for placements counts it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.costs import NO_DEADLINE, ChainCosts
from mecopt.entities import Sharing
from mecopt.instance import Instance
from mecopt.limits.sharing import FULLEST
from mecopt.tolerances import JUST_BELOW, slack
from mecopt.trellis_arcs import Arcs, build_arcs, delays
from mecopt_solvers.decomposition.problem import Part, lay_out_memory, layers
from mecopt_solvers.programs.presolve import within_rows


@dataclass(frozen=True, eq=False)
class LoadCurve:
    """What a server's load adds to the base, see `curve_kernels`."""

    worth: float  # objective of a slot's length of delay, for the task of the least weight
    mm1: bool
    top: float  # largest load


@dataclass(frozen=True, eq=False)
class Truth:
    """What the part above the base needs; K tasks, M blocks, J nodes. Empty (0, ...) where there is none."""

    calc: Floats  # (K, M, J or 1, N) seconds by themselves
    delay: Floats  # (K, M, J, J) seconds of every step by itself
    tau: Floats  # (K, M) deadline
    limit: Floats  # (K, M) largest delay
    fine: Floats  # (K,) objective of a second above a deadline
    worth: Floats  # (K,) objective of a second of delay above that of the least weight
    row: Ints  # (K, N) row of every server's load


@dataclass(frozen=True, eq=False)
class SharedSlot:
    """A slot, or several; K tasks, M blocks, N servers, E layers of budgets: none or one."""

    part: Part  # weights of the base; rows are the loads of every slot's servers, then budgets
    curve: LoadCurve
    drop: Floats  # (K,) cost of leaving a task out, inf = never
    truth: Truth | None  # None where the base is everything
    slot_s: float  # seconds of the slot
    budgets: int  # E

    @property
    def servers(self) -> int:
        """Number of servers N."""
        return self.part.nodes - 1

    @property
    def row(self) -> Ints:
        """The rows of every task once what it uses is added up, (K, N + E)."""
        n = self.servers
        last = self.part.row.shape[1]
        return np.concatenate([self.part.row[:, :n], self.part.row[:, last - self.budgets : last]], axis=1)

    def use(self, use: Floats) -> Floats:
        """Add up what rows of uses (any, R) say of every server, and keep those of budgets, (any, N + E)."""
        n, layers = self.servers, len(self.part.spend)
        load, spent = use[:, :n], use[:, n + layers - self.budgets : n + layers]
        if layers > self.budgets:
            load = load + use[:, n : 2 * n]
        return np.concatenate([load, spent], axis=1)


def build_slot(instance: Instance, costs: ChainCosts, tasks: Ints, node_cost: Floats | None) -> SharedSlot:
    """Lay out tasks; together they must be all that touch their slots and budgets."""
    kind, slot_s = instance.rules.sharing, instance.slot_s
    weight_of = np.ones(len(tasks)) if costs.weight is None else costs.weight[tasks]
    second = costs.delay_worth * weight_of
    arcs = build_arcs(costs, tasks, node_cost)
    calc = np.where(np.isfinite(arcs.calc_s), arcs.calc_s, 0.0)
    timed = costs.delay_worth > 0 and bool((costs.tau[tasks] < NO_DEADLINE).any()) and costs.penalty > 0
    timed = timed or bool(np.isfinite(costs.limit[tasks]).any())
    weight = _lengthened(arcs, calc / slot_s, kind, second) if timed else arcs.weight
    part, budgets = _part(instance, arcs, weight, calc / slot_s)
    truth = None
    if timed or (second > second.min(initial=np.inf)).any():
        truth = Truth(
            calc=np.ascontiguousarray(calc),
            delay=np.ascontiguousarray(delays(costs, tasks, result=False)),
            tau=np.ascontiguousarray(costs.tau[tasks]),
            limit=np.ascontiguousarray(costs.limit[tasks]),
            fine=second * costs.penalty,
            worth=second - second.min(),
            row=np.ascontiguousarray(part.row[:, : instance.server_count]),
        )
    top = FULLEST if kind is Sharing.MM1 else np.inf
    if limits.CAPACITY.on(instance):
        top = min(top, float(slack(slot_s)) / slot_s)
    curve = LoadCurve(float(second.min(initial=np.inf)) * slot_s, kind is Sharing.MM1, top * JUST_BELOW)
    drop = np.full(len(tasks), np.inf) if costs.drop_cost is None else costs.drop_cost[tasks]
    return SharedSlot(part, curve, drop, truth, slot_s, budgets)


def _lengthened(arcs: Arcs, load: Floats, kind: Sharing | None, second: Floats) -> Floats:
    """Return the weights with deadlines and penalties as a step's own load lengthens it.

    What its own load adds to the delay itself is left to the curve.
    """
    costs, k = arcs.costs, arcs.tasks
    with np.errstate(divide="ignore", invalid="ignore"):
        more = 1.0 + load if kind is Sharing.AFFINE else np.where(load > FULLEST, np.inf, 1.0 / (1.0 - load))
        own = np.where(load > 0, (more - 1.0) * arcs.calc_s, 0.0)
    own = np.concatenate([np.zeros((*own.shape[:3], 1)), own], axis=3)
    alone = delays(costs, k, result=False)
    tau, limit = costs.tau[k][:, :, None, None], costs.limit[k][:, :, None, None]
    with np.errstate(invalid="ignore"):
        longer = alone + own
        fine = np.maximum(longer - tau, 0.0) - np.maximum(alone - tau, 0.0)
        fine = np.where(np.isfinite(arcs.weight), fine * (second * costs.penalty)[:, None, None, None], 0.0)
    behind = np.arange(alone.shape[1]) >= arcs.blocks[:, None]
    weight = np.where(longer > limit, np.inf, arcs.weight + (fine if costs.penalty > 0 else 0.0))
    weight[behind] = arcs.weight[behind]
    return weight


def _part(instance: Instance, arcs: Arcs, weight: Floats, load: Floats) -> tuple[Part, int]:
    """Lay out the trellises, and say how many layers are budgets: they come last.

    Where a load depends on the node before, every server has a layer of its own.
    """
    tasks = arcs.tasks
    count, stages, nodes = weight.shape[:3]
    servers = nodes - 1
    slots, slot = np.unique(instance.tasks.slot[tasks], return_inverse=True)
    row = slot[:, None] * servers + np.arange(servers)
    rows = len(slots) * servers
    work = np.zeros((count, stages, nodes))
    spend = np.zeros((0, *weight.shape))
    if load.shape[2] == 1:
        work[:, :, 1:] = load[:, :, 0]
    else:
        spend, row = np.zeros((servers, *weight.shape)), np.column_stack([row, row])
        for n in range(servers):
            spend[n, :, :, :, n + 1] = load[:, :, :, n]
    budgets = layers(limits.ENERGY, instance, arcs) if limits.ENERGY.on(instance) else ()
    found = 0
    for own, share in budgets:
        names, at = np.unique(own, return_inverse=True)
        at = np.where(own >= 0, rows + at - np.count_nonzero(names < 0), -1)
        row, rows, found = np.column_stack([row, at]), rows + np.count_nonzero(names >= 0), found + 1
        spend = np.concatenate([spend, share[None]])
    if not len(spend):
        row = np.column_stack([row, np.full(count, -1)])
    memory = next((lay_out_memory(limit, instance, tasks) for limit in limits.charged(instance)), None)
    if memory is not None:
        weight = np.where(memory.too_large()[:, :, None, :], np.inf, weight)
    if found:
        weight, _ = within_rows(limits.ENERGY, instance, replace(arcs, weight=weight))
    part = Part(
        tasks=tasks,
        slot=slot,
        kind=instance.tasks.model[tasks],
        blocks=arcs.blocks,
        weight=np.ascontiguousarray(weight),
        work=work,
        spend=spend,
        row=np.ascontiguousarray(np.where(row >= 0, row, rows)),
        rows=rows,
        memory=memory,
        slots=len(slots),
    )
    return part, found
