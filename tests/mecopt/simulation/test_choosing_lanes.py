"""Many decisions at once are those that are made one by one, to the last bit."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import small_documents

import mecopt
from mecopt.errors import InputError
from mecopt.simulation.world import World

SPECS = (
    "camera-vgg:tasks=individual,slots=1,release_rate=40",
    "camera-alexnet:tasks=individual,slots=1,release_rate=12,servers=3,preset=physical",
    "paper:tasks=individual,slots=1,release_rate=6,servers=2,blocks=9",
)


def same_as_one_by_one(world, rng, count, time=1.0):
    task = rng.integers(world.templates, size=count)
    given = {
        "price": rng.exponential(1.0, world.resources),
        "grow": rng.exponential(0.3, world.resources),
        "curve": rng.exponential(0.3, world.resources),
    }
    size, backlog = rng.exponential(2.0, count), rng.exponential(3.0, (count, world.resources))
    nodes, cost, loads = world.decide(task, size, backlog=backlog, time=time, **given)
    for i in range(count):
        row = slice(i, i + 1)
        one = world.decide(task[row], size[row], backlog=backlog[row], time=time, **given)
        assert np.array_equal(nodes[row], one[0])
        assert np.array_equal(cost[row], one[1])
        assert np.array_equal(loads[row], one[2])


@pytest.mark.parametrize("spec", SPECS)
def test_generated_settings(spec):
    world = World.of(mecopt.generate(spec))
    rng = np.random.default_rng(0)
    for count in (32, 75):
        same_as_one_by_one(world, rng, count)
    same_as_one_by_one(world, rng, 40, time=0.0)


@settings(max_examples=15, deadline=None)
@given(small_documents(couplings=()), st.integers(0, 2**32 - 1))
def test_anything_that_the_simulator_takes(document, seed):
    instance = mecopt.from_dict(document)
    try:
        world = World.of(instance)
    except InputError:  # a task without any path
        assume(False)
    same_as_one_by_one(world, np.random.default_rng(seed), 40)
