"""Timing pieces: passes over divisions of a chain, in order, again and again."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mecopt.profiling.divisions import Stretch
from mecopt.profiling.profile_document import TimesDoc

COUNTED = 2  # passes over a division each time that it is its turn, after one that fills the caches


class Piece(Protocol):
    """A stretch that is ready to run on named values."""

    outputs: tuple[str, ...]

    def run(self, values: dict[str, Any]) -> Sequence[Any]:
        """Return the outputs, in the order of their names."""
        ...


@dataclass
class Times:
    """Seconds of a stretch: of its first run, and of each run that counts in order."""

    warm_up_s: float = 0.0
    counted: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def halves(self) -> tuple[float, float]:
        """Return the medians of the first and of the second half of the runs."""
        middle = len(self.counted) // 2
        return float(np.median(self.counted[:middle])), float(np.median(self.counted[middle:]))

    @property
    def median_s(self) -> float:
        """Median of the runs that count."""
        return float(np.median(self.counted))

    def doc(self) -> TimesDoc:
        """Return the figures that a profile holds."""
        return TimesDoc(**self.figures())

    def figures(self) -> dict[str, Any]:
        """Return the fields of a `TimesDoc`."""
        low, middle, high = np.quantile(self.counted, [0.25, 0.5, 0.75]).tolist()
        return {
            "warm_up_s": self.warm_up_s,
            "median_s": middle,
            "lower_quartile_s": low,
            "upper_quartile_s": high,
            "count": len(self.counted),
        }


def time_divisions(
    divided: Sequence[tuple[list[Stretch], list[Piece]]],
    values: dict[str, Any],
    *,
    repeat: int,
    idle_s: float,
    clock: Callable[[], float],
) -> list[list[Times]]:
    """Pass over divisions in turn, `repeat` times; return the times of their stretches.

    Parameters
    ----------
    divided : sequence of (stretches, pieces ready to run)
    values : dict
        Tensors by name, all that any piece takes; outputs take the place of what was there, so that a piece
        reads what the one before it has written.
    idle_s : float
        How long is waited in front of every piece. Caches forget meanwhile, so every pass is like a first
        one, and none is needed to fill them.
    """
    times = [[Times() for _ in stretches] for stretches, _ in divided]
    waste = 0 if idle_s else 1
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(repeat):
            for (_, pieces), kept in zip(divided, times, strict=True):
                for i in range(waste + COUNTED):
                    _run(pieces, values, kept, idle_s, clock, first=turn + i == 0, counts=i >= waste)
    finally:
        if collecting:
            gc.enable()
    return times


def _run(
    pieces: Sequence[Piece],
    values: dict[str, Any],
    kept: Sequence[Times],
    idle_s: float,
    clock: Callable[[], float],
    *,
    first: bool,
    counts: bool,
) -> None:
    for piece, times in zip(pieces, kept, strict=True):
        if idle_s:
            time.sleep(idle_s)
        wall, begin = time.perf_counter(), clock()
        found = piece.run(values)
        seconds, wall = clock() - begin, time.perf_counter() - wall
        values.update(zip(piece.outputs, found, strict=True))
        if first:
            times.warm_up_s = seconds
        if counts:
            times.counted.append(seconds)
            times.wall.append(wall)
