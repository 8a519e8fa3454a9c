"""The store of a comparison: one SQLite file, to which one transaction is made for every finished run."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecopt.comparing import machine
from mecopt.comparing.database import (
    APPLICATION,
    BUSY_S,
    FILE,
    SCHEMA,
    VERSION,
    check_folder,
    check_format,
    check_whole,
    explained,
    get,
    lock_of,
    log_writes,
    put,
    settle,
)
from mecopt.comparing.one_run import RunOrder, RunOutcome
from mecopt.errors import InputError, MecoptError

if TYPE_CHECKING:
    from mecopt.comparing.run_plan import ComparisonPlan


OF_THE_ORDER = ("run", "instance_sha256", "method", "options", "fingerprint", "seed")  # columns of runs
ATTEMPTS = 5  # at finding the store ready, while others settle it
CHECKPOINT_S = 10.0  # how long, in the midst of the work, what is finished may stand in the log alone


class RunStore:
    """The store as the process that makes the runs sees it.

    Runs are claimed before they are made, so that two processes can share the work of one folder; claims of
    processes that are no more are freed.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    plan : Plan
        What is compared.

    Raises
    ------
    InputError
        If the folder cannot be used, holds something else, or holds another comparison.
    """

    def __init__(self, folder: str | os.PathLike[str], plan: ComparisonPlan) -> None:
        self.path = Path(folder) / FILE
        self.plan = plan
        self.owner: int | None = None
        self._machines: set[str] = set()  # those that are kept already
        self._checkpoint = time.monotonic()
        check_folder(folder)
        self._lock = lock_of(self.path)
        with self._clear():
            known = self._check_there()
            # Before the store is opened: it takes a while, and others must be able to write meanwhile.
            rows = [entry.row() for entry in plan.entries if entry.sha256 not in known]
            try:
                self._connection = self._opened()
            except BaseException:
                self._lock.release()
                raise
            try:
                self._begin(rows)
            except BaseException:
                self._leave()
                raise

    def claim(self) -> RunOrder | None:
        """Take the next run of the plan that nobody makes; None where there is none."""
        with self._transaction() as db:
            found = db.execute(
                "SELECT run, instance_sha256, method, options, seed FROM runs JOIN planned USING (run) "
                "WHERE status IS NULL AND owner IS NULL ORDER BY run LIMIT 1"
            ).fetchone()
            if found is None:
                return None
            run, sha256, method, options, seed = found
            db.execute("UPDATE runs SET owner = ? WHERE run = ?", (self.owner, run))
        plan = self.plan
        carried, given = plan.carried[method, options], json.loads(options)
        return RunOrder(run, sha256, carried, given, seed, plan.time_limit_s, plan.gap, plan.threads)

    def finish(self, outcome: RunOutcome) -> None:
        """Keep what a run came to; a run that is finished already stays as it is."""
        columns, details = outcome.columns, outcome.details
        with self._transaction() as db:
            done = db.execute(
                f"UPDATE runs SET owner = NULL, {', '.join(f'{name} = ?' for name in columns)} "
                "WHERE run = ? AND status IS NULL",
                (*columns.values(), outcome.run),
            )
            if details and done.rowcount:
                marks = ", ".join("?" * len(details))
                db.execute(
                    f"INSERT INTO details (run, {', '.join(details)}) VALUES (?, {marks})",
                    (outcome.run, *details.values()),
                )
        if time.monotonic() - self._checkpoint > CHECKPOINT_S:
            with self._clear():
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._checkpoint = time.monotonic()

    def add_machine(self, host: str, description: dict[str, Any]) -> None:
        """Keep what machine the runs of that `host` are made on."""
        if host in self._machines:
            return
        self._machines.add(host)
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO machines VALUES (?, ?)",
                (host, json.dumps(description, sort_keys=True)),
            )

    def free_dead(self) -> None:
        """Free the claims of processes that are no more."""
        with self._transaction() as db:
            for owner, host, pid, since in db.execute("SELECT * FROM owners").fetchall():
                if owner != self.owner and not machine.alive(host, pid, since):
                    db.execute("UPDATE runs SET owner = NULL WHERE owner = ? AND status IS NULL", (owner,))
                    db.execute("DELETE FROM owners WHERE owner = ?", (owner,))

    def total(self) -> int:
        """Return how many runs the plan has."""
        return self._count("")

    def unfinished(self) -> int:
        """Return how many of them are not finished."""
        return self._count("WHERE status IS NULL")

    def waiting(self) -> int:
        """Return how many of them are neither finished nor claimed."""
        return self._count("WHERE status IS NULL AND owner IS NULL")

    def put_conduct(self, conduct: dict[str, Any]) -> None:
        """Keep how the runs are made now: workers and engine."""
        with self._transaction() as db:
            put(db, "conduct", conduct)

    def close(self) -> None:
        """Give back what is claimed but not finished, and leave."""
        try:
            with contextlib.suppress(sqlite3.Error, MecoptError), self._transaction() as db:
                db.execute("UPDATE runs SET owner = NULL WHERE owner = ? AND status IS NULL", (self.owner,))
                db.execute("DELETE FROM owners WHERE owner = ?", (self.owner,))
        finally:
            self._leave()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_there(self) -> set[str]:
        """Refuse a file that is something else, before anything is changed in it; returns its instances."""
        if not self.path.exists():
            return set()
        check_whole(self.path)
        with contextlib.closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as db:
            if _is_empty(db):
                return set()
            check_format(db, self.path)
            self._check_same(db)
            return {sha256 for (sha256,) in db.execute("SELECT instance_sha256 FROM instances")}

    def _opened(self) -> sqlite3.Connection:
        """Open the store with its log, for which the first to come makes it ready."""
        for attempt in range(1, ATTEMPTS + 1):
            if self._lock.alone() and self.path.is_file():
                log_writes(self.path)
            self._lock.share()
            db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
            try:
                if _is_empty(db) or not self._lock.known:
                    db.execute("PRAGMA journal_mode = WAL")
                (mode,) = db.execute("PRAGMA journal_mode").fetchone()
                # Safe against the death of a process; the end of the machine itself may cost the last runs.
                db.execute("PRAGMA synchronous = NORMAL")
                if mode == "wal" or attempt == ATTEMPTS:  # not every file system lets it have a log
                    return db
            except BaseException:
                db.close()
                raise
            db.close()  # who left last has settled it since this one came
        raise AssertionError

    def _leave(self) -> None:
        """Close the store; the last to leave brings the log into the file."""
        if not self._lock.known:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA busy_timeout = 0")
                self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()
        with contextlib.suppress(MecoptError, OSError, sqlite3.Error):
            if self._lock.alone() and self.path.is_file():
                settle(self.path)
        self._lock.release()

    def _begin(self, rows: list[dict[str, Any]]) -> None:
        db = self._connection
        with self._transaction():
            if _is_empty(db):
                for statement in SCHEMA.split(";")[:-1]:
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION}")
                db.execute(f"PRAGMA user_version = {VERSION}")
                put(db, "settings", self.plan.settings)
                put(db, "created", self.plan.created)
                put(db, "commands", [])
                put(db, "conduct", {})
            else:
                check_format(db, self.path)
                self._check_same(db)
            self._add_plan(rows)
            own = (machine.machine_id(), os.getpid(), machine.started(os.getpid()))
            self.owner = db.execute("INSERT INTO owners (host, pid, since) VALUES (?, ?, ?)", own).lastrowid
        self.free_dead()

    def _check_same(self, db: sqlite3.Connection) -> None:
        """Refuse a folder in which something else was compared."""
        plan = self.plan
        there = get(db, "settings", self.path)
        problems = [
            f"{name} {_word(there.get(name))} there, {_word(value)} here"
            for name, value in plan.settings.items()
            if there.get(name) != value
        ]
        known = dict(db.execute("SELECT instance, instance_sha256 FROM instances").fetchall())
        problems += [
            f"instance {entry.name!r} has changed (sha256 {known[entry.name][:12]}… there, "
            f"{entry.sha256[:12]}… here)"
            for entry in plan.entries
            if known.get(entry.name, entry.sha256) != entry.sha256
        ]
        if not problems:
            methods = set(db.execute("SELECT method, options FROM methods").fetchall())
            shared = {entry.sha256 for entry in plan.entries} & set(known.values()) or (
                {(m.name, m.options_text) for m in plan.methods} & methods
            )
            if known and not shared:
                problems = ["none of its instances and methods are among yours"]
        if problems:
            advice = "choose another --out, or give the same options to go on"
            raise InputError(
                f"holds another comparison: {'; '.join(problems)}; {advice}", str(self.path.parent)
            )

    def _add_plan(self, rows: list[dict[str, Any]]) -> None:
        """Add what the folder does not have yet: instances, methods, seeds."""
        db, plan = self._connection, self.plan
        for row in rows:
            marks = ", ".join("?" * len(row))
            # Another process may have added it since.
            names = ", ".join(row)
            db.execute(f"INSERT OR IGNORE INTO instances ({names}) VALUES ({marks})", tuple(row.values()))
        # The last row of a method with its options is of the code that counts (`Comparison.runs`).
        db.executemany(
            "INSERT OR REPLACE INTO methods VALUES (?, ?, ?, ?)",
            [
                (m.name, m.options_text, m.fingerprint, json.dumps(m.files, sort_keys=True))
                for m in plan.methods
            ],
        )
        db.executemany(  # nobody has their code any more
            "DELETE FROM runs WHERE status IS NULL AND owner IS NULL AND method = ? AND options = ? "
            "AND fingerprint != ?",
            [(m.name, m.options_text, m.fingerprint) for m in plan.methods],
        )
        db.executemany(
            "INSERT OR IGNORE INTO runs (instance_sha256, method, options, fingerprint, seed) "
            "VALUES (?, ?, ?, ?, ?)",
            plan.runs(),
        )
        # The folder may hold runs of other commands, which are not this one's to make.
        db.execute("CREATE TEMP TABLE planned (run INTEGER PRIMARY KEY)")
        db.executemany(
            "INSERT INTO planned SELECT run FROM runs "
            "WHERE instance_sha256 = ? AND method = ? AND options = ? AND fingerprint = ? AND seed = ?",
            plan.runs(),
        )
        self._forget(db)
        commands = get(db, "commands", self.path)
        if plan.command not in commands:
            put(db, "commands", [*commands, plan.command])

    def _forget(self, db: sqlite3.Connection) -> None:
        """Let the finished runs of the methods that are to run again be made anew."""
        names = ", ".join("?" * len(self.plan.rerun))
        again = (
            f"SELECT run FROM runs JOIN planned USING (run) WHERE status IS NOT NULL AND method IN ({names})"
        )
        kept = db.execute(again, tuple(self.plan.rerun)).fetchall()
        db.executemany("DELETE FROM details WHERE run = ?", kept)
        columns = [name for _, name, *_ in db.execute("PRAGMA table_info(runs)") if name not in OF_THE_ORDER]
        blank = ", ".join(f"{name} = NULL" for name in columns)
        db.executemany(f"UPDATE runs SET {blank} WHERE run = ?", kept)

    def _count(self, where: str) -> int:
        with self._clear():
            (count,) = self._connection.execute(
                f"SELECT count(*) FROM runs JOIN planned USING (run) {where}"
            ).fetchone()
        return int(count)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._clear():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _clear(self) -> Iterator[None]:
        with explained(self.path):
            yield


def _is_empty(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,))


def _word(value: Any) -> str:
    return "none" if value is None else str(value)
