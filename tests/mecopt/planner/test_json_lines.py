"""JSON line to JSON line: what a line asks for, what it gets, and what is said of one that cannot be used."""

import json

import numpy as np
import pytest

import mecopt
from mecopt.planner.json_lines import answer, changes_of, refused

TINY = mecopt.load("tiny_paper")


@pytest.fixture(scope="module")
def planner():
    return mecopt.Planner(TINY)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rates": [8e6, 9e6]},
        {"rates": [[8e6, 9e6], [0, 6e6]], "speeds": [2e9, 3e9], "batch": [3, 1]},
        {"deadlines": [0.5, None, 2.0], "tasks": [1, 1, 0]},
    ],
)
def test_a_line_says_what_the_planner_says(planner, changes):
    document, status = answer(planner, json.dumps(changes).encode())
    found = json.loads(json.dumps(document))
    plan = planner.plan(**changes)
    assert status == 0
    assert found["objective"] == plan.objective
    assert found["lower_bound"] == plan.lower_bound
    assert found["placements"] == [[int(node) for node in row if node >= 0] for row in plan.placements]
    assert (found["delays"], found["bounds"]) == (plan.delays.tolist(), plan.bounds.tolist())
    assert found["objectives"] == plan.objectives.tolist()
    assert next(iter(found)) == "status"


def test_what_has_no_placement_is_null_and_has_reasons():
    hard = TINY.replace(rules=mecopt.Rules.preset("paper", deadline="hard"))
    document, status = answer(mecopt.Planner(hard), b'{"deadlines": [[1e-9], [100]]}')
    assert status == 3
    assert (document["status"], document["objective"], document["lower_bound"]) == ("infeasible", None, None)
    assert document["placements"][0] is None
    assert len(document["placements"][1]) == 3
    assert [document[name][0] for name in ("delays", "objectives", "bounds")] == [None] * 3
    assert [reason["where"]["task"] for reason in document["reasons"]] == [0]


def test_no_deadline_is_null(planner):
    assert changes_of(b'{"deadlines": null}') == {"deadlines": np.inf}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"", "not JSON: Expecting value at column 1"),
        (b"[1]", "[1], expected an object"),
        (b"\xff{}", "not JSON: not UTF-8 at byte 0, expected UTF-8"),
        (b'{"rate": [1]}', "'rate': unknown field, expected rates, speeds, deadlines, batch, tasks"),
        (b'{"rates": null}', "rates: null, expected numbers"),
        (b'{"batch": 1, "batch": 2}', "'batch': given twice"),
        (b'{"batch": Infinity}', "not JSON: Infinity, expected a number"),
        (b'{"batch": 1' + b"0" * 5000 + b"}", "not JSON: "),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"batch": "2"}', 'batch: "2", expected numbers'),
        (b'{"rates": {"es1": 3}}', 'rates: {"es1": 3}, expected numbers'),
        (b'{"batch": 9007199254740993}', "batch[0]: 9007199254740993, expected at most 9007199254740992"),
        (b"null", "null, expected an object"),
        (b'{"batch": true}', "batch: true, expected numbers"),
        (b'{"rates": [8e6, true]}', "rates[1]: true, expected numbers"),
        (b'{"rates": [8e6, null]}', "rates[1]: null, expected numbers"),
        (b'{"tasks": [0, null]}', "tasks[1]: null, expected numbers"),
        (b'{"deadlines": [[null, 1, 2], [3]]}', "deadlines: [[null, 1, 2], [3]], expected numbers, rows of"),
        (b'{"deadlines": [1, false, null]}', "deadlines[1]: false, expected numbers"),
    ],
)
def test_a_bad_line_is_named(planner, line, problem):
    with pytest.raises(mecopt.InputError) as caught:
        answer(planner, line)
    assert problem in caught.value.problems[0]


def test_what_is_given_once_is_refused_once(planner):
    for line in (b'{"deadlines": -1}', b'{"deadlines": [[-1]]}', b'{"batch": 0}', b'{"tasks": 9}'):
        with pytest.raises(mecopt.InputError) as caught:
            answer(planner, line)
        assert len(caught.value.problems) == 1


def test_many_problems_are_counted():
    problems = refused(7, tuple("abcdefghijklmnopqrstuvwxyz"))["error"]["problems"]
    assert len(problems) == 21
    assert problems[-1] == "and 6 more problems"
