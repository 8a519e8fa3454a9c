"""Stopping rules that compose, and the callback that is told how a solve goes."""

import math
import time

import pytest
from places import INSTANCES

import mecopt
from mecopt.stop import reason_of, time_left_s, without_iterations

TINY = INSTANCES / "tiny_paper.json"
GAP, TIME, ROUNDS = mecopt.GapTarget(0.1), mecopt.TimeLimit(0.0), mecopt.IterationLimit(0)
NEVER = mecopt.TimeLimit(1000.0)


def rounds(instance, run):
    """Hand over the device alone, and ask until told to stop."""
    run.found([[0] * blocks for blocks in instance.block_count], bound=1.0)
    while not run.should_stop():
        time.sleep(0.002)


def solve(**given):
    return mecopt.solve(TINY, mecopt.Method("rounds", "heuristic", "s", frozenset(), rounds), **given)


@pytest.mark.parametrize(
    ("rule", "gap", "reason"),
    [
        (GAP | NEVER, 0.05, "gap"),
        (GAP | NEVER, 0.5, None),
        (TIME | GAP, 0.05, "time"),
        (GAP & TIME, 0.05, "gap"),
        (GAP & TIME, 0.5, None),
        (GAP & NEVER, 0.05, None),
        ((GAP & TIME) | NEVER, 0.01, "gap"),
        (GAP & (NEVER | TIME), 0.01, "gap"),
        (mecopt.AllOf(()), 0.0, None),
        (NEVER | (lambda gap: mecopt.StopReason.ITERATIONS), None, "iterations"),
    ],
)
def test_rules_compose(rule, gap, reason):
    assert rule(gap) == reason


def test_every_rule_is_asked_since_some_count():
    counting = mecopt.IterationLimit(2)
    rule = (TIME & NEVER) | (counting & NEVER)
    assert [rule(None) for _ in range(3)] == [None] * 3
    assert counting.asked == 3


def test_in_the_middle_of_a_piece_of_work_nothing_is_counted():
    assert without_iterations(GAP | ROUNDS)(0.5) is None
    assert without_iterations(GAP & ROUNDS) is None
    assert without_iterations(GAP & TIME)(0.05) == "gap"
    assert without_iterations(TIME | (GAP & ROUNDS))(None) == "time"
    assert ROUNDS.asked == 0


def test_time_left():
    assert time_left_s(NEVER | mecopt.TimeLimit(5)) == pytest.approx(5, abs=0.1)
    assert time_left_s(NEVER & mecopt.TimeLimit(5)) == pytest.approx(NEVER.left, abs=1)
    assert time_left_s(mecopt.TimeLimit(5) & GAP) == math.inf
    assert time_left_s(mecopt.TimeLimit(5) | GAP) == pytest.approx(5, abs=0.1)


def test_functions_are_put_together_from_either_side():
    def enough(gap):
        return "gap"

    assert (enough | NEVER)(None) == (NEVER | enough)(None) == (enough & TIME)(None) == "gap"
    assert (TIME & enough)(None) == "time"
    assert (enough & NEVER)(None) is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: mecopt.TimeLimit("60"), "TimeLimit: '60', expected a number"),
        (lambda: mecopt.GapTarget(float("nan")), "GapTarget: nan, expected a number"),
        (lambda: mecopt.IterationLimit(None), "IterationLimit: None, expected a number"),
        (lambda: TIME | 5, "stop: 5, expected a rule, a function of the gap"),
        (lambda: "time" & TIME, "stop: 'time', expected a rule, a function of the gap"),
    ],
)
def test_what_is_no_rule_is_refused_when_it_is_made(make, words):
    with pytest.raises(mecopt.InputError, match=words):
        make()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"stop": mecopt.IterationLimit(3) & mecopt.GapTarget(1e9)}, "iterations"),
        ({"stop": mecopt.GapTarget(0.0), "iterations": 4}, "iterations"),
        ({"stop": lambda gap: "time" if gap is not None else None}, "time"),
    ],
)
def test_solve_takes_a_rule_beside_its_own(given, reason):
    result = solve(**given)
    assert (result.status, result.stopped_by) == ("feasible", reason)


def test_a_rule_of_the_caller_that_answers_wrongly():
    with pytest.raises(
        mecopt.InputError, match="stop: a rule answered 'enough', expected None or one of gap"
    ):
        solve(stop=lambda gap: "enough")
    assert reason_of(TIME, None) == "time"


def test_the_callback_is_told_and_can_cancel():
    seen = []

    def told(state):
        seen.append(state)
        return len(seen) < 3

    result = solve(progress=told, time_limit_s=20)
    assert (result.stopped_by, result.status, len(seen)) == ("interrupt", "feasible", 3)
    assert seen[0].objective == result.objective
    assert seen[0].seconds < seen[1].seconds < seen[2].seconds < 5
    assert seen[2].seconds - seen[0].seconds >= 0.2, "ten times a second at most"


def test_a_callback_that_returns_nothing_goes_on():
    assert solve(progress=lambda state: None, time_limit_s=0.3).stopped_by == "time"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"stop": 3}, "stop: 3, expected a function"),
        ({"progress": "yes"}, "progress: 'yes', expected a function"),
        (
            {"progress": lambda state: 1 / 0},
            "progress: the callback raised ZeroDivisionError: division by zero",
        ),
    ],
)
def test_bad_ones(given, text):
    with pytest.raises(mecopt.InputError, match=text):
        solve(**given)
