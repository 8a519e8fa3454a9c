"""The exact methods against brute force, and brute force against the scalar reference."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from reference import Reference

import mecopt
from mecopt import registry
from mecopt_solvers import crosscheck as checks
from mecopt_solvers.cli.crosscheck import crosscheck
from mecopt_solvers.crosscheck import SETS, brute_force, check, instances, random_instance

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


def test_the_exact_methods_agree_with_brute_force():
    wrong = [
        (instance.name, answer.method, answer.what)
        for instance in instances(96, seed=1)
        for answer in check(instance, OWN)
        if answer.what
    ]
    assert wrong == []


@pytest.mark.slow
def test_the_exact_methods_agree_with_brute_force_on_many():
    wrong = [
        (instance.name, answer.method, answer.what)
        for instance in instances(2000, seed=2)
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


def test_a_disagreement_is_found_printed_and_saved(monkeypatch, tmp_path):
    def lie(instance, run):
        nodes = np.where(np.arange(instance.max_blocks) < instance.block_count[:, None], 0, -1)
        run.found(nodes)
        if run.objective is not None:
            run.improve_bound(run.objective)

    liar = mecopt.Method("liar", "exact", "of this test", frozenset(mecopt.Coupling), lie)
    real = registry.method
    monkeypatch.setattr(registry, "method", lambda name: liar if name == "liar" else real(name))
    monkeypatch.setattr(checks, "methods", lambda: (liar,))
    done = CliRunner().invoke(crosscheck, ["--count", "12", "--out", str(tmp_path), "--json"])
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["instances"] == 12
    assert document["methods"]["liar"]["disagreements"] == len(document["disagreements"]) > 0
    first = document["disagreements"][0]
    assert mecopt.load(first["file"]).name == first["instance"]
    assert first["what"] in done.stderr


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
