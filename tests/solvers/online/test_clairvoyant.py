"""The clairvoyant optimum of small traces lies between the bound and every rule."""

import numpy as np
import pytest

import mecopt
from mecopt.simulation import Pricing
from mecopt.simulation.arrivals import draw
from mecopt.simulation.bound import bound_of
from mecopt.simulation.engine import simulate_stream
from mecopt.simulation.world import World
from mecopt_solvers.online.clairvoyant import clairvoyant


@pytest.mark.parametrize("discipline", ["fifo", "ps"])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_lies_between_the_bound_and_every_rule(discipline, seed):
    world = World.of(
        mecopt.generate("camera-alexnet:tasks=individual,slots=1,release_rate=3,servers=2,blocks=2")
    )
    stream = draw("poisson", world.templates, 40.0, 3, seed)
    best, nodes = clairvoyant(world, stream, discipline)
    assert best >= bound_of(world, stream).queueing_s * (1 - 1e-9)
    for sees in ("nothing", "backlog", "flight"):
        rule = Pricing.free(world, sees=sees, own=1.0)
        run = simulate_stream(world, stream, rule, discipline=discipline)
        assert best <= run.delay_s.mean() * (1 + 1e-12)
    assert nodes.shape == (3, 2)
    assert np.isfinite(best)


def test_too_many_placements_are_refused():
    world = World.of(mecopt.generate("paper:slots=4"))
    with pytest.raises(mecopt.InputError, match="placements, expected at most"):
        clairvoyant(world, draw("poisson", world.templates, 1.0, 50, 0))
