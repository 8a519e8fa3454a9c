"""`solve`: arguments, warm starts, pins, bans and relaxations, and what a method is given."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from reference import Reference
from small_case import case
from strategies import COUPLINGS, EXAMPLE, MINIMAL, examples, tiny_documents

import mecopt
from mecopt import InputError


def test_an_option_that_the_method_lacks_is_refused(using):
    with pytest.raises(InputError, match="own has no option 'dept'; did you mean 'depth'"):
        using(lambda instance, run: None, dept=3)


def test_no_method_ends_worse_than_its_warm_start(using):
    result = using(lambda instance, run: run.found([[1]]), warm_start=[[0]])
    assert result.placement.tolist() == [[0]]


def test_a_warm_start_against_a_pin_is_refused(using):
    with pytest.raises(InputError, match="task 0 runs block 0 where a pin or ban forbids it"):
        using(lambda instance, run: None, warm_start=[[0]], bans=["0:0=0"])


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


@pytest.mark.parametrize("method", ["stages", "cpsat", "trellis"])
@pytest.mark.parametrize(("slot_s", "status"), [(24, "feasible"), (7, "violating")])
def test_a_relaxation_claims_nothing_of_what_it_leaves_out(method, slot_s, status):
    """Alone it is feasible: two tasks on [1, 1] make a load of 12 s, which lengthens or does not fit."""
    document = case(
        tasks=[{"rate_bps": [8, 0]}] * 2,
        links={"server_bps": 0},
        device={"cycles_per_s": 0.1},
        couplings=["sharing"],
        sharing="mm1",
        seconds=slot_s,
    )
    result = mecopt.solve(mecopt.from_dict(document), method, relax=True)
    assert result.status == status
    assert result.lower_bound == pytest.approx(16.0)
    assert result.objective == (pytest.approx(28.0) if status == "feasible" else None)
    assert all(point[1] in (None, result.objective) for point in result.trace)


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
