"""Python processes of our own, whatever lies in the folder that they start in.

``python -c`` and ``python -m`` put the current folder first on the import path. A `types.py` there would
stand in for Python's own before a line of ours runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SAFE = "-P"  # for commands of our own; `safe_path` is for those that `multiprocessing` makes
VARIABLE = "PYTHONSAFEPATH"


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
