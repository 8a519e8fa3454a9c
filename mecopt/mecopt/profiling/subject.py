"""Which model is to be profiled, and the file that holds what is run."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mecopt.errors import InputError, shown

if TYPE_CHECKING:
    from mecopt.importing.model_document import ModelDocument

JSON = (".json", ".json.gz")
CHUNK = 1 << 24


def opened(model: str, file: str | None = None) -> tuple[ModelDocument, str]:
    """Return a model and the path of its source file.

    Parameters
    ----------
    model : str
        A model file of `mecopt import`, or an ONNX file, which is imported as that does by default.
    file : str, optional
        The source file; that beside the model file, by the name in it, if None.

    Raises
    ------
    InputError
        If a file cannot be read, or the source file is another one than was imported.
    """
    if not model.endswith(JSON):
        if file is not None:
            raise InputError(f"--file {file}: expected none, since {model} is run itself")
        import mecopt

        return mecopt.import_model(model), model
    from mecopt.importing import model_document

    known = model_document.load(model)
    if known.source.file is None or known.source.sha256 is None:
        raise InputError(
            f"imported from {known.source.kind} without a file, so there is nothing to run", model
        )
    path = file or os.path.join(os.path.dirname(model), known.source.file)
    if file is None and not os.path.exists(path):
        raise InputError(
            f"{path}, which it was imported from, is not there, expected it or --file FILE", model
        )
    found = _sha256(path)
    if found != known.source.sha256:
        raise InputError(
            f"sha256 {found[:12]}…, expected {known.source.sha256[:12]}…: not the file that {shown(model)} "
            "was imported from",
            path,
        )
    return known, path


def _sha256(path: str) -> str:
    found = hashlib.sha256()
    try:
        with Path(path).open("rb") as source:
            while part := source.read(CHUNK):
                found.update(part)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path) from None
    return found.hexdigest()
