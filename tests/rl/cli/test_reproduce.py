"""`mecopt reproduce` from end to end, on very little."""

import json

import pytest
from click.testing import CliRunner

from mecopt.cli import cli
from mecopt.comparing import Comparison
from mecopt.errors import InputError, MissingExtraError
from mecopt_rl.reproduce import claims as cl
from mecopt_rl.reproduce import experiments as ex
from mecopt_rl.reproduce import make
from mecopt_rl.reproduce import running as run

TINY = ex.Budget("quick", 3, episodes=2, round_episodes=1, validation_episodes=1, seeds=1, scope="some")


def call(*words):
    return CliRunner().invoke(cli, ["reproduce", *words], standalone_mode=False)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(ex.BUDGETS, "quick", TINY)
    monkeypatch.setattr(ex, "variations", lambda budget: [("as chosen", "", f"paper:slots={budget.slots}")])
    monkeypatch.setattr(run.machine, "cores", lambda: 1)  # no further processes for trainings


def test_interrupted_it_goes_on_and_repeats_nothing(tiny, tmp_path, monkeypatch):
    out, made = tmp_path / "out", []
    train = run.train

    def counted(folder, job):
        if len(made) == 1:
            raise KeyboardInterrupt
        train(folder, job)
        made.append(job.name)

    monkeypatch.setattr(run, "train", counted)
    stopped = call("fig13", "--out", str(out))
    assert stopped.return_value == 130 or stopped.exit_code == 130
    assert f"finished work is kept in {out}; the same command goes on" in stopped.stderr
    monkeypatch.setattr(run, "train", lambda folder, job: (train(folder, job), made.append(job.name)))
    done = call("fig13", "--out", str(out), "--json")
    assert done.exception is None, done.exception
    assert len(made) == len(set(made)) == len(run.jobs(["fig13"], TINY, 1)) == 2
    document = json.loads(done.stdout)
    rows = {(c["where"], c["what"], c["against"]) for c in document["claims"]}
    assert rows >= set(cl.RULES)
    for name in document["files"]:
        assert (out / name).stat().st_size > 0
    page = (out / "README.md").read_text()
    assert "mecopt reproduce fig13 --budget quick --seeds 1" in page
    assert "**undecided** | nin" in page  # one seed decides nothing

    with Comparison.open(out / run.RUNS) as comparison:
        before = comparison.runs[["run", "started"]]
    again = call("fig13", "--out", str(out))
    assert again.exception is None
    assert len(made) == 2
    with Comparison.open(out / run.RUNS) as comparison:
        assert comparison.runs[["run", "started"]].equals(before)
        assert comparison.pending == 0


def test_trainings_side_by_side(tmp_path):
    train = ex.Train("camera-vgg:slots=3", "mtl-a3c", "best", (("width", 8),))
    work = [run.SeededTraining(train, seed, TINY) for seed in (1, 2)]
    ticks = []
    run.open_folder(tmp_path, ["fig8"], TINY, 2)
    run._side_by_side(tmp_path, work, 2, lambda: ticks.append(1))
    assert len(ticks) == 2
    assert [run.course(tmp_path, job).episodes for job in work] == [[1, 2], [1, 2]]
    assert all(run.policy_file(tmp_path, job).is_file() for job in work)


def test_help_says_what_it_does():
    done = CliRunner().invoke(cli, ["reproduce", "--help"])
    assert done.exit_code == 0
    for word in ("FIGURES", "--budget", "--seeds", "--out", "--engine", "--json"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [(["fig14"], "did you mean fig1"), (["fgi6"], "did you mean fig6"), (["x"], "there are fig6")],
)
def test_unknown_figures(tmp_path, words, text):
    done = call(*words, "--out", str(tmp_path / "out"))
    assert isinstance(done.exception, InputError)
    assert text in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_was_removed_meanwhile(tmp_path):
    """Nothing is made anew in it, and what a training left that wrote on is in nobody's way."""
    budget = ex.BUDGETS["quick"]
    run.open_folder(tmp_path, ["fig8"], budget, 1)
    (tmp_path / run.RECORD).unlink()
    for step in (
        lambda: run.train(tmp_path, run.jobs(["fig8"], budget, 1)[0]),
        lambda: run.compare(tmp_path, None),
    ):
        with pytest.raises(InputError, match="was removed while it was written"):
            step()
    assert not list(tmp_path.iterdir())
    left = tmp_path / run.TRAININGS / "one"
    left.mkdir(parents=True)
    (left / "log.csv").write_text("round\n")
    assert run.open_folder(tmp_path, ["fig8"], budget, 1) == ("fig8",)
    (tmp_path / run.RECORD).unlink()
    (left / run.DONE).write_text("{}")  # finished, and nobody knows of which reproduction
    with pytest.raises(InputError, match="no reproduction"):
        run.open_folder(tmp_path, ["fig8"], budget, 1)


def test_folders_that_hold_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    done = call("fig6", "--out", str(tmp_path))
    assert isinstance(done.exception, InputError)
    assert "holds something that is no reproduction" in str(done.exception)
    other = tmp_path / "other"
    run.open_folder(other, ["fig8"], ex.BUDGETS["full"], 5)
    done = call("fig8", "--out", str(other))
    assert "holds another reproduction: budget full, here budget quick" in str(done.exception)
    (other / run.RECORD).write_text("{")
    assert "cannot be read as mecopt-reproduction/1" in str(call("fig8", "--out", str(other)).exception)


def test_figures_are_added_to_a_folder(tmp_path):
    run.open_folder(tmp_path, ["fig8"], TINY, 1)
    assert run.open_folder(tmp_path, ["fig6"], TINY, 2) == ("fig6", "fig8")


def test_without_the_extras_it_says_how_to_install_them(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "find_spec", lambda name: None if name == "altair" else object())
    done = call("fig6", "--out", str(tmp_path / "out"))
    assert isinstance(done.exception, MissingExtraError)
    assert "pip install 'mecopt[rl,report]'" in str(done.exception)


def test_in_a_setting_of_ones_own(tiny, tmp_path):
    path, out = tmp_path / "yard.json", tmp_path / "out"
    document = {"name": "yard", "base": "camera-alexnet-deadline", "parameters": {"servers": 2, "blocks": 3}}
    path.write_text(json.dumps(document))
    done = call("fig12", "--setting", str(path), "--out", str(out))
    assert done.exception is None, done.exception
    assert done.stdout.startswith("fig12: above the optimum: mtl-a3c ")
    page = (out / "README.md").read_text()
    assert f"mecopt reproduce fig12 --setting {path} --budget quick --seeds 1" in page
    assert "# Figures as the paper's, in setting yard" in page
    assert (out / "figures" / "fig12_yard.png").stat().st_size > 0
    assert "Printed" not in page
    document["parameters"]["servers"] = 3
    path.write_text(json.dumps(document))
    other = call("fig12", "--setting", str(path), "--out", str(out))
    assert isinstance(other.exception, InputError)
    assert "holds another reproduction: budget quick, setting yard (" in str(other.exception)
    missing = call("fig12", "--setting", str(tmp_path / "no.json"), "--out", str(out))
    assert "no.json" in str(missing.exception)
