"""The judge against the scalar reference on everything of the wider model."""

import math

import pytest
from hypothesis import given
from reference import Reference
from strategies import examples
from wide_strategies import wide_documents, wide_judged

import mecopt

TASKS_OWN = ("link", "deadline", "allow", "one_run")


def close(value, truth):
    """Say whether two figures are one; what the judge calls None is infinite in the reference."""
    if value is None or not math.isfinite(value):
        return not math.isfinite(truth)
    return value == pytest.approx(truth, rel=1e-9, abs=1e-18)


def place(violation, placement):
    """Return kind and place as the reference writes them."""
    where = violation.where
    if violation.kind in TASKS_OWN:
        block = [min(where["block"], len(placement[where["task"]]) - 1)] if "block" in where else []
        return (violation.kind, where["task"], *block, *([where["phase"]] if "phase" in where else []))
    if violation.kind == "energy":
        return ("energy", where["device"])
    return (violation.kind, where["slot"], where.get("device", where["node"]))


def comparable(found, cut_off):
    """Leave out what counts in times and energies that a missing link makes infinite."""
    kept = {one for one in found if not (one[0] == "deadline" and one[1] in cut_off)}
    return {one for one in kept if one[0] != "energy"} if cut_off else kept


def without_only_phase(one, reference):
    """A list of one deadline for a model of one phase is a number."""
    named = one[0] == "deadline" and isinstance(one[-1], str)
    return one[:2] if named and len(reference.repeats(one[1])) == 1 else one


@examples(200)
@given(wide_judged(wide_documents()))
def test_violations_are_the_references(case):
    document, placement = case
    reference = Reference(document)
    judged = mecopt.evaluate(mecopt.from_dict(document), placement)
    mine = {place(violation, placement) for violation in judged.violations}
    truth = {without_only_phase(one, reference) for one in reference.broken(placement)}
    cut_off = {one[1] for one in truth if one[0] == "link"}
    assert comparable(mine, cut_off) == comparable(truth, cut_off)
    assert judged.feasible == (not truth)


@examples(200)
@given(wide_judged(wide_documents()))
def test_objective_and_terms_are_the_references(case):
    document, placement = case
    reference = Reference(document)
    judged = mecopt.evaluate(mecopt.from_dict(document), placement)
    truth = reference.terms(placement)
    if not reference.feasible(placement):
        assert judged.objective is None
        return
    assert close(judged.objective, sum(truth.values()))
    for name, value in judged.objective_terms.items():
        assert close(value, truth[name]), name


@examples(200)
@given(wide_judged(wide_documents()))
def test_delays_energies_and_periods_are_the_references(case):
    document, placement = case
    reference = Reference(document)
    judged = mecopt.evaluate(mecopt.from_dict(document), placement)
    stretch = reference.stretches(placement)
    for k, path in reference.placed(placement):
        overloaded = any(stretch.get((reference.slot(k), j)) == math.inf for j in path)
        if overloaded or not reference.has_links(k, path):  # violations, looked at above
            continue
        truth = reference.phase_delays(k, path, stretch)
        phases = [phase.task_delay_s[k] for phase in judged.phases]
        assert len(phases) >= len(truth)
        for value, one in zip(phases, truth, strict=False):
            assert close(value, one)
        assert close(judged.task_delay_s[k], sum(truth))
        for value, one in zip(
            judged.block_delay_s[k], reference.block_delays(k, path, stretch), strict=False
        ):
            assert close(value, one)
        assert close(judged.task_energy_j[k], reference.task_energy(k, path))
    if all(reference.has_links(k, path) for k, path in reference.placed(placement)):
        assert close(judged.period_s, reference.period_s(placement))
        for name, spent in reference.device_energy(placement).items():
            assert close(judged.device_energy_j[name], spent)


@examples(60)
@given(wide_judged(wide_documents()))
def test_an_instance_that_went_through_a_file_is_judged_the_same(case):
    document, placement = case
    instance = mecopt.from_dict(document)
    again = mecopt.from_dict(mecopt.to_dict(instance))
    assert again.sha256 == instance.sha256
    first, second = mecopt.evaluate(instance, placement), mecopt.evaluate(again, placement)
    assert first.objective == second.objective
    assert first.violations == second.violations
