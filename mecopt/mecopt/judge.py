"""The only judge: delay, energy and violations of any placement (model sections 2 to 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt import busy, limits, objective
from mecopt.arrays import Floats, Ints
from mecopt.costs import NO_DEADLINE, ChainCosts, Steps, chain_costs, steps
from mecopt.entities import Deadline
from mecopt.instance import Instance
from mecopt.limits.sharing import stretched
from mecopt.placements import placement_array
from mecopt.tolerances import slack

UNITS = {"deadline": "s", "link": "bits", **{limit.kind: limit.unit for limit in limits.LIMITS.values()}}


@dataclass(frozen=True)
class Violation:
    """A limit that a placement breaks.

    Parameters
    ----------
    kind : {"deadline", "link", "one_run", "allow"} or a `mecopt.Coupling`
    where : dict
        Task and block (block = number of blocks: the return of the result; no block: an end-to-end
        deadline, of the named phase if there is one), task and node, device, or slot and node (and device,
        where the node is one).
    limit, value : float or None
        Seconds, joules, bytes or loads; for a missing link the 0 bits that may pass and the bits that would
        have to; None where there is nothing to compare, or where it would be infinite.
    """

    kind: str
    where: dict[str, int | str]
    limit: float | None
    value: float | None

    def __str__(self) -> str:
        place = ", ".join(f"{name} {value}" for name, value in self.where.items())
        if self.limit is None:
            return f"{self.kind} at {place}"
        unit = f" {UNITS[self.kind]}".rstrip()
        value = "more than fits" if self.value is None else f"{self.value:.6g}{unit}"
        return f"{self.kind} at {place}: {value}, allowed {self.limit:.6g}{unit}"


@dataclass(frozen=True, eq=False)
class PhaseDelays:
    """The delays of one phase of a placement, all passes; 0 for tasks whose model does not have it."""

    trans_s: Floats  # (K, M)
    calc_s: Floats  # (K, M)
    result_s: Floats  # (K,)

    @cached_property
    def block_delay_s(self) -> Floats:
        """Transfer and calculation of every block, (K, M)."""
        return self.trans_s + self.calc_s

    @cached_property
    def task_delay_s(self) -> Floats:
        """Delay of every task in the phase, return of the results included, (K,)."""
        return _sum_blocks(self.block_delay_s) + self.result_s


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a placement costs and what it violates; K tasks, M blocks, times in seconds.

    A sum over a missing link is infinite and given as None.
    """

    instance: Instance
    placement: Ints  # (K, M) nodes, -1 behind the end of shorter models and where a task is left out
    steps: Steps  # calculations as long as sharing makes them
    costs: ChainCosts
    work_s: Floats  # (K, M) seconds of calculation by themselves

    @cached_property
    def block_delay_s(self) -> Floats:
        """L_m of every block (Eq. 8), (K, M), inf over a missing link."""
        return self.steps.trans_s + self.steps.calc_s

    @cached_property
    def task_delay_s(self) -> Floats:
        """Delay of every task, return of the result included, (K,)."""
        return _sum_blocks(self.block_delay_s) + self.steps.result_s

    @cached_property
    def dropped(self) -> NDArray[np.bool_]:
        """Which tasks are left out, (K,)."""
        return self.placement[:, 0] < 0

    @cached_property
    def phases(self) -> tuple[PhaseDelays, ...]:
        """Delays of every phase."""
        return tuple(_phase(self, p) for p in range(self.instance.phase_count))

    @cached_property
    def task_excess_s(self) -> Floats:
        """Seconds above the deadlines of every task, of its blocks and end to end, (K,)."""
        total = _sum_blocks(self.steps.excess_s)
        if self.instance.rules.deadline is not Deadline.NONE:
            for deadline in limits.deadlines(self.instance):
                late = (
                    self.task_delay_s if deadline.phase is None else self.phases[deadline.phase].task_delay_s
                )
                given = deadline.given(self.instance, np.arange(len(late)))
                total = total + np.maximum(late - np.minimum(given, NO_DEADLINE), 0.0)
        return total

    @cached_property
    def task_objective_s(self) -> Floats:
        """What every task adds to the objective, (K,); 0 where the period is minimised."""
        return objective.of_tasks(self)

    @cached_property
    def local_delay_s(self) -> float | None:
        """Delay of the blocks on devices; None over a missing link."""
        return _finite(_sum_where(self.block_delay_s, self.placement == 0))

    @cached_property
    def edge_delay_s(self) -> float | None:
        """Delay of the blocks on servers and of the results' return; None over a missing link."""
        on_servers = _sum_where(self.block_delay_s, self.placement > 0)
        return _finite(on_servers + self.steps.result_s.sum())

    @cached_property
    def total_delay_s(self) -> float | None:
        """Delay of all tasks; None over a missing link."""
        return _finite(self.task_delay_s.sum())

    @cached_property
    def deadline_excess_s(self) -> float | None:
        """Seconds above the deadlines, summed over all blocks; None over a missing link."""
        return _finite(self.task_excess_s.sum())

    @cached_property
    def task_energy_j(self) -> Floats:
        """Energy that every task takes from its device, (K,)."""
        return _sum_blocks(self.steps.energy_j)

    @cached_property
    def task_server_energy_j(self) -> Floats:
        """Energy of every task's calculations on servers, where the objective counts it, (K,)."""
        watts = self.costs.server_w
        if watts is None:
            return np.zeros(len(self.placement))
        power = np.concatenate([[0.0], watts])[np.maximum(self.placement, 0)]
        return _sum_blocks(np.where(power > 0, power * self.work_s, 0.0))

    @cached_property
    def periods(self) -> dict[int, tuple[float, int]]:
        """Seconds and busiest resource (`mecopt.busy`) of every slot that has tasks."""
        return busy.periods(self)

    @cached_property
    def period_s(self) -> float | None:
        """Sum of the slots' periods; None over a missing link."""
        return _finite(sum(seconds for seconds, _ in self.periods.values()))

    @cached_property
    def device_energy(self) -> Floats:
        """Energy of every device over the horizon, (devices,) joules, inf over a missing link."""
        return _sums(self.instance.tasks.device, self.task_energy_j, len(self.instance.devices))

    @property
    def device_energy_j(self) -> dict[str, float | None]:
        """Energy of every device by its name, in joules; None over a missing link."""
        used = self.device_energy.tolist()
        return {d.name: _finite(e) for d, e in zip(self.instance.devices, used, strict=True)}

    @cached_property
    def energy_j(self) -> float | None:
        """Energy of all devices together; None over a missing link."""
        return _finite(self.device_energy.sum())

    @cached_property
    def violations(self) -> tuple[Violation, ...]:
        """Every limit that is broken: deadlines, links, couplings, one_run, allow."""
        return () if self.feasible else tuple(_violations(self))

    @cached_property
    def feasible(self) -> bool:
        """Whether no limit is broken."""
        return next(_violations(self), None) is None

    @cached_property
    def objective(self) -> float | None:
        """What is minimised; None for a placement that violates something."""
        if not self.feasible:
            return None
        period = self.instance.rules.objective.period
        return self.period_s if period else float(self.task_objective_s.sum())

    @property
    def objective_terms(self) -> dict[str, float | None]:
        """What the objective is made of, weighed, so that it adds up; drop costs are penalties."""
        if self.instance.rules.objective.period:
            return {"delay": 0.0, "energy": 0.0, "period": self.period_s, "penalties": 0.0}
        terms = {term.name: _finite(objective.of_term(term, self).sum()) for term in objective.TERMS}
        left_out = self.costs.drop_cost
        dropped = 0.0 if left_out is None else float(left_out[self.dropped].sum())
        late = terms["deadline excess"]
        return {
            "delay": terms["delay"],
            "energy": terms["energy"],
            "period": 0.0,
            "penalties": None if late is None else late + dropped,
        }

    def __repr__(self) -> str:
        unit = f" {objective.unit(self.instance)}".rstrip()
        worth = f"objective {self.objective:.6g}{unit}" if self.feasible else ""
        return f"<Evaluation of {self.instance.name!r}: {worth or f'{len(self.violations)} violations'}>"


def evaluate(
    instance: Instance,
    placement: Sequence[Sequence[int]] | NDArray[Any],
    *,
    costs: ChainCosts | None = None,
) -> Evaluation:
    """Judge a placement; see `mecopt.evaluate`, which also takes what stands for an instance.

    Raises
    ------
    PlacementError
        If the placement has the wrong shape or a node that does not exist. Violations are no error.
    CouplingError
        If the instance has a coupling that is not in `mecopt.limits`.
    """
    limits.of(instance)  # refuses a coupling that nothing here judges
    nodes = placement_array(placement, instance)
    nodes.setflags(write=False)
    costs = costs or chain_costs(instance)
    found = steps(costs, nodes)
    work = found.calc_s
    if limits.SHARING.on(instance):
        calc = stretched(instance, nodes, work)
        late = np.where(nodes >= 0, np.maximum(found.trans_s + calc - costs.tau, 0.0), 0.0)
        found = replace(found, calc_s=calc, excess_s=late)
    return Evaluation(instance, nodes, found, costs, work)


def _phase(judged: Evaluation, phase: int) -> PhaseDelays:
    """Price the steps of one phase; load lengthens them as it does all passes together."""
    found = steps(chain_costs(judged.instance, phase=phase), judged.placement)
    calc, work = found.calc_s, judged.work_s
    if work is not judged.steps.calc_s:
        longer = judged.steps.calc_s / np.where(work > 0, work, 1.0)
        calc = np.where(calc > 0, calc * np.where(calc > 0, longer, 1.0), 0.0)
    return PhaseDelays(found.trans_s, calc, found.result_s)


def _sums(places: Ints, amounts: Floats, count: int) -> Floats:
    """Add the amounts up place by place."""
    return np.bincount(places, amounts, count).astype(np.float64, copy=False)


def _sum_blocks(values: Floats) -> Floats:
    """Sum over the blocks of every task, (K, M) to (K,): numpy is slow along short rows."""
    total: Floats = values[:, 0].copy()
    for column in values.T[1:]:
        total += column
    return total


def _sum_where(values: Floats, chosen: NDArray[np.bool_]) -> float:
    """Sum some of the values: a product is quicker than a choice, but an infinite value needs one."""
    with np.errstate(invalid="ignore"):
        total = float((values * chosen).sum())
    return float(np.where(chosen, values, 0.0).sum()) if np.isnan(total) else total


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _violations(evaluation: Evaluation) -> Iterator[Violation]:
    yield from _deadline_violations(evaluation)
    on = limits.of(evaluation.instance)
    yield from (v for limit in on if limit.kind == "deadline" for v in _of_limit(limit, evaluation))
    yield from _link_violations(evaluation)
    yield from (v for limit in on if limit.kind != "deadline" for v in _of_limit(limit, evaluation))
    yield from _allow_violations(evaluation)


def _of_limit(limit: limits.Limit, evaluation: Evaluation) -> Iterator[Violation]:
    for where, given, used in limit.violations(evaluation):
        yield Violation(limit.kind, where, given, used)


def _allow_violations(evaluation: Evaluation) -> Iterator[Violation]:
    barred, placement = evaluation.instance.barred, evaluation.placement
    if barred is None:
        return
    k, m = np.nonzero(placement >= 0)
    away = barred[k, m, placement[k, m]]
    for task, block in zip(k[away].tolist(), m[away].tolist(), strict=True):
        yield Violation("allow", {"task": task, "block": block}, None, None)


def _deadline_violations(evaluation: Evaluation) -> Iterator[Violation]:
    instance = evaluation.instance
    if instance.rules.deadline != "hard":
        return
    delay, tau = evaluation.block_delay_s, instance.tasks.max_delay_s
    late = (evaluation.placement >= 0) & np.isfinite(delay) & (delay > slack(tau))
    for k, m in np.argwhere(late).tolist():
        yield Violation("deadline", {"task": k, "block": m}, float(tau[k, m]), float(delay[k, m]))


def _link_violations(evaluation: Evaluation) -> Iterator[Violation]:
    instance, missing = evaluation.instance, evaluation.steps.missing
    for k, m in np.argwhere(missing).tolist() if missing.any() else ():
        model = instance.models[instance.tasks.model[k]]
        returns = m == missing.shape[1] - 1
        costs = evaluation.costs
        bits = costs.result_bits[k] if returns else costs.bits[k, m]
        where: dict[str, int | str] = {"task": k, "block": len(model.blocks) if returns else m}
        yield Violation("link", where, 0.0, float(bits))
