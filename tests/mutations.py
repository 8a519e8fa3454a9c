"""Files spoilt at random: bytes, JSON documents, SQLite stores, safetensors files; each draw from a seed."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import sqlite3
import struct

ODD = [
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, -1e308, 1e151, 2**31, 2**53, 2**63, -(2**63), 10**30,
    1e999, float("nan"), "", "a", "0", "-1", "é\x00\x1b[2J", "x" * 5000, "2020-99-99", [], {}, [[]], [1, "a"],
    {"a": 1}, [[1, 2], [3]], [None] * 3,
]  # fmt: skip


def spoil_bytes(data, draw):
    """Cut, flip, overwrite, insert, repeat or drop some bytes, or take other ones altogether."""
    kind = draw.randrange(9)
    at = draw.randrange(len(data) + 1)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[at:]
    if kind in (2, 3):
        spoilt = bytearray(data)
        for _ in range(draw.choice((1, 3, 50))):
            spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
        return bytes(spoilt)
    if kind == 4:
        length = draw.choice((1, 8, 100, 4096))
        return data[:at] + bytes([draw.randrange(256)]) * length + data[at + length :]
    if kind == 5:
        return data[:at] + draw.randbytes(draw.choice((1, 7, 1000))) + data[at:]
    if kind == 6:
        return data[:at] + data[at + draw.choice((1, 7, 1000)) :]
    if kind == 7:
        return data + data[:at]
    texts = [
        b"",
        b"\x00",
        b"{}",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff" * 64,
        b"\x1f\x8b",
    ]
    return draw.choice(texts)


def places(document, path=()):
    """Yield the paths of all values of a document."""
    yield path
    if isinstance(document, (dict, list)):
        items = document.items() if isinstance(document, dict) else enumerate(document)
        for key, value in items:
            yield from places(value, (*path, key))


def spoil_json(document, draw):
    """Set, remove, rename, add or repeat something in a document of plain values."""
    spoilt = copy.deepcopy(document)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        path = draw.choice(list(places(spoilt)))
        if not path:
            continue
        parent = spoilt
        for key in path[:-1]:
            parent = parent[key]
        kind = draw.randrange(6)
        if kind <= 2:
            parent[path[-1]] = copy.deepcopy(draw.choice(ODD))
        elif kind == 3:
            del parent[path[-1]]
        elif kind == 4 and isinstance(parent, dict):
            parent[draw.choice(("", "a", "format", "constructor", "__proto__"))] = parent.pop(path[-1])
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[path[-1]]))
    return spoilt


def dumped(document):
    """Return JSON text, of what JSON does not know too."""
    return json.dumps(document, ensure_ascii=True).encode()


def spoil_json_file(data, draw):
    """Spoil the text of a JSON file, as bytes or as a document."""
    try:
        document = json.loads(data)
    except ValueError:  # it is spoilt already
        document = None
    if document is None or draw.random() < 0.3:
        return spoil_bytes(data, draw)
    return dumped(spoil_json(document, draw))


def spoil_store(path, draw):
    """Spoil a comparison's store in place: its bytes, its schema, or values in its rows."""
    kind = draw.randrange(12)
    if kind < 3:
        path.write_bytes(spoil_bytes(path.read_bytes(), draw))
        return
    if kind == 3 and draw.random() < 0.2:
        path.unlink()
        path.mkdir()
        return
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db,
        contextlib.suppress(sqlite3.Error),
    ):
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for _ in range(draw.choice((1, 1, 2, 5)) if tables else 0):
            table = draw.choice(tables)
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            if not columns:  # it was renamed
                continue
            column = draw.choice(columns)
            if kind == 3:
                db.execute(draw.choice((
                    f"DROP TABLE {table}", f"ALTER TABLE {table} RENAME TO other",
                    f"ALTER TABLE {table} RENAME COLUMN {column} TO other",
                    f"ALTER TABLE {table} ADD COLUMN other", f"DELETE FROM {table}",
                    f"CREATE TRIGGER t AFTER UPDATE ON {table} BEGIN DELETE FROM {table}; END",
                    "DROP INDEX unfinished", f"PRAGMA user_version = {draw.choice((0, 2, 2**31 - 1))}",
                    f"PRAGMA application_id = {draw.randrange(2**31)}", f"DROP TABLE {table}; VACUUM",
                )))  # fmt: skip
                continue
            rows = [row for (row,) in db.execute(f"SELECT rowid FROM {table}")]
            if rows:
                row = draw.choice(rows)
                (value,) = db.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)).fetchone()
                db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (_cell(value, draw), row))


def _cell(value, draw):
    """Return another value for a cell of a table: an odd one, or the one that is there, spoilt."""
    if isinstance(value, bytes) and draw.random() < 0.7:
        return spoil_bytes(value, draw)
    if isinstance(value, str) and value[:1] in "[{" and value and draw.random() < 0.7:
        return spoil_json_file(value.encode(), draw).decode(errors="replace")
    odd = draw.choice([o for o in ODD if not isinstance(o, (list, dict))] + [b"", b"\x80", 1e200, -1e200])
    return odd if not isinstance(odd, int) or abs(odd) < 2**63 else -(2**63)


def parts(data):
    """Return the header of a safetensors file as a document, the JSON text in it another, and the data."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["mecopt"]), data[8 + length :]


def whole(header, document, data):
    """Return the bytes of a safetensors file."""
    metadata = {**header.get("__metadata__", {}), "mecopt": dumped(document).decode()}
    text = dumped({**header, "__metadata__": metadata})
    return struct.pack("<Q", len(text)) + text + data


def spoil_tensors(data, draw):
    """Spoil a safetensors file: bytes, header, the document in it, or the numbers of its weights."""
    kind = draw.randrange(10)
    header, document, numbers = parts(data)
    if kind < 2:
        return spoil_bytes(data, draw)
    if kind == 2:
        return struct.pack("<Q", draw.choice((0, 1, 10**12, 2**63, 2**64 - 1, len(data)))) + data[8:]
    if kind == 3:
        text = dumped(spoil_json(header, draw))
        return struct.pack("<Q", len(text)) + text + numbers
    if kind == 4:
        name = draw.choice([name for name in header if name != "__metadata__"])
        header[name] = {**header[name], **draw.choice((
            {"dtype": draw.choice(("I32", "U8", "F16", "BF16", "F64", "BOOL", "C64", "F8_E4M3"))},
            {"shape": draw.choice(([], [1], [10**12], [0], [-1], [2**62, 4], header[name]["shape"][::-1]))},
            {"data_offsets": draw.choice(([0, 0], [0, 10**12], [8, 4]))},
        ))}  # fmt: skip
        return whole(header, document, numbers)
    if kind in (5, 6):
        value = struct.pack("<f", draw.choice((float("nan"), float("inf"), -3e38, 3e38, 1e30, 0.0)))
        at = 4 * draw.randrange(max(1, len(numbers) // 4))
        many = draw.choice((1, 1, len(numbers) // 4))
        spoilt = bytearray(numbers)
        spoilt[at : at + 4 * many] = value * ((len(numbers[at : at + 4 * many])) // 4)
        return whole(header, document, bytes(spoilt[: len(numbers)]))
    return whole(header, spoil_json(document, draw), numbers)


def fresh(source, target):
    """Put a copy of a folder in a place, whatever is there."""
    if target.is_dir():
        shutil.rmtree(target)
    elif target.exists():
        target.unlink()
    shutil.copytree(source, target)
