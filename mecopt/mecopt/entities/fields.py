"""How the fields of entities are checked and put into one form, whatever kind of number or text was given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mecopt.arrays import Floats
from mecopt.errors import InstanceError, shown
from mecopt.scalars import finite, numbers

if TYPE_CHECKING:
    from mecopt.entities.models import Block
    from mecopt.entities.nodes import Server

Member = TypeVar("Member", bound=StrEnum)
Part = TypeVar("Part", "Block", "Server")
PerPhase = float | tuple[float, ...]  # one number for every phase, or one for each


def frozen(array: NDArray[Any]) -> Any:
    """Return a contiguous read-only copy of the array (the array itself if it is both)."""
    if array.flags.writeable or not array.flags.c_contiguous or array.base is not None:
        array = np.array(array, order="C")
        array.setflags(write=False)
    return array


def one_number(value: Any, place: str, *, positive: bool = False) -> float:
    """Return the number as a Python float, whatever kind of number it was.

    Raises
    ------
    InstanceError
        If it is no number, infinite, negative, or 0 where it has to be positive.
    """
    number = finite(value)
    if number is None or not (number > 0 if positive else number >= 0):
        raise InstanceError(f"{place}: {shown(value)}, expected a number {'> 0' if positive else '>= 0'}")
    return number


def per_phase(value: Any, place: str) -> PerPhase:
    """Return a number, or a tuple of numbers where one for each phase was given."""
    if isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value) == 1:
        return tuple(one_number(v, f"{place}[{p}]") for p, v in enumerate(value))
    return one_number(value, place)


def in_phase(value: PerPhase | None, phase: int = 0) -> float:
    """Return a value in one phase; NaN where there is none, 0 in a phase that the model does not have."""
    if isinstance(value, tuple):
        return value[phase] if phase < len(value) else 0.0
    return float("nan") if value is None else value


def array_of(value: ArrayLike, place: str) -> Floats:
    """Return numbers as floats, infinities and NaN included.

    Raises
    ------
    InstanceError
        If they are no numbers.
    """
    array = numbers(value)
    if array is None:
        raise InstanceError(f"{place}: {shown(value)}, expected numbers")
    return array


def text(value: Any, place: str) -> str:
    """Return a text as Python's own; refuse what is none, and what UTF-8 cannot hold (half a character).

    Raises
    ------
    InstanceError
        If it is none.
    """
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise InstanceError(f"{place}: {shown(value)}, expected a text") from None
    return str(value)


def set_texts(part: object, place: str, *names: str) -> None:
    """Put texts into Python's own form; `hardware` may be None."""
    for name in names:
        value = getattr(part, name)
        if value is not None or name != "hardware":
            object.__setattr__(part, name, text(value, f"{place}: {name}"))


def set_numbers(
    part: object, place: str, *names: str, positive: bool = False, optional: bool = False
) -> None:
    """Put numbers into Python's own form; optional ones may be None."""
    for name in names:
        value = getattr(part, name)
        if value is not None or not optional:
            object.__setattr__(part, name, one_number(value, f"{place}: {name}", positive=positive))


def by_hardware(value: Any, place: str) -> dict[str, PerPhase]:
    """Return seconds by kind of hardware, each a number or one per phase.

    Raises
    ------
    InstanceError
        If it is no mapping to numbers >= 0.
    """
    if not isinstance(value, Mapping):
        raise InstanceError(f"{place}: {shown(value)}, expected seconds by hardware")
    return {text(kind, place): per_phase(seconds, f"{place}.{kind}") for kind, seconds in value.items()}


def named(parts: Iterable[Part], prefix: str) -> tuple[Part, ...]:
    """Give every part without a name the prefix and its number, from 1."""
    return tuple(
        part if part.name else dataclasses.replace(part, name=f"{prefix}{i}")
        for i, part in enumerate(parts, 1)
    )


def member(kind: type[Member], value: Any, place: str) -> Member:
    """Return the member of an enumeration that a text names.

    Raises
    ------
    InstanceError
        If it names none.
    """
    if not isinstance(value, str) or value not in list(kind):
        raise InstanceError(f"{place}: {shown(value)}, expected one of {', '.join(kind)}")
    return kind(value)


def shaped(value: ArrayLike, shape: tuple[int, ...], place: str) -> Floats:
    """Return one number or an array of that shape as an array of that shape; finite, >= 0.

    Raises
    ------
    InstanceError
        If the shape is another, or a number is not finite or below 0.
    """
    array = array_of(value, place)
    if array.ndim and array.shape != shape:
        expected = " x ".join(map(str, shape))
        raise InstanceError(f"{place}: shape {array.shape}, expected one number or {expected}")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise InstanceError(f"{place}: expected finite numbers >= 0")
    return np.array(np.broadcast_to(array, shape))


def name_problems(part: str, names: Sequence[str]) -> Iterator[str]:
    """Yield every name that is empty or already taken; `part` is where the names are, such as "models"."""
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        if not name:
            yield f"{part}[{i}].name: empty, expected a text"
        if first.setdefault(name, i) != i:
            yield f"{part}[{i}].name: {shown(name)} is also the name of {part}[{first[name]}]"
