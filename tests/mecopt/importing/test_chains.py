"""Graphs as chains: where they are cut, what crosses, what each block holds."""

import numpy as np
import onnx
import onnx_graphs as graphs
import pytest

import mecopt
from mecopt.importing import model_document as documents


def imported(proto, tmp_path, **options):
    return mecopt.import_model(graphs.save(proto, tmp_path), **options)


def test_blocks_add_up_to_the_network(tmp_path):
    found = imported(graphs.convolutions("batch"), tmp_path, dims={"batch": 2}, cycles_per_mac=0.5)
    macs = 2 * (8 * 64 * 27 + 8 * 64 * 72 + 32 * 10)
    model = found.model
    assert sum(block.cycles for block in model.blocks) == macs / 2
    assert sum(block.param_bytes for block in model.blocks) == 4 * (8 * 27 + 8 * 72 + 320 + 10)
    assert model.blocks[0].input_bits == 2 * 3 * 64 * 32
    assert model.output_bits == 2 * 10 * 32
    assert found.source.dims == {"batch": 2}
    assert found.source.file == "net.onnx"
    assert len(found.source.sha256) == 64


def test_an_input_that_nothing_reads_is_not_sent(tmp_path):
    proto = graphs.convolutions()
    whole = imported(proto, tmp_path)
    proto.graph.input.append(
        onnx.helper.make_tensor_value_info("spare", onnx.TensorProto.FLOAT, (1, 3, 256, 256))
    )
    assert imported(proto, tmp_path).model == whole.model
    assert imported(proto, tmp_path).graph == whole.graph


def test_every_operator_is_in_one_block_in_an_order_that_runs(tmp_path):
    found = imported(graphs.convolutions(), tmp_path)
    names = [name for part in found.graph.operators for name in part]
    assert sorted(names) == ["c1", "c2", "flat", "pool", "r1", "sum", "y"]
    assert found.graph.boundaries[0] == ("x",)
    assert found.graph.boundaries[-1] == ("y",)
    assert all(len(names) <= 3 for names in found.graph.boundaries)


def test_a_residual_sum_needs_two_tensors(tmp_path):
    one = imported(graphs.convolutions(), tmp_path, crossing=1)
    boundaries = [
        set(names) for names in imported(graphs.convolutions(), tmp_path, crossing=2).graph.boundaries
    ]
    assert all(len(names) == 1 for names in one.graph.boundaries)
    assert {"r1"} in boundaries or {"c1"} in boundaries


def test_a_mask_is_made_again_and_crosses_nothing(tmp_path):
    found = imported(graphs.masked(), tmp_path, dims={"batch": 1}, crossing=1)
    assert found.graph.everywhere == ("mask",)
    assert found.graph.boundaries[0] == ("ids",)
    assert ("h1",) in found.graph.boundaries
    assert ("h2",) in found.graph.boundaries
    assert not any("mask" in name for names in found.graph.operators for name in names)
    at = found.graph.boundaries.index(("h2",))
    assert found.model.blocks[at].input_bits == 6 * 8 * 32 + 6 * 64  # the state, and the mask's own input


def test_weights_that_two_blocks_use_are_shared(tmp_path):
    found = imported(graphs.masked(), tmp_path, dims={"batch": 1}, crossing=1)
    (shared,) = found.model.shared_params
    assert (shared.name, shared.bytes) == ("table", 5000 * 8 * 4)
    assert shared.blocks == (0, len(found.model.blocks) - 1)
    assert sum(block.param_bytes for block in found.model.blocks) < 5000 * 8 * 4


def test_a_quantised_network_is_cut_at_its_integers(tmp_path):
    found = imported(graphs.quantised(), tmp_path)
    assert ("q1",) in found.graph.boundaries
    at = found.graph.boundaries.index(("q1",))
    assert found.model.blocks[at].input_bits == 8 * 64 * 8
    assert found.losses[0].share == 0


def test_a_branch_is_one_piece_and_a_known_one_is_taken(tmp_path):
    open_one = imported(graphs.branched(None), tmp_path)
    assert any("chosen" in part for part in open_one.graph.operators)
    taken = imported(graphs.branched(False), tmp_path)
    assert sum(block.cycles for block in taken.model.blocks) == 2 * 16 * 8 + 2 * 8 * 4
    assert not any("chosen" in part for part in taken.graph.operators)


def test_several_inputs_and_outputs(tmp_path):
    nodes = [
        graphs.node("MatMul", "a w", "p"),
        graphs.node("MatMul", "b w", "q"),
        graphs.node("Add", "p q", "s"),
        graphs.node("MatMul", "s v", "y"),
    ]
    params = [graphs.param("w", 16, 8), graphs.param("v", 8, 8)]
    found = imported(graphs.model(nodes, {"a": (2, 16), "b": (2, 16)}, ["s", "y"], params), tmp_path)
    assert set(found.graph.boundaries[0]) | set(found.graph.everywhere) == {"a", "b"}
    assert found.graph.boundaries[-1] == ("s", "y")
    assert found.model.output_bits == 2 * 2 * 8 * 32


def test_joined_blocks_keep_their_names_and_what_they_hold(tmp_path):
    fine = imported(graphs.masked(6), tmp_path, dims={"batch": 1})
    for blocks in range(1, len(fine.model.blocks)):
        found = imported(graphs.masked(6), tmp_path, dims={"batch": 1}, blocks=blocks)
        assert len(found.model.blocks) == blocks
        ends = [name for block in found.model.blocks for name in block.name.split("..")]
        assert set(ends) <= {block.name for block in fine.model.blocks}
        for field in ("cycles",):
            total = sum(getattr(block, field) for block in found.model.blocks)
            assert total == pytest.approx(sum(getattr(block, field) for block in fine.model.blocks))
        assert set(found.graph.boundaries) <= set(fine.graph.boundaries)


def test_operators_without_a_formula_are_named_with_their_share(tmp_path):
    nodes = [graphs.node("MatMul", "x w", "h"), graphs.node("Det", "h", "d"), graphs.node("DFT", "h", "y")]
    nodes[-1].input[0] = "h3"
    nodes.insert(1, graphs.node("Unsqueeze", "h axis", "h3"))
    params = [graphs.param("w", 8, 8), graphs.constant("axis", [2])]
    proto = graphs.model([nodes[0], nodes[1], nodes[3]], {"x": (8, 8)}, ["y"], params)
    found = imported(proto, tmp_path)
    (note,) = (note for note in found.notes if "DFT" in note)
    assert "not known" in note
    assert "%" in note


def test_a_network_that_multiplies_nothing(tmp_path):
    nodes = [
        graphs.node("Flatten", "x", "f"),
        graphs.node("Identity", "f", "g"),
        graphs.node("Relu", "g", "y"),
    ]
    found = imported(graphs.model(nodes, {"x": (2, 3, 4)}, ["y"], []), tmp_path)
    assert sum(block.cycles for block in found.model.blocks) == 0
    views = imported(graphs.model(nodes[:2], {"x": (2, 3, 4)}, ["g"], []), tmp_path, blocks=1)
    assert [block.input_bits for block in views.model.blocks] == [24 * 32]


def test_a_document_is_read_as_it_was_written(tmp_path):
    found = imported(graphs.masked(), tmp_path, dims={"batch": 1})
    for name in ("m.json", "m.json.gz"):
        found.save(tmp_path / name)
        assert documents.load(tmp_path / name) == found
    assert documents.from_dict(found.to_dict()) == found
    assert documents.load(tmp_path / "m.json").sha256 == found.sha256


def test_the_model_is_an_entry_of_an_instance(tmp_path):
    found = imported(graphs.convolutions(), tmp_path)
    device, server = mecopt.Device("camera", 1e9), mecopt.Server("es1", 8e9)
    instance = mecopt.Instance(
        name="own",
        slot_count=1,
        models=(found.model,),
        devices=(device,),
        servers=(server,),
        links=mecopt.Links.of(1),
        tasks=mecopt.Tasks.of(
            slot=[0], device=0, model=0, rate_bps=np.full((1, 1), 1e7), blocks=len(found.model.blocks)
        ),
    )
    assert mecopt.solve(instance).status == "optimal"
