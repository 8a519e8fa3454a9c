"""Commands on instances of the wider format: what `solve` and `evaluate` show and write."""

import json

import pytest
from small_case import case

import mecopt as library


@pytest.fixture
def solved(mecopt, write):
    def run(document, *options):
        return mecopt("solve", write(document), "--method", "enumeration", *options)

    return run


def test_weighed_joules_are_no_seconds(solved):
    shown = solved(case(objective={"delay": 2, "energy": 0.5})).stdout
    assert "Objective      19  (delay 16 + energy 3)" in shown
    assert "Lower bound    19\n" in shown
    joules = solved(case(objective={"delay": 0, "energy": 1})).stdout
    assert "Objective      6 J\n" in joules


def test_the_period_and_what_is_busiest(solved):
    shown = solved(case(objective="period")).stdout
    assert "Total delay    8 s" in shown
    assert "Objective      2 s  (busiest: slot 0, node 1)" in shown
    two = solved(case(objective="period", tasks=[{}, {"slot": 1}])).stdout
    assert "Objective      4 s  (periods of 2 slots)" in two


def test_drops_and_phases_are_shown(solved, tmp_path):
    phases = [{"name": "prefill", "repeat": 1}, {"name": "decode", "repeat": 3}]
    tasks = [{"drop_cost": 1}, {"drop_cost": 90}]
    document = case(model={"phases": phases}, tasks=tasks)
    done = solved(document, "--plot", tmp_path / "plot.svg")
    assert done.returncode == 0, done.stderr
    assert "Left out         1 of 2 tasks" in done.stdout
    assert "  phase decode   21 s" in done.stdout
    assert "Objective        29 s  (delay 28 + penalties 1)" in done.stdout
    assert "Task 0 in slot 0: net, left out\n" in done.stdout
    assert "left out" in (tmp_path / "plot.svg").read_text()
    crowd = case(tasks=[{"drop_cost": 1, "rate_bps": [8, 0]}] * 3 + [{"rate_bps": [8, 0]}])
    assert "Task 0 in slot 0: net, left out\n" in solved(crowd, "--task", "0").stdout
    summed = solved(crowd).stdout
    assert "25 % on one server alone, 75 % left out" in summed
    assert "75 %  left out\n" in summed


def test_evaluate_gives_all_that_solve_does(mecopt, write, tmp_path):
    file = write(case(tasks=[{"drop_cost": 5, "weight": 2}]))
    solution = tmp_path / "solution.json"
    assert mecopt("solve", file, "--method", "enumeration", "--out", solution).returncode == 0
    written = json.loads(solution.read_text())
    done = mecopt("evaluate", file, solution, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    judged = json.loads(done.stdout)
    assert judged["dropped"] == 1
    assert {name: written[name] for name in judged.keys() & written.keys()} == {
        name: judged[name] for name in judged.keys() & written.keys()
    }
    assert judged.keys() >= {"objective_terms", "phase_delay_s", "nodes", "schedule"}


def test_convert_there_and_back(mecopt, toy_file, tmp_path):
    wider, back = tmp_path / "wider.json.gz", tmp_path / "back.json"
    done = mecopt("convert", toy_file, "--format", "2", "--out", wider)
    assert done.returncode == 0
    assert done.stdout.startswith("toy_pair: 2 tasks, ")
    assert "; mecopt-instance/2; sha256 " in done.stdout
    again = json.loads(mecopt("convert", wider, "--out", back, "--json").stdout)
    assert json.loads(back.read_text())["format"] == again["format"] == "mecopt-instance/1"
    assert again["sha256"] == library.load(toy_file).sha256 == library.load(wider).sha256


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (case(objective="period"), "rules.objective: unknown field of mecopt-instance/1, it is one of"),
        (case(tasks=[{}, {"weight": 2}]), "tasks[1].weight: unknown field of mecopt-instance/1"),
        (case(couplings=["sharing"], sharing="mm1"), "rules.couplings[0]: 'sharing', expected"),
        (
            case(a={"cycles": [1, 2]}, model={"phases": [{"name": "p"}, {"name": "d"}]}),
            "models[0].blocks[0].cycles: a list of 2, expected a number",
        ),
    ],
)
def test_convert_names_what_the_first_format_lacks(mecopt, write, tmp_path, document, problem):
    file, out = write(document), tmp_path / "out.json"
    done = mecopt("convert", file, "--format", "1", "--out", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"mecopt: {file}: ")
    assert problem in done.stderr
    assert not out.exists()
    assert mecopt("convert", file, "--out", out).returncode == 0
    assert json.loads(out.read_text())["format"] == "mecopt-instance/2"


def test_convert_writes_over_no_input(mecopt, toy_file):
    done = mecopt("convert", toy_file, "--out", toy_file)
    assert done.returncode == 2
    assert "is read by this command" in done.stderr


def test_validate_says_the_format_and_what_is_asked_for(mecopt, write, toy_file):
    file = write(case(objective="period", one_run="all"), "wider.json")
    assert "; mecopt-instance/1; sha256 " in mecopt("validate", toy_file).stdout
    assert (
        "; mecopt-instance/2 with one_run, the objective period; sha256 " in mecopt("validate", file).stdout
    )
    (row,) = json.loads(mecopt("validate", file, "--json").stdout)
    assert row["format"] == "mecopt-instance/2"
    assert row["asks_for"] == ["one_run", "the objective period"]
