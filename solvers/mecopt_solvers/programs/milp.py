"""Problem P (Eq. 10) with its couplings as a Pyomo model, to read, to export, and to solve by HiGHS.

Two formulations. ``flow``: ``step[k, m, i, j]`` is 1 when task k enters block m on node j from node i.
``assignment``, the paper's: ``place[k, m, n]`` is 1 when block m of task k runs on node n, and the transfer
from i to j is paid by the product of two of them, ``both[k, m, i, j]``, linearised; its LP relaxation is much
weaker.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt import limits
from mecopt.errors import InputError
from mecopt.features import OF_STEPS, Feature
from mecopt.instance import Instance
from mecopt.limits import OF_ROWS, ChargedLimit, Limit, LinearLimit
from mecopt.registry import Method
from mecopt.stop import COMPILER
from mecopt.trellis_arcs import Arcs
from mecopt_solvers.programs.formulations import Data, Runs, add_assignment, add_flow, weighted_sum
from mecopt_solvers.programs.presolve import most

if TYPE_CHECKING:
    from mecopt.incumbent import Run
    from mecopt_solvers.programs.exact import Tangents
    from mecopt_solvers.programs.linear_program import Program
    from mecopt_solvers.programs.presolve import Reduced

FORMULATIONS = ("flow", "assignment")


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
    data = Data(instance, arcs, keep_time)
    with _quiet_pyomo():
        runs = (add_flow if formulation == "flow" else add_assignment)(model, data)
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


def _add_linear(model: Any, data: Data, runs: Runs, limit: LinearLimit) -> None:
    """Uses of a row add up to at most its limit."""
    use, row = limit.use(data.arcs, data.instance), limit.rows(data.instance, data.arcs.tasks)
    terms: dict[int, list[tuple[float, Any]]] = defaultdict(list)
    if use.ndim == 3:
        for (k, m, j), runs_there in runs.there.items():
            if row[k, j] >= 0 and use[k, m, j] > 0:
                terms[int(row[k, j])].append((float(use[k, m, j]), runs_there))
    else:
        for k, j, value, column in runs.terms(use):
            if row[k, j] >= 0 and value > 0:
                terms[int(row[k, j])].append((value, column))
    _limit_rows(model, data, limit, terms)


def _add_charged(model: Any, data: Data, runs: Runs, limit: ChargedLimit) -> None:
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


def _limit_rows(model: Any, data: Data, limit: Limit, terms: dict[int, list[tuple[float, Any]]]) -> None:
    """Add the rows of a limit, those without one left out, and note which they are."""
    import pyomo.environ as pyo

    rows = sorted(terms)
    given = most(limit, data.instance, np.array(rows, dtype=np.int64)).tolist()
    sides = {r: side for r, side in zip(rows, given, strict=True) if side < np.inf}
    kept = {limit.index(data.instance, r): (r, side) for r, side in sides.items()}
    constraint = pyo.Constraint(
        list(kept), rule=lambda _, *at: weighted_sum(data, terms[kept[at][0]]) <= kept[at][1]
    )
    model.add_component(limit.component, constraint)
    model.labels[limit.component] = {at: (limit.name, r) for at, (r, _) in kept.items()}


def _solve(instance: Instance, run: Run) -> None:
    from mecopt_solvers.programs.branch_and_bound import branch_and_bound
    from mecopt_solvers.programs.exact import solve_exactly
    from mecopt_solvers.programs.pyomo_arrays import to_program

    formulation = run.options.get("formulation", "flow")
    if formulation not in FORMULATIONS:
        raise InputError(f"formulation: {formulation!r}, expected one of {', '.join(FORMULATIONS)}")

    def build(reduced: Reduced, known: float | None, tangents: Tangents) -> Program:
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
    takes=OF_STEPS | {Feature.ONE_RUN, Feature.TOTAL_DEADLINE},
    options=frozenset({"formulation"}),
)
