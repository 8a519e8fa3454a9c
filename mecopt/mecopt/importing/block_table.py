"""A table of blocks (CSV) as a model document: what somebody measured block by block."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

from mecopt.encoding import csv_rows
from mecopt.entities import Block, Model
from mecopt.errors import InputError, shown
from mecopt.files import read_bytes
from mecopt.importing.model_document import ModelDocument, Source

NAME, INPUT = "block", "input"
NUMBERS = ("output_bytes", "param_bytes", "cycles", "read_bytes")
BY_HARDWARE = ("seconds", "start_seconds")
EXPECTED = f"{NAME}, {', '.join(NUMBERS)}, {' or '.join(f'{one}:HARDWARE' for one in BY_HARDWARE)}"


def import_table(path: str, name: str | None) -> ModelDocument:
    """Read a table with a row for each block, in order, behind a row ``input`` with the bytes that enter.

    Raises
    ------
    InputError
        With a line for every cell that is wrong, by row (the head is row 1) and column.
    """
    data = read_bytes(path)
    rows = csv_rows(data, path)
    problems: list[str] = []
    model = _model(rows, name or Path(path).stem, problems)
    if model is None or problems:
        raise InputError(problems, path)
    return ModelDocument(model, Source("csv", Path(path).name, hashlib.sha256(data).hexdigest()))


def _model(rows: Sequence[Sequence[str]], name: str, problems: list[str]) -> Model | None:
    heads = [cell.strip() for cell in rows[0]] if rows else []
    problems += _heads(heads)
    cells = [_cells(number, heads, row, problems) for number, row in enumerate(rows[1:], 2) if any(row)]
    if problems:
        return None
    if not cells or cells[0][0] != INPUT:
        problems.append(f"row 2: expected a row {INPUT!r} with the output_bytes that enter the first block")
    elif len(cells) == 1:
        problems.append("no blocks, expected a row for each behind the row 'input'")
    for number, (_, values) in enumerate(cells, 2):
        if "output_bytes" not in values:
            problems.append(f"row {number}, column output_bytes: empty, expected a number >= 0")
        if number > 2 and "cycles" not in values and not any(key.startswith("seconds:") for key in values):
            problems.append(f"row {number}: neither cycles nor seconds, expected one of them")
    if problems:
        return None
    sizes = [8 * values["output_bytes"] for _, values in cells]
    blocks = tuple(
        Block(
            name=block,
            cycles=values.get("cycles"),
            input_bits=size,
            param_bytes=values.get("param_bytes", 0.0),
            read_bytes=values.get("read_bytes"),
            measured_seconds=_by_hardware(values, "seconds"),
            start_seconds=_by_hardware(values, "start_seconds"),
        )
        for (block, values), size in zip(cells[1:], sizes, strict=False)
    )
    return Model(name, blocks, output_bits=sizes[-1])


def _by_hardware(values: dict[str, float], what: str) -> dict[str, float]:
    return {key.partition(":")[2]: value for key, value in values.items() if key.startswith(f"{what}:")}


def _heads(heads: Sequence[str]) -> list[str]:
    problems = [f"row 1: no column {one}, expected it" for one in (NAME, "output_bytes") if one not in heads]
    for i, head in enumerate(heads):
        what, colon, hardware = head.partition(":")
        if not (head == NAME or head in NUMBERS or (what in BY_HARDWARE and colon and hardware)):
            problems.append(f"row 1, column {i + 1}: {shown(head)}, expected one of {EXPECTED}")
        elif head in heads[:i]:
            problems.append(f"row 1, column {i + 1}: {shown(head)} is there twice")
    return problems


def _cells(
    number: int, heads: Sequence[str], row: Sequence[str], problems: list[str]
) -> tuple[str, dict[str, float]]:
    """Return the name and the numbers of a row, empty cells left out."""
    if len(row) != len(heads):
        problems.append(f"row {number}: {len(row)} cells for {len(heads)} columns")
        return "", {}
    values, name = {}, ""
    for head, cell in zip(heads, (cell.strip() for cell in row), strict=True):
        if head == NAME:
            name = cell
        elif cell:
            try:
                value = float(cell)
            except ValueError:
                value = math.nan
            if not (math.isfinite(value) and value >= 0):
                problems.append(f"row {number}, column {head}: {shown(cell)}, expected a number >= 0")
            values[head] = value
    if not name:
        problems.append(f"row {number}, column {NAME}: empty, expected a name")
    return name, values
