"""Small ONNX graphs to import, made with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def param(name: str, *shape: int, seed: int = 0) -> TensorProto:
    values = np.random.default_rng([seed, *name.encode()]).normal(size=shape).astype(np.float32) * 0.3
    return numpy_helper.from_array(values, name)


def constant(name: str, values: object, kind: type = np.int64) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=kind), name)


def node(
    kind: str, inputs: str, outputs: str, name: str | None = None, **attributes: object
) -> onnx.NodeProto:
    return helper.make_node(
        kind, inputs.split(), outputs.split(), name=name or outputs.split()[0], **attributes
    )


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple],
    outputs: list[str],
    params: list[TensorProto],
    types: dict[str, int] | None = None,
) -> onnx.ModelProto:
    types = types or {}
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info(name, types.get(name, FLOAT), shape)
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info(name, types.get(name, FLOAT), None) for name in outputs],
        params,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def save(proto: onnx.ModelProto, folder: Path, name: str = "net.onnx") -> Path:
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def convolutions(batch: int | str = 1) -> onnx.ModelProto:
    """Two convolutions with a residual sum between them, a pooling and a dense layer."""
    nodes = [
        node("Conv", "x w1", "c1", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 w2", "c2", pads=[1, 1, 1, 1]),
        node("Add", "c2 r1", "sum"),
        node("MaxPool", "sum", "pool", kernel_shape=[4, 4], strides=[4, 4]),
        node("Flatten", "pool", "flat"),
        node("Gemm", "flat w3 b3", "y"),
    ]
    params = [param("w1", 8, 3, 3, 3), param("w2", 8, 8, 3, 3), param("w3", 32, 10), param("b3", 10)]
    return model(nodes, {"x": (batch, 3, 8, 8)}, ["y"], params)


def masked(layers: int = 3, length: int = 6, wide: int = 8) -> onnx.ModelProto:
    """Layers in a row, each of which a mask made of an input goes into; the table is used at both ends."""
    nodes = [
        node("Gather", "table ids", "h0"),
        node("Cast", "mask", "mask_f", to=FLOAT),
        node("Unsqueeze", "mask_f axis", "mask_u"),
    ]
    params = [param("table", 5000, wide), constant("axis", [2])]
    for i in range(layers):
        params += [param(f"w{i}", wide, wide)]
        nodes += [
            node("MatMul", f"h{i} w{i}", f"m{i}"),
            node("Mul", f"m{i} mask_u", f"k{i}"),
            node("Add", f"k{i} h{i}", f"h{i + 1}"),
        ]
    nodes += [node("Transpose", "table", "table_t", perm=[1, 0]), node("MatMul", f"h{layers} table_t", "y")]
    shapes = {"ids": ("batch", length), "mask": ("batch", length)}
    return model(nodes, shapes, ["y"], params, {"ids": INT, "mask": INT})


def quantised() -> onnx.ModelProto:
    """A convolution behind whose output a quantisation and its reversal stand."""
    scales = [constant("s", 0.1, np.float32), constant("z", 0, np.int8)]
    nodes = [
        node("Conv", "x w1", "c1", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("QuantizeLinear", "r1 s z", "q1"),
        node("DequantizeLinear", "q1 s z", "d1"),
        node("Conv", "d1 w2", "y", pads=[1, 1, 1, 1]),
    ]
    params = [param("w1", 8, 3, 3, 3), param("w2", 4, 8, 3, 3), *scales]
    return model(nodes, {"x": (1, 3, 8, 8)}, ["y"], params)


def branched(condition: bool | None) -> onnx.ModelProto:
    """An If between two products; its condition is an input, or known (then it is not one)."""
    branches = {}
    for key, weights in (("then_branch", "wt"), ("else_branch", "we")):
        out = helper.make_tensor_value_info(f"{key}_out", FLOAT, None)
        inner = [node("MatMul", f"h {weights}", f"{key}_out", f"{key}_product")]
        branches[key] = helper.make_graph(
            inner, key, [], [out], [param(weights, 8, 8 if key[0] == "t" else 4)]
        )
    nodes = [
        node("MatMul", "x w", "h"),
        node("If", "flag", "chosen", **branches),
        node("Relu", "chosen", "y"),
    ]
    params = [param("w", 16, 8)]
    inputs: dict[str, tuple] = {"x": (2, 16)}
    if condition is None:
        inputs["flag"] = ()
    else:
        params.append(constant("flag", condition, np.bool_))
    return model(nodes, inputs, ["y"], params, {"flag": TensorProto.BOOL})


def looped(times: int = 5) -> onnx.ModelProto:
    """A Loop that multiplies a state by a matrix and collects it."""
    body = helper.make_graph(
        [
            node("MatMul", "state wb", "next", "step"),
            node("Identity", "next", "collected"),
            node("Identity", "go", "go_on"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("state", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", FLOAT, None),
            helper.make_tensor_value_info("collected", FLOAT, None),
        ],
    )
    nodes = [
        node("MatMul", "x w", "h"),
        node("Loop", "n yes h", "last all", "loop", body=body),
        node("MatMul", "last wb", "y"),
    ]
    params = [param("w", 16, 8), param("wb", 8, 8), constant("n", times), constant("yes", True, np.bool_)]
    return model(nodes, {"x": (2, 16)}, ["y", "all"], params)
