"""Reading the store of a comparison while others may write to it, or put a copy in its place."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecopt.comparing import database
from mecopt.comparing.soundness import unpacked, unpacked_json
from mecopt.errors import InputError, InstanceError

if TYPE_CHECKING:
    import pandas as pd

    from mecopt.instance import Instance

Row = dict[str, Any]


class StoreReader:
    """The tables of a store, read only; what is damaged there is an `InputError` that names the place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connect()
        self._instances: dict[str, Instance] = {}

    def close(self) -> None:
        """Close the store."""
        self._connection.close()

    def _connect(self) -> None:
        self._file = os.stat(self.path)
        self._connection = database.connect_reader(self.path)

    @property
    def _db(self) -> sqlite3.Connection:
        """The store as it is now: who left last may have put a copy in the place of one that was open."""
        with contextlib.suppress(OSError):
            if not os.path.samestat(os.stat(self.path), self._file):
                self._connection.close()
                self._connect()
        return self._connection

    def meta(self, key: str) -> Any:
        """Return what the store says of itself under a key."""
        with database.explained(self.path):
            return database.get(self._db, key, self.path)

    def tuples(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with database.explained(self.path):
            return self._db.execute(query, values).fetchall()

    def frame(self, query: str) -> pd.DataFrame:
        """Return the rows of a query as a table."""
        import pandas as pd

        with database.explained(self.path):
            cursor = self._db.execute(query)
            names = [column[0] for column in cursor.description]
            return pd.DataFrame(cursor.fetchall(), columns=names)

    def run(self, run: int) -> Row | None:
        """Return all that is stored of a run, its instance and its details; None if there is no such run."""
        with database.explained(self.path):
            cursor = self._db.execute(
                "SELECT * FROM runs JOIN instances USING (instance_sha256) JOIN details USING (run) "
                "WHERE run = ?",
                (run,),
            )
            names = [column[0] for column in cursor.description]
            found = cursor.fetchone()
        return None if found is None else dict(zip(names, found, strict=True))

    def detail(self, run: int, name: str) -> str | None:
        """Return one detail of a run as it is stored."""
        found = self.tuples(f"SELECT {name} FROM details WHERE run = ?", run)
        return found[0][0] if found else None

    def details(self, name: str) -> list[tuple[int, str]]:
        """Return one detail of every run that has it."""
        query = f"SELECT run, {name} FROM details WHERE {name} IS NOT NULL ORDER BY run"
        return [(run, text) for run, text in self.tuples(query)]

    def machines(self) -> dict[str, Any]:
        """Return the description of every machine, in the order in which they came."""
        return {
            host: unpacked_json(text, f"table machines: {host!r}", self.path)
            for host, text in self.tuples("SELECT host, description FROM machines ORDER BY rowid")
        }

    def instance(self, sha256: str) -> Instance:
        """Return an instance; `InputError` if there is none of that SHA-256."""
        from mecopt import io

        if sha256 not in self._instances:
            found = self.tuples("SELECT document FROM instances WHERE instance_sha256 = ?", sha256)
            if not found:
                raise InputError(f"no instance with sha256 {sha256[:12]}…", str(self.path))
            place = f"instance {sha256[:12]}…"
            try:
                instance = io.from_json(unpacked(found[0][0], place, self.path))
            except InstanceError as error:
                raise InputError(
                    (f"{place}: {problem}" for problem in error.problems), str(self.path)
                ) from None
            if instance.sha256 != sha256:
                raise InputError(f"{place}: the instance there is another", str(self.path))
            self._instances[sha256] = instance
        return self._instances[sha256]
