"""The least energy that a placement can spend, and budgets between it and what the optimum spends."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from mecopt.arrays import Floats
from mecopt.costs import ChainCosts, chain_costs, steps
from mecopt.errors import InputError
from mecopt.generators.parameters import Devices
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.tolerances import slack
from mecopt.trellis import infeasible_tasks, shortest_paths

CHUNK = 4096  # tasks whose tables are held at a time, fewer where
MOST_CELLS = 4_000_000  # a table would be larger
# Fields of ChainCosts with one row a task.
PER_TASK = (
    *("blocks", "group", "batch", "bits", "result_bits"),
    *("device_s", "device_j", "send_s", "send_w", "hop_w"),
    *("tau", "limit", "back_s", "passes", "start_s", "device_w", "weight", "drop_cost"),
)


@dataclass(frozen=True, eq=False)
class StepTables:
    """What every step of the chain costs; K tasks, M blocks, J = N + 1 nodes.

    [k, m, i, j] enters block m on node j from node i; for block 0 only i = 0 is filled in. Priced by
    `mecopt.costs.steps`, so that the formulas stay in one place.
    """

    delay_s: Floats  # (K, M, J, J), inf where a link is missing
    excess_s: Floats  # (K, M, J, J) seconds above a deadline
    energy_j: Floats  # (K, M, J, J)
    allowed: Floats  # (K, M, J, J) 0, or inf where a link is missing or a hard deadline broken
    result_s: Floats  # (K, J) return of the result from the node of the last block, inf without a link


def step_tables(costs: ChainCosts) -> StepTables:
    """Price every step of the tasks; a table has tasks x blocks x nodes^2 numbers."""
    tasks, blocks = costs.device_s.shape
    nodes = costs.send_s.shape[1] + 1
    delay, excess, energy, allowed = (np.full((tasks, blocks, nodes, nodes), np.inf) for _ in range(4))
    result = np.full((tasks, nodes), np.inf)
    for i in range(nodes):
        for j in range(nodes):
            # i and j in turn: every block m > 0 is entered on j from i by one of the two orders.
            for start in (0, 1):
                row = np.where(np.arange(blocks) % 2 == start, j, i)
                placement = np.where(np.arange(blocks) < costs.blocks[:, None], row, -1)
                priced = steps(costs, placement)
                block = np.flatnonzero(row == j) if i != j else np.arange(blocks)
                block = block[block > 0] if i > 0 else block
                step = priced.trans_s + priced.calc_s
                late = (step > costs.limit) | priced.missing[:, :-1]
                delay[:, block, i, j], excess[:, block, i, j] = step[:, block], priced.excess_s[:, block]
                energy[:, block, i, j] = priced.energy_j[:, block]
                allowed[:, block, i, j] = np.where(late, np.inf, 0.0)[:, block]
                last = placement[np.arange(tasks), costs.blocks - 1]
                result[last == j, j] = priced.result_s[last == j]
    return StepTables(delay, excess, energy, allowed, result)


def least_energy_j(costs: ChainCosts) -> Floats:
    """Return the least energy that a placement of each task can spend under its links and hard deadlines.

    A shortest path by energy. It bounds from below whatever else is asked of the placement.

    Returns
    -------
    array of shape (tasks,)
        Joules; inf where no placement is allowed.
    """
    return np.concatenate([_least(part) for part in _parts(costs)])


def _least(costs: ChainCosts) -> Floats:
    tables = step_tables(costs)
    nodes = tables.result_s.shape[1]
    value = np.where(np.arange(nodes) == 0, 0.0, np.inf) + np.zeros((len(costs.blocks), 1))
    for m in range(costs.device_s.shape[1]):
        step = np.where(np.isinf(tables.allowed[:, m]), np.inf, tables.energy_j[:, m])
        ahead = (value[:, :, None] + step).min(axis=1)
        value = np.where((m < costs.blocks)[:, None], ahead, value)
    least: Floats = np.where(np.isinf(tables.result_s), np.inf, value).min(axis=1)
    return least


def _parts(costs: ChainCosts) -> Iterator[ChainCosts]:
    tasks, blocks = costs.device_s.shape
    chunk = max(1, min(CHUNK, MOST_CELLS // (blocks * (costs.send_s.shape[1] + 1) ** 2)))
    for start in range(0, tasks, chunk):
        rows = slice(start, start + chunk)
        whole = {name: getattr(costs, name) for name in PER_TASK}
        part = {name: figures[rows] for name, figures in whole.items() if figures is not None}
        yield dataclasses.replace(costs, **part)


def with_budgets(instance: Instance, wanted: Devices) -> tuple[Instance, dict[str, list[float]]]:
    """Give every device its energy budget.

    A share is one of the energy that the optimum without couplings spends, every task served, by device.

    Returns
    -------
    instance : Instance
    derived : dict
        ``energy_budget_j``, ``least_energy_j`` and ``optimum_energy_j`` of every device.

    Raises
    ------
    InputError
        If no placement can meet a budget; the text names the least possible one.
    """
    all_served = np.full(instance.task_count, np.inf)
    served = instance.replace(tasks=dataclasses.replace(instance.tasks, drop_cost=all_served))
    costs = chain_costs(served)
    paths = shortest_paths(costs, kernel="numpy")
    stuck = infeasible_tasks(served, costs, paths)
    if stuck:
        raise InputError(f"no energy budget can be set: {reason['message']}" for reason in stuck)
    device, count = instance.tasks.device, len(instance.devices)
    least = np.bincount(device, least_energy_j(costs), count)
    optimum = evaluate(served, paths.placement, costs=costs).device_energy
    share = wanted.energy_budget_share
    budget = np.full(count, wanted.energy_budget_j) if share is None else np.round(share * optimum, 6)
    problems = [
        _too_small(wanted, instance.devices[d].name, float(budget[d]), float(least[d]), float(optimum[d]))
        for d in np.flatnonzero(least > slack(budget))
    ]
    if problems:
        raise InputError(problems)
    devices = [
        dataclasses.replace(d, energy_budget_j=b)
        for d, b in zip(instance.devices, budget.tolist(), strict=True)
    ]
    derived = {"energy_budget_j": budget, "least_energy_j": least, "optimum_energy_j": optimum}
    return instance.replace(devices=tuple(devices)), {
        name: np.round(v, 6).tolist() for name, v in derived.items()
    }


def _too_small(wanted: Devices, device: str, budget: float, least: float, optimum: float) -> str:
    named = (
        f"{device}: the least any placement can spend is {_up(least, 5)} J (share {_up(least / optimum, 4)})"
    )
    if wanted.energy_budget_share is None:
        return f"energy_budget_j: {budget:.6g} J for {named}"
    return (
        f"energy_budget_share: {wanted.energy_budget_share:g} of the optimum's is {budget:.6g} J for {named}"
    )


def _up(value: float, digits: int) -> str:
    """Write a number with so many significant digits, rounded up, so that what is named can be met."""
    scale = 10.0 ** (digits - 1 - int(np.floor(np.log10(value)))) if value > 0 else 1.0
    return f"{ceil(value * scale) / scale:.{digits}g}"
