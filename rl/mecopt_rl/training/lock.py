"""One process at a time in a folder."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from mecopt.errors import InputError
from mecopt.locks import only_one

LOCK = ".lock"


def locked(folder: Path) -> AbstractContextManager[None]:
    """Keep other processes out of the folder; the lock ends with this process, however it ends.

    Raises
    ------
    InputError
        If another process has it, or the folder cannot be written in.
    """
    return only_one(folder / LOCK, InputError("another process is training here", str(folder)))
