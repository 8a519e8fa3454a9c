"""Processes: what keeps this one from ending well, and those that it starts from beginning at all.

``python -c`` and ``python -m`` put the current folder first on the import path. A `types.py` there would
stand in for Python's own before a line of ours runs.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SAFE = "-P"  # for commands of our own; `safe_path` is for those that `multiprocessing` makes
VARIABLE = "PYTHONSAFEPATH"

library_threads: list[threading.Thread] = []  # calls into libraries that may not stop when told
LAST_S = 5.0  # what each of them gets at the end of the process, which it could abort


@contextmanager
def safe_path() -> Iterator[None]:
    """Let processes that are started meanwhile do without the current folder on their import path.

    `multiprocessing` gives them the import path of this process before they unpickle anything.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = before or "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]


@atexit.register
def _wait() -> None:
    """Give libraries that were told to stop the time to do so, before their own clean-up runs under them."""
    for thread in library_threads:
        thread.join(LAST_S)


def left_behind() -> bool:
    """Say whether a library is still at work that did not stop when told.

    A process that then ends in the usual way can be aborted by the library's clean-up; `os._exit` is safe.
    """
    return any(thread.is_alive() for thread in library_threads)
