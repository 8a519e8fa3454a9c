"""How files of other projects are read: field by field, with the place in what is wrong."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mecopt.errors import InputError, shown
from mecopt.files import read_bytes
from mecopt.importing.model_document import Source
from mecopt.repeated import plain_values


class Fields:
    """An object of a file, whose fields are taken by name and kind.

    Raises
    ------
    InputError
        From each method, if a field is missing or of another kind; the text names the file and the place.
    """

    def __init__(self, content: Any, source: str, place: str = "") -> None:
        self.source, self.place = source, place
        if not isinstance(content, Mapping):
            raise self.error("", f"{shown(content)}, expected an object")
        self.content: Mapping[str, Any] = content

    def error(self, name: str, text: str) -> InputError:
        """Return the error of a field."""
        where = ".".join(part for part in (self.place, str(name)) if part)
        return InputError(f"{where}: {text}" if where else text, self.source)

    def get(self, name: str) -> Any:
        """Return a field as it is."""
        if name not in self.content:
            raise self.error(name, "missing")
        return self.content[name]

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number >= 0."""
        value = self.content.get(name, default)
        if value is None:
            value = self.get(name)
        if isinstance(value, (bool, int, float)) and math.isfinite(value) and value >= 0:
            return float(value)
        raise self.error(name, f"{shown(value)}, expected a number >= 0")

    def numbers(self, name: str, count: int | None = None) -> list[float]:
        """Return a list of numbers >= 0, so many if a count is given."""
        values = self.entries(name)
        inner = Fields(dict(enumerate(values)), self.source, f"{self.place}.{name}".strip("."))
        found = [inner.number(i) for i in range(len(values))]  # type: ignore[arg-type]
        if count is not None and len(found) != count:
            raise self.error(name, f"{len(found)} numbers, expected {count}")
        return found

    def entries(self, name: str) -> list[Any]:
        """Return a list."""
        value = self.get(name)
        if not isinstance(value, list):
            raise self.error(name, f"{shown(value)}, expected a list")
        return value

    def fields(self, name: str) -> Fields:
        """Return an object."""
        return Fields(self.get(name), self.source, f"{self.place}.{name}".strip("."))

    def names(self) -> list[str]:
        """Return the names of all fields."""
        return [str(name) for name in self.content]


def read_json(path: Path) -> Fields:
    """Return the object in a JSON file."""
    return Fields(plain_values(read_bytes(path), str(path)), str(path))


def chosen(names: Iterable[str], name: str | None, source: str) -> str:
    """Return which of several models is meant."""
    there = list(names)
    if name is None and len(there) == 1:
        return there[0]
    if name not in there:
        given = "several models" if name is None else f"--name {name}: no such model"
        raise InputError(f"{given}, expected --name, one of {', '.join(there)}", source)
    return str(name)


def source_of(kind: str, path: Path, files: Iterable[Path]) -> Source:
    """Return the source: of a folder, the SHA-256 is of its files, one after the other by name."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(read_bytes(file))
    return Source(kind, path.name, digest.hexdigest())
