"""Names and other foreign text made fit to be shown: on a terminal, in a picture, as CSV or in LaTeX.

JSON allows any text as a name: control characters, marks that turn the direction of writing, a formula, a
hundred accents on one letter. Files for programs (JSON, SQLite, Parquet) keep it as it is; whatever people
see goes through `visible` first, so that it moves no cursor, hides nothing and stays on its line.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MOST_MARKS = 4  # combining marks on one letter; more are no writing system's
BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f")  # count as printable, and show nothing
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # what makes spreadsheets calculate a cell
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
LONGEST_FILE_NAME = 80  # characters of a file name made from a name, all of them ASCII
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices of Windows

LATEX = {
    **{mark: "\\" + mark for mark in "&%$#_{}"},
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
    "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}", '"': "{\\char34}",
    "`": "\\textasciigrave{}", "µ": "\\textmu{}", "°": "\\textdegree{}", "…": "\\dots{}",
}  # fmt: skip
LATEX_KEEPS = frozenset("ßæœøłıÆŒØŁ")  # beside letters with these accents, which every LaTeX of today sets
ACCENTS = frozenset("\u0300\u0301\u0302\u0303\u0308\u030a\u030b\u030c\u0327")
ASCII = {"µ": "u", "μ": "u", "…": "~", "×": "x", "▏": "|", "│": "|", "─": "-", "├": "|", "┤": "|", "▸": ">",
         "╌": ".", "└": "+", "┴": "+"}  # fmt: skip


def visible(text: str) -> str:
    r"""Return a text that shows all it holds, on one line.

    Control characters, line ends, marks of direction, spaces of no width and lone surrogates are written as
    Python's escapes (``\x1b``, ``\u202e``), as are names of nothing but spaces, and
    combining marks without a letter or beyond four on one.
    """
    if text.isascii() and text.isprintable():
        return text if text.strip(" ") or not text else "\\x20" * len(text)
    shown, marks = [], MOST_MARKS
    for character in text:
        marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
        hidden = not character.isprintable() or character in BLANK or marks > MOST_MARKS
        shown.append(escape(character) if hidden else character)
        if hidden:
            marks = MOST_MARKS  # nothing is put on top of an escape
    return "".join(shown)


def escape(character: str) -> str:
    """Return Python's escape of a character."""
    return "\\" + _code(character) if character.isprintable() else repr(character)[1:-1]


def _code(character: str) -> str:
    code = ord(character)
    return f"u{code:04x}" if code <= 0xFFFF else f"U{code:08x}"


def cells(text: str) -> int:
    """Return the columns that a text takes on a terminal: two a wide character, none a combining mark."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, columns: int) -> str:
    """Return the text made visible, its end replaced by an ellipsis where it takes more columns."""
    shown = visible(text)
    if cells(shown) <= columns:
        return shown
    from rich.cells import set_cell_size

    return set_cell_size(shown, columns - 1).rstrip() + "…" if columns > 0 else ""


def fit(text: str, columns: int) -> str:
    """Return `cut` filled up with spaces."""
    shown = cut(text, columns)
    return shown + " " * (columns - cells(shown))


def like_ascii(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks, for `codecs.register_error`: a like character, else an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lost), error.end


def csv(frame: pd.DataFrame, float_format: str | None = None) -> bytes:
    """Return a table as CSV whose texts are visible and no formulas; numbers stay numbers.

    A text that a spreadsheet would calculate (it begins with ``=``, ``+``, ``-`` or ``@`` and is no number)
    gets an apostrophe in front.
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    texts = [name for name in frame if not (is_numeric_dtype(frame[name]) or is_bool_dtype(frame[name]))]
    shown = frame.assign(**{str(name): frame[name].map(csv_cell) for name in texts})
    text: str = shown.to_csv(index=False, float_format=float_format, lineterminator="\n")
    return text.encode()


def csv_cell(value: Any) -> Any:
    """Return what a cell of a table holds for people: a text as `csv` writes it, anything else as it is."""
    if not isinstance(value, str):
        return value
    shown = visible(value)
    return "'" + shown if shown.startswith(FORMULA) and not NUMBER.fullmatch(shown) else shown


def latex(text: str) -> str:
    """Return a text for a cell of LaTeX: every special character as its command, in any engine and encoding.

    Latin letters with accents are kept; what else is not ASCII is escaped, since pdfLaTeX stops at a
    character that it has no font for.
    """
    whole = unicodedata.normalize("NFC", visible(text))
    shown = "".join(LATEX.get(c) or (c if _latin(c) else LATEX["\\"] + _code(c)) for c in whole)
    shown = re.sub("(-(?=-)|'(?='))", r"\1{}", shown)  # no ligatures
    return "{}" + shown if shown.startswith(("[", "*")) else shown  # no option of the line before


def _latin(character: str) -> bool:
    if character.isascii() or character in LATEX_KEEPS:
        return True
    parts = unicodedata.normalize("NFD", character)
    return ord(character) < 0x180 and len(parts) == 2 and parts[0].isascii() and parts[1] in ACCENTS


def file_name(text: str, suffix: str) -> str:
    """Return a file name made from a name, one that every system takes; a hash tells long ones apart."""
    import hashlib

    stem = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")
    if len(stem) > LONGEST_FILE_NAME or not stem or RESERVED.fullmatch(stem):
        mark = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:12]
        stem = f"{stem[:LONGEST_FILE_NAME]}-{mark}".strip("-")
    return stem + suffix
