"""ONNX graphs ready to be cut, and the pieces that blocks of an imported model are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mecopt.errors import InputError
from mecopt.importing import folding, shapes
from mecopt.importing.graph_file import read
from mecopt.importing.model_document import ModelDocument
from mecopt.importing.onnx_file import STATED, loaded, sort, used

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto


def prepare(path: str | os.PathLike[str], dims: Mapping[str, int] | None = None) -> ModelProto:
    """Return the graph of an ONNX file as it is counted and cut.

    Open dimensions are fixed, constants folded, functions put in their places, every node has a name of its
    own and every tensor that has one a known shape. The same file and dimensions give the same names.

    Parameters
    ----------
    path : str or path
    dims : mapping of str to int, optional
        Lengths of the dimensions that the file leaves open.

    Returns
    -------
    onnx.ModelProto
        Its large external data, if it has any, is not read; where it lies is in its metadata.

    Raises
    ------
    InputError
        If the file is no ONNX file or not whole, external data is missing, a dimension is left open, or the
        graph cannot be run in any order.
    MissingExtraError
        If onnx or onnxruntime is not installed.
    """
    return prepared(read(path)[0], dims or {}, str(path))


def prepared(model: ModelProto, dims: Mapping[str, int], source: str) -> ModelProto:
    """Prepare a model that was read; it is changed."""
    if model.functions:
        model = _inlined(model)
    graph = model.graph
    sort(graph, source)
    stated = shapes.stated(graph, dims)
    shapes.freeze(model, dims, source)
    _name(graph)
    folding.drop_unused(graph)
    _check_path(graph, source)
    folding.fold(model, source)
    _complete(model, stated, source)
    shapes.infer_bodies(model)
    return model


def _complete(model: ModelProto, stated: Mapping[str, ValueInfoProto], source: str) -> None:
    """Find the shapes that inference leaves open by a run, or by what the file says where nothing can run it.

    Raises
    ------
    InputError
        If neither tells them.
    """
    from onnx import defs

    graph = model.graph
    left = shapes.unknown(graph)
    if not left:
        return
    try:
        shapes.read_from_run(model, left, source)
    except InputError:
        strange = [node for node in graph.node if not defs.has(node.op_type, node.domain)]
        believed = [stated[name] for node in strange for name in node.output if name in stated]
        if not believed:
            raise
        shapes.infer(model, source, believed)
        have = {value.name for value in (*graph.value_info, *graph.output)}
        graph.value_info.extend(value for value in believed if value.name not in have)
        if shapes.unknown(graph):
            raise
        model.metadata_props.add(key=STATED, value=", ".join(dict.fromkeys(one.op_type for one in strange)))


def _inlined(model: ModelProto) -> ModelProto:
    from onnx import inliner

    return inliner.inline_local_functions(model)


def _name(graph: GraphProto) -> None:
    """Give each node a name of its own: its first output's, where it has none or shares it."""
    times = Counter(node.name for node in graph.node)
    taken = {name for name, count in times.items() if count == 1}
    for i, node in enumerate(graph.node):
        if not node.name or times[node.name] > 1:
            name = f"{node.op_type}_{i}" if not node.name else f"{node.name}_{i}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)


def _check_path(graph: GraphProto, source: str) -> None:
    """Refuse a graph whose outputs depend on no input."""
    reached = {value.name for value in graph.input}
    for node in graph.node:
        if any(name in reached for name in used(node)):
            reached |= set(node.output)
    if not any(value.name in reached for value in graph.output):
        raise InputError("no path leads from an input to an output", source)


def piece(model: ModelProto, document: ModelDocument, first: int, last: int) -> ModelProto:
    """Return blocks `first` to `last` (0-based, both included) of an imported model as a graph of their own.

    Parameters
    ----------
    model : onnx.ModelProto
        From `prepare`, with the dimensions of the document.
    document : ModelDocument
    first, last : int

    Returns
    -------
    onnx.ModelProto
        Its inputs are the tensors of boundary `first` and those inputs of the whole that every piece gets by
        itself, as far as they are needed; its outputs are the tensors of the boundary behind `last`, those
        among them that only pass through as well. Its parameters are in it.

    Raises
    ------
    InputError
        If the document has no graph or another's, there are no such blocks, or their parameters are too large
        for one graph without external data.
    """
    import onnx

    if document.graph is None:
        raise InputError(
            f"model {document.model.name!r} has no graph, expected one that was imported from ONNX"
        )
    blocks = len(document.model.blocks)
    if not 0 <= first <= last < blocks:
        raise InputError(f"blocks {first} to {last}: expected numbers from 0 to {blocks - 1}, in order")
    boundaries = document.graph.boundaries
    inputs, outputs = boundaries[first], boundaries[last + 1]
    values = _values(model.graph)
    missing = [name for name in (*inputs, *outputs) if name not in values]
    if missing:
        raise InputError(f"tensor {missing[0]!r} is not in the graph: the document is of another model")
    nodes, read_names = _behind(model.graph, set(inputs), outputs)
    part = onnx.ModelProto(ir_version=model.ir_version, producer_name="mecopt")
    part.opset_import.extend(model.opset_import)
    part.metadata_props.extend(model.metadata_props)
    graph = part.graph
    graph.name = f"{document.model.name} {first}..{last}"
    graph.node.extend(nodes)
    graph.initializer.extend(t for t in model.graph.initializer if t.name in read_names)
    entering = [*inputs, *(name for name in document.graph.everywhere if name not in inputs)]
    graph.input.extend(values[name] for name in entering if name in read_names or name in outputs)
    graph.output.extend(values[name] for name in outputs)
    made = {name for node in nodes for name in node.output} - set(outputs)
    graph.value_info.extend(value for name, value in values.items() if name in made)
    return loaded(part, f"{document.model.name}, blocks {first} to {last}")


def _values(graph: GraphProto) -> dict[str, ValueInfoProto]:
    return {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}


def _behind(graph: GraphProto, given: set[str], outputs: tuple[str, ...]) -> tuple[list[NodeProto], set[str]]:
    """Return the nodes between the given tensors and the outputs in order, and all that they read."""
    needed = set(outputs) - given
    read_names: set[str] = set()
    nodes = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            nodes.append(node)
            names = used(node)
            read_names |= set(names)
            needed |= set(names) - given
    return nodes[::-1], read_names
