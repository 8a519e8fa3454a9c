"""Fits: seconds that are there are found again, none is negative, errors are of the right size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls as reference

from mecopt.profiling.divisions import division, divisions
from mecopt.profiling.fitting import Fit, fit, nnls


@given(st.integers(1, 70))
def test_divisions_cover_the_chain_once(blocks):
    found = divisions(blocks)
    assert found[0] == [(0, blocks - 1)]
    for part in found:
        assert [m for first, last in part for m in range(first, last + 1)] == list(range(blocks))
    assert blocks == 1 or found[1] == [(m, m) for m in range(blocks)]
    assert sum(map(len, found)) <= 5 * blocks + 4  # pieces that have to be made ready


def test_a_division_begins_where_it_is_told():
    assert division(5, [3, 1]) == [(0, 0), (1, 2), (3, 4)]
    assert division(3, []) == [(0, 2)]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_what_adds_up_is_found_exactly(seed, blocks):
    draw = np.random.default_rng(seed)
    true = Fit(draw.uniform(0.1, 3, blocks), np.append(0.0, draw.uniform(0, 1, blocks - 1)))
    parts = [[(stretch, true.of(stretch)) for stretch in part] for part in divisions(blocks)]
    found = fit(blocks, parts)
    for part in (division(blocks, draw.integers(0, blocks, 3).tolist()) for _ in range(5)):
        assert found.of_all(part) == pytest.approx(true.of_all(part), rel=1e-6)
    assert found.start_seconds[0] == 0


def test_noise_of_a_hundredth_leaves_placements_within_a_hundredth():
    draw = np.random.default_rng(1)
    true = Fit(draw.uniform(0.1, 3, 30), np.append(0.0, draw.uniform(0, 0.3, 29)))
    noisy = [
        [(stretch, true.of(stretch) * draw.normal(1, 0.01)) for stretch in part] for part in divisions(30)
    ]
    found = fit(30, noisy)
    assert found.of((0, 29)) == pytest.approx(true.of((0, 29)), rel=0.01)
    errors = [
        found.of_all(part) / true.of_all(part) - 1
        for part in (division(30, draw.integers(0, 30, 4).tolist()) for _ in range(20))
    ]
    assert np.abs(errors).max() < 0.01


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 8))
def test_least_squares_are_those_of_scipy(seed, rows, columns):
    draw = np.random.default_rng(seed)
    a, b = draw.standard_normal((rows, columns)), draw.standard_normal(rows)
    found = nnls(a, b)
    assert (found >= 0).all()
    assert np.linalg.norm(a @ found - b) == pytest.approx(reference(a, b)[1], rel=1e-6, abs=1e-9)


def test_least_squares_of_nothing_are_zero():
    assert nnls(np.zeros((3, 2)), np.ones(3)).tolist() == [0, 0]
    assert nnls(-np.eye(2), np.ones(2)).tolist() == [0, 0]
