"""`stress`: how often a plan stays the best when the rates are not what was thought."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt import features
from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.features import forbidden
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.own import method_of
from mecopt.placements import placement_array
from mecopt.scalars import LARGEST_SEED, number, whole
from mecopt.sources import instance_of
from mecopt.trellis import shortest_paths
from mecopt.what_if.refusals import InfeasibleError, check_takes
from mecopt.what_if.survival import Stress, joined, orders_of

AT_ONCE = 50_000  # tasks of all samples that are solved at a time
MOST_ORDERS = 10  # orders that are listed
MANY, FEW = 1000, 20  # samples: of tasks by themselves, of instances that are solved one by one


def stress(
    instance: Instance | str | os.PathLike[str],
    placement: Sequence[Sequence[int]] | NDArray[Any] | None = None,
    *,
    spread: float = 0.2,
    samples: int | None = None,
    method: Any = "auto",
    time_limit_s: float = 1.0,
    seed: int = 0,
    threads: int = 1,
) -> Stress:
    """Sample the rates between devices and servers, and see how often a plan stays the best.

    Parameters
    ----------
    instance : Instance, str or path
        Or what `load` takes.
    placement : sequence of sequences of int, or array of shape (tasks, longest model), optional
        The plan; by default the optimum.
    spread : float
        Every link's rate is multiplied by a number drawn evenly from 1 - spread to 1 + spread, the same both
        ways, for each task and sample.
    samples : int, optional
        1,000 by default, 20 where something joins the tasks.
    method, time_limit_s
        As for `solve`, for each sample where something joins the tasks.
    seed, threads : int

    Returns
    -------
    Stress
        Every sample is solved to its optimum; under couplings, the objective period, ``one_run`` and
        end-to-end deadlines as far as it goes in the time given.

    Raises
    ------
    CouplingError, InputError
        If the method does not take the instance; if the placement is not feasible at the rates of the
        instance.
    MecoptError
        If nothing is feasible, or nothing was found in time.

    Examples
    --------
    >>> import mecopt
    >>> 0 <= mecopt.stress("tiny_paper", samples=10).survives <= 1
    True
    """
    instance = instance_of(instance)
    check_takes("stress", instance, features.ALL, frozenset(Coupling))
    together = joined(instance)
    spread = float(number("spread", spread))
    if spread >= 1:
        raise InputError(f"spread: {spread:g}, expected a fraction below 1")
    samples = whole("samples", (FEW if together else MANY) if samples is None else samples, 1, 10_000_000)
    seed, threads = whole("seed", seed, 0, LARGEST_SEED), whole("threads", threads, 1)
    options = {"method": method_of(method), "time_limit_s": number("time_limit_s", time_limit_s)}
    if together:
        options |= {"seed": seed, "threads": threads}
        return _jointly(instance, placement, spread, samples, options)
    costs, node_cost = chain_costs(instance), forbidden(instance)
    plan = _plan(instance, placement, costs, node_cost)
    rng = np.random.default_rng(seed)
    tally = _Tally(instance, plan.placement, node_cost, threads)
    each = max(1, AT_ONCE // instance.task_count)
    for start in range(0, samples, each):
        count = min(each, samples - start)
        tally.add(rng.uniform(1.0 - spread, 1.0 + spread, (count, *instance.tasks.rate_bps.shape)))
    return Stress(
        instance,
        plan,
        samples,
        spread,
        seed,
        tally.order / samples,
        tally.same / samples,
        tally.broken / samples,
        tally.lost / tally.least if tally.least > 0 else 0.0,
        tally.worst,
        tally.orders(),
    )


def _jointly(
    instance: Instance, placement: Any, spread: float, samples: int, options: dict[str, Any]
) -> Stress:
    """Solve each sample by itself."""
    from mecopt.what_if.joint_stress import JointTally, best_plan

    plan = best_plan(instance, options) if placement is None else _judged(instance, placement)
    tally = JointTally(plan, options)
    rng = np.random.default_rng(options["seed"])
    for _ in range(samples):
        tally.add(rng.uniform(1.0 - spread, 1.0 + spread, instance.tasks.rate_bps.shape))
    mean = tally.lost / tally.least if tally.least > 0 else 0.0
    shares = tally.order / samples, tally.same / samples, tally.broken / samples
    return Stress(
        instance, plan, samples, spread, options["seed"], *shares, mean, tally.worst, _ranked(tally.orders),
        tally.gap, tally.unknown,
    )  # fmt: skip


def _plan(instance: Instance, placement: Any, costs: ChainCosts, node_cost: Floats | None) -> Evaluation:
    if placement is None:
        paths = shortest_paths(costs, node_cost)
        if np.isinf(paths.value).any():
            lost = int(np.flatnonzero(np.isinf(paths.value))[0])
            raise InfeasibleError(f"tasks[{lost}]: no placement is feasible (see mecopt explain)")
        return evaluate(instance, paths.placement, costs=costs)
    return _judged(instance, placement)


def _judged(instance: Instance, placement: Any) -> Evaluation:
    judged = evaluate(instance, placement_array(placement, instance))
    if not judged.feasible:
        raise InputError(f"placement: {judged.violations[0]}; expected one that is feasible at today's rates")
    return judged


class _Tally:
    """What is counted over the samples."""

    def __init__(self, instance: Instance, plan: Ints, node_cost: Floats | None, threads: int) -> None:
        self.instance, self.plan, self.node_cost, self.threads = instance, plan, node_cost, threads
        self.own = orders_of(plan)
        self.order, self.same, self.broken = (np.zeros(len(plan)) for _ in range(3))
        self.lost = self.least = self.worst = 0.0
        self._counts: dict[tuple[int, ...], int] = {}

    def add(self, factors: Floats) -> None:
        """Solve some samples: factors of every rate, (samples, K, N)."""
        samples, count = factors.shape[:2]
        rows, tasks = np.tile(np.arange(count), samples), self.instance.tasks
        factor = factors.reshape(-1, factors.shape[2])
        down = tasks.down_rate_bps[rows]
        changed = dataclasses.replace(
            tasks.take(rows),
            rate_bps=tasks.rate_bps[rows] * factor,
            down_rate_bps=down * factor if down.shape[1] == factor.shape[1] else down,
        )
        instance = self.instance.replace(tasks=changed, allow=())
        costs = chain_costs(instance)
        away = None if self.node_cost is None else self.node_cost[rows]
        best = shortest_paths(costs, away, threads=self.threads)
        judged = evaluate(instance, self.plan[rows], costs=costs)
        late = (judged.block_delay_s > costs.limit).any(axis=1)
        value = judged.task_objective_s
        orders = orders_of(best.placement)
        as_good = ~late & (value <= best.value * (1 + 1e-12))
        kept = as_good | (orders == self.own[rows]).all(axis=1) & np.isfinite(best.value)
        fine = ~late & np.isfinite(value) & np.isfinite(best.value)
        loss = np.maximum(value[fine] - best.value[fine], 0.0)
        for total, these in ((self.order, kept), (self.same, as_good), (self.broken, late)):
            total += these.reshape(samples, count).sum(axis=0)
        self.lost += float(loss.sum())
        self.least += float(best.value[fine].sum())
        shares = loss / np.maximum(best.value[fine], 1e-300)
        self.worst = max(self.worst, float(shares.max(initial=0.0)))
        for nodes, times in zip(
            *(x.tolist() for x in np.unique(orders, axis=0, return_counts=True)), strict=True
        ):
            key = tuple(n for n in nodes if n >= 0)
            self._counts[key] = self._counts.get(key, 0) + times

    def orders(self) -> tuple[tuple[tuple[int, ...], float], ...]:
        """Return the most frequent orders with their shares."""
        return _ranked(self._counts)


def _ranked(counts: dict[tuple[int, ...], int]) -> tuple[tuple[tuple[int, ...], float], ...]:
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple((nodes, times / total) for nodes, times in ranked[:MOST_ORDERS])
