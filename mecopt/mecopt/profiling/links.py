"""Links between nodes from a table: a CSV file of the columns from, to, rate_bps and latency_s."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mecopt.encoding import csv_rows
from mecopt.errors import InputError, shown
from mecopt.files import read_bytes

NEEDED = ("from", "to", "rate_bps")
COLUMNS = (*NEEDED, "latency_s")


@dataclass(frozen=True)
class Link:
    """One direction of a link: rate [bits/s], 0 for none, and latency [s]."""

    rate_bps: float
    latency_s: float


Links = dict[tuple[int, int], Link]  # (from, to): 0 the device, n the n-th server
NO_LINK = Link(0.0, 0.0)


def read(path: str, names: Sequence[Sequence[str]]) -> Links:
    """Read the links between nodes.

    Parameters
    ----------
    path : str
    names : sequence of sequences of str
        What each node may be called, the device's first.

    Returns
    -------
    dict of (int, int) to Link
        Pairs that are not in it have no link. A pair that the table has in one direction only holds in both.

    Raises
    ------
    InputError
        With a line for every cell that cannot be read, by its row (the heads are row 1) and column.
    """
    lines = csv_rows(read_bytes(path), path)
    numbers = {name: n for n, known in enumerate(names) for name in known}
    found: Links = {}
    problems: list[str] = []
    heads = [cell.strip() for cell in lines[0]] if lines else []
    _check_heads(heads, path)
    for row, line in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) != len(heads):
            problems.append(f"row {row}: {len(line)} cells, expected {len(heads)}")
            continue
        cells = {head: cell.strip() for head, cell in zip(heads, line, strict=True)}
        problems += _take(row, cells, numbers, found)
    if problems:
        raise InputError(problems, path)
    for (tail, head), link in list(found.items()):
        found.setdefault((head, tail), link)
    return found


def _check_heads(heads: list[str], path: str) -> None:
    missing = [name for name in NEEDED if name not in heads]
    unknown = [head for head in heads if head not in COLUMNS]
    twice = [head for head in COLUMNS if heads.count(head) > 1]
    expected = f"expected {', '.join(COLUMNS)}"
    problems = [f"row 1: column {shown(name)} is missing, {expected}" for name in missing]
    problems += [f"row 1: unknown column {shown(name)}, {expected}" for name in unknown]
    problems += [f"row 1: column {shown(name)} is there twice" for name in twice]
    if problems:
        raise InputError(problems, path)


def _take(row: int, cells: dict[str, str], numbers: dict[str, int], found: Links) -> list[str]:
    """Take one row over, and return what is wrong with it."""
    problems = [
        f"row {row}, column {end}: {shown(cells[end])} is no node, expected one of "
        f"{', '.join(map(shown, numbers))}"
        for end in ("from", "to")
        if cells[end] not in numbers
    ]
    values = []
    for column in ("rate_bps", "latency_s"):
        value = _number(cells.get(column, "") or ("0" if column == "latency_s" else ""))
        if value is None:
            problems.append(f"row {row}, column {column}: {shown(cells[column])}, expected a number >= 0")
        else:
            values.append(value)
    if problems:
        return problems
    pair = (numbers[cells["from"]], numbers[cells["to"]])
    if pair[0] == pair[1]:
        return [f"row {row}, column to: {shown(cells['to'])} is where the link begins, expected another node"]
    if pair in found:
        return [f"row {row}: the link from {shown(cells['from'])} to {shown(cells['to'])} is given twice"]
    found[pair] = Link(*values)
    return []


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
