"""Limits that tasks share: one home, and nobody solves what it does not know."""

import dataclasses
from enum import StrEnum

import numpy as np
import pytest
from hypothesis import given
from reference import Reference
from strategies import documents, judged

import mecopt
from mecopt import CouplingError, limits, registry
from mecopt.entities import rules

ALL = [method.name for method in mecopt.methods()]
UNKNOWN = StrEnum("Coupling", {**{c.name: c.value for c in mecopt.Coupling}, "NOISE": "noise"})


@pytest.fixture
def unheard_of(monkeypatch):
    """Return an instance with a coupling that a later release may have, and this one does not."""
    monkeypatch.setattr(rules, "Coupling", UNKNOWN)
    instance = mecopt.load("instances/tiny_paper.json")
    return instance.replace(rules=mecopt.Rules(couplings=frozenset({"noise"})))


def test_the_judge_refuses_what_nothing_judges(unheard_of):
    with pytest.raises(CouplingError, match="noise"):
        mecopt.evaluate(unheard_of, [[0, 1], [0, 1]])


@pytest.mark.parametrize("relax", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_every_method_refuses_what_nothing_judges(unheard_of, name, relax):
    with pytest.raises(CouplingError, match="noise"):
        mecopt.solve(unheard_of, name, relax=relax)


@pytest.mark.parametrize("name", ALL)
def test_no_method_honours_what_is_not_named(unheard_of, name, monkeypatch):
    """Not even when the limit is known: a method says which it takes one by one."""
    monkeypatch.setattr(limits, "KNOWN", limits.KNOWN | {"noise"})
    with pytest.raises(CouplingError, match=f"{name} cannot honour noise"):
        mecopt.solve(unheard_of, name)


def test_a_method_is_refused_what_it_does_not_take():
    """It says what it takes beyond couplings, as it does for those."""
    hasty = dataclasses.replace(registry.method("local"), takes=frozenset())
    instance = mecopt.load("instances/tiny_paper.json")
    registry.check_honours(hasty, instance)
    weighed = instance.replace(rules=dataclasses.replace(instance.rules, objective={"delay": 1, "energy": 2}))
    expected = r"local does not take energy in the objective; methods that take all of it: .*trellis"
    with pytest.raises(mecopt.InputError, match=expected):
        registry.check_honours(hasty, weighed)


@given(judged(documents()))
def test_rows_and_their_names(case):
    """No two rows have one name; what a placement uses is on rows of its own nodes."""
    document, placement = case
    instance = mecopt.from_dict(document)
    evaluation = mecopt.evaluate(instance, placement)
    nodes, real = evaluation.placement, evaluation.placement >= 0
    for limit in limits.LIMITS.values():
        rows = limit.rows(instance)
        assert rows.shape == (instance.task_count, instance.server_count + 1)
        there = np.unique(rows[rows >= 0]).tolist()
        assert len({tuple(limit.where(instance, row).items()) for row in there}) == len(there)
        used, _ = limit.used(evaluation)
        own = rows[np.nonzero(real)[0], nodes[real]]
        assert set(own[own >= 0].tolist()) <= set(used.tolist())


@given(documents())
def test_parts_share_no_limit(document):
    instance = mecopt.from_dict(document)
    parts = limits.parts(instance)
    assert sorted(np.concatenate(parts).tolist()) == list(range(instance.task_count))
    for limit in limits.of(instance):
        rows = limit.rows(instance)
        bounded = np.isfinite(limit.most(instance, rows))
        touched = [set(rows[tasks][bounded[tasks]].tolist()) for tasks in parts]
        assert sum(map(len, touched)) == len(set().union(*touched))


@given(judged(documents()))
def test_the_judge_breaks_what_the_model_page_breaks(case):
    document, placement = case
    reference, instance = Reference(document), mecopt.from_dict(document)
    evaluation = mecopt.evaluate(instance, placement)
    kinds = {violation.kind for violation in evaluation.violations}
    strained = limits.strained(evaluation)
    assert bool(strained.any()) == bool(kinds & set(map(str, limits.LIMITS)))
    assert reference.slot_s == instance.slot_s
