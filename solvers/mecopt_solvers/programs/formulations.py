"""Problem P in Pyomo, two formulations: columns, what makes them one path a task, and the objective."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats
from mecopt.instance import Instance
from mecopt.trellis_arcs import Arcs

TICKS = 200  # columns or rows between two looks at the clock: some milliseconds
Term = tuple[int, int, float, Any]  # task, node, value, column


@dataclass(frozen=True, eq=False)
class Runs:
    """What rows of limits are made of, whatever the formulation."""

    there: dict[tuple[int, int, int], Any]  # (task, block, node): 1 when the block runs there
    terms: Callable[[Floats], Iterable[Term]]  # from what every step uses, (K, M, J, J), to columns


@dataclass(frozen=True, eq=False)
class Data:
    """What the rows are made of; arcs are (task, block, from, to)."""

    instance: Instance
    arcs: Arcs
    keep_time: Callable[[], None]  # raises when the time is over
    asked: Iterator[int] = field(default_factory=itertools.count)

    def tick(self, *at: Any) -> None:
        """Ask the clock, once in so many columns and rows: large models take minutes to build."""
        if next(self.asked) % TICKS == 0:
            self.keep_time()

    def timed(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Return a rule that asks the clock."""

        def call(*at: Any) -> Any:
            self.tick()
            return rule(*at)

        return call

    def steps(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield every arc that may be used."""
        real = np.arange(self.arcs.weight.shape[1]) < self.arcs.blocks[:, None]
        for k in range(len(real)):
            for m, i, j in np.argwhere(self.arcs.allowed[k] & real[k, :, None, None]).tolist():
                self.tick()
                yield k, m, i, j

    def index(self, spots: Collection[tuple[int, ...]], dimension: int) -> Any:
        """Return a Pyomo set of these, made with an eye on the clock."""
        import pyomo.environ as pyo

        def each(_: Any) -> Iterator[tuple[int, ...]]:
            for at in spots:
                self.tick()
                yield at

        return pyo.Set(initialize=each, dimen=dimension)


def add_flow(model: Any, data: Data) -> Runs:
    """One unit flows through every trellis; what enters a node with a block leaves it with the next."""
    import pyomo.environ as pyo

    steps = list(data.steps())
    model.steps = data.index(steps, 4)
    model.step = pyo.Var(model.steps, domain=pyo.Binary, initialize=data.tick)
    into: dict[tuple[int, int, int], list[Any]] = defaultdict(list)
    out: dict[tuple[int, int, int], list[Any]] = defaultdict(list)
    for k, m, i, j in steps:
        data.tick()
        into[k, m, j].append(model.step[k, m, i, j])
        out[k, m - 1, i].append(model.step[k, m, i, j])
    tasks = range(len(data.arcs.tasks))
    blocks = data.arcs.blocks.tolist()
    inner = sorted(at for at in into.keys() | out.keys() if 0 <= at[1] < blocks[at[0]] - 1)
    model.start = pyo.Constraint(tasks, rule=data.timed(lambda _, k: pyo.quicksum(out[k, -1, 0]) == 1))
    model.flow = pyo.Constraint(
        inner, rule=data.timed(lambda _, *at: pyo.quicksum(into[at]) - pyo.quicksum(out[at]) == 0)
    )
    weight = data.arcs.weight
    model.total = pyo.Objective(expr=weighted_sum(data, ((weight[at], model.step[at]) for at in steps)))
    return Runs(
        {at: pyo.quicksum(terms) for at, terms in into.items() if terms},
        lambda use: ((at[0], at[3], float(use[at]), model.step[at]) for at in steps),
    )


def add_assignment(model: Any, data: Data) -> Runs:
    """Every block on one node (C1); both >= place + place - 1 wherever a step costs more than staying."""
    import pyomo.environ as pyo

    arcs, steps = data.arcs, list(data.steps())
    spots = sorted({(k, m, j) for k, m, _, j in steps})
    model.spots = data.index(spots, 3)
    model.place = pyo.Var(model.spots, domain=pyo.Binary, initialize=data.tick)
    reached = set(spots)
    nodes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for k, m, j in spots:
        nodes[k, m].append(j)
    model.one_node = pyo.Constraint(
        sorted(nodes),
        rule=data.timed(lambda _, k, m: pyo.quicksum(model.place[k, m, j] for j in nodes[k, m]) == 1),
    )
    uses = (limit.use(arcs, data.instance) for limit in limits.linear(data.instance))
    figures = [arcs.weight, *(use for use in uses if use.ndim == 4)]
    more = [_above_least(arcs, figure)[1] for figure in figures]
    inner = [(k, m, i, j) for k, m, i, j in steps if m > 0 and (k, m - 1, i) in reached]
    pairs = [at for at in inner if max(extra[at] for extra in more) > 0]
    model.pairs = data.index(pairs, 4)
    model.both = pyo.Var(model.pairs, bounds=(0, 1), initialize=data.tick)
    model.product = pyo.Constraint(
        pairs,
        rule=data.timed(
            lambda _, k, m, i, j: (
                model.both[k, m, i, j] >= model.place[k, m - 1, i] + model.place[k, m, j] - 1
            )
        ),
    )
    usable = set(steps)
    apart = [
        (k, m, i, j) for k, m, j in spots if m > 0 for i in nodes[k, m - 1] if (k, m, i, j) not in usable
    ]
    model.no_step = pyo.Constraint(
        apart, rule=data.timed(lambda _, k, m, i, j: model.place[k, m - 1, i] + model.place[k, m, j] <= 1)
    )

    def terms(use: Floats) -> Iterator[Term]:
        least, extra = _above_least(arcs, use)
        yield from ((at[0], at[2], float(least[at]), model.place[at]) for at in spots)
        yield from ((at[0], at[3], float(extra[at]), model.both[at]) for at in pairs)

    priced = ((value, column) for _, _, value, column in terms(arcs.weight))
    model.total = pyo.Objective(expr=weighted_sum(data, priced))
    return Runs({at: model.place[at] for at in spots}, terms)


def _above_least(arcs: Arcs, use: Floats) -> tuple[Floats, Floats]:
    """Split what a step uses, (K, M, J, J), into the least into its node, (K, M, J), and what is above."""
    least: Floats = np.where(arcs.allowed, use, np.inf).min(axis=2)
    with np.errstate(invalid="ignore"):
        return least, use - least[:, :, None, :]


def weighted_sum(data: Data, terms: Iterable[tuple[float, Any]]) -> Any:
    """Return the sum of values times columns, made with an eye on the clock."""
    import pyomo.environ as pyo

    def each() -> Iterator[Any]:
        for value, column in terms:
            data.tick()
            yield float(value) * column

    return pyo.quicksum(each())
