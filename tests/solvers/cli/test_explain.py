"""`mecopt explain` as a process: what people see, one JSON document, and the exit status."""

import json
import signal
import subprocess
import sys
import time

import pytest
from commands import environment, mecopt
from places import INSTANCES


def document(*args, status=0):
    done = mecopt("explain", *args, "--json")
    assert (done.returncode, done.stderr) == (status, "")
    return json.loads(done.stdout)


def tiny(name):
    return INSTANCES / f"tiny_{name}.json"


@pytest.fixture
def write(tmp_path):
    def put(value, name="solution.json"):
        (tmp_path / name).write_text(json.dumps(value))
        return tmp_path / name

    return put


def test_what_people_see_fits_80_columns():
    done = mecopt("explain", tiny("capacity"), "--task", "0", "--best", "4", "--pin", "0:1=0")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in done.stdout
    for title in (
        "Where time and energy go, block by block:",
        "Node by node:",
        "Task 0:",
        "Limits used to 99.9 % or more:",
        "Tightest limits, and what one more unit of each would save:",
        "Best placements of task 0, couplings left out:",
        "What pin 0:1=0 costs:",
    ):
        assert title in lines
    assert " 1 of 1 capacity" in lines
    assert any("2.5 s/s" in line for line in lines)
    assert not any("es1 0-1" in line for line in lines)  # the list keeps to the pin
    free = mecopt("explain", tiny("capacity"), "--task", "0", "--best", "4").stdout.splitlines()
    assert any("es1 0-1" in line and "violates capacity" in line for line in free)


def test_many_slots_are_summed_up(write):
    instance = json.loads(tiny("capacity").read_text())
    instance["slots"]["count"] = 13
    instance["tasks"] = [{**task, "slot": slot} for slot in range(13) for task in instance["tasks"]]
    file = write(instance, "instance.json")
    solution = write({"format": "mecopt-solution/1", "placement": [[0, 1]] * 26})
    done = mecopt("explain", file, solution)
    assert (done.returncode, done.stderr) == (0, "")
    assert " 13 of 13 capacities" in done.stdout.splitlines()
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("capacity      es1")]
    assert row == ["capacity", "es1", "13", "13", "100.0", "32.5", "s/s"]
    assert " and 1 more (--json lists all)" in map(str.rstrip, done.stdout.splitlines())


def test_figures_of_an_instance_worked_out_by_hand():
    found = document(tiny("deadline"), "--task", "1", "--best", "2", "--ban", "0:1=2")
    assert found["format"] == "mecopt-explanation/1"
    assert (found["status"], found["objective"]) == ("optimal", 4.375)
    assert found["placement"] == [[0, 2], [2, 2]]
    assert found["spending"]["total"]["delay_s"] == 4.375
    assert [row["delay_s"] for row in found["spending"]["tasks"]] == [2.125, 0.5]
    assert [limit["where"] for limit in found["deadlines"]] == [{"task": 1, "block": 0}]
    (value,) = found["deadline_values"]
    assert (value["task"], value["block"], value["saved_without_s"]) == (1, 1, 0.875)
    assert [one["nodes"] for one in found["alternatives"]] == [[2, 2]]
    assert found["forced"]["cost_s"] == 0.375
    assert found["forced"]["task_costs"] == [{"task": 0, "cost_s": 0.375}]


def test_a_given_placement(write):
    file = write({"format": "mecopt-solution/1", "placement": [[1, 1], [1, 1]]})
    found = document(tiny("capacity"), file, status=5)
    assert (found["source"], found["status"], found["objective"]) == ("given", "violating", None)
    (limit,) = found["limits"]
    assert (limit["used"], limit["limit"]) == (1.5, 1.0)
    assert limit["price_s"] == pytest.approx(2.5)
    shown = mecopt("explain", tiny("capacity"), file)
    assert shown.returncode == 5
    assert "The placement violates 1 limit:" in shown.stdout
    best = write({"format": "mecopt-solution/1", "placement": [[0, 1], [0, 1]]})
    assert document(tiny("capacity"), best)["status"] in ("optimal", "feasible")


def test_tasks_without_a_placement():
    found = document(tiny("infeasible"), status=3)
    assert found["placement"] is None
    (task,) = found["infeasibility"]["tasks"]
    assert (task["task"], task["conflict"]) == (1, [[0, 1.5], [1, 0.6]])
    assert (task["factor"], task["extra_s"]) == pytest.approx((1.25, 0.15))
    shown = mecopt("explain", tiny("infeasible"))
    assert shown.returncode == 3
    assert "cannot have both block 0 in 1.5 s and block 1 in 600 ms" in shown.stdout


def test_limits_that_cannot_hold_together(write):
    instance = json.loads(tiny("energy").read_text())
    instance["devices"][0]["energy_budget_j"] = 2.0
    file = write(instance, "instance.json")
    found = document(file, status=3)
    why = found["infeasibility"]
    assert [limit["where"] for limit in why["conflict"]["limits"]] == [{"device": "camera"}]
    assert why["conflict"]["irreducible"] is True
    assert why["relaxation"]["least"] is True
    (violation,) = why["relaxation"]["violations"]
    assert (violation["limit"], violation["value"]) == (2.0, 2.25)
    shown = mecopt("explain", file)
    assert shown.returncode == 3
    assert "energy at device camera: 2 J to 2.25 J, 0.25 J more (12.5 %)" in shown.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--best", "3"), "mecopt: --best: expected --task K too"),
        (("--task", "9"), "mecopt: --task 9: expected 0 to 1"),
        (("--pin", "0:0"), "mecopt: --pin 0:0: expected TASK:BLOCK=NODE"),
        (("--pin", "0:0=1", "--pin", "0:0=0"), "mecopt: pins and bans leave no node for block 0 of task 0"),
        (("--method", "nosuch"), "mecopt: no method 'nosuch'"),
        (("nosuch.json",), "mecopt: nosuch.json: no such file"),
        (("--time-limit", "-1"), "mecopt explain: invalid value for '--time-limit'"),
    ],
)
def test_bad_options(args, message):
    done = mecopt("explain", tiny("capacity"), *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)


def test_a_solution_of_another_instance_is_refused(tmp_path):
    out = tmp_path / "solution.json"
    assert mecopt("solve", tiny("paper"), "--out", out).returncode == 0
    done = mecopt("explain", tiny("capacity"), out)
    assert done.returncode == 2
    assert "made for another instance" in done.stderr


def test_ctrl_c_leaves_no_half_document():
    command = [sys.executable, "-m", "mecopt", "explain", str(INSTANCES / "crowd_k60_n9.json"), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stdout == b""
    # Before it may stand that kernels are compiled, where this is the first explanation of an installation.
    assert stderr.decode().strip().splitlines()[-1] == "mecopt: interrupted"
