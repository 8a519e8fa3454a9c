"""The state of the search: who runs what where, and what that uses of every limit.

Every limit is a row: the capacities of all places (a server in a slot, a device in a slot), then their
memories, then the budgets of the devices. Uses and limits are in units of the largest use by one step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.costs import ChainCosts
from mecopt.instance import Instance
from mecopt.trellis_arcs import Arcs
from mecopt_solvers.baselines.ledger import open_ledger
from mecopt_solvers.baselines.placing import seconds


@dataclass(frozen=True, eq=False)
class SearchState:
    """Some tasks with all that share limits with them; K tasks, M blocks, J nodes, P places, R rows."""

    weight: Floats  # (K, M, J, J) objective of every arc, inf = forbidden
    energy: Floats  # (K, M, J, J) share of the device's unit
    work: Floats  # (K, M, J) share of the place's unit
    blocks: Ints  # (K,)
    part: Ints  # (K,) tasks of one part share limits with nobody else
    mates: Ints  # (K, 2) first task of the same slot and the one behind the last; tasks are in order of slots
    place: Ints  # (K, J) row of the capacity; the memory's is P further
    budget: Ints  # (K,) row of the device's budget
    piece: Ints  # (K, M) what memory holds: (model, block)
    size: Floats  # (pieces,) share of the largest piece
    held: NDArray[np.int32]  # (P, pieces) blocks that use a piece
    used: Floats  # (R,)
    limit: Floats  # (R,) inf = none
    row_part: Ints  # (R,) part that a row belongs to, -1 = none
    nodes: Ints  # (K, M) the placement, -1 behind the end of shorter models

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """What every kernel takes, in its order."""
        return (
            self.weight, self.energy, self.work, self.blocks, self.place, self.budget, self.piece, self.size,
            self.held, self.used, self.limit, self.nodes,
        )  # fmt: skip


def open_state(instance: Instance, costs: ChainCosts, arcs: Arcs, part: Ints, nodes: Ints) -> SearchState:
    """Lay out tasks `arcs.tasks`, in the order of their slots, with a placement that uses existing arcs."""
    tasks, book = arcs.tasks, open_ledger(instance)
    place, device, piece = book.place[tasks], book.device[tasks], book.piece[tasks, :, 0]
    work, slot, places = seconds(costs, arcs)[:, :, 0], instance.tasks.slot[tasks], len(book.load)
    load_unit, energy_unit = np.zeros(places), np.zeros(len(book.spent))
    np.maximum.at(load_unit, place, work.max(axis=1))
    np.maximum.at(energy_unit, device, arcs.energy_j.max(axis=(1, 2, 3)))
    load_unit, energy_unit = (np.where(unit > 0, unit, 1.0) for unit in (load_unit, energy_unit))
    largest = float(book.size.max()) or 1.0
    limit = np.concatenate([book.capacity / load_unit, book.memory / largest, book.budget / energy_unit])
    row_part = np.full(len(limit), -1)
    row_part[place] = row_part[place + places] = part[:, None]
    limited = np.isfinite(book.budget)[device]
    row_part[2 * places + device[limited]] = part[limited]
    return SearchState(
        weight=arcs.weight,
        energy=arcs.energy_j / energy_unit[device][:, None, None, None],
        work=work / load_unit[place][:, None, :],
        blocks=arcs.blocks,
        part=part,
        mates=np.stack([np.searchsorted(slot, slot), np.searchsorted(slot, slot, side="right")], axis=1),
        place=place,
        budget=2 * places + device,
        piece=piece,
        size=book.size / largest,
        held=book.held,
        used=np.zeros(len(limit)),
        limit=limit,
        row_part=row_part,
        nodes=nodes.astype(np.int64),
    )
