"""The SQLite file of a comparison: its form, what is refused, and what its errors mean."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mecopt.errors import InputError, MecoptError

FILE = "comparison.sqlite"
APPLICATION = 0x6D65636F  # "meco", in the header of the file
VERSION = 1
BUSY_S = 60.0  # how long one process waits for another's transaction

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE instances (
    instance TEXT NOT NULL UNIQUE, instance_sha256 TEXT PRIMARY KEY, tasks INTEGER, slots INTEGER,
    devices INTEGER, servers INTEGER, blocks INTEGER, couplings TEXT, deadline TEXT, local_share REAL,
    one_server_share REAL, mixed_share REAL, trellis_bound REAL, document BLOB NOT NULL
);
CREATE TABLE methods (method TEXT, options TEXT, files TEXT NOT NULL, PRIMARY KEY (method, options));
CREATE TABLE machines (host TEXT PRIMARY KEY, description TEXT NOT NULL);
CREATE TABLE owners (owner INTEGER PRIMARY KEY, host TEXT NOT NULL, pid INTEGER, since REAL);
CREATE TABLE runs (
    run INTEGER PRIMARY KEY, instance_sha256 TEXT NOT NULL, method TEXT NOT NULL, options TEXT NOT NULL,
    seed INTEGER NOT NULL, owner INTEGER, status TEXT, stopped_by TEXT, error TEXT, objective REAL,
    lower_bound REAL, gap REAL, total_delay_s REAL, edge_delay_s REAL, local_delay_s REAL,
    deadline_excess_s REAL, energy_j REAL, violations INTEGER, violation_kinds TEXT, repairs INTEGER,
    runtime_s REAL, cpu_s REAL, wall_s REAL, peak_memory_bytes INTEGER, mecopt_version TEXT, started TEXT,
    host TEXT, UNIQUE (instance_sha256, method, options, seed)
);
CREATE INDEX unfinished ON runs (run) WHERE status IS NULL;
CREATE TABLE details (
    run INTEGER PRIMARY KEY, trace TEXT, node_share TEXT, facts BLOB, placement BLOB
);
"""


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a store to read it, after a look at whether it is one."""
    check_whole(path)
    address = path.resolve().as_uri()
    log = path.with_name(path.name + "-wal")
    try:
        return _checked(f"{address}?mode=ro", path)
    except sqlite3.OperationalError:
        if log.exists():
            raise
        # Where nothing may be written, not even a lock, a store without a log cannot change either.
        return _checked(f"{address}?mode=ro&immutable=1", path)


def _checked(address: str, path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None)
    try:
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            raise InputError("empty, the comparison has not begun", str(path))
        check_format(db, path)
    except BaseException:
        db.close()
        raise
    return db


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Make the folder of a comparison, or refuse what cannot be one."""
    target = Path(folder)
    try:
        if target.exists() and not target.is_dir():
            raise InputError("is no folder, expected one for the comparison", str(folder))
        target.mkdir(exist_ok=True, parents=True)
        if not os.access(target, os.W_OK | os.X_OK):
            raise InputError("no permission to write in it", str(folder))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot be made ({reason})", str(folder)) from None


def check_format(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that is no comparison, or one of another format."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise InputError("is a database, but no comparison", str(path))
    if version != VERSION:
        raise InputError(
            f"format version {version}, expected {VERSION}: read it with the mecopt that wrote it",
            str(path),
        )


def check_whole(path: Path) -> None:
    """Refuse a file that has lost its end: SQLite itself would only notice when it reads there."""
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        return  # pages may be in the log
    with path.open("rb") as file:
        head = file.read(100)
    if head[:16] != b"SQLite format 3\0" or len(head) < 100:
        return
    page = int.from_bytes(head[16:18], "big")
    expected = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")
    if path.stat().st_size < expected:
        raise InputError(f"cut short: {path.stat().st_size} bytes, expected {expected}", str(path))


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the errors of the database into one line that says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorname", "") or ""
        if code.startswith("SQLITE_FULL") or code.startswith("SQLITE_IOERR"):
            raise MecoptError(
                f"{path}: could not be written: {error}; what was finished before is kept, "
                "make room and give the same command again"
            ) from None
        if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
            raise InputError(f"cannot be opened ({error})", str(path)) from None
        raise MecoptError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorname", "") or ""
        if code.startswith("SQLITE_NOTADB"):
            raise InputError("not a database, expected the store of a comparison", str(path)) from None
        if code.startswith("SQLITE_CORRUPT"):
            raise InputError(f"damaged or cut short ({error})", str(path)) from None
        raise MecoptError(f"{path}: {error}") from error


def get(db: sqlite3.Connection, key: str) -> Any:
    """Return a value of the table `meta`."""
    found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    if found is None:
        raise InputError(f"the store of the comparison is damaged: it has no {key!r}")
    return json.loads(found[0])


def put(db: sqlite3.Connection, key: str, value: Any) -> None:
    """Keep a value in the table `meta`."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value, sort_keys=True)))
