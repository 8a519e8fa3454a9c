"""Make an instance smaller before anything is built: arcs that no optimum can use go, weights become
excesses.

Every path of a task costs its best path's weight plus the reduced weights of its arcs, all of them >= 0. So a
model in reduced weights has the trellis relaxation as a constant, small numbers, and an arc whose
cheapest path is
above a known objective can be left out.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, slack
from mecopt.entities import Coupling
from mecopt.instance import Instance
from mecopt.trellis_arcs import Arcs, build_arcs

# A limit as the models see it: wider than the judge's by rounding, so that nothing feasible is ever cut off.
ROUNDING = 1e-12
LARGEST_EXCESS = 1e-9  # arcs this much (relative to the objective) above the best known one are kept


@dataclass(frozen=True, eq=False)
class Limits:
    """The couplings' right-hand sides, as the judge reads them and a rounding wider; inf = none."""

    energy_j: Floats  # (devices,)
    work_s: float
    memory_bytes: Floats  # (N + devices,), a holder: server n as n - 1, device d as N + d

    @classmethod
    def of(cls, instance: Instance) -> Limits:
        """Read the limits of the couplings that are on."""
        on = instance.rules.couplings
        budget = [_limit(d.energy_budget_j, Coupling.ENERGY in on) for d in instance.devices]
        held = [s.memory_bytes for s in instance.servers] + [d.memory_bytes for d in instance.devices]
        memory = [_limit(value, Coupling.MEMORY in on) for value in held]
        work = instance.slot_s if Coupling.CAPACITY in on else None
        return cls(np.array(budget), _limit(work, True), np.array(memory))


def _limit(value: float | None, on: bool) -> float:
    return float(slack(np.float64(value)) * (1.0 + ROUNDING)) if on and value is not None else np.inf


@dataclass(frozen=True, eq=False)
class Reduced:
    """An instance's trellises in reduced weights; K tasks, M blocks, J = N + 1 nodes."""

    arcs: Arcs  # weight: seconds above the task's best path, inf = cannot be in an optimum
    offset: float  # seconds, sum of the best paths: a lower bound on the optimum
    best: Floats  # (K,) seconds of every task's best path
    reasons: tuple[dict[str, Any], ...] = ()  # why some task has no path, or a budget cannot hold

    def within(self, upper: float) -> Reduced:
        """Leave out the arcs that are only on paths of an objective above `upper`."""
        room = upper - self.offset + LARGEST_EXCESS * abs(upper)
        through = _forward(self.arcs.weight)[:, :, :, None] + self.arcs.weight
        weight = np.where(through > room, np.inf, self.arcs.weight)
        return dataclasses.replace(self, arcs=_with_weight(self.arcs, weight))


def reduce(instance: Instance, costs: ChainCosts, node_cost: Floats | None = None) -> Reduced:
    """Build the trellises, without what a coupling forbids one task on its own, in reduced weights.

    Parameters
    ----------
    instance : Instance
    costs : ChainCosts
    node_cost : array of shape (tasks, blocks, nodes), optional
        As in `mecopt.trellis.shortest_paths`.
    """
    limits = Limits.of(instance)
    arcs = build_arcs(costs, node_cost=node_cost)
    weight = np.where(_too_large(instance, arcs, limits)[:, :, None, :], np.inf, arcs.weight)
    behind = np.arange(weight.shape[1]) >= arcs.blocks[:, None]
    weight[behind] = arcs.weight[behind]
    weight, reasons = _within_budget(instance, _with_weight(arcs, weight), limits)
    after = _backward(weight)
    best: Floats = after[:, 0, 0].copy()
    stuck = np.isinf(best)
    if not reasons and stuck.any():
        reasons = [_stuck(instance, int(k)) for k in np.flatnonzero(stuck)]
    with np.errstate(invalid="ignore"):
        reduced = weight + after[:, 1:, None, :] - after[:, :-1, :, None]
    weight = np.where(np.isnan(reduced) | np.isinf(reduced), np.inf, np.maximum(reduced, 0.0))
    weight = np.where(np.isinf(_forward(weight))[:, :, :, None], np.inf, weight)
    offset = float(best[~stuck].sum())
    return Reduced(_with_weight(arcs, weight), offset, best, tuple(reasons))


def held_parts(instance: Instance) -> Floats:
    """Return the bytes of every (model, block), shape (models, longest model), 0 behind the end."""
    parts = np.zeros((len(instance.models), instance.max_blocks))
    for i, model in enumerate(instance.models):
        parts[i, : len(model.blocks)] = [block.param_bytes for block in model.blocks]
    return parts


def holders(instance: Instance, tasks: Ints) -> Ints:
    """Return the holder of every node of some tasks, (K, J): the device's own first, then the servers."""
    servers = instance.server_count
    own = servers + instance.tasks.device[tasks]
    return np.concatenate([own[:, None], np.tile(np.arange(servers), (len(tasks), 1))], axis=1)


def _too_large(instance: Instance, arcs: Arcs, limits: Limits) -> NDArray[np.bool_]:
    """Nodes where a block alone breaks a limit, (K, M, J)."""
    large = np.zeros((*arcs.weight.shape[:2], arcs.weight.shape[3]), dtype=bool)
    large[:, :, 1:] = arcs.work_s > limits.work_s
    parts = held_parts(instance)[instance.tasks.model[arcs.tasks]]
    return large | (parts[:, :, None] > limits.memory_bytes[holders(instance, arcs.tasks)][:, None, :])


def _within_budget(instance: Instance, arcs: Arcs, limits: Limits) -> tuple[Floats, list[dict[str, Any]]]:
    """Forbid arcs whose least energy, with the least of all other tasks of the device, is above the
    budget.
    """
    weight = arcs.weight
    if np.isinf(limits.energy_j).all():
        return weight, []
    energy = np.where(np.isfinite(weight), arcs.energy_j, np.inf)
    after = _backward(energy)
    least = after[:, 0, 0]
    device = instance.tasks.device[arcs.tasks]
    spent = np.bincount(device, np.where(np.isinf(least), 0.0, least), len(instance.devices))
    reasons = [
        over_budget(instance, int(d), float(spent[d])) for d in np.flatnonzero(spent > limits.energy_j)
    ]
    room = (limits.energy_j - spent)[device] + least
    room = room + ROUNDING * np.where(np.isfinite(room), np.abs(spent[device]), 0.0)
    through = _forward(energy)[:, :, :, None] + energy + after[:, 1:, None, :]
    return np.where(through > room[:, None, None, None], np.inf, weight), reasons


def over_budget(instance: Instance, d: int, least: float) -> dict[str, Any]:
    """Name the least energy that a device needs, as the reason why nothing is feasible."""
    name, budget = instance.devices[d].name, instance.devices[d].energy_budget_j
    return {
        "kind": "energy",
        "where": {"device": name},
        "limit": budget,
        "value": least,
        "message": f"device {name}: the least energy its tasks can spend is {least:.6g} J, "
        f"its budget is {budget:.6g} J",
    }


def _stuck(instance: Instance, k: int) -> dict[str, Any]:
    """Say that a task which the trellis can serve has no path within the couplings' limits."""
    names = sorted(instance.rules.couplings)
    return {
        "kind": names[0] if len(names) == 1 else "couplings",
        "where": {"task": k},
        "limit": None,
        "value": None,
        "message": f"task {k}: every placement of it breaks a limit of {' or '.join(names)} even on its own",
    }


def _with_weight(arcs: Arcs, weight: Floats) -> Arcs:
    return dataclasses.replace(arcs, weight=weight)


def _backward(weight: Floats) -> Floats:
    """Return the least sum from being on node i before block m to the end, (K, M + 1, J)."""
    tasks, stages, nodes, _ = weight.shape
    after = np.zeros((tasks, stages + 1, nodes))
    for m in range(stages - 1, -1, -1):
        after[:, m] = (weight[:, m] + after[:, m + 1, None, :]).min(axis=2)
    return after


def _forward(weight: Floats) -> Floats:
    """Return the least sum from the start to being on node i before block m, (K, M, J)."""
    tasks, stages, nodes, _ = weight.shape
    before = np.full((tasks, stages, nodes), np.inf)
    before[:, 0, 0] = 0.0
    for m in range(1, stages):
        before[:, m] = (before[:, m - 1, :, None] + weight[:, m - 1]).min(axis=1)
    return before
