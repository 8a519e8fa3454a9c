"""`mecopt train` as a user runs it."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
import torch
from click.testing import CliRunner

from mecopt import sources
from mecopt.cli import cli
from mecopt.errors import InputError, MecoptError, MissingExtraError
from mecopt_rl.learners import learner
from mecopt_rl.training.checkpoint import TRAINING_FORMAT, read
from mecopt_rl.training.lock import LOCK
from mecopt_rl.training.logs import CSV_NAME, Logs
from mecopt_rl.training.loop import LAST

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
    assert f"kept in {out}/policy.safetensors" in done.stderr
    again = run(SPEC, "--learner", "mtl-a3c", "--episodes", "40", "--out", out, *SMALL, "--json")
    assert f"mecopt: {out} holds this training, and it is complete; nothing was repeated\n" in again.stderr
    document = json.loads(again.stdout)
    assert [row["episodes"] for row in document["rows"]] == [20, 40]
    assert document["best"]["gap"] == min(row["gap"] for row in document["rows"])


def test_one_instance_by_its_name_or_from_standard_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rest = ["--learner", "dqn", "--episodes", "2", *SMALL[:2]]
    assert run("tiny_paper", *rest, "--out", "named").exception is None
    shipped = sources.shipped()["tiny_paper"].read_text()

    def piped(text):
        words = ["train", "-", *rest, "--out", "piped"]
        return CliRunner().invoke(cli, words, input=text, standalone_mode=False)

    assert piped(shipped).exception is None
    assert (tmp_path / "piped" / "instance.json").exists()
    assert "complete; nothing was repeated" in piped(shipped).stderr
    other = piped(sources.shipped()["tiny_physical"].read_text()).exception
    assert isinstance(other, InputError)
    assert "holds a training on another instance" in str(other)
    assert (tmp_path / "piped" / "log.csv").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--set", "width"], "--set width: expected NAME=VALUE"),
        (["--set", "widht=3"], "did you mean width"),
        (["--recipe", "worst"], "--recipe worst"),
        (["--out", ""], "--out: no name, expected that of a folder"),
        (["--address", "here:1"], "address: 'here:1', but the engine is 'local', expected 'ray'"),
        (["--engine", "ray", "--address", "here"], "address: 'here', expected HOST:PORT or auto"),
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


def test_a_folder_that_cannot_be_written_in(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / LOCK).mkdir()  # as root, no permission is missing
    done = run(SPEC, "--learner", "mtl-a3c", "--episodes", "20", "--out", str(out), *SMALL)
    assert isinstance(done.exception, InputError)
    assert str(done.exception).startswith(f"{out}: cannot be written in (")


def command(out, *words, spec=SPEC):
    start = [sys.executable, "-m", "mecopt", "train", spec, "--learner", "mtl-a3c", "--out", str(out)]
    return [*start, *words]


def begun(*words, **options):
    """Start the command in a group of its own, where an interrupt is one."""
    return subprocess.Popen(
        command(*words, **options),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(condition, process):
    until = time.monotonic() + 250
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.02)


def children_of(process):
    return psutil.Process(process.pid).children(recursive=True)


def ended(processes):
    _, alive = psutil.wait_procs(processes, timeout=60)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_an_interrupt_keeps_the_last_checkpoint_and_ends_the_workers(tmp_path):
    """As the terminal does it: all processes get the signal."""
    out = tmp_path / "run"
    process = begun(out, "--workers", "2", "--episodes", "100000", spec="camera-vgg")
    wait_for((out / LAST).exists, process)
    children = children_of(process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130
    assert re.fullmatch(
        rf"mecopt: interrupted; \d+ of 100000 episodes are kept in {out}; the same command goes on",
        errors.splitlines()[-1],
    )
    assert "Traceback" not in errors
    assert len(children) >= 2
    assert ended(children)


@pytest.mark.slow
@pytest.mark.parametrize("children", [1, 2, 3])
def test_an_interrupt_while_workers_start(tmp_path, children):
    """The resource tracker of multiprocessing is the first child, workers follow."""
    out = tmp_path / "run"
    process = begun(out, "--workers", "2", "--episodes", "100000", spec="camera-vgg")
    wait_for(lambda: len(children_of(process)) >= children, process)
    there = children_of(process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130
    assert errors.splitlines() == ["mecopt: interrupted"]
    assert ended(there)
    assert not (out / LOCK).exists()


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(tmp_path):
    out = tmp_path / "run"
    process = begun(out, "--workers", "2", "--episodes", "100000", spec="camera-vgg:slots=3000")
    wait_for(lambda: len(children_of(process)) >= 3, process)
    children = children_of(process)
    process.kill()
    process.communicate(timeout=60)
    assert ended(children)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_with_the_same_bits(tmp_path):
    words = ["--episodes", "160", *SMALL]
    subprocess.run(command(tmp_path / "whole", *words), check=True)
    out, kills = tmp_path / "parts", 0
    while True:
        process = begun(out, *words)
        size = (out / CSV_NAME).stat().st_size if (out / CSV_NAME).exists() else 0
        while process.poll() is None:
            if kills < 3 and (out / CSV_NAME).exists() and (out / CSV_NAME).stat().st_size > size:
                time.sleep(0.03 * kills)
                process.kill()
                kills += 1
                break
            time.sleep(0.002)
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors
        if process.returncode == 0:
            break
    assert kills == 3
    assert "mecopt: going on after " in errors
    whole, parts = (read(tmp_path / name / LAST, TRAINING_FORMAT) for name in ("whole", "parts"))
    assert all(torch.equal(whole[0][name], parts[0][name]) for name in whole[0])
    for row in (*whole[1]["rows"], *parts[1]["rows"]):
        row.pop("seconds")
    assert whole[1]["rows"] == parts[1]["rows"]
    assert not torch.equal(whole[0]["network.score"], whole[0]["network.score"] * 0)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1000, 60_000])
def test_a_disk_that_is_full(tmp_path, limit):
    """A limit on the size of files is met where a full disk would be."""
    out = tmp_path / "run"
    done = subprocess.run(
        command(out, "--episodes", "20"),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    assert done.stderr == f"mecopt: {out}/last.safetensors: could not be written: File too large\n"
    assert not [path for path in out.iterdir() if path.is_file()]
    assert subprocess.run(command(out, "--episodes", "20"), capture_output=True).returncode == 0


def test_what_tensorboard_cannot_write_is_one_line(tmp_path, capfd):
    """Its thread would say so with a traceback of its own."""
    logs = Logs(tmp_path)

    def full(data):
        raise OSError(28, "No space left on device")

    logs.writer.file_writer.event_writer._async_writer._writer.write = full
    with pytest.raises(MecoptError, match=r"tensorboard: could not be written: No space left on device"):
        logs.add({"round": 0, "episodes": 20, "gap": 0.5})
    logs.close()
    assert threading.excepthook is not logs._without_writers
    assert capfd.readouterr().err == ""
