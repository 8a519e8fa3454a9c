"""The flow formulation as arrays: unit flow of every task through its trellis, couplings as rows.

One column y for every arc that is left, one z for every part of a model that a node with too little memory
may hold. Rows of couplings are divided by their limit. A limit that nothing can break has no row, and a task
that appears in no such row has no columns: its best path is optimal whatever the others do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.instance import Instance
from mecopt.trellis_arcs import Arcs
from mecopt_solvers.programs.linear_program import WIDER, Label, Program, Rows
from mecopt_solvers.programs.presolve import Limits, held_parts, holders


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
    limits = Limits.of(instance)
    real = np.arange(arcs.weight.shape[1]) < arcs.blocks[:, None]
    columns = np.nonzero(arcs.allowed & real[:, :, None, None])
    work = _work_rows(instance, arcs, columns, limits)
    energy = _energy_rows(instance, arcs, columns, limits)
    memory = _Memory.of(instance, arcs, columns, limits)
    keep = np.full(len(columns[0]), all_tasks)
    if not all_tasks:
        touched = np.zeros(len(arcs.tasks), dtype=bool)
        for part in (work, energy):
            touched[columns[0][part.column]] = True
        touched[columns[0][memory.user]] = True
        keep = touched[columns[0]]
    at = np.cumsum(keep) - 1  # new column of every old one
    k, m, i, j = (part[keep] for part in columns)
    count = len(k)
    z = count + np.arange(len(memory.piece_bytes))
    flow = _flow_rows(arcs, k, m, i, j)
    coupled = [_rows(part, at) for part in (work, energy)]
    holding = memory.rows(count, at)
    labels = [*work.labels, *energy.labels, *memory.labels]
    first = len(flow.lower)
    none = np.full(len(z), -1)
    return Program(
        cost=np.concatenate([arcs.weight[k, m, i, j], np.zeros(len(z))]),
        integer=np.ones(count + len(z), dtype=bool),
        decides=np.arange(count + len(z)) < count,
        task=np.concatenate([arcs.tasks[k], none]),
        block=np.concatenate([m, none]),
        tail=np.concatenate([i, none]),
        head=np.concatenate([j, none]),
        rows=flow.followed_by(*coupled, *holding),
        labels={label: first + row for row, label in enumerate(labels)},
        holds=np.stack([at[memory.user], count + memory.piece], axis=1),
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


def _work_rows(instance: Instance, arcs: Arcs, columns: tuple[Ints, ...], limits: Limits) -> _Coupled:
    """Seconds of calculation of every server in every slot."""
    k, m, _, j = columns
    on = np.flatnonzero((j > 0) & np.isfinite(limits.work_s))
    value = arcs.work_s[k[on], m[on], j[on] - 1] / limits.work_s
    slot = instance.tasks.slot[arcs.tasks[k[on]]]
    key = slot * (instance.server_count + 1) + j[on]
    names, row = np.unique(key, return_inverse=True)
    labels: list[Label] = [("capacity", *divmod(name, instance.server_count + 1)) for name in names.tolist()]
    return _binding(_Coupled(row, on, value, labels), k, m, arcs)


def _energy_rows(instance: Instance, arcs: Arcs, columns: tuple[Ints, ...], limits: Limits) -> _Coupled:
    """Energy of every device over the horizon."""
    k, m, i, j = columns
    device = instance.tasks.device[arcs.tasks[k]]
    on = np.flatnonzero(np.isfinite(limits.energy_j[device]))
    value = arcs.energy_j[k[on], m[on], i[on], j[on]] / limits.energy_j[device[on]]
    names, row = np.unique(device[on], return_inverse=True)
    labels: list[Label] = [("energy", d) for d in names.tolist()]
    return _binding(_Coupled(row, on, value, labels), k, m, arcs)


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
class _Memory:
    """Fixed charges: a piece is one (model, block) that a holder may have in a slot, at its share of the
    limit.
    """

    piece_bytes: Floats  # (P,) share of the holder's limit
    place: Ints  # (P,) row of the piece's slot and holder
    labels: list[Label]  # one for every place
    user: Ints  # (U,) columns that need a piece
    piece: Ints  # (U,) the piece
    link: Ints  # (U,) row of the link: one for every task, block and node

    @classmethod
    def of(cls, instance: Instance, arcs: Arcs, columns: tuple[Ints, ...], limits: Limits) -> _Memory:
        """Collect the pieces that a node could hold more of than it has memory for."""
        k, m, _, j = columns
        task = arcs.tasks[k]
        holder = holders(instance, arcs.tasks)[k, j]
        parts = held_parts(instance)
        share = parts[instance.tasks.model[task], m] / limits.memory_bytes[holder]
        on = np.flatnonzero(share > 0)
        count = instance.server_count + len(instance.devices)
        place = instance.tasks.slot[task[on]] * count + holder[on]
        key = place * parts.size + instance.tasks.model[task[on]] * instance.max_blocks + m[on]
        keys, first, piece = np.unique(key, return_index=True, return_inverse=True)
        places, at = np.unique(keys // parts.size, return_inverse=True)
        binds = np.bincount(at, share[on][first], len(places)) > 1.0
        used = binds[at][piece]
        renamed = np.cumsum(binds[at]) - 1
        spot = (k[on] * arcs.weight.shape[1] + m[on]) * arcs.weight.shape[3] + j[on]
        link = np.unique(spot[used], return_inverse=True)[1]
        labels: list[Label] = [("memory", *divmod(name, count)) for name in places[binds].tolist()]
        return cls(
            piece_bytes=share[on][first][binds[at]],
            place=(np.cumsum(binds) - 1)[at[binds[at]]],
            labels=labels,
            user=on[used],
            piece=renamed[piece[used]],
            link=link,
        )

    def rows(self, first: int, at: Ints) -> list[Rows]:
        """Return the limits of the places, and y <= z for every task, block and node; z from column
        `first` on.
        """
        count, pieces = len(self.labels), np.arange(len(self.piece_bytes))
        limit = Rows.of(
            self.place,
            first + pieces,
            self.piece_bytes,
            np.full(count, -np.inf),
            np.full(count, 1.0 + WIDER),
        )
        links, one = np.unique(self.link, return_index=True)
        row = np.concatenate([self.link, np.arange(len(links))])
        column = np.concatenate([at[self.user], first + self.piece[one]])
        value = np.concatenate([np.ones(len(self.user)), -np.ones(len(links))])
        return [
            limit,
            Rows.of(row, column, value, np.full(len(links), -np.inf), np.zeros(len(links))),
        ]
