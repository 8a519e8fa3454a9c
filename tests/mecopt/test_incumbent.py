"""The `Run`: what a method claims is checked, the best is kept, threads may hand over together."""

import json
import math
import threading

import numpy as np
import pytest
from strategies import MINIMAL

import mecopt
from mecopt import InputError, MethodError


def late(**rules):
    """A task of 1 s on the device, or 2 s on the server, that is to take 1.5 s."""
    tasks = [{**MINIMAL["tasks"][0], "max_delay_s": 1.5}]
    return {**MINIMAL, "tasks": tasks, "rules": rules}


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
