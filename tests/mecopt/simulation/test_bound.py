"""No policy lies below the bound, whatever it knows; and where it should be tight it is."""

import numpy as np
import pytest

import mecopt
from mecopt.simulation import Pricing
from mecopt.simulation.arrivals import Stream, draw
from mecopt.simulation.bound import bound_of
from mecopt.simulation.capacity import load_one
from mecopt.simulation.engine import simulate_stream
from mecopt.simulation.world import World

SPECS = (
    "camera-vgg:tasks=individual,slots=1,release_rate=12,servers=2",
    "camera-alexnet:tasks=individual,slots=1,release_rate=12,servers=3,preset=physical",
    "paper:tasks=individual,slots=1,release_rate=6,servers=2",
    "camera-vgg:slots=12,servers=2",
)


def policies(world, rng):
    """Rules of many kinds, among them random prices, and a function that draws any path."""
    yield Pricing.free(world)
    yield Pricing.free(world, sees="backlog", own=1.0)
    yield Pricing.free(world, sees="flight", own=1.0)
    yield Pricing.free(world, sees="backlog", own=1.0, pool="two")
    for scale in (0.3, 3.0):
        yield Pricing.free(
            world,
            prices=rng.exponential(scale, (3, world.resources)),
            grow=rng.exponential(scale, world.resources),
            sees="flight",
            own=1.0,
        )

    def anything(view):
        return rng.integers(0, world.servers + 1, world.tables[0][view.task]).tolist()

    yield anything


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(("kind", "load"), [("poisson", 0.95), ("both", 0.9), ("heavy", 1.3)])
def test_no_policy_lies_below_the_bound_on_its_own_tasks(spec, kind, load):
    world = World.of(mecopt.generate(spec))
    capacity = load_one(world)
    rng = np.random.default_rng(3)
    for seed in range(2):
        stream = draw(kind, world.templates, load * capacity.rate, 200, seed)
        bound = bound_of(world, stream, capacity.price)
        assert bound.unloaded_s <= bound.queueing_s
        for policy in policies(world, rng):
            for discipline in ("fifo", "ps"):
                run = simulate_stream(world, stream, policy, discipline=discipline, lag_s=seed * 0.5)
                assert run.delay_s.mean() >= bound.queueing_s * (1 - 1e-9)
                assert (run.delay_s >= run.unloaded_s * (1 - 1e-9)).all()


def test_one_server_without_an_alternative_is_bounded_by_its_own_delay():
    """With one server, tasks alike and a device that is no use the pooled queue is the queue."""
    instance = mecopt.Instance(
        name="queue",
        slot_count=1,
        models=(mecopt.Model("one", (mecopt.Block(1e9, 1e3),)),),
        devices=(mecopt.Device("camera", 1.0),),
        servers=(mecopt.Server("es1", 1e9),),
        links=mecopt.Links.of(1, 1e9),
        tasks=mecopt.Tasks.of(slot=[0], device=0, model=0, rate_bps=[[1e9]], blocks=1),
        rules=mecopt.Rules(deadline="none"),
    )
    world = World.of(instance)
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.exponential(1 / 0.9, 5000))
    stream = Stream.of(times, np.zeros(5000, dtype=np.int64), np.ones(5000))
    run = simulate_stream(world, stream, Pricing.free(world))
    bound = bound_of(world, stream)
    assert bound.queueing_s == pytest.approx(run.delay_s.mean(), rel=0.01)
    assert bound.queueing_s > 3.0


def test_tolls_count_that_slow_servers_must_be_used(monkeypatch):
    """Two servers of speeds 1 and 1/4, and 1.1 tasks a second: the fast one cannot take a tenth of them."""
    instance = mecopt.Instance(
        name="unequal",
        slot_count=1,
        models=(mecopt.Model("one", (mecopt.Block(1e9, 1e3),)),),
        devices=(mecopt.Device("camera", 1.0),),
        servers=(mecopt.Server("es1", 1e9), mecopt.Server("es2", 2.5e8)),
        links=mecopt.Links.of(2, 1e9),
        tasks=mecopt.Tasks.of(slot=[0], device=0, model=0, rate_bps=[[1e9, 1e9]], blocks=1),
        rules=mecopt.Rules(deadline="none"),
    )
    world = World.of(instance)
    stream = Stream.of(np.arange(1000) / 1.1, np.zeros(1000), np.ones(1000))
    with_tolls = bound_of(world, stream).queueing_s
    assert with_tolls > 1.2  # without an end to the stream it were (1 + 3 * 0.1) / 1.1
    run = simulate_stream(world, stream, Pricing.free(world, sees="flight", own=1.0))
    assert run.delay_s.mean() >= with_tolls
    monkeypatch.setattr("mecopt.simulation.bound._tolls", lambda world: [])
    monkeypatch.setattr("mecopt.simulation.bound._free", lambda *given: 0.0)  # may know it without tolls
    assert bound_of(world, stream).queueing_s == pytest.approx(1.0, abs=1e-3)
