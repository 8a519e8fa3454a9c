"""A small network as an ONNX file: convolutions, a residual, dense layers; some thousand multiply-adds."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save


def network(path, layers=4, width=8, seed=0):
    """Write the network and return its path."""
    draw = np.random.default_rng(seed)
    weights, nodes = [], []

    def weight(*shape):
        values = draw.standard_normal(shape).astype(np.float32) / 4
        weights.append(numpy_helper.from_array(values, f"w{len(weights)}"))
        return weights[-1].name

    def add(operator, *inputs, **attributes):
        nodes.append(helper.make_node(operator, inputs, [f"t{len(nodes)}"], f"n{len(nodes)}", **attributes))
        return nodes[-1].output[0]

    last = add("Conv", "x", weight(width, 3, 3, 3), weight(width), pads=[1] * 4)
    for _ in range(layers):
        inner = add("Relu", add("Conv", last, weight(width, width, 3, 3), weight(width), pads=[1] * 4))
        last = add("Add", inner, last)
    last = add("GlobalAveragePool", last)
    last = add("Flatten", last)
    last = add("Gemm", last, weight(width, 10))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 32, 32))],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, (1, 10))],
        weights,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path
