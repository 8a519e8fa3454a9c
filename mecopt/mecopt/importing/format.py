"""The format mecopt-model/1 as pydantic types."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from mecopt.schema_docs import STRICT, DocumentPart, Name, NonNegative, Positive, Whole
from mecopt.schema_wider import WiderModelDoc

FORMAT = "mecopt-model/1"


class SourceDoc(DocumentPart):
    """The file that a model was read from, and the dimensions that were chosen for it."""

    kind: Literal["onnx", "torch", "config", "csv", "scission", "pipeedge", "msr", "distilp"]
    file: str | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    dims: dict[str, Annotated[int, Whole(ge=1)]] = Field(default_factory=dict)


class GraphDoc(DocumentPart):
    """Where the blocks lie in the graph of the file, by the names of its tensors and nodes."""

    boundaries: list[list[str]]
    everywhere: list[str]
    operators: list[list[str]]


class LossDoc(DocumentPart):
    """The least delay of a device and a server at a rate: of the chain, and of every cut of the graph."""

    rate_bps: Positive
    chain_s: NonNegative
    graph_s: NonNegative


class ModelFileDoc(DocumentPart):
    """A model file of format mecopt-model/1; `model` is an element of the `models` of an instance file."""

    model_config = ConfigDict(**STRICT, title=FORMAT)

    format: Literal["mecopt-model/1"]
    model: WiderModelDoc
    source: SourceDoc
    graph: GraphDoc | None = None
    losses: list[LossDoc] = Field(default_factory=list)
    notes: list[Name] = Field(default_factory=list)


MODEL_FILE: TypeAdapter[ModelFileDoc] = TypeAdapter(ModelFileDoc)
