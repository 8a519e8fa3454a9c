"""Stopping rules: small, and put together with `AnyOf`."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from mecopt.errors import InputError, shown


class StopReason(StrEnum):
    """Why a run ended before the method was done."""

    GAP = "gap"
    TIME = "time"
    ITERATIONS = "iterations"
    INTERRUPT = "interrupt"


class OutOfTime(Exception):
    """A rule said stop in the middle of a piece of work; ends the method, and what it has found counts."""


class StopRule(Protocol):
    """Asked between two pieces of work; answers with a reason to stop, or None.

    Any function of the gap will do. Rules of mecopt are put together by ``|`` (any of them) and ``&`` (all).
    """

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


class Composed:
    """What lets rules be put together: ``TimeLimit(60) | GapTarget(0.01)``."""

    def __or__(self, other: StopRule) -> AnyOf:
        return AnyOf((self, _rule(other)))  # type: ignore[arg-type]

    def __ror__(self, other: StopRule) -> AnyOf:
        return AnyOf((_rule(other), self))  # type: ignore[arg-type]

    def __and__(self, other: StopRule) -> AllOf:
        return AllOf((self, _rule(other)))  # type: ignore[arg-type]

    def __rand__(self, other: StopRule) -> AllOf:
        return AllOf((_rule(other), self))  # type: ignore[arg-type]


def _rule(value: Any) -> StopRule:
    if not callable(value):
        raise InputError(f"stop: {shown(value)}, expected a rule, a function of the gap")
    return value  # type: ignore[no-any-return]


def _amount(name: str, value: Any) -> None:
    """Refuse what is no number.

    Raises
    ------
    InputError
    """
    from mecopt.scalars import scalar

    found = scalar(value)
    if found is None or math.isnan(found):
        raise InputError(f"{name}: {shown(value)}, expected a number")


LOADING_S = 1.0  # most seconds of loading that a time limit does not count: 0.25 are usual


@dataclass
class TimeLimit(Composed):
    """Stop when so many seconds have passed since the rule was made.

    Compiling is not counted, and neither are the first `LOADING_S` seconds of loading.
    """

    seconds: float
    start: float = field(default_factory=time.perf_counter)
    compiled_s: float = field(default_factory=lambda: COMPILER.seconds)  # of the process, at the start
    loaded_s: float = field(default_factory=lambda: COMPILER.loading_s)

    def __post_init__(self) -> None:
        _amount("TimeLimit", self.seconds)

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
class IterationLimit(Composed):
    """Stop at the question after so many."""

    iterations: int
    asked: int = 0

    def __post_init__(self) -> None:
        _amount("IterationLimit", self.iterations)

    def __call__(self, gap: float | None) -> StopReason | None:
        """Stop when asked too often."""
        self.asked += 1
        return StopReason.ITERATIONS if self.asked > self.iterations else None


@dataclass(frozen=True)
class GapTarget(Composed):
    """Stop when the gap (a fraction) is as small as asked."""

    gap: float

    def __post_init__(self) -> None:
        _amount("GapTarget", self.gap)

    def __call__(self, gap: float | None) -> StopReason | None:
        """Stop when the gap is small enough."""
        return StopReason.GAP if gap is not None and gap <= self.gap else None


@dataclass(frozen=True)
class AnyOf(Composed):
    """Stop when any of the rules says so; the first one gives the reason."""

    rules: tuple[StopRule, ...]

    def __call__(self, gap: float | None) -> StopReason | None:
        """Ask every rule."""
        reasons = [rule(gap) for rule in self.rules]  # each is asked, since some of them count
        return next((reason for reason in reasons if reason is not None), None)


@dataclass(frozen=True)
class AllOf(Composed):
    """Stop when all of the rules say so at the same time; the first one gives the reason."""

    rules: tuple[StopRule, ...]

    def __call__(self, gap: float | None) -> StopReason | None:
        """Ask every rule."""
        reasons = [rule(gap) for rule in self.rules]
        return reasons[0] if reasons and all(reason is not None for reason in reasons) else None


def without_iterations(rule: StopRule) -> StopRule | None:
    """Return a rule that is asked in the middle of a piece of work, where nothing is counted; None for none.

    Of rules that all have to say so, one that counts cannot be asked there, so all of them wait.
    """
    if isinstance(rule, IterationLimit):
        return None
    if isinstance(rule, AnyOf):
        return AnyOf(tuple(kept for own in rule.rules if (kept := without_iterations(own)) is not None))
    if isinstance(rule, AllOf):
        same = all(without_iterations(own) is own for own in rule.rules)
        return rule if same else None
    return rule


def time_left_s(rule: StopRule) -> float:
    """Return the seconds after which a rule stops whatever else happens, inf where it may never."""
    if isinstance(rule, TimeLimit):
        return rule.left
    if isinstance(rule, AnyOf):
        return min(map(time_left_s, rule.rules), default=math.inf)
    if isinstance(rule, AllOf):
        return max(map(time_left_s, rule.rules), default=math.inf)
    return math.inf


def reason_of(rule: StopRule, gap: float | None) -> StopReason | None:
    """Ask a rule, which may be the caller's own.

    Raises
    ------
    InputError
        If it answers with something else than a reason or None.
    """
    reason = rule(gap)
    if reason is None:
        return None
    try:
        return StopReason(reason)
    except ValueError:
        known = ", ".join(StopReason)
        raise InputError(f"stop: a rule answered {shown(reason)}, expected None or one of {known}") from None
