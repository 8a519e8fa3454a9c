"""Returns against their closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mecopt_rl.learners.multitask_a3c import block_returns, k_step_returns

GAMMA = 0.9


def returns(rewards, following, terminated=(), truncated=(), gamma=GAMMA):
    flags = [np.zeros((len(rewards), 1), dtype=bool) for _ in range(2)]
    for flag, steps in zip(flags, (terminated, truncated), strict=True):
        flag[list(steps)] = True
    column = [np.array(values, dtype=np.float32)[:, None] for values in (rewards, following)]
    return k_step_returns(*column, *flags, gamma)[:, 0]


def test_a_segment_bootstraps_at_its_end():
    found = returns([1.0, 2.0, 3.0], [7.0, 8.0, 10.0])
    assert found == pytest.approx([1 + 0.9 * 2 + 0.81 * 3 + 0.729 * 10, 2 + 0.9 * 3 + 0.81 * 10, 3 + 9.0])


def test_an_episode_that_is_cut_off_bootstraps_there():
    found = returns([1.0, 2.0, 3.0], [7.0, 8.0, 10.0], truncated=[1])
    assert found == pytest.approx([1 + 0.9 * 2 + 0.81 * 8, 2 + 0.9 * 8, 3 + 9.0])


def test_an_episode_that_is_over_does_not():
    found = returns([1.0, 2.0, 3.0], [7.0, 8.0, 10.0], terminated=[1])
    assert found == pytest.approx([1 + 0.9 * 2, 2, 3 + 9.0])
    assert returns([1.0, 2.0], [7.0, 8.0], terminated=[0, 1]) == pytest.approx([1, 2])


def test_over_counts_before_cut_off():
    assert returns([1.0], [7.0], terminated=[0], truncated=[0]) == pytest.approx([1])


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=8), st.floats(0, 1))
def test_the_sum_of_eq_16(rewards, gamma):
    found = returns(rewards, [4.0] * len(rewards), gamma=gamma)
    for t in range(len(rewards)):
        k = len(rewards) - t
        expected = sum(gamma**i * rewards[t + i] for i in range(k)) + gamma**k * 4.0
        assert found[t] == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_no_discount_looks_at_one_slot():
    assert returns([1.0, 2.0], [7.0, 8.0], gamma=0.0) == pytest.approx([1, 2])


def test_credit_of_blocks():
    costs = np.array([[1.0, 2.0, 4.0]], dtype=np.float32)
    rewards = -costs.sum(axis=1)
    later = rewards + np.float32(10.0)  # the return has 10 more from later slots
    assert block_returns(costs, later, rewards, "slot").tolist() == [[3.0]]
    assert block_returns(costs, later, rewards, "block").tolist() == [[10 - 7, 10 - 6, 10 - 4]]
