"""A mixed-integer program as arrays, and how its columns and a placement say the same thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum

import numpy as np
from numpy.typing import NDArray

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.judge import Evaluation
from mecopt_solvers.programs.late_cuts import late_columns

Label = tuple[str, int]  # a limit and its row (`mecopt.limits`)

ROUNDING = 2.0**-52  # of one operation, at most
WIDER = 1e-10  # scaled right-hand sides are 1 + this: rounding must not cut off what the judge allows


@dataclass(frozen=True, eq=False)
class Rows:
    """Sparse rows, one after the other; E entries in R rows."""

    start: Ints  # (R + 1,)
    column: Ints  # (E,)
    value: Floats  # (E,)
    lower: Floats  # (R,)
    upper: Floats  # (R,)

    @classmethod
    def of(cls, row: Ints, column: Ints, value: Floats, lower: Floats, upper: Floats) -> Rows:
        """Sort entries, given in any order, by row."""
        order = np.argsort(row, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(lower)))])
        return cls(start, column[order], value[order], lower, upper)

    def followed_by(self, *others: Rows) -> Rows:
        """Put the rows of several blocks under each other."""
        parts = (self, *others)
        ends = np.cumsum([0, *(part.start[-1] for part in parts)])
        starts = [part.start[:-1] + end for part, end in zip(parts, ends[:-1], strict=True)]
        return Rows(
            np.concatenate([*starts, ends[-1:]]),
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("column", "value", "lower", "upper")
            ),
        )

    def entries(self, row: int) -> tuple[Ints, Floats]:
        """Return columns and values of one row."""
        part = slice(self.start[row], self.start[row + 1])
        return self.column[part], self.value[part]

    @property
    def index(self) -> Ints:
        """Row of every entry, (E,)."""
        return np.repeat(np.arange(len(self.lower)), np.diff(self.start))


@dataclass(frozen=True, eq=False)
class Program:
    """Minimise cost @ x over rows and 0 <= x <= 1; C columns.

    Column c is 1 when block `block[c]` of task `task[c]` runs on node `head[c]`, coming from `tail[c]` (-1:
    from anywhere); on node -1 when the task is left out. A column of task -1 is 1 when a column that points
    to it in `holds` is; without one it is between 0 and 1, and no placement tells it.
    """

    cost: Floats  # (C,) seconds
    integer: NDArray[np.bool_]  # (C,)
    decides: NDArray[np.bool_]  # (C,) whether a placement is read from the column
    task: Ints  # (C,)
    block: Ints  # (C,)
    tail: Ints  # (C,)
    head: Ints  # (C,)
    rows: Rows
    labels: Mapping[Label, int] = field(default_factory=dict)  # rows of the couplings
    holds: Ints = field(
        default_factory=lambda: np.empty((0, 2), dtype=np.int64)
    )  # (pairs, 2) column, its holder

    @property
    def open(self) -> bool:
        """Whether there are columns that no placement tells."""
        return not bool(self.integer.all())

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.cost)

    def encode(self, placement: Ints) -> Floats:
        """Turn a placement into column values."""
        real = self.task >= 0
        task, block = np.where(real, self.task, 0), np.where(real, self.block, 0)
        before = np.where(block > 0, placement[task, np.maximum(block - 1, 0)], 0)
        x = real & (placement[task, block] == self.head) & ((self.tail < 0) | (before == self.tail))
        held = np.zeros(self.columns, dtype=bool)
        held[self.holds[x[self.holds[:, 0]], 1]] = True
        values: Floats = (x | held).astype(np.float64)
        return values

    def decode(self, x: Floats, placement: Ints) -> Ints:
        """Read a placement from column values; tasks that the program leaves out stay as in `placement`."""
        chosen = np.flatnonzero((np.asarray(x) > 0.5) & self.decides)
        read = placement.copy()
        read[self.task[chosen], self.block[chosen]] = self.head[chosen]
        left_out = self.task[chosen][self.head[chosen] < 0]
        read[left_out] = -1
        return read

    def with_rows(self, more: Sequence[Rows]) -> Program:
        """Return the program with more rows."""
        return dataclasses.replace(self, rows=self.rows.followed_by(*more)) if more else self

    def cut_off(self, judged: Evaluation) -> list[Rows]:
        """Return rows that a placement which violates something breaks, and no feasible one does.

        As few of the heaviest blocks as break a limit together cannot all be placed so (a cover inequality,
        which also counts the columns that are as heavy as the heaviest of them).
        """
        x = self.encode(judged.placement) > 0.5
        cuts = [at_most(late, len(late) - 1) for late in late_columns(self, judged)]
        for label in violated_labels(judged):
            if label not in self.labels:
                continue
            column, value = self.rows.entries(self.labels[label])
            used = np.flatnonzero(x[column] & (value > 0))
            if len(used):
                used = used[np.argsort(-value[used], kind="stable")]
                used = used[: np.count_nonzero(np.cumsum(value[used]) <= 1.0) + 1]
                heavy = value >= value[used[0]]
                heavy[used] = True
                cuts.append(at_most(column[heavy], len(used) - 1))
        if not cuts:
            placed = np.flatnonzero(x & self.decides)
            cuts.append(at_most(placed, len(placed) - 1))
        return cuts


def at_most(columns: Ints, count: int) -> Rows:
    """Return the row that lets at most so many of some columns be 1."""
    ones = np.ones(len(columns))
    start = np.array([0, len(columns)])
    return Rows(start, np.asarray(columns), ones, np.array([-np.inf]), np.array([float(count)]))


def violated_labels(judged: Evaluation) -> Iterable[Label]:
    """Yield the label of every limit that the judge finds broken, but for deadlines that loads break."""
    shared = limits.SHARING.on(judged.instance)
    for limit in limits.of(judged.instance):
        if not (shared and limit.kind == "deadline"):
            yield from ((limit.name, row) for row in limit.broken(judged)[0].tolist())


def safe_bound(program: Program, dual: Floats) -> float:
    """Return a bound on the program's LP that is valid whatever its row duals are.

    Neumaier, Shcherbina: Safe bounds in linear and mixed-integer linear programming, 2004.

    Duals of the wrong sign are set to 0; then every column counts with its least possible part. What rounding
    may have added is taken off: where costs are far above the bound, they nearly cancel.
    """
    rows = program.rows
    dual = np.where(np.isinf(rows.lower), np.minimum(dual, 0.0), dual)
    dual = np.where(np.isinf(rows.upper), np.maximum(dual, 0.0), dual)
    side = np.where(dual > 0, rows.lower, np.where(dual < 0, rows.upper, 0.0))
    part = rows.value.astype(np.longdouble) * dual[rows.index]
    left, size = program.cost.astype(np.longdouble), np.abs(program.cost).astype(np.longdouble)
    np.subtract.at(left, rows.column, part)
    np.add.at(size, rows.column, np.abs(part))
    terms = np.bincount(rows.column, minlength=program.columns) + 2
    lost = np.finfo(np.longdouble).eps * terms * size
    parts = side * dual
    return fsum(parts) - ROUNDING * fsum(np.abs(parts)) + fsum(np.minimum(left - lost, 0.0))
