"""Kinds of parameter values: what each may be, and how it is read from text, JSON or Python.

A value to be drawn is a `Range`: ``6.4e6..16e6`` in text, ``{"uniform": [6.4e6, 16e6]}`` in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from mecopt.arrays import Floats
from mecopt.scalars import LARGEST, is_whole, scalar

MOST_BYTES = 10**15  # of the raw input
MOST_REPEATS = 1_000_000  # of a phase


@dataclass(frozen=True)
class Range:
    """Values drawn independently and uniformly from [low, high)."""

    low: float
    high: float

    def __call__(self, unit: Floats) -> Floats:
        """Map numbers from [0, 1) into the range."""
        return self.low + (self.high - self.low) * unit

    def __str__(self) -> str:
        return f"{to_text(self.low)}..{to_text(self.high)}"


class Kind(Protocol):
    """What a parameter may be."""

    def read(self, value: Any) -> Any:
        """Return the value in its own form, or raise ValueError with what was expected."""


@dataclass(frozen=True)
class WholeValue:
    """A whole number from `least` to `most`."""

    least: int
    most: int

    def read(self, value: Any) -> int:
        """Return the number."""
        bounds = f"{self.least} to {self.most}" if self.most < 1_000_000 else f"{self.least} or more"
        found = scalar(value)
        if found is None or not abs(found) <= LARGEST or found % 1:
            raise ValueError(f"a whole number, {bounds}")
        if found > self.most:
            raise ValueError(f"{self.least} to {self.most}")
        if found < self.least:
            raise ValueError(f"{self.least} or more")
        return int(found)


@dataclass(frozen=True)
class Number:
    """A finite number; `drawn` allows a range, `many` a list, `optional` none at all.

    Two numbers are a range, but where a list is allowed they are a list, and a range is a `Range`.
    """

    least: float = 0.0
    above: bool = True  # least itself is refused
    most: float = 1e150
    optional: bool = False
    drawn: bool = False
    many: bool = False

    def read(self, value: Any) -> float | Range | tuple[float, ...] | None:
        """Return the number, range, numbers or None."""
        if value is None and self.optional:
            return None
        if isinstance(value, Mapping) and list(value) == ["uniform"]:
            return self._range(value["uniform"])
        if isinstance(value, Range):
            return self._range((value.low, value.high))
        if self.drawn and not self.many and isinstance(value, (list, tuple)):
            return self._range(value)
        if self.many and isinstance(value, (list, tuple)) and value:
            return tuple(self._one(member) for member in value)
        return self._one(value)

    def _range(self, value: Sequence[Any]) -> Range:
        if not self.drawn or not isinstance(value, (list, tuple)) or len(value) != 2:
            raise ValueError(self._expected())
        low, high = (self._one(end) for end in value)
        if low > high:
            raise ValueError("a range LOW..HIGH whose low end is not above the high one")
        return Range(low, high)

    def _one(self, value: Any) -> float:
        found = scalar(value)
        if found is None or not abs(found) <= LARGEST:
            raise ValueError(self._expected())
        if found < self.least or (self.above and found == self.least) or found > self.most:
            raise ValueError(self._expected())
        return float(found)

    def _expected(self) -> str:
        bound = f"{'>' if self.above else '>='} {self.least:g}"
        bound += f" and <= {self.most:g}" if self.most < 1e100 else ""
        others = [
            *(["a range LOW..HIGH"] * self.drawn),
            *(["one per server"] * self.many),
            *(["none"] * self.optional),
        ]
        return " or ".join([f"a number {bound}", *others])


@dataclass(frozen=True)
class Word:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, value: Any) -> str:
        """Return the word."""
        word = "none" if value is None else value  # as `from_text` reads it
        if word not in self.words:
            raise ValueError(f"one of {', '.join(self.words)}")
        return str(word)


@dataclass(frozen=True)
class Words:
    """Any of a few words, as a sorted tuple."""

    words: tuple[str, ...]

    def read(self, value: Any) -> tuple[str, ...]:
        """Return the words."""
        given = value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
        members = () if value is None else tuple(given)
        if any(member not in self.words for member in members):
            raise ValueError(f"any of {', '.join(self.words)}, or none")
        return tuple(sorted(set(members)))


class Flag:
    """Yes or no."""

    def read(self, value: Any) -> bool:
        """Return the truth value."""
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value


class Passes:
    """Phases, each a name and how often it is passed: ``prefill,decode*200``."""

    def read(self, value: Any) -> tuple[tuple[str, int], ...]:
        """Return names and repeats."""
        given = [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
        found = [self._one(member) for member in given]
        if len({name for name, _ in found}) < len(found):
            raise ValueError("phases of different names")
        return tuple(found)

    def _one(self, member: Any) -> tuple[str, int]:
        if isinstance(member, str):
            name, star, times = member.strip().partition("*")
            pair: Any = (name.strip(), from_text(times) if star else 1)
        else:
            pair = member
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and str(pair[0]).isidentifier():
            repeat = scalar(pair[1])
            if repeat is not None and 1 <= repeat <= MOST_REPEATS and not repeat % 1:
                return str(pair[0]), int(repeat)
        raise ValueError(f"NAME or NAME*REPEAT, a whole number from 1 to {MOST_REPEATS:,}")


class NetworkName:
    """A network that mecopt counts."""

    def read(self, value: Any) -> str:
        """Return the name."""
        from mecopt import models

        if value not in models.names():
            raise ValueError(f"one of {', '.join(models.names())}")
        return str(value)


class Encoding:
    """How the raw input is encoded."""

    def read(self, value: Any) -> str | int:
        """Return float32, uint8, or a number of bytes."""
        if isinstance(value, str) and value in ("float32", "uint8"):
            return value
        if not is_whole(value) or not 0 < value <= MOST_BYTES:
            raise ValueError(f"float32, uint8, or a whole number of bytes > 0 and <= {MOST_BYTES:g}")
        return int(value)


def from_text(text: str) -> Any:
    """Read ``none``, ``true``, a number, a range ``2..9``, a list ``1,2,3``, or else a word."""
    text = text.strip()
    named = {"none": None, "true": True, "false": False}
    if text in named:
        return named[text]
    if "," in text:
        return [from_text(member) for member in text.split(",") if member.strip()]
    first, dots, last = text.partition("..")
    low, high = _number(first), _number(last)
    if dots and low is not None and high is not None:
        return Range(low, high)
    number = _number(text)
    return text if number is None else number


def to_text(value: Any) -> str:
    """Write a value as `from_text` reads it, without losing a bit."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and all(isinstance(member, tuple) for member in value):
        return ",".join(f"{name}*{repeat}" for name, repeat in value)
    if isinstance(value, tuple):
        one_number = len(value) == 1 and not isinstance(value[0], str)
        return ",".join(map(to_text, value)) + "," * one_number  # a list of one is not the number itself
    if isinstance(value, float):
        plain = repr(value).removesuffix(".0")
        short = f"{Decimal(repr(value)).normalize():e}".replace("e+", "e")
        return min(plain, short, key=len)
    return str(value)


def to_json(value: Any) -> Any:
    """Write a value as JSON holds it."""
    if isinstance(value, Range):
        return {"uniform": [value.low, value.high]}
    return [to_json(member) for member in value] if isinstance(value, tuple) else value


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None
