"""Plans for other runtimes: parts that give the same together, layers per node, lines to paste."""

import hashlib
import json

import numpy as np
import onnxruntime
import pytest

import mecopt
from mecopt.deployment.handing_over import layers, lines, write_parts


def test_parts_and_their_manifest(instance, whole, tmp_path):
    judged = mecopt.evaluate(instance, [[0, 1, 1, 2]])
    manifest = write_parts(judged, 0, whole, tmp_path)
    assert manifest == json.loads((tmp_path / "manifest.json").read_text())
    assert [part["node"] for part in manifest["parts"]] == ["device", "es1", "es2"]
    (given,) = whole.random(1, 0)
    tensors = dict(given)
    for part in manifest["parts"]:
        data = (tmp_path / part["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == part["sha256"]
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        assert {one.name for one in session.get_inputs()} <= {*part["inputs"], *manifest["everywhere"]}
        values = session.run(part["outputs"], {one.name: tensors[one.name] for one in session.get_inputs()})
        tensors |= dict(zip(part["outputs"], values, strict=True))
    assert whole.difference(given, {name: tensors[name] for name in whole.outputs}) <= 1e-4


def language(*nodes):
    """Return the judged plan of a language model of six layers."""
    names = ["embedding", *(f"layer{i}" for i in range(1, 7)), "head"]
    model = mecopt.Model("chat", [mecopt.Block(1.0, 1.0, name=name) for name in names])
    instance = mecopt.Instance(
        name="chat",
        slot_count=1,
        models=[model],
        devices=[mecopt.Device("phone", 1.0)],
        servers=[mecopt.Server("near", 1.0), mecopt.Server("far", 1.0)],
        links=mecopt.Links.of(2, 1.0),
        tasks=mecopt.Tasks.of(slot=0, device=0, model=0, blocks=8, rate_bps=np.ones((1, 2))),
        rules=mecopt.Rules.preset("physical", deadline="none"),
    )
    return mecopt.evaluate(instance, [list(nodes)])


def test_layers_of_each_node():
    judged = language(0, 0, 0, 1, 2, 2, 2, 2)
    assert layers(judged, 0) == [("device", 2), ("near", 1), ("far", 3)]
    text = lines("llama.cpp", judged, 0)
    assert text[-1] == (
        "llama-cli -m MODEL.gguf -ngl 7 --rpc DEVICE_ADDRESS:50052,NEAR_ADDRESS:50052 --tensor-split 2,1,3"
        "    # on far"
    )
    ring = [line for line in lines("prima", judged, 0, "m.gguf") if line.startswith("./llama-cli")]
    assert "--world 3 --rank 0 --master DEVICE_ADDRESS --next NEAR_ADDRESS" in ring[0]
    assert '-lw "2,1,3"' in ring[0]
    assert "--rank 2 --master DEVICE_ADDRESS --next DEVICE_ADDRESS" in ring[2]
    assert lines("exo", judged, 0)[:3] == ["# device: 2 layers", "# near: 1 layers", "# far: 3 layers"]


def test_the_ends_alone_are_no_stage():
    assert layers(language(0, 1, 1, 1, 1, 1, 1, 0), 0) == [("near", 6)]


def test_what_a_runtime_cannot_do_is_refused():
    with pytest.raises(mecopt.InputError, match="near runs two separate stretches"):
        layers(language(0, 1, 1, 2, 2, 1, 1, 0), 0)


def test_a_convolutional_network_has_no_layers_to_split(instance):
    with pytest.raises(mecopt.InputError, match="expected a language model"):
        layers(mecopt.evaluate(instance, [[0, 0, 1, 1]]), 0)


def test_a_folder_of_another_export_is_left_alone(instance, whole, tmp_path):
    (tmp_path / "part0.onnx").write_bytes(b"mine")
    with pytest.raises(mecopt.InputError, match="holds files already"):
        write_parts(mecopt.evaluate(instance, [[0, 0, 1, 1]]), 0, whole, tmp_path)
    assert (tmp_path / "part0.onnx").read_bytes() == b"mine"
