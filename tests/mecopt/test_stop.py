"""Stopping: what stopped a method is apart from what was found."""

import json
import os
import subprocess
import sys
import time

import pytest
from places import ROOT

from mecopt.stop import AnyOf, Compiler, GapTarget, IterationLimit, StopReason, TimeLimit


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
