"""What a sweep returns: the optimum as a function of one figure, exact piece by piece or between bounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt import objective
from mecopt.arrays import Floats
from mecopt.errors import InputError
from mecopt.instance import Instance
from mecopt.result import gap
from mecopt.what_if.envelopes import Pieces
from mecopt.what_if.knobs import Knob

if TYPE_CHECKING:
    import pandas as pd

CLOSE = 1e-9  # relative: what reaches a target within this does


@dataclass(frozen=True)
class CurvePoint:
    """The optimum at one value: what was found and what is proved; None where there is nothing.

    `lower_bound` is infinite where nothing is feasible.
    """

    value: float
    objective: float | None
    lower_bound: float | None
    status: str

    @property
    def gap(self) -> float | None:
        """Gap between them, a fraction."""
        return None if self.objective is None else gap(self.objective, self.lower_bound)


@dataclass(frozen=True, eq=False)
class Curve:
    """The least objective as a function of one figure of an instance.

    Attributes
    ----------
    over : str
        What was turned, such as ``"rate"``.
    low, high : float
        The range. A factor, 1 for the instance as it is; for ``servers`` and ``batch`` the number itself.
    exact : bool
        Whether the curve is the optimum everywhere; else only `points` are known, and what follows from them.
        Of whole numbers: whether all are solved.
    count : int
        At about how many values the curve is told.
    solved : tuple of Point
        What is known at them where the curve is not exact.
    pieces : Pieces or None
        Every task's pieces in the number in which they are affine (1 / value; minus the value for
        deadlines), where the curve is exact.
    """

    instance: Instance
    over: str
    low: float
    high: float
    exact: bool
    knob: Knob
    count: int
    solved: tuple[CurvePoint, ...] = ()
    pieces: Pieces | None = None

    @property
    def unit(self) -> str:
        """Unit of the objective."""
        return objective.unit(self.instance)

    def at(self, value: float) -> CurvePoint:
        """Return the optimum at a value in the range, or what is known of it.

        Raises
        ------
        InputError
            If the value is out of range.
        """
        if not self.low * (1 - CLOSE) <= value <= self.high * (1 + CLOSE):
            raise InputError(f"value: {value:g}, expected {self.low:g} to {self.high:g}")
        if self.knob.whole and value % 1:
            raise InputError(f"value: {value:g}, expected a whole number")
        if self.pieces is not None:
            return self.told([value])[0]
        here = next((point for point in self.points if point.value == value), None)
        if here is not None:
            return here
        # Nearer to where the optimum is less, a plan stays possible and costs no more; so with bounds.
        below = [point for point in self.points if point.value < value]
        above = [point for point in self.points if point.value > value]
        worse, better = (below, above) if self.knob.falls else (above, below)
        found = min((p.objective for p in worse if p.objective is not None), default=None)
        bounds = [p.lower_bound for p in better if p.lower_bound is not None]
        return CurvePoint(
            value, found, max(bounds, default=None), "feasible" if found is not None else "unknown"
        )

    @cached_property
    def points(self) -> tuple[CurvePoint, ...]:
        """The optimum at some values of the range, or what is known of it."""
        if self.pieces is None:
            return self.solved
        return self.told(self.knob.values(self.low, self.high, self.count))

    def told(self, values: list[float]) -> tuple[CurvePoint, ...]:
        """Return the optimum at some values of an exact curve."""
        totals = self._totals(np.array([self.knob.x_of(value) for value in values])).tolist()
        return tuple(
            CurvePoint(value, None, np.inf, "infeasible")
            if total == np.inf
            else CurvePoint(value, total, total, "optimal")
            for value, total in zip(values, totals, strict=True)
        )

    def reach(self, target: float) -> tuple[float | None, float | None]:
        """Return before which value the objective does not reach a target, and from which on it does.

        Parameters
        ----------
        target : float
            In the unit of the objective.

        Returns
        -------
        (needed, enough)
            Where the curve is exact both are the same; else `needed` is the last point of which it is proved
            that it does not. Where the optimum rises with the value, up to which value. None where no value
            in the range does.

        Raises
        ------
        InputError
            If the target is not finite.
        """
        if not np.isfinite(target):
            raise InputError(f"target: {target!r}, expected a finite number")
        if self.pieces is not None:
            found = self._reach(target)
            return found, found
        room = target + CLOSE * abs(target)
        ordered = self.points if self.knob.falls else self.points[::-1]  # from the dearest on
        never = [p.value for p in ordered if (p.lower_bound or 0.0) > room]
        does = [p.value for p in ordered if p.objective is not None and p.objective <= room]
        enough = does[0] if does else None
        if len(never) == len(ordered):
            return None, None
        if not never:
            return ordered[0].value, enough
        step = (1.0 if self.knob.falls else -1.0) if self.knob.whole else 0.0
        return never[-1] + step, enough

    def needs(self, target: float) -> Floats:
        """Return the least value at which each task alone reaches a target, (tasks,); NaN where none does.

        Raises
        ------
        InputError
            If the curve is not exact.
        """
        pieces = self._exact("needs")
        with np.errstate(divide="ignore", invalid="ignore"):
            until = np.where(pieces.slope > 0, (target - pieces.constant) / pieces.slope, np.inf)
        until = np.minimum(until, pieces.high)
        until[pieces.constant + pieces.slope * pieces.low > target + CLOSE * abs(target)] = -np.inf
        until = np.where(until > -np.inf, np.maximum(until, pieces.low), until)
        most = np.full(self.instance.task_count, -np.inf)
        np.maximum.at(most, pieces.task, until)
        return np.array([self.knob.value_of(x) if x > -np.inf else np.nan for x in most.tolist()])

    @property
    def holds(self) -> tuple[float, float] | None:
        """Between which values the best plan of today stays the best; None where that is not known.

        The ends are those of the range where it does not change in it. Of placements that cost the same it is
        one.
        """
        today, pieces = self.knob.today, self.pieces
        if pieces is None or today is None or not self.low <= today <= self.high:
            return None
        x = self.knob.x_of(today)
        changes = np.ones(len(pieces.task), dtype=bool)
        changes[1:] = np.diff(pieces.task) != 0
        changes[1:] |= (np.diff(pieces.placement, axis=0) != 0).any(axis=1)
        changes[1:] |= pieces.low[1:] > np.nextafter(pieces.high[:-1], np.inf)
        first = np.flatnonzero(changes)
        low = pieces.low[first]
        high = pieces.high[np.append(first[1:], len(pieces.task)) - 1]
        here = np.flatnonzero((low <= x) & (x <= high))
        task = pieces.task[first[here]]
        order = np.lexsort((high[here] - low[here], task))
        here = here[order[np.flatnonzero(np.diff(task[order], append=-1))]]  # of two that meet the longer
        if len(here) < self.instance.task_count:
            return None  # nothing is feasible today
        ends = self.knob.value_of(float(low[here].max())), self.knob.value_of(float(high[here].min()))
        return max(min(ends), self.low), min(max(ends), self.high)

    @property
    def feasible_to(self) -> float | None:
        """The dearest value at which all tasks can be served; None where they can be in the whole range."""
        if self.pieces is None:
            return None
        begins, _, _, end = self._sums
        dearest = self.low if self.knob.falls else self.high
        if not len(begins) or end >= self.knob.x_of(dearest) - CLOSE * abs(end):
            return None
        return self.knob.value_of(end)

    @property
    def break_evens(self) -> list[float]:
        """Values at which the plan of some task changes, ascending."""
        pieces = self._exact("break_evens")
        inner = np.diff(pieces.task, append=-1) == 0
        inner[:-1] &= (np.diff(pieces.placement, axis=0) != 0).any(axis=1)
        return sorted({self.knob.value_of(x) for x in pieces.high[inner].tolist()})

    def _exact(self, what: str) -> Pieces:
        if self.pieces is None:
            raise InputError(f"{what}: expected an exact curve, and this one is known at points only")
        return self.pieces

    @cached_property
    def _sums(self) -> tuple[Floats, Floats, Floats, float]:
        """The sum of all tasks: where pieces begin, their constants and slopes, and where all ends."""
        pieces = self.pieces
        assert pieces is not None
        first = pieces.first
        if len(first) < self.instance.task_count:  # some task has no path anywhere
            return np.zeros(0), np.zeros(0), np.zeros(0), -np.inf
        last = np.append(first[1:], len(pieces.task)) - 1
        later = np.ones(len(pieces.task), dtype=bool)
        later[first] = False
        steps = [np.diff(figure, prepend=0.0)[later] for figure in (pieces.constant, pieces.slope)]
        at, which = np.unique(pieces.low[later], return_inverse=True)
        begins = np.concatenate([[pieces.low.min()], at])
        sums = [
            np.cumsum(np.concatenate([[figure[first].sum()], np.bincount(which, step, len(at))]))
            for figure, step in zip((pieces.constant, pieces.slope), steps, strict=True)
        ]
        return begins, sums[0], sums[1], float(pieces.high[last].min())

    def _totals(self, x: Floats) -> Floats:
        begins, constant, slope, end = self._sums
        if not len(begins):
            return np.full(len(x), np.inf)
        i = np.maximum(np.searchsorted(begins, x, side="right") - 1, 0)
        near = CLOSE * 1e-3 * np.maximum(np.abs(x), np.abs(end))
        total: Floats = np.where(x > end + near, np.inf, constant[i] + slope[i] * x)
        return total

    def _reach(self, target: float) -> float | None:
        begins, constant, slope, end = self._sums
        room = target + CLOSE * abs(target)
        if not len(begins) or constant[0] + slope[0] * begins[0] > room:
            return None
        at_start = constant + slope * begins
        i = int(np.flatnonzero(at_start <= room)[-1])
        x = (target - constant[i]) / slope[i] if slope[i] > 0 else np.inf
        ends = np.append(begins[1:], end)
        reached = self.knob.value_of(float(max(min(x, ends[i]), begins[i])))
        return min(max(reached, self.low), self.high)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a piece of a task, or where the curve is not exact one a point."""
        import pandas as pd

        if self.pieces is None:
            rows = [{**vars(point), "gap": point.gap} for point in self.points]
            return pd.DataFrame(rows, columns=["value", "objective", "lower_bound", "status", "gap"])
        table = self._table()
        names = [" ".join(str(node) for node in row if node >= 0) for row in self.pieces.placement.tolist()]
        return pd.DataFrame({**table, "placement": names})

    def _table(self) -> dict[str, NDArray[Any]]:
        pieces = self._exact("pieces")
        ends = [np.array([self.knob.value_of(x) for x in at.tolist()]) for at in (pieces.low, pieces.high)]
        worth = [pieces.constant + pieces.slope * at for at in (pieces.low, pieces.high)]
        swap = ends[0] > ends[1]
        return {
            "task": pieces.task,
            "from": np.where(swap, ends[1], ends[0]),
            "to": np.where(swap, ends[0], ends[1]),
            "objective_from": np.where(swap, worth[1], worth[0]),
            "objective_to": np.where(swap, worth[0], worth[1]),
            "constant": pieces.constant,
            "slope": pieces.slope,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: the points, and the pieces where they are of one task."""
        holds = self.holds
        found: dict[str, Any] = {
            "instance": self.instance.name,
            "instance_sha256": self.instance.sha256,
            "over": self.over,
            "low": self.low,
            "high": self.high,
            "today": self.knob.today,
            "exact": self.exact,
            "unit": self.unit,
            "feasible_to": self.feasible_to,
            "plan_holds": None if holds is None else list(holds),
            "points": [point_dict(point) for point in self.points],
        }
        natural = self.knob.natural()
        found["natural"] = None if natural is None else {"of_1": natural[0], "unit": natural[1]}
        if self.pieces is not None:
            found["piece_count"] = len(self.pieces.task)
            if self.instance.task_count == 1:
                found["pieces"] = self.plain_pieces()
        return found

    def plain_pieces(self) -> list[dict[str, Any]]:
        """Return the pieces as plain values, ascending."""
        pieces, table = self._exact("pieces"), self._table()
        rows = [
            dict(zip(table, row, strict=True))
            for row in zip(*(c.tolist() for c in table.values()), strict=True)
        ]
        for row, nodes in zip(rows, pieces.placement.tolist(), strict=True):
            row["placement"] = [node for node in nodes if node >= 0]
        return rows[:: 1 if self.knob.x_of(1.0) < self.knob.x_of(2.0) else -1]

    def save_plot(self, path: str) -> None:
        """Draw the curve into a file: ``.png``, ``.svg``, ``.pdf``, or ``.html`` to point at."""
        from mecopt.drawing.what_if import save_curve

        save_curve(self, path)

    def __repr__(self) -> str:
        how = (
            f"exact, {len(self.pieces.task)} pieces"
            if self.pieces is not None
            else f"{len(self.points)} points"
        )
        return f"<Curve of {self.instance.name!r} over {self.over} from {self.low:g} to {self.high:g}: {how}>"


def point_dict(point: CurvePoint) -> dict[str, Any]:
    """Return a point as JSON holds it."""
    bound = point.lower_bound
    return {
        "value": point.value,
        "objective": point.objective,
        "lower_bound": None if bound is None or np.isinf(bound) else bound,
        "gap": point.gap,
        "status": point.status,
    }
