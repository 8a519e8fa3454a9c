"""Stopping rules: small, and put together with `AnyOf`."""

from __future__ import annotations

import time
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


@dataclass
class TimeLimit:
    """Stop when so many seconds have passed since the rule was made."""

    seconds: float
    start: float = field(default_factory=time.perf_counter)

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.start + self.seconds - time.perf_counter())

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
