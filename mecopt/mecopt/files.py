"""Reading and writing whole files: errors in one line, nothing ever half-written."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from mecopt.encoding import GZIP
from mecopt.errors import InputError, MecoptError

PREFIX = ".mecopt-"  # of temporary files

MOST_BYTES = 1 << 30  # of a file, unpacked; 36,000 tasks take 5 MB
CHUNK = 1 << 24
STDIN_NAME = "standard input"


class Readable(Protocol):
    """What can be read in pieces."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file, unpacked if its name ends in ``.gz``.

    Raises
    ------
    InputError
        If the file cannot be read, is not a gzip file though its name says so, or holds more than
        `MOST_BYTES` (a small gzip file may unpack to any size).
    """
    try:
        with Path(path).open("rb") as file:
            if Path(path).suffix == ".gz":
                return _unpacked(file, str(path))
            return _bounded(file, str(path))
    except OSError as error:
        raise InputError(_reason(error, "a file"), str(path)) from None
    except ValueError as error:  # a name that no file can have: a NUL, a lone surrogate
        raise InputError(f"no file can have this name ({error})", str(path)) from None


def read_stdin(begun: bytes = b"") -> bytes:
    """Return what standard input holds behind what was read of it; refused as `read_bytes` does.

    All of it is unpacked if it is gzip.
    """
    data = begun + _bounded(sys.stdin.buffer, STDIN_NAME)
    return _unpacked(io.BytesIO(data), STDIN_NAME) if data.startswith(GZIP) else data


def lines_of_stdin() -> Iterator[bytes]:
    """Yield the lines of standard input as they come; the last one may have no end.

    Raises
    ------
    InputError
        If one is longer than `MOST_BYTES`.
    """
    while line := sys.stdin.buffer.readline(MOST_BYTES + 1):
        if len(line) > MOST_BYTES:
            raise InputError(f"a line of more than {MOST_BYTES >> 20} MiB, expected at most that", STDIN_NAME)
        yield line


def _bounded(file: Readable, source: str) -> bytes:
    """Read to the end, but never much more than is allowed; /dev/zero has no end."""
    parts, size = [], 0
    while part := file.read(CHUNK):
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise InputError(f"more than {MOST_BYTES >> 20} MiB, expected at most that (unpacked)", source)
    return b"".join(parts)


def _unpacked(file: IO[bytes], source: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            return _bounded(packed, source)
    except (gzip.BadGzipFile, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"not a whole gzip file ({error})", source) from None


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all (packed if its name ends in ``.gz``).

    The bytes go to a temporary file beside it, which then takes its name in one step. Where the system can,
    that file has no name before it is whole, so that not even a kill leaves a part of it behind.

    Raises
    ------
    InputError
        If the folder does not exist, or the place cannot be written.
    MecoptError
        If the disk is full.
    """
    target = Path(path)
    if target.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    temporary = None
    try:
        if not target.parent.is_dir():
            raise InputError(f"folder {str(target.parent)!r} does not exist", str(path))
        if target.is_dir():
            raise InputError("is a folder, expected a file name", str(path))
        if target.exists() and not target.is_file():  # a pipe or /dev/stdout cannot be replaced
            target.write_bytes(data)
            return
        temporary = _nameless(target.parent, data)
        if temporary is None:
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=PREFIX)
            _fill(handle, data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise InputError(f"cannot be written here ({error.strerror})", str(path)) from None
        if isinstance(error, (PermissionError, NotADirectoryError)) or error.errno == errno.ENAMETOOLONG:
            raise InputError(_reason(error, "a place to write"), str(path)) from None
        raise MecoptError(f"{path}: could not be written: {error.strerror}") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _nameless(folder: Path, data: bytes) -> str | None:
    """Write a new file that gets a name when it is whole; None where the system cannot do that."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    name = tempfile.mktemp(dir=folder, prefix=PREFIX)  # a link takes no name that is there
    with contextlib.suppress(OSError):  # a full disk is told by the other way
        with (
            _opened("/proc/self/fd", os.O_RDONLY) as place,
            _opened(folder, os.O_TMPFILE | os.O_WRONLY) as own,
        ):
            _fill(os.dup(own), data)
            # With a folder that is open, a link is made to what the entry leads to, not to the entry.
            os.link(str(own), name, src_dir_fd=place, follow_symlinks=True)
        return name
    return None


@contextlib.contextmanager
def _opened(path: str | Path, flags: int) -> Iterator[int]:
    handle = os.open(path, flags, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _fill(handle: int, data: bytes) -> None:
    """Write a file to the disk, and close it."""
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _reason(error: OSError, expected: str) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return f"is a folder, expected {expected}"
    if isinstance(error, PermissionError):
        return "no permission"
    return error.strerror or str(error)
