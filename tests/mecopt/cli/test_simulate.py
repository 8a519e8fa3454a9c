"""`mecopt simulate` as a process: tables, one JSON document, errors in one line."""

import json

import numpy as np
import pytest

import mecopt as library
from mecopt.simulation import Rule

SPEC = "paper:tasks=individual,slots=1,release_rate=3,servers=2"


def test_people_get_a_table_and_a_bound(mecopt):
    done = mecopt("simulate", SPEC, "--policy", "nominal,selfish", "--load", 0.6, "--tasks", 2000)
    assert done.returncode == 0, done.stderr
    first, head, _, *rows, last = done.stdout.splitlines()
    assert first.startswith("paper:") or SPEC.split(":")[0] in first
    assert head.split() == ["Rule", "Mean", "s", "p50", "p99", "Late", "Joules", "Regret"]
    assert {row.split()[0] for row in rows} == {"nominal", "selfish"}
    assert last.startswith("no policy has a mean below ")
    assert max(map(len, done.stdout.splitlines()[1:])) <= 80


def test_json_is_one_document(mecopt):
    args = ("simulate", SPEC, "--policy", "nominal", "--tasks", 3000, "--load", 3, "--json")
    done = mecopt(*args)
    assert done.returncode == 0
    assert "mecopt: nominal: unstable, its figures grow with --tasks: es" in done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["settings", "policies", "runs"]
    run = found["runs"][0]
    assert run["mean_s"][1] <= run["mean_s"][0] <= run["mean_s"][2]
    assert run["p50_s"][0] <= run["p95_s"][0] <= run["p99_s"][0]
    assert (run["status"], set(run["utilisation"])) == ("unstable", {"es1", "es2"})


def test_the_same_seed_is_the_same_run():
    first, second = (
        library.simulate(SPEC, "power-of-two", tasks=1000, arrivals="both").runs[0] | {"cpu_s": 0}
        for _ in range(2)
    )
    assert first == second
    assert first["regret"] >= 0


@pytest.mark.parametrize(
    ("policy", "given", "text"),
    [
        ("selfsh", {}, "no rule 'selfsh'; did you mean selfish"),
        ("selfish", {"load": 0.0}, "load: 0, expected a finite number > 0"),
        ("selfish", {"load": float("nan")}, "load: nan, expected a finite number >= 0"),
        ("selfish", {"load": 1.0, "rate": 1.0}, "load and rate: both given"),
        ("selfish", {"tasks": 5}, "tasks: 5, expected 200 to 20,000,000"),
        ("selfish", {"seeds": 0}, "seeds: 0, expected at least 1"),
        ("selfish", {"arrivals": "rain"}, "arrivals: 'rain', expected one of poisson, bursty"),
        ("selfish", {"arrivals": "trace:no.csv"}, "no.csv: no such file"),
        (["selfish", "selfish"], {}, "'selfish' is given twice"),
        ([], {}, "policy: none given"),
        ("no.py:rule", {}, "no.py: cannot be read"),
        ("selfish", {"staleness": -1}, "staleness: -1, expected at least 0"),
        ("selfish", {"discipline": "lifo"}, "discipline: 'lifo', expected fifo or ps"),
    ],
)
def test_bad_input_is_refused(policy, given, text):
    with pytest.raises(library.InputError) as error:
        library.simulate(SPEC, policy, **given)
    assert text in str(error.value)


def test_numbers_of_numpy_are_numbers(tmp_path):
    given = {"seeds": np.int64(2), "tasks": np.int32(1000), "load": np.float32(0.5), "staleness": np.int8(1)}
    kept = library.simulate(SPEC, "selfish", out=tmp_path / "out", **given)
    plain = library.simulate(SPEC, "selfish", seeds=2, tasks=1000.0, load=0.5, staleness=1)
    assert [run | {"cpu_s": 0} for run in kept.runs] == [run | {"cpu_s": 0} for run in plain.runs]


def test_bad_input_is_one_line(mecopt):
    done = mecopt("simulate", SPEC, "--policy", "selfsh")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("mecopt: no rule")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("time_s\n1\nx\n", "line 3: time_s 'x', expected a number >= 0"),
        ("time_s,task\n1,0\n2,9\n", "line 3: task '9', expected a task of 0..2"),
        ("time_s\n2\n1\n", "arrival 2: earlier than the one before"),
        ("when\n1\n2\n", "line 1: 'when', expected the head time_s"),
        ("time_s,size\n1,0\n2,1\n", "line 2: size '0', expected a number > 0"),
        ("time_s,size\n1\n", "line 2: 1 cells, expected 2"),
        ("time_s\n1\n", "fewer than 2 arrivals"),
    ],
)
def test_a_trace_that_is_none_is_told_where(tmp_path, text, place):
    from mecopt.simulation.arrivals import read_trace

    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(library.InputError) as error:
        read_trace(str(path), 3)
    assert place in str(error.value)
    assert str(path) in str(error.value)


def test_a_trace_is_played_as_it_is(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("time_s,task,size\n" + "".join(f"{i * 10},{i % 3},1\n" for i in range(300)))
    found = library.simulate(SPEC, "nominal", arrivals=f"trace:{path}")
    assert found.settings["tasks"] == 300
    assert found.settings["rate_per_s"] == pytest.approx(300 / 2990)
    assert found.runs[0]["waiting_s"] == pytest.approx(0.0, abs=1e-9)
    assert found.runs[0]["regret"] == pytest.approx(0.0, abs=1e-9)


def test_a_rule_of_ones_own_that_fails_is_named(tmp_path):
    rule = tmp_path / "mine.py"
    rule.write_text("def bad(view):\n    return [9]\n\ndef worse(view):\n    raise ValueError('no idea')\n")
    with pytest.raises(library.MethodError, match=r"returned \[9\] at task 0, expected 6 nodes of 0..2"):
        library.simulate(SPEC, f"{rule}:bad", tasks=300)
    with pytest.raises(library.MethodError, match=r"rule 'worse': raised at task 0: .*no idea"):
        library.simulate(SPEC, f"{rule}:worse", tasks=300)
    with pytest.raises(library.MethodError, match=r"rule 'ragged': returned \[\[1\], \[1, 2\]\] at task 0"):
        library.simulate(SPEC, ["nominal", ragged], tasks=300)
    lazy = Rule("lazy", "fails at once", lambda setting: setting.nothing)
    with pytest.raises(library.MethodError, match="rule 'lazy' raised while it was prepared: AttributeError"):
        library.simulate(SPEC, lazy, tasks=300)


def ragged(view):
    return [[1], [1, 2]]


def test_a_short_trace_and_too_many_tasks_are_told(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("time_s\n" + "\n".join(map(str, range(250))) + "\n")
    trace = f"trace:{path}"
    with pytest.raises(library.InputError, match="tasks: 300, expected at most the 250 arrivals of"):
        library.simulate(SPEC, "nominal", arrivals=trace, tasks=300)
    assert library.simulate(SPEC, "nominal", arrivals=trace, tasks=200).settings["tasks"] == 200
    path.write_text("time_s\n1\n2\n3\n")
    with pytest.raises(library.InputError, match=r"trace.csv: 3 arrivals, expected at least 200"):
        library.simulate(SPEC, "nominal", arrivals=trace)


def test_a_file_without_a_rule_is_told_what_one_is(tmp_path):
    with pytest.raises(library.InputError, match=r"where NAME is a Rule of mecopt\.simulation or a func"):
        library.simulate(SPEC, "nix.py:a", tasks=300)
    with pytest.raises(library.InputError, match=r"rule 'nix\.py': expected file.py:NAME"):
        library.simulate(SPEC, "nix.py", tasks=300)
    (tmp_path / "none.py").write_text("")
    with pytest.raises(library.InputError, match="has no 'a'; it has no rules"):
        library.simulate(SPEC, f"{tmp_path / 'none.py'}:a", tasks=300)
