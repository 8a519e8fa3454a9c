"""Settings of one's own: a JSON file with a name and parameters, wherever a named setting stands in a spec.

``{"format": "mecopt-setting/1", "name": "yard", "base": "paper", "parameters": {"servers": 3}}``; the base
is any named setting, without one the defaults. A file changes, so nothing of it is kept.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mecopt.errors import InputError, shown
from mecopt.files import read_bytes
from mecopt.generators import LARGEST_SETTING
from mecopt.generators.values import Range, from_text

FORMAT, SUFFIX = "mecopt-setting/1", ".json"
FIELDS = ("format", "name", "about", "base", "parameters")
EXPECTED = 'expected {"name": ..., "base": a named setting, "parameters": {...}}'


@dataclass(frozen=True)
class OwnSetting:
    """A setting that a file holds: what differs from the named setting `base`."""

    name: str
    about: str
    base: str | None
    parameters: Mapping[str, Any]


def names_a_file(text: str) -> bool:
    """Say whether the name of a setting means a file that holds one; an instance, say, does not count."""
    if not text.endswith(SUFFIX):
        return False
    try:
        if not os.path.isfile(text) or os.path.getsize(text) > LARGEST_SETTING:
            return False
        document = json.loads(read_bytes(text))
    except (InputError, OSError, ValueError, RecursionError):
        return False
    return (
        isinstance(document, dict)
        and isinstance(document.get("parameters"), dict)
        and "tasks" not in document
    )


def read(path: str) -> OwnSetting:
    """Read a setting.

    Raises
    ------
    InputError
        If the file cannot be read, or is no setting; the text names the place in it.
    """
    from mecopt.repeated import plain_values

    document = plain_values(read_bytes(path), path)
    if not isinstance(document, dict):
        raise InputError(f"no object; {EXPECTED}", path)
    for field in document:
        if field not in FIELDS:
            near = difflib.get_close_matches(field, FIELDS, n=1)
            hint = f"did you mean {near[0]}?" if near else EXPECTED
            raise InputError(f"{shown(field)}: no such field; {hint}", path)
    if document.get("format", FORMAT) != FORMAT:
        raise InputError(f"format: {shown(document['format'])}, expected {FORMAT!r}", path)
    name, base = document.get("name", Path(path).stem), document.get("base")
    for field, value in (
        ("name", name),
        ("about", document.get("about", "")),
        ("base", "" if base is None else base),
    ):
        if not isinstance(value, str):
            raise InputError(f"{field}: {shown(value)}, expected a text", path)
    if not name.strip() or any(mark in name for mark in ":,=|\n"):
        raise InputError(f"name: {shown(name)}, expected one without any of : , = |", path)
    if base is not None and base.endswith(SUFFIX):
        raise InputError(f"base: {shown(base)}, expected one of mecopt's own settings", path)
    if not isinstance(document.get("parameters"), dict):
        told = shown(document["parameters"]) if "parameters" in document else "missing"
        raise InputError(f"parameters: {told}, expected an object", path)
    parameters = {key: _value(value) for key, value in document["parameters"].items()}
    return OwnSetting(name.strip(), document.get("about", ""), base, parameters)


def _value(value: Any) -> Any:
    """Read a value as an instance's origin has it ({"uniform": [2, 9]}), or as one types it ("2..9")."""
    if isinstance(value, Mapping):
        ends = value.get("uniform")
        numbers = isinstance(ends, list) and len(ends) == 2 and all(isinstance(e, (int, float)) for e in ends)
        return Range(*ends) if numbers and len(value) == 1 else dict(value)  # type: ignore[misc]
    if isinstance(value, str) and ".." in value:
        return from_text(value)
    return value
