"""`mecopt plan` and `mecopt solve -` on pipes: an answer for every line, at once, and the worst status."""

import json
import signal
import subprocess
import sys

import pytest


def test_a_bad_line_gets_an_error_object_and_the_next_ones_go_on(mecopt, toy_file):
    lines = '{}\n{"rate": 1}\n\n{"batch": 9}\n{"tasks": [0], "deadlines": 1e-9}'
    done = mecopt("plan", toy_file, stdin=lines)
    assert done.returncode == 2
    fine, unknown, doubled, late = map(json.loads, done.stdout.splitlines())
    assert unknown["error"]["line"] == 2
    assert "unknown field" in unknown["error"]["problems"][0]
    assert fine["objective"] < doubled["objective"]
    assert late["status"] == "infeasible"
    assert mecopt("plan", toy_file, stdin='{"deadlines": 1e-9}').returncode == 3
    assert mecopt("plan", "-", stdin="{}").returncode == 2


def test_every_line_is_answered_before_the_next_is_read(toy_file):
    command = [sys.executable, "-m", "mecopt", "plan", toy_file]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        for batch in (1, 2):
            process.stdin.write(f'{{"batch": {batch}}}\n')
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["status"] == "optimal"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        assert (process.returncode, rest) == (130, "")


def test_a_planner_needs_tasks_that_nothing_joins(mecopt, write, toy):
    done = mecopt("plan", write(toy(rules={"preset": "paper", "couplings": ["capacity"]})), stdin="{}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "capacity" in done.stderr


def as_line(document):
    return json.dumps(document)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_solve_takes_an_instance_a_line(mecopt, toy, options):
    tight = toy(tasks=[{**toy()["tasks"][0], "max_delay_s": 0.05}])
    lines = [as_line(toy()), as_line(tight), "", as_line({**toy(), "extra": 1}), "{", as_line(toy())]
    done = mecopt("solve", "-", *options, stdin="\n".join(lines))
    assert done.returncode == 2
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one.get("status") for one in found] == ["optimal", "infeasible", None, None, "optimal"]
    assert [one["error"]["line"] for one in found[2:4]] == [4, 5]
    assert found[0]["objective"] == found[4]["objective"]


@pytest.mark.parametrize(("option", "value"), [("--out", "out.json"), ("--plot", "out.png"), ("--task", "0")])
def test_what_is_for_one_instance_is_refused_of_several(mecopt, toy, tmp_path, option, value):
    value = str(tmp_path / value) if "." in value else value
    lines = as_line(toy()) + "\n" + as_line(toy())
    done = mecopt("solve", "-", "--json", option, value, stdin=lines)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"mecopt: {option}: standard input holds several instances, expected a single one\n"
    )
    assert not list(tmp_path.glob("out*"))


def test_one_instance_of_standard_input_is_written(mecopt, toy, tmp_path):
    for text in (as_line(toy()), json.dumps(toy(), indent=1)):
        path = tmp_path / "out.json"
        done = mecopt("solve", "-", "--out", str(path), stdin=text)
        assert done.returncode == 0, done.stderr
        assert json.loads(path.read_text())["status"] == "optimal"
        path.unlink()


def test_solve_of_one_instance_is_as_ever(mecopt, toy):
    alone = mecopt("solve", "-", stdin=as_line(toy()) + "\n\n")
    assert alone.returncode == 0
    assert "Status" in alone.stdout
    found = mecopt("solve", "-", "--json", stdin=json.dumps(toy(), indent=1))
    assert json.loads(found.stdout)["status"] == "optimal"
    first_bad = mecopt("solve", "-", stdin="nonsense\n" + as_line(toy()))
    assert first_bad.returncode == 2
    assert [next(iter(json.loads(line))) for line in first_bad.stdout.splitlines()] == ["error", "format"]
