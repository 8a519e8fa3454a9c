"""How methods look: one colour, dash and shape for each, the same in every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Okabe and Ito's palette without black and yellow, which one of the two backgrounds swallows, and a grey.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A8A8A")
LEAST_PERCENT = 0.0001  # the tolerance of optimality: no smaller gap is told apart from it
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [1, 4])
SHAPES = {  # outlines in pixels, 9 or 10 across
    "circle": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "square": "M-3.5,-3.5h7v7h-7z",
    "triangle-up": "M0,-4.5L4.5,3.5H-4.5z",
    "diamond": "M0,-5L4,0L0,5L-4,0z",
    "cross": "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "triangle-down": "M0,4.5L4.5,-3.5H-4.5z",
}


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
            tuple(SHAPES)[(i + i // len(DASHES)) % len(SHAPES)],
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
