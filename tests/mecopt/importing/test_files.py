"""Bad files: one line that names the place, whatever is wrong."""

import json

import onnx
import onnx_graphs as graphs
import pytest

import mecopt
from mecopt import importing
from mecopt.errors import InputError, MissingExtraError
from mecopt.importing import pieces, shapes


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        mecopt.import_model(path, **options)
    assert all(str(path) in line for line in str(caught.value).splitlines())
    return str(caught.value)


def test_files_that_are_no_onnx_files(tmp_path):
    whole = graphs.save(graphs.convolutions(), tmp_path).read_bytes()
    cases = {
        b"": "is empty",
        b"hello, world": "not an ONNX file",
        whole[: len(whole) // 2]: "not a whole ONNX file",
        onnx.ModelProto(ir_version=9).SerializeToString(): "holds no operators",
    }
    path = tmp_path / "bad.onnx"
    for content, said in cases.items():
        path.write_bytes(content)
        assert said in refused(path)
    assert "no such file" in refused(tmp_path / "missing.onnx")
    assert "is a folder" in refused(tmp_path / "folder.onnx") if (tmp_path / "folder.onnx").mkdir() else True
    assert "expected a name that ends in" in refused(tmp_path / "net.tflite")


@pytest.mark.parametrize("version", [0, 99])
def test_an_opset_that_nobody_knows(tmp_path, version):
    proto = graphs.convolutions()
    proto.opset_import[0].version = version
    assert f"opset {version}, expected 1 to " in refused(graphs.save(proto, tmp_path))


def test_a_format_of_tomorrow_and_operators_of_no_opset(tmp_path):
    proto = graphs.convolutions()
    proto.ir_version = 99
    assert "format version 99, expected at most " in refused(graphs.save(proto, tmp_path))
    proto = graphs.convolutions()
    del proto.opset_import[:]
    assert "No opset import" in refused(graphs.save(proto, tmp_path))


@pytest.mark.parametrize(("key", "value"), [("offset", "-4"), ("offset", "x"), ("length", "3")])
def test_external_data_at_no_place(tmp_path, key, value):
    apart = {"save_as_external_data": True, "location": "net.data", "size_threshold": 0}
    onnx.save_model(graphs.masked(wide=128), tmp_path / "net.onnx", **apart)
    model = onnx.load_model(tmp_path / "net.onnx", load_external_data=False)
    next(e for e in model.graph.initializer[0].external_data if e.key == key).value = value
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert "says no place of " in refused(tmp_path / "net.onnx", dims={"batch": 1})


def test_names_that_are_no_text_and_types_that_are_none(tmp_path):
    data = graphs.convolutions().SerializeToString()
    path = tmp_path / "net.onnx"
    path.write_bytes(data.replace(b"pool", b"po\xbcl"))
    assert "expected UTF-8" in refused(path)
    proto = graphs.convolutions()
    proto.graph.initializer[0].data_type = 59
    assert "is of type 59" in refused(graphs.save(proto, tmp_path))


def test_a_loop_without_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "LONGEST_RUN_S", 0.5)
    path = graphs.save(graphs.looped(2**62), tmp_path)
    assert "does not run it (ValueError: not within 0.5 s)" in refused(path)


def test_parameters_of_gigabytes_are_counted_and_not_read(tmp_path):
    proto = graphs.model([graphs.node("MatMul", "x w", "y")], {"x": (1, 30000)}, ["y"], [])
    weight = onnx.TensorProto(name="w", data_type=graphs.FLOAT, dims=[30000, 30000], data_location=1)
    for key, text in (("location", "w.data"), ("offset", "0"), ("length", "3600000000")):
        weight.external_data.add(key=key, value=text)
    proto.graph.initializer.append(weight)
    with (tmp_path / "w.data").open("wb") as file:
        file.truncate(3_600_000_000)  # a hole, no bytes
    path = graphs.save(proto, tmp_path)
    (block,) = mecopt.import_model(path).model.blocks
    assert (block.cycles, block.param_bytes) == (9e8, 3.6e9)
    document, ready = mecopt.import_model(path), pieces.prepare(path)
    with pytest.raises(InputError, match="3,600,000,000 bytes of parameters to run, expected at most"):
        pieces.piece(ready, document, 0, 0)


def test_a_cycle_and_what_nothing_makes(tmp_path):
    nodes = [graphs.node("Add", "x b", "a"), graphs.node("Relu", "a", "b"), graphs.node("Relu", "b", "y")]
    path = graphs.save(graphs.model(nodes, {"x": (2,)}, ["y"], []), tmp_path)
    assert "form a cycle: a, b" in refused(path)
    path = graphs.save(graphs.model([graphs.node("Add", "x b", "y")], {"x": (2,)}, ["y"], []), tmp_path)
    assert "'y' reads 'b', which nothing makes" in refused(path)


def test_no_path_from_an_input_to_an_output(tmp_path):
    nodes = [graphs.node("Relu", "x", "unused"), graphs.node("Relu", "w", "y")]
    path = graphs.save(graphs.model(nodes, {"x": (2,)}, ["y"], [graphs.param("w", 3)]), tmp_path)
    assert "no path leads from an input to an output" in refused(path)


def test_nodes_in_any_order_are_put_into_one_that_runs(tmp_path):
    proto = graphs.convolutions()
    nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    found = mecopt.import_model(graphs.save(proto, tmp_path))
    assert (
        found.model.blocks == mecopt.import_model(graphs.save(graphs.convolutions(), tmp_path)).model.blocks
    )


def test_external_data_that_is_missing_cut_or_elsewhere(tmp_path):
    proto = graphs.masked(wide=128)
    apart = {"save_as_external_data": True, "location": "net.data", "size_threshold": 0}
    onnx.save_model(proto, tmp_path / "net.onnx", **apart)
    data = (tmp_path / "net.data").read_bytes()
    (tmp_path / "net.data").write_bytes(data[:1000])
    assert "'net.data' ends too early" in refused(tmp_path / "net.onnx", dims={"batch": 1})
    (tmp_path / "net.data").unlink()
    assert "'net.data' is missing" in refused(tmp_path / "net.onnx", dims={"batch": 1})
    model = onnx.load_model(tmp_path / "net.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "../../etc/passwd"
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert "lies outside the folder" in refused(tmp_path / "net.onnx", dims={"batch": 1})


def test_dimensions_that_are_open_or_not_there(tmp_path):
    path = graphs.save(graphs.convolutions("batch"), tmp_path)
    assert "dimension 'batch' (place 0 of input 'x') is open, expected --dim batch=N" in refused(path)
    with pytest.raises(InputError, match="--dim bach: no such dimension, expected one of batch"):
        mecopt.import_model(path, dims={"batch": 1, "bach": 2})
    with pytest.raises(InputError, match=r"dims\.batch"):
        mecopt.import_model(path, dims={"batch": 0})
    fixed = graphs.save(graphs.convolutions(3), tmp_path)
    assert "no dimension is open" in refused(fixed, dims={"batch": 1})
    proto = graphs.convolutions("?")
    assert "'x.0'" in refused(graphs.save(proto, tmp_path))


def test_an_input_that_is_one_number_can_be_fixed(tmp_path):
    nodes = [
        graphs.node("Equal", "rate usual", "same"),
        graphs.node("Cast", "same", "factor", to=graphs.FLOAT),
        graphs.node("MatMul", "x w", "h"),
        graphs.node("Mul", "h factor", "y"),
    ]
    params = [graphs.param("w", 8, 8), graphs.constant("usual", 16000)]
    proto = graphs.model(nodes, {"x": (2, 8), "rate": ()}, ["y"], params, {"rate": graphs.INT})
    path = graphs.save(proto, tmp_path)
    found = mecopt.import_model(path, dims={"rate": 16000})
    assert found.graph.boundaries[0] == ("x",)
    assert found.graph.everywhere == ()
    assert mecopt.import_model(path).graph.everywhere == ("rate",)


def test_numbers_out_of_range(tmp_path):
    path = graphs.save(graphs.convolutions(), tmp_path)
    for options in ({"crossing": 0}, {"blocks": 0}, {"blocks": 99}, {"cycles_per_mac": 0.0}):
        name = next(iter(options))
        with pytest.raises(InputError, match=name):
            mecopt.import_model(path, **options)
    with pytest.raises(InputError, match="kind"):
        mecopt.import_model(path, kind="nobody")


def test_what_is_not_installed_says_how_to_install_it(tmp_path, monkeypatch):
    path = graphs.save(graphs.convolutions(), tmp_path)
    monkeypatch.setattr(importing.onnx_file, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mecopt\[onnx\]'"):
        mecopt.import_model(path)


GOOD = """block,output_bytes,param_bytes,cycles,seconds:pi,seconds:xeon
input,600000,,,,
conv,400000,1000,2e9,0.5,0.05
head,40,2000,,0.1,
"""


def table(tmp_path, text):
    path = tmp_path / "blocks.csv"
    path.write_text(text)
    return path


def test_a_table_of_blocks(tmp_path):
    found = mecopt.import_model(table(tmp_path, GOOD), name="own")
    conv, head = found.model.blocks
    assert found.model.name == "own"
    assert (conv.input_bits, head.input_bits, found.model.output_bits) == (4.8e6, 3.2e6, 320)
    assert (conv.cycles, head.cycles, conv.param_bytes) == (2e9, None, 1000)
    assert (dict(conv.measured_seconds), dict(head.measured_seconds)) == (
        {"pi": 0.5, "xeon": 0.05},
        {"pi": 0.1},
    )
    assert found.graph is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("2e9", "two", "row 3, column cycles: 'two', expected a number >= 0"),
        ("0.1", "-1", "row 4, column seconds:pi: '-1'"),
        ("0.1", "nan", "row 4, column seconds:pi: 'nan'"),
        ("conv,", ",", "row 3, column block: empty"),
        ("head,40", "head,", "row 4, column output_bytes: empty"),
        ("seconds:pi", "second:pi", "row 1, column 5: 'second:pi', expected one of block"),
        ("param_bytes", "output_bytes", "row 1, column 3: 'output_bytes' is there twice"),
        ("input,600000", "start,600000", "row 2: expected a row 'input'"),
        ("0.1,", "0.1", "row 4: 5 cells for 6 columns"),
        ("0.1", "", "row 4: neither cycles nor seconds"),
    ],
)
def test_cells_that_are_wrong_are_named_by_row_and_column(tmp_path, old, new, said):
    assert said in refused(table(tmp_path, GOOD.replace(old, new)))


def test_a_table_that_is_none(tmp_path):
    path = tmp_path / "blocks.csv"
    for content in (b"", b"\xff\xfe\x00", b"block,output_bytes\n", b'block,"x'):
        path.write_bytes(content)
        refused(path)
    assert "--blocks needs the graph" in refused(table(tmp_path, GOOD), blocks=2)


def test_a_configuration_is_counted_without_weights(tmp_path):
    config = {
        "model_type": "gpt2",
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 128,
        "vocab_size": 1000,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    found = mecopt.import_model(path, dims={"prefill": 16, "decode": 4})
    assert [block.name for block in found.model.blocks] == ["embedding", "layer1", "layer2", "head"]
    assert [phase.repeat for phase in found.model.phases] == [1, 4]
    assert found.source.kind == "config"
    assert "no such dimension" in refused(path, dims={"batch": 1})
    path.write_text(json.dumps({"model_type": "nobody"}))
    assert "model_type" in refused(path)
