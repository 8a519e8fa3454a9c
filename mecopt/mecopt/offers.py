"""What installed packages offer: entry points, read once, since that opens a file of every package."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any


def offered(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by their names."""
    return {entry.name: entry for entry in _every(tuple(sys.path)).select(group=group)}


@cache
def _every(path: tuple[str, ...]) -> Any:  # of one type before Python 3.12, of another from there on
    """Read what the packages on the path offer."""
    return entry_points()
