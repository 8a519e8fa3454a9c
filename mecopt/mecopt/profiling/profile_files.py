"""Reading and writing profiles."""

from __future__ import annotations

import json
import os

from mecopt import schema
from mecopt.errors import InputError, InstanceError
from mecopt.files import read_bytes
from mecopt.hardware import ESTIMATE
from mecopt.profiling.profile_document import PROFILE, ProfileDoc
from mecopt.repeated import repeated_keys


def load(path: str | os.PathLike[str]) -> ProfileDoc:
    """Read a profile file.

    Raises
    ------
    InputError
        With one line for every problem.
    """
    data = read_bytes(path)
    try:
        found: ProfileDoc = schema.parse(PROFILE, data)
    except InstanceError as error:
        raise InputError(error.problems, str(path)) from None
    problems = repeated_keys(data, found) or _problems(found)
    if problems:
        raise InputError(problems, str(path))
    return found


def _problems(doc: ProfileDoc) -> list[str]:
    """Return what only several fields together can show to be wrong."""
    if (doc.kind == "constants") != (doc.constants is not None):
        return [f"constants: expected them with kind 'constants', and only there, kind is {doc.kind!r}"]
    if (doc.kind == "constants") != (doc.model is None):
        return [f"model: expected one, and none with kind 'constants', kind is {doc.kind!r}"]
    names = [] if doc.model is None else doc.model.blocks
    if [block.name for block in doc.blocks] != names:
        return [f"blocks: {len(doc.blocks)} given, expected the {len(names)} of model.blocks by their names"]
    if doc.kind == "estimate" and not doc.hardware.startswith(ESTIMATE):
        return [f"hardware: {doc.hardware!r}, expected {ESTIMATE!r} in front of what was not measured"]
    return []


def text(doc: ProfileDoc) -> bytes:
    """Return a profile as the bytes of its file."""
    return (json.dumps(doc.model_dump(), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
