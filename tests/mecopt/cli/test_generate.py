"""`mecopt generate`."""

import json
import shlex

import pytest
from click.testing import CliRunner

import mecopt
from mecopt.cli.generate import OPTIONS, generate
from mecopt.errors import InputError
from mecopt.generation import names
from mecopt.generators.parameters import fields


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        return CliRunner().invoke(generate, list(arguments))

    return invoke


def test_writes_the_instance_and_says_what_it_is(run):
    result = run("paper-near", "--slots", "20", "--seed", "3", "--out", "a.json.gz")
    assert result.exit_code == 0
    assert "all on one server" in result.stdout
    assert "wrote a.json.gz" in result.stderr
    assert mecopt.load("a.json.gz") == mecopt.generate("paper-near", slots=20, seed=3)


def test_default_name(run):
    assert run("crowd:servers=2", "--seed", "5").exit_code == 0
    assert mecopt.load("crowd-servers-2-seed-5.json").name == "crowd:servers=2,seed=5"


@pytest.mark.parametrize("name", names())
def test_command_of_origin_makes_it_again(run, name):
    changes = {"servers": 3, "slots": 3, "rate_bps": (1e6, 1 / 3 + 2e6), "server_load_factor": 0.75}
    first = mecopt.generate(name, seed=11, **changes)
    words = shlex.split(first.origin["command"])
    assert words[:3] == ["mecopt", "generate", name]
    assert run(*words[2:], "--out", "again.json").exit_code == 0
    again = mecopt.load("again.json")
    assert again == first
    assert again.origin == json.loads(json.dumps(first.origin))


def test_every_option_sets_its_parameter(run):
    values = {
        "--servers": "3",
        "--blocks": "4",
        "--slots": "2",
        "--release-rate": "5",
        "--tasks": "individual",
        "--model": "vgg16-224",
        "--rates": "geometry",
        "--rate": "1e6..2e6",
        "--server-rate": "2e8",
        "--max-delay": "1..7",
        "--deadline": "none",
        "--preset": "physical",
        "--coupling": "energy,capacity",
        "--ratio": "1.5",
        "--energy-share": "0.99",
        "--objective": "delay",
        "--sharing": "affine",
        "--deadline-total": "1..9",
        "--one-run": "all",
        "--drop-cost": "5",
        "--phases": "prefill,decode*2",
    }
    assert set(values) == set(OPTIONS)
    result = run("paper", *(word for pair in values.items() for word in pair), "--json")
    assert result.exit_code == 0
    made = json.loads(result.stdout)["origin"]["parameters"]
    expected = {"servers": 3, "release_rate": 5, "rate_bps": {"uniform": [1e6, 2e6]}, "deadline": "none"}
    expected |= {
        "couplings": ["capacity", "energy"],
        "ratio": 1.5,
        "slot_s": None,
        "energy_budget_share": 0.99,
        "sharing": "affine",
        "max_total_delay_s": {"uniform": [1, 9]},
        "one_run": "all",
        "drop_cost": 5,
        "phases": [["prefill", 1], ["decode", 2]],
    }
    assert {name: made[name] for name in expected} == expected


def test_json_is_one_document(run):
    result = run("paper-load", "--slots", "40", "--coupling", "capacity", "--json", "--out", "x.json")
    made = json.loads(result.stdout)
    instance = mecopt.load("x.json")
    assert (made["name"], made["path"], made["sha256"]) == (instance.name, "x.json", instance.sha256)
    assert made["census"]["one_server"] == 40
    assert len(made["warnings"]) == 2
    assert "warning: capacity on bundled tasks" in result.stderr
    assert "warning: 100.0% of the tasks have an optimum of one kind (all on one server)" in result.stderr


def test_warns_of_tasks_that_cannot_be_served(run):
    result = run("camera-alexnet", "--deadline", "hard", "--max-delay", "1e-6", "--slots", "4")
    assert result.exit_code == 0
    assert "no placement meets the deadlines of 4 tasks" in result.stderr
    assert "none possible" in result.stdout


@pytest.mark.parametrize("arguments", [(), ("--list",)])
def test_lists_settings_and_parameters(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 0
    assert all(name in result.stdout for name in (*names(), *fields()))


def test_list_as_json(run):
    made = json.loads(run("--list", "--json").stdout)
    assert set(made["settings"]) == set(names())
    assert set(made["parameters"]) == set(fields())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("papr",), "no setting 'papr'; did you mean paper"),
        (("paper", "--servers", "0"), "servers: 0, expected 1 or more"),
        (("paper", "--servers", "2..9"), "servers: 2..9, expected a whole number, 1 to 1000"),
        (("paper", "--set", "slotz=3"), "slotz: no such parameter, did you mean slots"),
        (("energy", "--energy-share", "0.1"), "energy_budget_share: 0.1 of the optimum's is"),
        (("paper", "--out", "nowhere/a.json"), "--out nowhere/a.json: folder 'nowhere' does not exist"),
    ],
)
def test_bad_input_is_one_line(run, tmp_path, arguments, message):
    result = run(*arguments)
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith(message)
    assert "\n" not in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--seed", "3"),
        ("paper", "--list"),
        ("paper", "--set", "servers"),
        ("paper", "--set", "seed=3"),
        ("paper", "--servers", "3", "--set", "servers=4"),
        ("paper", "--seed", "-1"),
    ],
)
def test_bad_usage(run, arguments):
    assert run(*arguments).exit_code == 2
