"""`solve`: what was found becomes a status, what a method claims is checked, what is missing is None."""

import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from reference import Reference
from strategies import COUPLINGS, EXAMPLE, MINIMAL, documents, examples, tiny_documents

import mecopt
from mecopt import InputError, Method, MethodError, registry
from mecopt.result import gap
from mecopt.stop import AnyOf, Compiler, GapTarget, IterationLimit, StopReason, TimeLimit

NOWHERE = frozenset()
EVERYTHING = frozenset(mecopt.Coupling)


@pytest.fixture
def using(monkeypatch):
    """Return a function that solves with a method of the test's own, as a third party would install it."""

    def solve_with(action, document=MINIMAL, honours=EVERYTHING, **options):
        own = Method("own", "heuristic", "of this test", honours, action, options=frozenset({"depth"}))
        real = registry.method
        monkeypatch.setattr(registry, "method", lambda name: own if name == "own" else real(name))
        return mecopt.solve(mecopt.from_dict(document), "own", **options)

    return solve_with


def late(**rules):
    """A task of 1 s on the device, or 2 s on the server, that is to take 1.5 s."""
    tasks = [{**MINIMAL["tasks"][0], "max_delay_s": 1.5}]
    return {**MINIMAL, "tasks": tasks, "rules": rules}


# --- the table of statuses ---
def row(result):
    return result.status.value, result.objective, result.lower_bound, result.gap, result.placement is not None


def test_optimal(using):
    assert row(mecopt.solve(mecopt.from_dict(MINIMAL))) == ("optimal", 1.0, 1.0, 0.0, True)
    heuristic = using(lambda instance, run: run.found([[0]]))
    assert row(heuristic) == ("optimal", 1.0, 1.0, 0.0, True)  # whatever the method


def test_feasible(using):
    assert row(using(lambda instance, run: run.found([[1]]))) == ("feasible", 2.0, 1.0, 1.0, True)


@pytest.mark.parametrize(("excess", "status"), [(0.9e-6, "optimal"), (1.1e-6, "feasible")])
def test_the_tolerance_of_optimal(using, excess, status):
    result = using(lambda instance, run: run.found([[0]], bound=1.0 / (1.0 + excess)))
    assert result.status == status
    assert result.to_dict()["optimality_tolerance"] == 1e-6
    assert result.gap == pytest.approx(excess)


def test_violating(using):
    result = using(lambda instance, run: run.found([[1]]), late())
    assert row(result) == ("violating", None, 1.0, None, True)
    assert result.to_dict()["total_delay_s"] == 2.0
    assert result.to_dict()["deadline_excess_s"] == 0.5
    (violation,) = result.to_dict()["violations"]
    assert violation == {"kind": "deadline", "where": {"task": 0, "block": 0}, "limit": 1.5, "value": 2.0}


def test_infeasible(using):
    document = {**MINIMAL, "tasks": [{**MINIMAL["tasks"][0], "max_delay_s": 0.5}]}
    for result in (
        mecopt.solve(mecopt.from_dict(document)),
        using(lambda instance, run: None, document),
        using(lambda instance, run: run.found([[0]]), document),
    ):
        assert row(result) == ("infeasible", None, None, None, False)
        assert [reason["where"] for reason in result.reasons] == [{"task": 0, "block": 0}]
        written = result.to_dict()
        assert {written[name] for name in ("placement", "total_delay_s", "energy_j", "device_energy_j")} == {
            None
        }


def test_unknown_keeps_its_bound(using):
    assert row(using(lambda instance, run: None)) == ("unknown", None, 1.0, None, False)
    assert row(using(lambda instance, run: run.improve_bound(0.25))) == ("unknown", None, 0.25, None, False)


def test_a_proof_by_the_method(using):
    reason = {"kind": "energy", "where": {"device": "d"}, "limit": 1.0, "value": 2.0, "message": "too much"}
    result = using(lambda instance, run: run.infeasible([reason]))
    assert row(result) == ("infeasible", None, None, None, False)
    assert result.reasons == (reason,)


def test_a_missing_link_leaves_no_infinite_number(using):
    document = {**MINIMAL, "tasks": [{**MINIMAL["tasks"][0], "rate_bps": [0]}]}
    result = using(lambda instance, run: run.found([[1]]), document)
    assert result.status == "violating"
    written = json.loads(result.to_json())
    assert written["total_delay_s"] is None
    assert written["energy_j"] is not None or written["device_energy_j"] == {"d": None}
    assert "infinity" not in result.to_json().lower()


@examples(80)
@given(documents(), st.data())
def test_any_result_is_json_without_nan(document, data):
    """Whatever placement a method hands over, every number is finite and what is missing is null."""
    instance = mecopt.from_dict(document)
    nodes = data.draw(st.integers(0, 2**32 - 1).map(np.random.default_rng)).integers(
        0, instance.server_count + 1, (instance.task_count, instance.max_blocks)
    )
    own = Method("own", "heuristic", "", EVERYTHING, lambda instance, run: run.found(nodes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "method", lambda name: own)
        result = mecopt.solve(instance, "own")
    written = json.loads(result.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert written == result.to_dict()
    assert (written["objective"] is not None) == (written["status"] in ("optimal", "feasible"))
    assert (written["gap"] is not None) == (written["objective"] is not None)
    assert bool(written["violations"]) == (written["status"] == "violating")
    assert (written["placement"] is None) == (written["status"] == "infeasible")
    assert len(result.to_frame()) == (0 if written["placement"] is None else instance.block_count.sum())
    assert repr(result)


@given(documents())
def test_frames_add_up(document):
    result = mecopt.solve(mecopt.from_dict(document), "trellis", relax=True)
    if result.placement is None:
        return
    frame = result.to_frame()
    judged = result.evaluation
    assert (frame.trans_s + frame.calc_s).sum() + judged.steps.result_s.sum() == pytest.approx(
        judged.total_delay_s
    )
    assert frame.energy_j.sum() == pytest.approx(judged.energy_j)
    assert frame.node.tolist() == [node for path in result.placement.tolist() for node in path if node >= 0]


# --- gap ---
@pytest.mark.parametrize(
    ("objective", "bound", "value"),
    [
        (None, 1.0, None),
        (1.0, None, None),
        (None, None, None),
        (1.0, 1.0, 0.0),
        (3.0, 2.0, 0.5),
        (0.0, 0.0, 0.0),
        (1.0, 0.0, 1e12),
        (1.0, -2.0, 1.5),
        (1.0, 1.0 + 0.9e-9, 0.0),
    ],
)
def test_gap(objective, bound, value):
    assert gap(objective, bound) == (None if value is None else pytest.approx(value))


def test_a_bound_above_the_objective_is_an_error():
    with pytest.raises(mecopt.DisagreementError, match="lies above the objective"):
        gap(1.0, 1.0 + 1.1e-9)


# --- methods that are wrong ---
@pytest.mark.parametrize("claim", [1.0 + 2e-6, 0.999, 0.0, -1.0, math.nan, math.inf, 1e300])
def test_another_objective_is_loud(using, claim):
    with pytest.raises(mecopt.DisagreementError, match=r"the judge 1\.0") as error:
        using(lambda instance, run: run.found([[0]], objective=claim))
    assert error.value.exit_status == 1


@pytest.mark.parametrize("claim", [1.0, 1.0 + 0.9e-6, np.float32(1)])
def test_the_same_objective_but_for_rounding_is_not(using, claim):
    assert using(lambda instance, run: run.found([[0]], objective=claim)).status == "optimal"


def test_a_bound_that_is_too_high_is_loud(using):
    with pytest.raises(mecopt.DisagreementError, match="lies above"):
        using(lambda instance, run: run.found([[0]], bound=1.001))
    with pytest.raises(mecopt.DisagreementError, match="lies above"):
        using(lambda instance, run: (run.found([[0]]), run.improve_bound(2.0)))


@pytest.mark.parametrize("bound", [math.nan, math.inf])
def test_a_bound_that_is_no_number_is_loud(using, bound):
    with pytest.raises(mecopt.DisagreementError, match="bound is"):
        using(lambda instance, run: run.improve_bound(bound))
    with pytest.raises(mecopt.DisagreementError, match="bound is"):
        using(lambda instance, run: run.found([[0]], bound=bound))


def test_no_bound_yet_is_not_a_bound(using):
    result = using(lambda instance, run: (run.improve_bound(-math.inf), run.found([[0]], bound=-math.inf)))
    assert result.lower_bound == 1.0


def test_bounds_only_rise(using):
    result = using(lambda instance, run: [run.improve_bound(bound) for bound in (0.5, 0.75, 0.25, 0.75)])
    assert result.lower_bound == 0.75
    assert [point[2] for point in result.trace] == [0.5, 0.75]


def test_infeasible_though_something_feasible_was_found_is_loud(using):
    with pytest.raises(mecopt.DisagreementError, match="found a feasible placement"):
        using(lambda instance, run: (run.found([[0]]), run.infeasible([{"kind": "deadline"}])))


def test_something_feasible_after_a_proof_that_nothing_is_is_loud(using):
    with pytest.raises(mecopt.DisagreementError, match="after it proved"):
        using(lambda instance, run: (run.infeasible([{"kind": "deadline"}]), run.found([[0]])))


@pytest.mark.parametrize(("node", "options"), [(0, {"pins": ["0:0=1"]}), (1, {"bans": ["0:0=1"]})])
def test_a_method_that_ignores_pins_and_bans_is_loud(using, node, options):
    with pytest.raises(mecopt.DisagreementError, match="block 0 of task 0 where a pin or ban forbids it"):
        using(lambda instance, run: run.found([[node]]), **options)


def test_infeasible_without_a_reason_is_loud(using):
    with pytest.raises(mecopt.DisagreementError, match="gives no reason"):
        using(lambda instance, run: run.infeasible([]))


NONSENSE = [
    ([[2]], r"placement\[0\]\[0\]: node 2, expected 0 to 1"),
    ([[0, 0]], r"placement\[0\]: 2 nodes for 1 blocks"),
    ([[0], [0]], "placement: 2 tasks, expected 1"),
    ([[0], [0, 0]], "placement: 2 tasks"),
    ([], "placement: 0 tasks"),
    (None, "placement: NoneType, expected a list"),
    ("00", "placement: str"),
    ([["a"]], r"placement\[0\]\[0\]: 'a', expected a whole number"),
    ([[True]], r"placement\[0\]\[0\]: True"),
    ([[0.5]], r"placement\[0\]\[0\]: 0.5, expected a whole number"),
    ([[None]], r"placement\[0\]\[0\]: None"),
    (np.full((1, 1), 0.5), r"placement\[0\]\[0\]: 0.5, expected a whole number"),
    (np.full((1, 1), np.nan), r"placement\[0\]\[0\]: nan"),
    (np.full((1, 1), -np.inf), r"placement\[0\]\[0\]: -inf"),
    (np.full((1, 1), 1e300), r"placement\[0\]\[0\]: 1e\+300"),
    (np.full((1, 1), 1j), "placement: complex128, expected whole numbers"),
    (np.full((1, 1), None), "placement: object, expected whole numbers"),
    (np.full((1, 1), True), "placement: bool"),
    (np.zeros((1, 2)), r"placement: shape \(1, 2\), expected \(1, 1\)"),
    (np.zeros(1, dtype=int), r"placement: shape \(1,\)"),
    (np.full((1, 1), 2**64 - 1, dtype=np.uint64), r"placement\[0\]\[0\]"),
    ([[-1]], r"placement\[0\]\[0\]"),
    ({0: [0]}, "placement: dict"),
]


@pytest.mark.parametrize(("nonsense", "text"), NONSENSE)
def test_a_placement_that_is_nonsense_is_the_methods_error(using, nonsense, text):
    with pytest.raises(MethodError, match=f"method 'own': {text}") as error:
        using(lambda instance, run: run.found(nonsense))
    assert error.value.exit_status == 1
    assert not isinstance(error.value, InputError)


@pytest.mark.parametrize(
    "whole", [np.zeros((1, 1)), np.zeros((1, 1), np.float32), [[0.0]], [np.zeros(1)], [[np.int8(0)]]]
)
def test_whole_floats_are_whole_numbers(using, whole):
    assert using(lambda instance, run: run.found(whole)).placement.tolist() == [[0]]


def test_what_is_behind_a_shorter_model_does_not_matter(using):
    short = {"name": "s", "blocks": MINIMAL["models"][0]["blocks"]}
    long = {"name": "l", "blocks": MINIMAL["models"][0]["blocks"] * 2}
    tasks = [{**MINIMAL["tasks"][0], "model": name} for name in "sl"]
    document = {**MINIMAL, "models": [short, long], "tasks": tasks}
    found = using(lambda instance, run: run.found(np.array([[0, np.nan], [0, 0]])), document)
    assert found.placement.tolist() == [[0, -1], [0, 0]]


def test_an_error_of_the_method_is_named_and_kept(using):
    def fail(instance, run):
        run.found([[0]])
        raise ZeroDivisionError("of its own")

    with pytest.raises(MethodError, match="method 'own' failed: ZeroDivisionError: of its own") as caught:
        using(fail)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


class Odd(BaseException):
    """Neither an Exception nor an interrupt."""

    def __str__(self):
        raise ValueError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SystemExit(3), "failed: SystemExit: 3"),
        (SystemExit(0), "failed: SystemExit: 0"),
        (GeneratorExit(), "failed: GeneratorExit: no further message"),
        (MemoryError(), "failed: MemoryError: out of memory"),
        (RecursionError("too deep"), "failed: RecursionError: too deep"),
        (Odd(), "failed: Odd: no further message"),
        (ValueError("two\nlines \x1b[31m" + "x" * 5000), r"failed: ValueError: two lines \\x1b\[31mx"),
        (mecopt.PlacementError("of its own"), "'own': of its own"),
    ],
)
def test_whatever_a_method_raises_is_its_error(using, error, text):
    def fail(instance, run):
        raise error

    with pytest.raises(MethodError, match=text) as caught:
        using(fail)
    assert "method 'own'" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_a_method_refuses_on_purpose_is_the_callers(using):
    def refuse(instance, run):
        raise InputError("depth: 3, expected 1 or 2")

    with pytest.raises(InputError, match="depth: 3"):
        using(refuse, depth=3)


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (lambda run: setattr(run, "repairs", -1), "run.repairs: -1, expected a whole number"),
        (lambda run: setattr(run, "repairs", 1.5), "run.repairs: 1.5"),
        (lambda run: setattr(run, "repairs", 10**30), "run.repairs: 1000"),
        (lambda run: setattr(run, "repairs", "many"), "run.repairs: 'many'"),
        (lambda run: setattr(run, "notes", [1]), "run.notes is a list"),
        (lambda run: run.notes.update(x=object()), r"run.notes\['x'\]: .* is not JSON serializable"),
        (lambda run: run.notes.update(x=math.nan), r"run.notes\['x'\]: .*expected what JSON can hold"),
        (lambda run: run.notes.update({3: 1}), "run.notes has the name 3"),
        (lambda run: setattr(run, "bound", 1.0), "run.bound is not for a method to set; run.improve_bound"),
        (lambda run: setattr(run, "best", [[0]]), "run.best is not for a method to set; run.found"),
        (lambda run: setattr(run, "reasons", ["full"]), "run.reasons is not .* run.infeasible"),
        (lambda run: setattr(run, "instance", None), "run.instance is not for a method to set"),
        (lambda run: setattr(run, "stopped_by", "bored"), "run.stopped_by is not"),
        (lambda run: run.infeasible("full"), "its reasons are a str"),
        (lambda run: run.infeasible({"message": "full"}), "its reasons are a dict"),
        (lambda run: run.infeasible(None), "its reasons are a NoneType"),
        (lambda run: run.infeasible(["full"]), r"reasons\[0\] is a str, expected a dictionary"),
        (lambda run: run.infeasible([{}]), r"reasons\[0\] has no message"),
        (lambda run: run.infeasible([{"message": 3}]), r"reasons\[0\] has no message"),
        (lambda run: run.infeasible([{"message": "x", "value": math.inf}]), r"reasons\[0\]: .*JSON"),
        (lambda run: run.found([[0]], objective="1"), "the objective that it claims is '1'"),
        (lambda run: run.found([[0]], objective=1 + 0j), "the objective that it claims is"),
        (lambda run: run.costs.bits.__iadd__(1), "changed run.costs.bits"),
        (lambda run: run.instance.tasks.rate_bps.__iadd__(1), "read-only"),
        (lambda run: run.found([[0]]).placement.fill(1), "read-only"),
    ],
)
def test_what_a_method_spoils_is_its_error(using, action, text):
    with pytest.raises(MethodError, match=f"method 'own'.*{text}"):
        using(lambda instance, run: action(run))


@pytest.mark.parametrize("bound", ["1", 1 + 0j, np.ones(1), [1], True, None, object()])
def test_a_bound_of_another_kind_is_loud(using, bound):
    with pytest.raises(mecopt.DisagreementError, match="method 'own': the method's bound is"):
        using(lambda instance, run: run.improve_bound(bound))


def test_numpy_is_as_good_as_python(using):
    def work(instance, run):
        run.found(np.array([[0]], np.uint8), bound=np.float32(0.5), objective=np.float64(1))
        run.repairs += np.int64(2)
        run.notes["figures"] = {"mean": np.float32(0.5), "rows": np.arange(2)}

    result = using(work)
    assert (result.repairs, result.options["figures"]) == (2, {"mean": 0.5, "rows": [0, 1]})
    json.loads(result.to_json())


def test_a_reason_may_do_with_its_kind(using):
    result = using(lambda instance, run: run.infeasible([{"kind": "deadline", "value": np.float64(2)}]))
    assert result.reasons == ({"kind": "deadline", "value": 2.0, "message": "deadline"},)


def test_what_is_returned_is_not_looked_at(using):
    with pytest.warns(UserWarning, match=r"method 'own' returned a list and handed over nothing"):
        assert using(lambda instance, run: [[0]]).status == "unknown"


def test_what_comes_after_the_end_is_not_taken(using):
    runs = []
    result = using(lambda instance, run: (runs.append(run), run.found([[1]])))
    (run,) = runs
    run.found([[0]], bound=1.0)
    run.improve_bound(2.0)
    run.infeasible([{"message": "full"}])
    assert run.should_stop()
    assert (run.best.placement.tolist(), result.objective, run.reasons) == ([[1]], 2.0, ())
    assert len(run.trace) == len(result.trace)


def test_threads_may_hand_over_together(using):
    document = {**MINIMAL, "tasks": MINIMAL["tasks"] * 6}

    def work(instance, run):
        def some(start):
            for number in range(start, 64, 4):
                run.found([[number >> k & 1] for k in range(6)])

        threads = [threading.Thread(target=some, args=(start,)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    result = using(work, document)
    assert result.objective == 6.0
    assert [point[1] for point in result.trace] == sorted((p[1] for p in result.trace), reverse=True)


def test_what_a_method_does_to_the_process_is_undone(using, tmp_path, monkeypatch):
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.delenv("ADDED", raising=False)
    streams, folder = (sys.stdin, sys.stdout, sys.stderr), os.getcwd()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    depth, errors = sys.getrecursionlimit(), np.geterr()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    drawn = random.random(), np.random.random()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002

    def spoil(instance, run):
        os.chdir(tmp_path)
        os.environ["ADDED"] = "1"
        del os.environ["KEPT"]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        sys.setrecursionlimit(depth + 1)
        sys.stdout = sys.stderr = None
        np.seterr(all="raise")
        random.seed(2)
        np.random.seed(2)  # noqa: NPY002
        raise SystemExit

    with pytest.raises(MethodError):
        using(spoil)
    assert (sys.stdin, sys.stdout, sys.stderr) == streams
    assert os.getcwd() == folder
    assert (os.environ.get("KEPT"), os.environ.get("ADDED")) == ("1", None)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == handlers
    assert (sys.getrecursionlimit(), np.geterr()) == (depth, errors)
    assert (random.random(), np.random.random()) == drawn  # noqa: NPY002


def test_an_interrupt_that_a_method_swallows_is_one(using):
    def deaf(instance, run):
        run.found([[1]])
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        assert run.should_stop()

    result = using(deaf)
    assert (result.status, result.stopped_by) == ("feasible", "interrupt")


def test_an_option_that_the_method_lacks_is_refused(using):
    with pytest.raises(InputError, match="own has no option 'dept'; did you mean 'depth'"):
        using(lambda instance, run: None, dept=3)


def test_no_method_ends_worse_than_its_warm_start(using):
    result = using(lambda instance, run: run.found([[1]]), warm_start=[[0]])
    assert result.placement.tolist() == [[0]]


def test_a_warm_start_against_a_pin_is_refused(using):
    with pytest.raises(InputError, match="task 0 runs block 0 where a pin or ban forbids it"):
        using(lambda instance, run: None, warm_start=[[0]], bans=["0:0=0"])


def test_the_best_placement_is_kept(using):
    document = {**MINIMAL, "tasks": MINIMAL["tasks"] * 2}
    result = using(lambda i, run: [run.found(p) for p in ([[1], [1]], [[0], [0]], [[0], [1]])], document)
    assert result.placement.tolist() == [[0], [0]]
    assert [point[1:] for point in result.trace] == [(4.0, None), (2.0, None), (2.0, 2.0)]


def test_feasible_is_better_than_violating(using):
    for order in ([[[0]], [[1]]], [[[1]], [[0]]]):
        assert using(
            lambda i, run, order=order: [run.found(p) for p in order], late()
        ).placement.tolist() == [[0]]


def test_a_placement_handed_over_is_copied(using):
    """A method may go on changing the array in which it works."""

    def work(instance, run):
        nodes = np.zeros((1, 1), dtype=np.int64)
        run.found(nodes)
        nodes[:] = 1

    assert using(work).placement.tolist() == [[0]]


# --- stopping ---
def endless(instance, run):
    run.found([[1]])
    while not run.should_stop():
        pass


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"time_limit_s": 0.02}, "time"),
        ({"iterations": 3}, "iterations"),
        ({"time_limit_s": 9, "iterations": 1}, "iterations"),
    ],
)
def test_what_stopped_it_is_apart_from_what_was_found(using, limit, reason):
    result = using(endless, **limit)
    assert (result.status, result.stopped_by) == ("feasible", reason)
    assert result.gap == 1.0
    assert result.to_dict()["options"] == limit


def test_gap_target(using):
    def improve(instance, run):
        for bound, placement in ((0.5, [[1]]), (0.9, [[0]])):
            run.found(placement, bound=bound)
            if run.should_stop():
                return

    result = using(improve, gap=0.2)
    assert (result.status, result.stopped_by) == ("feasible", "gap")
    assert result.gap == pytest.approx(1 / 9)
    assert using(improve, gap=0).to_dict()["options"] == {"gap": 0}


def test_an_interrupt_returns_the_best_so_far(using):
    def interrupted(instance, run):
        run.found([[1]], bound=0.5)
        raise KeyboardInterrupt

    result = using(interrupted)
    assert (result.status, result.stopped_by, result.objective, result.lower_bound) == (
        "feasible",
        "interrupt",
        2.0,
        0.5,
    )


def test_an_interrupt_before_anything_was_found(using):
    def interrupted(instance, run):
        raise KeyboardInterrupt

    result = using(interrupted)
    assert (result.status, result.stopped_by, result.placement) == ("unknown", "interrupt", None)
    json.loads(result.to_json())


def test_stopping_rules():
    assert AnyOf(())(None) is None
    assert TimeLimit(0)(None) is StopReason.TIME
    assert TimeLimit(60)(None) is None
    assert 0 < TimeLimit(60).left <= 60
    assert TimeLimit(-1).left == 0


def test_no_time_limit_counts_what_is_compiled(monkeypatch):
    """It happens once per installation, and would leave nothing of a short limit."""
    compiler, told = Compiler(), []
    monkeypatch.setattr("mecopt.stop.COMPILER", compiler)
    compiler.on_begin = lambda: told.append(1)
    rule = TimeLimit(0.2)
    compiler.begin()
    compiler.begin()  # a function that it calls
    time.sleep(0.3)
    assert rule(None) is None
    compiler.end()
    compiler.end()
    assert rule(None) is None
    assert told == [1]
    compiler.begin()
    compiler.end()
    assert told == [1]  # once
    time.sleep(0.2)
    assert rule(None) is StopReason.TIME


@pytest.mark.slow
def test_a_first_solve_ends_with_a_search(tmp_path):
    """With nothing compiled yet, in a process of its own; the limit is shorter than compiling takes."""
    code = (
        "import mecopt; from mecopt.stop import COMPILER;"
        "r = mecopt.solve(mecopt.load('instances/crowd_k10_n4.json'), 'decomposition', time_limit_s=2);"
        "assert COMPILER.seconds > 0; assert r.gap < 0.05, r.gap"
    )
    root = ROOT
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=True)
    limit = IterationLimit(2)
    assert [limit(None) for _ in range(3)] == [None, None, StopReason.ITERATIONS]
    assert [GapTarget(0.1)(gap) for gap in (None, 0.2, 0.1)] == [None, None, StopReason.GAP]
    both = AnyOf((GapTarget(0.1), IterationLimit(1)))
    assert [both(0.5), both(0.5), both(0.0)] == [None, StopReason.ITERATIONS, StopReason.GAP]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"time_limit_s": -1}, "time_limit_s: -1, expected at least 0"),
        ({"time_limit_s": math.nan}, "time_limit_s: nan"),
        ({"time_limit_s": math.inf}, "time_limit_s: inf, expected a finite number >= 0"),
        ({"time_limit_s": "5"}, "time_limit_s: '5', expected a finite number"),
        ({"time_limit_s": True}, "time_limit_s: True"),
        ({"gap": math.inf}, "gap: inf, expected a finite number >= 0"),
        ({"gap": np.float64("nan")}, "gap: nan"),
        ({"gap": np.bool_(True)}, "gap: True"),
        ({"gap": 1j}, "gap: 1j"),
        ({"gap": np.ones(1)}, r"gap: array\(\[1.\]\)"),
        ({"iterations": 1.5}, "iterations: 1.5, expected a whole number >= 1"),
        ({"iterations": math.inf}, "iterations: inf, expected a whole number"),
        ({"seed": 1.5}, "seed: 1.5, expected a whole number >= 0"),
        ({"seed": None}, "seed: None, expected a whole number"),
        ({"seed": "1"}, "seed: '1', expected a whole number"),
        ({"seed": False}, "seed: False, expected a whole number"),
        ({"seed": 2**64}, "seed: 18446744073709551616, expected at most"),
        ({"threads": np.bool_(True)}, "threads: True, expected a whole number"),
        ({"threads": 1.5}, "threads: 1.5, expected a whole number"),
        ({"gap": -0.1}, "gap: -0.1, expected at least 0"),
        ({"iterations": 0}, "iterations: 0, expected at least 1"),
        ({"seed": -1}, "seed: -1, expected at least 0"),
        ({"threads": 0}, "threads: 0, expected at least 1"),
        ({"warm_start": [[9]]}, r"placement\[0\]\[0\]: node 9"),
        ({"pins": ["0"]}, "--pin 0: expected TASK:BLOCK=NODE"),
        ({"pins": ["1:0=0"]}, "--pin 1:0=0: task 1, expected 0 to 0"),
        ({"bans": ["0:1=0"]}, "--ban 0:1=0: block 1, expected 0 to 0"),
        ({"bans": ["0:0=2"]}, "--ban 0:0=2: node 2, expected 0 to 1"),
        ({"bans": ["0:0=-1"]}, "--ban 0:0=-1: node -1"),
        ({"pins": ["0:0=0", "0:0=1"]}, "leave no node for block 0 of task 0"),
        ({"pins": ["0:0=1"], "bans": ["0:0=1"]}, "leave no node for block 0 of task 0"),
        ({"method": "no such"}, "no method 'no such'"),
    ],
)
def test_wrong_arguments(options, text):
    with pytest.raises(mecopt.InputError, match=text):
        mecopt.solve(mecopt.from_dict(MINIMAL), **options)


# --- pins, bans, relaxations ---
def test_pins_and_bans():
    instance = mecopt.from_dict(EXAMPLE).replace(rules=mecopt.Rules(deadline="none"))
    free = mecopt.solve(instance)
    pinned = mecopt.solve(instance, pins=iter(["0:1=2"]), bans=["1:0=0"])
    assert pinned.placement[0, 1] == 2
    assert pinned.placement[1, 0] != 0
    assert pinned.objective >= free.objective
    assert pinned.status == "optimal"
    assert pinned.to_dict()["options"] == {
        "pins": ["0:1=2"],
        "bans": ["1:0=0"],
        "picked": ["trellis"],
    }


@examples(80)
@given(tiny_documents(couplings=COUPLINGS))
def test_relaxed_results_are_judged_under_the_couplings(document):
    """The bound is valid, and the placement is only feasible where it honours what was relaxed."""
    instance, reference = mecopt.from_dict(document), Reference(document)
    result = mecopt.solve(instance, "trellis", relax=True)
    optimum = reference.best_coupled()
    if result.placement is None:
        assert optimum is None
        return
    placement = [[n for n in path if n >= 0] for path in result.placement.tolist()]
    assert (result.status == "violating") == bool(reference.broken(placement))
    assert optimum is None or result.lower_bound <= optimum * (1 + 1e-12)
    assert result.lower_bound == pytest.approx(reference.best_uncoupled(), rel=1e-9, abs=1e-300)


def test_relaxing_hands_the_method_an_instance_without_the_couplings(using):
    document = {**EXAMPLE, "rules": {"couplings": list(COUPLINGS)}}
    seen = []
    using(lambda instance, run: seen.append((instance, run)), document, frozenset({"energy"}), relax=True)
    ((instance, run),) = seen
    assert instance.rules.couplings == {"energy"}
    assert run.instance is instance
    assert run.judged_on.rules.couplings == set(COUPLINGS)


def test_every_run_gets_a_bound_from_the_relaxation(using):
    result = using(lambda instance, run: run.found([[1]]), {**MINIMAL, "rules": {"couplings": ["capacity"]}})
    assert result.status == "violating" or result.lower_bound == 1.0
    assert result.lower_bound == 1.0


def test_what_the_method_is_given(using):
    seen = []
    using(lambda instance, run: seen.append(run), warm_start=[[1]], seed=7, threads=2, depth=3)
    (run,) = seen
    assert (run.warm_start.tolist(), run.seed, run.threads, run.options) == ([[1]], 7, 2, {"depth": 3})


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint16, np.float32, np.float64, float, np.array])
def test_numpy_scalars_are_numbers(using, kind):
    given = {"seed": kind(1), "threads": kind(1), "iterations": kind(3), "time_limit_s": kind(9)}
    result = using(lambda instance, run: run.found([[0]]), **given, gap=np.float32(0.5), depth=kind(2))
    written = json.loads(result.to_json())
    assert written["seed"] == 1
    assert written["options"] == {"time_limit_s": 9, "gap": 0.5, "iterations": 3, "depth": 2}


def test_options_that_json_lacks_are_shown_as_text(using):
    given = [np.inf, {"a": (1, np.int8(2))}, Path("x"), object]
    written = using(lambda instance, run: run.found([[0]]), depth=given).to_dict()["options"]["depth"]
    assert written == ["inf", {"a": [1, 2]}, "x", "<class 'object'>"]


def test_the_result_says_how_it_came_about(using):
    result = using(lambda instance, run: run.found([[0]]), seed=np.int64(3), depth=[1])
    json.loads(result.to_json())
    written = result.to_dict()
    assert (written["method"], written["seed"], written["options"]) == ("own", 3, {"depth": [1]})
    assert written["instance_sha256"] == result.instance.sha256
    assert written["mecopt_version"] == mecopt.__version__
    assert written["runtime_s"] > 0
    assert [point[1:] for point in written["trace"]] == [[1.0, None], [1.0, 1.0]]
