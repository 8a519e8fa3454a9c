"""Small graphs, each a chain of one kind of operator, by which constants of a machine are measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

OPSET, IR = 17, 8
PICTURES = ((32, 112), (64, 56), (128, 28), (256, 14), (512, 7))  # channels, and values along a side
NARROW = ((24, 144, 56), (64, 384, 14), (160, 960, 7))
WIDE = ((64, 256, 56), (128, 512, 28), (256, 1024, 14), (512, 2048, 7))
DEPTHWISE = ((32, 112), (144, 56), (192, 28), (576, 14), (960, 7))
DENSE = ((128, 768, 768), (128, 768, 3072), (197, 768, 2304), (64, 256, 1024), (32, 512, 512))
VECTORS = ((512, 1000), (2048, 1000), (4096, 1000), (4096, 4096))
HEADS = ((12, 128, 64), (12, 197, 64), (8, 64, 64))
ROWS = ((128, 768), (197, 3072), (64, 256))
CHAIN = 3
TINY = (4, 24, 64)  # operators in a row that do nearly nothing: what a call takes


@dataclass(frozen=True)
class Kernel:
    """A graph that is mostly of one kind of operator."""

    kind: str
    proto: onnx.ModelProto


class _Graph:
    """A chain of operators under construction."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.shape, self.last = shape, "x"
        self._draw = np.random.default_rng(0)

    def weight(self, *shape: int) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.weights)}"
        values = self._draw.standard_normal(shape, dtype=np.float32) / np.sqrt(np.prod(shape[1:]) + 1)
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def add(self, operator: str, *others: str, **attributes: Any) -> _Graph:
        from onnx import helper

        name = f"y{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [self.last, *others], [name], **attributes))
        self.last = name
        return self

    def model(self) -> onnx.ModelProto:
        from onnx import TensorProto, helper, shape_inference

        graph = helper.make_graph(
            self.nodes,
            "kernel",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)],
            self.weights,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        return shape_inference.infer_shapes(made)


def kernels() -> Iterator[Kernel]:
    """Yield the kernels of all kinds."""
    for channels, side in PICTURES:
        yield Kernel("conv3x3", _convolutions((channels, channels), side, 3))
    for narrow, wide, side in (*NARROW, *WIDE):
        yield Kernel("conv1x1", _convolutions((narrow, wide, narrow, wide), side, 1))
    for channels, side in DEPTHWISE:
        yield Kernel("depthwise", _convolutions((channels, channels), side, 3, depthwise=True))
    for outputs, kernel in ((64, 7), (32, 3), (64, 3)):
        graph = _Graph((1, 3, 224, 224))
        stride = 1 if (outputs, kernel) == (64, 3) else 2
        _convolve(graph, 3, outputs, kernel, stride=stride)
        yield Kernel("stem", graph.model())
    yield from _products()
    yield from _others()


def _convolutions(
    channels: tuple[int, ...], side: int, kernel: int, *, depthwise: bool = False
) -> onnx.ModelProto:
    graph = _Graph((1, channels[0], side, side))
    chain = channels * CHAIN if len(channels) == 2 else channels
    for a, b in pairwise(chain):
        _convolve(graph, a, b, kernel, groups=a if depthwise else 1)
    return graph.model()


def _convolve(
    graph: _Graph, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> None:
    weight, bias = graph.weight(outputs, inputs // groups, kernel, kernel), graph.weight(outputs)
    pads = [kernel // 2] * 4
    graph.add("Conv", weight, bias, pads=pads, strides=[stride, stride], group=groups).add("Relu")


def _products() -> Iterator[Kernel]:
    for rows, inputs, outputs in DENSE:
        graph = _Graph((1, rows, inputs))
        for a, b in ((inputs, outputs), (outputs, inputs)):
            graph.add("MatMul", graph.weight(a, b)).add("Add", graph.weight(b))
        yield Kernel("matmul", graph.model())
    for inputs, outputs in VECTORS:
        graph = _Graph((1, inputs))
        yield Kernel("matrix-vector", graph.add("Gemm", graph.weight(inputs, outputs)).model())
    for heads, tokens, width in HEADS:
        graph = _Graph((1, heads, tokens, width))
        graph.add("MatMul", graph.weight(1, heads, width, tokens))
        graph.add("MatMul", graph.weight(1, heads, tokens, width))
        yield Kernel("attention", graph.model())


def _others() -> Iterator[Kernel]:
    for count in TINY:
        graph = _Graph((1, 16))
        for i in range(count):
            graph.add("Neg" if i % 2 else "Abs")
        yield Kernel("elementwise", graph.model())
    for rows, width in ROWS:
        shape: tuple[int, ...] = (1, rows, width)
        graph = _Graph(shape).add("Softmax", axis=-1).add("Sigmoid").add("Softmax", axis=-1)
        yield Kernel("function", graph.model())
        yield Kernel("function", _Graph(shape).add("Sigmoid").add("Tanh").add("Sigmoid").model())
        graph = _Graph(shape)
        for _ in range(CHAIN):
            graph.add("LayerNormalization", graph.weight(width), graph.weight(width), axis=-1)
        yield Kernel("norm", graph.model())
        graph = _Graph(shape)
        for operator in ("Sub", "Mul", "Sub"):
            graph.add(operator, graph.weight(*shape))
        yield Kernel("elementwise", graph.model())
        graph = _Graph((1, rows, width // 64, 64)).add("Transpose", perm=[0, 2, 1, 3])
        yield Kernel("move", graph.add("Concat", graph.weight(1, width // 64, rows, 64), axis=0).model())
    for channels, side in PICTURES[1:4]:
        shape = (1, channels, side, side)
        yield Kernel("pool", _Graph(shape).add("MaxPool", kernel_shape=[3, 3], pads=[1] * 4).model())
        yield Kernel("norm", _Graph(shape).add("ReduceMean", axes=[2, 3], keepdims=0).model())
        graph = _Graph(shape)
        yield Kernel("elementwise", graph.add("Add", graph.weight(*shape)).add("Relu").model())
        graph = _Graph(shape)
        yield Kernel("move", graph.add("Concat", graph.weight(*shape), axis=1).model())
        yield Kernel("function", _Graph(shape).add("Sigmoid").model())
