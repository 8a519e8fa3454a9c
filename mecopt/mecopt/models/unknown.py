"""What is said of a name that no model has."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from mecopt.errors import InputError


def unknown(name: str, known: Collection[str]) -> InputError:
    """Return the error for a name that is not among the known ones; its text gives the nearest."""
    near = get_close_matches(str(name).lower().replace("_", "-"), known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(known)}"
    return InputError(f"model {name!r}: not known, {hint}")
