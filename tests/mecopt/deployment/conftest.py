"""A small convolutional network, an instance that runs it, and agents in this process."""

import numpy as np
import pytest

import mecopt
from mecopt.deployment.agent import Agent
from mecopt.deployment.whole import WholeModel


def network(path):
    """Write a chain of three convolutions and a matrix as an ONNX file."""
    from onnx import TensorProto, helper, numpy_helper, save

    draw = np.random.default_rng(0)
    nodes, weights, now, channels = [], [], "x", 3
    for i, out in enumerate((8, 8, 4)):
        kernel = draw.standard_normal((out, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{i}"))
        nodes.append(helper.make_node("Conv", [now, f"w{i}"], [f"c{i}"], f"conv{i}", pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"], f"relu{i}"))
        now, channels = f"r{i}", out
    nodes.append(helper.make_node("Flatten", [now], ["flat"], "flatten"))
    weights.append(numpy_helper.from_array(draw.standard_normal((4 * 16 * 16, 10)).astype(np.float32), "w"))
    nodes.append(helper.make_node("MatMul", ["flat", "w"], ["y"], "matmul"))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    save(model, str(path))


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "small.onnx"
    network(path)
    return str(path)


@pytest.fixture(scope="session")
def whole(onnx_file):
    return WholeModel.of(onnx_file)


@pytest.fixture(scope="session")
def instance(whole):
    model = whole.document.model
    return mecopt.Instance(
        name="small",
        slot_count=1,
        models=[model],
        devices=[mecopt.Device("camera", 1e9)],
        servers=[mecopt.Server("es1", 1e9), mecopt.Server("es2", 1e9)],
        links=mecopt.Links.of(2, 1e8),
        tasks=mecopt.Tasks.of(
            slot=0, device=0, model=0, blocks=len(model.blocks), rate_bps=np.full((1, 2), 1e8)
        ),
        rules=mecopt.Rules.preset("physical", deadline="none"),
    )


@pytest.fixture
def agents():
    """Two agents, by the names of the servers."""
    made = {name: Agent() for name in ("es1", "es2")}
    addresses = {name: agent.start() for name, agent in made.items()}
    yield made, addresses
    for agent in made.values():
        agent.stop()
