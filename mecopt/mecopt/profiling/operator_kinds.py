"""Operators of an optimised graph by their kind, with what they calculate and move."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

# Kinds by the names of operators; convolutions and products of matrices are told apart by their shapes.
KINDS = {
    "function": "Gelu QuickGelu FastGelu BiasGelu Sigmoid Tanh Erf Exp Log Softmax LogSoftmax Silu Swish Elu "
    "Sin Cos Pow",
    "norm": "LayerNormalization SkipLayerNormalization SimplifiedLayerNormalization "
    "SkipSimplifiedLayerNormalization BatchNormalization InstanceNormalization GroupNormalization "
    "ReduceMean ReduceSum ReduceMax GlobalAveragePool GlobalMaxPool ArgMax LpNormalization RMSNormalization",
    "pool": "MaxPool AveragePool LpPool",
    "elementwise": "Add Sub Mul Div Relu Clip LeakyRelu PRelu HardSigmoid HardSwish Neg Abs Sqrt Reciprocal "
    "Max Min Where Equal Greater Less Not And Or Cast Floor Round Sum",
    "move": "Transpose Concat Split Slice Gather GatherElements GatherND Resize Upsample Pad Expand Tile "
    "DepthToSpace SpaceToDepth ScatterND",
    "free": "Reshape Squeeze Unsqueeze Flatten Identity Dropout Shape Constant ConstantOfShape Range Size",
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split()}
CONVOLUTIONS = ("Conv", "FusedConv")
PRODUCTS = ("Gemm", "FusedGemm", "MatMul", "FusedMatMul")
OTHER = "elementwise"  # what is not known is taken for
START = "start"  # of a piece: a call, and pictures that change their layout on the way in and out
ALL_KINDS = (
    *("conv3x3", "conv1x1", "stem", "depthwise", "matmul", "attention", "matrix-vector"),
    *KINDS,
    START,
)
STEM = 4  # channels up to which the layout with channels in blocks is of no use
VECTOR = 4  # rows up to which a product is bound by reading its matrix
VALUE = 4  # bytes


@dataclass(frozen=True)
class OperatorWork:
    """What an operator does: multiply-adds or values made, bytes read and written."""

    kind: str
    operations: float
    moved_bytes: float
    name: str = ""  # of the operator


def works(model: onnx.ModelProto) -> list[OperatorWork]:
    """Return the work of every operator of a graph as the runtime has optimised it, and of starting it."""
    import onnx

    model = onnx.shape_inference.infer_shapes(model)
    shapes = _shapes(model)
    found = [_work(node, shapes) for node in model.graph.node]
    return [*found, _start(model, shapes)]


def unknown(works_: Sequence[OperatorWork]) -> list[str]:
    """Return the names of operators that no kind is known of."""
    known = {*KIND_OF, *CONVOLUTIONS, *PRODUCTS, ""}
    return sorted({work.name for work in works_} - known)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    graph = model.graph
    found = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape"):
            found[value.name] = tuple(max(dim.dim_value, 1) for dim in dims)
    return {**found, **{tensor.name: tuple(tensor.dims) for tensor in graph.initializer}}


def _work(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> OperatorWork:
    ins = [shapes.get(name, ()) for name in node.input if name]
    outs = [shapes.get(name, ()) for name in node.output if name]
    made = float(sum(map(math.prod, outs)))
    moved = VALUE * (made + sum(map(math.prod, ins)))
    if node.op_type in CONVOLUTIONS and len(ins) > 1:
        kind, operations = _convolution(ins[1], made)
    elif node.op_type in PRODUCTS and len(ins) > 1:
        kind, operations = _product(node, ins, outs, made)
    else:
        kind, operations = KIND_OF.get(node.op_type, OTHER), made
        if kind == "pool":
            operations *= _area(node)
        elif kind == "norm":
            operations = float(max(math.prod(ins[0]), made)) if ins else made
        elif kind == "free":
            operations = moved = 0.0
        elif kind == "move" and node.op_type.startswith("Gather"):
            moved = 2 * VALUE * made  # of a table, only what is looked up
    return OperatorWork(kind, operations, moved, node.op_type)


def _convolution(weight: tuple[int, ...], made: float) -> tuple[str, float]:
    """Return kind and multiply-adds of a convolution by its weights (out, in / groups, height, width)."""
    kernel = weight[2:]
    operations = made * math.prod(weight[1:])
    if weight[1] == 1 and weight[0] > 1:
        return "depthwise", operations
    if weight[1] <= STEM:
        return "stem", operations
    return ("conv1x1" if math.prod(kernel) == 1 else "conv3x3"), operations


def _product(
    node: onnx.NodeProto, ins: list[tuple[int, ...]], outs: list[tuple[int, ...]], made: float
) -> tuple[str, float]:
    """Return kind and multiply-adds of a product of matrices."""
    turned = any(a.name == "transA" and a.i for a in node.attribute)
    first, second = ins[0] or (1,), ins[1] or (1,)
    inner = first[-2] if turned and len(first) > 1 else first[-1]
    columns = outs[0][-1] if outs and outs[0] else 1
    if len(second) > 2:
        return "attention", made * inner
    rows = made / max(columns, 1)
    return ("matrix-vector" if rows <= VECTOR else "matmul"), made * inner


def _area(node: onnx.NodeProto) -> int:
    """Return how many values a window of a pooling covers."""
    return next((math.prod(a.ints) for a in node.attribute if a.name == "kernel_shape"), 1)


def _start(model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]]) -> OperatorWork:
    """Return what beginning and ending a piece takes: pictures around convolutions change their layout."""
    graph = model.graph
    ends = set(_picture_ends(model))
    given = {tensor.name for tensor in graph.initializer}
    names = [value.name for value in (*graph.input, *graph.output) if value.name not in given]
    pictures = [shapes[name] for name in names if name in ends and len(shapes.get(name, ())) == 4]
    moved = sum(map(math.prod, pictures))
    return OperatorWork(START, 0.0, 2.0 * VALUE * moved)


def _picture_ends(model: onnx.ModelProto) -> Iterator[str]:
    """Yield tensors of a graph with convolutions, which run in a layout of their own."""
    nodes = model.graph.node
    if any(node.op_type in CONVOLUTIONS for node in nodes):
        for node in nodes:
            yield from (*node.input, *node.output)
