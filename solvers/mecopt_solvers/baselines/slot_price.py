"""`slot-price`: servers filled task by task, at prices of their seconds worked out anew from what is left.

The rule that a priced policy follows (docs/priced-policies.md), with shortest paths in place of its network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.entities import Coupling
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.registry import OF_ONE_TASK, Method
from mecopt.tolerances import JUST_BELOW, slack
from mecopt.trellis_arcs import Arcs, build_arcs, shortest
from mecopt_solvers.baselines.placing import cut_off
from mecopt_solvers.priced_bound import improve_by_prices

FIRST_STEPS, STEPS = 300, 10  # of the prices before the first task, and before others
FIRST_STEP, STEP = 1.0, 0.05  # change of a price for a server that is asked for twice what is left
SETTLED = 60  # times at most that prices are moved in a slot
RAISE = 1.1  # of what a second costs on a server on which a task does not fit
MOST_PRICE = 8.0  # of a second on a server, in seconds


class PricedSlot:
    """The tasks of one slot; M blocks, J = N + 1 nodes."""

    def __init__(self, arcs: Arcs, slot_s: float) -> None:
        self.arcs, self.slot_s = arcs, slot_s
        self.free = np.full(arcs.work_s.shape[2], float(slack(slot_s)) * JUST_BELOW)  # (N,) seconds
        self.price = np.ones_like(self.free)  # (N,) seconds for each second
        self.proved, self.best = -np.inf, self.price  # the best bound that prices of the whole slot gave

    def paths(self, rows: Ints, price: Floats, full: NDArray[np.bool_] | None = None) -> tuple[Floats, Ints]:
        """Return the shortest paths of some tasks at these prices, and their values."""
        weight = self.arcs.weight[rows]
        weight[:, :, :, 1:] += (price * self.arcs.work_s[rows])[:, :, None, :]
        if full is not None:
            weight[:, :, :, 1:][:, :, :, full] = np.inf
        return shortest(weight, self.arcs.blocks[rows])

    def used(self, rows: Ints, nodes: Ints) -> Floats:
        """Return the seconds that paths take of every server, (tasks, N)."""
        on = nodes[:, :, None] == np.arange(1, len(self.free) + 1)
        seconds: Floats = np.where(on, self.arcs.work_s[rows], 0.0).sum(axis=1)
        return seconds

    def settle(self, rows: Ints, *, first: bool) -> None:
        """Move the prices until these tasks fit what is left: subgradient steps on the Lagrangian dual.

        The best prices for all tasks are kept: the dual's value comes with every step.
        """
        steps, total = FIRST_STEPS if first else STEPS, np.zeros_like(self.price)
        for i in range(steps):
            size = FIRST_STEP / (1.0 + i / 10.0) if first else STEP
            value, nodes = self.paths(rows, self.price)
            dual = float(value.sum() - self.price @ self.free)
            if first and dual > self.proved:
                self.proved, self.best = dual, self.price
            over = self.used(rows, nodes).sum(axis=0) - self.free
            over /= np.maximum(self.free, 0.1 * self.slot_s)
            self.price = np.clip(self.price + size * np.clip(over, -1.0, 1.0), 0.0, MOST_PRICE)
            total += self.price if i >= steps // 2 else 0.0
        self.price = total / (steps - steps // 2)

    def loss(self, rows: Ints) -> Floats:
        """Return what each task loses when no server takes it, at the prices; inf where it must go to one."""
        on_device, _ = self.paths(rows, self.price, np.ones(len(self.free), dtype=np.bool_))
        lost: Floats = on_device - self.paths(rows, self.price)[0]
        return lost

    def place(self, row: int) -> Ints:
        """Choose the path of one task, at prices that rise until it fits; where none fits the cheapest."""
        rows, price, full = np.array([row]), self.price.copy(), np.zeros(len(self.free), dtype=np.bool_)
        nodes = wanted = self.paths(rows, price)[1]
        while (over := self.used(rows, nodes)[0] > self.free).any():
            full |= over & (price >= MOST_PRICE)
            price = np.where(over, np.minimum((1.0 + price) * RAISE - 1.0, MOST_PRICE), price)
            value, nodes = self.paths(rows, price, full)
            if np.isinf(value[0]):
                nodes = wanted
                break
        self.free = np.maximum(self.free - self.used(rows, nodes)[0], 0.0)
        chosen: Ints = nodes[0]
        return chosen

    def fill(self) -> Ints:
        """Place all tasks, those first that lose most on their device; returns their nodes."""
        rows = np.arange(len(self.arcs.tasks))
        self.settle(rows, first=True)
        rows = rows[np.argsort(-self.loss(rows), kind="stable")]
        nodes = np.full(self.arcs.work_s.shape[:2], -1)
        each = -(-len(rows) // SETTLED)
        for at, row in enumerate(rows.tolist()):
            if at and at % each == 0:
                self.settle(rows[at:], first=False)
            nodes[row] = self.place(row)
        return nodes


def _solve(instance: Instance, run: Run) -> None:
    paths = run.free_paths()
    if paths is None:
        return
    placement = paths.placement.copy()  # without limits the prices are 0
    if Coupling.CAPACITY not in instance.rules.couplings:
        run.found(placement)
        return
    prices = np.zeros((instance.slot_count, instance.server_count))
    for slot in np.unique(instance.tasks.slot).tolist():
        tasks = np.flatnonzero(instance.tasks.slot == slot)
        filled = PricedSlot(build_arcs(run.costs, tasks, run.node_cost), instance.slot_s)
        placement[tasks], prices[slot] = filled.fill(), filled.best
    run.found(cut_off(instance, placement))
    improve_by_prices(run, {"capacity": prices.ravel()})


METHOD = Method(
    name="slot-price",
    kind="heuristic",
    summary="full servers: task by task, at prices of a second that the tasks still to come set",
    honours=frozenset({Coupling.CAPACITY}),
    solve=_solve,
    respects=frozenset(OF_ONE_TASK),
)
