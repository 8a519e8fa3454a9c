"""`evaluate`, `validate`, `methods`, `schema`, `models` and `best-known` as processes."""

import json

import jsonschema
import pytest


@pytest.fixture
def solution_file(mecopt, toy_file, tmp_path):
    path = tmp_path / "solution.json"
    assert mecopt("solve", toy_file, "--out", path).returncode == 0
    return path


def test_evaluate_agrees_with_solve(mecopt, toy_file, solution_file):
    done = mecopt("evaluate", toy_file, solution_file, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found, solved = json.loads(done.stdout), json.loads(solution_file.read_text())
    assert found["feasible"] is True
    assert found["violations"] == []
    shared = ("objective", "total_delay_s", "edge_delay_s", "local_delay_s", "deadline_excess_s", "energy_j",
              "device_energy_j")  # fmt: skip
    assert {name: found[name] for name in shared} == {name: solved[name] for name in shared}
    shown = mecopt("evaluate", toy_file, solution_file)
    assert shown.returncode == 0
    assert "Total delay" in shown.stdout
    assert "Task 0 in slot 0" in shown.stdout


def test_evaluate_minimal_file_that_violates(mecopt, toy_file, write):
    file = write({"format": "mecopt-solution/1", "placement": [[0, 1], [1, 1]]}, "solution.json")
    done = mecopt("evaluate", toy_file, file, "--json")
    assert done.returncode == 5
    found = json.loads(done.stdout)
    assert (found["feasible"], found["objective"], found["total_delay_s"]) == (False, None, None)
    assert {violation["kind"] for violation in found["violations"]} == {"link"}
    shown = mecopt("evaluate", toy_file, file)
    assert shown.returncode == 5
    assert "The placement violates 2 limits" in shown.stdout
    assert "missing link" in shown.stdout


def test_evaluate_says_where_the_file_is_wrong(mecopt, toy_file, solution_file, write):
    claim = json.loads(solution_file.read_text())
    file = write({**claim, "objective": claim["objective"] * 1.01, "status": "violating"}, "claim.json")
    done = mecopt("evaluate", toy_file, file, "--json")
    assert done.returncode == 0
    json.loads(done.stdout)
    assert f"mecopt: {file}: status: the file says violating, the judge feasible" in done.stderr
    assert f"mecopt: {file}: objective: the file says " in done.stderr


def test_evaluate_refuses_a_solution_of_another_instance(mecopt, solution_file, write, toy):
    other = write(
        toy(slots={"count": 3}, servers=[{"cycles_per_s": 4e9}, {"cycles_per_s": 1e9}]), "other.json"
    )
    done = mecopt("evaluate", other, solution_file)
    assert (done.returncode, done.stdout) == (2, "")
    assert "instance_sha256: made for another instance (toy_pair" in done.stderr


def test_validate(mecopt, toy_file, write, toy, many_file):
    good = mecopt("validate", toy_file, many_file)
    assert (good.returncode, good.stderr) == (0, "")
    first, second = good.stdout.splitlines()
    assert first.startswith(f"{toy_file}: ok: toy_pair: 2 tasks, 2 servers, up to 2 blocks, hard deadlines")
    assert "400 tasks" in second
    bad = write(toy(slots={"count": 1}), "bad.json")
    both = mecopt("validate", toy_file, bad, "--json")
    assert (both.returncode, both.stderr) == (2, "")
    rows = json.loads(both.stdout)
    assert [row["valid"] for row in rows] == [True, False]
    assert rows[1]["problems"] == ["servers[1].cycles_per_s: 2 speeds for 1 slots",
                                   "tasks[1].slot: 1, expected 0 to 0"]  # fmt: skip
    assert len(rows[0]["sha256"]) == 64


def test_methods(mecopt, plugin):
    rows = json.loads(mecopt("methods", "--json").stdout)
    trellis = next(row for row in rows if row["name"] == "trellis")
    assert (trellis["kind"], trellis["exact"], trellis["couplings"]) == ("exact", True, [])
    shown = mecopt("methods", PYTHONPATH=plugin)
    assert shown.returncode == 0
    assert "idle" in shown.stdout
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    names = [line.split()[0] for line in lines if line[:1].strip()]
    assert names.index("trellis") < names.index("local-search") < names.index("greedy") < names.index("a3c")
    assert next(line for line in lines if line.startswith("greedy ")).split()[1:4] == [
        "baseline",
        "tries",
        "all",
    ]


def test_schema(mecopt, toy, tmp_path):
    for args in ((), ("instance",), ("model",), ("solution",)):
        schema = json.loads(mecopt("schema", *args).stdout)
        jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(toy(), json.loads(mecopt("schema").stdout))
    out = tmp_path / "schema.json"
    done = mecopt("schema", "solution", "--out", out)
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads(out.read_text()) == schema
    assert mecopt("schema", "nonsense").returncode == 2


def test_models(mecopt):
    done = mecopt("models", "--json")
    assert done.returncode == 0
    assert {row["name"] for row in json.loads(done.stdout)} >= {"vgg16-cifar10"}


def test_best_known(mecopt, toy_file, many_file, solution_file, tmp_path, only_files, toy, write):
    store = tmp_path / "store.json"
    first = mecopt("best-known", "update", toy_file, "--solution", solution_file, "--store", store)
    assert first.returncode == 0
    assert first.stdout.startswith(f"{toy_file}: new: feasible, objective ")
    second = mecopt("best-known", "update", toy_file, many_file, "--store", store)
    assert ": improved: optimal, objective " in second.stdout
    assert ": new: optimal, " in second.stdout
    before = store.read_bytes()
    third = mecopt("best-known", "update", toy_file, "--store", store, "--json")
    (row,) = json.loads(third.stdout)
    assert (row["improved"], row["entry"]["status"]) == (False, "optimal")
    assert store.read_bytes() == before
    shown = mecopt("best-known", "show", store)
    assert "toy_pair" in shown.stdout
    assert "many" in shown.stdout
    assert json.loads(mecopt("best-known", "show", store, "--json").stdout) == json.loads(before)
    violating = write({"format": "mecopt-solution/1", "placement": [[0, 1], [1, 1]]}, "bad.json")
    refused = mecopt("best-known", "update", toy_file, "--solution", violating, "--store", store)
    assert refused.returncode == 2
    assert "violates 2 limits" in refused.stderr
    assert store.read_bytes() == before
    assert not [name for name in only_files(tmp_path) if name.startswith(".")]


def test_best_known_store_that_is_none(mecopt, toy_file, write):
    store = write('{"format": "mecopt-best-known/1", "entries": {"x": {}}}', "store.json")
    for args in (("show", store), ("update", toy_file, "--store", store)):
        done = mecopt("best-known", *args)
        assert done.returncode == 2
        assert done.stderr.startswith(f"mecopt: {store}: entries.x")
    assert mecopt("best-known", "show", toy_file.parent / "none.json").returncode == 2


def test_warm_up_says_what_it_did(mecopt):
    first = mecopt("warm-up", "--methods", "greedy, best-node")
    assert first.returncode == 0
    assert first.stdout.startswith("2 methods, ")
    again = mecopt("warm-up", "--methods", "greedy", "--json")
    found = json.loads(again.stdout)
    assert (again.returncode, found["compiled_s"]) == (0, 0.0)
    assert [(row["method"], row["error"]) for row in found["methods"]] == [("greedy", "")]
    assert "mecopt: greedy: ready" in again.stderr


def test_warm_up_of_methods_that_do_not_exist(mecopt):
    for names, text in (("gredy", "no method 'gredy'; did you mean greedy"), ("a,,b", "expected names")):
        done = mecopt("warm-up", "--methods", names)
        assert (done.returncode, done.stdout) == (2, "")
        assert text in done.stderr
