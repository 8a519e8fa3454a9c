"""`mecopt compare`: exit statuses, one JSON document, short tables, errors in one line."""

import json
import os
import pty
import subprocess
import sys

import pytest

from mecopt.best_known import Store
from mecopt.cli.compare import _named


@pytest.fixture
def compared(mecopt, toy_file, tmp_path):
    """Compare on the toy instance."""

    def run(*args, methods="trellis,local", out=tmp_path / "out", **env):
        return mecopt("compare", toy_file, "--methods", methods, "--out", out, "--workers", 1, *args, **env)

    return run


def test_a_method_is_shown_as_it_is_typed():
    assert _named("trellis", "{}") == "trellis"
    assert _named("a3c", '{"policy": "runs/a.safetensors"}') == "a3c=runs/a.safetensors"
    assert _named("dqn", '{"policy": "b", "samples": 4}') == "dqn=b samples=4"


def test_people_get_a_table(compared, plugin, tmp_path):
    """Failures are rows, and no error."""
    done = compared(methods="trellis,local,crash", PYTHONPATH=plugin)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["Method", "Runs"]
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[2:5]] == ["trellis", "local", "crash"]
    assert lines[5:] == ["crash: 1 failed"]
    failure, kept = done.stderr.splitlines()
    assert failure.startswith("mecopt: crash on toy_pair, seed 0: failed, MethodError: method 'crash' failed")
    assert kept == f"mecopt: kept in {tmp_path}/out; `mecopt report {tmp_path}/out` makes the report"


def test_json_is_one_document(compared, tmp_path):
    document = json.loads(compared("--json", "--gap", "0.5", "--time-limit", "9").stdout)
    assert list(document) == ["folder", "info", "pending", "instances", "runs"]
    assert document["pending"] == 0
    trellis, local = document["runs"]
    assert (trellis["status"], trellis["gap"], trellis["peak_memory_bytes"]) == ("optimal", 0.0, None)
    assert (local["seed"], local["time_limit_s"], local["error"]) == (0, 9.0, None)
    assert document["info"]["gap"] == 0.5
    done = compared("--gap", "0.5", "--time-limit", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "holds another comparison: time limit 9.0 there, 3.0 here" in done.stderr


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("x*.json", "--methods", "trellis"), "no instance matches 'x*.json'"),
        (("TOY", "--methods", "trelis"), "no method 'trelis'; did you mean trellis"),
        (("TOY", "--methods", "trellis", "--time-limit", "nan"), "time-limit"),
        (("TOY", "--methods", "trellis", "--workers", "100000"), "workers: 100000"),
        (("TOY", "--methods", "markov-a3c=none.safetensors"), "none.safetensors: no such file"),
        (("TOY", "--methods", "trellis,mtl-a3c=TOY"), "TOY: not a whole safetensors file"),
        (("TOY", "--methods", "trellis,dqn=TOY"), "TOY: not a whole safetensors file"),
        (("TOY", "--methods", "trellis,ppo=TOY"), "TOY: no zip that can be read"),
    ],
)
def test_bad_input_is_one_line(mecopt, toy_file, tmp_path, args, text):
    args = [word.replace("TOY", str(toy_file)) for word in args]
    done = mecopt("compare", *args, "--out", tmp_path / "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert text.replace("TOY", str(toy_file)) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_progress_on_a_terminal(env, plugin, toy_file, tmp_path):
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "mecopt", "compare", toy_file, "--methods", "idle,trellis"]
    command += ["--time-limit", "2", "--json", "--workers", "1", "--out", tmp_path / "out"]
    environment = env(PYTHONPATH=plugin, TERM="xterm")
    process = subprocess.Popen([*map(str, command)], env=environment, stdout=subprocess.PIPE, stderr=end)
    os.close(end)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(json.loads(text)["runs"]) == 2
    assert b"comparing" in shown
    assert b"/2" in shown


def test_best_known_takes_what_is_better(compared, mecopt, tmp_path):
    store = tmp_path / "known.json"
    assert compared(methods="local").returncode == 0
    first = mecopt("best-known", "update", tmp_path / "out", "--store", store)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("toy_pair: new: ")
    (entry,) = Store.load(store).entries.values()
    assert (entry.method, entry.status) == ("local", "feasible")
    assert compared(methods="local,trellis").returncode == 0
    second = mecopt("best-known", "update", tmp_path / "out", "--store", store, "--json")
    (row,) = json.loads(second.stdout)
    assert row["improved"]
    assert (row["entry"]["method"], row["entry"]["status"]) == ("trellis", "optimal")
    third = mecopt("best-known", "update", tmp_path / "out", "--store", store)
    assert third.stdout.startswith("toy_pair: unchanged: ")


def test_best_known_judges_again(compared, mecopt, tmp_path):
    """A value in the store that the judge does not confirm is an error, and nothing is written."""
    import sqlite3

    store = tmp_path / "known.json"
    assert compared().returncode == 0
    with sqlite3.connect(tmp_path / "out" / "comparison.sqlite") as db:
        db.execute("UPDATE runs SET objective = objective / 2, lower_bound = NULL")
    db.close()
    done = mecopt("best-known", "update", tmp_path / "out", "--store", store)
    assert done.returncode == 2
    assert "the judge finds" in done.stderr
    assert not store.exists()
    done = mecopt("best-known", "update", tmp_path, "--store", store)
    assert done.returncode == 2
    assert "no comparison.sqlite in it" in done.stderr
