"""Rows that cut off a placement which breaks a limit, and no placement that does not."""

import dataclasses
import itertools

import numpy as np
import pytest

import mecopt
from mecopt.costs import chain_costs
from mecopt.judge import evaluate
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.programs.flow import build_flow


@pytest.fixture
def instance():
    return mecopt.load("instances/tiny_capacity.json")


@pytest.fixture
def program(instance):
    return build_flow(instance, build_arcs(chain_costs(instance)), all_tasks=True)


def every(instance):
    """Yield every placement, judged."""
    shape = (instance.task_count, instance.max_blocks)  # all tasks have as many blocks
    for nodes in itertools.product(range(len(instance.servers) + 1), repeat=shape[0] * shape[1]):
        yield evaluate(instance, np.array(nodes).reshape(shape))


def meets(rows, x):
    use = np.bincount(rows.index, rows.value * x[rows.column], len(rows.lower))
    return bool(((use >= rows.lower - 1e-9) & (use <= rows.upper + 1e-9)).all())


def test_cuts_leave_every_feasible_placement(instance, program):
    judged = list(every(instance))
    feasible = [program.encode(one.placement) for one in judged if one.feasible]
    broken = [one for one in judged if one.violations]
    assert feasible
    assert broken
    for one in broken:
        for cut in program.cut_off(one):
            assert not meets(cut, program.encode(one.placement))
            assert all(meets(cut, x) for x in feasible)


def test_without_a_row_for_the_limit_the_placement_alone_is_cut_off(instance, program):
    bare = dataclasses.replace(program, labels={})
    judged = list(every(instance))
    broken = next(one for one in judged if one.violations)
    (cut,) = bare.cut_off(broken)
    kept = [one for one in judged if meets(cut, bare.encode(one.placement))]
    assert len(kept) == len(judged) - 1
    assert not any((one.placement == broken.placement).all() for one in kept)
