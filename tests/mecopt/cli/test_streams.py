"""Standard output that is full, closed or no longer read: one line and status 1, for every command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EACH = pytest.mark.parametrize(
    "command",
    [
        ("solve", "TOY"),
        ("solve", "TOY", "--json"),
        ("validate", "TOY"),
        ("validate", "TOY", "--json"),
        ("explain", "TOY"),
        ("bounds", "TOY", "--json"),
        ("schema",),
        ("methods",),
        ("models", "--json"),
        ("generate", "--list"),
        ("generate", "paper:slots=2", "--out", "OUT"),
        ("best-known", "show"),
        ("compare", "TOY", "--methods", "trellis", "--workers", "1", "--out", "OUT"),
        ("--help",),
        ("--version",),
    ],
    ids=" ".join,
)
FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")


def run(command, env, toy_file, shell):
    words = [
        str(toy_file) if w == "TOY" else str(toy_file.parent / "out") if w == "OUT" else w for w in command
    ]
    return subprocess.run(
        ["bash", "-c", f'"$@" {shell}', "bash", sys.executable, "-m", "mecopt", *words],
        capture_output=True, text=True, timeout=60, env=env(), stdin=subprocess.DEVNULL,
    )  # fmt: skip


def one_line(done, words):
    said = ("wrote", "compiling", "warning")
    lines = [line for line in done.stderr.splitlines() if not any(word in line for word in said)]
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    assert lines[0] == f"mecopt: standard output: could not be written: {words}"


@FULL
@EACH
def test_full(command, env, toy_file):
    one_line(run(command, env, toy_file, ">/dev/full"), "No space left on device")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [("methods",), ("schema",), ("--help",)], ids=" ".join)
def test_closed(command, env, toy_file, unbuffered):
    done = run(command, lambda: env(PYTHONUNBUFFERED=unbuffered), toy_file, ">&-")
    one_line(done, "Bad file descriptor")


@pytest.mark.parametrize("command", [("methods",), ("schema",), ("--help",), ("solve", "TOY")], ids=" ".join)
def test_a_reader_that_has_gone_is_not_told(command, env, toy_file):
    done = run(command, env, toy_file, '| true; exit "${PIPESTATUS[0]}"')
    assert done.returncode in (0, 1)
    assert [line for line in done.stderr.splitlines() if "compiling" not in line] == []


@FULL
def test_messages_that_cannot_be_written_change_no_status(env, toy_file):
    out = toy_file.parent / "s.json"
    assert run(("solve", "TOY", "--out", str(out)), env, toy_file, ">/dev/null 2>/dev/full").returncode == 0
    assert out.is_file()
    for shell in ("2>/dev/full", "2>&-"):
        assert run(("solve", "nowhere.json"), env, toy_file, shell).returncode == 2


def test_everything_closed(env, toy_file):
    """The next file that is opened does not get the number of a stream that a library prints to."""
    out = toy_file.parent / "s.json"
    done = run(("solve", "TOY", "--method", "ilp", "--out", str(out)), env, toy_file, "<&- >&- 2>&-")
    assert done.returncode == 1
    assert out.read_text().startswith("{")
    done = run(("solve", "-"), env, toy_file, "<&-")
    assert done.returncode == 2
    assert "standard input" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of a process")
@pytest.mark.parametrize(
    "command",
    [
        ("solve", "TOY", "--out", "OUT"),
        ("solve", "TOY", "--plot", "OUT.png"),
        ("export", "TOY", "--out", "OUT.lp"),
        ("schema", "--out", "OUT"),
        ("generate", "paper", "--out", "OUT"),
        ("compare", "TOY", "--methods", "trellis", "--workers", "1", "--out", "OUT"),
    ],
    ids=" ".join,
)
def test_no_room_for_files(command, env, toy_file):
    """With files of at most 100 bytes: a line that says so, and nothing half-written."""
    words = [str(toy_file) if w == "TOY" else w.replace("OUT", str(toy_file.parent / "out")) for w in command]
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        "from mecopt.cli import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60,
        env=env(),
    )  # fmt: skip
    assert done.returncode in (1, 2), done.stderr
    lines = [line for line in done.stderr.splitlines() if "compiling" not in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("mecopt: ")
    assert "unexpected" not in lines[0]
    assert not [path for path in Path(toy_file.parent).glob("out*") if path.is_file()]
