"""Multiply-adds by the table of formulas: against torch's own counter, and by hand."""

import onnx
import onnx_graphs as graphs
import pytest
from onnx import helper

import mecopt
from mecopt.importing import counting, operators, pieces


def counted(nodes, inputs, params, outputs=("y",)):
    proto = graphs.model(nodes, inputs, list(outputs), params)
    ready = pieces.prepared(proto, {}, "made up")
    return operators.of_onnx(ready.graph)


def flops(work, *shapes):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        work(torch, *(torch.empty(shape) for shape in shapes))
    return counter.get_total_flops() / 2


# Each: the operator with its attributes, the shapes of its input and parameters, and the same in torch.
SAME = {
    "convolution": (
        ("Conv", {"strides": [2, 1], "pads": [1, 0, 1, 0], "dilations": [1, 2]}),
        [(2, 6, 9, 11), (4, 6, 3, 2)],
        lambda t, x, w: t.conv2d(x, w, stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    ),
    "grouped": (
        ("Conv", {"group": 3}),
        [(1, 6, 7, 7), (9, 2, 3, 3)],
        lambda t, x, w: t.conv2d(x, w, groups=3),
    ),
    "depthwise": (
        ("Conv", {"group": 8}),
        [(1, 8, 7, 7), (8, 1, 3, 3)],
        lambda t, x, w: t.conv2d(x, w, groups=8),
    ),
    "one dimension": (("Conv", {}), [(1, 4, 20), (5, 4, 3)], lambda t, x, w: t.conv1d(x, w)),
    "three dimensions": (("Conv", {}), [(1, 2, 5, 6, 7), (3, 2, 2, 2, 2)], lambda t, x, w: t.conv3d(x, w)),
    "transposed": (
        ("ConvTranspose", {"strides": [2, 2]}),
        [(2, 4, 5, 6), (4, 3, 3, 3)],
        lambda t, x, w: t.conv_transpose2d(x, w, stride=2),
    ),
    "product": (("MatMul", {}), [(7, 5), (5, 3)], lambda t, a, b: a @ b),
    "many products": (("MatMul", {}), [(2, 4, 7, 5), (2, 4, 5, 3)], lambda t, a, b: a @ b),
    "spread product": (("MatMul", {}), [(2, 7, 5), (5, 3)], lambda t, a, b: a @ b),
    "gemm": (("Gemm", {"transB": 1}), [(7, 5), (3, 5)], lambda t, a, b: a @ b.T),
    "gemm of a transposed": (("Gemm", {"transA": 1}), [(5, 7), (5, 3)], lambda t, a, b: a.T @ b),
    "einsum": (
        ("Einsum", {"equation": "bhqd,bhkd->bhqk"}),
        [(2, 3, 4, 5), (2, 3, 6, 5)],
        lambda t, a, b: t.einsum("bhqd,bhkd->bhqk", a, b),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_counts_are_those_of_torch(name):
    (kind, attributes), shapes, work = SAME[name]
    node = graphs.node(kind, "x w", "y", **attributes)
    graph = counted([node], {"x": shapes[0]}, [graphs.param("w", *shapes[1])])
    assert graph.macs == flops(work, *shapes) > 0
    assert not any(operator.unknown for operator in graph.operators)


def test_recurrent_layers_are_products_at_every_step():
    steps, batch, wide, hidden = 5, 2, 3, 4
    for kind, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        params = [graphs.param("w", 2, gates * hidden, wide), graphs.param("r", 2, gates * hidden, hidden)]
        node = graphs.node(kind, "x w r", "y", hidden_size=hidden, direction="bidirectional")
        graph = counted([node], {"x": (steps, batch, wide)}, params)
        assert graph.macs == 2 * steps * batch * gates * hidden * (wide + hidden)


def test_attention_as_one_operator_counts_scores_and_sums():
    query, key = (2, 3, 4, 8), (2, 3, 6, 8)  # requests, heads, positions, values
    node = helper.make_node("Attention", ["q", "k", "v"], ["y"], name="a")
    found = counting.count(node, {"q": query, "k": key, "v": key, "y": query})
    assert found == counting.Count(2 * 2 * 3 * 4 * 6 * 8)


def test_what_is_element_by_element_counts_nothing_but_moves_bytes():
    graph = counted([graphs.node("Relu", "x", "y")], {"x": (2, 5)}, [])
    (relu,) = graph.operators
    assert (relu.macs, relu.moved_bytes, relu.unknown) == (0, 2 * 10 * 4, None)


def test_a_look_up_reads_the_rows_that_it_takes():
    nodes = [graphs.node("Gather", "table ids", "y")]
    proto = graphs.model(nodes, {"ids": (3,)}, ["y"], [graphs.param("table", 1000, 8)], {"ids": graphs.INT})
    (gather,) = operators.of_onnx(pieces.prepared(proto, {}, "made up").graph).operators
    assert gather.param_read_bytes == 3 * 8 * 4
    assert gather.moved_bytes == 3 * 8 + 3 * 8 * 4


def test_what_no_formula_knows_is_taken_for_a_product_of_its_sizes():
    node = onnx.NodeProto(op_type="Mystery", domain="somebody", input=["a", "b"], output=["y"], name="m")
    found = counting.count(node, {"a": (7, 5), "b": (5, 3), "y": (7, 3)})
    assert found.unknown == "Mystery"
    assert found.macs == pytest.approx(7 * 5 * 3)


def test_a_branch_counts_the_larger_and_a_loop_each_time():
    branch = operators.of_onnx(pieces.prepared(graphs.branched(None), {}, "made up").graph)
    assert branch.macs == 2 * 16 * 8 + 2 * 8 * 8
    loop = operators.of_onnx(pieces.prepared(graphs.looped(5), {}, "made up").graph)
    assert loop.macs == 2 * 16 * 8 + 5 * 2 * 8 * 8 + 2 * 8 * 8


def test_a_loop_that_collects_nothing_counts_as_often_as_its_constant_says():
    """With an If inside, which takes the state of the loop from outside itself."""
    proto = graphs.looped(5)
    loop = next(node for node in proto.graph.node if node.op_type == "Loop")
    body = loop.attribute[0].g
    inner = {
        name: helper.make_graph(
            [graphs.node("MatMul", "state wb", f"{name}_out", f"{name}_product")],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_out", graphs.FLOAT, None)],
        )
        for name in ("then_branch", "else_branch")
    }
    del body.output[2:], loop.output[1:], proto.graph.output[1:]
    steps = [graphs.node("If", "flag", "next", "choice", **inner), graphs.node("Identity", "go", "go_on")]
    del body.node[:]
    body.node.extend(steps)
    flag = helper.make_tensor_value_info("flag", onnx.TensorProto.BOOL, ())
    proto.graph.input.append(flag)
    found = operators.of_onnx(pieces.prepared(proto, {}, "made up").graph)
    assert found.macs == 2 * 16 * 8 + 5 * 2 * 8 * 8 + 2 * 8 * 8
    assert not any(operator.unknown for operator in found.operators)
    # A condition of its own may end it earlier: then it is named.
    inside = next(node for node in proto.graph.node if node.op_type == "Loop").attribute[0].g
    inside.node[1].CopyFrom(graphs.node("Not", "go", "go_on"))
    proto.graph.node[1].attribute[0].g.CopyFrom(inside)
    ended = operators.of_onnx(pieces.prepared(proto, {}, "made up").graph)
    assert [operator.unknown for operator in ended.operators if operator.unknown] == ["Loop"]


def test_the_file_is_believed_about_what_nothing_here_runs(tmp_path):
    nodes = [
        graphs.node("MatMul", "x w", "h"),
        helper.make_node("Mystery", ["h"], ["m"], name="m", domain="somebody"),
        graphs.node("MatMul", "m w", "y"),
    ]
    proto = graphs.model(nodes, {"x": ("batch", 8)}, ["y"], [graphs.param("w", 8, 8)])
    proto.opset_import.append(helper.make_opsetid("somebody", 1))
    with pytest.raises(mecopt.InputError, match="somebody:Mystery"):
        mecopt.import_model(graphs.save(proto, tmp_path), dims={"batch": 2})
    proto.graph.value_info.append(helper.make_tensor_value_info("m", graphs.FLOAT, ("batch", 8)))
    found = mecopt.import_model(graphs.save(proto, tmp_path), dims={"batch": 2})
    assert [block.input_bits for block in found.model.blocks] == [2 * 8 * 32] * 3
    assert [note.split(",")[0] for note in found.notes] == [
        "operator Mystery (1): not known",
        "the shapes of what Mystery makes are those that the file states: nothing here runs it",
    ]
