"""`milp`: the readable model, both formulations, and how their relaxations compare."""

import numpy as np
import pytest

import mecopt
from mecopt.costs import chain_costs
from mecopt.io import load
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.crosscheck import brute_force, instances
from mecopt_solvers.programs.flow import build_flow
from mecopt_solvers.programs.milp import build_model
from mecopt_solvers.programs.pyomo_arrays import to_program
from mecopt_solvers.programs.relaxation import lp_bound


def test_the_assignment_formulation_agrees_with_brute_force():
    for instance in instances(64, seed=11):
        best, result = brute_force(instance), mecopt.solve(instance, "milp", formulation="assignment")
        if best is None:
            assert result.status == "infeasible"
        else:
            assert result.status == "optimal"
            assert result.objective == pytest.approx(best.objective, rel=1e-9, abs=1e-300)


def test_an_unknown_formulation_is_refused():
    with pytest.raises(mecopt.InputError, match="formulation: 'cubic', expected one of flow, assignment"):
        mecopt.solve(load("instances/tiny_capacity.json"), "milp", formulation="cubic")


def test_the_model_is_readable():
    instance = load("instances/tiny_memory.json")
    model = build_model(instance, build_arcs(chain_costs(instance)))
    assert {c.name for c in model.component_objects()} >= {
        "step",
        "hold",
        "start",
        "flow",
        "holds",
        "memory",
        "total",
    }
    text = str(model.memory[0, 0].expr)
    assert text.startswith("60000000.0*hold[0,0,0,0] + 60000000.0*hold[0,0,0,1]")


def test_both_relaxations_are_bounds_and_flow_is_no_weaker():
    for instance in instances(48, seed=12):
        best = brute_force(instance)
        if best is None:
            continue
        arcs = build_arcs(chain_costs(instance))
        unit = max(best.objective, 1e-300) / 1e3
        flow = lp_bound(build_flow(instance, arcs, all_tasks=True), unit=unit)
        same = lp_bound(to_program(build_model(instance, arcs), arcs), unit=unit)
        weak = lp_bound(to_program(build_model(instance, arcs, "assignment"), arcs), unit=unit)
        slack = 1e-6 * best.objective + 1e-12
        assert weak <= flow + slack
        assert flow <= best.objective + slack
        assert same == pytest.approx(flow, rel=1e-6, abs=slack)


def test_pyomo_and_the_arrays_say_the_same_of_a_placement():
    for instance in instances(24, seed=13):
        best = brute_force(instance)
        if best is None:
            continue
        arcs = build_arcs(chain_costs(instance))
        for formulation in ("flow", "assignment"):
            program = to_program(build_model(instance, arcs, formulation), arcs)
            x = program.encode(best.placement)
            assert program.cost @ x == pytest.approx(best.objective, rel=1e-12, abs=1e-300)
            rows = program.rows
            use = np.bincount(rows.index, rows.value * x[rows.column], len(rows.lower))
            assert ((use <= rows.upper + 1e-12) & (use >= rows.lower - 1e-12)).all()
