"""Pieces of a graph run one after the other give what the whole gives."""

import numpy as np
import onnx
import onnx_graphs as graphs
import onnxruntime
import pytest

import mecopt
from mecopt.errors import InputError
from mecopt.importing import pieces, shapes

CASES = {
    "convolutions": (graphs.convolutions("n"), {"n": 2}),
    "masked": (graphs.masked(), {"batch": 2}),
    "quantised": (graphs.quantised(), {}),
    "an open branch": (graphs.branched(None), {}),
    "a known branch": (graphs.branched(True), {}),
    "looped": (graphs.looped(), {}),
}


def run(proto, feeds):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(
        zip(names, session.run(names, {v.name: feeds[v.name] for v in session.get_inputs()}), strict=True)
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("length", [1, 2, 100])
def test_pieces_in_a_row_are_the_whole(tmp_path, name, length):
    proto, dims = CASES[name]
    path = graphs.save(proto, tmp_path)
    document = mecopt.import_model(path, dims=dims)
    ready = pieces.prepare(path, dims)
    feeds = {value.name: shapes.made_up(value) for value in ready.graph.input}
    expected, values = run(ready, feeds), dict(feeds)
    blocks = len(document.model.blocks)
    for first in range(0, blocks, length):
        part = pieces.piece(ready, document, first, min(first + length, blocks) - 1)
        onnx.checker.check_model(part)
        values |= run(part, values)
    for output, array in expected.items():
        np.testing.assert_allclose(values[output], array, rtol=1e-5, atol=1e-6)


def test_a_piece_gets_what_crosses_and_what_goes_everywhere(tmp_path):
    path = graphs.save(graphs.masked(), tmp_path)
    document = mecopt.import_model(path, dims={"batch": 1}, crossing=1)
    ready = pieces.prepare(path, {"batch": 1})
    at = document.graph.boundaries.index(("h2",))
    part = pieces.piece(ready, document, at, at)
    assert [value.name for value in part.graph.input] == ["h2", "mask"]
    assert [value.name for value in part.graph.output] == ["h3"]
    assert {tensor.name for tensor in part.graph.initializer} == {"w2", "axis"}


def test_names_are_the_same_each_time(tmp_path):
    path = graphs.save(graphs.branched(True), tmp_path)
    one, two = (pieces.prepare(path) for _ in range(2))
    assert one.SerializeToString(deterministic=True) == two.SerializeToString(deterministic=True)


def test_external_data_is_read_when_a_piece_needs_it(tmp_path):
    proto = graphs.masked(wide=640)  # the table lies outside, and is not read to count
    onnx.save_model(
        proto, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0
    )
    inside = mecopt.import_model(graphs.save(graphs.masked(wide=640), tmp_path, "i.onnx"), dims={"batch": 1})
    document = mecopt.import_model(tmp_path / "net.onnx", dims={"batch": 1})
    assert [block.cycles for block in document.model.blocks] == [
        block.cycles for block in inside.model.blocks
    ]
    assert any("external data" in note for note in document.notes)
    ready = pieces.prepare(tmp_path / "net.onnx", {"batch": 1})
    part = pieces.piece(ready, document, 0, len(document.model.blocks) - 1)
    feeds = {value.name: shapes.made_up(value) for value in part.graph.input}
    plain = pieces.prepare(tmp_path / "i.onnx", {"batch": 1})
    np.testing.assert_allclose(run(part, feeds)["y"], run(plain, feeds)["y"], rtol=1e-4, atol=1e-5)


def test_blocks_that_there_are_not_and_other_graphs_are_refused(tmp_path):
    path = graphs.save(graphs.convolutions(), tmp_path)
    document = mecopt.import_model(path)
    ready = pieces.prepare(path)
    with pytest.raises(InputError, match="expected numbers from 0 to"):
        pieces.piece(ready, document, 1, 99)
    other = pieces.prepare(graphs.save(graphs.masked(), tmp_path, "other.onnx"), {"batch": 1})
    with pytest.raises(InputError, match="of another model"):
        pieces.piece(other, document, 0, 0)


def test_functions_are_put_in_their_places(tmp_path):
    proto = graphs.convolutions()
    body = [onnx.helper.make_node("Relu", ["a"], ["b"])]
    opset = [onnx.helper.make_opsetid("", 18)]
    proto.functions.append(onnx.helper.make_function("own", "Rectify", ["a"], ["b"], body, opset))
    proto.graph.node[1].op_type, proto.graph.node[1].domain = "Rectify", "own"
    proto.opset_import.append(onnx.helper.make_opsetid("own", 1))
    ready = pieces.prepare(graphs.save(proto, tmp_path))
    assert "Rectify" not in {node.op_type for node in ready.graph.node}


def test_stale_shapes_in_the_file_are_not_believed(tmp_path):
    proto = graphs.convolutions("n")
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("c1", graphs.FLOAT, (-1, 8, 99, 99)))
    ready = pieces.prepare(graphs.save(proto, tmp_path), {"n": 1})
    assert shapes.known(ready.graph)["c1"] == (1, 8, 8, 8)
    assert not shapes.unknown(ready.graph)


def test_shapes_that_only_a_run_tells_are_read_from_one(tmp_path):
    nodes = [
        graphs.node("MatMul", "x w", "h"),
        graphs.node("NonZero", "x", "places"),
        graphs.node("Cast", "places", "y", to=graphs.FLOAT),
        graphs.node("MatMul", "y2 v", "z"),
        graphs.node("Transpose", "y", "y2", perm=[1, 0]),
    ]
    params = [graphs.param("w", 4, 4), graphs.param("v", 2, 5)]
    found = mecopt.import_model(graphs.save(graphs.model(nodes, {"x": (3, 4)}, ["h", "z"], params), tmp_path))
    assert any("read from a run" in note for note in found.notes)
    assert sum(block.cycles for block in found.model.blocks) == 3 * 4 * 4 + 12 * 2 * 5
