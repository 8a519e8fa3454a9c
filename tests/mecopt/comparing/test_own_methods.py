"""`compare` with methods of one's own: carried to the workers, told apart by their code, bounded like all."""

import itertools
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from places import INSTANCES

import mecopt
from mecopt.comparing import Comparison
from mecopt.errors import InputError

TINY, COUPLED = INSTANCES / "tiny_paper.json", INSTANCES / "tiny_capacity.json"
NODE = 0


def local(instance):
    return [[NODE] * blocks for blocks in instance.block_count]


class Rule:
    """A callable thing with a state."""

    def __init__(self, node):
        self.node = node

    def __call__(self, instance):
        return np.full((instance.task_count, instance.max_blocks), self.node)


def compared(methods, **given):
    return mecopt.compare(TINY, methods, workers=1, **given)


def test_functions_methods_and_lambdas_run_in_the_workers():
    near = mecopt.Method("near", "baseline", "s", frozenset(), lambda i, run: run.found(local(i)))
    methods = {"mine": local, "two": lambda i: local(i), "rule": Rule(1), "own": near, "best": "trellis"}
    runs = compared(methods).set_index("method")
    assert list(runs.index) == list(methods)
    assert runs["error"].isna().all()
    assert runs.loc["mine", "objective"] == runs.loc["two", "objective"] == runs.loc["own", "objective"]
    assert runs.loc["rule", "objective"] != runs.loc["mine", "objective"]
    assert runs.loc["best", "status"] == "optimal"


def test_without_names_they_bear_their_own():
    def greedy_like(instance, *, seed, share=1.0):
        return local(instance)

    runs = compared([local, (greedy_like, {"share": 0.5})], seeds=2)
    assert runs["method"].tolist() == ["local", "greedy_like", "greedy_like"]
    assert runs["seed"].tolist() == [0, 0, 1]
    assert json.loads(runs["options"].iloc[1]) == {"share": 0.5}


def test_the_time_limit_holds_for_a_function():
    def endless(instance):
        while True:
            threading.Event().wait(0.01)

    runs = compared(endless, time_limit_s=0.3)
    assert runs[["status", "stopped_by"]].values.tolist() == [["unknown", "time"]]


def test_what_goes_wrong_is_a_row_with_file_and_line():
    def astray(instance):
        return {}["x"]

    error = compared(astray)["error"].item()
    assert "method 'astray' failed: KeyError: 'x'" in error
    assert f"test_own_methods.py, line {astray.__code__.co_firstlineno + 1})" in error


def test_what_cannot_be_carried_is_refused_in_one_line():
    lock = threading.Lock()

    def locked(instance):
        with lock:
            return local(instance)

    with pytest.raises(
        InputError, match=r"'locked' cannot be carried to worker processes: cannot pickle"
    ) as e:
        compared(locked)
    assert "test_own_methods.py, line" in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("methods", "text"),
    [
        (
            [local, Rule(0), lambda i: 1, lambda i: 2],
            "two different methods are named 'lambda', expected a name",
        ),
        ({"": local}, "methods: the name '', expected a text"),
        ({3: local}, "methods: the name 3, expected a text"),
        (3, "methods: 3, expected a name"),
        ([dict], "method: <class 'dict'>, expected a name"),
        ("none.py:f", "none.py: cannot be read"),
    ],
)
def test_bad_methods(methods, text):
    with pytest.raises(InputError, match=text):
        compared(methods)


# --- files, and the command line ---
def test_a_name_in_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "def place(instance):\n    return [[0] * b for b in instance.block_count]\n"
    (tmp_path / "own.py").write_text(text)
    command = [sys.executable, "-m", "mecopt", "compare", str(TINY), "--out", "out", "--workers", "1"]
    command += ["--methods", "own.py:place,mine=own.py:place,local", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert [run["method"] for run in runs] == ["place", "mine", "local"]
    assert len({run["objective"] for run in runs}) == 1
    solved = subprocess.run(
        [sys.executable, "-m", "mecopt", "solve", str(TINY), "--method", "own.py:place", "--json"],
        capture_output=True,
        text=True,
    )
    assert json.loads(solved.stdout)["objective"] == runs[0]["objective"]


def test_a_bad_file_is_one_line_and_status_2(tmp_path):
    (tmp_path / "own.py").write_text("import mecopt\nx = 1 / 0\n")
    for command in (["solve", str(TINY), "--method"], ["compare", str(TINY), "--out", "o", "--methods"]):
        done = subprocess.run(
            [sys.executable, "-m", "mecopt", *command, "own.py:f"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        expected = "mecopt: own.py: line 2: cannot be imported: ZeroDivisionError: division by zero"
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.startswith(expected)


def test_a_script_without_a_guard_can_compare_its_own_function(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import mecopt\nNODE = 0\n\ndef f(instance):\n"
        "    return [[NODE] * b for b in instance.block_count]\n\n"
        f"print(mecopt.compare({str(TINY)!r}, f, workers=1).status.item())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("feasible\n", "")


# --- fingerprints ---
def test_other_code_is_another_row(tmp_path, monkeypatch):
    """What an editor of a plug-in expects: the new code is run, and the old runs are not shown for it."""
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    own, helper = tmp_path / "own.py", tmp_path / "own_helper.py"
    text = "from own_helper import NODE\n\ndef f(i):\n    return [[NODE] * b for b in i.block_count]\n"
    own.write_text(text)
    helper.write_text("NODE = 0\n")

    def run(**given):
        frame = compared(f"{own}:f", out=tmp_path / "out", **given)
        sys.modules.pop("own_helper", None)
        return frame

    first = run()
    assert run().equals(first), "the same code is not run again"
    helper.write_text("NODE = 1\n")
    second = run()
    assert len(second) == 1
    assert second["fingerprint"].item() != first["fingerprint"].item()
    assert second["objective"].item() != first["objective"].item()
    own.write_text(text + "# a remark\n")
    assert run()["fingerprint"].item() not in (first["fingerprint"].item(), second["fingerprint"].item())
    with Comparison.open(tmp_path / "out") as comparison:
        assert len(comparison.outdated) == 2
        assert comparison.pending == 0


def test_an_unfinished_run_of_old_code_is_given_up(tmp_path):
    from mecopt.comparing.run_plan import ComparisonPlan
    from mecopt.comparing.store import RunStore

    RunStore(tmp_path, ComparisonPlan.of([TINY, COUPLED], {"f": lambda i: local(i)})).close()
    mecopt.compare(TINY, {"f": lambda i: [[1] * b for b in i.block_count]}, workers=1, out=tmp_path)
    with Comparison.open(tmp_path) as comparison:
        assert (len(comparison.runs), comparison.pending) == (1, 0)


def code(function):
    from mecopt.comparing.fingerprints import fingerprint
    from mecopt.own import find

    return fingerprint(find(function))


def make(text, **names):
    """Return the function `f` of a text, as one that a notebook's cell defines."""
    space = {"__name__": "__main__", "mecopt": mecopt, "np": np, **names}
    exec(compile(text, f"cell {next(CELLS)}", "exec"), space)
    return space["f"]


CELLS = itertools.count()
BASE = "\ndef g(i):\n    return A\n\ndef f(i, x=1):\n    return [g(i)] * np.ones(2)"


def test_what_counts_of_a_function_of_a_notebook():
    first = code(make(BASE, A=1))
    assert code(make("\n\n# moved, and remarked\n" + BASE, A=1)) == first
    others = [
        make(BASE, A=2),
        make(BASE.replace("x=1", "x=2"), A=1),
        make(BASE.replace("return A", "return -A"), A=1),
        make(BASE.replace("np.ones", "np.zeros"), A=1),
        make(BASE, A=np.array([1.0, 2.0])),
        make(BASE, A=np.array([1.0, 3.0])),
        make(BASE, A={"a": {1, 2}}),
        make(BASE, A=Rule(1)),
        make(BASE, A=Rule(2)),
        make("def f(i):\n    return f(i - 1) if i else {'a', 'b'}"),
    ]
    assert len({first, *map(code, others)}) == len(others) + 1


def test_it_is_the_same_in_every_process(tmp_path):
    """Whatever the seed of its hashes: else each session would begin a comparison anew."""
    script = tmp_path / "s.py"
    script.write_text(
        "from mecopt.comparing.fingerprints import fingerprint\nfrom mecopt.own import find\n"
        "LIMITS = {'energy', 'memory', 'capacity', 'a', 'b'}\n"
        "class C:\n    x = 1\n    def m(self): return LIMITS\n"
        "def f(i):\n    return C().m() if i in {'p', 'q', 'r'} else [g(i) for g in (f,)]\n"
        "print(fingerprint(find(f)), fingerprint(find('greedy')))\n"
    )
    said = {
        subprocess.run(
            [sys.executable, script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


def test_rerun_makes_finished_runs_again(tmp_path):
    first = compared(["trellis", "local"], out=tmp_path)
    again = compared(["trellis", "local"], out=tmp_path, rerun="local")
    assert again["run"].tolist() == first["run"].tolist()
    assert (again["started"] == first["started"]).tolist() == [True, False]
    assert again["objective"].equals(first["objective"])
    with pytest.raises(InputError, match=r"rerun: greedy, expected among the methods \(trellis, local\)"):
        compared(["trellis", "local"], out=tmp_path, rerun="greedy")


# --- what happens before the clock begins ---
def test_a_method_is_warmed_up_on_the_shape_of_its_run(tmp_path, monkeypatch):
    """Loading takes 0.6 s, and only instances of two servers are taken, as with a trained policy."""
    monkeypatch.setattr("sys.path", list(sys.path))
    (tmp_path / "learner.py").write_text(
        "import time\nimport mecopt\n\nloaded = []\n\ndef f(instance):\n"
        "    if instance.server_count != 2:\n        raise mecopt.InputError('trained for 2 servers')\n"
        "    if not loaded:\n        time.sleep(0.6)\n        loaded.append(1)\n"
        "    return [[0] * b for b in instance.block_count]\n"
    )
    specs = "paper:slots=30,servers=3..4,seed=0", "paper:slots=30,servers=2,seed=1..2"
    runs = mecopt.compare(list(specs), f"{tmp_path}/learner.py:f", workers=1, time_limit_s=5)
    assert runs["status"].tolist() == ["refused", "refused", "feasible", "feasible"]
    assert runs["error"].iloc[0] == "trained for 2 servers"
    assert (runs["wall_s"] < 0.5).all()
    with_the_clock = mecopt.solve(specs[1].replace("1..2", "1"), f"{tmp_path}/learner.py:f")
    assert with_the_clock.runtime_s > 0.6, "what the warm-up took off the runs"
