"""Numbers as people hand them over: numpy's are as good as Python's, 1.0 is a whole number, True is none."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from numbers import Real
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.errors import InputError, shown

LARGEST_SEED = 2**63  # what files, stores and generators hold
LARGEST_COUNT = 2**63 - 1
LARGEST = sys.float_info.max
EXACT = 2**53  # up to here a float tells every whole number, and so do files: batches, repeats


def scalar(value: Any) -> float | int | None:
    """Return a number of Python, numpy or a tensor of no dimension as Python's own; None for all else.

    Truth values are no numbers.
    """
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if isinstance(value, int):
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf


def whole(name: str, value: Any, least: int, most: int = LARGEST_COUNT) -> int:
    """Return an argument that has to be a whole number; 3.0 is one.

    Raises
    ------
    InputError
        If it is none, or out of range.
    """
    found = scalar(value)
    if found is None or not abs(found) <= LARGEST or found % 1:
        raise InputError(f"{name}: {_shown(value)}, expected a whole number >= {least}")
    if found < least:
        raise InputError(f"{name}: {_shown(value)}, expected at least {least}")
    if found > most:
        raise InputError(f"{name}: {_shown(value)}, expected at most {most}")
    return int(found)


def number(name: str, value: Any, least: float = 0.0) -> float | int:
    """Return an argument that has to be a finite number; whole ones stay whole.

    Raises
    ------
    InputError
        If it is none, not finite, or below `least`.
    """
    found = scalar(value)
    if found is None or not abs(found) <= LARGEST:
        raise InputError(f"{name}: {_shown(value)}, expected a finite number >= {least:g}")
    if found < least:
        raise InputError(f"{name}: {_shown(value)}, expected at least {least:g}")
    return found


def is_whole(value: Any) -> bool:
    """Say whether a value is a whole number; 1.0 is one, True is none."""
    if isinstance(value, (int, np.integer)):
        return not isinstance(value, bool)
    return isinstance(value, (float, np.floating)) and float(value).is_integer()


def whole_numbers(values: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return an array of whole numbers as int64, or None if it holds others, or too large ones."""
    if values.dtype.kind == "f":
        if not (np.isfinite(values) & (np.abs(values) <= EXACT) & (values == np.rint(values))).all():
            return None
    elif values.dtype.kind not in "iu" or (
        values.dtype.kind == "u" and (values > np.iinfo(np.int64).max).any()
    ):
        return None
    return values.astype(np.int64, copy=False)


def finite(value: Any) -> float | None:
    """Return a finite number as a float, whatever kind of number it was; None if it is none."""
    if isinstance(value, (str, bytes, bytearray)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def numbers(value: Any) -> NDArray[np.float64] | None:
    """Return a number or nested numbers as a float array, NaN and infinities included; else None."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iufO" and array.size:
            return None
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        return None


def plain_numbers(value: Any) -> Any:
    """Return plain values with numpy's scalars replaced by Python's; the value itself if there are none."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        items = {key: plain_numbers(part) for key, part in value.items()}
        return items if any(items[key] is not part for key, part in value.items()) else value
    if isinstance(value, (list, tuple)):
        members = [plain_numbers(part) for part in value]
        return members if any(a is not b for a, b in zip(members, value, strict=True)) else value
    return value


def without_numpy(value: Any) -> Any:
    """Return a value with numpy's numbers and arrays, wherever they are in it, as Python's."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: without_numpy(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_numpy(member) for member in value]
    return value


def plain(value: Any) -> Any:
    """Return an option as JSON holds it: numpy's numbers and arrays as Python's, what JSON lacks as text."""
    value = without_numpy(value)
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    if isinstance(value, PathLike):
        return str(fspath(value))
    found = scalar(value)
    return found if found is not None and abs(found) <= LARGEST else repr(value)


def _shown(value: Any) -> str:
    return shown(value.item() if isinstance(value, np.generic) else value)
