"""The SQLite file of a comparison: its form, what is refused, and what its errors mean.

While processes work on it, it has a log of what was written last beside it (SQLite's write-ahead log), so
that readers hinder no writer. The last process to leave brings all of it into the one file. Whoever does
that holds the lock of the folder alone; those who work share it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mecopt.comparing.soundness import check_sound, unpacked_json
from mecopt.errors import InputError, MecoptError
from mecopt.locks import FileLock

FILE = "comparison.sqlite"
LOCK, PART = ".comparison.lock", ".comparison.part"
APPLICATION = 0x6D65636F  # "meco", in the header of the file
VERSION = 2
# Errors of the database that say nothing of the file; all others do.
OF_THE_SYSTEM = (
    "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_BUSY",
    "SQLITE_LOCKED", "SQLITE_NOMEM", "SQLITE_INTERRUPT", "SQLITE_PROTOCOL", "SQLITE_NOLFS", "SQLITE_AUTH",
)  # fmt: skip
BUSY_S = 60.0  # how long one process waits for another's transaction

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE instances (
    instance TEXT NOT NULL UNIQUE, instance_sha256 TEXT PRIMARY KEY, tasks INTEGER, slots INTEGER,
    devices INTEGER, servers INTEGER, blocks INTEGER, couplings TEXT, deadline TEXT, local_share REAL,
    one_server_share REAL, mixed_share REAL, trellis_bound REAL, document BLOB NOT NULL
);
CREATE TABLE methods (
    method TEXT, options TEXT, fingerprint TEXT, files TEXT NOT NULL,
    PRIMARY KEY (method, options, fingerprint)
);
CREATE TABLE machines (host TEXT PRIMARY KEY, description TEXT NOT NULL);
CREATE TABLE owners (owner INTEGER PRIMARY KEY, host TEXT NOT NULL, pid INTEGER, since REAL);
CREATE TABLE runs (
    run INTEGER PRIMARY KEY, instance_sha256 TEXT NOT NULL, method TEXT NOT NULL, options TEXT NOT NULL,
    fingerprint TEXT NOT NULL, seed INTEGER NOT NULL, owner INTEGER,
    status TEXT, stopped_by TEXT, error TEXT, objective REAL,
    lower_bound REAL, gap REAL, total_delay_s REAL, edge_delay_s REAL, local_delay_s REAL,
    deadline_excess_s REAL, energy_j REAL, violations INTEGER, violation_kinds TEXT, repairs INTEGER,
    runtime_s REAL, cpu_s REAL, wall_s REAL, peak_memory_bytes INTEGER, mecopt_version TEXT, started TEXT,
    host TEXT, UNIQUE (instance_sha256, method, options, fingerprint, seed)
);
CREATE INDEX unfinished ON runs (run) WHERE status IS NULL;
CREATE TABLE details (
    run INTEGER PRIMARY KEY, trace TEXT, node_share TEXT, facts BLOB, placement BLOB
);
"""


def lock_of(path: Path) -> FileLock:
    """Return the lock of a store."""
    return FileLock(path.with_name(LOCK))


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a store to read it, after a look at whether it is one."""
    log = _beside(path, "-wal")
    if log.exists():
        _settle_forsaken(path)
    check_whole(path)
    address = path.resolve().as_uri()
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


def log_writes(path: Path) -> None:
    """Let a store, which may be new, keep a log; the caller holds its lock alone."""
    with contextlib.suppress(sqlite3.OperationalError):
        _switch(path, "WAL")
        return
    _replace_by_copy(path)  # somebody is reading it, at length
    _switch(path, "WAL")


def settle(path: Path) -> None:
    """Bring the log of a store into its file; the caller holds its lock alone.

    Whoever has it open to read keeps what he has: a copy takes the name of the file. Where there is no room
    for a copy, what can be brought in is, and the log stays.
    """
    with contextlib.suppress(sqlite3.OperationalError):
        _switch(path, "DELETE")
        return
    try:
        _replace_by_copy(path)
    except (OSError, sqlite3.Error):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        _remove_part(path)


def _settle_forsaken(path: Path) -> None:
    """Do it for processes that were killed, unless somebody works on the store or nothing may be written."""
    with contextlib.suppress(MecoptError, OSError, sqlite3.Error):
        lock = lock_of(path)
        try:
            if lock.alone():
                check_whole(path)
                with contextlib.closing(_connect(path)) as db:
                    check_format(db, path)
                settle(path)
        finally:
            lock.release()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=0, isolation_level=None)


def _switch(path: Path, mode: str) -> None:
    with contextlib.closing(_connect(path)) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")


def _replace_by_copy(path: Path) -> None:
    """Put a copy in the place of a store, page for page, which leaves the file itself to its readers."""
    part = path.with_name(PART)
    _remove_part(path)
    with contextlib.closing(_connect(path)) as db, contextlib.closing(_connect(part)) as copy:
        db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    shutil.copymode(path, part)
    os.replace(part, path)
    # Until the log is gone it is taken for the copy's, whose pages are the same. The index goes before it, so
    # that no log to come meets this one, and again after it, should a reader have made it anew in between.
    for end in ("-shm", "-wal", "-shm"):
        _beside(path, end).unlink(missing_ok=True)


def _remove_part(path: Path) -> None:
    for end in ("", "-journal", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            _beside(path.with_name(PART), end).unlink(missing_ok=True)


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Make the folder of a comparison, or refuse what cannot be one.

    Raises
    ------
    InputError
        If it is no folder, cannot be made, or cannot be written in.
    """
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
    """Refuse a database that is no comparison, is of another format, or is not as mecopt writes it.

    Raises
    ------
    InputError
        If it is any of these.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise InputError("is a database, but no comparison", str(path))
    if version != VERSION:
        raise InputError(
            f"format version {version}, expected {VERSION}: read it with the mecopt that wrote it",
            str(path),
        )
    check_sound(db, path, SCHEMA)


def check_whole(path: Path) -> None:
    """Refuse what is no file, or has lost its end: SQLite itself would only notice when it reads there.

    Raises
    ------
    InputError
        If it is either.
    """
    if not path.is_file():
        raise InputError("is no file, expected the store of a comparison", str(path))
    log = _beside(path, "-wal")
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
    """Turn the errors of the database into one line that says what to do.

    Raises
    ------
    InputError
        If the file cannot be opened, is damaged, or is no database.
    """
    try:
        yield
    except UnicodeDecodeError:
        raise InputError("damaged (a text in it is not UTF-8)", str(path)) from None
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "") or ""
        if code.startswith("SQLITE_NOTADB"):
            raise InputError("not a database, expected the store of a comparison", str(path)) from None
        if code == "SQLITE_IOERR_SHORT_READ" or not code.startswith(OF_THE_SYSTEM):
            raise InputError(f"damaged or cut short ({error})", str(path)) from None
        if code.startswith("SQLITE_FULL") or code.startswith("SQLITE_IOERR"):
            raise MecoptError(
                f"{path}: could not be written: {error}; what was finished before is kept, "
                "make room and give the same command again"
            ) from None
        if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
            raise InputError(f"cannot be opened ({error})", str(path)) from None
        raise MecoptError(f"{path}: {error}") from error


def get(db: sqlite3.Connection, key: str, path: Path) -> Any:
    """Return a value of the table `meta`.

    Raises
    ------
    InputError
        If the table has no such key.
    """
    found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    if found is None:
        raise InputError(f"table meta: no {key!r}", str(path))
    return unpacked_json(found[0], f"table meta: {key}", path)


def put(db: sqlite3.Connection, key: str, value: Any) -> None:
    """Keep a value in the table `meta`."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value, sort_keys=True)))
