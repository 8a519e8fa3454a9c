"""Files of policies: what goes in comes out, and what is wrong with a file is said in one line."""

import json
import re
import struct
from importlib import resources

import pytest
import torch
from safetensors.torch import save_file

from mecopt.errors import InputError
from mecopt_rl.learners.learner import Shape
from mecopt_rl.learners.markov_a3c import KIND
from mecopt_rl.training.checkpoint import POLICY_FORMAT, load_policy, read, save_policy, write

SETTINGS = {"width": 8, "layers": 1, "branch_width": 8}


def card(**changes):
    return {
        "learner": "markov-a3c",
        "recipe": "best",
        "settings": SETTINGS,
        "shape": {"observation": 5, "blocks": 3, "nodes": 4},
        "encoder": {},
        "fingerprint": {},
        "training": {},
        **changes,
    }


def network():
    torch.manual_seed(0)
    return KIND.network(Shape(5, 3, 4), KIND.settings(None, SETTINGS))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0.0), ("float16", 1e-3)])
def test_a_policy_comes_back(tmp_path, dtype, tolerance):
    made, path = network(), tmp_path / "p.safetensors"
    save_policy(path, made, card(), dtype=dtype)
    found = load_policy(path)
    assert found.learner == "markov-a3c"
    for name, tensor in made.state_dict().items():
        assert torch.allclose(found.network.state_dict()[name], tensor, rtol=tolerance, atol=tolerance)
    assert json.loads((tmp_path / "p.json").read_text()) == found.card == {"format": POLICY_FORMAT, **card()}


def broken(tmp_path, name, change):
    path = tmp_path / f"{name}.safetensors"
    save_policy(path, network(), card())
    change(path)
    with pytest.raises(InputError) as caught:
        load_policy(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


def test_damaged_files(tmp_path):
    assert "not a whole safetensors file" in broken(
        tmp_path, "short", lambda path: path.write_bytes(path.read_bytes()[:-7])
    )
    assert "not a whole safetensors file" in broken(tmp_path, "empty", lambda path: path.write_bytes(b""))
    assert "not a whole safetensors file" in broken(tmp_path, "text", lambda path: path.write_text("{}" * 99))
    assert "no such file" in broken(tmp_path, "gone", lambda path: path.unlink())
    assert "no file of mecopt's" in broken(
        tmp_path, "others", lambda path: save_file({"a": torch.zeros(1)}, path)
    )


def rewritten(**changes):
    def change(path):
        tensors, header = read(path, POLICY_FORMAT)
        write(path, tensors, {**header, **changes})

    return change


def test_other_versions_and_shapes(tmp_path):
    newer = broken(tmp_path, "newer", rewritten(format="mecopt-policy/9"))
    assert newer.endswith("format 'mecopt-policy/9', expected 'mecopt-policy/1'")
    other = {"observation": 5, "blocks": 4, "nodes": 4}
    assert "its weights do not fit its card" in broken(tmp_path, "shape", rewritten(shape=other))
    assert "no learner 'nobody'" in broken(tmp_path, "learner", rewritten(learner="nobody"))
    assert "no such setting" in broken(tmp_path, "settings", rewritten(settings={"wdith": 3}))
    assert "card: KeyError: 'nodes'" in broken(
        tmp_path, "half", rewritten(shape={"observation": 5, "blocks": 4})
    )


def test_weights_that_are_no_numbers(tmp_path):
    def change(path):
        tensors, header = read(path, POLICY_FORMAT)
        tensors["score"][0, 0, 0] = float("nan")
        write(path, tensors, header)

    assert broken(tmp_path, "nan", change).endswith("a weight is not a finite number")


def test_sizes_that_the_file_does_not_hold(tmp_path):
    """A card may claim a network of any size; none is made before it is known to fit."""
    for name, value in (("width", 10**9), ("layers", 10**12), ("branch_width", 10**7)):
        text = broken(tmp_path, name, rewritten(settings={**SETTINGS, name: value}))
        assert "but the file holds" in text
    many = {"observation": 5, "blocks": 10**12, "nodes": 4}
    assert "blocks 1000000000000, but the file holds" in broken(tmp_path, "blocks", rewritten(shape=many))


def test_a_header_that_claims_more_than_there_is(tmp_path):
    def change(path):
        path.write_bytes(struct.pack("<Q", 10**12) + path.read_bytes()[8:])

    assert "not a whole safetensors file" in broken(tmp_path, "header", change)


def test_weights_of_another_kind(tmp_path):
    def change(path):
        tensors, header = read(path, POLICY_FORMAT)
        write(path, {name: tensor.to(torch.int32) for name, tensor in tensors.items()}, header)

    assert broken(tmp_path, "whole", change).endswith("a weight is no floating-point number")


def test_no_file_on_a_disk():
    with pytest.raises(InputError, match="no file on a disk"):
        read("/dev/zero", POLICY_FORMAT)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"training": {}}, "KeyError: 'command'"),
        ({"encoder": {}}, "encoder: KeyError: 'ranges'"),
        ({"fingerprint": {}}, "KeyError: 'servers'"),
        ({"shape": {"observation": 17, "blocks": 6, "nodes": 6}}, "expected (17, 6, 6)"),
        ({"prices": {"of": "energy", "low": -1, "high": 1, "delay_s": 1, "energy_j": 1}}, "above 0"),
    ],
)
def test_cards_that_decide_nothing(changes, text):
    from mecopt_rl.deciding.card_checks import check_card
    from mecopt_rl.training.checkpoint import StoredPolicy

    card = json.loads((resources.files("mecopt_rl") / "policies" / "energy.markov-a3c.json").read_text())
    assert check_card(StoredPolicy(card, None, None, "p")).card is card
    with pytest.raises(InputError, match=re.escape(text)):
        check_card(StoredPolicy({**card, **changes}, None, None, "p"))
