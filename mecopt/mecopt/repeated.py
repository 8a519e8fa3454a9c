"""Keys that an object of a JSON file has twice; JSON parsers silently take the last one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from mecopt.encoding import not_text, without_mark
from mecopt.errors import InputError
from mecopt.schema import where

KEYLESS = ("placement", "trace")  # long fields of a solution, lists of numbers


class _Object(dict[str, Any]):
    """An object that remembers the keys it was given twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        times = Counter(name for name, _ in pairs) if len(self) < len(pairs) else {}
        self.twice = [name for name, count in times.items() if count > 1]


def repeated_keys(data: bytes, doc: BaseModel | Mapping[str, Any]) -> list[str]:
    """Return one line for every key that is given twice.

    Parameters
    ----------
    data : bytes
        JSON text.
    doc : BaseModel or mapping
        What was read from it. Where it has as many keys as the text has colons, or quotes before a colon,
        none is there twice, and the text need not be read again.
    """
    keys = _keys(doc)
    if keys == data.count(b":") or keys == data.count(b'":') + len(re.findall(rb'"\s+:', data)):
        return []
    whole = json.loads(data, object_pairs_hook=_Object, parse_int=str)  # int() takes 4,300 digits at most
    return [f"{where(path)}: given twice" for path in _twice(whole, ())]


def plain_values(data: bytes, source: str) -> Any:
    """Return the values of JSON text that no schema describes.

    Raises
    ------
    InputError
        If it is not JSON in UTF-8, holds what is no number (NaN), or has a key twice in one object.
    """
    try:
        other = not_text(data)
        if other is not None:
            raise InputError(other, source)
        values = json.loads(without_mark(data), object_pairs_hook=_Object, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", source) from None
    twice = [f"{where(path)}: given twice" for path in _twice(values, ())]
    if twice:
        raise InputError(twice, source)
    return values


def _no_number(text: str) -> float:
    raise ValueError(f"{text}, expected a number")


def _keys(value: Any) -> int:
    if isinstance(value, BaseModel) and hasattr(value, "tasks") and hasattr(value, "slots"):
        # An instance: tasks are many, and flat.
        parts = (getattr(value, name) for name in value.model_fields_set if name != "tasks")
        return len(value.model_fields_set) + sum(map(_keys, parts)) + sum(map(len, value.tasks))
    if isinstance(value, BaseModel):
        names = value.model_fields_set
        return len(names) + sum(_keys(getattr(value, name)) for name in names if name not in KEYLESS)
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    return sum(map(_keys, value)) if isinstance(value, list) else 0


def _twice(value: Any, path: tuple[int | str, ...]) -> Iterator[tuple[int | str, ...]]:
    if isinstance(value, _Object):
        yield from ((*path, name) for name in value.twice)
        for name, part in value.items():
            yield from _twice(part, (*path, name))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from _twice(part, (*path, i))
