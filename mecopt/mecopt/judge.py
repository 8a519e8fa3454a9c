"""The only judge: delay, energy and violations of any placement (model sections 2 to 4)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, Steps, chain_costs, slack, steps
from mecopt.entities import Coupling
from mecopt.instance import Instance
from mecopt.io import placement_array
from mecopt.sources import instance_of


@dataclass(frozen=True)
class Violation:
    """A limit that a placement breaks.

    Parameters
    ----------
    kind : {"deadline", "link", "energy", "capacity", "memory"}
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
        unit = {"deadline": "s", "link": "bits", "energy": "J", "capacity": "s", "memory": "bytes"}[self.kind]
        return f"{self.kind} at {place}: {self.value:.6g} {unit}, allowed {self.limit:.6g} {unit}"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a placement costs and what it violates; K tasks, M blocks, times in seconds.

    A sum over a missing link is infinite and given as None.
    """

    instance: Instance
    placement: Ints  # (K, M) nodes, -1 behind the end of shorter models
    steps: Steps

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
        rules = self.instance.rules
        beta = rules.deadline_penalty if rules.deadline == "soft" else 0.0
        return self.task_delay_s + (beta * self.task_excess_s if beta else 0.0)

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
    instance: Instance | str | os.PathLike[str],
    placement: Sequence[Sequence[int]] | NDArray[Any],
    *,
    costs: ChainCosts | None = None,
) -> Evaluation:
    """Judge a placement.

    Parameters
    ----------
    instance : Instance, str or path
        Or what `load` takes: a file, the name of a shipped instance, a generator's spec.
    placement : sequence of sequences of int, or array of shape (tasks, longest model)
        The node of every block: 0 the device, n the n-th server; -1 behind the end of shorter models.
    costs : ChainCosts, optional
        The instance's `chain_costs`, where the caller has them already.

    Raises
    ------
    PlacementError
        If the placement has the wrong shape or a node that does not exist. Violations are no error.
    """
    instance = instance_of(instance)
    nodes = placement_array(placement, instance)
    nodes.setflags(write=False)
    return Evaluation(instance, nodes, steps(costs or chain_costs(instance), nodes))


def server_load_s(evaluation: Evaluation) -> tuple[Ints, Floats]:
    """Return the slots that have tasks, and the calculation time placed on every server in each.

    Returns
    -------
    slots : array of shape (slots with tasks,)
    load : array of shape (slots with tasks, servers), seconds
    """
    instance = evaluation.instance
    slots, row = np.unique(instance.tasks.slot, return_inverse=True)
    on_server = evaluation.placement > 0
    key = row[:, None] * instance.server_count + evaluation.placement - 1
    size = len(slots) * instance.server_count
    load = _sums(key[on_server], evaluation.steps.calc_s[on_server], size)
    return slots, load.reshape(len(slots), instance.server_count)


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
    couplings = evaluation.instance.rules.couplings
    yield from _deadline_violations(evaluation)
    yield from _link_violations(evaluation)
    if Coupling.ENERGY in couplings:
        yield from _energy_violations(evaluation)
    if Coupling.CAPACITY in couplings:
        yield from _capacity_violations(evaluation)
    if Coupling.MEMORY in couplings:
        yield from _memory_violations(evaluation)


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


def _energy_violations(evaluation: Evaluation) -> Iterator[Violation]:
    instance = evaluation.instance
    # What a missing link would have cost is a violation of its own, and infinite.
    energy = np.where(np.isfinite(evaluation.task_energy_j), evaluation.task_energy_j, 0.0)
    used = _sums(instance.tasks.device, energy, len(instance.devices))
    budget = np.array([np.inf if d.energy_budget_j is None else d.energy_budget_j for d in instance.devices])
    for d in np.flatnonzero(used > slack(budget)).tolist():
        yield Violation("energy", {"device": instance.devices[d].name}, float(budget[d]), float(used[d]))


def _capacity_violations(evaluation: Evaluation) -> Iterator[Violation]:
    limit = evaluation.instance.slot_s
    slots, load = server_load_s(evaluation)
    for row, n in np.argwhere(load > slack(np.array(limit))).tolist():
        yield Violation("capacity", {"slot": int(slots[row]), "node": n + 1}, limit, float(load[row, n]))


def _memory_violations(evaluation: Evaluation) -> Iterator[Violation]:
    instance = evaluation.instance
    servers = [np.inf if s.memory_bytes is None else s.memory_bytes for s in instance.servers]
    devices = [np.inf if d.memory_bytes is None else d.memory_bytes for d in instance.devices]
    limit = np.array(servers + devices)
    holder, slot, used = held_bytes(evaluation)
    for i in np.flatnonzero(used > slack(limit[holder])).tolist():
        n = int(holder[i])
        where: dict[str, int | str] = {"slot": int(slot[i]), "node": n + 1}
        if n >= len(servers):
            where = {"slot": int(slot[i]), "node": 0, "device": instance.devices[n - len(servers)].name}
        yield Violation("memory", where, float(limit[n]), float(used[i]))


def held_bytes(evaluation: Evaluation) -> tuple[Ints, Ints, Floats]:
    """Return what every node holds in every slot: each distinct (model, block) that it runs, once.

    Returns
    -------
    holder : array of int
        Server n as n - 1; device d as number of servers + d.
    slot : array of int
    used : array of float
        Bytes; the three arrays run side by side, sorted by slot and holder.
    """
    instance, placement = evaluation.instance, evaluation.placement
    task, block = np.nonzero(placement >= 0)
    node = placement[task, block]
    holders = instance.server_count + len(instance.devices)
    holder = np.where(node > 0, node - 1, instance.server_count + instance.tasks.device[task])
    place = instance.tasks.slot[task] * holders + holder
    parts = np.array([[b.param_bytes for b in m.blocks] + [0.0] * (instance.max_blocks - len(m.blocks))
                      for m in instance.models])  # fmt: skip
    piece = instance.tasks.model[task] * instance.max_blocks + block
    held = np.unique(place * parts.size + piece)
    place, piece = np.divmod(held, parts.size)
    places, row = np.unique(place, return_inverse=True)
    used = _sums(row, parts.ravel()[piece], len(places))
    slot, holder = np.divmod(places, holders)
    return holder, slot, used
