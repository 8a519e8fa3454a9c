"""Tables for LaTeX that fit the column of an article, or the page of one with two columns.

There need not be any TeX here: widths are worked out from those of Computer Modern, in which the article
class sets, and whatever is not known is taken for wide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mecopt import text
from mecopt.reporting.tables import Cell, Table

# Of the article class at 10 pt in two columns on A4, the narrower paper: \columnwidth and \textwidth.
WIDTH_PT = {1: 221.0, 2: 452.0}
SEPARATION_PT = 3.0  # \tabcolsep
CAPTION_PT = 4.0  # between caption and table, where the article class has nothing
BODY, SMALL = 0.86, 0.69  # \footnotesize and \tiny in cmr8 and cmr5, as shares of cmr10
WIDEST_PT = 10.3  # of any character at 10 pt
# Widths at 10 pt in cmr10; of a narrow group each, all others by their kind.
WIDTHS = {
    **dict.fromkeys("iljI!'`.,:;|", 3.7),
    **dict.fromkeys("ft()[]/-rsI ", 4.0),
    **dict.fromkeys("mwMW%@&", 10.3),
}
DIGIT_PT, LOWER_PT, UPPER_PT = 5.0, 5.6, 7.9
LONGEST_PIECE = 14  # characters that may stand without a place to break
PIECES = re.compile(rf"[^\s\-_/=,:.]{{1,{LONGEST_PIECE}}}[\-_/=,:.]?|[\-_/=,:.]")


def width_pt(shown: str, size: float = BODY) -> float:
    """Return how wide a text is at most, in points."""
    return size * sum(map(_character_pt, shown))


def _character_pt(character: str) -> float:
    if character in WIDTHS:
        return WIDTHS[character]
    if character.isdigit():
        return DIGIT_PT
    if not character.isascii():  # an accent, or an escape of several characters
        return WIDEST_PT if len(text.latex(character)) == 1 else 6 * LOWER_PT
    return LOWER_PT if character.islower() else UPPER_PT


@dataclass
class _Column:
    """One column: its head, its cells, and the width of a paragraph where its text is broken into lines."""

    head: str
    cells: list[Cell]
    first: bool
    paragraph_pt: float | None = None
    number: bool = field(init=False)

    def __post_init__(self) -> None:
        self.number = not self.first and not any(isinstance(cell.order, str) for cell in self.cells)
        self.number = self.number and all(len(cell.text) <= LONGEST_PIECE for cell in self.cells)

    @property
    def natural_pt(self) -> float:
        """Width without any break in the cells; heads have a word a line."""
        words = max((width_pt(word) for word in self.head.split()), default=0.0)
        return max([words, *(max(width_pt(c.text), width_pt(c.small, SMALL)) for c in self.cells)])

    @property
    def least_pt(self) -> float:
        """Width where text is broken wherever it may be."""
        if self.number:
            return self.natural_pt
        pieces = [piece for cell in self.cells for piece in PIECES.findall(cell.text)]
        heads = [width_pt(word) for word in self.head.split()]
        return max([*heads, *map(width_pt, pieces), 0.0])

    @property
    def width_pt(self) -> float:
        """Width as it is set."""
        return self.natural_pt if self.paragraph_pt is None else self.paragraph_pt


def fitted(table: Table, columns: int = 1) -> tuple[list[_Column], list[str]]:
    """Return the columns of a table that fit, paragraphs with their widths, and the heads of those left out.

    Parameters
    ----------
    table : Table
    columns : {1, 2}
        Columns of the article that the table may take.
    """
    kept = [_Column(head, [row[i] for row in table.rows], i == 0) for i, head in enumerate(table.heads)]
    left: list[str] = []
    spare = [head for head in table.spare if head in table.heads]
    while _total([column.least_pt for column in kept]) > WIDTH_PT[columns] and len(kept) > 2:
        head = spare.pop(0) if spare else kept[-1].head
        left.append(head)
        kept = [column for column in kept if column.head != head]
    texts = [column for column in kept if not column.number]
    over = _total([column.natural_pt for column in kept]) - WIDTH_PT[columns]
    if over > 0 and texts:  # the wider a text, the more it gives
        room = sum(column.natural_pt - column.least_pt for column in texts) or 1.0
        for column in texts:
            share = (column.natural_pt - column.least_pt) / room
            column.paragraph_pt = max(column.least_pt, column.natural_pt - over * share)
    return kept, left


def total_pt(columns: Sequence[_Column]) -> float:
    """Return the width of a table with these columns."""
    return _total([column.width_pt for column in columns])


def _total(widths: Sequence[float]) -> float:
    return sum(widths) + 2 * SEPARATION_PT * (len(widths) - 1)


def latex(table: Table, columns: int = 1) -> str:
    """Return a table for LaTeX with the package booktabs; intervals stand in small print below their values.

    Parameters
    ----------
    table : Table
    columns : {1, 2}
        Columns of the article that it may take; what does not fit one of them is left out, and named.
    """
    shown, left = fitted(table, columns)
    caption = text.latex(table.caption)
    if left:
        caption += text.latex(f" Left out, for want of room: {', '.join(left)}.")
    star = "*" if columns == 2 else ""
    form = "".join(_form(column) for column in shown)
    lines = [
        f"\\begin{{table{star}}}[htbp]",
        f"\\centering\\setlength{{\\belowcaptionskip}}{{{CAPTION_PT:g}pt}}",
        f"\\caption{{{caption}}}",
        f"\\label{{tab:{table.name}}}",
        f"\\footnotesize\\setlength{{\\tabcolsep}}{{{SEPARATION_PT:g}pt}}",
        f"\\begin{{tabular}}{{@{{}}{form}@{{}}}}",
        "\\toprule",
        " & ".join(_head(column) for column in shown) + r" \tabularnewline",
        "\\midrule",
    ]
    for i in range(len(table.rows)):
        row = [column.cells[i] for column in shown]
        lines.append(" & ".join(map(_cell, shown, row)) + r" \tabularnewline")
        if any(cell.small for cell in row):
            small = [f"\\tiny {text.latex(cell.small)}" if cell.small else "" for cell in row]
            lines.append(" & ".join(small) + r" \tabularnewline")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", f"\\end{{table{star}}}", ""])


def _form(column: _Column) -> str:
    if column.paragraph_pt is not None:
        return f"p{{{column.paragraph_pt:.1f}pt}}"
    return "r" if column.number else "l"


def _head(column: _Column) -> str:
    lines = r"\\".join(f"{{}}{text.latex(word)}" for word in column.head.split())
    return f"\\shortstack[{'r' if column.number else 'l'}]{{{lines}}}"


def _cell(column: _Column, cell: Cell) -> str:
    if column.paragraph_pt is None:
        return text.latex(cell.text)
    words = (r"\allowbreak{}".join(map(text.latex, PIECES.findall(word))) for word in cell.text.split())
    return f"\\raggedright {' '.join(words)}"
