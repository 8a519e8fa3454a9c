"""Shapes of all tensors of a graph: the open dimensions fixed, then inferred, then read from a run."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError, said
from mecopt.importing.onnx_file import RUN, bodies, loaded, size, used

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

Shape = tuple[int, ...]
LARGE = 1 << 12  # bytes of a parameter above which inference gets only its shape
LONGEST_RUN_S = 30.0  # of a run on made-up inputs: a loop may have no end
MOST_VALUES = 1 << 28  # of an input that is made up
NAMELESS = ("", "?", "-1", "None")  # what exporters write for a dimension that has no name


def freeze(model: ModelProto, dims: Mapping[str, int], source: str) -> None:
    """Fix the open dimensions of the inputs, and drop what the file says of other shapes, which may be stale.

    An input that is one whole number, such as a sampling rate, may be fixed like a dimension.

    Raises
    ------
    InputError
        If a dimension is open that `dims` does not name, or it names one that there is not.
    """
    import numpy as np
    import onnx

    graph = model.graph
    open_scalars: list[str] = []
    given = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.input if value.name not in given]
    open_dims: dict[str, str] = {}
    for value in list(kept):
        if _is_whole_scalar(value):
            open_scalars.append(value.name)
            if value.name in dims:
                kept.remove(value)
                kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
                array = np.full(shape_of(value) or (), dims[value.name], dtype=kind)
                graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value > 0:
                continue
            name = f"{value.name}.{i}" if dim.dim_param in NAMELESS else dim.dim_param
            open_dims.setdefault(name, f"place {i} of input {value.name!r}")
            if name in dims:
                dim.dim_value = dims[name]
        if not value.type.HasField("tensor_type"):
            raise InputError(f"input {value.name!r} is no tensor, expected tensors", source)
        if not value.type.tensor_type.HasField("shape"):
            raise InputError(f"input {value.name!r} has no shape, expected one", source)
    problems = [
        f"dimension {name!r} ({where}) is open, expected --dim {name}=N"
        for name, where in open_dims.items()
        if name not in dims
    ]
    there = [*open_dims, *open_scalars]
    expected = f"one of {', '.join(there)}" if there else "none, since no dimension is open"
    problems += [
        f"--dim {name}: no such dimension, expected {expected}" for name in dims if name not in there
    ]
    if problems:
        raise InputError(problems, source)
    del graph.input[:]
    graph.input.extend(kept)
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


def _is_whole_scalar(value: ValueInfoProto) -> bool:
    import onnx

    whole = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    return value.type.tensor_type.elem_type in whole and shape_of(value) in ((), (1,))


def stated(graph: GraphProto, dims: Mapping[str, int]) -> dict[str, ValueInfoProto]:
    """Return what the file itself says of the shapes of tensors, as far as `dims` closes them."""
    found = {}
    for value in (*graph.value_info, *graph.output):
        copy = type(value).FromString(value.SerializeToString())
        for dim in copy.type.tensor_type.shape.dim:
            if dim.dim_param in dims:
                dim.dim_value = dims[dim.dim_param]
        if shape_of(copy) is not None:
            found[value.name] = copy
    return found


def infer(model: ModelProto, source: str, believed: Iterable[ValueInfoProto] = ()) -> None:
    """Infer shapes statically, and write those that are known into the graph; some are taken as they are.

    Raises
    ------
    InputError
        If an operator cannot be told at all, such as one of a domain that the file names no opset of.
    """
    import onnx

    skeleton = _skeleton(model)
    skeleton.graph.value_info.extend(believed)
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise InputError(f"no shapes can be inferred ({said(error)})", source) from None
    graph = model.graph
    del graph.value_info[:]
    graph.value_info.extend(inferred.graph.value_info)
    outputs = {value.name: value for value in inferred.graph.output}
    for value in graph.output:
        value.CopyFrom(outputs[value.name])
    for node, other in zip(graph.node, inferred.graph.node, strict=True):
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            node.CopyFrom(other)


def _skeleton(model: ModelProto) -> ModelProto:
    """Return a copy in which large parameters are inputs, since inference needs only their shapes."""
    import onnx

    graph = model.graph
    copy = onnx.ModelProto(ir_version=model.ir_version)
    copy.opset_import.extend(model.opset_import)
    copy.functions.extend(model.functions)
    copy.graph.name = graph.name
    copy.graph.node.extend(graph.node)
    copy.graph.input.extend(graph.input)
    copy.graph.output.extend(graph.output)
    for tensor in graph.initializer:
        if size(tensor) > LARGE:
            copy.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
        else:
            copy.graph.initializer.append(tensor)
    return copy


def infer_bodies(model: ModelProto) -> None:
    """Infer shapes inside the bodies of loops, as they are when a loop begins."""
    import onnx

    graph = model.graph
    values = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
    for tensor in graph.initializer:
        values[tensor.name] = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
    for node in graph.node:
        if node.op_type != "Loop":
            continue
        body = onnx.ModelProto(ir_version=model.ir_version)
        body.opset_import.extend(model.opset_import)
        body.graph.CopyFrom(bodies(node)[0])
        for value, outer in zip(body.graph.input[2:], node.input[2:], strict=True):
            if outer in values:
                value.type.CopyFrom(values[outer].type)
        own = {value.name for value in body.graph.input}
        taken = [name for name in used(node) if name in values and name not in own]
        body.graph.input.extend(values[name] for name in taken)
        inferred = onnx.shape_inference.infer_shapes(_skeleton(body), data_prop=True)
        found = bodies(node)[0]
        for inner, other in zip(found.node, inferred.graph.node, strict=True):
            if bodies(inner):
                inner.CopyFrom(other)
        found.value_info.extend(inferred.graph.value_info)
        for value, ended in zip(found.output, inferred.graph.output, strict=True):
            value.type.CopyFrom(ended.type)
        after = inferred.graph.output[1:]  # without the condition
        for value, begun, ended in zip(found.input[2:], body.graph.input[2:], after, strict=False):
            if shape_of(begun) is not None and shape_of(begun) == shape_of(ended):
                value.type.CopyFrom(begun.type)


def known(graph: GraphProto) -> dict[str, Shape]:
    """Return the shapes of the tensors of a graph that are known, parameters included."""
    found: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shape = shape_of(value)
        if shape is not None:
            found[value.name] = shape
    return found


def whole_numbers(graph: GraphProto) -> dict[str, int]:
    """Return the parameters that are one whole number."""
    import onnx

    whole = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    return {
        tensor.name: int(onnx.numpy_helper.to_array(tensor).ravel()[0])
        for tensor in graph.initializer
        if tensor.data_type in whole and math.prod(tensor.dims) == 1
    }


def shape_of(value: ValueInfoProto) -> Shape | None:
    """Return the shape of a value, None where it is not known to the last dimension."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    if not all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in kind.shape.dim):
        return None
    return tuple(dim.dim_value for dim in kind.shape.dim)


def unknown(graph: GraphProto) -> list[str]:
    """Return the tensors whose shape is not known."""
    have = known(graph)
    return [name for node in graph.node for name in node.output if name and name not in have]


def read_from_run(model: ModelProto, names: Iterable[str], source: str) -> None:
    """Run the model once on made-up inputs, and write the shapes of these tensors into its graph."""
    import onnx

    names = list(names)
    declared = {value.name: value for value in model.graph.value_info}
    outputs = {value.name for value in model.graph.output}
    probe = loaded(model, source)
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
    for name, array in run(probe, names, source).items():
        if not hasattr(array, "shape"):  # a sequence
            continue
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype) if array.dtype != object else 8
        value = onnx.helper.make_tensor_value_info(name, kind, list(array.shape))
        if name in declared:
            declared[name].CopyFrom(value)
        elif name in outputs:
            next(v for v in model.graph.output if v.name == name).CopyFrom(value)
        else:
            model.graph.value_info.append(value)
    model.metadata_props.add(key=RUN, value=str(len(names)))


def run(model: ModelProto, names: Iterable[str], source: str) -> dict[str, Any]:
    """Run a model on made-up inputs without any optimisation, and return tensors of it by their names.

    Whole numbers are ones, or where it does not run with those zeros, which every table has.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    names = list(names)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )

        limit = onnxruntime.RunOptions()
        end = threading.Timer(LONGEST_RUN_S, setattr, (limit, "terminate", True))

        def values(whole: int) -> dict[str, Any]:
            feeds = {value.name: made_up(value, whole) for value in model.graph.input}
            return dict(zip(names, session.run(names, feeds, limit), strict=True))

        end.start()
        try:
            return values(1)
        except Exception:
            if limit.terminate:
                raise ValueError(f"not within {LONGEST_RUN_S:g} s") from None
            return values(0)
        finally:
            end.cancel()
    except Exception as error:  # onnxruntime has no common base for its own
        raise InputError(f"onnxruntime does not run it ({said(error)})", source) from None


def made_up(value: ValueInfoProto, whole: int = 1) -> Any:
    """Return an array that an input of the graph takes: numbers in [0, 1), `whole` where they are whole."""
    import numpy as np
    import onnx

    shape = shape_of(value) or ()
    if math.prod(shape) > MOST_VALUES:
        raise ValueError(f"input {value.name} of {math.prod(shape):,} values is too large to make up")
    kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    if kind.kind == "O":
        return np.full(shape, "a", dtype=object)
    if np.issubdtype(kind, np.floating):
        return np.random.default_rng(0).random(math.prod(shape)).reshape(shape).astype(kind)
    return np.full(shape, whole, dtype=kind)
