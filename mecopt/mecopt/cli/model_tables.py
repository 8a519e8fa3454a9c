"""Tables of `mecopt models`: words in the first columns, numbers behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mecopt.cli import printing


def titled(
    title: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[object]],
    total: Sequence[str] = (),
    words: int = 1,
) -> None:
    """Print a table whose first columns hold words and the others numbers, under its title if it has one."""
    if title:
        printing.console().print(title)
    printing.table(heads, rows, numbers=len(heads) - words, wraps=(0,), total=total)


def whole(value: float) -> str:
    """Return a number with its thousands marked; of a large one the whole part."""
    return f"{value:,.0f}" if value == round(value) or value >= 1000 else f"{value:,.6g}"
