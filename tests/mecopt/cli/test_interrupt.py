"""Interrupts, time limits and progress: the best so far is never lost, and exit status 130 is certain."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from mecopt.schema import SOLUTION


def start(args, env, plugin, ready, **streams):
    environment = env(PYTHONPATH=plugin, READY=str(ready))
    command = [sys.executable, "-m", "mecopt", *map(str, args)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, **{"stderr": subprocess.PIPE, **streams}
    )


def wait_for(path):
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_keeps_the_best_so_far(env, plugin, toy_file, tmp_path, number):
    ready, out = tmp_path / "ready", tmp_path / "solution.json"
    args = ("solve", toy_file, "--method", "idle", "--json", "--out", out)
    process = start(args, env, plugin, ready)
    wait_for(ready)
    process.send_signal(number)
    text, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.decode() == f"mecopt: wrote {out}\n"
    assert json.loads(text) == json.loads(out.read_text())
    found = SOLUTION.validate_json(text)
    assert (found.status, found.stopped_by) == ("feasible", "interrupt")
    assert found.placement == [[0, 0], [0, 0]]


def test_interrupt_with_nothing_found(env, plugin, toy_file, tmp_path):
    process = start(("solve", toy_file, "--method", "deaf"), env, plugin, tmp_path / "ready")
    wait_for(tmp_path / "ready")
    process.send_signal(signal.SIGINT)
    text, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"unknown, stopped by an interrupt" in text
    assert b"Traceback" not in errors


IMPORTED = """
import sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "mecopt.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from mecopt.__main__ import run
run()
"""


def test_interrupt_while_the_command_is_imported(env):
    done = subprocess.run([sys.executable, "-c", IMPORTED], env=env(), capture_output=True)
    assert (done.returncode, done.stderr) == (130, b"mecopt: interrupted\n")


def test_interrupt_while_reading(env, plugin, tmp_path):
    process = start(("validate", "-"), env, plugin, tmp_path / "ready", stdin=subprocess.PIPE)
    time.sleep(1.0)  # it waits for its input by now
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    text, errors = process.stdout.read(), process.stderr.read()
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    assert (process.returncode, text, errors) == (130, b"", b"mecopt: interrupted\n")


def test_best_known_keeps_what_an_interrupt_leaves(env, plugin, toy_file, tmp_path):
    store = tmp_path / "store.json"
    args = ("best-known", "update", toy_file, "--method", "idle", "--store", store)
    process = start(args, env, plugin, tmp_path / "ready")
    wait_for(tmp_path / "ready")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    (entry,) = json.loads(store.read_text())["entries"].values()
    assert (entry["method"], entry["status"]) == ("idle", "feasible")


def test_progress_on_a_terminal_after_two_seconds(env, plugin, toy_file, tmp_path):
    """Only on a terminal's standard error; standard output stays one JSON document."""
    terminal, end = pty.openpty()
    args = ("solve", toy_file, "--method", "idle", "--time-limit", "3", "--json")
    process = start(args, env, plugin, tmp_path / "ready", stderr=end)
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
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(text)["stopped_by"] == "time"
    assert b"solving toy_pair" in shown


EXECUTED = """
import click
from mecopt import cli

@click.command()
def found():
    try:
        exec("raise KeyboardInterrupt")  # as where a library makes a class
    except KeyboardInterrupt:
        click.get_current_context().exit(130)

cli.Commands.get_command = lambda *_: found
cli.main(["solve"])
"""


def test_an_interrupt_within_executed_text_keeps_the_status(env, tmp_path):
    """Python remembers such an interrupt, and ends itself by a signal."""
    (tmp_path / "script.py").write_text(EXECUTED)
    command = [sys.executable, "-m", "script"]
    done = subprocess.run(command, env=env(), cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stderr) == (130, b"")


LOADED = """
import signal
import click
from mecopt import cli

@click.command()
def found():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:  # as in a library that is being loaded
        raise ImportError("initialization failed")

cli.Commands.get_command = lambda *_: found
cli.main(["solve"])
"""


def test_what_a_library_makes_of_an_interrupt_is_one(env):
    done = subprocess.run([sys.executable, "-c", LOADED], env=env(), capture_output=True)
    assert (done.returncode, done.stderr) == (130, b"mecopt: interrupted\n")
