"""`train --from POLICY`: weights, scale and settings are the policy's; what does not fit is said."""

import json

import pytest
import torch
from click.testing import CliRunner

from mecopt.cli import cli
from mecopt.errors import InputError
from mecopt_rl.training.checkpoint import load_policy
from mecopt_rl.training.loop import POLICY, Training
from mecopt_rl.training.training_plan import TrainingPlan

SPEC = "camera-vgg:slots=20,servers=2,blocks=3"
SMALL = {"width": 8, "layers": 1}


def plan(spec=SPEC, learner="mtl-a3c", changes=SMALL, **more):
    return TrainingPlan(spec, learner, None, dict(changes), 40, validation_episodes=2, **more)


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    Training(plan(), folder).run()
    return str(folder / POLICY)


@pytest.mark.parametrize("learner", ["mtl-a3c", "dqn", "any-size"])
def test_it_begins_with_the_weights(learner, tmp_path):
    changes = {"width": 8} if learner == "any-size" else SMALL
    Training(plan(learner=learner, changes=changes), tmp_path / "first").run()
    path = str(tmp_path / "first" / POLICY)
    again = Training(plan(learner=learner, changes={}, start=path), tmp_path / "again")
    weights = load_policy(path).network.state_dict()
    state = again.learner.state()
    for name, tensor in weights.items():
        assert torch.equal(again.learner.network.state_dict()[name], tensor)
        for copy in ("network.", "target."):
            assert torch.equal(state.get(copy + name, tensor), tensor)
    assert again.settings == load_policy(path).settings
    again.run()
    assert again.complete


def test_other_rates_are_seen_on_the_scale_of_the_policy(policy, tmp_path):
    other = "camera-vgg:slots=20,servers=2,blocks=3,rate_bps=8e6..12e6"
    training = Training(plan(other, changes={}, start=policy), tmp_path / "x")
    assert training.curriculum.encoder.to_json() == load_policy(policy).card["encoder"]
    training.run()
    card = load_policy(tmp_path / "x" / POLICY).card
    assert card["encoder"] == load_policy(policy).card["encoder"]
    assert card["training"]["command"].endswith(f"--from {policy}")
    assert card["fingerprint"]["ranges"]["rate"] == [8e6, 12e6]


def test_it_goes_on_and_another_policy_is_another_training(policy, tmp_path):
    assert Training(plan(changes={}, start=policy), tmp_path / "x").run()["episodes"] == 40
    assert Training(plan(changes={}, start=policy), tmp_path / "x").complete
    with pytest.raises(InputError, match=r"holds a training with start '[0-9a-f]{64}' .*here None"):
        Training(plan(), tmp_path / "x")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"learner": "dqn"}, "a policy of mtl-a3c, expected one of dqn"),
        ({"spec": "camera-vgg:slots=20"}, "trained for 2 servers and 3 blocks, the episodes have 4 and 6"),
        ({"changes": {"width": 16}}, "its weights do not fit these settings: .*size mismatch"),
    ],
)
def test_what_does_not_fit_is_said(policy, tmp_path, changed, words):
    with pytest.raises(InputError, match=words):
        Training(plan(**{"changes": {}, "start": policy, **changed}), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_on_the_command_line(policy, tmp_path):
    words = ["train", SPEC, "--from", policy, "--episodes", "20", "--out", str(tmp_path / "x"), "--json"]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    assert done.exception is None, done.stderr
    assert json.loads(done.stdout)["rows"][-1]["episodes"] == 20
    missing = CliRunner().invoke(cli, [*words[:2], *words[4:]], standalone_mode=False)
    assert "Missing option '--learner'" in str(missing.exception)
