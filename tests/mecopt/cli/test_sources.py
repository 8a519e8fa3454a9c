"""Every command that takes an instance takes a file, `-`, a shipped name or a spec, from any folder."""

import json
import shutil

import pytest

from mecopt import sources

TINY = sources.shipped()["tiny_paper"]
SPEC = "camera-alexnet:slots=2,seed=4"
COMMANDS = [
    ("solve",),
    ("validate",),
    ("explain",),
    ("bounds",),
    ("evaluate", "solution.json"),
    ("export", "--out", "model.lp"),
    ("compare", "--methods", "trellis", "--out", "table"),
    ("best-known", "update", "--store", "store.json"),
]


def given(command, instance):
    """Put the instance where the command takes it."""
    at = 2 if command[0] == "best-known" else 1
    return (*command[:at], instance, *command[at:])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_kind_of_source(mecopt, tmp_path, command):
    (tmp_path / "solution.json").write_text('{"format": "mecopt-solution/1", "placement": [[1,0,2],[2,2,2]]}')
    shutil.copy(TINY, tmp_path / "own.json")
    for instance, stdin in (("own.json", None), ("tiny_paper", None), ("-", TINY.read_text())):
        done = mecopt(*given(command, instance), cwd=tmp_path, stdin=stdin)
        assert done.returncode == 0, done.stderr
    if command[0] != "evaluate":  # of another size
        done = mecopt(*given(command, SPEC), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = mecopt(*given(command, "tiny_papr"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mecopt: tiny_papr: no file, setting or shipped instance of that name; ")
    assert "did you mean tiny_paper" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["solve", "validate", "compare"])
def test_doubts_of_a_spec_are_messages(mecopt, tmp_path, command):
    more = ("--methods", "auto", "--out", "table") if command == "compare" else ()
    done = mecopt(command, "crowd:tasks=bundled,release_rate=1", *more, cwd=tmp_path)
    assert ": capacity on bundled tasks" in done.stderr
    assert "UserWarning" not in done.stderr


def test_an_input_by_its_name_is_not_written_over(mecopt):
    done = mecopt("solve", "tiny_paper", "--out", TINY)
    assert done.returncode == 2
    assert "is read by this command" in done.stderr


def test_instances_are_listed(mecopt, tmp_path):
    done = mecopt("instances", "--json", cwd=tmp_path)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert (done.returncode, done.stderr, list(rows)) == (0, "", list(sources.shipped()))
    tiny = rows["tiny_memory"]
    assert (tiny["tasks"], tiny["servers"], tiny["blocks"], tiny["couplings"]) == (2, 2, 2, ["memory"])
    assert (tiny["status"], tiny["objective"]) == ("optimal", pytest.approx(4.7))
    assert rows["tiny_infeasible"]["objective"] is None
    assert all(row["status"] != "unknown" for row in rows.values())


def test_the_table_fits_a_terminal_and_has_a_line_for_each(mecopt, tmp_path):
    done = mecopt("instances", cwd=tmp_path, COLUMNS="80")
    lines = done.stdout.splitlines()
    assert len(lines) == 2 + len(sources.shipped())
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[2:]] == list(sources.shipped())
    assert str(sources.folder()) in done.stderr


def test_best_known_values_are_shown_anywhere(mecopt, tmp_path):
    done = mecopt("best-known", "show", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["entries"]) == len(sources.shipped())
