"""A small network over what is seen of the servers, which moves what their entries cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mecopt.arrays import Floats
from mecopt.errors import InputError

# What a server looks like to the network, once a server; seconds are in units, as log(1 + x).
FEATURES = (
    "backlog seen", "work in flight", "u", "mean u of the servers", "least u", "most u", "age of the news",
    "arrivals of the short window", "arrivals of the long window", "log size", "own device", "own radio",
    "log of the server's seconds",
)  # fmt: skip
# What it says: p, q, r and u of the server are moved by so many times 1, `grow`, `curve` and `unit_s`.
OUTPUTS = 4
WINDOW_TASKS = (10.0, 100.0)  # mean tasks of the windows over past arrivals; each task fades in them


@dataclass(frozen=True, eq=False)
class PriceHead:
    """Weights and scales of the network: F features, H hidden units, 4 outputs a server; N servers.

    The same weights are used for every server, so they suit any number of them.

    Attributes
    ----------
    hidden, bias : arrays (F, H), (H,)
    out, offset : arrays (H, 4), (4,)
    unit_s : float
        Mean seconds of a task's work on a server.
    speed : array (N,)
        Log of a server's mean seconds over `unit_s`.
    grow, curve : arrays (N,)
        Units of q and r.
    rate : float
        Mean arrivals a second, which the windows are measured by.
    """

    hidden: Floats
    bias: Floats
    out: Floats
    offset: Floats
    unit_s: float
    speed: Floats
    grow: Floats
    curve: Floats
    rate: float

    def __post_init__(self) -> None:
        width = len(self.bias)
        expected = ((len(FEATURES), width), (width,), (width, OUTPUTS), (OUTPUTS,))
        found = (self.hidden.shape, self.bias.shape, self.out.shape, self.offset.shape)
        if found != expected:
            raise InputError(f"weights of shapes {found}, expected {expected}")

    def table(self) -> tuple[Floats, ...]:
        """Return what the kernel reads; the last two are its scratch."""
        scales = np.array([self.unit_s, self.rate, *WINDOW_TASKS])
        parts = (self.hidden.T, self.bias, self.out, self.offset, self.speed, self.grow, self.curve, scales)
        plain = tuple(np.ascontiguousarray(part, dtype=np.float64) for part in parts)
        return (*plain, np.zeros(len(FEATURES)), np.zeros(len(self.bias)))


def no_head() -> tuple[Floats, ...]:
    """Return a table in the place of a network where there is none."""
    none, flat = np.zeros((0, 0)), np.zeros(0)
    return (none, flat, none, flat, flat, flat, flat, np.ones(4), flat, flat)
