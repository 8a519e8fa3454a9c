"""`stress`: how often a plan stays the best when the rates are not what was thought."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts, chain_costs
from mecopt.errors import InputError
from mecopt.features import OF_STEPS, Feature, forbidden
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.placements import placement_array, placement_lists
from mecopt.scalars import LARGEST_SEED, number, whole
from mecopt.sources import instance_of
from mecopt.trellis import shortest_paths
from mecopt.what_if.refusals import InfeasibleError, check_takes

if TYPE_CHECKING:
    import pandas as pd

TAKES = OF_STEPS | {Feature.DROP}
AT_ONCE = 50_000  # tasks of all samples that are solved at a time
MOST_ORDERS = 10  # orders that are listed
Z = 1.96  # of a 95 % interval


@dataclass(frozen=True, eq=False)
class Stress:
    """How a plan fares under sampled rates; shares are fractions of the samples, (tasks,).

    Attributes
    ----------
    plan : Evaluation
        The plan, judged at the rates of the instance.
    order_survives : array
        How often the best plan visits the same nodes in the same order, wherever it cuts the chain.
    plan_survives : array
        How often no plan is better than this one.
    breaks : array
        How often the plan breaks a deadline.
    mean_loss, worst_loss : float
        By how much the plan is above the best one, a fraction: all tasks of all samples together, and the
        worst task of any sample; samples that break it left out.
    orders : tuple of (nodes, share)
        The orders of nodes of the best plans, most frequent first, over all tasks and samples.
    """

    instance: Instance
    plan: Evaluation
    samples: int
    spread: float
    seed: int
    order_survives: Floats
    plan_survives: Floats
    breaks: Floats
    mean_loss: float
    worst_loss: float
    orders: tuple[tuple[tuple[int, ...], float], ...]

    @property
    def survives(self) -> float:
        """How often the order of nodes survives, the mean of the tasks."""
        return float(self.order_survives.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """A 95 % interval of `survives` (Wilson), as wide as if one task had been sampled."""
        n, p = self.samples, self.survives
        middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
        return max(middle - half, 0.0), min(middle + half, 1.0)

    @property
    def answer(self) -> str:
        """The answer in plain words."""
        low, high = (100 * end for end in self.interval)
        whose = "the plan's order of nodes" if len(self.order_survives) == 1 else "a task's order of nodes"
        often, mean, worst = map(_percent, (self.survives, self.mean_loss, self.worst_loss))
        text = (
            f"With rates up to {100 * self.spread:g} % off, {whose} stays the best in {often} % of the "
            f"samples ({low:.0f} to {high:.0f} %). Kept as it is, the plan costs {mean} % more than the best "
            f"on average, {worst} % at worst"
        )
        late = float(self.breaks.mean())
        return text + (f", and breaks a deadline in {_percent(late)} % of the cases." if late else ".")

    def to_frame(self) -> pd.DataFrame:
        """Return one row a task."""
        import pandas as pd

        return pd.DataFrame(
            {
                "task": np.arange(len(self.order_survives)),
                "order_survives": self.order_survives,
                "plan_survives": self.plan_survives,
                "breaks": self.breaks,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "instance": self.instance.name,
            "instance_sha256": self.instance.sha256,
            "samples": self.samples,
            "spread": self.spread,
            "seed": self.seed,
            "answer": self.answer,
            "order_survives": self.survives,
            "interval": list(self.interval),
            "plan_survives": float(self.plan_survives.mean()),
            "breaks": float(self.breaks.mean()),
            "mean_loss": self.mean_loss,
            "worst_loss": self.worst_loss,
            "orders": [{"nodes": list(nodes), "share": share} for nodes, share in self.orders],
            "tasks": [
                {"order_survives": order, "plan_survives": same, "breaks": late}
                for order, same, late in zip(
                    self.order_survives.tolist(),
                    self.plan_survives.tolist(),
                    self.breaks.tolist(),
                    strict=True,
                )
            ],
            "placement": placement_lists(self.plan.placement, self.instance),
        }

    def save_plot(self, path: str) -> None:
        """Draw the orders' shares into a file: ``.png``, ``.svg``, ``.pdf``, or ``.html`` to point at."""
        from mecopt.drawing.what_if import save_stress

        save_stress(self, path)

    def __repr__(self) -> str:
        return f"<Stress of {self.instance.name!r}: {self.answer}>"


def stress(
    instance: Instance | str | os.PathLike[str],
    placement: Sequence[Sequence[int]] | NDArray[Any] | None = None,
    *,
    spread: float = 0.2,
    samples: int = 1000,
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
    samples, seed, threads : int

    Returns
    -------
    Stress
        Every sample is solved to its optimum.

    Raises
    ------
    CouplingError, InputError
        If the instance has couplings, the objective period, or limits of whole tasks; if the placement is not
        feasible at the rates of the instance.
    MecoptError
        If nothing is feasible.

    Examples
    --------
    >>> import mecopt
    >>> 0 <= mecopt.stress("tiny_paper", samples=10).survives <= 1
    True
    """
    instance = instance_of(instance)
    check_takes("stress", instance, TAKES)
    spread = float(number("spread", spread))
    if spread >= 1:
        raise InputError(f"spread: {spread:g}, expected a fraction below 1")
    samples, seed = whole("samples", samples, 1, 10_000_000), whole("seed", seed, 0, LARGEST_SEED)
    threads = whole("threads", threads, 1)
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


def _plan(instance: Instance, placement: Any, costs: ChainCosts, node_cost: Floats | None) -> Evaluation:
    if placement is None:
        paths = shortest_paths(costs, node_cost)
        if np.isinf(paths.value).any():
            lost = int(np.flatnonzero(np.isinf(paths.value))[0])
            raise InfeasibleError(f"tasks[{lost}]: no placement is feasible (see mecopt explain)")
        return evaluate(instance, paths.placement, costs=costs)
    judged = evaluate(instance, placement_array(placement, instance), costs=costs)
    if not judged.feasible:
        raise InputError(f"placement: {judged.violations[0]}; expected one that is feasible at today's rates")
    return judged


def orders_of(placement: Ints) -> Ints:
    """Return the nodes that every row visits, each stretch once, (rows, M); -1 behind the end."""
    begins = placement >= 0
    begins[:, 1:] &= placement[:, 1:] != placement[:, :-1]
    found = np.full_like(placement, -1)
    row, column = np.nonzero(begins)
    found[row, (begins.cumsum(axis=1) - 1)[row, column]] = placement[row, column]
    return found


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
        total = sum(self._counts.values())
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple((nodes, times / total) for nodes, times in ranked[:MOST_ORDERS])


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g}"
