"""What forced choices cost: the optimum with them less the optimum without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mecopt.arrays import Floats
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.result import Result
from mecopt.stop import StopReason
from mecopt.trellis import Paths, infeasible_tasks, shortest_paths
from mecopt_solvers.explain.solved_again import Clash


@dataclass(frozen=True)
class ForcedChoice:
    """What pins and bans cost together.

    Parameters
    ----------
    pins, bans : tuple of str
    objective_s, bound_s : float or None
        Best objective with them, and a lower bound on it.
    cost_s : float or None
        Best objective with them less the best without; None where one of them is missing.
    least_s, most_s : float or None
        What the cost lies between, by the bounds.
    exact : bool
        Whether the cost is proved, up to the tolerance within which a result counts as optimal.
    task_costs : tuple of (task, cost)
        The cost task by task, where tasks do not depend on each other.
    reasons : tuple of str
        Why nothing is feasible with them.
    note : str
        Empty, or that couplings were left out.
    clash : Clash or None
        Pins, bans and other demands that cannot hold together, on instances that use the wider model.
    """

    pins: tuple[str, ...]
    bans: tuple[str, ...]
    objective_s: float | None
    bound_s: float | None
    cost_s: float | None
    least_s: float | None
    most_s: float | None
    exact: bool
    task_costs: tuple[tuple[int, float], ...] = ()
    reasons: tuple[str, ...] = ()
    note: str = ""
    clash: Clash | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        costs = [{"task": task, "cost_s": cost} for task, cost in self.task_costs]
        lists = {name: list(getattr(self, name)) for name in ("pins", "bans", "reasons")}
        cannot = None if self.clash is None else self.clash.to_dict()
        return {**vars(self), **lists, "task_costs": costs, "clash": cannot}


def forced_alone(
    instance: Instance,
    costs: ChainCosts,
    paths: Paths,
    node_cost: Floats,
    pins: tuple[str, ...],
    bans: tuple[str, ...],
    note: str = "",
) -> ForcedChoice:
    """Price pins and bans exactly, couplings ignored: only the tasks that they name change.

    Parameters
    ----------
    instance, costs, paths
        The instance and its trellis optimum.
    node_cost : array
        As from `mecopt.incumbent.forbidden`.
    pins, bans : tuple of str
    note : str
        Passed on.
    """
    tasks = np.flatnonzero(np.isinf(node_cost).any(axis=(1, 2)))
    after = shortest_paths(costs, node_cost)
    reasons = infeasible_tasks(instance, costs, after, node_cost)
    if reasons or np.isinf(paths.value).any():
        texts = tuple(str(reason["message"]) for reason in reasons)
        return ForcedChoice(pins, bans, None, None, None, None, None, bool(reasons), (), texts, note)
    extra = after.value[tasks] - paths.value[tasks]
    value, cost = float(after.value.sum()), float(extra.sum())
    by_task = tuple(zip(tasks.tolist(), extra.tolist(), strict=True))
    return ForcedChoice(pins, bans, value, value, cost, cost, cost, True, by_task, (), note)


def forced_together(
    free: Result, solve: Callable[..., Result], pins: tuple[str, ...], bans: tuple[str, ...]
) -> ForcedChoice:
    """Price pins and bans by a second solve; the bounds of both say how sure the cost is.

    Parameters
    ----------
    free : Result
        The solve without them.
    solve : callable
        Takes `pins` and `bans`.
    pins, bans : tuple of str
    """
    held = solve(pins=pins, bans=bans)
    if held.stopped_by is StopReason.INTERRUPT:
        raise KeyboardInterrupt
    reasons = tuple(str(reason.get("message", reason)) for reason in held.reasons)
    # What is feasible with them is feasible without, so it counts for both.
    best = min((r.objective for r in (free, held) if r.objective is not None), default=None)
    cost = _difference(held.objective, best)
    least = _difference(held.lower_bound, best)
    most = _difference(held.objective, free.lower_bound)
    return ForcedChoice(
        pins,
        bans,
        held.objective,
        held.lower_bound,
        cost,
        None if least is None else max(least, 0.0),  # a restriction never helps
        most,
        held.status == "infeasible" or free.status == held.status == "optimal",
        (),
        reasons,
    )


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
