"""The whole model of a deployment: its file, its parts, its inputs, and what it gives by itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.errors import InputError, MissingExtraError, shown

if TYPE_CHECKING:
    import onnx

    from mecopt.entities import Model
    from mecopt.importing.model_document import ModelDocument

Arrays = Mapping[str, NDArray[Any]]

STRING = 8  # onnx.TensorProto.STRING
LARGEST_PART = 2**31 - 1  # bytes: a longer one is no protobuf message
WORDS = 2  # random whole numbers stay below this: words of nearly any vocabulary


class WholeModel:
    """A model that can be cut at its boundaries.

    Parameters
    ----------
    document : ModelDocument
        Of `mecopt import`, with its graph.
    path : str
        The ONNX file.
    """

    def __init__(self, document: ModelDocument, path: str) -> None:
        if document.graph is None:
            raise InputError(f"model {document.model.name!r} came without a graph, so it cannot be cut")
        self.document, self.path, self.graph = document, path, document.graph
        self.block_count = len(document.model.blocks)
        self.everywhere, self.outputs = self.graph.everywhere, self.graph.boundaries[-1]

    @classmethod
    def of(cls, path: str) -> WholeModel:
        """Read a model file of `mecopt import` with the ONNX file beside it, or an ONNX file by itself.

        Raises
        ------
        InputError
            If it cannot be read, or the ONNX file is another one.
        """
        import hashlib

        from mecopt.importing import model_document

        if path.endswith(".onnx"):
            from mecopt.importing import import_model

            return cls(import_model(path), path)
        read = model_document.load(path)
        if read.source.file is None:
            raise InputError("names no file that it was imported from", path)
        file = Path(path).parent / read.source.file
        try:
            found = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"source.file: {file}: {error.strerror}", path) from None
        if read.source.sha256 is not None and found != read.source.sha256:
            raise InputError(f"source.file: {file} is another file than the one that was imported", path)
        return cls(read, str(file))

    def check_blocks(self, model: Model) -> None:
        """Refuse a model of other blocks.

        Raises
        ------
        InputError
            If their number or a name differs.
        """
        mine, other = ([block.name for block in one.blocks] for one in (self.document.model, model))
        if len(mine) != len(other):
            raise InputError(f"model {model.name!r} has {len(other)} blocks, the model file {len(mine)}")
        for m, (here, there) in enumerate(zip(mine, other, strict=True)):
            if here != there:
                raise InputError(
                    f"model {model.name!r}: block {m} is {shown(there)}, in the model file {shown(here)}"
                )

    @cached_property
    def prepared(self) -> onnx.ModelProto:
        """The model as its boundaries were found in."""
        from mecopt.importing.pieces import prepare

        return prepare(self.path, dict(self.document.source.dims))

    def part(self, first: int, last: int) -> bytes:
        """Return blocks `first` to `last` as an ONNX file.

        Raises
        ------
        InputError
            If it is 2 GB or longer.
        """
        from mecopt.importing.pieces import piece

        made = piece(self.prepared, self.document, first, last)
        if made.ByteSize() > LARGEST_PART:
            raise InputError(f"blocks {first} to {last} are {made.ByteSize()} bytes, expected < 2 GiB")
        return bytes(made.SerializeToString(deterministic=True))

    def crossing(self, block: int) -> list[str]:
        """Return the tensors that cross in front of a block, those of the result behind the last."""
        return list(self.graph.boundaries[block])

    @cached_property
    def _session(self) -> Any:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError("a deployment", "deploy") from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is said in our own words
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(
            self.prepared.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    @cached_property
    def inputs(self) -> dict[str, tuple[list[int], np.dtype[Any]]]:
        """Shape and kind of every input."""
        from onnx import helper

        held = {tensor.name for tensor in self.prepared.graph.initializer}
        texts = [one.name for one in self.prepared.graph.input if one.type.tensor_type.elem_type == STRING]
        if texts:
            raise InputError(f"input {texts[0]!r} is text, which agents do not pass on", self.path)
        return {
            one.name: (
                [dim.dim_value for dim in one.type.tensor_type.shape.dim],
                np.dtype(helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type)),
            )
            for one in self.prepared.graph.input
            if one.name not in held
        }

    def random(self, count: int, seed: int) -> list[Arrays]:
        """Return random inputs: normal numbers, small whole ones, or ones for what masks.

        Whole numbers are all 0 where the model does not run with others, such as words of a short table.
        """
        if count < 1:
            raise InputError(f"inputs: {count}, expected at least one")
        drawn = self._drawn(count, seed, WORDS)
        whole = any(kind.kind in "ui" for _, kind in self.inputs.values())
        return drawn if not whole or self._takes(drawn[0]) else self._drawn(count, seed, 1)

    def _drawn(self, count: int, seed: int, words: int) -> list[Arrays]:
        draw = np.random.default_rng(seed)
        return [
            {name: _draw(draw, name, shape, kind, words) for name, (shape, kind) in self.inputs.items()}
            for _ in range(count)
        ]

    def _takes(self, given: Arrays) -> bool:
        try:
            self._session.run(list(self.outputs), dict(given))
        except Exception:  # onnxruntime has an exception of its own for each status
            return False
        return True

    def checked(self, given: Arrays) -> Arrays:
        """Return an input in the kinds of the model.

        Raises
        ------
        InputError
            If a tensor is missing, unknown, or of another shape.
        """
        for name in given.keys() - self.inputs.keys():
            raise InputError(f"inputs: {name!r} is none, expected {', '.join(self.inputs)}")
        found = {}
        for name, (shape, kind) in self.inputs.items():
            if name not in given:
                raise InputError(f"inputs: {name!r} is missing")
            value = np.asarray(given[name])
            if list(value.shape) != shape:
                raise InputError(f"inputs: {name!r}: shape {value.shape}, expected {tuple(shape)}")
            try:
                found[name] = value.astype(kind, casting="same_kind", copy=False)
            except TypeError:
                raise InputError(f"inputs: {name!r}: {value.dtype}, expected {kind}") from None
        return found

    def difference(self, given: Arrays, made: Arrays) -> float:
        """Return the largest absolute difference between outputs and those of the whole model."""
        expected = self._session.run(list(self.outputs), dict(given))
        pairs = zip(self.outputs, expected, strict=True)
        return max((_apart(np.asarray(made[name]), np.asarray(value)) for name, value in pairs), default=0.0)


def _draw(
    draw: np.random.Generator, name: str, shape: list[int], kind: np.dtype[Any], words: int
) -> NDArray[Any]:
    if "mask" in name:
        return np.ones(shape, dtype=kind)
    if kind.kind in "bui":
        return draw.integers(0, 2 if kind.kind == "b" else words, shape).astype(kind)
    return draw.standard_normal(shape).astype(kind)


def _apart(made: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest absolute difference; what is the same infinity or no number in both differs by 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(made.astype(np.float64) - expected.astype(np.float64))
    both = (np.isnan(made) & np.isnan(expected)) | (made == expected)
    return float(np.where(both, 0.0, np.where(np.isnan(apart), np.inf, apart)).max(initial=0.0))
