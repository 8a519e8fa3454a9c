"""Numbers as people hand them over: Python's, numpy's, and 1.0 where a whole number is expected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT = 2**53  # up to here a float tells every whole number


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
