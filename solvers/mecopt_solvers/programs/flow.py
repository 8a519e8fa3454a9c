"""The flow formulation as arrays: unit flow of every task through its trellis, couplings as rows.

One column y for every arc that is left, one z for every part of a model that a node with too little memory
may hold. Rows of couplings are divided by their limit. A limit that nothing can break has no row, and a task
that appears in no such row has no columns: its best path is optimal whatever the others do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mecopt import limits
from mecopt.arrays import Floats, Ints
from mecopt.instance import Instance
from mecopt.limits import ChargedLimit, LinearLimit
from mecopt.trellis_arcs import Arcs
from mecopt_solvers.programs.extras import (
    Extras,
    add_drops,
    add_period,
    add_sharing,
    add_soft_ends,
    needed,
)
from mecopt_solvers.programs.linear_program import WIDER, Label, Program, Rows
from mecopt_solvers.programs.presolve import most


@dataclass(frozen=True, eq=False)
class _Coupled:
    """Entries of the couplings' rows over the C columns: row, column, value, and a label for every row."""

    row: Ints
    column: Ints
    value: Floats
    labels: list[Label]


def build_flow(
    instance: Instance,
    arcs: Arcs,
    *,
    all_tasks: bool = False,
    drop: Floats | None = None,
    known: float | None = None,
    tangents: Mapping[int, list[float]] | None = None,
) -> Program:
    """Build the program.

    Parameters
    ----------
    instance : Instance
    arcs : Arcs
        Arcs of infinite weight get no column.
    all_tasks : bool
        Keep the tasks that no coupling touches.
    drop : array of shape (K,), optional
        Cost of leaving out each task; inf = it has to be served.
    known : float, optional
        An objective that is known: no longer period is looked for.
    tangents : mapping, optional
        As in `mecopt_solvers.programs.extras.add_sharing`.
    """
    all_tasks = all_tasks or needed(instance)
    real = np.arange(arcs.weight.shape[1]) < arcs.blocks[:, None]
    columns = np.nonzero(arcs.allowed & real[:, :, None, None])
    linear = [_linear_rows(limit, instance, arcs, columns) for limit in limits.linear(instance)]
    charges = [_Charges.of(limit, instance, arcs, columns) for limit in limits.charged(instance)]
    touched = np.full(len(arcs.tasks), all_tasks)
    if not all_tasks:
        for part in linear:
            touched[columns[0][part.column]] = True
        for charge in charges:
            touched[columns[0][charge.user]] = True
            touched[columns[0][charge.own]] = True
    keep = touched[columns[0]]
    at = np.cumsum(keep) - 1  # new column of every old one
    k, m, i, j = (part[keep] for part in columns)
    count = len(k)
    ends = np.cumsum([count, *(len(charge.piece_size) for charge in charges)])
    extras = Extras(int(ends[-1]))
    dropped = {} if drop is None else add_drops(extras, arcs, np.where(touched, drop, np.inf))
    flow = _flow_rows(arcs, k, m, i, j, dropped)
    coupled = [_rows(part, at) for part in linear]
    labels = [label for part in linear for label in part.labels]
    for charge, first in zip(charges, ends[:-1].tolist(), strict=True):
        limit_rows, links = charge.rows(first, at)
        coupled.append(limit_rows)
        labels += charge.labels
        flow = flow.followed_by(links)
    first = len(flow.lower)
    if needed(instance):
        steps = (k, m, i, j)
        add_soft_ends(extras, instance, arcs, steps)
        if instance.rules.objective.period:
            add_period(extras, instance, arcs, steps, known)
        if limits.SHARING.on(instance):
            add_sharing(extras, instance, arcs, steps, tangents or {}, known)
    held = int(ends[-1]) - count
    others = np.array(extras.task, dtype=np.int64)
    none = np.full(held, -1)
    behind = np.concatenate([none, others])
    blocks = np.where(behind >= 0, 0, -1)
    binary = np.concatenate([np.ones(int(ends[-1]), dtype=bool), others >= 0])
    rows = flow.followed_by(*coupled, extras.rows())
    last = len(rows.lower) - len(extras.lower)
    pairs = [
        np.stack([at[charge.user], start + charge.piece], axis=1)
        for charge, start in zip(charges, ends[:-1].tolist(), strict=True)
    ]
    return Program(
        cost=np.concatenate([arcs.weight[k, m, i, j], np.zeros(held), np.array(extras.cost)]),
        integer=binary,
        decides=(np.arange(len(binary)) < count) | np.concatenate([np.zeros(count, dtype=bool), behind >= 0]),
        task=np.concatenate([arcs.tasks[k], behind]),
        block=np.concatenate([m, blocks]),
        tail=np.concatenate([i, np.full(len(behind), -1)]),
        head=np.concatenate([j, np.full(len(behind), -1)]),
        rows=rows,
        labels={label: first + row for row, label in enumerate(labels)}
        | {label: last + row for label, row in extras.labels.items()},
        holds=np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs]),
    )


def _flow_rows(arcs: Arcs, k: Ints, m: Ints, i: Ints, j: Ints, dropped: Mapping[int, int]) -> Rows:
    """One unit leaves the device of every task, or it is left out; what enters a node leaves it."""
    _, stages, nodes, _ = arcs.weight.shape
    column = np.arange(len(k))
    enters = m < arcs.blocks[k] - 1
    into = ((k * stages + m) * nodes + j)[enters]
    out_of = ((k * stages + m - 1) * nodes + i)[m > 0]
    source = -1 - k[m == 0]
    out = np.array(list(dropped.items()), dtype=np.int64).reshape(-1, 2)
    vertex = np.concatenate([source, -1 - out[:, 0], into, out_of])
    names, row = np.unique(vertex, return_inverse=True)
    value = np.concatenate([np.ones(len(source) + len(out) + len(into)), -np.ones(len(out_of))])
    side = np.where(names < 0, 1.0, 0.0)
    columns = np.concatenate([column[m == 0], out[:, 1], column[enters], column[m > 0]])
    return Rows.of(row, columns, value, side, side)


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
    link: Ints  # (U,) row of the link: one for every task, block, node and layer of pieces
    own: Ints  # (O,) columns that take something on top
    own_share: Floats  # (O,) share of the row's limit
    own_place: Ints  # (O,) row

    @classmethod
    def of(cls, limit: ChargedLimit, instance: Instance, arcs: Arcs, columns: tuple[Ints, ...]) -> _Charges:
        """Collect the pieces that a node could hold more of than it has room for."""
        k, m, _, j = columns
        task = arcs.tasks[k]
        row = limit.rows(instance, arcs.tasks)[k, j]
        room = most(limit, instance, row)
        sizes, layers = limit.all_pieces(instance)
        piece = np.stack([layer[task, m] for layer in layers], axis=1)  # (C, layers)
        share = np.where(piece >= 0, np.append(sizes, 0.0)[piece], 0.0) / room[:, None]
        on, layer = np.nonzero(share > 0)
        key = row[on] * len(sizes) + piece[on, layer]
        keys, one, held = np.unique(key, return_index=True, return_inverse=True)
        each = limit.each(instance)
        own = np.zeros(len(k)) if each is None else each[task, m] / room
        places, at = np.unique(np.concatenate([keys // len(sizes), row[own > 0]]), return_inverse=True)
        place = at[: len(keys)]
        fill = np.bincount(place, share[on, layer][one], len(places)) + _most(arcs, k, m, row, own, places)
        binds = fill > 1.0
        used = binds[place][held]
        renamed = np.cumsum(binds[place]) - 1
        spot = ((k[on] * arcs.weight.shape[1] + m[on]) * arcs.weight.shape[3] + j[on]) * len(layers) + layer
        own_at = np.flatnonzero(own > 0)
        own_place = at[len(keys) :]
        own_binds = binds[own_place]
        new_place = np.cumsum(binds) - 1
        return cls(
            piece_size=share[on, layer][one][binds[place]],
            place=new_place[place[binds[place]]],
            labels=[(limit.name, name) for name in places[binds].tolist()],
            user=on[used],
            piece=renamed[held[used]],
            link=np.unique(spot[used], return_inverse=True)[1],
            own=own_at[own_binds],
            own_share=own[own_at[own_binds]],
            own_place=new_place[own_place[own_binds]],
        )

    def rows(self, first: int, at: Ints) -> tuple[Rows, Rows]:
        """Return the limits, and y <= z for every task, block and node; z from column `first` on."""
        count, pieces = len(self.labels), np.arange(len(self.piece_size))
        none, full = np.full(count, -np.inf), np.full(count, 1.0 + WIDER)
        limit = Rows.of(
            np.concatenate([self.place, self.own_place]),
            np.concatenate([first + pieces, at[self.own]]),
            np.concatenate([self.piece_size, self.own_share]),
            none,
            full,
        )
        links, one = np.unique(self.link, return_index=True)
        row = np.concatenate([self.link, np.arange(len(links))])
        column = np.concatenate([at[self.user], first + self.piece[one]])
        value = np.concatenate([np.ones(len(self.user)), -np.ones(len(links))])
        return limit, Rows.of(row, column, value, np.full(len(links), -np.inf), np.zeros(len(links)))


def _most(arcs: Arcs, k: Ints, m: Ints, row: Ints, own: Floats, places: Ints) -> Floats:
    """Return a bound on what is taken on top in each place: the largest of every task and block."""
    on = np.flatnonzero(own > 0)
    key = (np.searchsorted(places, row[on]) * len(arcs.tasks) + k[on]) * arcs.weight.shape[1] + m[on]
    keys, at = np.unique(key, return_inverse=True)
    largest = np.zeros(len(keys))
    np.maximum.at(largest, at, own[on])
    owner = keys // (len(arcs.tasks) * arcs.weight.shape[1])
    return np.bincount(owner, largest, len(places)).astype(np.float64, copy=False)
