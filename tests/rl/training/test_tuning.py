"""`mecopt tune`: a study is kept trial by trial, goes on where it stopped, and is told from another one."""

import csv
import json
import os
import resource
import shutil
import signal

import pytest
from click.testing import CliRunner

from mecopt import files
from mecopt.cli import INTERRUPTED, cli
from mecopt.errors import InputError, MecoptError
from mecopt_rl.training import tuning
from mecopt_rl.training.checkpoint import load_policy
from mecopt_rl.training.study_journal import StudyJournal
from mecopt_rl.training.training_plan import TrainingPlan
from mecopt_rl.training.tuning import STORE, TABLE, Axis, TuningSpace

SPEC = "camera-vgg:slots=10,servers=2,blocks=3"
SMALL = ["--set", "width=8", "--set", "layers=1", "--episodes", "20"]
BASE = ["tune", SPEC, "--learner", "mtl-a3c", *SMALL]


def run(*words):
    return CliRunner().invoke(cli, [*BASE, *words], standalone_mode=False)


def test_a_study_and_more_trials_of_it(tmp_path):
    out = str(tmp_path / "study")
    done = run("--out", out, "--trials", "2", "--json")
    assert done.exception is None, done.stderr
    first = json.loads(done.stdout)
    more = json.loads(run("--out", out, "--trials", "3", "--json").stdout)
    assert more["trials"][:2] == first["trials"]
    assert [trial["trial"] for trial in more["trials"]] == [1, 2, 3]
    assert more["best"]["gap"] == min(trial["gap"] for trial in more["trials"])
    assert load_policy(more["policy"]).card["training"]["validation_gap"] == more["best"]["gap"]
    assert f"--set learning_rate={more['best']['learning_rate']}" in more["command"]
    with open(f"{out}/{TABLE}") as file:
        assert len(list(csv.DictReader(file))) == 3
    whole = json.loads(run("--out", str(tmp_path / "whole"), "--trials", "3", "--json").stdout)
    assert whole["trials"] == more["trials"]  # in one go, or not


def test_an_interrupt_keeps_what_is_finished(tmp_path, monkeypatch):
    out, real = str(tmp_path / "study"), tuning.Training.run
    runs = []

    def run_or_stop(training):
        runs.append(training.folder.name)
        if len(runs) == 2:
            raise KeyboardInterrupt
        return real(training)

    monkeypatch.setattr(tuning.Training, "run", run_or_stop)
    stopped = run("--out", out, "--trials", "2")
    assert INTERRUPTED in (stopped.return_value, stopped.exit_code)
    assert "interrupted; finished trials are kept" in stopped.stderr
    assert "trial 1 of 2: " in stopped.stderr
    again = run("--out", out, "--trials", "2", "--json")
    assert again.exception is None, again.stderr
    assert runs[2] == runs[1]  # the trial that was ended is begun again
    assert len(runs) == 3
    assert len(json.loads(again.stdout)["trials"]) == 2


def test_what_a_kill_leaves_of_an_entry_is_cut_off(tmp_path):
    """Optuna would write behind it, and refuse its own file from then on."""
    out = tmp_path / "study"
    first = json.loads(run("--out", str(out), "--trials", "1", "--json").stdout)
    journal = out / STORE
    whole = journal.read_bytes()
    os.symlink(journal, f"{journal}.lock")  # of Optuna's own, which outlives a kill
    for part in (b'{"op_', b'{"op_code":5,"worker_id":"x'):
        journal.write_bytes(whole + part)
        again = run("--out", str(out), "--trials", "1", "--json")
        assert json.loads(again.stdout) == first
        assert journal.read_bytes().startswith(whole)
        assert all(json.loads(line) for line in journal.read_text().splitlines())
    (tmp_path / "letter").mkdir()
    (tmp_path / "letter" / STORE).write_text("a letter")
    assert "no study that can be read" in str(run("--out", str(tmp_path / "letter")).exception)
    assert (tmp_path / "letter" / STORE).read_text() == "a letter"


def test_a_full_disk_leaves_whole_entries_and_no_trial_that_did_not_end(tmp_path, monkeypatch):
    out, written = tmp_path / "study", []

    def full(path, data):
        written.append(path)
        if len(written) == 2:
            raise MecoptError(f"{path}: could not be written: No space left on device")
        return files.write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr("mecopt_rl.training.logs.write_bytes", full)
        assert "No space left" in str(run("--out", str(out), "--trials", "2").exception)
    entries = [json.loads(line) for line in (out / STORE).read_text().splitlines()]
    assert len(entries) > 3
    whole = json.loads(run("--out", str(tmp_path / "whole"), "--trials", "2", "--json").stdout)
    assert json.loads(run("--out", str(out), "--trials", "2", "--json").stdout)["trials"] == whole["trials"]


def test_a_journal_takes_entries_whole_or_not_at_all(tmp_path):
    journal = StudyJournal(tmp_path / STORE)
    journal.append_logs([{"op_code": 1}])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
        with pytest.raises(MecoptError, match="could not be written"):
            journal.append_logs([{"op_code": 2, "text": "x" * 50}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(StudyJournal(tmp_path / STORE).read_logs(0)) == [{"op_code": 1}]


def test_a_folder_that_is_removed_is_not_half_made_anew(tmp_path, monkeypatch):
    out, real = tmp_path / "study", tuning.Training.run

    def run_and_remove(training):
        real(training)
        shutil.rmtree(out)

    monkeypatch.setattr(tuning.Training, "run", run_and_remove)
    with pytest.raises(MecoptError, match="could not be written: No such file"):
        raise run("--out", str(out), "--trials", "1").exception
    assert not out.exists()
    monkeypatch.setattr(tuning.Training, "run", real)
    changes = json.loads(run("--out", str(tmp_path / "other"), "--trials", "1", "--json").stdout)
    (trial,) = (tmp_path / "other" / "trials").iterdir()
    left = out / "trials" / trial.name
    left.mkdir(parents=True)
    (left / "policy.json").write_text("{}")  # what a training leaves that writes on
    assert json.loads(run("--out", str(out), "--trials", "1", "--json").stdout)["trials"] == changes["trials"]


def test_another_study_or_folder_is_refused(tmp_path):
    out = str(tmp_path / "study")
    assert run("--out", out, "--trials", "1").exception is None
    for changed, words in (
        (["--search", "gamma=0..1"], "holds another study, with search "),
        (["--seed", "1"], r"holds another study, with seed 0 \(here 1\)"),
    ):
        error = run("--out", out, "--trials", "1", *changed).exception
        with pytest.raises(InputError, match=words):
            raise error
        assert len(str(error).splitlines()) == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    assert "holds notes.txt but no study" in str(run("--out", str(tmp_path / "other")).exception)
    (tmp_path / "study" / STORE).write_text("no journal\n")
    assert "no study that can be read" in str(run("--out", out).exception)


def test_the_study_of_another_program_is_refused(tmp_path):
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / STORE)))
    optuna.create_study(storage=storage, study_name="theirs")
    assert "a study named 'theirs', expected one of `mecopt tune`" in str(
        run("--out", str(tmp_path)).exception
    )


def search(*texts, learner="markov-a3c"):
    return TuningSpace.of(TrainingPlan(SPEC, learner), texts).axes


def test_what_is_looked_for():
    assert search("width=16..64", "learning_rate=0.001..0.1", "optimiser=adam|rmsprop", "gamma=0|0.5") == (
        Axis("width", low=16.0, high=64.0, whole=True),
        Axis("learning_rate", low=0.001, high=0.1),
        Axis("optimiser", values=("adam", "rmsprop")),
        Axis("gamma", values=(0.0, 0.5)),
    )
    assert [axis.name for axis in search()] == ["learning_rate", "temperature_start", "temperature_end"]
    assert [axis.name for axis in search(learner="dqn")] == ["learning_rate"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("widht=1..2", "--search widht: markov-a3c has no such setting; did you mean width"),
        ("width", r"--search width: expected NAME=LOW..HIGH or NAME=a\|b\|c"),
        ("width=64..16", "expected two numbers, the lower first"),
        ("optimiser=adam..rmsprop", "expected two numbers"),
        ("width=1.5..4", r"--search width=1.5: expected a whole number"),
        ("optimiser=sgd", "optimiser: 'sgd', expected adam or rmsprop"),
    ],
)
def test_what_cannot_be_looked_for(text, words):
    with pytest.raises(InputError, match=words):
        search(text)
