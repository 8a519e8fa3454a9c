"""The encoding of JSON text: UTF-8, with or without a byte-order mark; what else it is, is said."""

from __future__ import annotations

import codecs
import json

GZIP = b"\x1f\x8b"  # the first bytes of what gzip packed
MARKS = {  # the longer ones first, since UTF-32's begins like UTF-16's
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def without_mark(data: bytes) -> bytes:
    """Return JSON text without the byte-order mark that editors on Windows put before UTF-8."""
    return data.removeprefix(codecs.BOM_UTF8)


def not_text(data: bytes) -> str | None:
    """Say how bytes that are not UTF-8 are encoded, or where they stop being text; None if they are UTF-8."""
    if data.startswith(GZIP):
        return "not JSON but gzip, expected a name that ends in .gz"
    found = next((name for mark, name in MARKS.items() if data.startswith(mark)), None)
    if found is None and any(data[:4]):  # without a mark the zeros of the first characters tell
        guess = json.detect_encoding(data[:4])
        found = None if guess.startswith("utf-8") else guess[:6].upper()
    if found is not None:
        return f"not JSON: not UTF-8 but {found}, expected UTF-8"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        found = f"byte 0x{data[error.start]:02x} at line {line} column {column}"
        return f"not JSON: not UTF-8, {found}, expected UTF-8"
    return None
