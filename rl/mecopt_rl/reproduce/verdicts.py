"""Verdicts on printed numbers, from intervals over seeds.

A reduction of x % over a baseline is (baseline - ours) / baseline; against zero it is undefined. Intervals
are 95 % t intervals of the mean over seeds. A reduction holds where its interval lies above 0 and reaches the
printed value, fails where it stays below the printed value, and is undecided otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mecopt_rl.reproduce.results import Floats, Interval, interval

HOLDS, FAILS, UNDECIDED, UNDEFINED = "holds", "fails", "undecided", "undefined"
STEP_TOLERANCE = 0.001  # of a delay or energy: a smaller change from one value to the next is none


def reductions(baseline: Floats, ours: Floats) -> Floats:
    """Return (baseline - ours) / baseline, NaN where the baseline is zero or missing."""
    found: Floats = np.full(np.broadcast(baseline, ours).shape, np.nan)
    np.divide(baseline - ours, baseline, out=found, where=np.nan_to_num(baseline) != 0)
    return found


def reduction_verdict(found: Interval, printed: float) -> str:
    """Judge a reduction; both are fractions."""
    if found.seeds == 0:
        return UNDEFINED
    if found.low is None or found.high is None:
        return UNDECIDED
    if found.high < printed:
        return FAILS
    return HOLDS if found.low > 0 else UNDECIDED


def together(verdicts: Sequence[str]) -> str:
    """Return the verdict of a claim that says several things at once."""
    order = (FAILS, UNDEFINED, UNDECIDED, HOLDS)
    return next((one for one in order if one in verdicts), UNDECIDED)


def step_verdict(values: Floats, rising: bool) -> str:
    """Judge that values (points, seeds) rise, or fall, from every point to the next."""
    if len(values) < 2 or not np.isfinite(values).any():
        return UNDECIDED
    verdicts = []
    for before, after in pairwise(values):
        change = (after - before) * (1.0 if rising else -1.0)
        found, least = interval(change), STEP_TOLERANCE * abs(float(np.nanmean(before)))
        if found.low is None or found.high is None:
            verdicts.append(UNDECIDED)
        elif found.low > least:
            verdicts.append(HOLDS)
        else:
            verdicts.append(FAILS if found.high < least or found.mean <= 0 else UNDECIDED)
    return together(verdicts)


def percent(found: Interval) -> str:
    """Write a reduction with its interval."""
    if found.seeds == 0:
        return "undefined"
    if found.low is None or found.high is None:
        return f"{100 * found.mean:.2f} %"
    return f"{100 * found.mean:.2f} [{100 * found.low:.2f}, {100 * found.high:.2f}] %"


def plain(found: Interval, digits: int = 5) -> str:
    """Write a value with its interval."""
    text = f"{found.mean:,.{digits}g}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{found.low:,.{digits}g}, {found.high:,.{digits}g}]"


def above_zero(found: Interval) -> str:
    """Judge that a difference is above zero."""
    if found.low is None or found.high is None:
        return UNDECIDED
    return HOLDS if found.low > 0 else FAILS if found.high < 0 else UNDECIDED
