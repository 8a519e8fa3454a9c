"""Problem P (Eq. 10) with its couplings as a Pyomo model, to read, to export, and to solve by HiGHS.

Two formulations. ``flow``: ``step[k, m, i, j]`` is 1 when task k enters block m on node j from node i.
``assignment``, the paper's: ``place[k, m, n]`` is 1 when block m of task k runs on node n, and the transfer
from i to j is paid by the product of two of them, ``both[k, m, i, j]``, linearised; its LP relaxation is much
weaker.
"""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt.limits import OF_ROWS, ChargedLimit, LinearLimit, SharedLimit
from mecopt.registry import Method
from mecopt.stop import COMPILER
from mecopt.trellis_arcs import Arcs
from mecopt_solvers.programs.presolve import most

if TYPE_CHECKING:
    from mecopt.incumbent import Run
    from mecopt_solvers.programs.linear_program import Program
    from mecopt_solvers.programs.presolve import Reduced

FORMULATIONS = ("flow", "assignment")
TICKS = 200  # columns or rows between two looks at the clock: some milliseconds


def build_model(
    instance: Instance,
    arcs: Arcs,
    formulation: str = "flow",
    keep_time: Callable[[], None] = lambda: None,
) -> Any:
    """Build the model.

    Parameters
    ----------
    instance : Instance
    arcs : Arcs
        Those of infinite weight are left out.
    formulation : {"flow", "assignment"}
    keep_time : callable
        Called now and then while it is built; ends that by an exception.

    Returns
    -------
    pyomo.environ.ConcreteModel
        Indices count from 0: task, block, node (0 = the device); slot, holder (server n as n - 1, device d as
        number of servers + d), model, block. ``total`` is the objective in seconds.

    Raises
    ------
    InputError
        If there is no such formulation.
    """
    if formulation not in FORMULATIONS:
        raise InputError(f"formulation: {formulation!r}, expected one of {', '.join(FORMULATIONS)}")
    with COMPILER.loading():
        import pyomo.environ as pyo

    model = pyo.ConcreteModel(name=instance.name)
    data = _Data(instance, arcs, keep_time)
    with _quiet_pyomo():
        runs = (_add_flow if formulation == "flow" else _add_assignment)(model, data)
        model.labels, model.users = {}, {}
        for linear in limits.linear(instance):
            _add_linear(model, data, runs, linear)
        for charged in limits.charged(instance):
            _add_charged(model, data, runs, charged)
    return model


@contextmanager
def _quiet_pyomo() -> Iterator[None]:
    """Keep Pyomo from printing what ends its work, such as an interrupt, on standard output."""
    logger = logging.getLogger("pyomo")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


Term = tuple[int, float, Any]  # task, value, column


@dataclass(frozen=True, eq=False)
class _Runs:
    """What rows of limits are made of, whatever the formulation."""

    there: dict[tuple[int, int, int], Any]  # (task, block, node): 1 when the block runs there
    terms: Callable[[Floats], Iterable[Term]]  # from what every step uses, (K, M, J, J), to columns


@dataclass(frozen=True, eq=False)
class _Data:
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


def _add_flow(model: Any, data: _Data) -> _Runs:
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
    model.total = pyo.Objective(expr=_linear(data, ((weight[at], model.step[at]) for at in steps)))
    return _Runs(
        {at: pyo.quicksum(terms) for at, terms in into.items() if terms},
        lambda use: ((at[0], float(use[at]), model.step[at]) for at in steps),
    )


def _add_assignment(model: Any, data: _Data) -> _Runs:
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
    figures = [arcs.weight, *(limit.use(arcs) for limit in limits.linear(data.instance) if not limit.by_node)]
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
        yield from ((at[0], float(least[at]), model.place[at]) for at in spots)
        yield from ((at[0], float(extra[at]), model.both[at]) for at in pairs)

    priced = ((value, column) for _, value, column in terms(arcs.weight))
    model.total = pyo.Objective(expr=_linear(data, priced))
    return _Runs({at: model.place[at] for at in spots}, terms)


def _above_least(arcs: Arcs, use: Floats) -> tuple[Floats, Floats]:
    """Split what a step uses, (K, M, J, J), into the least into its node, (K, M, J), and what is above."""
    least: Floats = np.where(arcs.allowed, use, np.inf).min(axis=2)
    with np.errstate(invalid="ignore"):
        return least, use - least[:, :, None, :]


def _add_linear(model: Any, data: _Data, runs: _Runs, limit: LinearLimit) -> None:
    """Uses of a row add up to at most its limit."""
    use, row = limit.use(data.arcs), limit.rows(data.instance, data.arcs.tasks)
    terms: dict[int, list[tuple[float, Any]]] = defaultdict(list)
    if limit.by_node:
        for (k, m, j), runs_there in runs.there.items():
            if row[k, j] >= 0 and use[k, m, j] > 0:
                terms[int(row[k, j])].append((float(use[k, m, j]), runs_there))
    else:
        for k, value, column in runs.terms(use):
            if row[k, 0] >= 0 and value > 0:
                terms[int(row[k, 0])].append((value, column))
    _limit_rows(model, data, limit, terms)


def _add_charged(model: Any, data: _Data, runs: _Runs, limit: ChargedLimit) -> None:
    """A row is charged once for every distinct piece: ``hold`` is at least each run of the piece."""
    import pyomo.environ as pyo

    instance, task = data.instance, data.arcs.tasks
    row, sizes = limit.rows(instance, task), limit.sizes(instance)
    kind = instance.tasks.model[task].tolist()
    bounded = np.isfinite(most(limit, instance, row))
    users: dict[tuple[int, int, int], tuple[int, ...]] = {}
    of_piece: dict[tuple[int, ...], int] = {}
    for k, m, j in runs.there:
        if bounded[k, j] and sizes[kind[k], m] > 0:
            users[k, m, j] = (*limit.index(instance, int(row[k, j])), kind[k], m)
            of_piece[users[k, m, j]] = int(row[k, j])
    pieces = sorted(of_piece)
    hold = pyo.Var(pieces, domain=pyo.Binary)
    model.add_component(limit.charge, hold)
    holds = pyo.Constraint(list(users), rule=data.timed(lambda _, *at: runs.there[at] <= hold[users[at]]))
    model.add_component(f"{limit.charge}s", holds)
    model.users[hold.name] = users
    terms: dict[int, list[tuple[float, Any]]] = defaultdict(list)
    for at in pieces:
        terms[of_piece[at]].append((float(sizes[at[-2:]]), hold[at]))
    _limit_rows(model, data, limit, terms)


def _limit_rows(
    model: Any, data: _Data, limit: SharedLimit, terms: dict[int, list[tuple[float, Any]]]
) -> None:
    """Add the rows of a limit, those without one left out, and note which they are."""
    import pyomo.environ as pyo

    rows = sorted(terms)
    given = most(limit, data.instance, np.array(rows, dtype=np.int64)).tolist()
    sides = {r: side for r, side in zip(rows, given, strict=True) if side < np.inf}
    kept = {limit.index(data.instance, r): (r, side) for r, side in sides.items()}
    constraint = pyo.Constraint(
        list(kept), rule=lambda _, *at: _linear(data, terms[kept[at][0]]) <= kept[at][1]
    )
    model.add_component(limit.component, constraint)
    model.labels[limit.component] = {at: (limit.coupling, r) for at, (r, _) in kept.items()}


def _linear(data: _Data, terms: Iterable[tuple[float, Any]]) -> Any:
    """Return the sum of values times columns, made with an eye on the clock."""
    import pyomo.environ as pyo

    def each() -> Iterator[Any]:
        for value, column in terms:
            data.tick()
            yield float(value) * column

    return pyo.quicksum(each())


def _solve(instance: Instance, run: Run) -> None:
    from mecopt_solvers.programs.branch_and_bound import branch_and_bound
    from mecopt_solvers.programs.exact import solve_exactly
    from mecopt_solvers.programs.pyomo_arrays import to_program

    formulation = run.options.get("formulation", "flow")
    if formulation not in FORMULATIONS:
        raise InputError(f"formulation: {formulation!r}, expected one of {', '.join(FORMULATIONS)}")

    def build(reduced: Reduced) -> Program:
        model = build_model(instance, reduced.arcs, formulation, run.keep_time)
        return to_program(model, reduced.arcs, run.keep_time)

    solve_exactly(
        instance,
        run,
        build,
        branch_and_bound,
    )


METHOD = Method(
    name="milp",
    kind="exact",
    summary="readable Pyomo model of all couplings, flow or the paper's assignment, solved by HiGHS",
    honours=OF_ROWS,
    solve=_solve,
    random=True,
    options=frozenset({"formulation"}),
)
