"""What mecopt keeps, spoilt at random: every command says so in a line, and changes nothing that it refuses.

``SPOILT=2000 pytest tests/whole/test_spoilt_stores.py -n 0`` tries that many of each kind.
"""

import os
import random
import resource
import shutil
import warnings

import mutations
import pytest
import torch
from places import INSTANCES

import mecopt
from mecopt import cli, io
from mecopt.best_known import Store
from mecopt_rl.reproduce import experiments as ex
from mecopt_rl.reproduce import make, results
from mecopt_rl.reproduce import running as run
from mecopt_rl.training.loop import Training
from mecopt_rl.training.training_plan import TrainingPlan

TINY, COUPLED = INSTANCES / "tiny_paper.json", INSTANCES / "tiny_capacity.json"
CASES = int(os.environ.get("SPOILT", "30"))
ALLOWED = (0, 2, 3, 5)
MOST_GROWTH = 600 << 20  # bytes by which the memory of all cases of a kind together may grow
SMALL = {"width": 8, "branch_width": 8}

pytestmark = pytest.mark.timeout(0 if CASES > 100 else 300)


@pytest.fixture(autouse=True)
def calm(monkeypatch, tmp_path):
    """Stay away from the best-known values of the repository, and let policies warn."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def call(capsys, *words):
    """Run a command in this process; its status has to be one of those promised, its message a line."""
    status = cli._run([str(word) for word in words])
    said = capsys.readouterr()
    told = f"{words}: status {status}: {said.err[-2000:]}"
    diverged = words[0] == "train" and "a weight is no longer a finite number" in said.err
    assert status in ALLOWED or (status == 1 and diverged), told  # as of a training that went astray
    assert "Traceback" not in said.err, told
    assert "unexpected" not in said.err, told
    if status == 2:
        lines = said.err.splitlines()
        assert lines, told
        assert all(line.startswith("mecopt") for line in lines[:-1]), told
        assert len(lines) <= 21, told
    return status


@pytest.fixture
def bounded():
    """No case takes much memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MOST_GROWTH


def state(folder):
    """Return the content of all files of a folder."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A comparison with every kind of row, and what a killed process leaves unfinished."""
    folder = tmp_path_factory.mktemp("made") / "whole"
    files = [str(TINY), str(COUPLED), str(INSTANCES / "tiny_infeasible.json")]
    mecopt.compare(files, ["trellis", "greedy", "decomposition"], seeds=2, workers=1, out=folder)
    return folder, files


@pytest.mark.parametrize("part", range(4))
def test_stores(made, tmp_path, capsys, bounded, part):
    source, files = made
    draw, folder, best = random.Random(f"store {part}"), tmp_path / "folder", tmp_path / "best.json"
    for number in range(-(-CASES // 4)):
        mutations.fresh(source, folder)
        mutations.spoil_store(folder / "comparison.sqlite", draw)
        before = state(folder)
        again = ("compare", *files, "--methods", "trellis,greedy,decomposition", "--seeds", 2, "--workers", 1)
        if call(capsys, *again, "--out", folder, "--json") == 2:
            assert state(folder) == before
        before = state(folder)
        if call(capsys, "best-known", "update", folder, "--store", best) == 2:
            assert not best.exists()
        elif best.exists():
            Store.load(best)
            best.unlink()
        if number % 10 == 0:
            call(capsys, "report", folder, "--out", tmp_path / "report")
        assert {path: data for path, data in state(folder).items() if path in before} == before
        assert not [path for path in folder.rglob("*") if path not in before and path.is_file()]


def test_best_known(tmp_path, capsys, bounded):
    draw, path = random.Random("best known"), tmp_path / "best.json"
    call(capsys, "best-known", "update", TINY, COUPLED, INSTANCES / "tiny_infeasible.json", "--store", path)
    good = path.read_bytes()
    for _ in range(CASES):
        spoilt = mutations.spoil_json_file(good, draw)
        path.write_bytes(spoilt)
        shown = call(capsys, "best-known", "show", path)
        status = call(capsys, "best-known", "update", TINY, "--method", "trellis", "--store", path)
        assert shown in (0, status) or status == 0
        if status == 2:
            assert path.read_bytes() == spoilt
        else:
            Store.load(path)
        assert [left.name for left in tmp_path.iterdir()] == ["best.json"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training that was ended after the first of its two rounds, of each learner."""
    folders = {}
    for learner in ("markov-a3c", "dqn", "any-size"):
        changes = {"width": 8, **({"branch_width": 8} if learner == "markov-a3c" else {})}
        spec = "paper:slots=4,servers=2" if learner != "any-size" else "paper:slots=4,servers=2|3"
        words = ["--episodes", 40, *(w for k, v in changes.items() for w in ("--set", f"{k}={v}"))]
        plan = TrainingPlan(spec, learner, None, changes, 40)
        folder = tmp_path_factory.mktemp("trained") / learner
        training = Training(plan, folder)

        def stop(row):
            raise KeyboardInterrupt

        training.report = stop
        with pytest.raises(KeyboardInterrupt):
            training.run()
        folders[learner] = folder, ["train", spec, "--learner", learner, *words]
    return folders


@pytest.mark.parametrize("learner", ["markov-a3c", "dqn", "any-size"])
def test_policies(trained, tmp_path, capsys, bounded, learner):
    folder, _ = trained[learner]
    draw, path = random.Random(f"policy {learner}"), tmp_path / "policy.safetensors"
    good = (folder / "policy.safetensors").read_bytes()
    mecopt.save(mecopt.generate("paper:slots=4,servers=2", seed=0), tmp_path / "instance.json")
    for number in range(-(-CASES // 3)):
        spoilt = mutations.spoil_tensors(good, draw)
        path.write_bytes(spoilt)
        options = ("--option", "samples=2") if number % 2 else ()
        out = tmp_path / "solution.json"
        words = ("solve", tmp_path / "instance.json", "--method", learner, "--policy", path, "--out", out)
        if call(capsys, *words, *options) == 2:
            assert not out.exists()
        else:
            io.load_solution(out)
            out.unlink()
        assert path.read_bytes() == spoilt


@pytest.mark.parametrize("learner", ["markov-a3c", "dqn", "any-size"])
def test_checkpoints(trained, tmp_path, capsys, bounded, learner):
    source, words = trained[learner]
    draw, folder = random.Random(f"checkpoint {learner}"), tmp_path / "folder"
    for _ in range(-(-CASES // 3)):
        mutations.fresh(source, folder)
        name = draw.choice(["last.safetensors"] * 6 + ["policy.safetensors", "policy.json", "log.csv"])
        path = folder / name
        spoil = mutations.spoil_tensors if name.endswith("tensors") else mutations.spoil_bytes
        if draw.random() < 0.03:
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(spoil(path.read_bytes(), draw))
        before = state(folder)
        if call(capsys, *words, "--out", folder) == 2:
            after = state(folder)
            assert {p: d for p, d in after.items() if "tensorboard" not in str(p)} == {
                p: d for p, d in before.items() if "tensorboard" not in str(p)
            }
        torch.set_num_threads(1)


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A reproduction that is finished, on very little; the drawing, which reads no file, is left out."""
    tiny = ex.Budget("quick", 3, episodes=2, round_episodes=1, validation_episodes=1, seeds=1, scope="some")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ex.BUDGETS, "quick", tiny)
        patch.setattr(ex, "variations", lambda budget: [])
        patch.setattr(run.machine, "cores", lambda: 1)
        patch.setattr(make, "_written", collected)
        folder = tmp_path_factory.mktemp("reproduced") / "whole"
        make.reproduce(["fig13"], folder)
        yield folder


def collected(folder, names, budget, seeds, command):
    results.collect(folder, names, budget, seeds)
    return make.Reproduced(folder, [], {"claims": [], "verdicts": ""})


def test_run_stores(reproduced, tmp_path, capsys, bounded):
    draw, folder = random.Random("reproduction"), tmp_path / "folder"
    shutil.copytree(reproduced, folder)
    # Policies stand in the store under their whole names, so that the copy compares anew, once.
    call(capsys, "reproduce", "fig13", "--out", folder)
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    files = [path for path in files if "tensorboard" not in path.parts and path.suffix != ".csv"]
    for _ in range(CASES):
        mutations.fresh(whole, folder)
        path = folder / draw.choice(files)
        if path.suffix == ".sqlite":
            mutations.spoil_store(path, draw)
        elif path.suffix == ".safetensors":
            path.write_bytes(mutations.spoil_tensors(path.read_bytes(), draw))
        elif draw.random() < 0.05:
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(mutations.spoil_json_file(path.read_bytes(), draw))
        before = state(folder)
        if call(capsys, "reproduce", "fig13", "--out", folder) == 2:
            assert state(folder) == before
