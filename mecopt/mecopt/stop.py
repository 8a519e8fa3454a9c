"""Stopping rules: small, and put together with `AnyOf`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class StopReason(StrEnum):
    """Why a run ended before the method was done."""

    GAP = "gap"
    TIME = "time"
    ITERATIONS = "iterations"
    INTERRUPT = "interrupt"


class StopRule(Protocol):
    """Asked between two pieces of work; answers with a reason to stop, or None."""

    def __call__(self, gap: float | None) -> StopReason | None:
        """Return a reason to stop, given the gap (a fraction; None while unknown)."""
        ...


class Compiler:
    """How long compiled loops have been compiled in this process; see `mecopt.compiling`.

    It happens once per installation and takes longer than many a time limit, which would leave nothing for
    the search.
    """

    def __init__(self) -> None:
        self.on_begin: Callable[[], None] | None = None  # called once, when the first compilation begins
        self._lock = threading.Lock()
        self._depth = 0  # a function compiles those that it calls
        self._done_s = 0.0
        self._since = 0.0

    @property
    def seconds(self) -> float:
        """Seconds so far, those of a compilation in progress included."""
        with self._lock:
            return self._done_s + (time.perf_counter() - self._since if self._depth else 0.0)

    def begin(self) -> None:
        """Note that a compilation begins."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._since = time.perf_counter()
            call, self.on_begin = self.on_begin, None
        if call is not None:
            call()

    def end(self) -> None:
        """Note that it ends, whether well or not."""
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._done_s += time.perf_counter() - self._since


COMPILER = Compiler()


def _working_time() -> float:
    return time.perf_counter() - COMPILER.seconds


@dataclass
class TimeLimit:
    """Stop when so many seconds have passed since the rule was made, those of compiling not counted."""

    seconds: float
    start: float = field(default_factory=_working_time)

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.start + self.seconds - _working_time())

    def __call__(self, gap: float | None) -> StopReason | None:
        """Stop when no time is left."""
        return StopReason.TIME if self.left == 0.0 else None


@dataclass
class IterationLimit:
    """Stop at the question after so many."""

    iterations: int
    asked: int = 0

    def __call__(self, gap: float | None) -> StopReason | None:
        """Stop when asked too often."""
        self.asked += 1
        return StopReason.ITERATIONS if self.asked > self.iterations else None


@dataclass(frozen=True)
class GapTarget:
    """Stop when the gap (a fraction) is as small as asked."""

    gap: float

    def __call__(self, gap: float | None) -> StopReason | None:
        """Stop when the gap is small enough."""
        return StopReason.GAP if gap is not None and gap <= self.gap else None


@dataclass(frozen=True)
class AnyOf:
    """Stop when any of the rules says so; the first one gives the reason."""

    rules: tuple[StopRule, ...]

    def __call__(self, gap: float | None) -> StopReason | None:
        """Ask every rule."""
        reasons = [rule(gap) for rule in self.rules]  # each is asked, since some of them count
        return next((reason for reason in reasons if reason is not None), None)
