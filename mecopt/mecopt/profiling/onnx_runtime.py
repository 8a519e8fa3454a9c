"""Pieces of an ONNX model as sessions of onnxruntime."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.errors import InputError, MissingExtraError, said

if TYPE_CHECKING:
    import onnx

NAME = "onnxruntime"
QUIET = 4  # what ends a session; errors come as exceptions, which are told in our words
HALF = 0.5  # of the made-up numbers, which are normal: some negative, none large

Values = dict[str, NDArray[Any]]


class Session:
    """A piece that is ready to run.

    Parameters
    ----------
    proto : onnx.ModelProto
    threads : int
    optimized : path, optional
        Where to write the graph as the runtime has optimised it, without changes of layout.
    """

    def __init__(self, proto: onnx.ModelProto, threads: int, optimized: Path | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = QUIET
        if optimized is not None:
            options.optimized_model_filepath = str(optimized)
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        try:
            self._session = onnxruntime.InferenceSession(
                proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no base but this
            raise InputError(f"onnxruntime cannot load a piece of the model: {said(error)}") from error
        self.inputs = tuple(node.name for node in self._session.get_inputs())
        self.outputs = tuple(node.name for node in self._session.get_outputs())

    def run(self, values: Values) -> list[NDArray[Any]]:
        """Run the piece on values by their names; return its outputs."""
        found: list[NDArray[Any]] = self._session.run(None, {name: values[name] for name in self.inputs})
        return found


def optimised(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph as the runtime optimises it, but in the layout of the file; nothing is run."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        Session(proto, 1, path)
        return onnx.load(str(path))


def needed() -> None:
    """Refuse to go on where onnxruntime or onnx is not installed."""
    from importlib.util import find_spec

    for package in (NAME, "onnx"):
        if find_spec(package) is None:
            raise MissingExtraError(f"profiling with {NAME}", "onnx")


def made_up(proto: onnx.ModelProto, names: Sequence[str], whole: int) -> Values:
    """Return inputs of the right shapes: normal numbers, and one whole number throughout.

    Parameters
    ----------
    proto : onnx.ModelProto
        With all shapes known.
    names : sequence of str
        The inputs that are wanted.
    whole : int
        The value of whole numbers and truth values, which mostly are indices or masks.
    """
    import onnx

    draw = np.random.default_rng(0)
    found: Values = {}
    for info in proto.graph.input:
        if info.name not in names:
            continue
        tensor = info.type.tensor_type
        if not info.type.HasField("tensor_type"):
            raise InputError(f"input {info.name!r}: no tensor, expected one")
        shape = [dim.dim_value for dim in tensor.shape.dim]
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if np.issubdtype(kind, np.floating):
            found[info.name] = np.asarray(HALF * draw.standard_normal(shape), dtype=kind)
        else:
            found[info.name] = np.full(shape, whole, dtype=kind)
    return found


def initial(proto: onnx.ModelProto, names: Sequence[str], sessions: Sequence[Session]) -> Values:
    """Return inputs with which the pieces of a division run, and all that they hand on.

    Indices of one are tried first, since a mask of zeros leaves attention nothing; then zeros, which every
    table has.
    """
    failed: Exception | None = None
    for whole in (1, 0):
        values = made_up(proto, names, whole)
        try:
            for session in sessions:
                values.update(zip(session.outputs, session.run(values), strict=True))
            return values
        except KeyError as error:
            raise InputError(f"a piece needs the tensor {error}, which none in front of it gives") from None
        except Exception as error:
            failed = error
    assert failed is not None
    raise InputError(f"onnxruntime cannot run the model on made-up inputs: {said(failed)}") from failed
