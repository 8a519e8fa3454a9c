"""Reading ONNX files: what is none, is cut, lacks external data, or cannot run in any order is refused."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mecopt.errors import InputError, MissingExtraError, shown

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

EXTRA = "onnx"
FOLDER = "mecopt.external_data"  # metadata of a model that was read: where its external data lies
RUN = "mecopt.shapes_from_a_run"  # and of how many tensors only a run told the shape
STATED = "mecopt.shapes_from_the_file"  # or the file itself
MOST_LOADED = 1_900_000_000  # bytes of parameters that one message holds
SMALL = 1 << 20  # bytes of external data that are always read, since shapes may be among them


def need_onnx() -> None:
    """Say how to install what reading ONNX needs, if it is not there."""
    for name in ("onnx", "onnxruntime"):
        if find_spec(name) is None:
            raise MissingExtraError(f"reading an ONNX file ({name})", EXTRA)


def parse(data: bytes, source: str) -> ModelProto:
    """Return the model that the bytes of a file hold."""
    import onnx

    model = onnx.ModelProto()
    if not data:
        raise InputError("is empty, expected an ONNX file", source)
    try:
        model.ParseFromString(data)
    except Exception:  # one of protobuf's, which only onnx brings
        cut = data[:1] == b"\x08"  # the version of the format, with which such files begin
        raise InputError(
            f"not {'a whole' if cut else 'an'} ONNX file{', it ends too early' if cut else ''}", source
        ) from None
    if not model.ir_version or not model.graph.node:
        found = "holds no operators" if model.ir_version else "not an ONNX file"
        raise InputError(f"{found}, expected an ONNX model", source)
    if model.ir_version > onnx.IR_VERSION:
        known = f"at most {onnx.IR_VERSION}, which onnx {onnx.__version__} knows"
        raise InputError(f"format version {model.ir_version}, expected {known}", source)
    latest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and not 1 <= opset.version <= latest:
            known = f"1 to {latest}, which onnx {onnx.__version__} knows"
            raise InputError(f"opset {opset.version}, expected {known}", source)
    if not _is_text(model.graph):
        raise InputError("names that are no text, expected UTF-8: the file is damaged", source)
    kinds = set(onnx.TensorProto.DataType.values())
    strange = next((t for t in tensors(model.graph) if t.data_type not in kinds), None)
    if strange is not None:
        raise InputError(
            f"parameter {shown(strange.name)} is of type {strange.data_type}, no known one", source
        )
    if model.graph.sparse_initializer:
        raise InputError("holds sparse parameters, expected dense ones", source)
    return model


def _is_text(graph: GraphProto) -> bool:
    """Say whether the names in a graph and in the bodies in it are text; damaged files have bytes there."""
    try:
        names = [one.name for one in (*graph.input, *graph.output, *graph.value_info, *graph.initializer)]
        for node in graph.node:
            names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        inside = (body for node in graph.node for body in bodies(node))
        return all(isinstance(name, str) for name in names) and all(map(_is_text, inside))
    except UnicodeDecodeError:
        return False


def check_external(model: ModelProto, path: Path) -> None:
    """Check that the external data of every parameter is there, and read what is small of it."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_tensor

    folder, problems = path.resolve().parent, {}
    for tensor in tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        place = (folder / entries.get("location", "")).resolve()
        data = f"external data {shown(entries.get('location'))}"
        if not place.is_relative_to(folder):
            problems[place] = f"{data} lies outside the folder of the model"
        elif not place.is_file():
            problems[place] = f"{data} is missing, expected it beside the model"
        elif (begins := _begins(entries, size(tensor))) is None:
            problems[place] = f"{data}: parameter {shown(tensor.name)} says no place of {size(tensor)} bytes"
        elif place.stat().st_size < begins + size(tensor):
            problems[place] = f"{data} ends too early: parameter {shown(tensor.name)} is not in it"
        elif size(tensor) <= SMALL:
            load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = onnx.TensorProto.DEFAULT
    if problems:
        raise InputError(problems.values(), str(path))
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        onnx.helper.set_model_props(model, {FOLDER: str(folder)})


def _begins(entries: Mapping[str, str], length: int) -> int | None:
    """Return where external data of a length begins in its file; None where its entries say no such place."""
    offset, given = entries.get("offset", "0"), entries.get("length", str(length))
    if not offset.isdecimal() or not given.isdecimal() or int(given) != length:
        return None
    return int(offset)


def loaded(model: ModelProto, source: str) -> ModelProto:
    """Return a copy of a model with its external data in it.

    Raises
    ------
    InputError
        If that is too large for a model without external data.
    """
    import onnx
    from onnx.external_data_helper import load_external_data_for_tensor

    total = sum(map(size, tensors(model.graph)))
    if total > MOST_LOADED:
        raise InputError(f"{total:,} bytes of parameters to run, expected at most {MOST_LOADED:,}", source)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    folder = next((entry.value for entry in model.metadata_props if entry.key == FOLDER), "")
    for tensor in tensors(copy.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            load_external_data_for_tensor(tensor, folder)
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    return copy


def tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield the parameters of a graph and of the bodies in it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
        for body in bodies(node):
            yield from tensors(body)


def bodies(node: NodeProto) -> list[GraphProto]:
    """Return the graphs inside a node: the branches of an If, the body of a Loop."""
    return [part for a in node.attribute for part in ([a.g] if a.HasField("g") else a.graphs)]


def element_bits(kind: int) -> float:
    """Return the bits of an element of an ONNX type; texts count as 64."""
    import onnx

    if kind == onnx.TensorProto.STRING or kind == onnx.TensorProto.UNDEFINED:
        return 64.0
    name = onnx.TensorProto.DataType.Name(kind)
    if name in ("INT4", "UINT4", "FLOAT4E2M1"):
        return 4.0
    if name in ("INT2", "UINT2"):
        return 2.0
    return 8.0 * onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize


def size(tensor: TensorProto) -> int:
    """Return the bytes of a parameter."""
    count = 1
    for length in tensor.dims:
        count *= length
    return int(-(-count * element_bits(tensor.data_type) // 8))


def used(node: NodeProto) -> list[str]:
    """Return the tensors that a node reads, those that its bodies take from outside included."""
    names = [name for name in node.input if name]
    for body in bodies(node):
        names += _taken(body)
    return list(dict.fromkeys(names))


def _taken(body: GraphProto) -> list[str]:
    own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    names = []
    for node in body.node:
        names += [name for name in used(node) if name not in own]
        own |= set(node.output)
    return names + [value.name for value in body.output if value.name not in own]


def sort(graph: GraphProto, source: str) -> None:
    """Put the nodes into an order in which each comes behind what it reads; the file's, where it is one.

    Raises
    ------
    InputError
        If there is none, since nodes form a cycle, or a node reads what nothing makes.
    """
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    made = known.copy()
    for node in graph.node:
        for name in node.output:
            if name in made and name:
                raise InputError(f"tensor {shown(name)} is made twice, expected once", source)
            made.add(name)
    reads = [[name for name in used(node) if name not in known] for node in graph.node]
    readers: dict[str, list[int]] = {}
    for i, names in enumerate(reads):
        for name in names:
            readers.setdefault(name, []).append(i)
    waits = list(map(len, reads))
    ready = [i for i, count in enumerate(waits) if not count]
    done: list[NodeProto] = []
    heapq.heapify(ready)
    while ready:  # the earliest in the file goes first
        node = graph.node[heapq.heappop(ready)]
        done.append(node)
        for name in node.output:
            for i in readers.get(name, ()):
                waits[i] -= 1
                if not waits[i]:
                    heapq.heappush(ready, i)
    if len(done) < len(graph.node):
        late = [node for node, count in zip(graph.node, waits, strict=True) if count]
        raise InputError(_stuck(late, known, made), source)
    if any(a is not b for a, b in zip(done, graph.node, strict=True)):
        copies = [type(node).FromString(node.SerializeToString()) for node in done]
        del graph.node[:]
        graph.node.extend(copies)


def _stuck(late: Iterable[NodeProto], known: set[str], made: set[str]) -> str:
    for node in late:
        for name in used(node):
            if name not in known and name not in made:
                return f"operator {shown(node.name or node.op_type)} reads {shown(name)}, which nothing makes"
    names = [node.name or node.op_type for node in late]
    return f"operators form a cycle: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
