"""The flow formulation of some tasks, with every limit a row or a set of columns that can be lifted."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.limits import LIMITS
from mecopt.trellis_arcs import build_arcs, shortest
from mecopt_solvers.explain.limits import ExplainedLimit
from mecopt_solvers.programs.flow import build_flow
from mecopt_solvers.programs.linear_program import Label, Program
from mecopt_solvers.programs.presolve import most


class FlowModel:
    """Problem P for some tasks, all their limits included.

    Parameters
    ----------
    instance : Instance
    costs : ChainCosts
    tasks : array of int
        They must be all that touch their limits.
    late : bool
        Keep the arcs that miss a hard deadline, so that deadlines can be lifted too.

    Attributes
    ----------
    arcs : mecopt.trellis_arcs.Arcs
    program : mecopt_solvers.programs.linear_program.Program
        The columns, the rows, and which row is which limit.
    over : array of shape (columns,)
        By how much a column's arc exceeds its block's deadline, as a share of the deadline; 0 when in time.
    limits : list of Limit
        The shared limits that some placement could break.
    rows : array of shape (limits,)
        Their rows; what they bound is a share of the limit.
    scale : array of shape (limits,)
        What a share of 1 is, in seconds, joules or bytes.
    """

    def __init__(self, instance: Instance, costs: ChainCosts, tasks: Ints, *, late: bool = False) -> None:
        self.arcs = build_arcs(_loose(costs) if late else costs, np.asarray(tasks))
        self.program = build_flow(instance, self.arcs, all_tasks=True)
        self.over = _over(costs, np.asarray(tasks), self) if late else np.zeros(self.program.columns)
        labels = list(self.program.labels)
        self.limits = [_limit(instance, label) for label in labels]
        self.rows = np.array([self.program.labels[label] for label in labels], dtype=np.int64)
        self.scale = np.array([_scale(instance, label) for label in labels])
        self.upper = self.program.rows.upper[self.rows]

    def shut(self, late: NDArray[np.bool_]) -> Floats:
        """Return the upper bounds of all columns when some late arcs are closed."""
        return np.where((self.over > 0) & late, 0.0, 1.0)

    def followed(self, values: Floats, others: Ints) -> Ints:
        """Return the placement along which most of a fractional flow runs; others stay as they are."""
        program = self.program
        weight = np.where(np.isfinite(self.arcs.weight), 0.0, np.inf)
        arc = np.flatnonzero(program.decides)
        k = np.searchsorted(self.arcs.tasks, program.task[arc])
        weight[k, program.block[arc], program.tail[arc], program.head[arc]] = 1.0 - values[arc]
        placement = others.copy()
        placement[self.arcs.tasks] = shortest(weight, self.arcs.blocks)[1]
        return placement

    def bounded(self, largest: float) -> Program:
        """Return the program with no use above so many times its limit, so that numbers are of one size."""
        rows = self.program.rows
        limited = np.isin(rows.index, self.rows)
        value = np.where(limited, np.minimum(rows.value, largest), rows.value)
        return dataclasses.replace(self.program, rows=dataclasses.replace(rows, value=value))


def delays(costs: ChainCosts, tasks: Ints) -> Floats:
    """Return L_m of every arc, deadlines aside, (K, M, J, J), inf where a link is missing."""
    plain = dataclasses.replace(_loose(costs), penalty=0.0, return_result=False)
    return build_arcs(plain, tasks).weight


def _loose(costs: ChainCosts) -> ChainCosts:
    return dataclasses.replace(costs, limit=np.full_like(costs.limit, np.inf))


def _over(costs: ChainCosts, tasks: Ints, model: FlowModel) -> Floats:
    """By how much arcs exceed the deadlines, as a share of the deadline; 0 when in time."""
    program = model.program
    arc = np.flatnonzero(program.decides)
    task, m = program.task[arc], program.block[arc]
    k = np.searchsorted(tasks, task)
    delay = delays(costs, tasks)[k, m, program.tail[arc], program.head[arc]]
    tau, limit = costs.tau[task, m], costs.limit[task, m]
    scale = np.where(tau > 0, tau, 1.0)
    over = np.zeros(program.columns)
    over[arc] = np.where(delay > limit, (delay - tau) / scale, 0.0)
    return over


def _limit(instance: Instance, label: Label) -> ExplainedLimit:
    """Say what the row of a limit is, in the judge's words."""
    coupling, row = label
    limit = LIMITS[coupling]
    given = float(limit.given(instance, np.array([row]))[0])
    return ExplainedLimit(str(coupling), limit.where(instance, row), given)


def _scale(instance: Instance, label: Label) -> float:
    """Return what the row of a limit was divided by."""
    coupling, row = label
    return float(most(LIMITS[coupling], instance, np.array([row]))[0])
