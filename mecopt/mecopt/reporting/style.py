"""How methods look: one colour, dash and shape for each, the same in every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Okabe and Ito's palette without black and yellow, which one of the two backgrounds swallows, and a grey.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A8A8A")
LEAST_PERCENT = 0.0001  # the tolerance of optimality: no smaller gap is told apart from it
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [1, 4])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


@dataclass(frozen=True)
class Look:
    """Colour, dash pattern and shape of a method."""

    label: str
    colour: str
    dash: list[int]
    shape: str


def looks(labels: Sequence[str]) -> list[Look]:
    """Return a look for every method; up to 36 differ in dash or shape, so that no colour is needed."""
    return [
        Look(
            label,
            COLOURS[i % len(COLOURS)],
            DASHES[i % len(DASHES)],
            SHAPES[(i + i // len(DASHES)) % len(SHAPES)],
        )
        for i, label in enumerate(labels)
    ]


def percent(fraction: float | None) -> str:
    """Write a fraction in percent with three digits; nothing for what is missing."""
    if fraction is None or fraction != fraction:
        return ""
    value = 100 * fraction
    if 0 < abs(value) < LEAST_PERCENT:
        return f"<{LEAST_PERCENT:g}"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def figure(value: float | None, digits: int = 4) -> str:
    """Write a number; nothing for what is missing."""
    from mecopt.drawing.timeline import number

    return "" if value is None or value != value else number(float(value), digits)
