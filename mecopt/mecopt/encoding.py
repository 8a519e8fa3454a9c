"""The encoding of JSON and CSV text: UTF-8, with or without a byte-order mark; what else it is, is said."""

from __future__ import annotations

import codecs
import csv
import io
import json

from mecopt.errors import InputError

GZIP = b"\x1f\x8b"  # the first bytes of what gzip packed
MARKS = {  # the longer ones first, since UTF-32's begins like UTF-16's
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def without_mark(data: bytes) -> bytes:
    """Return text without the byte-order mark that editors on Windows put before UTF-8."""
    return data.removeprefix(codecs.BOM_UTF8)


def not_text(data: bytes, kind: str = "JSON") -> str | None:
    """Say how bytes that are not UTF-8 are encoded, or where they stop being text; None if they are UTF-8."""
    if data.startswith(GZIP):
        return f"not {kind} but gzip, expected a name that ends in .gz"
    found = next((name for mark, name in MARKS.items() if data.startswith(mark)), None)
    if found is None and any(data[:4]):  # without a mark the zeros of the first characters tell
        guess = json.detect_encoding(data[:4])
        found = None if guess.startswith("utf-8") else guess[:6].upper()
    if found is not None:
        return f"not {kind}: not UTF-8 but {found}, expected UTF-8"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        found = f"byte 0x{data[error.start]:02x} at line {line} column {column}"
        return f"not {kind}: not UTF-8, {found}, expected UTF-8"
    return None


def csv_text(data: bytes, source: str) -> str:
    """Return the text of a CSV file.

    Raises
    ------
    InputError
        If it is not UTF-8; the text says what it is instead.
    """
    other = not_text(data, "CSV")
    if other is not None:
        raise InputError(other, source)
    return without_mark(data).decode()


def csv_rows(data: bytes, source: str) -> list[list[str]]:
    """Return the cells of a CSV file, a list a row.

    Raises
    ------
    InputError
        If it is not UTF-8, or breaks off within quotes and the like; the line is named.
    """
    rows = csv.reader(io.StringIO(csv_text(data, source), newline=""), strict=True)
    try:
        return list(rows)
    except csv.Error as error:
        reason = str(error).replace("unexpected ", "")  # a word for mistakes of mecopt's own
        raise InputError(f"line {rows.line_num}: not CSV ({reason})", source) from None
