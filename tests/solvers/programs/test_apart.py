"""Solvers in a process of their own: what they found arrives, and they are ended when they do not stop."""

import time

import pytest

import mecopt
from mecopt.costs import chain_costs
from mecopt.processes import left_behind
from mecopt_solvers.programs import apart, search
from mecopt_solvers.programs.flow import build_flow
from mecopt_solvers.programs.presolve import reduce


@pytest.fixture
def job():
    instance = mecopt.load("instances/tiny_capacity.json")
    program = build_flow(instance, reduce(instance, chain_costs(instance)).arcs)
    posts = []

    def made(due=lambda: False):
        found = lambda x: posts.append(("found", len(x)))  # noqa: E731
        bound = lambda value: posts.append(("bound", value))  # noqa: E731
        return search.Job(program, 1.0, None, found, bound, due), posts

    return made


def test_everything_posted_arrives_before_the_answer(job):
    asked, posts = job()
    notes = []
    outcome = apart.solve_apart("engines:answers", asked, notes.append)
    assert (outcome.ended, outcome.bound) == ("optimal", 1.0)
    assert posts == [("found", asked.program.columns), ("bound", 0.5)]
    assert notes == ["noted"]


def test_one_that_does_not_stop_is_ended_and_what_it_found_is_kept(job):
    posts = []
    asked, posts = job(due=lambda: bool(posts))
    start = time.perf_counter()
    outcome = apart.solve_apart("engines:never_stops", asked)
    assert outcome.ended == "stopped"
    assert posts == [("found", asked.program.columns)]
    assert time.perf_counter() - start < 30
    assert not left_behind()


def test_what_a_library_prints_is_no_answer(job, capfd):
    asked, _ = job()
    assert apart.solve_apart("engines:prints", asked).ended == "infeasible"
    assert capfd.readouterr().out == ""


def test_one_that_dies_is_an_error(job):
    asked, _ = job()
    with pytest.raises(mecopt.MethodError, match="the solver's process ended with status 9"):
        apart.solve_apart("engines:dies", asked)


@pytest.mark.parametrize("method", ["ilp", "cpsat"])
def test_the_optimum_is_the_same_in_a_process_of_its_own(monkeypatch, method):
    instance = mecopt.load("instances/tiny_capacity.json")
    here = mecopt.solve(instance, method)
    monkeypatch.setattr(apart, "COLUMNS", 0)
    there = mecopt.solve(instance, method)
    assert (there.status, there.objective) == ("optimal", pytest.approx(here.objective))
    assert there.options == here.options
