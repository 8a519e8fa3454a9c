"""Problem P (Eq. 10) with its couplings as a Pyomo model, to read, to export, and to solve by HiGHS.

Two formulations. ``flow``: ``step[k, m, i, j]`` is 1 when task k enters block m on node j from node i.
``assignment``, the paper's: ``place[k, m, n]`` is 1 when block m of task k runs on node n, and the
transfer from i to
j is paid by the product of two of them, ``both[k, m, i, j]``, linearised; its LP relaxation is much weaker.
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

from mecopt.entities import Coupling
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt.registry import Method
from mecopt.stop import COMPILER
from mecopt.trellis_arcs import Arcs
from mecopt_solvers.programs.presolve import Limits, held_parts, holders

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
        Indices count from 0: task, block, node (0 = the device); slot, holder (server n as n - 1, device
        d as number
        of servers + d), model, block. ``total`` is the objective in seconds.
    """
    if formulation not in FORMULATIONS:
        raise InputError(f"formulation: {formulation!r}, expected one of {', '.join(FORMULATIONS)}")
    with COMPILER.loading():
        import pyomo.environ as pyo

    model = pyo.ConcreteModel(name=instance.name)
    data = _Data(instance, arcs, Limits.of(instance), keep_time)
    with _quiet_pyomo():
        runs = (_add_flow if formulation == "flow" else _add_assignment)(model, data)
        _add_energy(model, data)
        _add_capacity(model, data, runs)
        _add_memory(model, data, runs)
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


Runs = dict[tuple[int, int, int], Any]  # (task, block, node): 1 when the block runs there


@dataclass(frozen=True, eq=False)
class _Data:
    """What the rows are made of; arcs are (task, block, from, to)."""

    instance: Instance
    arcs: Arcs
    limits: Limits
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


def _add_flow(model: Any, data: _Data) -> Runs:
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
    weight, energy = data.arcs.weight, data.arcs.energy_j
    model.total = pyo.Objective(expr=_linear(data, ((weight[at], model.step[at]) for at in steps)))
    model.spent = {at: (energy[at], model.step[at]) for at in steps}
    return {at: pyo.quicksum(terms) for at, terms in into.items() if terms}


def _add_assignment(model: Any, data: _Data) -> Runs:
    """Every block on one node (C1); both >= place + place - 1 wherever a step costs more than staying."""
    import pyomo.environ as pyo

    arcs, steps = data.arcs, list(data.steps())
    least = {
        name: np.where(arcs.allowed, getattr(arcs, name), np.inf).min(axis=2)
        for name in ("weight", "energy_j")
    }
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
    more = {
        (k, m, i, j): (arcs.weight[k, m, i, j] - least["weight"][k, m, j],
                       arcs.energy_j[k, m, i, j] - least["energy_j"][k, m, j])
        for k, m, i, j in steps
        if m > 0 and (k, m - 1, i) in reached
    }  # fmt: skip
    pairs = [at for at, extra in more.items() if max(extra) > 0]
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
    terms = [(least["weight"][at], model.place[at]) for at in spots]
    terms += [(more[at][0], model.both[at]) for at in pairs]
    model.total = pyo.Objective(expr=_linear(data, terms))
    model.spent = {at: (least["energy_j"][at], model.place[at]) for at in spots}
    model.spent |= {at: (more[at][1], model.both[at]) for at in pairs}
    return {at: model.place[at] for at in spots}


def _add_energy(model: Any, data: _Data) -> None:
    """Every device spends at most its budget over the horizon (Eq. 11)."""
    limit, device = data.limits.energy_j, data.instance.tasks.device[data.arcs.tasks]
    spent: dict[int, list[tuple[float, Any]]] = defaultdict(list)
    for (k, *_), (joules, column) in model.spent.items():
        if np.isfinite(limit[device[k]]) and joules > 0:
            spent[int(device[k])].append((float(joules), column))
    _limit_rows(model, data, "energy_budget", {(d,): terms for d, terms in spent.items()}, lambda d: limit[d])


def _add_capacity(model: Any, data: _Data, runs: Runs) -> None:
    """In every slot, the calculation placed on a server takes at most the slot."""
    if not np.isfinite(data.limits.work_s):
        return
    slot = data.instance.tasks.slot[data.arcs.tasks].tolist()
    work: dict[tuple[int, int], list[tuple[float, Any]]] = defaultdict(list)
    for (k, m, n), runs_there in runs.items():
        if n > 0 and data.arcs.work_s[k, m, n - 1] > 0:
            work[slot[k], n].append((float(data.arcs.work_s[k, m, n - 1]), runs_there))
    _limit_rows(model, data, "server_capacity", work, lambda *_: data.limits.work_s)


def _add_memory(model: Any, data: _Data, runs: Runs) -> None:
    """A node holds every distinct part that it runs in a slot once: ``hold`` is at least each run of the
    part.
    """
    import pyomo.environ as pyo

    instance, limit = data.instance, data.limits.memory_bytes
    parts, holder = held_parts(instance), holders(instance, data.arcs.tasks)
    task = data.arcs.tasks.tolist()
    slot, kind = instance.tasks.slot.tolist(), instance.tasks.model.tolist()
    users = {}
    for k, m, n in runs:
        at = int(holder[k, n])
        if np.isfinite(limit[at]) and parts[kind[task[k]], m] > 0:
            users[k, m, n] = (slot[task[k]], at, kind[task[k]], m)
    pieces = sorted(set(users.values()))
    model.hold = pyo.Var(pieces, domain=pyo.Binary)
    model.holds = pyo.Constraint(
        list(users), rule=data.timed(lambda _, *at: runs[at] <= model.hold[users[at]])
    )
    model.users = users
    places: dict[tuple[int, int], list[tuple[float, Any]]] = defaultdict(list)
    for piece in pieces:
        places[piece[:2]].append((float(parts[piece[2:]]), model.hold[piece]))
    _limit_rows(model, data, "memory", places, lambda _, at: limit[at])


def _limit_rows(
    model: Any, data: _Data, name: str, terms: dict[Any, list[tuple[float, Any]]], limit: Any
) -> None:
    import pyomo.environ as pyo

    rows = pyo.Constraint(sorted(terms), rule=lambda _, *at: _linear(data, terms[at]) <= float(limit(*at)))
    model.add_component(name, rows)


def _linear(data: _Data, terms: Iterable[tuple[float, Any]]) -> Any:
    """Return the sum of values times columns, made with an eye on the clock."""
    import pyomo.environ as pyo

    def each() -> Iterator[Any]:
        for value, column in terms:
            data.tick()
            yield float(value) * column

    return pyo.quicksum(each())


def _solve(instance: Instance, run: Run) -> None:
    from mecopt_solvers.programs.exact import solve_exactly
    from mecopt_solvers.programs.highs import branch_and_bound
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
    honours=frozenset(Coupling),
    solve=_solve,
    random=True,
    options=frozenset({"formulation"}),
)
