"""Whether a file holds what the store of a comparison holds; whoever reads it may rely on that.

Files are damaged, cut and edited. What one row alone can show to be wrong is found here, by the database
itself; what is packed is looked at when it is unpacked.
"""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecopt.errors import InputError

LARGEST = 1e200  # of any figure; those of an instance stay below 1e150
MOST_BYTES = 1 << 30  # of what is unpacked

NUMBER = f"typeof({{0}}) IN ('integer', 'real') AND {{0}} BETWEEN -{LARGEST} AND {LARGEST}"
NOT_BELOW_0 = f"{NUMBER} AND {{0}} >= 0"
SHARE = f"{NOT_BELOW_0} AND {{0}} <= 1"
WHOLE = "typeof({0}) = 'integer' AND {0} BETWEEN 0 AND 9007199254740992"
TEXT = "typeof({0}) = 'text'"
OBJECT = f"{TEXT} AND json_valid({{0}}) AND json_type({{0}}) = 'object'"
BLOB = "typeof({0}) = 'blob'"
DAY = f"{TEXT} AND {{0}} GLOB '[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9]*'"
SHA256 = f"{TEXT} AND length({{0}}) = 64 AND {{0}} NOT GLOB '*[^0-9a-f]*'"
STATUS = (
    "{0} IN ('optimal', 'feasible', 'violating', 'infeasible', 'unknown', 'failed', 'refused', 'timeout')"
)


def _or_none(condition: str) -> str:
    return f"{{0}} IS NULL OR ({condition})"


def _finished(condition: str) -> str:
    return f"(status IS NULL AND {{0}} IS NULL) OR ({condition})"


# (table, columns, what holds of each, in words)
RULES = (
    ("meta", "key value", TEXT, "a text"),
    ("instances", "instance couplings deadline", TEXT, "a text"),
    ("instances", "instance_sha256", SHA256, "a SHA-256"),
    ("instances", "tasks slots devices servers blocks", WHOLE, "a whole number"),
    ("instances", "local_share one_server_share mixed_share", _or_none(SHARE), "a share"),
    ("instances", "trellis_bound", _or_none(NUMBER), "a number"),
    ("instances", "document", BLOB, "bytes"),
    ("methods", "method", TEXT, "a text"),
    ("methods", "options files", OBJECT, "a JSON object"),
    ("methods", "fingerprint", SHA256, "a SHA-256"),
    ("machines", "host", TEXT, "a text"),
    ("machines", "description", OBJECT, "a JSON object"),
    ("owners", "host", TEXT, "a text"),
    ("owners", "pid", "typeof({0}) = 'integer' AND {0} BETWEEN 1 AND 2147483647", "a process"),
    ("owners", "since", _or_none(NUMBER), "a number"),
    ("runs", "method", TEXT, "a text"),
    ("runs", "instance_sha256", "{0} IN (SELECT instance_sha256 FROM instances)", "that of an instance"),
    ("runs", "options", OBJECT, "a JSON object"),
    ("runs", "fingerprint", SHA256, "a SHA-256"),
    ("runs", "seed", WHOLE, "a whole number"),
    ("runs", "owner", _or_none(WHOLE), "a whole number"),
    ("runs", "status", _or_none(STATUS), "a status"),
    ("runs", "stopped_by error violation_kinds", _or_none(TEXT), "a text"),
    ("runs", "mecopt_version host", _finished(TEXT), "a text"),
    ("runs", "started", _finished(DAY), "a date"),
    ("runs", "objective lower_bound", _or_none(NUMBER), "a number"),
    (
        "runs",
        "gap total_delay_s edge_delay_s local_delay_s deadline_excess_s energy_j runtime_s cpu_s wall_s",
        _or_none(NOT_BELOW_0),
        "a number >= 0",
    ),
    ("runs", "violations repairs peak_memory_bytes", _or_none(WHOLE), "a whole number"),
    ("details", "run", "{0} IN (SELECT run FROM runs)", "that of a run"),
    ("details", "trace node_share", _or_none(TEXT), "a text"),
    ("details", "facts placement", _or_none(BLOB), "bytes"),
)
SETTINGS = {"mecopt version": str, "time limit": float, "gap": float, "threads": int}
CONDUCT = {"workers": int, "engine": str, "isolate": bool}
MACHINE = {
    "python": str, "platform": str, "cpu_model": str, "cores": int, "memory_bytes": int, "versions": dict,
}  # fmt: skip


def check_sound(db: sqlite3.Connection, path: Path, schema: str) -> None:
    """Refuse a file whose tables or rows are not those of a comparison.

    Raises
    ------
    InputError
        With the table, row and column of the first mistake.
    sqlite3.Error
        If it cannot be read.
    """
    if _layout(db) != _expected(schema):
        raise InputError("its tables are not those of a comparison", str(path))
    (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise InputError(f"damaged or cut short ({' '.join(str(verdict).split())})", str(path))
    for table, columns, holds, words in RULES:
        names = columns.split()
        wrong = " OR ".join(f"NOT coalesce({holds.format(name)}, 0)" for name in names)
        row = db.execute(f"SELECT rowid, {', '.join(names)} FROM {table} WHERE {wrong} LIMIT 1").fetchone()
        if row is not None:
            _complain(db, path, table, names, holds, words, row)
    for key, kind in (("settings", SETTINGS), ("conduct", CONDUCT), ("commands", None), ("created", None)):
        found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise InputError(f"table meta: no {key!r}", str(path))
        value = unpacked_json(found[0], f"table meta: {key}", path)
        if kind is None:
            texts = value if key == "commands" and isinstance(value, list) else [value]
            sound = isinstance(value, list) == (key == "commands") and all(isinstance(t, str) for t in texts)
        else:
            sound = _has(value, kind, optional=key == "conduct")
        if not sound:
            raise InputError(f"table meta: {key}: not as mecopt writes it", str(path))
    for host, text in db.execute("SELECT host, description FROM machines"):
        if not _has(unpacked_json(text, f"table machines: {host!r}", path), MACHINE, optional=True):
            raise InputError(f"table machines: {host!r}: not as mecopt writes it", str(path))


def _layout(db: sqlite3.Connection) -> dict[str, Any]:
    """Return the columns of every table; other things, such as triggers, under their names."""
    found: dict[str, Any] = {}
    for kind, name in db.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"):
        columns = ()
        if kind == "table":
            columns = tuple(db.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,)).fetchall())
        found[name] = (kind, columns)
    return found


@cache
def _expected(schema: str) -> dict[str, Any]:
    db = sqlite3.connect(":memory:")
    try:
        db.executescript(schema)
        return _layout(db)
    finally:
        db.close()


def _complain(
    db: sqlite3.Connection, path: Path, table: str, names: list[str], holds: str, words: str, row: Any
) -> None:
    """Say which column of a row is wrong."""
    for name, value in zip(names, row[1:], strict=True):
        query = f"SELECT coalesce({holds.format(name)}, 0) FROM {table} WHERE rowid = ?"
        if not db.execute(query, (row[0],)).fetchone()[0]:
            given = "nothing" if value is None else repr(value)[:60]
            raise InputError(f"table {table}, row {row[0]}: {name}: {given}, expected {words}", str(path))


def _has(value: Any, kinds: dict[str, type], *, optional: bool) -> bool:
    """Say whether an object has these keys, with values of these types, or null."""
    if not isinstance(value, dict) or not (optional or kinds.keys() <= value.keys()):
        return False
    known = {name: value[name] for name in kinds if value.get(name) is not None}
    return all(_is(own, kinds[name]) for name, own in known.items())


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, kind)


def _refuse(name: str) -> None:
    raise ValueError(name)


DECODER = json.JSONDecoder(parse_constant=_refuse)  # made once: there may be 100,000 texts


def unpacked_json(text: str | bytes, place: str, path: Path) -> Any:
    """Read JSON that stands in a store.

    Raises
    ------
    InputError
        If it is none, or holds what JSON does not know.
    """
    try:
        return DECODER.decode(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError):
        raise InputError(f"{place}: not JSON", str(path)) from None


def unpacked(data: Any, place: str, path: Path, most: int = MOST_BYTES) -> bytes:
    """Return what was packed, of at most so many bytes.

    Raises
    ------
    InputError
        If it is damaged, or more.
    """
    packer = zlib.decompressobj()
    try:
        plain = packer.decompress(data, most)
    except (zlib.error, TypeError):
        raise InputError(f"{place}: cannot be unpacked", str(path)) from None
    if not packer.eof:
        raise InputError(f"{place}: cut short, or more than {most:,} bytes", str(path))
    return plain


def points(text: str, place: str, path: Path) -> list[tuple[float, float | None, float | None]]:
    """Read a trace.

    Raises
    ------
    InputError
        If it is none; the text names the place.
    """
    found = unpacked_json(text, place, path)
    try:
        read = [(seconds, objective, bound) for seconds, objective, bound in found]
        values = [value for point in read for value in point if value is not None]
        sound = all(type(value) in (int, float) and -LARGEST <= value <= LARGEST for value in values)
        if sound and all(seconds is not None for seconds, _, _ in read):
            return read
    except (TypeError, ValueError):
        pass
    raise InputError(f"{place}: expected [seconds, objective, bound] of every improvement", str(path))


def shares(text: str, place: str, path: Path) -> NDArray[np.float64]:
    """Read the shares of nodes, (blocks, nodes).

    Raises
    ------
    InputError
        If they are none; the text names the place.
    """
    found = unpacked_json(text, place, path)
    try:
        array = np.array(found, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        array = np.array(math.nan)
    if array.ndim != 2 or not array.size or not ((array >= 0) & (array <= 1)).all():
        raise InputError(f"{place}: expected a table of shares", str(path))
    return array
