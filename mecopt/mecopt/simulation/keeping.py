"""The folder of a simulation: one file for every finished run, so that work is shared, stopped and taken up.

A run is claimed by a lock that the system drops with its process, and its file is written whole or not at
all.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from mecopt.errors import InputError, InstanceError, MecoptError
from mecopt.files import PREFIX, read_bytes, write_bytes
from mecopt.locks import FileLock
from mecopt.repeated import plain_values
from mecopt.schema import parse
from mecopt.text import csv_cell

SETTINGS, RUNS, TABLE = "simulation.json", "runs", "runs.csv"
FORMAT = "mecopt-simulation/1"
POLL_S = 0.1

Key = tuple[str, int]  # name of a rule, and seed

Estimate = Annotated[list[float | None], Field(min_length=3, max_length=3)]  # value, low, high


class _RunDoc(BaseModel):
    """What is read of a finished run; the rest of it is only handed on."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    policy: str
    seed: int
    mean_s: Estimate
    p50_s: Estimate
    p95_s: Estimate
    p99_s: Estimate
    deadline_misses: Estimate | None
    energy_j: Estimate
    regret: float
    bound_s: float
    status: Literal["stable", "unsure", "unstable"]
    busiest: Annotated[list[str | float | None], Field(min_length=4, max_length=4)]


_RUN: TypeAdapter[_RunDoc] = TypeAdapter(_RunDoc)
AGAIN = "delete it to make it again"
LONGEST = 50  # characters of a rule in the name of a file


class Folder:
    """A folder of finished runs, all under the same settings.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    settings : dict
        What every run in it shares.
    codes : dict
        Digests of the code of rules that are in files of their own.

    Raises
    ------
    InputError
        If the folder cannot be used, holds something else, or runs under other settings.
    """

    def __init__(
        self, folder: str | os.PathLike[str], settings: dict[str, Any], codes: dict[str, str]
    ) -> None:
        self.path, self.codes = Path(folder), codes
        self.settings = {"format": FORMAT, **settings}
        self._make()
        kept = self.path / SETTINGS
        lock = FileLock(self.path / ".simulation.lock")
        lock.wait_alone(lambda: None)
        try:
            if kept.exists():
                self._check_same(_document(kept), kept)
            else:
                if any(not path.name.startswith((lock.path.name, PREFIX)) for path in self.path.iterdir()):
                    raise InputError(
                        "is not empty and holds no simulation; choose another --out", str(self.path)
                    )
                write_bytes(kept, (json.dumps(self.settings, indent=1) + "\n").encode())
            (self.path / RUNS).mkdir(exist_ok=True)
        except OSError as error:
            raise MecoptError(f"{self.path}: could not be written: {error.strerror}") from None
        finally:
            lock.release()

    def finish_all(self, wanted: Sequence[Key], work: Callable[[Key], dict[str, Any]]) -> None:
        """Make the runs that are not finished; those that another process makes are waited for."""
        left = list(wanted)
        while left:
            moved = False
            for key in list(left):
                if not self.file_of(key).exists():
                    with self._claimed(key) as mine:
                        if not mine:
                            continue
                        if not self.file_of(key).exists():
                            self._keep(key, work(key))
                left.remove(key)
                moved = True
            if left and not moved:
                time.sleep(POLL_S)

    def rows(self) -> list[dict[str, Any]]:
        """Return all finished runs, by rule and seed."""
        found = [_document(path) for path in sorted((self.path / RUNS).glob("*.json"))]
        return sorted(found, key=lambda row: (str(row.get("policy")), str(row.get("seed")).zfill(20)))

    def write_table(self) -> None:
        """Write the finished runs as a table too."""
        rows = [_flat(row) for row in self.rows()]
        heads = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, heads, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
        write_bytes(self.path / TABLE, text.getvalue().encode(errors="backslashreplace"))

    def file_of(self, key: Key) -> Path:
        """Return the file of a run."""
        name, seed = key
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
        if len(safe) > LONGEST:
            mark = hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()
            safe = f"{safe[:LONGEST]}-{mark[:12]}"
        code = f"-{self.codes[name]}" if name in self.codes else ""
        return self.path / RUNS / f"{safe}{code}-{seed}.json"

    def row(self, key: Key) -> dict[str, Any]:
        """Return a finished run."""
        path = self.file_of(key)
        row = _document(path)
        try:
            doc = parse(_RUN, row)
        except InstanceError as error:
            raise InputError((f"{problem}; {AGAIN}" for problem in error.problems), str(path)) from None
        if (doc.policy, doc.seed) != key:
            raise InputError(
                f"of {doc.policy} and seed {doc.seed}, expected {key[0]} and {key[1]}", str(path)
            )
        return row

    def _keep(self, key: Key, row: dict[str, Any]) -> None:
        try:
            write_bytes(self.file_of(key), (json.dumps(row, indent=1, allow_nan=False) + "\n").encode())
        except MecoptError as error:
            if isinstance(error, InputError):
                raise
            raise MecoptError(
                f"{error}; what was finished before is kept, make room and give the same command again"
            ) from None

    @contextmanager
    def _claimed(self, key: Key) -> Iterator[bool]:
        lock = FileLock(self.file_of(key).with_suffix(".lock"))
        mine = lock.alone() or not lock.known
        try:
            yield mine
        finally:
            lock.release()

    def _make(self) -> None:
        try:
            if self.path.exists() and not self.path.is_dir():
                raise InputError("is no folder, expected one for the simulation", str(self.path))
            self.path.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise InputError("no permission to write in it", str(self.path))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot be made ({reason})", str(self.path)) from None

    def _check_same(self, there: dict[str, Any], place: Path) -> None:
        if there.get("format") != FORMAT:
            raise InputError(f"format {there.get('format')!r}, expected {FORMAT!r}", str(place))
        other = [
            f"{name} {_short(there.get(name))} there, {_short(value)} here"
            for name, value in self.settings.items()
            if there.get(name) != value
        ]
        if other:
            raise InputError(
                f"holds another simulation: {'; '.join(other)}; choose another --out, or give the "
                "same options to go on",
                str(self.path),
            )


def _short(value: Any) -> Any:
    return f"{value:.9g}" if isinstance(value, float) else value


def _document(path: Path) -> dict[str, Any]:
    try:
        document = plain_values(read_bytes(path), str(path))
    except InputError as error:
        raise InputError((f"{problem}; {AGAIN}" for problem in error.problems), str(path)) from None
    if not isinstance(document, dict):
        raise InputError(f"no JSON object, expected what simulate wrote; {AGAIN}", str(path))
    return document


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with estimates as three columns, and without what is nested deeper."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, list) and len(value) == 3:
            flat |= {name: value[0], f"{name}_low": value[1], f"{name}_high": value[2]}
        elif not isinstance(value, (list, dict)):
            flat[name] = value
    return flat
