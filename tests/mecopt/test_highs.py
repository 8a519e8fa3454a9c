"""The wrapper of HiGHS on programs small enough to solve by hand."""

import numpy as np
import pytest

from mecopt.errors import MecoptError
from mecopt.highs import Highs, Matrix

# min -x - 2y, x + y <= 1.5, 0 <= x, y <= 1: x = 0.5, y = 1; the row's dual is -1.
COST, UPPER = np.array([-1.0, -2.0]), np.ones(2)
ROW = np.array([-np.inf]), np.array([1.5])
BY_ROWS = Matrix(np.array([0]), np.array([0, 1]), np.ones(2), by_rows=True)
BY_COLUMNS = Matrix(np.array([0, 1]), np.array([0, 0]), np.ones(2))


@pytest.mark.parametrize("matrix", [BY_ROWS, BY_COLUMNS], ids=["rows", "columns"])
def test_values_duals_and_objective(matrix, capfd):
    highs = Highs(COST, UPPER, *ROW, matrix)
    assert highs.run() == "optimal"
    assert highs.values.tolist() == [0.5, 1.0]
    assert highs.duals.tolist() == [-1.0]
    assert highs.objective == -2.5
    assert highs.status == "Optimal"
    assert capfd.readouterr() == ("", "")


def test_whole_columns_and_their_bound():
    highs = Highs(COST, UPPER, *ROW, BY_ROWS, np.ones(2, dtype=bool))
    seen = []
    highs.watch(lambda: False, seen.append, lambda bound: None)
    assert highs.run() == "optimal"
    assert highs.values.tolist() == [0.0, 1.0]
    assert (highs.objective, highs.bound, highs.feasible) == (-2.0, -2.0, True)
    assert [0.0, 1.0] in [x.tolist() for x in seen]


def test_bounds_change_between_runs():
    highs = Highs(COST, UPPER, *ROW, BY_ROWS)
    highs.run()
    highs.bound_rows(np.array([0]), np.array([0.25]))
    highs.run()
    assert highs.values.tolist() == [0.0, 0.25]
    highs.bound_columns(np.array([1.0, 0.125]))
    highs.run()
    assert highs.values.tolist() == [0.125, 0.125]
    highs.fix_column(0, 1.0)
    assert highs.run() == "infeasible"
    assert highs.status == "Infeasible"


def test_added_columns_relax_a_row():
    highs = Highs(COST, UPPER, *ROW, BY_ROWS)
    highs.add_columns(np.array([0.5]), Matrix(np.array([0]), np.array([0]), np.array([-1.0])))
    highs.forget()
    assert highs.run() == "optimal"
    assert highs.values.tolist() == [1.0, 1.0, 0.5]


def test_a_time_left_counts_from_now():
    highs = Highs(COST, UPPER, *ROW, BY_ROWS)
    highs.run()
    highs.set_time_left(np.inf)
    highs.forget()
    assert highs.run() == "optimal"


def test_a_search_that_is_told_to_stop_has_stopped():
    rng = np.random.default_rng(0)
    size = 60
    weights = rng.integers(1000, 9999, (5, size)).astype(float)
    matrix = Matrix(np.arange(5) * size, np.tile(np.arange(size), 5), weights.ravel(), by_rows=True)
    sides = weights.sum(axis=1) / 2
    highs = Highs(-rng.random(size), np.ones(size), np.full(5, -np.inf), sides, matrix, np.ones(size, bool))
    highs.interrupt_when(lambda: True)
    assert highs.run() == "stopped"
    assert not highs.bound > highs.objective


def test_a_refused_option_is_named():
    highs = Highs(COST, UPPER, *ROW, BY_ROWS)
    with pytest.raises(MecoptError, match="HiGHS refuses its option threads = 'many'"):
        highs.set(threads="many")


def test_refused_data_run_as_an_empty_program():
    highs = Highs(COST, UPPER, *ROW, Matrix(np.array([0]), np.array([0, 7]), np.ones(2), by_rows=True))
    assert highs.run() == "empty"


def test_another_number_of_threads_before_is_no_failure():
    """What somebody else has run in this thread left a scheduler for two threads."""
    for threads in (2, 1, 2):
        highs = Highs(COST, UPPER, *ROW, BY_ROWS)
        highs.set(threads=threads)
        assert highs.run() == "optimal"
        assert highs.values.tolist() == [0.5, 1.0]
