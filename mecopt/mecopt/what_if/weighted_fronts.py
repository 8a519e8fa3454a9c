"""Fronts of delay and energy where limits join the tasks: weights, each solved to a plan and a bound.

For weights a and b, a delay + b energy of every plan is at least what `mecopt.solve` proves. So each weight
gives a plan and a line below which there is none. The next weights are those of the line through two
neighbours between which least is proved (Y. Aneja and K. Nair, Management Science 25, 1979).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.entities import Objective
from mecopt.instance import Instance
from mecopt.judge import evaluate
from mecopt.what_if.refusals import InfeasibleError, NothingFoundError
from mecopt.what_if.undominated import undominated

LITTLE = 1e-4  # of the second axis: what the first one counts where the second is looked for
CLOSED = 1e-6  # gap at which neighbours are left


@dataclass(eq=False)
class WeightedPlans:
    """Plans by delay and energy, and lines below which there is none.

    Parameters
    ----------
    instance : Instance
    options : dict
        Of `mecopt.solve`, for each weight.
    """

    instance: Instance
    options: dict[str, Any]
    figures: list[tuple[float, float]] = field(default_factory=list)
    placements: list[Ints] = field(default_factory=list)
    lines: list[tuple[float, float, float]] = field(default_factory=list)  # a delay + b energy >= c

    def weigh(self, delay: float, energy: float) -> None:
        """Solve for one weight of each.

        Raises
        ------
        InfeasibleError
            If nothing is feasible.
        """
        from mecopt.solving import solve

        of = self.instance.rules.objective.of
        rules = replace(self.instance.rules, objective=Objective(delay, energy, of))
        start = None
        if self.figures:
            start = self.placements[int((np.array(self.figures) @ [delay, energy]).argmin())]
        result = solve(self.instance.replace(rules=rules), warm_start=start, **self.options)
        if result.stopped_by == "interrupt":
            raise KeyboardInterrupt
        if result.status == "infeasible":
            raise InfeasibleError("no placement is feasible (see mecopt explain)")
        if result.lower_bound is not None:
            self.lines.append((delay, energy, result.lower_bound))
        if result.evaluation is not None and result.evaluation.feasible:
            self._keep(result.evaluation.placement)

    def _keep(self, placement: Ints) -> None:
        of = self.instance.rules.objective.of
        rules = replace(self.instance.rules, objective=Objective(1.0, 1.0, of))
        terms = evaluate(self.instance.replace(rules=rules), placement).objective_terms
        self.figures.append(
            (float(terms["delay"] or 0.0) + float(terms["penalties"] or 0.0), float(terms["energy"] or 0.0))
        )
        self.placements.append(placement)

    def front(self) -> tuple[Floats, list[Ints], Floats]:
        """Return the plans that no other one found beats, by the first axis, and their gaps."""
        figures = np.array(self.figures)
        kept = undominated(np.zeros(len(figures), dtype=np.int64), figures)
        points = figures[kept]
        delay, energy = points.T
        room = np.concatenate([[np.inf], energy[:-1]])  # just within it only the next one is listed
        a, b, c = np.array(self.lines).reshape(-1, 3).T
        with np.errstate(invalid="ignore"):
            least = ((c - np.where(b > 0, b * room[:, None], 0.0)) / a).max(axis=1, initial=0.0)
        gaps: Floats = np.maximum(delay - least, 0.0) / np.maximum(least, 1e-300)
        return points, [self.placements[at] for at in kept], gaps


def weighted_plans(instance: Instance, points: int, options: dict[str, Any]) -> WeightedPlans:
    """Solve for so many weights: the ends, then where the gap is largest.

    Raises
    ------
    InfeasibleError
        If nothing is feasible.
    NothingFoundError
        If no feasible plan was found.
    """
    found = WeightedPlans(instance, options)
    found.weigh(1.0, 0.0)
    if not found.figures:
        raise NothingFoundError("no feasible placement was found in time, more --time-limit may help")
    delay, energy = found.figures[0]
    found.weigh(LITTLE * (energy / delay if delay > 0 and energy > 0 else 1.0), 1.0)
    tried: set[tuple[float, ...]] = set()
    for _ in range(points - 2):
        figures, _, gaps = found.front()
        pairs = np.concatenate([figures[:-1], figures[1:]], axis=1).tolist()
        left = [p for p, pair in enumerate(pairs) if gaps[p + 1] > CLOSED and tuple(pair) not in tried]
        if not left:
            break
        quick, dear, slow, cheap = pair = pairs[max(left, key=lambda p: float(gaps[p + 1]))]
        tried.add(tuple(pair))
        found.weigh(1.0, float((slow - quick) / (dear - cheap)))
    return found
