"""The baselines on the wider model: what they take they place as the judge says, the rest they refuse."""

import pytest
from hypothesis import given
from reference import Reference
from strategies import examples
from wide_strategies import wide_documents

import mecopt
from mecopt import features
from mecopt.result import Status

METHODS = {method.name: method for method in mecopt.methods() if method.kind == "baseline"}
NAMES = [*METHODS, "local-search"]


def refuses(method, instance):
    """Say what a method must refuse of an instance: features, then couplings."""
    return features.of(instance) - method.takes, instance.rules.couplings - method.honours


def check(name, instance, best):
    method = next(m for m in mecopt.methods() if m.name == name)
    missed, couplings = refuses(method, instance)
    rounds = {"iterations": 3} if name == "local-search" else {}
    if missed or couplings:
        with pytest.raises((mecopt.InputError, mecopt.CouplingError)) as error:
            mecopt.solve(instance, name, **rounds)
        assert all(word in str(error.value) for word in sorted(missed or couplings))
        assert "enumeration" in str(error.value)
        return
    result = mecopt.solve(instance, name, seed=1, **rounds)
    if result.status is Status.INFEASIBLE:
        assert best is None
        return
    judged = mecopt.evaluate(instance, result.evaluation.placement)
    assert judged.feasible == (result.status is not Status.VIOLATING)
    assert judged.objective == result.objective
    if best is None:
        assert result.objective is None
        return
    assert result.lower_bound <= best * (1 + 1e-9) + 1e-12
    if result.objective is not None:
        assert result.objective >= best * (1 - 1e-9) - 1e-12


@examples(60)
@given(wide_documents(joint=300))
def test_what_it_takes_it_places_and_the_rest_it_refuses(document):
    instance = mecopt.from_dict(document)
    best = Reference(document).best_coupled()
    for name in NAMES:
        check(name, instance, best)
