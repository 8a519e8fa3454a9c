"""`energy-path`: exact for energy budgets, where nothing else joins the tasks; one device after the other."""

from __future__ import annotations

import time

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.entities import Coupling
from mecopt.incumbent import Run
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.registry import Method
from mecopt.trellis_arcs import Arcs, build_arcs
from mecopt_solvers.energy.core import DeviceTasks
from mecopt_solvers.energy.price_search import Stages
from mecopt_solvers.programs.exact import take_warm_start
from mecopt_solvers.programs.presolve import most

SAFE = 1e-9  # the bound is lowered by this fraction: rounding of sums
TIGHTER = 1e-14  # a budget that rounding overstepped is taken as smaller by this fraction
ROUNDS = 20
REPORTING = 0.05  # of the time may go into judging placements


class _Budgets:
    """All devices: the placement of every task, and which budgets are still open."""

    def __init__(self, instance: Instance, run: Run, arcs: Arcs) -> None:
        self.instance, self.run, self.arcs = instance, run, arcs
        self.limit: Floats = most(limits.ENERGY, instance, np.arange(len(instance.devices)))
        everybody = np.arange(instance.task_count)
        free = Stages(arcs, everybody).paths(0.0)
        self.nodes, self.device_of = free.nodes, instance.tasks.device
        self.devices: dict[int, DeviceTasks] = {}
        self.told, self.telling_s = time.perf_counter(), 0.0
        spent = np.bincount(self.device_of, free.energy, len(self.limit))
        self.tight = np.flatnonzero(spent > self.limit)
        self.fixed = float(free.delay[~np.isin(self.device_of, self.tight)].sum())

    def tasks(self, d: int) -> Ints:
        """Tasks of a device."""
        return np.flatnonzero(self.device_of == d)

    def open(self) -> None:
        """Price every budget that the free optimum breaks; or prove that one cannot be met."""
        reasons = []
        for d in self.tight.tolist():
            stages = Stages(self.arcs, self.tasks(d))
            least = float(stages.least_energy()[0].sum())
            if least > self.limit[d]:
                reasons.append(limits.ENERGY.too_little(self.instance, d, least))
            elif not reasons:
                self.devices[d] = DeviceTasks.open(stages, float(self.limit[d]))
        if reasons:
            self.run.infeasible(reasons)
        else:
            self.report()

    def start_from(self, placement: Ints) -> None:
        """Use a placement as a start."""
        for d, device in self.devices.items():
            nodes = placement[self.tasks(d)]
            behind = nodes < 0
            nodes = np.where(behind, 0, nodes)
            for m in range(1, nodes.shape[1]):  # behind the end a path stays where it is
                nodes[:, m] = np.where(behind[:, m], nodes[:, m - 1], nodes[:, m])
            device.improve_to(nodes)

    def close(self) -> None:
        """Settle one device after the other; report now and then, and whatever ends it."""
        try:
            for device in self.devices.values():
                if self.run.is_due():
                    return
                if not device.closed:
                    device.close(self.run.is_due)
                    if time.perf_counter() - self.told > self.telling_s / REPORTING:
                        self.report()
        finally:
            self.report()

    def report(self) -> None:
        """Hand over the placement and the bound."""
        start = time.perf_counter()
        for d, device in self.devices.items():
            self.nodes[self.tasks(d)] = device.best.nodes
        placement = np.where(np.arange(self.nodes.shape[1]) < self.arcs.blocks[:, None], self.nodes, -1)
        value = self.fixed + sum(device.value for device in self.devices.values())
        self.run.found(placement, objective=value)
        bound = self.fixed + sum(device.bound for device in self.devices.values())
        self.run.improve_bound(min(bound, value) - SAFE * abs(value))
        self.told = time.perf_counter()
        self.telling_s = self.told - start

    def tighten(self) -> bool:
        """Open again the devices whose budget was overstepped by rounding; say whether there are any."""
        placement = np.where(np.arange(self.nodes.shape[1]) < self.arcs.blocks[:, None], self.nodes, -1)
        judged = evaluate(self.instance, placement, costs=self.run.costs)
        names = {v.where["device"] for v in judged.violations if v.kind == "energy"}
        for d, device in self.devices.items():
            if self.instance.devices[d].name in names:
                budget = float(device.best.energy.sum()) * (1 - TIGHTER)
                self.devices[d] = DeviceTasks.open(device.stages, budget)
        return bool(names)


def _solve(instance: Instance, run: Run) -> None:
    optimum = run.free_optimum()
    if optimum is None:
        return
    paths, _ = optimum
    arcs = build_arcs(run.costs, node_cost=run.node_cost)
    take_warm_start(run, arcs, paths.placement)
    budgets = _Budgets(instance, run, arcs)
    budgets.open()
    if run.reasons:
        return
    if run.best is not None and run.best.feasible:
        budgets.start_from(run.best.placement)
    for _ in range(ROUNDS):
        budgets.close()
        if run.is_due() or not budgets.tighten():
            return


METHOD = Method(
    name="energy-path",
    kind="exact",
    summary="a price on energy, then exact labels over the tasks still open; energy budgets only",
    honours=frozenset({Coupling.ENERGY}),
    solve=_solve,
)
