"""What one more unit of each shared limit would save: dual prices of the flow formulation's relaxation.

The linear relaxation lets a task be split over several placements. Its prices are exact for itself and an
estimate for placements; they are the slope for a small increase, which ends where another limit takes over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mecopt import limits
from mecopt.arrays import Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.trellis import Paths
from mecopt_solvers.explain.elastic_flow import FlowModel
from mecopt_solvers.explain.limits import ExplainedLimit, price_unit
from mecopt_solvers.explain.resolved import Answer, Clock, Solver
from mecopt_solvers.programs.linear_program import safe_bound

MOST_ARCS = 2_000_000  # columns of one part that HiGHS is asked to take
# A limit that is met exactly has one price for more and another for less. We want that for more, so the
# prices are those of limits that are a hair larger.
HAIR = 1e-6


@dataclass(frozen=True)
class LimitPrices:
    """Prices of the limits that tasks share.

    Parameters
    ----------
    limits : tuple of Limit
        Every limit that has a price, `used` left out.
    lower_bound : float or None
        Of the optimum, from the relaxation, and from the trellis where there are no prices; None where the
        relaxation has no solution.
    unpriced : tuple of int
        Tasks whose limits were left out for want of time or for their number.
    infeasible : tuple of tuple of int
        The tasks of the parts whose relaxation already has no solution.
    """

    limits: tuple[ExplainedLimit, ...]
    lower_bound: float | None
    unpriced: tuple[int, ...]
    infeasible: tuple[tuple[int, ...], ...]

    def left_out(self, instance: Instance) -> tuple[set[int], set[str]]:
        """Return slots and devices of the tasks whose limits have no prices."""
        tasks = np.array([*self.unpriced, *(k for part in self.infeasible for k in part)], dtype=np.int64)
        names = {instance.devices[d].name for d in instance.tasks.device[tasks].tolist()}
        return set(instance.tasks.slot[tasks].tolist()), names


def prices(
    instance: Instance, costs: ChainCosts, paths: Paths, clock: Clock, threads: int = 1
) -> LimitPrices:
    """Price every shared limit.

    Parameters
    ----------
    instance : Instance
    costs : ChainCosts
    paths : Paths
        The trellis optimum; where it breaks no limit, more of one saves nothing.
    clock : Clock
    threads : int
    """
    bound = 0.0
    found: list[ExplainedLimit] = []
    unpriced: list[int] = []
    broken: list[tuple[int, ...]] = []
    strained = limits.strained(evaluate(instance, paths.placement, costs=costs))
    for tasks in limits.parts(instance):
        if not strained[tasks].any():
            bound += float(paths.value[tasks].sum())
            continue
        answer, priced = _price_part(instance, costs, tasks, clock, threads)
        if answer is not None and answer.infeasible:
            broken.append(tuple(tasks.tolist()))
        elif answer is None or answer.value is None:
            unpriced += tasks.tolist()
            bound += float(paths.value[tasks].sum())
        else:
            bound += answer.value if answer.bound is None else answer.bound
            found += priced
    return LimitPrices(tuple(found), None if broken else bound, tuple(unpriced), tuple(broken))


def strained_parts(instance: Instance, costs: ChainCosts, paths: Paths) -> list[Ints]:
    """Return the sets of tasks, joined by limits, in which the trellis optimum breaks one."""
    strained = limits.strained(evaluate(instance, paths.placement, costs=costs))
    return [tasks for tasks in limits.parts(instance) if strained[tasks].any()]


def _price_part(
    instance: Instance, costs: ChainCosts, tasks: Ints, clock: Clock, threads: int
) -> tuple[Answer | None, list[ExplainedLimit]]:
    arcs = int(costs.blocks[tasks].sum()) * (instance.server_count + 1) ** 2
    if arcs > MOST_ARCS or clock.left <= 0:
        return None, []
    model = FlowModel(instance, costs, tasks)
    solver = Solver(model.program, model.program.cost, integer=False, threads=threads)
    exact = solver.solve(clock)
    if exact.value is None:
        return exact, []
    solver.highs.bound_rows(model.rows, model.upper * (1.0 + HAIR))
    answer = solver.solve(clock)
    duals = (answer if answer.optimal else exact).duals[model.rows]
    per_unit = np.maximum(-duals, 0.0) / model.scale
    per_unit = per_unit * np.array([price_unit(limit.kind)[1] for limit in model.limits])
    priced = [replace(at, price=price) for at, price in zip(model.limits, per_unit.tolist(), strict=True)]
    # What HiGHS calls the optimum is right up to its tolerances; a bound has to be one whatever they are.
    return replace(exact, bound=safe_bound(model.program, exact.duals)), priced
