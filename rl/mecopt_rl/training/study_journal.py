"""Optuna's journal of a study, whole after whatever ends a process: a kill, an interrupt, a full disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from mecopt.errors import MecoptError

BEGINS = b'{"op_code"'  # every entry


class StudyJournal(JournalFileBackend):
    """A journal that takes entries whole or not at all; a part of one at its end is cut off.

    Optuna would write behind the part, and never read the file again. Its lock, which outlives a killed
    process by half a minute, is left out: the folder has one already.

    Parameters
    ----------
    path : path
        Made if it does not exist. No other process may write it meanwhile.

    Raises
    ------
    MecoptError
        From each method, if the disk is full.
    ValueError
        If the file ends otherwise than in an entry or a part of one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _told(path), path.open("a+b") as file:
            file.seek(0)
            data = file.read()
            whole = data.rfind(b"\n") + 1
            if not data[whole:].startswith(BEGINS[: len(data) - whole]):
                raise ValueError("its end is no entry")
            file.truncate(whole)
        super().__init__(str(path))
        self.failed: MecoptError | None = None  # Optuna makes an error of its own of it

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write entries at the end."""
        try:
            self._append(logs)
        except MecoptError as error:
            self.failed = error
            raise

    def _append(self, logs: list[dict[str, Any]]) -> None:
        left = memoryview("".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode())
        with _told(self.path), self.path.open("r+b", buffering=0) as file:  # which makes none anew
            size = file.seek(0, os.SEEK_END)
            try:
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(size)
                raise


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MecoptError(f"{path}: could not be written: {error.strerror}") from None
