"""An ONNX file as a model document."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mecopt.errors import InputError
from mecopt.importing import pieces
from mecopt.importing.graph_file import is_program, read
from mecopt.importing.model_document import ModelDocument, Source
from mecopt.importing.onnx_file import FOLDER, RUN, STATED
from mecopt.importing.options import Options

if TYPE_CHECKING:
    from onnx import ModelProto


def import_onnx(path: str | os.PathLike[str], options: Options) -> ModelDocument:
    """Read an ONNX file or a program of torch as a chain of blocks; `mecopt.import_model` says more."""
    model, sha256 = read(path)
    kind = "torch" if is_program(path) else "onnx"
    source = Source(kind, Path(path).name, sha256, dict(options.dims))
    try:
        return document(model, source, options, str(path))
    except InputError as error:
        raise InputError(error.problems, error.source or str(path)) from None


def document(model: ModelProto, source: Source, options: Options, place: str) -> ModelDocument:
    """Return an ONNX model that was read as a document; the model is changed."""
    from mecopt.importing import chains, operators

    ready = pieces.prepared(model, source.dims, place)
    name = options.name or Path(place).stem
    found = chains.chain(operators.of_onnx(ready.graph), name, options)
    return ModelDocument(
        model=found.model,
        source=source,
        graph=found.graph,
        losses=found.losses,
        notes=(*found.notes, *_notes(ready)),
    )


def _notes(model: ModelProto) -> Iterator[str]:
    said = {entry.key: entry.value for entry in model.metadata_props}
    if RUN in said:
        yield f"the shapes of {said[RUN]} tensors were read from a run on made-up inputs"
    if STATED in said:
        yield f"the shapes of what {said[STATED]} makes are those that the file states: nothing here runs it"
    if FOLDER in said:
        yield "parameters lie in external data, which the SHA-256 does not cover"
