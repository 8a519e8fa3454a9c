"""From the Pyomo model to a `Program`: the same columns and rows as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.trellis_arcs import Arcs
from mecopt_solvers.programs.formulations import TICKS
from mecopt_solvers.programs.linear_program import WIDER, Label, Program, Rows


def to_program(model: Any, arcs: Arcs, keep_time: Callable[[], None] = lambda: None) -> Program:
    """Turn the model into arrays; rows of limits are divided by their limit.

    Parameters
    ----------
    model : pyomo.environ.ConcreteModel
        Made by `mecopt_solvers.programs.milp.build_model`.
    arcs : Arcs
        The arcs that it was made of.
    keep_time : callable
        Called for every so many rows; ends the work by an exception.
    """
    import pyomo.environ as pyo
    from pyomo.repn import generate_standard_repn

    columns = list(model.component_data_objects(pyo.Var))
    at = {id(column): c for c, column in enumerate(columns)}
    cost = np.zeros(len(columns))
    objective = generate_standard_repn(model.total.expr, quadratic=False)
    cost[[at[id(v)] for v in objective.linear_vars]] = objective.linear_coefs
    labels, entries, sides = {}, [], []
    for row, (label, constraint) in enumerate(_constraints(model)):
        if row % TICKS == 0:
            keep_time()
        body = generate_standard_repn(constraint.body, quadratic=False)
        lower, upper = (_side(bound, body.constant) for bound in (constraint.lower, constraint.upper))
        value = np.array(body.linear_coefs, dtype=np.float64)
        if label is not None and upper is not None:
            labels[label] = row
            value, upper = value / upper, 1.0 + WIDER
        entries.append((np.array([at[id(v)] for v in body.linear_vars], dtype=np.int64), value))
        sides.append((-np.inf if lower is None else lower, np.inf if upper is None else upper))
    index = np.repeat(np.arange(len(entries)), [len(column) for column, _ in entries])
    lower_sides, upper_sides = np.array(sides).T
    rows = Rows.of(
        index,
        np.concatenate([column for column, _ in entries]),
        np.concatenate([value for _, value in entries]),
        lower_sides,
        upper_sides,
    )
    task, block, tail, head, decides = _meaning(columns, arcs)
    integer = np.array([column.is_binary() for column in columns])
    return Program(cost, integer, decides, task, block, tail, head, rows, labels, _holds(model, at))


def _constraints(model: Any) -> Iterator[tuple[Label | None, Any]]:
    """Yield every row, and the label of those that are a limit."""
    import pyomo.environ as pyo

    for component in model.component_objects(pyo.Constraint):
        labels = model.labels.get(component.name, {})
        for index, constraint in component.items():
            yield labels.get(index if isinstance(index, tuple) else (index,)), constraint


def _side(bound: Any, constant: float) -> float | None:
    from pyomo.environ import value

    return None if bound is None else float(value(bound) - constant)


def _meaning(columns: list[Any], arcs: Arcs) -> tuple[NDArray[Any], ...]:
    """Return task, block, tail and head of every column, and whether a placement is read from it."""
    found = np.full((4, len(columns)), -1)
    decides = np.zeros(len(columns), dtype=bool)
    for c, column in enumerate(columns):
        name, index = column.parent_component().name, column.index()
        decides[c] = name in ("step", "place")
        if name in ("step", "both"):
            found[:, c] = index
        elif name == "place":
            found[[0, 1, 3], c] = index
    real = found[0] >= 0
    found[0, real] = arcs.tasks[found[0, real]]
    return (*found, decides)


def _holds(model: Any, at: dict[int, int]) -> NDArray[np.int64]:
    """Return pairs of a column that says where a part runs, and the column of its holder."""
    step = getattr(model, "step", None)
    pairs = []
    for name, users in model.users.items():
        hold = model.component(name)
        if step is None:
            pairs += [(at[id(model.place[spot])], at[id(hold[piece])]) for spot, piece in users.items()]
        else:
            pairs += [
                (at[id(column)], at[id(hold[users[k, m, j]])])
                for (k, m, _, j), column in step.items()
                if (k, m, j) in users
            ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
