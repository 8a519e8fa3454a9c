"""The terms that an objective is made of: what each is worth, and what it is of a placement and of a step.

The judge and the arcs of the trellis add up the terms from here. The compact kernels of the trellis know
delay and its penalties by themselves, and tests hold them to it (`mecopt.costs` lists them).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.entities import DELAY, Deadline

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation


@dataclass(frozen=True, eq=False)
class StepFigures:
    """Figures of every step of some tasks, each (K, M, J, J) or what broadcasts to it."""

    delay_s: Floats  # inf where a link is missing
    tau_s: Floats  # (K, M, 1, 1) deadline
    energy_j: Floats  # of the device
    calc_s: Floats  # seconds of calculation on the node of the block


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
    def of_steps(self, costs: ChainCosts, figures: StepFigures) -> Floats:
        """Return how much of it every step has, (K, M, J, J); the return of a result is not a step."""


class Delay(Term):
    """The delay L_m of Eq. 8, the return of the result included."""

    name, unit = "delay", "s"

    def worth(self, costs: ChainCosts) -> float:
        """Every second counts as much."""
        return costs.delay_worth

    def of_tasks(self, judged: Evaluation) -> Floats:
        """Return seconds."""
        return judged.task_delay_s

    def of_steps(self, costs: ChainCosts, figures: StepFigures) -> Floats:
        """Return seconds."""
        return figures.delay_s


class DeadlineExcess(Term):
    """Seconds above the deadlines, the penalty of Eq. 14."""

    name, unit = "deadline excess", "s"

    def worth(self, costs: ChainCosts) -> float:
        """Return beta, under soft deadlines."""
        return costs.delay_worth * costs.penalty

    def of_tasks(self, judged: Evaluation) -> Floats:
        """Return seconds."""
        return judged.task_excess_s

    def of_steps(self, costs: ChainCosts, figures: StepFigures) -> Floats:
        """Return seconds above the deadlines of blocks; those of whole tasks belong to no step."""
        over = figures.delay_s - figures.tau_s
        return np.where(over > 0, over, 0.0)


class Energy(Term):
    """Joules of the devices, and of the servers' calculations where they count."""

    name, unit = "energy", "J"

    def worth(self, costs: ChainCosts) -> float:
        """Every joule counts as much."""
        return costs.energy_worth

    def of_tasks(self, judged: Evaluation) -> Floats:
        """Return joules."""
        return judged.task_energy_j + judged.task_server_energy_j

    def of_steps(self, costs: ChainCosts, figures: StepFigures) -> Floats:
        """Return joules."""
        if costs.server_w is None:
            return figures.energy_j
        watts = np.concatenate([[0.0], costs.server_w])
        return figures.energy_j + np.where(watts > 0, watts * figures.calc_s, 0.0)


TERMS: tuple[Term, ...] = (Delay(), DeadlineExcess(), Energy())


NAMES = frozenset(term.name for term in TERMS)


def names(instance: Instance) -> frozenset[str]:
    """Return the names of the terms that count in an instance."""
    rules = instance.rules
    if rules.objective.period:
        return frozenset({"period"})
    found = {Delay.name} if rules.objective.delay else set()
    found |= {DeadlineExcess.name} if rules.deadline is Deadline.SOFT else set()
    return frozenset(found | ({Energy.name} if rules.objective.energy else set()))


def unit(instance: Instance) -> str:
    """Return the unit of the objective, nothing where seconds and joules are weighed."""
    rules = instance.rules.objective
    return "s" if rules.period or rules == DELAY else "J" if (rules.delay, rules.energy) == (0, 1) else ""


def of_tasks(judged: Evaluation) -> Floats:
    """Return what every task of a placement adds to the objective, (K,); 0 where the period is minimised."""
    costs = judged.costs
    total = _sum(costs, lambda term: term.of_tasks(judged), len(costs.blocks))
    if costs.weight is not None:
        total = costs.weight * total
    if costs.drop_cost is not None:
        total = np.where(judged.dropped, costs.drop_cost, total)
    return total


def of_term(term: Term, judged: Evaluation) -> Floats:
    """Return what one term adds to the objective for every task, (K,)."""
    worth = term.worth(judged.costs)
    if worth == 0:
        return np.zeros(len(judged.placement))
    weight = judged.costs.weight
    return worth * term.of_tasks(judged) * (1.0 if weight is None else weight)


def of_steps(costs: ChainCosts, tasks: Ints, figures: StepFigures) -> Floats:
    """Return what every step of some tasks adds to the objective, (K, M, J, J); inf over a missing link."""
    total = _sum(costs, lambda term: term.of_steps(costs, figures), figures.delay_s.shape)
    if costs.weight is not None:
        total = costs.weight[tasks, None, None, None] * total
    if costs.delay_worth == 0.0:
        total = np.where(np.isinf(figures.delay_s), np.inf, total)
    return total


def of_seconds(costs: ChainCosts, tasks: Ints, seconds: Floats) -> Floats:
    """Return what seconds of delay under no deadline add to the objective of some tasks, (K, N)."""
    if costs.delay_worth == 1.0 and costs.weight is None:
        return seconds
    worth = costs.delay_worth * (np.ones(len(tasks)) if costs.weight is None else costs.weight[tasks])
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(seconds), np.inf, worth[:, None] * seconds)


def _sum(costs: ChainCosts, figures: Callable[[Term], Floats], shape: int | tuple[int, ...]) -> Floats:
    counting = [(term, term.worth(costs)) for term in TERMS if term.worth(costs) > 0]
    parts = [figures(term) if worth == 1.0 else worth * figures(term) for term, worth in counting]
    return reduce(np.add, parts) if parts else np.zeros(shape)
