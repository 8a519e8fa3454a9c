"""What a search of a program is asked to do, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from mecopt.arrays import Floats
from mecopt_solvers.programs.linear_program import Program


@dataclass(frozen=True)
class SearchOutcome:
    """How a search ended; the bound is in the program's own seconds, as the solver gives it."""

    ended: Literal["optimal", "infeasible", "stopped", "held", "failed"]
    bound: float | None = None
    message: str = ""
    error: float = 0.0  # seconds by which the solver's own costs can be wrong
    held: HeldSearch | None = None  # goes on where this one was held


class HeldSearch(Protocol):
    """A search that waits, and goes on when told."""

    def go_on(self) -> SearchOutcome:
        """Search on, until the end or until it is due again."""

    def leave(self) -> None:
        """End it: it will not go on."""


@dataclass(frozen=True, eq=False)
class Job:
    """What a search is asked to do.

    Parameters
    ----------
    program : Program
    unit : float
        Seconds of objective that the solver sees as 1.
    start_value : float, optional
        Objective of the start in seconds, where its column values do not tell it.
    start : array of shape (C,), optional
        Column values that are feasible: a hint, or only their value as a cutoff.
    found : callable
        Called with column values as they are found.
    bound : callable
        Called with a lower bound, in the program's own seconds.
    due : callable
        Says whether to stop.
    hold : callable
        Asked when it is due: whether the search is to wait, for an engine that can, rather than to stop.
    time_left_s, threads, seed
        As in `mecopt.Run`.
    strict : bool
        Whether to use the tightest tolerances; on a second try they are wider.
    """

    program: Program
    unit: float
    start: Floats | None
    found: Callable[[Floats], None]
    bound: Callable[[float], None]
    due: Callable[[], bool]
    time_left_s: float = np.inf
    threads: int = 1
    seed: int = 0
    strict: bool = True
    start_value: float | None = None
    hold: Callable[[], bool] = bool
