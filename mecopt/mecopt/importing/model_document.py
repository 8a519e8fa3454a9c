"""Model files: an imported model, where it comes from, and where its blocks lie in the graph."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mecopt.documents import model_dict
from mecopt.entities import Model
from mecopt.errors import InputError, InstanceError
from mecopt.files import read_bytes, write_bytes
from mecopt.importing.format import FORMAT, MODEL_FILE, ModelFileDoc
from mecopt.io import model_of


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Parameters
    ----------
    kind : str
        Such as ``onnx``; `mecopt.importing.format.SourceDoc` has them all.
    file : str, optional
        Name of the file, without its folder; None where there was none.
    sha256 : str, optional
        Of the file's bytes, those of external data left out.
    dims : mapping of str to int
        Dimensions that the file leaves open, as they were chosen.
    """

    kind: str
    file: str | None = None
    sha256: str | None = None
    dims: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """Where the M blocks of a model lie in the graph of its file.

    Parameters
    ----------
    boundaries : tuple of tuple of str, of length M + 1
        Tensors that cross in front of each block; the first are the graph's inputs that are streamed, the
        last its outputs.
    everywhere : tuple of str
        Inputs of the graph that every piece gets by itself.
    operators : tuple of tuple of str, of length M
        Nodes of each block, in order. What any piece makes again by itself is in none.
    """

    boundaries: tuple[tuple[str, ...], ...]
    everywhere: tuple[str, ...]
    operators: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Loss:
    """What a chain loses at a rate [bits/s]: the least two-node delays [s] of the chain and of the graph."""

    rate_bps: float
    chain_s: float
    graph_s: float

    @property
    def share(self) -> float:
        """How much longer the chain takes, as a fraction of the graph's delay."""
        return self.chain_s / self.graph_s - 1 if self.graph_s else 0.0


@dataclass(frozen=True)
class ModelDocument:
    """An imported model, where it comes from, and what was noticed (`mecopt-model/1`).

    Parameters
    ----------
    model : Model
    source : Source
    graph : Graph, optional
        None where there is no graph that could be cut.
    losses : tuple of Loss
    notes : tuple of str
        What a user should know: operators that are not known, shapes that depend on data, and the like.

    Raises
    ------
    InputError
        If the graph has not one list of operators a block and one boundary more.
    """

    model: Model
    source: Source
    graph: Graph | None = None
    losses: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        blocks = len(self.model.blocks)
        if self.graph is None:
            return
        for name, expected in (("boundaries", blocks + 1), ("operators", blocks)):
            found = len(getattr(self.graph, name))
            if found != expected:
                raise InputError(f"graph.{name}: {found} for {blocks} blocks, expected {expected}")

    @property
    def sha256(self) -> str:
        """Identity of the blocks: of the model and where they lie, whatever the file is called."""
        parts = {name: value for name, value in self.to_dict().items() if name in ("model", "graph")}
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the document as the plain values of a file."""
        graph = self.graph
        return {
            "format": FORMAT,
            "model": model_dict(self.model),
            "source": {**vars(self.source), "dims": dict(self.source.dims)},
            "graph": None
            if graph is None
            else {
                "boundaries": [list(names) for names in graph.boundaries],
                "everywhere": list(graph.everywhere),
                "operators": [list(names) for names in graph.operators],
            },
            "losses": [vars(loss) for loss in self.losses],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return the document as JSON text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the document, whole or not at all; packed when the name ends in ``.gz``."""
        write_bytes(path, self.to_json().encode())


def load(path: str | os.PathLike[str]) -> ModelDocument:
    """Read a model file of format mecopt-model/1.

    Raises
    ------
    InputError
        If the file cannot be read, or breaks the format: a line for every problem.
    """
    from mecopt import schema
    from mecopt.repeated import repeated_keys

    data = read_bytes(path)
    try:
        doc = schema.parse(MODEL_FILE, data)
        repeated = repeated_keys(data, doc)
        if repeated:
            raise InstanceError(repeated)
        return _built(doc)
    except InputError as error:
        raise InputError(error.problems, str(path)) from None


def source_of(path: str) -> str | None:
    """Return the ONNX file that a model file names, None where it cannot be told."""
    if path.endswith(".onnx"):
        return path
    try:
        name = load(path).source.file
    except InputError:
        return None
    return None if name is None else str(Path(path).parent / name)


def from_dict(document: Mapping[str, Any]) -> ModelDocument:
    """Build a document from the plain values that a file would hold."""
    from mecopt import schema

    return _built(schema.parse(MODEL_FILE, document))


def _built(doc: ModelFileDoc) -> ModelDocument:
    graph = doc.graph
    return ModelDocument(
        model=model_of(doc.model),
        source=Source(**dict(doc.source)),
        graph=None
        if graph is None
        else Graph(
            tuple(map(tuple, graph.boundaries)), tuple(graph.everywhere), tuple(map(tuple, graph.operators))
        ),
        losses=tuple(Loss(**dict(loss)) for loss in doc.losses),
        notes=tuple(doc.notes),
    )
