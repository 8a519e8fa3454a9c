"""JSON lines: a line in, a line out at once, and the worst status of all in the end."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from mecopt.cli import BAD_INPUT, ERROR, INTERRUPTED
from mecopt.errors import InputError, MecoptError
from mecopt.files import lines_of_stdin, read_stdin
from mecopt.interrupts import interrupts_kept
from mecopt.planner.json_lines import refused

# From the best to the worst: done, violating, infeasible, nothing found, bad input, any other error.
WORSE = (0, 5, 3, 4, BAD_INPUT, ERROR, INTERRUPTED)
DOCUMENT_BEHIND = re.compile(rb'\n\{[^\n]*"format"')  # that begins on another line than the first
LONGEST = 1 << 24  # bytes of a first line that is looked at; 36,000 tasks take 5 MB


def split_stdin(look_ahead: bool) -> tuple[bytes, Iterator[bytes] | None]:
    """Read the first document of standard input.

    Parameters
    ----------
    look_ahead : bool
        Whether to wait for what is behind a document of one line, to know if it is the only one.

    Returns
    -------
    bytes, iterator or None
        All of it and None where there is one document; else the first line and those behind it.
    """
    first = sys.stdin.buffer.readline(LONGEST)
    try:
        json.loads(first)
    except (ValueError, RecursionError):  # a document of several lines, a packed one, or none at all
        data = read_stdin(first)
        if not DOCUMENT_BEHIND.search(data):
            return data, None
        parts = data.splitlines()
        return parts[0], iter(parts[1:])
    lines = lines_of_stdin()
    if not look_ahead:
        return first, lines
    second = next((line for line in lines if line.strip()), None)
    return first, None if second is None else chain([second], lines)


def answer_lines(
    lines: Iterable[bytes], answer: Callable[[bytes], tuple[dict[str, Any], int]], first: int = 1
) -> int:
    """Write a line for each that is not blank, before the next is read; return the worst exit status.

    Parameters
    ----------
    lines : iterable of bytes
    answer : callable
        Returns the document of a line and the exit status that it would have alone. What it raises on purpose
        becomes an error object, and the next lines go on.
    first : int
        Number of the first line.
    """
    worst, out = 0, sys.stdout.buffer
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            document, status = answer(line)
        except InputError as error:
            document, status = refused(number, error.problems), error.exit_status
        except MecoptError as error:
            document, status = refused(number, (str(error),)), error.exit_status
        text = json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
        with interrupts_kept():  # or the line might be written twice
            out.write(text.encode(errors="backslashreplace"))
            out.flush()  # a program on a pipe waits for it
        worst = max(worst, status, key=WORSE.index)
        if worst == INTERRUPTED:
            break
    return worst
