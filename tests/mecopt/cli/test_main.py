"""The main group: help, version, unknown and broken commands, third parties', speed."""

import re
import resource
import subprocess
import sys

import pytest

from mecopt.__main__ import SPARED

HEAVY = (
    "numpy",
    "pandas",
    "pydantic",
    "rich",
    "torch",
    "pyomo",
    "ortools",
    "numba",
    "highspy",
    "matplotlib",
    "click",
)
OURS = ("best-known", "evaluate", "generate", "methods", "models", "schema", "solve", "validate")


def test_help_lists_every_command(mecopt):
    done = mecopt("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for name in OURS:
        assert f"\n  {name} " in done.stdout
    assert "broken" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("name", OURS)
def test_each_command_has_help(mecopt, name):
    done = mecopt(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: mecopt {name} ")


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom mecopt.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as left:\n    assert left.code == 0, left.code\n"
        f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "HEAVY ['click']"


@pytest.mark.parametrize("given", [{}, {"OPENBLAS_THREAD_TIMEOUT": "26", "PYDANTIC_DISABLE_PLUGINS": "mine"}])
def test_libraries_start_with_less_unless_told_otherwise(monkeypatch, given):
    for name in SPARED:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    code = (
        "import os, sys\nfrom mecopt.__main__ import run\nsys.argv = ['mecopt', '--version']\n"
        f"try:\n    run()\nexcept SystemExit:\n    print([os.environ[name] for name in {list(SPARED)}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == str([given.get(name, value) for name, value in SPARED.items()])


def test_help_is_fast(mecopt):
    """In processor time, which a busy machine does not stretch as it does the time on the wall."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        mecopt("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.3


def test_version(mecopt):
    from mecopt import __version__

    done = mecopt("--version")
    assert (done.returncode, done.stdout) == (0, f"mecopt, version {__version__}\n")


def test_no_command_is_bad_usage(mecopt):
    for args in ((), ("best-known",)):
        done = mecopt(*args)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("Usage: mecopt ")


def test_unknown_command_offers_the_nearest(mecopt):
    done = mecopt("slove")
    assert done.returncode == 2
    assert done.stderr == "mecopt: no command 'slove'; did you mean solve or convert? (see 'mecopt --help')\n"
    assert "there are agent, best-known, " in mecopt("xyzzy").stderr


def test_bad_usage_is_one_line(mecopt):
    for args in (
        ("solve",),
        ("solve", "--nosuch"),
        ("--nosuch",),
        ("solve", "a", "--seed", "x"),
        ("evaluate", "a"),
    ):
        done = mecopt(*args)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("mecopt")


def test_third_party_command(mecopt, plugin):
    done = mecopt("hello", PYTHONPATH=plugin)
    assert (done.returncode, done.stdout) == (0, "hello from a third party\n")


def test_broken_commands_do_not_break_the_others(mecopt, plugin):
    listed = mecopt("--help", PYTHONPATH=plugin)
    assert listed.returncode == 0
    assert "Greet." in listed.stdout
    assert "wreck" in listed.stdout
    assert "(broken: cannot be loaded: No module named 'no_such_package')" in " ".join(listed.stdout.split())
    for args in (("wreck",), ("wreck", "--help", "x"), ("number",)):
        done = mecopt(*args, PYTHONPATH=plugin)
        assert done.returncode == 1
        assert done.stderr.startswith(f"mecopt: command '{args[0]}' (")
        assert "Traceback" not in done.stderr


def test_unexpected_error_is_one_line_unless_debugged(mecopt, plugin, toy_file):
    args = ("solve", toy_file, "--method", "crash")
    done = mecopt(*args, PYTHONPATH=plugin)
    assert done.returncode == 1
    failed = "mecopt: method 'crash' failed: ZeroDivisionError: two lines of text"
    place = re.escape(f"{plugin}/test_plugin.py")
    hint = re.escape(" (MECOPT_DEBUG=1 shows the traceback)\n")
    assert re.fullmatch(rf"{re.escape(failed)} \({place}, line \d+\){hint}", done.stderr)
    for debugged in (
        mecopt(*args, PYTHONPATH=plugin, MECOPT_DEBUG="1"),
        mecopt("--debug", *args, PYTHONPATH=plugin),
    ):
        assert debugged.returncode == 1
        assert "Traceback" in debugged.stderr


def test_disagreement_is_loud(mecopt, plugin, toy_file):
    done = mecopt("solve", toy_file, "--method", "liar", "--json", PYTHONPATH=plugin)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the judge" in done.stderr


def test_closed_pipe_is_quiet(many_file, env):
    command = f"{sys.executable} -m mecopt solve {many_file} --json | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=env(), timeout=60)
    assert len(done.stdout) == 10
    assert done.stderr == ""
