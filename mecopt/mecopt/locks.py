"""Locks between processes: a file beside what is locked, gone again when nobody holds it.

The system drops a lock with the process that holds it, however that ends; the file is only its name. Where a
system or a file system knows no such locks, work goes on without.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from mecopt.errors import InputError, MecoptError

PATIENCE_S = 2.0  # a wait longer than this is told
POLL_S = 0.05
UNKNOWN = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)  # no locks here


def _fcntl() -> ModuleType | None:
    try:
        import fcntl
    except ImportError:  # a system without file locks
        return None
    return fcntl


class FileLock:
    """A lock that one process holds alone, or several share.

    Parameters
    ----------
    path : path
        The file that stands for it; whoever held the lock alone deletes it.

    Attributes
    ----------
    known : bool
        Whether the system and the file system know locks, as far as has been tried.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.known = _fcntl() is not None
        self._file: int | None = None
        self._alone = False

    def alone(self) -> bool:
        """Take the lock alone, without waiting, and say whether that was possible.

        A share that is held is given up first, and stays given up when it was not. Of several that hold a
        share and ask for more, the last gets it.

        Raises
        ------
        InputError
            If nothing can be written in the folder.
        MecoptError
            If the disk is full.
        """
        return self._take(alone=True, wait=False)

    def wait_alone(self, on_wait: Callable[[], None]) -> None:
        """Take the lock alone; `on_wait` is called once when that takes long. Raises as `alone` does."""
        until = time.monotonic() + PATIENCE_S
        while self.known and not self.alone():
            if time.monotonic() > until:
                on_wait()
                self._take(alone=True, wait=True)
                return
            time.sleep(POLL_S)

    def share(self) -> None:
        """Take a share, for which is waited while another process holds the lock alone. Raises as `alone`."""
        self._take(alone=False, wait=True)

    def release(self) -> None:
        """Give it back."""
        if self._file is None:
            return
        if self._alone:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        os.close(self._file)
        self._file, self._alone = None, False

    def _take(self, *, alone: bool, wait: bool) -> bool:
        fcntl = _fcntl()
        if fcntl is None or not self.known:
            return False
        kind = (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB)
        while True:
            if self._file is None:
                self._file = self._opened()
            try:
                fcntl.flock(self._file, kind)
            except OSError as error:
                self._close()
                if isinstance(error, BlockingIOError):
                    return False
                if error.errno in UNKNOWN:
                    self.known = False
                    return False
                raise MecoptError(f"{self.path}: cannot be locked: {error.strerror}") from None
            except BaseException:
                self._close()
                raise
            if self._is_the_path():
                self._alone = alone
                return True
            self._close()  # its last holder has deleted it since

    def _opened(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise MecoptError(f"{self.path}: could not be written: {error.strerror}") from None
            raise InputError(f"cannot be written in ({error.strerror})", str(self.path.parent)) from None

    def _is_the_path(self) -> bool:
        assert self._file is not None
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except OSError:
            return False

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self._alone = None, False


@contextlib.contextmanager
def only_one(path: str | os.PathLike[str], otherwise: InputError) -> Iterator[None]:
    """Keep other processes out while this one is within, or raise what is said to be otherwise."""
    lock = FileLock(path)
    if not lock.alone() and lock.known:
        raise otherwise
    try:
        yield
    finally:
        lock.release()
