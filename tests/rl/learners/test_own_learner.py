"""docs/own-learner.md: a learner of somebody else, in one file, is trained by the command and is a method."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest
import torch
from learning_problems import BANDIT, Chain
from places import ROOT

from mecopt_rl.learners.learner import LearnerKind
from mecopt_rl.training.checkpoint import POLICY_FORMAT, read

PAGE = (ROOT / "docs" / "own-learner.md").read_text(encoding="utf-8")
SPEC = "paper:slots=20,servers=2,blocks=2"


def shown(language):
    """Return the block of that language on the page."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the folder of the learner as an installed package of two entry points."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "reinforce.py").write_text(shown("python"), encoding="utf-8")
    info = folder / "reinforce-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reinforce\nVersion: 1.0\n")
    entries = re.sub(r'\[project.entry-points."(.*?)"\]', r"[\1]", shown("toml")).replace('"', "")
    (info / "entry_points.txt").write_text(entries)
    return folder


@pytest.fixture(scope="module")
def mecopt_with(installed):
    """Return what runs a command line of mecopt where that package is installed."""

    def run(*words):
        path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.run(
            [sys.executable, "-m", "mecopt", *map(str, words)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            timeout=250,
        )

    return run


@pytest.fixture(scope="module")
def trained(mecopt_with, tmp_path_factory):
    """Return the folder of a short training."""
    folder = tmp_path_factory.mktemp("own") / "run"
    done = mecopt_with("train", SPEC, "--learner", "reinforce", "--episodes", 40, "--out", folder)
    assert done.returncode == 0, done.stderr
    assert "best policy: gap" in done.stdout
    return folder


def test_it_is_saved_as_safetensors_with_a_card(trained):
    tensors, card = read(trained / "policy.safetensors", POLICY_FORMAT)
    assert set(tensors) == {f"layers.{i}.{name}" for i in (0, 2) for name in ("weight", "bias")}
    assert (card["learner"], card["recipe"], card["settings"]["width"]) == ("reinforce", "best", 32)
    assert card == json.loads((trained / "policy.json").read_text())
    rows = (trained / "log.csv").read_text().splitlines()
    assert len(rows) == 3
    assert {"gap", "loss", "entropy"} <= set(rows[0].split(","))


def test_it_is_a_method(trained, mecopt_with, tmp_path):
    policy = trained / "policy.safetensors"
    solved = mecopt_with("solve", f"{SPEC},seed=3", "--method", "reinforce", "--policy", policy, "--json")
    assert solved.returncode == 0, solved.stderr
    document = json.loads(solved.stdout)
    assert document["method"] == "reinforce"
    assert document["options"]["policy"] == str(policy)
    out = tmp_path / "compared"
    compared = mecopt_with(
        "compare", f"{SPEC},seed=3", "--methods", f"trellis,reinforce={policy}", "--out", out, "--json"
    )
    assert compared.returncode == 0, compared.stderr
    assert "reinforce" in compared.stdout


def test_it_learns(installed):
    found = importlib.util.spec_from_file_location("reinforce_shown", installed / "reinforce.py")
    module = importlib.util.module_from_spec(found)
    sys.modules["reinforce_shown"] = module
    found.loader.exec_module(module)
    assert isinstance(module.KIND, LearnerKind)
    problem = Chain(BANDIT, contexts=4)
    learner = module.KIND.make(problem.shape, module.KIND.settings(changes={"learning_rate": 0.1}), 0, None)
    before = {name: tensor.clone() for name, tensor in learner.state().items()}
    assert problem.gap(learner.network) > 0.0
    problem.train(learner, 800)
    assert problem.gap(learner.network) == 0.0
    worker = module.KIND.make(problem.shape, learner.settings, 0, learner.shared())
    assert all(weight.is_shared() for weight in worker.network.parameters())
    learner.load_state(before)
    assert problem.gap(worker.network) > 0.0
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state().items())
