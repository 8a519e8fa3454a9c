"""`ppo=FILE.zip`: the choices are the model's own, nothing is unpickled, and what does not fit is said."""

import base64
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import mecopt
from mecopt.cli.compare import compare
from mecopt.cli.solve import solve
from mecopt_rl.deciding.sb3_archive import read_model
from mecopt_rl.sb3 import make_sb3_env

SPEC = "camera-vgg-load:slots=12,servers=2,blocks=3"


def trained(kind, path, *, discrete=False, spec=SPEC, **settings):
    """Save a model that has hardly learnt anything."""
    import sb3_contrib
    import stable_baselines3 as sb3

    env = make_sb3_env(spec, 2, discrete=discrete)
    made = getattr(sb3, kind, None) or getattr(sb3_contrib, kind)
    model = made("MlpPolicy", env, seed=0, device="cpu", **settings)
    model.learn(64)
    model.save(path)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("sb3") / "ppo.zip")
    model = trained("PPO", path, n_steps=8, batch_size=16, n_epochs=1)
    return path, model


@pytest.fixture(scope="module")
def instance():
    return mecopt.generate(SPEC, seed=4)


def own_choices(model, path, instance):
    """Return what the model itself chooses for every task, as nodes."""
    from mecopt_rl.world.spaces import nodes_of

    encoder = read_model(path).encoder
    actions = model.predict(encoder.encode(instance), deterministic=True)[0]
    return actions if actions.ndim == 2 else nodes_of(actions, encoder)


CASES = [
    ("PPO", False, {"n_steps": 8, "batch_size": 16, "n_epochs": 1}),
    ("A2C", False, {}),
    ("MaskablePPO", True, {"n_steps": 8, "batch_size": 16, "n_epochs": 1}),
    ("DQN", True, {"buffer_size": 200, "learning_starts": 8, "policy_kwargs": {"net_arch": [12]}}),
]


@pytest.mark.parametrize(("kind", "discrete", "settings"), CASES)
def test_it_chooses_as_the_model_does(kind, discrete, settings, instance, tmp_path):
    import torch

    path = str(tmp_path / "model.zip")
    if kind == "A2C":
        settings = {"policy_kwargs": {"net_arch": [16, 8], "activation_fn": torch.nn.ReLU}}
    model = trained(kind, path, discrete=discrete, **settings)
    result = mecopt.solve(instance, f"{'dqn' if kind == 'DQN' else 'ppo'}={path}")
    assert (result.placement == own_choices(model, path, instance)).all()
    assert result.repairs == 0
    assert result.options["policy_trained_by"].startswith("Stable-Baselines3 2.")


def test_samples_are_never_worse(saved, instance):
    likeliest = mecopt.solve(instance, "ppo", policy=saved[0])
    best = mecopt.solve(instance, "ppo", policy=saved[0], samples=4)
    assert best.objective <= likeliest.objective


@pytest.mark.filterwarnings("ignore:.*not trained on this instance's rate")
def test_pins_and_missing_links_hold(saved, instance):
    assert mecopt.solve(instance, f"ppo={saved[0]}", pins=["0:1=0"]).placement[0, 1] == 0
    document = mecopt.to_dict(instance)
    for task in document["tasks"]:
        task["rate_bps"][1] = 0
    document["links"]["server_bps"] = [[0, 0], [0, 0]]
    result = mecopt.solve(mecopt.from_dict(document), f"ppo={saved[0]}")
    assert result.status == "feasible"
    assert not (result.placement == 2).any()


def test_on_the_command_line(saved, instance, tmp_path):
    file = tmp_path / "i.json"
    mecopt.save(instance, file)
    solved = CliRunner().invoke(solve, [str(file), "--method", f"ppo={saved[0]}", "--json"])
    assert solved.exit_code == 0, solved.output
    assert json.loads(solved.stdout)["method"] == "ppo"
    out = tmp_path / "out"
    words = [str(file), "--methods", f"trellis,ppo={saved[0]}", "--out", str(out), "--workers", "1"]
    compared = CliRunner().invoke(compare, [*words, "--json"])
    assert compared.exit_code == 0, compared.output
    rows = {run["method"]: run["status"] for run in json.loads(compared.stdout)["runs"]}
    assert rows == {"trellis": "optimal", "ppo": "feasible"}


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("sb3") / "dqn.zip")
    trained("DQN", path, discrete=True, buffer_size=200, learning_starts=8)
    return path


def test_models_of_dqn_are_told_apart(saved, values, instance):
    for name, words in (
        (f"ppo={values}", r"a model of DQN, expected one of an actor-critic .* --method dqn=FILE\.zip"),
        (f"dqn={saved[0]}", r"a model of an actor-critic .*, expected one of DQN; .* ppo=FILE\.zip"),
    ):
        with pytest.raises(mecopt.InputError, match=words):
            mecopt.solve(instance, name)
    with pytest.raises(mecopt.InputError, match=r"trained for 2 servers and 3 blocks, .* has 4 and 6"):
        mecopt.solve(mecopt.generate("camera-vgg-load:slots=2"), f"dqn={values}")


def test_samples_of_values(values, instance):
    likeliest = mecopt.solve(instance, "dqn", policy=values)
    sampled = [mecopt.solve(instance, "dqn", policy=values, samples=8, seed=seed) for seed in (0, 1)]
    assert max(one.objective for one in sampled) <= likeliest.objective
    assert sampled[0].objective < likeliest.objective or sampled[1].objective < likeliest.objective


def test_a_zip_that_is_none_is_said_to_be_none(instance, tmp_path):
    path = tmp_path / "dqn.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(mecopt.InputError, match="no zip that can be read"):
        mecopt.solve(instance, f"dqn={path}")


class Evil:
    """What an unpickler would run."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def rewritten(path, target, **parts):
    """Write the zip again with some parts changed; None leaves one out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            part = parts.get(name.replace(".", "_"), old.read(name))
            if part is not None:
                new.writestr(name, part)
    return str(target)


def test_nothing_is_unpickled(saved, instance, tmp_path):
    with zipfile.ZipFile(saved[0]) as file:
        fields = json.loads(file.read("data"))
    evil = base64.b64encode(pickle.dumps(Evil())).decode()
    for field in fields.values():
        if isinstance(field, dict) and ":serialized:" in field:
            field[":serialized:"] = evil
    harmless = rewritten(saved[0], tmp_path / "data.zip", data=json.dumps(fields))
    assert (
        mecopt.solve(instance, f"ppo={harmless}").placement
        == mecopt.solve(instance, f"ppo={saved[0]}").placement
    ).all()
    weights = rewritten(saved[0], tmp_path / "weights.zip", policy_pth=pickle.dumps(Evil()))
    with pytest.raises(mecopt.InputError, match=r"policy\.pth: no plain tensors"):
        mecopt.solve(instance, f"ppo={weights}")


def changed(saved, tmp_path, change):
    with zipfile.ZipFile(saved[0]) as file:
        fields = json.loads(file.read("data"))
    change(fields)
    return rewritten(saved[0], tmp_path / "x.zip", data=json.dumps(fields))


def drop_encoder(fields):
    del fields["observation_space"]["encoder"]


def box_actions(fields):
    fields["action_space"][":type:"] = "<class 'gymnasium.spaces.box.Box'>"


def other_activation(fields):
    fields["policy_kwargs"] = {"activation_fn": "<class 'os.system'>"}


def one_server_more(fields):
    fields["observation_space"]["encoder"]["servers"] = 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop_encoder, "says nothing of how it sees a task; expected a model trained on mecopt's"),
        (box_actions, "expected MultiDiscrete or Discrete"),
        (other_activation, "activation .*os.system.*, expected one of Tanh, ReLU"),
        (one_server_more, r"policy_net.0: takes \d+ numbers, expected \d+"),
    ],
)
def test_what_is_no_such_model_is_refused_in_one_line(saved, instance, tmp_path, change, words):
    path = changed(saved, tmp_path, change)
    with pytest.raises(mecopt.InputError, match=words) as error:
        mecopt.solve(instance, f"ppo={path}")
    assert str(error.value).startswith(path)
    assert "\n" not in str(error.value)


def test_files_that_are_no_models(saved, instance, tmp_path):
    whole = Path(saved[0]).read_bytes()
    for name, content in {"text.zip": b"no zip", "cut.zip": whole[:5000]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(mecopt.InputError, match="no zip that can be read"):
            mecopt.solve(instance, f"ppo={tmp_path / name}")
    empty = rewritten(saved[0], tmp_path / "empty.zip", policy_pth=None)
    with pytest.raises(mecopt.InputError, match=r"holds no policy.pth, expected a model of PPO"):
        mecopt.solve(instance, f"ppo={empty}")
    import torch

    odd = io.BytesIO()
    torch.save({"mlp_extractor.policy_net.0.weight": torch.full((2, 2), np.nan)}, odd)
    nan = rewritten(saved[0], tmp_path / "nan.zip", policy_pth=odd.getvalue())
    with pytest.raises(mecopt.InputError, match="expected finite numbers"):
        mecopt.solve(instance, f"ppo={nan}")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("camera-vgg-load:slots=2", "trained for 2 servers and 3 blocks, instance .* has 4 and 6"),
        ("camera-vgg-load:slots=2,servers=2,blocks=3,couplings=energy,energy_budget_j=9", "energy budget"),
    ],
)
def test_another_space_is_refused(saved, spec, words):
    with pytest.raises(mecopt.InputError, match=words):
        mecopt.solve(mecopt.generate(spec), f"ppo={saved[0]}")


def test_it_needs_a_file_once(saved, instance):
    with pytest.raises(mecopt.InputError, match=r"ppo comes without a policy.*--method ppo=FILE.zip"):
        mecopt.solve(instance, "ppo")
    with pytest.raises(mecopt.InputError, match="the policy is given twice"):
        mecopt.solve(instance, f"ppo={saved[0]}", policy=saved[0])
