"""`cpsat`: its scaling, and the error that it states."""

import numpy as np
import pytest

import mecopt
from mecopt.costs import chain_costs
from mecopt.io import load
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.crosscheck import brute_force, instances
from mecopt_solvers.programs.cpsat import FINEST, Scaled
from mecopt_solvers.programs.flow import build_flow


def test_the_error_is_reported_and_small():
    result = mecopt.solve(load("instances/tiny_capacity.json"), "cpsat")
    assert result.status == "optimal"
    assert 0 <= result.options["scaling_error_s"] <= 1e-9 * result.objective
    assert result.options["cost_unit_s"] > 0
    assert result.to_dict()["options"]["scaling_error_s"] == result.options["scaling_error_s"]


def test_no_placement_is_wrong_by_more_than_the_stated_error():
    rng = np.random.default_rng(0)
    for instance in instances(24, seed=14):
        program = build_flow(instance, build_arcs(chain_costs(instance)), all_tasks=True)
        scaled = Scaled.of(program, 10.0 ** rng.uniform(-3, 3))
        best = brute_force(instance)
        if best is None:
            continue
        x = program.encode(best.placement)
        true = program.cost @ x
        assert abs(scaled.cost @ x * scaled.unit - true) <= scaled.error + 1e-13 * true


def test_the_unit_follows_the_data():
    instance = load("instances/crowd_k10_n4.json")
    program = build_flow(instance, build_arcs(chain_costs(instance)))
    fine, coarse = Scaled.of(program, 0.1), Scaled.of(program, 1e6)
    assert fine.unit == pytest.approx(FINEST * 0.1)
    assert coarse.unit > fine.unit
    assert coarse.error > fine.error


def test_limits_are_not_finer_than_the_presolve_can_bear():
    """With limits of 10**11 units the presolve of OR-Tools 9.15 lost the optimum of this one."""
    instance = list(instances(1299, seed=0))[-1]
    assert mecopt.solve(instance, "cpsat").objective == pytest.approx(
        brute_force(instance).objective, rel=1e-9
    )
