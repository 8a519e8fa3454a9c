"""The standard streams of the command: closed ones, full ones, and ones whose reader has gone."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from mecopt.errors import MecoptError

UNWRITTEN = "standard output: could not be written: {}"


class Output(io.FileIO):
    """Standard output, which fails with a line of its own, once, and then takes and forgets everything.

    So Python, which flushes it again when it ends, has nothing to add.
    """

    failed = False

    def write(self, data: Any, /) -> int:
        """Write bytes.

        Raises
        ------
        MecoptError
            If nothing more can be written, as on a full disk.
        BrokenPipeError
            If the reader has gone.
        """
        if self.failed:
            return len(data)
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            self.failed = True
            raise MecoptError(UNWRITTEN.format(error.strerror)) from None


def open_streams(errors: str) -> None:
    """Make the standard streams fit to be used.

    Something is put where one is closed, or the next file that is opened would get its number, and a library
    that prints would print into that file. Reading finds nothing then, messages go nowhere, and what is
    written to standard output fails.

    Parameters
    ----------
    errors : str
        What is done about characters that the terminal's encoding lacks.
    """
    ways = (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))
    for name, flags, mode in ways:
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, flags)
            setattr(sys, name, os.fdopen(nowhere, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and isinstance(_raw(out), io.FileIO):
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(Output(out.fileno(), "w", closefd=False)),
            encoding=out.encoding, errors=errors, line_buffering=out.line_buffering,
            write_through=out.write_through,
        )  # fmt: skip


def _raw(stream: TextIO) -> Any:
    """Return what is below the buffer, if there is a buffer."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def finish(status: int) -> int:
    """Write out what is still held back; return the status, an error's where standard output has failed.

    That its reader has gone is known to whoever closed the pipe, and is not said.
    """
    try:
        sys.stdout.flush()
    except OSError:
        status = 1
        _discard(sys.stdout)
    except MecoptError as error:
        status = 1
        with suppress(OSError):
            print(f"mecopt: {error}", file=sys.stderr)
    raw = _raw(sys.stdout)
    if isinstance(raw, Output) and raw.failed:
        status = 1
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)
    return status


def _discard(stream: TextIO) -> None:
    """Send what a stream holds nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        stream.flush()
