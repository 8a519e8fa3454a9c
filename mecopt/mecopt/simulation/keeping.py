"""The folder of a simulation: one file for every finished run, so that work is shared, stopped and taken up.

A run is claimed by a lock that the system drops with its process, and its file is written whole or not at
all.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mecopt.errors import InputError, MecoptError
from mecopt.files import read_bytes, write_bytes
from mecopt.locks import FileLock

SETTINGS, RUNS, TABLE = "simulation.json", "runs", "runs.csv"
FORMAT = "mecopt-simulation/1"
POLL_S = 0.1

Key = tuple[str, int]  # name of a rule, and seed


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
                if any(path.name != lock.path.name for path in self.path.iterdir()):
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
        return sorted(found, key=lambda row: (str(row.get("policy")), int(row.get("seed", 0))))

    def write_table(self) -> None:
        """Write the finished runs as a table too."""
        rows = [_flat(row) for row in self.rows()]
        heads = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, heads, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(self.path / TABLE, text.getvalue().encode())

    def file_of(self, key: Key) -> Path:
        """Return the file of a run."""
        name, seed = key
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
        code = f"-{self.codes[name]}" if name in self.codes else ""
        return self.path / RUNS / f"{safe}{code}-{seed}.json"

    def row(self, key: Key) -> dict[str, Any]:
        """Return a finished run."""
        return _document(self.file_of(key))

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
            f"{name} {there.get(name)} there, {value} here"
            for name, value in self.settings.items()
            if there.get(name) != value
        ]
        if other:
            raise InputError(
                f"holds another simulation: {'; '.join(other)}; choose another --out, or give the "
                "same options to go on",
                str(self.path),
            )


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_bytes(path))
    except ValueError as error:
        raise InputError(
            f"no JSON ({error}), expected what simulate wrote; delete it to make it again", str(path)
        ) from None
    if not isinstance(document, dict):
        raise InputError(
            "no JSON object, expected what simulate wrote; delete it to make it again", str(path)
        )
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
