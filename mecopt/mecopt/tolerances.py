"""Every tolerance that more than one place goes by; what only one place needs stands there."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from mecopt.arrays import Floats

RELATIVE_SLACK = 1e-9
SMALLEST_SCALE = 1e-3

# Sums in another order than the judge's may differ in the last bits. A method that must not lose anything
# feasible goes beyond a limit by this factor, one that must not exceed it stays below by the other.
JUST_ABOVE = 1.0 + 1e-12
JUST_BELOW = 1.0 - 1e-13

OPTIMALITY_TOLERANCE = 1e-6  # the largest gap of what is called optimal
LARGEST_NEGATIVE_GAP = 1e-9  # rounding; anything below shows that a bound or an objective is wrong
SMALLEST_REFERENCE = 1e-12  # seconds: what a relative difference is at least a share of
AGREEMENT = 1e-6  # relative difference between two figures for one thing, such as a method's and the judge's

Limit = TypeVar("Limit", float, Floats)


def scale(reference: float) -> float:
    """Return what a difference from a figure is divided by to be relative."""
    return max(abs(reference), SMALLEST_REFERENCE)


def excess(value: float, reference: float) -> float:
    """Return by how much a value lies above another, relatively; negative where it lies below."""
    return (value - reference) / scale(reference)


def agree(claimed: float, value: float) -> bool:
    """Say whether a claimed figure is the judge's; NaN never is."""
    return abs(claimed - value) <= AGREEMENT * scale(value)


def slack(limit: Limit) -> Limit:
    """Return the largest use that still counts as within the limit, whatever its unit.

    One feasible set for everybody: a limit is met when used <= slack(limit).
    """
    widened: Limit = limit + RELATIVE_SLACK * np.maximum(limit, SMALLEST_SCALE)
    return widened
