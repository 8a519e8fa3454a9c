"""`robust`: the plan whose worst case is the least when some calculations take longer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import Deadline
from mecopt.errors import InputError
from mecopt.features import OF_STEPS, Feature, forbidden
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.placements import placement_lists
from mecopt.scalars import whole
from mecopt.sources import instance_of
from mecopt.tolerances import slack
from mecopt.trellis_arcs import build_arcs, delays, starts
from mecopt.what_if.refusals import check_takes

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 256  # tasks whose steps are held at a time
TAKES = (OF_STEPS - {Feature.ENERGY_OBJECTIVE}) | {Feature.DROP, Feature.TOTAL_DEADLINE}


@dataclass(frozen=True, eq=False)
class Robust:
    """The plan of least worst case beside the plan of least objective; None where there is none.

    Attributes
    ----------
    budget : int
        How many calculations of a task may take longer.
    nominal, plan : Evaluation or None
        The plan of least objective if nothing takes longer, and that of least worst case; both judged as
        if nothing did.
    nominal_worst, worst : array of shape (tasks,)
        What each task adds to the objective in its own worst case, under each of them.
    lower_bound : float or None
        Proved: no plan has a smaller worst case.
    late : array of int
        Tasks whose nominal plan breaks a deadline in a worst case.
    unserved : array of int
        Tasks that no plan serves in every case; then there is no robust plan.
    """

    instance: Instance
    budget: int
    nominal: Evaluation | None
    nominal_worst: Floats
    plan: Evaluation | None
    worst: Floats
    lower_bound: float | None
    late: Ints
    unserved: Ints

    @property
    def status(self) -> str:
        """Return "optimal", or "infeasible"."""
        return "infeasible" if self.plan is None else "optimal"

    @property
    def placement(self) -> Ints | None:
        """Nodes of the robust plan, (tasks, longest model)."""
        return None if self.plan is None else self.plan.placement

    @property
    def objective(self) -> float | None:
        """The worst case of the robust plan, summed over the tasks."""
        return None if self.plan is None else float(self.worst.sum())

    @property
    def nominal_objective(self) -> float | None:
        """The worst case of the nominal plan, without what late tasks miss."""
        return None if self.nominal is None else float(self.nominal_worst.sum())

    @property
    def price(self) -> float | None:
        """What robustness costs when nothing takes longer: a fraction of the nominal plan's objective."""
        if self.plan is None or self.nominal is None:
            return None
        nominal, plan = self.nominal.objective, self.plan.objective
        assert nominal is not None
        assert plan is not None
        return (plan - nominal) / nominal if nominal > 0 else 0.0

    @cached_property
    def changed(self) -> NDArray[np.bool_]:
        """Which tasks the robust plan places differently, (tasks,)."""
        if self.plan is None or self.nominal is None:
            return np.zeros(self.instance.task_count, dtype=bool)
        differs: NDArray[np.bool_] = (self.plan.placement != self.nominal.placement).any(axis=1)
        return differs

    def to_frame(self) -> pd.DataFrame:
        """Return one row a task: what both plans cost it, as planned and in the worst case."""
        import pandas as pd

        def usual(judged: Evaluation | None) -> Any:
            return np.full(len(self.worst), np.nan) if judged is None else judged.task_objective_s

        late = np.zeros(len(self.worst), dtype=bool)
        late[self.late] = True
        return pd.DataFrame(
            {
                "task": np.arange(len(self.worst)),
                "nominal": usual(self.nominal),
                "nominal_worst": self.nominal_worst,
                "nominal_late": late,
                "robust": usual(self.plan),
                "robust_worst": self.worst,
                "changed": self.changed,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""

        def side(judged: Evaluation | None, worst: float | None) -> dict[str, Any] | None:
            if judged is None:
                return None
            nodes = placement_lists(judged.placement, self.instance)
            return {"objective": judged.objective, "worst_case": worst, "placement": nodes}

        return {
            "instance": self.instance.name,
            "instance_sha256": self.instance.sha256,
            "budget": self.budget,
            "status": self.status,
            "lower_bound": self.lower_bound,
            "price": self.price,
            "nominal": side(self.nominal, self.nominal_objective),
            "robust": side(self.plan, self.objective),
            "changed": int(self.changed.sum()),
            "late_tasks": self.late.tolist(),
            "unserved_tasks": self.unserved.tolist(),
        }

    def save_plot(self, path: str) -> None:
        """Draw both worst cases into a file: ``.png``, ``.svg``, ``.pdf``, or ``.html`` to point at."""
        from mecopt.drawing.what_if import save_robust

        save_robust(self, path)

    def __repr__(self) -> str:
        worth = "infeasible" if self.objective is None else f"worst case {self.objective:.6g} s"
        return f"<Robust plan of {self.instance.name!r} for {self.budget} late calculations a task: {worth}>"


def robust(instance: Instance | str | os.PathLike[str], budget: int) -> Robust:
    """Plan for calculations that take longer: at most `budget` of each task's, by their nodes' `calc_spread`.

    Parameters
    ----------
    instance : Instance, str or path
        Or what `load` takes. A calculation (one block of one task, all its passes) on a node takes up to
        1 + `calc_spread` times as long.
    budget : int
        How many of a task's calculations at most; every task has its own adversary.

    Returns
    -------
    Robust
        Proved: one shortest path for each threshold that may be the best (Bertsimas and Sim 2004). A hard
        deadline is met in every case.

    Raises
    ------
    CouplingError, InputError
        If the instance has couplings, soft deadlines, deadlines of phases, or another objective than delay.

    Examples
    --------
    >>> import mecopt
    >>> mecopt.robust("tiny_paper", 1).status
    'optimal'
    """
    instance, budget = instance_of(instance), whole("budget", budget, 0)
    check_takes("robust", instance, TAKES)
    if instance.rules.deadline is Deadline.SOFT:
        raise InputError("robust does not take soft deadlines, expected hard ones or none")
    if instance.rules.deadline is Deadline.HARD and instance.tasks.given("max_phase_delay_s") is not None:
        raise InputError("robust does not take deadlines of phases, expected one of the whole task")
    costs, node_cost = chain_costs(instance), forbidden(instance)
    parts = [
        _chunk(instance, costs, node_cost, budget, np.arange(at, min(at + CHUNK, instance.task_count)))
        for at in range(0, instance.task_count, CHUNK)
    ]
    nominal, plan, value = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    judged = None if _unserved(nominal, costs).size else evaluate(instance, nominal, costs=costs)
    nominal_worst, late = np.full(len(value), np.nan), np.zeros(0, dtype=np.int64)
    if judged is not None:
        nominal_worst, broken = _worst(judged, budget)
        late = np.flatnonzero(broken)
    unserved = _unserved(plan, costs)
    if unserved.size:
        nothing = np.where(np.isinf(value), np.nan, value)
        return Robust(instance, budget, judged, nominal_worst, None, nothing, None, late, unserved)
    found = evaluate(instance, plan, costs=costs)
    worst, _ = _worst(found, budget)
    bound = min(float(value.sum()), float(worst.sum()))
    return Robust(instance, budget, judged, nominal_worst, found, worst, bound, late, unserved)


def spreads(instance: Instance) -> Floats:
    """Return the fraction by which a task's calculations may take longer on every node, (tasks, J)."""
    own = np.array([device.calc_spread for device in instance.devices])[instance.tasks.device]
    servers = np.array([server.calc_spread for server in instance.servers])
    return np.concatenate([own[:, None], np.broadcast_to(servers, (len(own), len(servers)))], axis=1)


def _unserved(placement: Ints, costs: ChainCosts) -> Ints:
    """Return the tasks that have no path and may not be left out."""
    away = placement[:, 0] < 0
    if costs.drop_cost is not None:
        away = away & np.isinf(costs.drop_cost)
    return np.flatnonzero(away)


def _chunk(
    instance: Instance, costs: ChainCosts, node_cost: Floats | None, budget: int, tasks: Ints
) -> tuple[Ints, Ints, Floats]:
    """Return the nominal placement, the robust one, and its worst case, for some tasks."""
    from mecopt.what_if.robust_kernels import worst_first

    weight = np.ones(len(tasks)) if costs.weight is None else costs.weight[tasks]
    usual = build_arcs(costs, tasks, node_cost).weight
    more = _deviations(instance, costs, tasks)
    cost = usual
    if budget > 0 and np.isfinite(costs.limit[tasks]).any():
        # Whichever calculation takes longer, its block still has to be in time.
        late = delays(costs, tasks, result=False) + more > costs.limit[tasks][:, :, None, None]
        cost = np.where(late, np.inf, usual)
    more = weight[:, None, None, None] * more
    thresholds = np.sort(np.column_stack([np.zeros(len(tasks)), more.reshape(len(tasks), -1)]), axis=1)
    value, plan = np.empty(len(tasks)), np.empty(cost.shape[:2], dtype=np.int64)
    worst_first(costs.blocks[tasks], float(budget), cost, more, thresholds, value, plan)
    nominal_value, nominal = np.empty(len(tasks)), np.empty_like(plan)
    none = np.zeros((*plan.shape, 1, costs.send_s.shape[1] + 1))
    worst_first(costs.blocks[tasks], 0.0, usual, none, np.zeros((len(tasks), 1)), nominal_value, nominal)
    due = instance.tasks.given("max_total_delay_s")
    if due is not None and instance.rules.deadline is Deadline.HARD:
        room = slack(due[tasks]) * weight
        nominal[nominal_value > room] = -1
        nominal_value = np.where(nominal_value > room, np.inf, nominal_value)
        plan[value > room] = -1
        value = np.where(value > room, np.inf, value)
    if costs.drop_cost is not None:
        drop = costs.drop_cost[tasks]
        nominal[drop < nominal_value] = -1
        plan[drop < value] = -1
        value = np.minimum(value, drop)
    return nominal, plan, value


def _deviations(instance: Instance, costs: ChainCosts, tasks: Ints) -> Floats:
    """Seconds more that every step's calculation may take, (K, M, 1 or J, J); 0 where it cannot be at all."""
    work = costs.batch[tasks, None, None] * costs.server_s[costs.group[tasks]]
    calc = np.concatenate([costs.device_s[tasks][:, :, None], work], axis=2)[:, :, None, :]
    if costs.start_s is not None:
        calc = calc + starts(costs, tasks)
    calc = np.where(np.isinf(calc), 0.0, calc)
    calc[np.arange(calc.shape[1]) >= costs.blocks[tasks, None]] = 0.0
    return np.ascontiguousarray(spreads(instance)[tasks][:, None, None, :] * calc)


def _worst(judged: Evaluation, budget: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return what every task adds in its worst case, and whether it breaks a deadline in one, (K,)."""
    instance, costs, placement = judged.instance, judged.costs, judged.placement
    rows = np.arange(len(placement))[:, None]
    more = np.where(placement >= 0, spreads(instance)[rows, np.maximum(placement, 0)] * judged.work_s, 0.0)
    most = min(budget, more.shape[1])
    longer = np.sort(more, axis=1)[:, more.shape[1] - most :].sum(axis=1)
    weight = 1.0 if costs.weight is None else costs.weight
    broken: NDArray[np.bool_] = np.zeros(len(placement), dtype=bool)
    if instance.rules.deadline is Deadline.HARD and budget > 0:
        broken |= (judged.block_delay_s + more > costs.limit).any(axis=1)
        broken |= judged.task_delay_s + longer > slack(instance.tasks.max_total_delay_s)
    return judged.task_objective_s + weight * longer, broken
