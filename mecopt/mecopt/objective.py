"""The terms that an objective is made of: what each is worth, and what it is of a placement and of a step.

The judge and the arcs of the trellis add up the terms from here. The compact kernels of the trellis know the
same two by themselves, and tests hold them to it (`mecopt.costs` lists them).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mecopt.arrays import Floats
from mecopt.costs import ChainCosts
from mecopt.entities import Deadline

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation


@dataclass(frozen=True, eq=False)
class StepFigures:
    """Figures of every step of some tasks, each (K, M, J, J), inf where a link is missing."""

    delay_s: Floats
    tau_s: Floats  # (K, M, 1, 1) deadline


class Term(ABC):
    """One term of the objective; all are at least 0."""

    name: ClassVar[str]
    unit: ClassVar[str]

    @abstractmethod
    def worth(self, costs: ChainCosts) -> float:
        """Return what a unit of it adds to the objective, 0 where the rules leave it out."""

    @abstractmethod
    def of_tasks(self, judged: Evaluation) -> Floats:
        """Return how much of it every task of a placement has, (K,)."""

    @abstractmethod
    def of_steps(self, figures: StepFigures) -> Floats:
        """Return how much of it every step has, (K, M, J, J); the return of a result is not a step."""


class Delay(Term):
    """The delay L_m of Eq. 8, the return of the result included."""

    name, unit = "delay", "s"

    def worth(self, costs: ChainCosts) -> float:
        """Every second counts."""
        return 1.0

    def of_tasks(self, judged: Evaluation) -> Floats:
        """Return seconds."""
        return judged.task_delay_s

    def of_steps(self, figures: StepFigures) -> Floats:
        """Return seconds."""
        return figures.delay_s


class DeadlineExcess(Term):
    """Seconds above the deadlines, the penalty of Eq. 14."""

    name, unit = "deadline excess", "s"

    def worth(self, costs: ChainCosts) -> float:
        """Return beta, under soft deadlines."""
        return costs.penalty

    def of_tasks(self, judged: Evaluation) -> Floats:
        """Return seconds."""
        return judged.task_excess_s

    def of_steps(self, figures: StepFigures) -> Floats:
        """Return seconds."""
        over = figures.delay_s - figures.tau_s
        return np.where(over > 0, over, 0.0)


TERMS: tuple[Term, ...] = (Delay(), DeadlineExcess())


NAMES = frozenset(term.name for term in TERMS)


def names(instance: Instance) -> frozenset[str]:
    """Return the names of the terms that count in an instance."""
    soft = instance.rules.deadline is Deadline.SOFT
    return frozenset({Delay.name, DeadlineExcess.name} if soft else {Delay.name})


def of_tasks(judged: Evaluation) -> Floats:
    """Return what every task of a placement adds to the objective, (K,)."""
    return _sum(judged.costs, lambda term: term.of_tasks(judged))


def of_steps(costs: ChainCosts, figures: StepFigures) -> Floats:
    """Return what every step adds to the objective, (K, M, J, J)."""
    return _sum(costs, lambda term: term.of_steps(figures))


def _sum(costs: ChainCosts, figures: Callable[[Term], Floats]) -> Floats:
    counting = [(term, term.worth(costs)) for term in TERMS if term.worth(costs) > 0]
    parts = (figures(term) if worth == 1.0 else worth * figures(term) for term, worth in counting)
    return reduce(np.add, parts)
