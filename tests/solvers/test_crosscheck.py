"""The exact methods against brute force, and brute force against the scalar reference."""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from reference import Reference
from strategies import examples
from wide_strategies import wide_documents

import mecopt
from mecopt import features, limits, registry
from mecopt.entities import Sharing
from mecopt.features import Feature
from mecopt_solvers import crosscheck as checks
from mecopt_solvers.cli.crosscheck import crosscheck
from mecopt_solvers.crosscheck import (
    SETS,
    brute_force,
    check,
    checking,
    instances,
    random_instance,
    wide_instance,
)

OWN = ("milp", "ilp", "cpsat", "energy-path", "trellis")


def test_brute_force_is_the_references():
    for i in range(40):
        instance = random_instance(np.random.default_rng([7, i]))
        if (instance.server_count + 1) ** instance.block_count.sum() > 3000:
            continue
        best = brute_force(instance)
        truth = Reference(mecopt.to_dict(instance)).best_coupled()
        assert (best is None) == (truth is None)
        if best is not None:
            assert best.objective == pytest.approx(truth, rel=1e-9, abs=1e-300)


@examples(60)
@given(wide_documents(joint=400))
def test_brute_force_is_the_references_on_the_wider_model(document):
    best = brute_force(mecopt.from_dict(document))
    truth = Reference(document).best_coupled()
    assert (best is None) == (truth is None)
    if best is not None:
        assert best.objective == pytest.approx(truth, rel=1e-9, abs=1e-18)


def test_brute_force_is_the_references_on_instances_of_its_own():
    looked = 0
    for i in range(60):
        instance = wide_instance(np.random.default_rng([11, i]))
        reference = Reference(mecopt.to_dict(instance))
        if np.prod([len(list(reference.choices(k))) for k in range(instance.task_count)]) > 1000:
            continue
        looked += 1
        best, truth = brute_force(instance), reference.best_coupled()
        assert (best is None) == (truth is None), i
        if best is not None:
            assert best.objective == pytest.approx(truth, rel=1e-9, abs=1e-18), i
    assert looked > 30


def test_the_exact_methods_agree_with_brute_force():
    wrong = [
        (instance.name, answer.method, answer.what)
        for instance in instances(96, seed=1)
        for answer in check(instance, OWN)
        if answer.what
    ]
    assert wrong == []


def test_the_exact_methods_agree_with_brute_force_on_the_wider_model():
    wrong = [
        (instance.name, answer.method, answer.what)
        for instance in instances(120, seed=1, wider=True)
        for answer in check(instance, [*OWN, "enumeration"])
        if answer.what
    ]
    assert wrong == []


@pytest.mark.slow
def test_the_exact_methods_agree_with_brute_force_on_many():
    wrong = [
        (instance.name, answer.method, answer.what)
        for instance in instances(3000, seed=2, wider=True)
        for answer in check(instance)
        if answer.what
    ]
    assert wrong == []


def test_the_instances_are_what_they_are_meant_to_be():
    drawn = list(instances(96, seed=3))
    assert {instance.rules.couplings for instance in drawn} == set(SETS)
    assert {str(instance.rules.deadline) for instance in drawn} == {"hard", "soft", "none"}
    best = [brute_force(instance) for instance in drawn]
    assert 10 < sum(judged is None for judged in best) < 80
    coupled = [i for i, judged in zip(drawn, best, strict=True) if judged is not None and i.rules.couplings]
    bound = sum(
        brute_force(i).objective > mecopt.solve(i, "trellis", relax=True).lower_bound * 1.001
        for i in coupled[:24]
    )
    assert bound > 3  # limits that bind
    assert any((instance.tasks.rate_bps == 0).any() for instance in drawn)
    again = [instance.sha256 for instance in instances(96, seed=3)]
    assert again == [instance.sha256 for instance in drawn]


def test_half_of_the_instances_use_all_of_the_wider_model():
    drawn = list(instances(400, seed=5, wider=True))
    wide = [instance for instance in drawn if instance.format.endswith("/2")]
    assert 150 < len(wide) <= 200
    assert set().union(*(features.of(instance) for instance in wide)) == set(Feature)
    assert set().union(*(instance.rules.couplings for instance in wide)) == limits.COUPLINGS
    assert {instance.rules.sharing for instance in wide} == {None, *Sharing}
    assert {instance.rules.objective.of for instance in wide} == {"devices", "all"}
    assert any(instance.tasks.given("max_phase_delay_s") is not None for instance in wide)
    assert all(mecopt.from_dict(mecopt.to_dict(instance)) == instance for instance in wide)
    best = [brute_force(instance) for instance in wide[:60]]
    assert 10 < sum(judged is None for judged in best) < 40
    assert any(judged is not None and judged.dropped.any() for judged in best)


def test_a_bound_that_was_too_high_on_the_way_is_found(monkeypatch):
    instance = mecopt.load("tiny_paper")
    best = brute_force(instance)
    honest = mecopt.solve(instance, "enumeration")
    early = dataclasses.replace(honest, trace=((0.0, None, 2.0 * best.objective), *honest.trace))
    monkeypatch.setattr(checking, "solve", lambda *given, **options: early)
    (answer,) = check(instance, ["enumeration"])
    assert answer.what == f"bound {2.0 * best.objective!r} above the optimum {best.objective!r}"


def test_a_disagreement_is_found_printed_and_saved(monkeypatch, tmp_path):
    def lie(instance, run):
        nodes = np.where(np.arange(instance.max_blocks) < instance.block_count[:, None], 0, -1)
        run.found(nodes)
        if run.objective is not None:
            run.improve_bound(run.objective)

    liar = mecopt.Method("liar", "exact", "of this test", frozenset(mecopt.Coupling), lie)
    real = registry.method
    monkeypatch.setattr(registry, "method", lambda name: liar if name == "liar" else real(name))
    monkeypatch.setattr(checking, "methods", lambda: (liar,))
    done = CliRunner().invoke(crosscheck, ["--count", "12", "--out", str(tmp_path), "--json"])
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["instances"] == 12
    assert document["methods"]["liar"]["disagreements"] == len(document["disagreements"]) > 0
    first = document["disagreements"][0]
    assert mecopt.load(first["file"]).name == first["instance"]
    assert first["what"] in done.stderr


@pytest.mark.parametrize(
    ("kind", "claims", "what"),
    [
        ("heuristic", lambda run: run.improve_bound(2.0 * run.objective), "bound"),
        ("heuristic", lambda run: run.improve_bound(run.objective), "optimal"),
        ("heuristic", lambda run: run.infeasible([{"message": "so it is"}]), "infeasibility"),
        ("heuristic", lambda run: None, ""),
        ("exact", lambda run: None, "feasible"),
    ],
)
def test_of_a_method_that_proves_nothing_only_claims_count(monkeypatch, kind, claims, what):
    instance = mecopt.load("tiny_paper")

    def own(instance, run):
        run.found(np.zeros((instance.task_count, instance.max_blocks), dtype=int))  # not the best
        claims(run)

    claimer = mecopt.Method("claimer", kind, "of this test", frozenset(mecopt.Coupling), own)
    real = registry.method
    monkeypatch.setattr(registry, "method", lambda name: claimer if name == "claimer" else real(name))
    monkeypatch.setattr(checking, "methods", lambda: (claimer,))
    (answer,) = check(instance, ["claimer"])
    assert what in answer.what
    assert bool(answer.what) is bool(what)
    assert answer.optimum == brute_force(instance).objective


def test_the_command(tmp_path):
    done = CliRunner().invoke(
        crosscheck,
        ["--count", "16", "--seed", "4", "--method", "ilp", "--method", "trellis", "--out", str(tmp_path)],
    )
    assert done.exit_code == 0, done.output
    assert "16 instances of seed 4" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_command_stops_in_time(tmp_path):
    done = CliRunner().invoke(
        crosscheck, ["--count", "100000", "--seconds", "0.5", "--method", "ilp", "--json"]
    )
    assert done.exit_code == 0
    assert 0 < json.loads(done.stdout)["instances"] < 10000


def test_an_interrupt_shows_what_was_checked(monkeypatch):
    def check_three(instance, names):
        if instance.name.endswith("-3"):
            raise KeyboardInterrupt
        yield checks.Check("ilp", "")

    monkeypatch.setattr(checks, "check", check_three)
    done = CliRunner().invoke(crosscheck, ["--json"])
    assert done.exit_code == 130
    document = json.loads(done.stdout)
    assert document["interrupted"]
    assert document["methods"] == {"ilp": {"checked": 3, "disagreements": 0}}
