"""The only judge: delay, energy and violations of any placement (model sections 2 to 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt import limits, objective
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, Steps, chain_costs, steps
from mecopt.entities import Coupling
from mecopt.instance import Instance
from mecopt.io import placement_array
from mecopt.tolerances import slack

OWN_UNITS = {"deadline": "s", "link": "bits"}  # of what a task breaks by itself


@dataclass(frozen=True)
class Violation:
    """A limit that a placement breaks.

    Parameters
    ----------
    kind : {"deadline", "link"} or a `mecopt.Coupling`
    where : dict
        Task and block (block = number of blocks: the return of the result), device, or slot and node (and
        device, where the node is one).
    limit, value : float
        Seconds, joules or bytes; for a missing link the 0 bits that may pass and the bits that would have to.
    """

    kind: str
    where: dict[str, int | str]
    limit: float
    value: float

    def __str__(self) -> str:
        place = ", ".join(f"{name} {value}" for name, value in self.where.items())
        unit = OWN_UNITS[self.kind] if self.kind in OWN_UNITS else limits.LIMITS[Coupling(self.kind)].unit
        return f"{self.kind} at {place}: {self.value:.6g} {unit}, allowed {self.limit:.6g} {unit}"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a placement costs and what it violates; K tasks, M blocks, times in seconds.

    A sum over a missing link is infinite and given as None.
    """

    instance: Instance
    placement: Ints  # (K, M) nodes, -1 behind the end of shorter models
    steps: Steps
    costs: ChainCosts

    @cached_property
    def block_delay_s(self) -> Floats:
        """L_m of every block (Eq. 8), (K, M), inf over a missing link."""
        return self.steps.trans_s + self.steps.calc_s

    @cached_property
    def task_delay_s(self) -> Floats:
        """Delay of every task, return of the result included, (K,)."""
        return _sum_blocks(self.block_delay_s) + self.steps.result_s

    @cached_property
    def task_excess_s(self) -> Floats:
        """Seconds above the deadlines of every task, summed over its blocks, (K,)."""
        return _sum_blocks(self.steps.excess_s)

    @cached_property
    def task_objective_s(self) -> Floats:
        """What every task adds to the objective, the penalty of soft deadlines included, (K,)."""
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
        """Every limit that is broken, in the order deadline, link, energy, capacity, memory."""
        return () if self.feasible else tuple(_violations(self))

    @cached_property
    def feasible(self) -> bool:
        """Whether no limit is broken."""
        return next(_violations(self), None) is None

    @property
    def objective(self) -> float | None:
        """What is minimised; None for a placement that violates something."""
        return float(self.task_objective_s.sum()) if self.feasible else None

    def __repr__(self) -> str:
        found = f"objective {self.objective:.6g} s" if self.feasible else f"{len(self.violations)} violations"
        return f"<Evaluation of {self.instance.name!r}: {found}>"


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
    return Evaluation(instance, nodes, steps(costs, nodes), costs)


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
    yield from _link_violations(evaluation)
    for limit in limits.of(evaluation.instance):
        for where, given, used in limit.violations(evaluation):
            yield Violation(str(limit.coupling), where, given, used)


def _deadline_violations(evaluation: Evaluation) -> Iterator[Violation]:
    instance = evaluation.instance
    if instance.rules.deadline != "hard":
        return
    delay, tau = evaluation.block_delay_s, instance.tasks.max_delay_s
    late = (evaluation.placement >= 0) & np.isfinite(delay) & (delay > slack(tau))
    for k, m in np.argwhere(late).tolist():
        yield Violation("deadline", {"task": k, "block": m}, float(tau[k, m]), float(delay[k, m]))


def _link_violations(evaluation: Evaluation) -> Iterator[Violation]:
    instance = evaluation.instance
    for k, m in np.argwhere(evaluation.steps.missing).tolist():
        model = instance.models[instance.tasks.model[k]]
        returns = m == evaluation.steps.missing.shape[1] - 1
        bits = model.output_bits if returns else model.blocks[m].input_bits
        where: dict[str, int | str] = {"task": k, "block": len(model.blocks) if returns else m}
        yield Violation("link", where, 0.0, bits * float(instance.tasks.batch[k]))
