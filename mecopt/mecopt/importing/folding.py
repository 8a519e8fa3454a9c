"""Constants folded: what no input can change is worked out once, branches that can never be taken go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError
from mecopt.importing import shapes
from mecopt.importing.onnx_file import bodies, size, used

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

SMALL = 64 << 10  # bytes of a constant up to which others are made of it; larger ones are parameters
LARGE = 4 << 20  # bytes of what is made above which it is left to be made
ROUNDS = 20
# Not folded: what draws numbers, and what would make quantised weights large.
KEPT = {
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Bernoulli",
    "Multinomial",
    "Dropout",
    "DequantizeLinear",
    "QuantizeLinear",
    "DynamicQuantizeLinear",
}


def fold(model: ModelProto, source: str) -> None:
    """Infer shapes and fold constants in turn, until neither tells more; names stay."""
    graph = model.graph
    for _ in range(ROUNDS):
        shapes.infer(model, source)
        changed = _literals(graph)
        changed += _measured(graph)
        changed += _computed(model, source)
        changed += _branches(graph)
        drop_unused(graph)
        if not changed:
            return


def drop_unused(graph: GraphProto) -> None:
    """Drop nodes and parameters that no output needs."""
    needed = {value.name for value in graph.output}
    kept: list[bool] = []
    for node in reversed(graph.node):
        kept.append(any(name in needed for name in node.output))
        if kept[-1]:
            needed |= set(used(node))
    _keep(graph.node, list(reversed(kept)))
    _keep(graph.initializer, [tensor.name in needed for tensor in graph.initializer])


def _keep(entries: Any, kept: list[bool]) -> None:
    for i in reversed(range(len(kept))):
        if not kept[i]:
            del entries[i]


def _replace(graph: GraphProto, constants: dict[str, Any]) -> int:
    """Put arrays in the place of the nodes that make them."""
    import onnx

    if constants:
        outputs = {value.name for value in graph.output}
        kept = [
            not any(node.output) or not all(n in constants for n in node.output if n) for node in graph.node
        ]
        for name, array in constants.items():
            graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        _keep(graph.node, kept)
        for name in outputs & constants.keys():  # an output is made by a node
            graph.initializer[-1 - list(reversed(constants)).index(name)].name = f"{name}:value"
            graph.node.append(
                onnx.helper.make_node("Identity", [f"{name}:value"], [name], name=f"{name}:out")
            )
    return len(constants)


def _literals(graph: GraphProto) -> int:
    """Make parameters of Constant nodes."""
    import numpy as np
    import onnx

    found: dict[str, Any] = {}
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            attribute = node.attribute[0]
            value = onnx.helper.get_attribute_value(attribute)
            if attribute.name == "value":
                found[node.output[0]] = onnx.numpy_helper.to_array(value)
            elif attribute.name in ("value_int", "value_ints"):
                found[node.output[0]] = np.array(value, dtype=np.int64)
            elif attribute.name in ("value_float", "value_floats"):
                found[node.output[0]] = np.array(value, dtype=np.float32)
    return _replace(graph, found)


def _measured(graph: GraphProto) -> int:
    """Make constants of shapes that are known."""
    import numpy as np

    have = shapes.known(graph)
    found: dict[str, Any] = {}
    for node in graph.node:
        if node.op_type in ("Shape", "Size") and node.input[0] in have:
            shape = have[node.input[0]]
            at = {a.name: a.i for a in node.attribute}
            if node.op_type == "Size":
                found[node.output[0]] = np.array(np.prod(shape, dtype=np.int64))
            else:
                part = shape[at.get("start", 0) : at.get("end", len(shape))]
                found[node.output[0]] = np.array(part, dtype=np.int64)
    return _replace(graph, found)


def _computed(model: ModelProto, source: str) -> int:
    """Work out the nodes that read nothing but small constants."""
    import onnx

    graph = model.graph
    small = {tensor.name for tensor in graph.initializer if size(tensor) <= SMALL}
    have = shapes.known(graph)
    constant = set(small)
    nodes: list[NodeProto] = []
    for node in graph.node:
        if _foldable(node, constant, have):
            nodes.append(node)
            constant |= set(node.output)
    if not nodes:
        return 0
    made = {name for node in nodes for name in node.output if name}
    inside = {id(node) for node in nodes}
    read = {name for node in graph.node if id(node) not in inside for name in used(node)}
    wanted = sorted(made & (read | {value.name for value in graph.output}))
    part = onnx.ModelProto(ir_version=model.ir_version)
    part.opset_import.extend(model.opset_import)
    part.graph.name = "constants"
    part.graph.node.extend(nodes)
    taken = {name for node in nodes for name in used(node)}
    part.graph.initializer.extend(t for t in graph.initializer if t.name in taken)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    try:
        arrays = shapes.run(part, wanted, source)
    except InputError:  # what onnxruntime does not know stays as it is
        return 0
    fitting = {name: array for name, array in arrays.items() if hasattr(array, "nbytes")}
    return _replace(graph, fitting)


def _foldable(node: NodeProto, constant: set[str], have: dict[str, shapes.Shape]) -> bool:
    if node.op_type in KEPT or bodies(node) or node.domain not in ("", "ai.onnx"):
        return False
    if not all(name in constant for name in node.input if name):
        return False
    count = 1
    for name in node.output:
        for length in have.get(name, ()):
            count *= length
    return 8 * count <= LARGE


def _branches(graph: GraphProto) -> int:
    """Put the branch of an If in its place where its condition is constant."""
    import onnx

    values = {t.name: t for t in graph.initializer if size(t) <= 8}
    for i, node in enumerate(graph.node):
        if node.op_type != "If" or node.input[0] not in values:
            continue
        taken = bool(onnx.numpy_helper.to_array(values[node.input[0]]).ravel()[0])
        wanted = "then_branch" if taken else "else_branch"
        body = next(a.g for a in node.attribute if a.name == wanted)
        own = {t.name for t in body.initializer} | {o for n in body.node for o in n.output if o}
        renamed = {name: f"{node.name}/{name}" for name in own}
        nodes = [_renamed(inner, renamed, node.name) for inner in body.node]
        for value, name in zip(body.output, node.output, strict=True):
            result = renamed.get(value.name, value.name)
            nodes.append(onnx.helper.make_node("Identity", [result], [name], name=f"{node.name}/{name}"))
        for tensor in body.initializer:
            graph.initializer.append(tensor)
            graph.initializer[-1].name = renamed[tensor.name]
        rest = [*graph.node[:i], *nodes, *graph.node[i + 1 :]]
        copies = [onnx.NodeProto.FromString(one.SerializeToString()) for one in rest]
        del graph.node[:]
        graph.node.extend(copies)
        return 1 + _branches(graph)
    return 0


def _renamed(node: NodeProto, names: dict[str, str], prefix: str) -> NodeProto:
    """Return a copy of a node with other names of tensors, in its bodies too."""
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = f"{prefix}/{node.name or node.op_type}"
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names.get(name, name) for name in node.output]
    for body in bodies(copy):
        inner = [_renamed(one, names, prefix) for one in body.node]
        del body.node[:]
        body.node.extend(inner)
        for value in body.output:
            value.name = names.get(value.name, value.name)
    return copy
