"""What installed packages offer: entry points, read once, since that opens a file of every package."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points


def offered(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by their names."""
    return {entry.name: entry for entry in _every().select(group=group)}


@cache
def _every() -> EntryPoints:
    found: EntryPoints = entry_points()  # type: ignore[assignment]  # mypy on 3.11 has it as the older kind
    return found
