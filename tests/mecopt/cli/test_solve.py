"""`mecopt solve` as a process: every status, its exit status, its document, and what people see."""

import json
import os
import re

import jsonschema
import pytest

from mecopt.json_schemas import json_schema

STATUSES = ("optimal", "feasible", "violating", "infeasible", "unknown")


def document(text):
    found = json.loads(text)
    jsonschema.validate(found, json_schema("solution"))
    return found


def case(toy, status):
    """Return an instance and the options that lead to the status."""
    tight = {**toy()["tasks"][0], "max_delay_s": 0.05}
    slow = {**toy()["tasks"][0], "max_delay_s": 0.35}  # on the device the second block is too late
    full = {"preset": "paper", "couplings": ["capacity"]}
    return {
        "optimal": (toy(), ()),
        "feasible": (toy(), ("--method", "idle", "--time-limit", "0.05")),
        "violating": (
            toy(rules=full, slots={"count": 2, "seconds": 0.01}),
            ("--method", "trellis", "--relax"),
        ),
        "late": (toy(tasks=[slow]), ("--method", "late")),
        "infeasible": (toy(tasks=[tight]), ()),
        "unknown": (toy(), ("--method", "empty")),
    }[status]


@pytest.mark.parametrize(
    ("status", "exit_status"),
    [("optimal", 0), ("feasible", 0), ("violating", 5), ("late", 5), ("infeasible", 3), ("unknown", 4)],
)
def test_status_exit_and_document(mecopt, write, toy, plugin, tmp_path, status, exit_status):
    instance, options = case(toy, status)
    out = tmp_path / "solution.json"
    done = mecopt("solve", write(instance), *options, "--json", "--out", out, PYTHONPATH=plugin)
    assert done.returncode == exit_status
    assert done.stderr == f"mecopt: wrote {out}\n"
    found = document(done.stdout)
    assert found == document(out.read_text())
    assert found["status"] == status.replace("late", "violating")
    assert list(found) == list(json_schema("solution")["$defs"]["SolutionDoc"]["properties"])
    has_placement = found["status"] in ("optimal", "feasible", "violating")
    assert (found["placement"] is not None) == has_placement
    assert (found["objective"] is not None) == (found["status"] in ("optimal", "feasible"))
    assert bool(found["violations"]) == (found["status"] == "violating")
    assert bool(found["reasons"]) == (found["status"] == "infeasible")
    shown = mecopt("solve", write(instance), *options, PYTHONPATH=plugin)
    assert shown.returncode == exit_status
    assert f"Status  {found['status']}" in re.sub(" {2,}", "  ", shown.stdout)
    assert shown.stderr == ""


def test_table_and_picture_fit_80_columns(mecopt, toy_file, many_file):
    for path in (toy_file, many_file):
        done = mecopt("solve", path)
        lines = done.stdout.splitlines()
        assert max(map(len, lines)) <= 80
        for name in (
            "Status",
            "Method",
            "Total delay",
            "on servers",
            "on devices",
            "Device energy",
            "Gap",
            "Time",
        ):
            assert any(line.strip().startswith(name) for line in lines)
        assert "\x1b" not in done.stdout
    assert "Which block runs where" in done.stdout
    assert "Most frequent placements" in done.stdout


def test_few_tasks_are_all_drawn_and_others_on_demand(mecopt, toy_file, many_file):
    assert re.findall(r"^Task \d+", mecopt("solve", toy_file).stdout, re.M) == ["Task 0", "Task 1"]
    chosen = mecopt("solve", many_file, "--task", "7", "--task", "3", "--task", "7").stdout
    assert re.findall(r"^Task \d+", chosen, re.M) == ["Task 7", "Task 3"]
    assert "Which block" not in chosen
    wrong = mecopt("solve", toy_file, "--task", "2")
    assert (wrong.returncode, wrong.stderr) == (2, "mecopt: --task 2: expected 0 to 1\n")


def test_colours_only_when_wanted(mecopt, toy_file):
    assert "\x1b[" in mecopt("solve", toy_file, FORCE_COLOR="1", TERM="xterm-256color").stdout
    # Bold is no colour.
    plain = mecopt("solve", toy_file, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color").stdout
    assert not re.search("\x1b\\[[0-9;]*[34]8;", plain)


def test_terminal_that_knows_ascii_only(mecopt, write, toy):
    tasks = [{**task, "device": "kamera-ä"} for task in toy()["tasks"]]
    instance = write(toy(name="grün", devices=[{"name": "kamera-ä", "cycles_per_s": 1e9}], tasks=tasks))
    shown = mecopt("solve", instance, binary=True, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert shown.returncode == 0, shown.stderr
    assert b"|-" in shown.stdout
    shown.stdout.decode("ascii")
    exact = mecopt("solve", instance, "--json", binary=True, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert json.loads(exact.stdout.decode("utf-8"))["instance"] == "grün"


def test_names_move_no_cursor(mecopt, write, toy):
    servers = [{"name": "\x1b[31m", "cycles_per_s": 9e9}, {"name": "es2", "cycles_per_s": 3e9}]
    done = mecopt("solve", write(toy(name="a\x1b[2Jb", servers=servers)))
    assert done.returncode == 0
    assert "\x1b" not in done.stdout


def test_standard_input(mecopt, toy):
    done = mecopt("solve", "-", "--json", stdin=json.dumps(toy()))
    assert document(done.stdout)["instance"] == "toy_pair"
    bad = mecopt("solve", "-", stdin="{")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("mecopt: standard input: not JSON")


def test_pins_and_bans(mecopt, toy_file):
    done = mecopt("solve", toy_file, "--pin", "0:0=0", "--ban", "1:1=0", "--json")
    placement = document(done.stdout)["placement"]
    assert placement[0][0] == 0
    assert placement[1][1] != 0


def test_seed_and_options_are_recorded(mecopt, toy_file):
    done = mecopt(
        "solve", toy_file, "--seed", "5", "--time-limit", "9", "--gap", "0.5", "--pin", "0:0=0", "--json"
    )
    found = document(done.stdout)
    assert found["seed"] == 5
    assert found["options"] == {"time_limit_s": 9.0, "gap": 0.5, "pins": ["0:0=0"], "picked": ["trellis"]}


def test_warm_start(mecopt, toy_file, write, toy, tmp_path):
    out = tmp_path / "solution.json"
    mecopt("solve", toy_file, "--out", out)
    again = mecopt("solve", toy_file, "--warm-start", out)
    assert (again.returncode, again.stderr) == (0, "")
    other = write(
        toy(slots={"count": 3}, servers=[{"cycles_per_s": 4e9}, {"cycles_per_s": 1e9}]), "other.json"
    )
    fits = mecopt("solve", other, "--warm-start", out)
    assert fits.returncode == 0
    assert "made for another instance (toy_pair); its placement fits" in fits.stderr
    smaller = write(toy(tasks=toy()["tasks"][:1]), "smaller.json")
    misfit = mecopt("solve", smaller, "--warm-start", out)
    assert misfit.returncode == 2
    assert misfit.stderr.splitlines() == [
        f"mecopt: {out}: made for another instance (toy_pair)",
        f"mecopt: {out}: placement: 2 tasks, expected 1",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "trelis"), "mecopt: no method 'trelis'; did you mean trellis"),
        (("--pin", "0:0"), "mecopt: --pin 0:0: expected TASK:BLOCK=NODE, such as 0:2=1"),
        (("--ban", "9:0=1"), "mecopt: --ban 9:0=1: task 9, expected 0 to 1"),
        (
            ("--time-limit", "nan"),
            "mecopt solve: invalid value for '--time-limit': nan, expected a finite number >= 0",
        ),
        (("--gap", "-1"), "mecopt solve: invalid value for '--gap': -1, expected a finite number >= 0"),
        (("--plot", "x.gif"), "mecopt: --plot x.gif: expected a name that ends in .png, .svg, .pdf"),
        (("--out", "nowhere/x.json"), "mecopt: --out nowhere/x.json: folder 'nowhere' does not exist"),
        (("--plot", "nowhere/x.png"), "mecopt: --plot nowhere/x.png: folder 'nowhere' does not exist"),
        (("--out", "."), "mecopt: --out .: is a folder, expected a file name"),
        (
            ("--out", "instance.json"),
            "mecopt: --out instance.json: is read by this command, expected another file",
        ),
        (("--warm-start", "nosuch"), "mecopt: nosuch: no such file"),
    ],
)
def test_bad_options(mecopt, toy_file, only_files, options, message):
    done = mecopt("solve", "instance.json", *options, cwd=toy_file.parent)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[0].startswith(message)
    assert done.stderr.count("\n") == 1
    assert only_files(toy_file.parent) == ["instance.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_to_write(mecopt, toy_file, tmp_path):
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o500)
    done = mecopt("solve", toy_file, "--out", shut / "x.json")
    assert done.returncode == 2
    assert "no permission" in done.stderr


def test_coupled_instance_needs_a_method_that_honours_it(mecopt, write, toy):
    instance = write(toy(rules={"couplings": ["memory"]}))
    done = mecopt("solve", instance, "--method", "trellis")
    assert done.returncode == 2
    assert "cannot honour memory" in done.stderr
    relaxed = mecopt("solve", instance, "--method", "trellis", "--relax")
    assert relaxed.returncode == 0


def test_file_that_exists_is_replaced_whole(mecopt, toy_file, tmp_path, only_files):
    out = tmp_path / "solution.json"
    out.write_text("old")
    assert mecopt("solve", toy_file, "--out", out).returncode == 0
    document(out.read_text())
    assert only_files(tmp_path) == ["instance.json", "solution.json"]


def test_a_task_longer_than_its_limit_for_one_block_is_remarked_on(mecopt, write, toy, tmp_path):
    task = toy()["tasks"][0]
    file = write(
        toy(rules={"preset": "paper"}, tasks=[{**task, "max_delay_s": tau} for tau in (0.18, 9.0, None)])
    )
    shown = mecopt("solve", file, "--out", tmp_path / "s.json").stdout
    assert "1 of 3 tasks takes longer in all than its limit for a single block" in shown
    assert "1 of 3 tasks takes longer" in mecopt("evaluate", file, tmp_path / "s.json").stdout
    document(mecopt("solve", file, "--json").stdout)  # the format of solutions has no place for it
    quiet = write(toy(rules={"preset": "paper", "deadline": "none"}))
    assert "single block" not in mecopt("solve", quiet).stdout
