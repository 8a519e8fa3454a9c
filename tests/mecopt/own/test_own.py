"""Functions, `Method` objects and ``file.py:NAME`` are solved with like registered methods."""

import re
import signal
import threading
import time

import numpy as np
import pytest
from places import INSTANCES

import mecopt
from mecopt.own import find, method_of

TINY, COUPLED = INSTANCES / "tiny_paper.json", INSTANCES / "tiny_capacity.json"


def local(instance):
    """All blocks on the device."""
    return [[0] * blocks for blocks in instance.block_count]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file of one's own into the current folder; `sys.path` is as before afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    return lambda text, name="own.py": (tmp_path / name).write_text(text)


def test_a_function_is_judged_like_any_method():
    result = mecopt.solve(TINY, local)
    assert (result.method, result.status) == ("local", "feasible")
    assert result.objective == mecopt.solve(TINY, "local").objective
    assert result.lower_bound == pytest.approx(mecopt.solve(TINY, "trellis").objective)


def test_a_function_says_what_it_is():
    method = method_of(local)
    assert (method.name, method.summary, method.random) == ("local", "All blocks on the device.", False)
    assert method.honours == frozenset(mecopt.Coupling)
    assert method.stance("capacity") == method.stance("deadline") == "tries"


def test_a_placement_that_breaks_a_limit_is_violating():
    result = mecopt.solve(COUPLED, lambda instance: np.ones((instance.task_count, instance.max_blocks), int))
    assert result.status == "violating"


def test_its_parameters_are_options():
    seen = []

    def rule(instance, share=0.5, *, seed, threads):
        seen.append((share, seed, threads))
        return local(instance)

    result = mecopt.solve(TINY, rule, share=0.25, seed=7, threads=2)
    assert seen == [(0.25, 7, 2)]
    assert (result.options["share"], result.seed) == (0.25, 7)
    assert method_of(rule).random
    with pytest.raises(mecopt.InputError, match="rule has no option 'shar'; did you mean 'share'"):
        mecopt.solve(TINY, rule, shar=1)


def test_it_may_take_the_run():
    def own(instance, run):
        run.improve_bound(0.5)
        assert run.time_left_s < 10
        return local(instance)

    assert mecopt.solve(TINY, own, time_limit_s=9).objective is not None


def test_a_method_object():
    found = mecopt.Method("mine", "baseline", "s", frozenset(), lambda i, run: run.found(local(i)))
    assert mecopt.solve(TINY, found).method == "mine"
    with pytest.raises(mecopt.CouplingError, match="mine cannot honour capacity"):
        mecopt.solve(COUPLED, found)


@pytest.mark.parametrize("swallows", [False, True])
def test_the_time_limit_ends_a_function_that_never_returns(swallows):
    def endless(instance):
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                if not swallows or time.perf_counter() > until:
                    raise

    until = time.perf_counter() + 0.5
    before, theirs = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)  # pytest's
    result = mecopt.solve(TINY, endless, time_limit_s=0.2)
    assert (result.status, result.stopped_by) == ("unknown", "time")
    assert 0.2 <= result.runtime_s < 1.5
    assert result.lower_bound > 0
    assert signal.getsignal(signal.SIGALRM) is before
    assert theirs[0] - 5 < signal.getitimer(signal.ITIMER_REAL)[0] < theirs[0]


def test_an_alarm_of_somebody_else_still_rings(monkeypatch):
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(time.perf_counter()))
    kept = signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        start = time.perf_counter()
        mecopt.solve(TINY, lambda instance: time.sleep(5), time_limit_s=0.3)
        assert 0.3 <= time.perf_counter() - start < 2
        assert len(rung) == 1
        assert 0.1 <= rung[0] - start < 0.3
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *kept)


def test_in_a_thread_a_function_goes_on_until_it_returns():
    found = []

    def slow(instance):
        time.sleep(0.2)
        return local(instance)

    thread = threading.Thread(target=lambda: found.append(mecopt.solve(TINY, slow, time_limit_s=0.05)))
    thread.start()
    thread.join()
    assert found[0].status == "feasible"


def misshapen(instance):
    return [[0]]


def nothing(instance):
    return None


def astray(instance):
    return {}["x"]


def with_run(instance, run):
    run.found(np.full((instance.task_count, instance.max_blocks), 0.5))


@pytest.mark.parametrize(
    ("function", "text", "line"),
    [
        (misshapen, "method 'misshapen': placement: 1 tasks, expected 2", 0),
        (nothing, r"returned nothing, expected a placement: a node for every block, shape \(2, 3\)", 0),
        (astray, "method 'astray' failed: KeyError: 'x'", 1),
        (with_run, r"method 'with_run': placement\[0\]\[0\]: 0.5, expected a whole number", 1),
    ],
)
def test_what_it_does_wrong_is_named_with_file_and_line(function, text, line):
    with pytest.raises(mecopt.MethodError, match=text) as caught:
        mecopt.solve(TINY, function)
    place = function.__code__.co_firstlineno + line
    assert re.search(rf"\(.*test_own\.py, line {place}\)$", str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [3, None, object(), dict, ["trellis"]])
def test_what_is_no_method(given):
    with pytest.raises(
        mecopt.InputError, match=r"method: .*expected a name of `mecopt methods`, file.py:NAME"
    ):
        mecopt.solve(TINY, given)


def test_a_function_without_an_instance():
    with pytest.raises(mecopt.InputError, match="method 'lambda': takes no argument"):
        mecopt.solve(TINY, lambda: [[0]])


def test_a_function_of_c_is_called():
    with pytest.raises(mecopt.MethodError, match="method 'len' failed: TypeError"):
        mecopt.solve(TINY, len)


# --- file.py:NAME ---
FILE = """import mecopt
from helper import NODE

def place(instance):
    return [[NODE] * blocks for blocks in instance.block_count]

METHOD = mecopt.Method("mine", "heuristic", "s", frozenset(), lambda i, run: run.found(place(i)))
SIZE = 3
"""


@pytest.fixture
def own(write):
    write("NODE = 0\n", "helper.py")
    write(FILE)


@pytest.mark.parametrize(("name", "called"), [("place", "place"), ("METHOD", "mine")])
def test_a_name_in_a_file(own, tmp_path, name, called):
    for text in (f"own.py:{name}", f"./own.py:{name}", f"{tmp_path}/own.py:{name}"):
        result = mecopt.solve(TINY, text)
        assert (result.method, result.status) == (called, "feasible")
    assert find(f"own.py:{name}").text == f"{tmp_path}/own.py:{name}"


def test_a_changed_file_is_imported_again(write, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    for node in (0, 1):
        write(f"def f(instance):\n    return [[{node}] * b for b in instance.block_count]\n")
        assert (mecopt.solve(TINY, "own.py:f").placement[:, 0] == node).all()


def test_no_file_beside_it_stands_in_for_a_library(write):
    write("raise SystemExit('stood in')\n", "json.py")
    write("raise SystemExit('stood in')\n", "highspy.py")
    write("import json, highspy\n\ndef f(instance):\n    return [[0] * b for b in instance.block_count]\n")
    assert mecopt.solve(TINY, "own.py:f").status == "feasible"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "x = 1\nraise ValueError('two\\nlines')\n",
            "own.py: line 2: cannot be imported: ValueError: two lines",
        ),
        ("import sys\n\nsys.exit(3)\n", "own.py: line 3: cannot be imported: SystemExit: 3"),
        ("def f(:\n", "own.py: line 1: cannot be imported: SyntaxError: invalid syntax"),
        (
            "import no_such_library\n",
            "own.py: line 1: cannot be imported: ModuleNotFoundError: No module named",
        ),
        ("\n\nimport broken\n", "broken.py: line 2: cannot be imported: ZeroDivisionError"),
        ("def g(instance): pass\n", "own.py: has no 'f'; it has g"),
        ("def ff(instance): pass\n", "own.py: has no 'f'; did you mean ff?"),
        ("\0", "own.py: cannot be imported: "),
        ("f = 3\n", "own.py:f: 3, expected a name of `mecopt methods`"),
    ],
)
def test_a_bad_file_is_one_line_with_the_line_in_it(write, text, told):
    write("\n1 / 0\n", "broken.py")
    write(text)
    with pytest.raises(mecopt.InputError) as caught:
        mecopt.solve(TINY, "own.py:f")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(mecopt.InputError):  # nothing half-imported is left
        mecopt.solve(TINY, "own.py:f")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("own.py", "method 'own.py': expected file.py:NAME"),
        ("own.py:", "method 'own.py:': expected file.py:NAME"),
        ("own.py:a b", "expected file.py:NAME"),
        ("none.py:f", "none.py: cannot be read (No such file or directory)"),
        (".py:f", "no method '.py:f'"),
    ],
)
def test_a_bad_name(own, text, told):
    with pytest.raises(mecopt.InputError) as caught:
        mecopt.solve(TINY, text)
    assert told in str(caught.value)
