"""The JSON Schemas of all file formats."""

from __future__ import annotations

from typing import Any

from mecopt.errors import InputError

NAMES = ("instance", "solution", "model", "profile")


def json_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a format: `instance` and `solution` (/1 and /2), `model`, `profile`.

    Raises
    ------
    InputError
        If there is no format of that name.
    """
    from mecopt.importing.format import MODEL_FILE
    from mecopt.profiling.profile_document import PROFILE
    from mecopt.schema_wider import EITHER

    adapters = {**EITHER, "model": MODEL_FILE, "profile": PROFILE}
    if name not in adapters:
        raise InputError(f"schema: {name!r}, expected one of {', '.join(NAMES)}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **adapters[name].json_schema()}
