"""Stopping rules: small, and put together with `AnyOf`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class StopReason(StrEnum):
    """Why a run ended before the method was done."""

    GAP = "gap"
    TIME = "time"
    ITERATIONS = "iterations"
    INTERRUPT = "interrupt"


class OutOfTime(Exception):
    """A rule said stop in the middle of a piece of work; ends the method, and what it has found counts."""


class StopRule(Protocol):
    """Asked between two pieces of work; answers with a reason to stop, or None."""

    def __call__(self, gap: float | None) -> StopReason | None:
        """Return a reason to stop, given the gap (a fraction; None while unknown)."""
        ...


class Compiler:
    """How long this process has compiled loops, and how long it has loaded libraries and compiled loops.

    Compiling happens once per installation and takes longer than many a time limit, loading once a process;
    neither should leave less for the search. See `mecopt.compiling`.
    """

    def __init__(self) -> None:
        self.on_begin: Callable[[], None] | None = None  # called once, when the first compilation begins
        self._lock = threading.Lock()
        self._compiling = 0  # a function compiles those that it calls
        self._loading = 0
        self._compiled_s = 0.0
        self._loaded_s = 0.0
        self._since = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of compiling so far, those of a compilation in progress included."""
        with self._lock:
            self._count()
            return self._compiled_s

    @property
    def loading_s(self) -> float:
        """Seconds of loading so far, those spent compiling left out."""
        with self._lock:
            self._count()
            return self._loaded_s

    def begin(self) -> None:
        """Note that a compilation begins."""
        with self._lock:
            self._count()
            self._compiling += 1
            call, self.on_begin = self.on_begin, None
        if call is not None:
            call()

    def end(self) -> None:
        """Note that it ends, whether well or not."""
        with self._lock:
            self._count()
            self._compiling -= 1

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Count what happens in the block as loading."""
        with self._lock:
            self._count()
            self._loading += 1
        try:
            yield
        finally:
            with self._lock:
                self._count()
                self._loading -= 1

    def _count(self) -> None:
        """Credit the time since the last count to what was going on."""
        now = time.perf_counter()
        if self._compiling:
            self._compiled_s += now - self._since
        elif self._loading:
            self._loaded_s += now - self._since
        self._since = now


COMPILER = Compiler()
LOADING_S = 1.0  # most seconds of loading that a time limit does not count: 0.25 are usual


@dataclass
class TimeLimit:
    """Stop when so many seconds have passed since the rule was made.

    Compiling is not counted, and neither are the first `LOADING_S` seconds of loading.
    """

    seconds: float
    start: float = field(default_factory=time.perf_counter)
    compiled_s: float = field(default_factory=lambda: COMPILER.seconds)  # of the process, at the start
    loaded_s: float = field(default_factory=lambda: COMPILER.loading_s)

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        loading = min(COMPILER.loading_s - self.loaded_s, LOADING_S)
        spent = time.perf_counter() - self.start - (COMPILER.seconds - self.compiled_s) - loading
        return max(0.0, self.seconds - spent)

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
