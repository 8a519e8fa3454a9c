"""One process at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mecopt.errors import InputError, MecoptError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder; the lock ends with this process, however it ends.

    Raises
    ------
    InputError
        If another process has it, or the folder cannot be written in.
    """
    try:
        import fcntl
    except ImportError:  # a system without file locks
        yield
        return
    path = folder / LOCK
    try:
        lock = open(path, "w")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"cannot be written in ({error.strerror})", str(folder)) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("another process is training here", str(folder)) from None
        except OSError as error:
            raise MecoptError(f"{folder}: cannot be locked: {error.strerror}") from None
        try:
            yield
        finally:
            with suppress(OSError):
                os.unlink(path)
