"""The bound of a program's LP where HiGHS has nothing to say, or fails."""

import dataclasses

import numpy as np
import pytest

import mecopt
from mecopt.costs import chain_costs
from mecopt.errors import MecoptError
from mecopt.highs import Highs
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.programs.flow import build_flow
from mecopt_solvers.programs.linear_program import Rows
from mecopt_solvers.programs.relaxation import lp_bound


@pytest.fixture
def program():
    instance = mecopt.load("instances/tiny_capacity.json")
    return build_flow(instance, build_arcs(chain_costs(instance)), all_tasks=True)


def test_a_program_that_cannot_be_met_has_no_bound(program):
    none, value = np.zeros(0, dtype=np.int64), np.zeros(0)
    never = Rows(np.array([0, 0]), none, value, np.array([1.0]), np.array([np.inf]))
    assert lp_bound(program) > 0
    assert lp_bound(program.with_rows([never])) is None


def test_a_program_without_columns_costs_nothing(program):
    none, of_none = np.zeros(0, dtype=np.int64), np.zeros(0)
    empty = {name: getattr(program, name)[:0] for name in ("cost", "integer", "decides")}
    empty |= dict.fromkeys(("task", "block", "tail", "head"), none)
    rows = Rows(np.zeros(1, dtype=np.int64), none, of_none, of_none, of_none)
    assert lp_bound(dataclasses.replace(program, **empty, rows=rows)) == 0.0


def test_a_failure_of_highs_is_named(program, monkeypatch):
    monkeypatch.setattr(Highs, "run", lambda highs: "failed")
    with pytest.raises(MecoptError, match="HiGHS ended with 'Not Set' on the LP relaxation"):
        lp_bound(program)
