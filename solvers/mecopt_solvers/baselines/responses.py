"""Best responses under sharing: task after task takes its best placement, given the loads of the others.

A load lengthens what a server calculates, and one's own calculations are part of the load. A shortest path
through steps stretched by the loads of the others, and by the step itself, costs at most what the task can
reach, and is exact where no server runs two of its blocks. Elsewhere this is a heuristic: paths are sought
again with what the last one puts on each server, and then compared by what they really cost.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from mecopt import limits, objective
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, steps
from mecopt.entities import Sharing
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.limits.sharing import FULLEST
from mecopt.objective import StepFigures
from mecopt.trellis_arcs import Arcs, build_arcs, shortest

TRIES = 4  # paths sought for one response, each with the own load of the one before
LEAST_GAIN = 1e-9  # fraction that a move must save

BY_TASK = (
    *("blocks", "group", "batch", "device_s", "device_j", "bits", "result_bits", "send_s", "back_s"),
    *("send_w", "hop_w", "tau", "limit", "passes", "start_s", "device_w", "weight", "drop_cost"),
)

Worth = tuple[int, float]  # limits that are broken, then objective: what is compared


def stretch(kind: Sharing, load: Floats) -> Floats:
    """Return by what a load lengthens calculations; above the largest load the curve goes on as a tangent."""
    if kind is Sharing.AFFINE:
        return 1.0 + load
    within = np.minimum(load, FULLEST)
    return 1.0 / (1.0 - within) + (load - within) / (1.0 - FULLEST) ** 2


def of_tasks(costs: ChainCosts, tasks: Ints) -> ChainCosts:
    """Return the figures of some tasks alone."""
    rows = {name: getattr(costs, name) for name in BY_TASK}
    return dataclasses.replace(costs, **{name: a[tasks] for name, a in rows.items() if a is not None})


class ResponseSlot:
    """The tasks of one slot and where they are; K tasks, M blocks, J nodes, N servers."""

    def __init__(self, instance: Instance, run: Run, tasks: Ints, *, social: bool) -> None:
        assert instance.rules.sharing is not None
        self.kind, self.slot_s, self.social = instance.rules.sharing, instance.slot_s, social
        self.costs = of_tasks(run.costs, tasks)
        self.node_cost = None if run.node_cost is None else run.node_cost[tasks]
        arcs = build_arcs(self.costs, node_cost=self.node_cost)
        self.calc = np.where(np.isfinite(arcs.calc_s), arcs.calc_s, 0.0)  # (K, M, J or 1, N) seconds
        self.most = float(limits.SHARING.given(instance, np.zeros(1, dtype=np.int64))[0]) * self.slot_s
        count, stages = self.calc.shape[:2]
        weight = np.ones(count) if self.costs.weight is None else self.costs.weight
        self.worth = self.costs.delay_worth * weight  # (K,) of a second
        self.drop_cost = np.full(count, np.inf) if self.costs.drop_cost is None else self.costs.drop_cost
        self.path = np.full((count, stages), -1)
        self.trans_s, self.calc_s = np.zeros((count, stages)), np.zeros((count, stages))
        self.work = np.zeros((count, instance.server_count))  # seconds on every server
        self.load = np.zeros(instance.server_count)  # their sum

    def respond(self, k: int) -> bool:
        """Move a task to the best placement found, if that is better than where it is; say whether it is."""
        others = self.load - self.work[k]
        placed = self.path[k, 0] >= 0 or np.isfinite(self.drop_cost[k])
        best, least = None, self.value(k, self.path[k], others) if placed else None
        for path in self.candidates(k, others):
            value = self.value(k, path, others)
            if least is None or _less(value, least):
                best, least = path, value
        if best is None:
            return False
        self._move(k, best)
        return True

    def candidates(self, k: int, others: Floats) -> list[Ints]:
        """Return placements of a task that may be its best, being left out among them where it may."""
        out = np.full(self.path.shape[1], -1)
        found, own = [out] if np.isfinite(self.drop_cost[k]) else [], np.zeros_like(others)
        for _ in range(TRIES):
            path = self.oracle(k, others, own)
            if any((path == known).all() for known in found):
                break
            found.append(path)
            own = self.seconds(k, path)
        return found

    def oracle(self, k: int, others: Floats, own: Floats) -> Ints:
        """Return the shortest path of a task that has so many seconds of its own on each server.

        A step counts at least itself. Where no path keeps to its deadlines, they are left out.
        """
        calc = self.calc[k]
        held = np.maximum(own, calc)
        factor = self._stretch(others + held)
        price = np.zeros_like(factor)  # what the step costs the others: its share of what all own seconds do
        if self.social:
            theirs = self.worth @ self.work - self.worth[k] * self.work[k]
            price = theirs * (factor - self._stretch(others)) * calc / np.where(held > 0, held, 1.0)
        for costs in (self.costs, _without_deadlines(self.costs)):
            arcs = self._arcs(k, factor, costs)
            arcs.weight[..., 1:] += price
            value, path = shortest(arcs.weight, arcs.blocks)
            if np.isfinite(value[0]):
                break
        found: Ints = path[0]
        return found

    def seconds(self, k: int, path: Ints) -> Floats:
        """Return the seconds that a path takes of every server, (N,)."""
        taken, before = np.zeros_like(self.load), 0
        for m, node in enumerate(path[path >= 0].tolist()):
            if node > 0:
                taken[node - 1] += self.calc[k, m, min(before, self.calc.shape[2] - 1), node - 1]
            before = node
        return taken

    def value(self, k: int, path: Ints, others: Floats) -> Worth:
        """Return what a placement of a task costs: the task itself, or all tasks of the slot."""
        own = self.seconds(k, path)
        total = others + own
        late, cost = self._of_one(k, path, total)
        over = total > self.most
        if not self.social:
            return late + int(over[own > 0].sum()), cost
        late_others, cost_others = self._of_others(k, total)
        return late + late_others + int(over.sum()), cost + cost_others

    def _of_one(self, k: int, path: Ints, total: Floats) -> Worth:
        """Return what a task costs when servers calculate for so many seconds, and its late blocks."""
        if path[0] < 0:
            return 0, float(self.drop_cost[k])
        weight = self._arcs(k, self._stretch(total), self.costs).weight[0]
        nodes = path[path >= 0]
        steps_of = weight[np.arange(len(nodes)), np.concatenate([[0], nodes[:-1]]), nodes]
        late = np.isinf(steps_of)
        return int(late.sum()), float(steps_of[~late].sum())

    def _of_others(self, k: int, total: Floats) -> Worth:
        """Return what the delays of all other tasks cost, and their late blocks."""
        factor = np.concatenate([[1.0], self._stretch(total)])
        there = self.path >= 0
        there[k] = False
        calc = np.where(self.calc_s > 0, self.calc_s * factor[np.maximum(self.path, 0)], 0.0)
        delay = np.where(there, self.trans_s + calc, 0.0)
        nothing = np.zeros((*delay.shape, 1, 1))
        figures = StepFigures(delay[:, :, None, None], self.costs.tau[:, :, None, None], nothing, nothing)
        cost = objective.of_steps(self.costs, np.arange(len(delay)), figures)
        return int((there & (delay > self.costs.limit)).sum()), float(cost.sum())

    def _move(self, k: int, path: Ints) -> None:
        """Place a task, and count its loads."""
        work = self.seconds(k, path)
        self.load = np.maximum(self.load - self.work[k] + work, 0.0)
        self.path[k], self.work[k] = path, work
        found, there = steps(self.costs, self.path), self.path >= 0
        self.trans_s = np.where(there, np.where(np.isfinite(found.trans_s), found.trans_s, 0.0), 0.0)
        self.calc_s = np.where(there, found.calc_s, 0.0)

    def _stretch(self, seconds: Floats) -> Floats:
        """Return the stretch of servers that calculate for so many seconds."""
        return stretch(self.kind, seconds / self.slot_s)

    def _arcs(self, k: int, factor: Floats, costs: ChainCosts) -> Arcs:
        """Return the arcs of one task, its calculations on servers so many times as long."""
        return build_arcs(costs, np.array([k]), self.node_cost, factor)


def _less(value: Worth, than: Worth) -> bool:
    """Say whether a placement is better by more than rounding."""
    fewer, same = value[0] < than[0], value[0] == than[0]
    return fewer or (same and value[1] < than[1] - LEAST_GAIN * abs(than[1]))


def _without_deadlines(costs: ChainCosts) -> ChainCosts:
    return dataclasses.replace(costs, limit=np.full_like(costs.limit, np.inf))
