"""What `pareto` returns: plans that no other plan beats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.arrays import Floats, Ints
from mecopt.errors import InputError, shown
from mecopt.instance import Instance
from mecopt.judge import Evaluation, evaluate
from mecopt.placements import placement_lists
from mecopt.scalars import is_whole, number
from mecopt.tolerances import slack
from mecopt.what_if.price_list import UNITS, PlanPrices

if TYPE_CHECKING:
    import pandas as pd

FEW = 12  # tasks whose plans are all added up, and written


class PointError(InputError, IndexError):
    """A number that is no point of a front."""


@dataclass(frozen=True, eq=False)
class Front:
    """Plans that no other plan beats in every axis, by the first axis.

    Attributes
    ----------
    axes : tuple of str
        ``delay`` in seconds (penalties of soft deadlines included), ``energy`` in joules, ``price`` in money.
    points : array of shape (points, axes)
    exact : bool
        Whether these are all such plans. Else they are those that are the least for some weights, and no plan
        lies below the lines between neighbours.
    supported : array of bool or None
        Which points are the least for some weights; None for three axes.
    gaps : array of shape (points,)
        0 where the front is exact. Else, for limits on the second axis that this point keeps and the one
        before it does not, how far it is above the least of the first axis at most, a fraction.
    """

    instance: Instance
    axes: tuple[str, ...]
    points: Floats
    exact: bool
    supported: NDArray[np.bool_] | None
    gaps: Floats
    prices: PlanPrices
    _plan: Callable[[int], Ints]

    @property
    def gap(self) -> float:
        """The largest of the gaps."""
        return float(self.gaps.max(initial=0.0))

    def __len__(self) -> int:
        return len(self.points)

    def plan(self, point: int) -> Ints:
        """Return the placement of a point, (tasks, longest model).

        Raises
        ------
        InputError
            If there is no such point; it is an IndexError too.
        """
        if not is_whole(point) or not 0 <= point < len(self):
            raise PointError(f"point: {shown(point)}, expected 0 to {len(self) - 1}")
        return self._plan(int(point))

    def evaluate(self, point: int) -> Evaluation:
        """Return what the judge says of the placement of a point."""
        return evaluate(self.instance, self.plan(point))

    def within(self, /, **limits: float) -> int | None:
        """Return the point that has least of the first axis within limits on the others; None without one.

        Parameters
        ----------
        **limits : float
            By the names of axes, such as ``energy=2.5``; at least one.

        Raises
        ------
        InputError
            If there is none, one names no axis, or is no number >= 0.
        """
        if not limits:
            raise InputError(f"within: no limit, expected one on {' or '.join(self.axes)}")
        fits = np.ones(len(self), dtype=bool)
        for name, limit in limits.items():
            if name not in self.axes:
                raise InputError(f"{name}: no axis of this front, expected one of {', '.join(self.axes)}")
            fits &= self.points[:, self.axes.index(name)] <= slack(float(number(name, limit)))
        found = np.flatnonzero(fits)
        return int(found[0]) if found.size else None

    def to_frame(self) -> pd.DataFrame:
        """Return one row a point."""
        import pandas as pd

        table: dict[str, Any] = {axis: self.points[:, d] for d, axis in enumerate(self.axes)}
        if self.supported is not None:
            table["supported"] = self.supported
        if not self.exact:
            table["gap"] = self.gaps
        return pd.DataFrame(table)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; the plans too where the tasks are few."""
        rows: list[dict[str, Any]] = [dict(zip(self.axes, row, strict=True)) for row in self.points.tolist()]
        for p, row in enumerate(rows):
            if self.supported is not None:
                row["supported"] = bool(self.supported[p])
            row["gap"] = float(self.gaps[p])
            if self.instance.task_count <= FEW:
                row["placement"] = placement_lists(self.plan(p), self.instance)
        return {
            "instance": self.instance.name,
            "instance_sha256": self.instance.sha256,
            "axes": list(self.axes),
            "units": [UNITS[axis] for axis in self.axes],
            "exact": self.exact,
            "gap": self.gap,
            "points": rows,
        }

    def save_plot(self, path: str) -> None:
        """Draw the front into a file: ``.png``, ``.svg``, ``.pdf``, or ``.html`` to point at."""
        from mecopt.drawing.what_if import save_front

        save_front(self, path)

    def __repr__(self) -> str:
        how = "all" if self.exact else f"gap {self.gap:.2%}"
        return f"<Front of {self.instance.name!r}, {' and '.join(self.axes)}: {len(self)} points, {how}>"
