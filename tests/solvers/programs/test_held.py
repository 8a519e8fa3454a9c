"""Searches of programs that wait between two turns, and go on where they were."""

import threading

import pytest
from places import INSTANCES

import mecopt
from mecopt.incumbent import Run
from mecopt.stop import AnyOf, TimeLimit
from mecopt_solvers.programs import ilp


def searching():
    return [thread for thread in threading.enumerate() if thread.name == "mecopt-solver"]


@pytest.fixture
def built(monkeypatch):
    """Count the programs that are built."""
    programs, build = [], ilp.build_flow
    monkeypatch.setattr(ilp, "build_flow", lambda *args, **how: programs.append(1) or build(*args, **how))
    return programs


def turns(run, seconds, most=400):
    """Call `ilp` in short turns until it is done; return how many."""
    for n in range(1, most + 1):
        with run.slice(seconds, hold=True) as over:
            ilp.METHOD.solve(run.instance, run)
            if not over():
                return n
    raise AssertionError("never done")


def test_the_optimum_is_found_over_many_turns_in_one_search(built):
    instance = mecopt.generate("crowd:batch=8", seed=3)
    best = mecopt.solve(instance, "ilp")
    whole = len(built)
    run = Run(instance)
    before = len(searching())
    assert turns(run, 0.02) > 3
    run.at_end.close()
    assert len(built) <= 2 * whole + 2
    assert run.gap <= 1e-6
    assert run.objective == pytest.approx(best.objective, rel=1e-6)
    assert len(searching()) == before


def test_what_waits_is_ended_when_the_run_is_over():
    run = Run(mecopt.generate("crowd:batch=14", seed=3))
    before = len(searching())
    with run.slice(0.2, hold=True):
        ilp.METHOD.solve(run.instance, run)
    assert run.kept["ilp"].held is not None
    assert len(searching()) == before + 1
    run.at_end.close()
    assert len(searching()) == before


def test_it_stands_still_meanwhile():
    run = Run(mecopt.generate("crowd:batch=14", seed=3))
    with run.slice(0.3, hold=True):
        ilp.METHOD.solve(run.instance, run)
    found, stopped = run.trace, threading.Event()
    stopped.wait(0.3)
    assert run.trace == found
    assert run.kept["ilp"].held.call._posts.qsize() <= 2  # until its next callback
    run.at_end.close()


def test_a_much_smaller_program_is_searched_anew(built):
    instance = mecopt.generate("crowd:batch=14", seed=3)
    run = Run(instance)
    with run.slice(0.2, hold=True):
        ilp.METHOD.solve(instance, run)
    assert len(built) == 1
    run.found(mecopt.solve(instance, "decomposition", time_limit_s=1).placement)
    run.kept["ilp"].built_of = 10**9  # arcs: as if what was found had cut off nearly all
    with run.slice(0.2, hold=True):
        ilp.METHOD.solve(instance, run)
    assert len(built) == 2
    run.at_end.close()


def test_a_run_that_nobody_goes_on_with_keeps_nothing():
    run = Run(mecopt.generate("crowd:batch=14", seed=3), stop=AnyOf((TimeLimit(0.2),)))
    before = len(searching())
    ilp.METHOD.solve(run.instance, run)
    assert run.kept == {}
    assert len(searching()) == before


@pytest.mark.parametrize("rule", [{"time_limit_s": 1.0}, {"gap": 0.05}])
def test_auto_leaves_no_thread_behind(rule):
    before = len(searching())
    mecopt.solve(INSTANCES / "tiny_paper.json", "auto", **rule)
    mecopt.solve(mecopt.generate("crowd:batch=14", seed=3), "auto", **rule)
    assert len(searching()) == before


def test_an_end_in_the_middle_leaves_no_thread_behind():
    before = len(searching())

    def progress(state):
        if state.seconds > 0.4:
            raise KeyError("no more")

    with pytest.raises(mecopt.InputError):
        mecopt.solve(mecopt.generate("crowd:batch=14", seed=3), "auto", time_limit_s=5, progress=progress)
    assert len(searching()) == before


def test_the_limit_that_a_search_is_given_is_that_of_the_whole_run():
    run = Run(mecopt.generate("crowd:batch=8", seed=3), stop=AnyOf((TimeLimit(50.0),)))
    with run.slice(0.1, hold=True):
        assert run.time_left_s <= 0.1
        assert 49.0 < run.whole_time_left_s <= 50.0
