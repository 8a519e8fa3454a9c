"""Enumeration against the scalar reference on everything of the model, and what it refuses."""

import pytest
from hypothesis import given
from reference import Reference
from strategies import MINIMAL, examples
from wide_strategies import wide_documents

import mecopt
from mecopt_solvers.enumeration import MOST


@examples(80)
@given(wide_documents(joint=400))
def test_it_finds_the_references_optimum(document):
    result = mecopt.solve(mecopt.from_dict(document), "enumeration")
    truth = Reference(document).best_coupled()
    if truth is None:
        assert result.status == "infeasible"
        assert result.reasons
        return
    assert result.status == "optimal"
    assert result.objective == pytest.approx(truth, rel=1e-9, abs=1e-18)
    bounds = [result.lower_bound, *(bound for _, _, bound in result.trace if bound is not None)]
    assert max(bounds) <= truth * (1 + 1e-9) + 1e-18


def test_it_says_how_many_placements_are_too_many():
    blocks = [{"cycles": 1, "input_bits": 1}] * 18
    document = {**MINIMAL, "models": [{"name": "m", "blocks": blocks}]}
    document["servers"] = [{"cycles_per_s": 100}]  # where all would run, for longer than the slot
    document["rules"], document["slots"] = {"couplings": ["capacity"]}, {"count": 1, "seconds": 0.1}
    with pytest.raises(
        mecopt.InputError, match=f"takes {MOST} placements of a task at most, task 0 has 2.62e.05"
    ):
        mecopt.solve(mecopt.from_dict(document), "enumeration")
