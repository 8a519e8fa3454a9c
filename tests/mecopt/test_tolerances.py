"""What counts as the same figure, and as no gap."""

import math

import pytest

from mecopt.errors import DisagreementError
from mecopt.result import gap
from mecopt.tolerances import AGREEMENT, LARGEST_NEGATIVE_GAP, SMALLEST_REFERENCE, agree, excess


def test_an_excess_is_relative_and_signed():
    assert excess(3.0, 2.0) == 0.5
    assert excess(1.0, 2.0) == -0.5
    assert excess(-1.0, -2.0) == 0.5
    assert excess(2 * SMALLEST_REFERENCE, 0.0) == 2.0


@pytest.mark.parametrize(
    ("claimed", "same"),
    [(2.0, True), (2 * (1 + 0.9 * AGREEMENT), True), (2 * (1 + 1.1 * AGREEMENT), False), (math.nan, False)],
)
def test_figures_agree_within_the_tolerance(claimed, same):
    assert agree(claimed, 2.0) is same


def test_a_bound_above_is_rounding_or_wrong():
    assert gap(2.0 * (1 - 0.5 * LARGEST_NEGATIVE_GAP), 2.0) == 0.0
    with pytest.raises(DisagreementError, match="lies above"):
        gap(2.0 * (1 - 2 * LARGEST_NEGATIVE_GAP), 2.0)
    assert gap(None, 2.0) is None
    assert gap(2.0, None) is None
