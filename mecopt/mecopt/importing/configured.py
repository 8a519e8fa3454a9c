"""A configuration of a language model as a model document, by the counter of `mecopt.models.language`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from mecopt.errors import InputError
from mecopt.files import read_bytes
from mecopt.importing.format import FORMAT
from mecopt.importing.model_document import ModelDocument, Source, from_dict
from mecopt.importing.options import Options

TOKENS = ("prefill", "decode", "context")


def import_config(path: str, options: Options) -> ModelDocument:
    """Read a `config.json` of Hugging Face transformers; `dims` are `TOKENS`, its bits are 16 a value."""
    from mecopt.models import language

    dims = options.dims
    strange = [key for key in dims if key not in TOKENS]
    if strange:
        raise InputError(f"--dim {strange[0]}: no such dimension, expected one of {', '.join(TOKENS)}", path)
    read = language.read(path, options.name)
    tokens: dict[str, Any] = dict(dims)
    try:
        entry = language.document(read, cycles_per_mac=options.cycles_per_mac, **tokens)
    except InputError as error:
        raise InputError(error.problems, path) from None
    source = Source("config", Path(path).name, hashlib.sha256(read_bytes(path)).hexdigest(), dict(dims))
    notes = ["values and parameters of 16 bits; `mecopt models` counts other widths"]
    return from_dict(
        {
            "format": FORMAT,
            "model": entry,
            "source": {**vars(source), "dims": dict(dims)},
            "notes": notes,
        }
    )
