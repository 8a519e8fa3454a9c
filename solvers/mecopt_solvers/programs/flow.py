"""The flow formulation as arrays: unit flow of every task through its trellis, couplings as rows.

One column y for every arc that is left, one z for every part of a model that a node with too little memory
may hold. Rows of couplings are divided by their limit. A limit that nothing can break has no row, and a task
that appears in no such row has no columns: its best path is optimal whatever the others do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.instance import Instance
from mecopt.limits import ChargedLimit, LinearLimit
from mecopt.trellis_arcs import Arcs
from mecopt_solvers.programs.linear_program import WIDER, Label, Program, Rows
from mecopt_solvers.programs.presolve import most


@dataclass(frozen=True, eq=False)
class _Coupled:
    """Entries of the couplings' rows over the C columns: row, column, value, and a label for every row."""

    row: Ints
    column: Ints
    value: Floats
    labels: list[Label]


def build_flow(instance: Instance, arcs: Arcs, *, all_tasks: bool = False) -> Program:
    """Build the program.

    Parameters
    ----------
    instance : Instance
    arcs : Arcs
        Arcs of infinite weight get no column.
    all_tasks : bool
        Keep the tasks that no coupling touches.
    """
    real = np.arange(arcs.weight.shape[1]) < arcs.blocks[:, None]
    columns = np.nonzero(arcs.allowed & real[:, :, None, None])
    linear = [_linear_rows(limit, instance, arcs, columns) for limit in limits.linear(instance)]
    charges = [_Charges.of(limit, instance, arcs, columns) for limit in limits.charged(instance)]
    keep = np.full(len(columns[0]), all_tasks)
    if not all_tasks:
        touched = np.zeros(len(arcs.tasks), dtype=bool)
        for part in linear:
            touched[columns[0][part.column]] = True
        for charge in charges:
            touched[columns[0][charge.user]] = True
        keep = touched[columns[0]]
    at = np.cumsum(keep) - 1  # new column of every old one
    k, m, i, j = (part[keep] for part in columns)
    count = len(k)
    ends = np.cumsum([count, *(len(charge.piece_size) for charge in charges)])
    flow = _flow_rows(arcs, k, m, i, j)
    coupled = [_rows(part, at) for part in linear]
    labels = [label for part in linear for label in part.labels]
    for charge, first in zip(charges, ends[:-1].tolist(), strict=True):
        limit_rows, links = charge.rows(first, at)
        coupled.append(limit_rows)
        labels += charge.labels
        flow = flow.followed_by(links)
    first = len(flow.lower)
    none = np.full(int(ends[-1]) - count, -1)
    pairs = [
        np.stack([at[charge.user], start + charge.piece], axis=1)
        for charge, start in zip(charges, ends[:-1].tolist(), strict=True)
    ]
    return Program(
        cost=np.concatenate([arcs.weight[k, m, i, j], np.zeros(len(none))]),
        integer=np.ones(ends[-1], dtype=bool),
        decides=np.arange(ends[-1]) < count,
        task=np.concatenate([arcs.tasks[k], none]),
        block=np.concatenate([m, none]),
        tail=np.concatenate([i, none]),
        head=np.concatenate([j, none]),
        rows=flow.followed_by(*coupled),
        labels={label: first + row for row, label in enumerate(labels)},
        holds=np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs]),
    )


def _flow_rows(arcs: Arcs, k: Ints, m: Ints, i: Ints, j: Ints) -> Rows:
    """One unit leaves the device of every task; what enters a node with a block leaves it with the next."""
    _, stages, nodes, _ = arcs.weight.shape
    column = np.arange(len(k))
    enters = m < arcs.blocks[k] - 1
    into = ((k * stages + m) * nodes + j)[enters]
    out_of = ((k * stages + m - 1) * nodes + i)[m > 0]
    source = -1 - k[m == 0]
    vertex = np.concatenate([source, into, out_of])
    names, row = np.unique(vertex, return_inverse=True)
    value = np.concatenate([np.ones(len(source) + len(into)), -np.ones(len(out_of))])
    side = np.where(names < 0, 1.0, 0.0)
    return Rows.of(row, np.concatenate([column[m == 0], column[enters], column[m > 0]]), value, side, side)


def _linear_rows(limit: LinearLimit, instance: Instance, arcs: Arcs, columns: tuple[Ints, ...]) -> _Coupled:
    """Return the uses of a limit as shares of it."""
    k, m, i, j = columns
    row = limit.rows(instance, arcs.tasks)[k, j]
    given = np.full(len(row), np.inf)
    given[row >= 0] = most(limit, instance, row[row >= 0])
    on = np.flatnonzero(np.isfinite(given))
    use = limit.use(arcs, instance)
    used = use[k[on], m[on], j[on]] if use.ndim == 3 else use[k[on], m[on], i[on], j[on]]
    names, at = np.unique(row[on], return_inverse=True)
    labels: list[Label] = [(limit.name, name) for name in names.tolist()]
    return _binding(_Coupled(at, on, used / given[on], labels), k, m, arcs)


def _binding(part: _Coupled, k: Ints, m: Ints, arcs: Arcs) -> _Coupled:
    """Leave out the rows that no placement can break, and what uses nothing.

    However small, a use stays: HiGHS ignores what is below 1e-9, but a cover must add up.
    """
    stage = (part.row * len(arcs.tasks) + k[part.column]) * arcs.weight.shape[1] + m[part.column]
    names, where = np.unique(stage, return_inverse=True)
    most = np.zeros(len(names))
    np.maximum.at(most, where, part.value)
    owner = names // (len(arcs.tasks) * arcs.weight.shape[1])
    binds = np.bincount(owner, most, len(part.labels)) > 1.0
    keep = binds[part.row] & (part.value > 0)
    renamed = np.cumsum(binds) - 1
    labels = [label for label, bind in zip(part.labels, binds.tolist(), strict=True) if bind]
    return _Coupled(renamed[part.row[keep]], part.column[keep], part.value[keep], labels)


def _rows(part: _Coupled, at: Ints) -> Rows:
    count = len(part.labels)
    return Rows.of(
        part.row, at[part.column], part.value, np.full(count, -np.inf), np.full(count, 1.0 + WIDER)
    )


@dataclass(frozen=True, eq=False)
class _Charges:
    """Fixed charges: a piece is what a row's node may run, once, at its share of the limit."""

    piece_size: Floats  # (P,) share of the row's limit
    place: Ints  # (P,) row of the piece
    labels: list[Label]  # one for every row
    user: Ints  # (U,) columns that need a piece
    piece: Ints  # (U,) the piece
    link: Ints  # (U,) row of the link: one for every task, block and node

    @classmethod
    def of(cls, limit: ChargedLimit, instance: Instance, arcs: Arcs, columns: tuple[Ints, ...]) -> _Charges:
        """Collect the pieces that a node could hold more of than it has room for."""
        k, m, _, j = columns
        task = arcs.tasks[k]
        row = limit.rows(instance, arcs.tasks)[k, j]
        sizes = limit.sizes(instance)
        share = sizes[instance.tasks.model[task], m] / most(limit, instance, row)
        on = np.flatnonzero(share > 0)
        key = row[on] * sizes.size + limit.pieces(instance)[task[on], m[on]]
        keys, first, piece = np.unique(key, return_index=True, return_inverse=True)
        places, at = np.unique(keys // sizes.size, return_inverse=True)
        binds = np.bincount(at, share[on][first], len(places)) > 1.0
        used = binds[at][piece]
        renamed = np.cumsum(binds[at]) - 1
        spot = (k[on] * arcs.weight.shape[1] + m[on]) * arcs.weight.shape[3] + j[on]
        return cls(
            piece_size=share[on][first][binds[at]],
            place=(np.cumsum(binds) - 1)[at[binds[at]]],
            labels=[(limit.name, name) for name in places[binds].tolist()],
            user=on[used],
            piece=renamed[piece[used]],
            link=np.unique(spot[used], return_inverse=True)[1],
        )

    def rows(self, first: int, at: Ints) -> tuple[Rows, Rows]:
        """Return the limits, and y <= z for every task, block and node; z from column `first` on."""
        count, pieces = len(self.labels), np.arange(len(self.piece_size))
        none, full = np.full(count, -np.inf), np.full(count, 1.0 + WIDER)
        limit = Rows.of(self.place, first + pieces, self.piece_size, none, full)
        links, one = np.unique(self.link, return_index=True)
        row = np.concatenate([self.link, np.arange(len(links))])
        column = np.concatenate([at[self.user], first + self.piece[one]])
        value = np.concatenate([np.ones(len(self.user)), -np.ones(len(links))])
        return limit, Rows.of(row, column, value, np.full(len(links), -np.inf), np.zeros(len(links)))
