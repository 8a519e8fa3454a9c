"""`mecopt bounds`: every bound is one, and the flow LP is stronger than the assignment LP."""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner
from places import ROOT

import mecopt
from mecopt.io import load
from mecopt.stop import StopReason
from mecopt_solvers.bounds import bounds as all_bounds
from mecopt_solvers.cli.bounds import bounds
from mecopt_solvers.crosscheck import brute_force, instances, wide_instance


def test_all_of_them_are_bounds():
    for instance in instances(24, seed=31):
        best = brute_force(instance)
        if best is None:
            continue
        for bound in all_bounds(instance, time_limit_s=5):
            assert bound.value is None or bound.value <= best.objective * (1 + 1e-9) + 1e-12, bound
            assert bound.cpu_s >= 0


def test_costs_far_above_the_bound_do_not_raise_it():
    instance = load(
        ROOT / "tests" / "data" / "cancelling_costs.json"
    )  # a server takes 1e11 s, the device 4 s
    best = brute_force(instance).objective
    found = {bound.name: bound.value for bound in all_bounds(instance)}
    for name in ("LP of the flow formulation", "LP of the assignment formulation"):
        assert best * (1 - 1e-3) < found[name] <= best


def test_all_of_them_are_bounds_on_the_wider_model():
    firsts, refused = set(), set()
    for number in range(60):
        instance = wide_instance(np.random.default_rng([37, number]))
        best = brute_force(instance)
        found = list(all_bounds(instance, time_limit_s=5))
        refused |= {bound.name for bound in found if bound.remark.startswith("does not take")}
        if found[0].remark == "infeasible":
            assert best is None
        if best is None:
            continue
        assert found[0].value is not None, found[0]
        firsts.add(found[0].name)
        for bound in found:
            assert bound.value is None or bound.value <= best.objective * (1 + 1e-9) + 1e-18, (number, bound)
    assert firsts == {"trellis, no couplings", "shortest paths, busy seconds"}
    assert "LP of the assignment formulation" in refused


def test_the_unit_is_the_objectives(tmp_path):
    free = load("instances/tiny_paper.json")
    rules = dataclasses.replace(free.rules, objective={"delay": 1, "energy": 2})
    mecopt.io.save(free.replace(rules=rules), tmp_path / "weighed.json")
    shown = CliRunner().invoke(bounds, [str(tmp_path / "weighed.json")])
    assert shown.exit_code == 0, shown.output
    assert "Value" in shown.stdout
    assert "Seconds" not in shown.stdout


def test_side_by_side():
    path = "instances/crowd_k10_n4.json"
    done = CliRunner().invoke(bounds, [path, "--json", "--time-limit", "5"])
    assert done.exit_code == 0, done.output
    found = {row["name"]: row for row in json.loads(done.stdout)["bounds"]}
    flow, weak = found["LP of the flow formulation"], found["LP of the assignment formulation"]
    free = mecopt.solve(load(path), "trellis", relax=True).lower_bound
    assert found["trellis, no couplings"]["value"] == free
    assert weak["value"] < 0.9 * flow["value"]
    assert flow["value"] > 1.1 * free


def test_the_table():
    done = CliRunner().invoke(bounds, ["instances/tiny_memory.json"])
    assert done.exit_code == 0
    assert "LP of the flow formulation" in done.stdout


def test_an_infeasible_instance_has_no_bounds():
    done = CliRunner().invoke(bounds, ["instances/tiny_infeasible.json", "--json"])
    assert done.exit_code == 3
    (row,) = json.loads(done.stdout)["bounds"]
    assert (row["value"], row["remark"]) == (None, "infeasible")
    assert row["reasons"][0]["kind"] == "deadline"
    shown = CliRunner().invoke(bounds, ["instances/tiny_infeasible.json"])
    assert shown.exit_code == 3
    assert "No placement is feasible" in shown.stdout


def test_an_interrupt_is_no_bound(monkeypatch):
    def interrupted(instance, method, **options):
        result = mecopt.solve(instance, method, **options)
        return dataclasses.replace(result, stopped_by=StopReason.INTERRUPT, lower_bound=None)

    monkeypatch.setattr("mecopt_solvers.bounds.solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(all_bounds(load("instances/tiny_memory.json")))


def test_couplings_that_cannot_hold_are_infeasible_too():
    free = mecopt.generate("crowd", seed=7, batch=4)
    instance = free.replace(
        servers=tuple(dataclasses.replace(server, memory_bytes=0.0) for server in free.servers),
        devices=tuple(dataclasses.replace(device, memory_bytes=1.0) for device in free.devices),
        rules=dataclasses.replace(free.rules, couplings=frozenset({"memory"})),
    )
    infeasible = [bound for bound in all_bounds(instance, time_limit_s=5) if bound.remark == "infeasible"]
    assert infeasible
    assert infeasible[-1].reasons
