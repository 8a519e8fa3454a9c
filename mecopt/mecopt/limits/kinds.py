"""The kinds of limits: what adds up, and what is charged once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mecopt.arrays import Floats, Ints
from mecopt.tolerances import slack

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation
    from mecopt.trellis_arcs import Arcs

Where = dict[str, int | str]


class Limit(ABC):
    """A limit; K tasks, M blocks of the longest model, N servers, J = N + 1 nodes."""

    name: str  # a coupling's is the coupling's own
    kind: str  # of its violations
    unit: ClassVar[str]
    component: str  # name of its rows in a model that people read

    @abstractmethod
    def on(self, instance: Instance) -> bool:
        """Say whether the limit is on in an instance."""

    @abstractmethod
    def rows(self, instance: Instance, tasks: Ints | slice = slice(None)) -> Ints:
        """Return the row that node j is for a task, (K, J), -1 where it has none."""

    @abstractmethod
    def given(self, instance: Instance, rows: Ints) -> Floats:
        """Return the right-hand side of rows as the instance gives it, inf = none."""

    @abstractmethod
    def where(self, instance: Instance, row: int) -> Where:
        """Name a row as `mecopt.Violation.where` does."""

    @abstractmethod
    def index(self, instance: Instance, row: int) -> tuple[int, ...]:
        """Return the index of a row in a model that people read."""

    @abstractmethod
    def joins(self, instance: Instance) -> Ints:
        """Return the group in which the limit joins each task, (K,), -1 where it joins it with none."""

    @abstractmethod
    def alone(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return what a step uses by itself, (K, M, J, J) or what broadcasts to it."""

    @abstractmethod
    def used(self, judged: Evaluation) -> tuple[Ints, Floats]:
        """Return the rows of which a placement may use something, in order, and how much of each."""

    def most(self, instance: Instance, rows: Ints) -> Floats:
        """Return the largest use of rows that still counts as within the limit, inf = none or no row (-1)."""
        return np.where(rows >= 0, slack(self.given(instance, np.maximum(rows, 0))), np.inf)

    def broken(self, judged: Evaluation) -> tuple[Ints, Floats]:
        """Return the rows that a placement breaks, in order, and how much it uses of each."""
        rows, used = self.used(judged)
        over = used > self.most(judged.instance, rows)
        return rows[over], used[over]

    def violations(self, judged: Evaluation) -> Iterator[tuple[Where, float | None, float | None]]:
        """Yield place, limit and use of every row that a placement breaks."""
        rows, used = self.broken(judged)
        limits = self.given(judged.instance, rows)
        for row, limit, value in zip(rows.tolist(), limits.tolist(), used.tolist(), strict=True):
            yield self.where(judged.instance, row), limit, value if np.isfinite(value) else None

    def too_little(self, instance: Instance, row: int, least: float) -> dict[str, Any]:
        """Say that the tasks of a row need more than there is, as a reason why nothing is feasible."""
        where, limit = self.where(instance, row), float(self.given(instance, np.array([row]))[0])
        place = ", ".join(f"{name} {value}" for name, value in where.items())
        return {
            "kind": self.kind,
            "where": where,
            "limit": limit,
            "value": least,
            "message": f"{place}: the least {self.name} its tasks can use is {least:.6g} {self.unit}, "
            f"the limit is {limit:.6g} {self.unit}",
        }


class LinearLimit(Limit):
    """A limit whose use is a sum over the steps of tasks."""

    by_node: ClassVar[bool]  # whether the rows of a task differ by node

    @abstractmethod
    def use(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return what every step uses: (K, M, J) where it depends on its head alone, else (K, M, J, J)."""

    @abstractmethod
    def placed(self, judged: Evaluation) -> Floats:
        """Return what every block of a placement uses, (K, M), 0 behind the end; finite."""

    def alone(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return what a step uses."""
        use = self.use(arcs, instance)
        return use[:, :, None, :] if use.ndim == 3 else use

    def used(self, judged: Evaluation) -> tuple[Ints, Floats]:
        """Sum the uses of every row."""
        rows, placed = self.rows(judged.instance), self.placed(judged)
        if self.by_node:
            k, m = np.nonzero(judged.placement >= 0)
            row, use = rows[k, judged.placement[k, m]], placed[k, m]
        else:
            row, use = rows[:, 0], placed.sum(axis=1)
        touched = row >= 0
        found, at = np.unique(row[touched], return_inverse=True)
        return found, np.bincount(at, use[touched], len(found)).astype(np.float64, copy=False)


class ChargedLimit(Limit):
    """A limit of which a node uses something once for each distinct piece that it runs in a slot.

    A piece is a block of a model, or what several of its blocks share. On top, a block may use something each
    time that a task runs it.
    """

    charge: ClassVar[str]  # name of the columns that say, in a model that people read, what is held

    @abstractmethod
    def sizes(self, instance: Instance) -> Floats:
        """Return what every block takes, (models, M), 0 behind the end of shorter models."""

    @abstractmethod
    def shared(self, instance: Instance) -> list[tuple[int, float, tuple[int, ...]]]:
        """Return what several blocks share: model, size, blocks."""

    @abstractmethod
    def each(self, instance: Instance) -> Floats | None:
        """Return what each run of a block takes on top, (K, M); None where that is nothing."""

    def pieces(self, instance: Instance) -> Ints:
        """Return the number of the piece that is block m of a task, (K, M): its place in `sizes`."""
        stages = instance.max_blocks
        return instance.tasks.model[:, None] * stages + np.arange(stages)

    def all_pieces(self, instance: Instance) -> tuple[Floats, list[Ints]]:
        """Return the size of every piece, (P,), and layers of pieces of blocks, (K, M) each, -1 = none."""
        model, stages = instance.tasks.model, instance.max_blocks
        sizes, layers = [self.sizes(instance).ravel()], [self.pieces(instance)]
        for number, (kind, size, blocks) in enumerate(self.shared(instance), len(sizes[0])):
            layer = np.full((len(model), stages), -1)
            layer[np.ix_(model == kind, blocks)] = number
            sizes.append(np.array([size]))
            layers.append(layer)
        return np.concatenate(sizes), layers

    def alone(self, arcs: Arcs, instance: Instance) -> Floats:
        """Return what a node takes for a block."""
        sizes, layers = self.all_pieces(instance)
        padded = np.append(sizes, 0.0)  # -1 takes nothing
        taken = sum((padded[layer[arcs.tasks]] for layer in layers), np.zeros(()))
        each = self.each(instance)
        total: Floats = taken if each is None else taken + each[arcs.tasks]
        return total[:, :, None, None]

    def used(self, judged: Evaluation) -> tuple[Ints, Floats]:
        """Sum the pieces of every row, each counted once, and what every run takes on top."""
        instance, placement = judged.instance, judged.placement
        k, m = np.nonzero(placement >= 0)
        sizes, layers = self.all_pieces(instance)
        rows = self.rows(instance)[k, placement[k, m]]
        held = [rows * len(sizes) + layer[k, m] for layer in layers[:1]]
        for layer in layers[1:]:
            some = layer[k, m] >= 0
            held.append(rows[some] * len(sizes) + layer[k, m][some])
        row, piece = np.divmod(np.unique(np.concatenate(held)), len(sizes))
        found, at = np.unique(row, return_inverse=True)
        used = np.bincount(at, sizes[piece], len(found))
        each = self.each(instance)
        if each is not None:
            used = used + np.bincount(np.searchsorted(found, rows), each[k, m], len(found))
        return found, used.astype(np.float64, copy=False)
