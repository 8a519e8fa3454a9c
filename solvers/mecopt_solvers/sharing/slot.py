"""The tasks of one slot under sharing, as dense arrays; loads are shares of the slot.

What a placement costs is split in two. Its *base* is what every step costs with nobody else there, and what
loads add to it: a sum over tasks and a convex function of every server's load, which prices bound. What is
above the base is never negative: deadlines that are missed because others lengthen a calculation, and
weights of tasks above the least one. Only the search for placements counts it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.costs import NO_DEADLINE, ChainCosts
from mecopt.entities import Sharing
from mecopt.instance import Instance
from mecopt.limits.sharing import FULLEST
from mecopt.tolerances import JUST_BELOW, slack
from mecopt.trellis_arcs import Arcs, build_arcs, delays
from mecopt_solvers.decomposition.problem import Part


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


@dataclass(frozen=True, eq=False)
class SharedSlot:
    """A slot; K tasks, M blocks, N servers."""

    part: Part  # weights of the base, loads as uses of N rows
    curve: LoadCurve
    drop: Floats  # (K,) cost of leaving a task out, inf = never
    truth: Truth | None  # None where the base is everything
    slot_s: float  # seconds of the slot

    @property
    def servers(self) -> int:
        """Number of servers N."""
        return self.part.nodes - 1

    def use(self, use: Floats) -> Floats:
        """Add up what rows of uses (any, R) say of every server, (any, N)."""
        n = self.servers
        if not len(self.part.spend):
            return np.ascontiguousarray(use[:, :n])
        return np.ascontiguousarray(use[:, :n] + use[:, n:])


def build_slot(instance: Instance, costs: ChainCosts, tasks: Ints, node_cost: Floats | None) -> SharedSlot:
    """Lay out all tasks of one slot."""
    kind, slot_s = instance.rules.sharing, instance.slot_s
    weight_of = np.ones(len(tasks)) if costs.weight is None else costs.weight[tasks]
    second = costs.delay_worth * weight_of
    arcs = build_arcs(costs, tasks, node_cost)
    calc = np.where(np.isfinite(arcs.calc_s), arcs.calc_s, 0.0)
    timed = costs.delay_worth > 0 and bool((costs.tau[tasks] < NO_DEADLINE).any()) and costs.penalty > 0
    timed = timed or bool(np.isfinite(costs.limit[tasks]).any())
    weight = _lengthened(arcs, calc / slot_s, kind, second) if timed else arcs.weight
    truth = None
    if timed or (second > second.min(initial=np.inf)).any():
        truth = Truth(
            calc=np.ascontiguousarray(calc),
            delay=np.ascontiguousarray(delays(costs, tasks, result=False)),
            tau=np.ascontiguousarray(costs.tau[tasks]),
            limit=np.ascontiguousarray(costs.limit[tasks]),
            fine=second * costs.penalty,
            worth=second - second.min(),
        )
    top = FULLEST if kind is Sharing.MM1 else np.inf
    if limits.CAPACITY.on(instance):
        top = min(top, float(slack(slot_s)) / slot_s)
    curve = LoadCurve(float(second.min(initial=np.inf)) * slot_s, kind is Sharing.MM1, top * JUST_BELOW)
    drop = np.full(len(tasks), np.inf) if costs.drop_cost is None else costs.drop_cost[tasks]
    part = _part(instance, tasks, arcs, weight, calc / slot_s)
    return SharedSlot(part, curve, drop, truth, slot_s)


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


def _part(instance: Instance, tasks: Ints, arcs: Arcs, weight: Floats, load: Floats) -> Part:
    """Lay out the trellises; where a load depends on the node before, every server has a layer of its own."""
    count, stages, nodes = weight.shape[:3]
    servers = nodes - 1
    row = np.broadcast_to(np.arange(servers), (count, servers))
    work = np.zeros((count, stages, nodes))
    if load.shape[2] == 1:
        work[:, :, 1:] = load[:, :, 0]
        spend, row = np.zeros((0, *weight.shape)), np.column_stack([row, np.full(count, servers)])
    else:
        spend, row = np.zeros((servers, *weight.shape)), np.column_stack([row, row])
        for n in range(servers):
            spend[n, :, :, :, n + 1] = load[:, :, :, n]
    return Part(
        tasks=np.asarray(tasks),
        slot=np.zeros(count, dtype=np.int64),
        kind=instance.tasks.model[tasks],
        blocks=arcs.blocks,
        weight=np.ascontiguousarray(weight),
        work=work,
        spend=spend,
        row=np.ascontiguousarray(row),
        rows=servers,
        memory=None,
        slots=1,
    )
