"""What load adds to a slot's objective, as functions of a server's load, its share of the slot; compiled.

A server of load x adds A x^2 / (1 - x) (mm1) or A x^2 (affine) above the calculations by themselves, where A
is the objective of a slot's length of delay. `top` is the largest load. With A = 0 only `top` counts.
"""

from __future__ import annotations

import numpy as np

from mecopt.compiling import njit

INF = np.inf
BEND = 0.995  # from this load on the master's curve goes on flatter: it has to live with overfull servers


@njit(cache=True, nogil=True, error_model="numpy")
def added(x, worth, mm1, top):  # type: ignore[no-untyped-def]
    """Return what a load adds, inf above the largest one."""
    if x > top:
        return INF
    if worth == 0.0:
        return 0.0
    return worth * x * x / (1.0 - x) if mm1 else worth * x * x


@njit(cache=True, nogil=True, error_model="numpy")
def conjugate(price, worth, mm1, top):  # type: ignore[no-untyped-def]
    """Return the largest value of price x - added(x) over the loads, the conjugate of what is added."""
    if worth == 0.0:
        return price * top if price > 0.0 else 0.0
    if mm1:
        root = np.sqrt(1.0 + price / worth)
        x = 1.0 - 1.0 / root
    else:
        x = 0.5 * price / worth
    if x > top:
        x = top
        return price * x - (worth * x * x / (1.0 - x) if mm1 else worth * x * x)
    if mm1:
        gone = price / worth / (root + 1.0)  # root - 1 without cancellation
        return worth * gone * gone
    return 0.5 * price * x


@njit(cache=True, nogil=True, error_model="numpy")
def smooth(x, worth, mm1):  # type: ignore[no-untyped-def]
    """Return value, slope and curvature of what is added, as a parabola above `BEND`."""
    if not mm1:
        return worth * x * x, 2.0 * worth * x, 2.0 * worth
    at = min(x, BEND)
    left = 1.0 / (1.0 - at)
    value, slope, bend = at * at * left, left * left - 1.0, 2.0 * left * left * left
    over = x - at
    if over > 0.0:
        bend = slope
    return (
        worth * (value + over * (slope + 0.5 * bend * over)),
        worth * (slope + bend * over),
        worth * bend,
    )
