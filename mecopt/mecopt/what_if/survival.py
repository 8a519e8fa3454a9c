"""What `stress` returns: how a plan fares under sampled rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt import features
from mecopt.arrays import Floats, Ints
from mecopt.features import OF_STEPS, Feature
from mecopt.instance import Instance
from mecopt.judge import Evaluation
from mecopt.placements import placement_lists
from mecopt.tolerances import OPTIMALITY_TOLERANCE

if TYPE_CHECKING:
    import pandas as pd

BY_ITSELF = OF_STEPS | {Feature.DROP}  # each task's optimum is a shortest path
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
        By how much the plan is above the best one found, a fraction: all tasks of all samples together, and
        the worst task of any sample, or where limits join the tasks the worst sample; samples that break it
        left out.
    orders : tuple of (nodes, share)
        The orders of nodes of the best plans, most frequent first, over all tasks and samples.
    gap : float
        How far the best plans found are above the least at most, a fraction; 0 where nothing joins the tasks.
    unknown : int
        Samples for which no plan, or no bound, was found in time.
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
    gap: float = 0.0
    unknown: int = 0

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
        limit = "limit" if self.together else "deadline"
        text += f", and breaks a {limit} in {_percent(late)} % of the cases." if late else "."
        if self.gap > OPTIMALITY_TOLERANCE:
            text += f" The best is the best found, at most {_percent(self.gap)} % above the least."
        if self.unknown:
            text += f" In {self.unknown:,} samples nothing was found in time."
        return text

    @property
    def together(self) -> bool:
        """Whether each sample was solved as a whole, since something joins the tasks."""
        return joined(self.instance)

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
            "gap": self.gap,
            "unknown": self.unknown,
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


def joined(instance: Instance) -> bool:
    """Say whether something joins the tasks, or asks for more than shortest paths."""
    return bool(instance.rules.couplings or features.of(instance) - BY_ITSELF)


def orders_of(placement: Ints) -> Ints:
    """Return the nodes that every row visits, each stretch once, (rows, M); -1 behind the end."""
    begins = placement >= 0
    begins[:, 1:] &= placement[:, 1:] != placement[:, :-1]
    found = np.full_like(placement, -1)
    row, column = np.nonzero(begins)
    found[row, (begins.cumsum(axis=1) - 1)[row, column]] = placement[row, column]
    return found


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g}"
