"""`mecopt train` as a user runs it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from mecopt.cli import cli
from mecopt.errors import InputError, MissingExtraError
from rl import learner

SMALL = ["--set", "width=8", "--set", "layers=1", "--set", "branch_width=8"]
SPEC = "camera-vgg:slots=30"


def run(*words):
    return CliRunner().invoke(cli, ["train", *words], catch_exceptions=True, standalone_mode=False)


def test_a_training_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as notebooks do, which are no terminal all the same
    out = str(tmp_path / "run")
    done = run(SPEC, "--learner", "mtl-a3c", "--episodes", "40", "--out", out, *SMALL)
    assert done.exception is None
    assert done.stdout.startswith("best policy: gap ")
    assert "40 of 40 episodes: reward -" in done.stderr
    assert "\x1b" not in done.stderr
    assert f"wrote {out}/policy.safetensors" in done.stderr
    again = run(SPEC, "--learner", "mtl-a3c", "--episodes", "40", "--out", out, *SMALL)
    assert isinstance(again.exception, InputError)
    resumed = run(
        SPEC, "--learner", "mtl-a3c", "--episodes", "40", "--out", out, *SMALL, "--resume", "--json"
    )
    document = json.loads(resumed.stdout)
    assert [row["episodes"] for row in document["rows"]] == [20, 40]
    assert document["best"]["gap"] == min(row["gap"] for row in document["rows"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--set", "width"], "--set width: expected NAME=VALUE"),
        (["--set", "widht=3"], "did you mean width"),
        (["--recipe", "worst"], "--recipe worst"),
    ],
)
def test_bad_options(tmp_path, words, text):
    done = run(SPEC, "--learner", "mtl-a3c", "--out", str(tmp_path / "run"), *words)
    assert isinstance(done.exception, InputError)
    assert text in str(done.exception)


def test_without_torch_the_command_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(learner, "find_spec", lambda name: None if name == "torch" else object())
    done = run(SPEC, "--learner", "mtl-a3c", "--out", str(tmp_path / "run"))
    assert isinstance(done.exception, MissingExtraError)
    assert "mecopt train needs an optional part of mecopt: pip install 'mecopt[rl]'" in str(done.exception)


@pytest.mark.slow
def test_an_interrupt_keeps_the_last_checkpoint_and_ends_the_workers(tmp_path):
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "mecopt",
        "train",
        "camera-vgg",
        "--learner",
        "mtl-a3c",
        "--workers",
        "2",
    ]
    process = subprocess.Popen(
        [*command, "--episodes", "100000", "--out", str(out)],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until = time.monotonic() + 200
    while not (out / "last.safetensors").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.1)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.decode().splitlines()[-1] == "mecopt: interrupted"
    assert len(children) >= 2
    until = time.monotonic() + 30  # multiprocessing's own tracker ends a moment later
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < until
        time.sleep(0.1)
