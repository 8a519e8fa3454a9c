"""The simulator against queues whose mean is known in closed form, over 20 seeds each."""

import numpy as np
import pytest

import mecopt
from mecopt.simulation import Pricing
from mecopt.simulation.arrivals import Stream
from mecopt.simulation.batch_means import summary
from mecopt.simulation.engine import simulate_stream
from mecopt.simulation.world import World

SEEDS, TASKS = 20, 10_000
# At least so many of 20 intervals of 95 % hold the truth but once in 3,000 times.
LEAST_HITS = 15


def world(servers=1, blocks=1, hop_bps=1e9):
    """Every block takes a second on a server; uploads take no time; the device is barred."""
    instance = mecopt.Instance(
        name="queues",
        slot_count=1,
        models=(mecopt.Model("chain", tuple(mecopt.Block(1e9, 0.0) for _ in range(blocks))),),
        devices=(mecopt.Device("camera", 1e3),),
        servers=tuple(mecopt.Server(f"es{n + 1}", 1e9) for n in range(servers)),
        links=mecopt.Links.of(servers, hop_bps),
        tasks=mecopt.Tasks.of(
            slot=[0], device=0, model=0, rate_bps=np.full((1, servers), 1e9), blocks=blocks
        ),
        rules=mecopt.Rules(deadline="none"),
    )
    return World.of(instance)


def stream(rate, sizes, seed):
    rng = np.random.default_rng([seed, 77])
    gaps = rng.exponential(1.0 / rate, TASKS)
    return Stream.of(np.cumsum(gaps), np.zeros(TASKS, dtype=np.int64), sizes(rng))


def hits(w, decide, sizes, truth, load=0.7, discipline="fifo"):
    """Return in how many of the seeds' runs the interval of the mean holds the truth."""
    found = 0
    for seed in range(SEEDS):
        s = stream(load, sizes, seed)
        run = simulate_stream(w, s, decide, discipline=discipline, seed=seed)
        value, low, high = summary(w, run, s.time_s, s.task, s.size)["mean_s"]
        assert abs(value / truth - 1) < 0.25
        found += low <= truth <= high
    return found


def one(rng):
    return np.ones(TASKS)


def exponential(rng):
    return rng.exponential(1.0, TASKS)


def mixed(rng):
    return rng.choice([0.5, 2.5], TASKS, p=[0.75, 0.25])


# Pollaczek and Khinchine: 1 + rho E[x^2] / (2 (1 - rho)) for a mean of 1; PS: 1 / (1 - rho) for any sizes.
CASES = {
    "M/D/1": (one, "fifo", 1 + 0.7 / 0.6),
    "M/M/1": (exponential, "fifo", 1 / 0.3),
    "M/G/1": (mixed, "fifo", 1 + 0.7 * 1.75 / 0.6),
    "M/M/1-PS": (exponential, "ps", 1 / 0.3),
    "M/G/1-PS": (mixed, "ps", 1 / 0.3),
}


QUICK = ("M/D/1", "M/G/1-PS")
LONG = [pytest.param(name, marks=pytest.mark.slow) for name in CASES if name not in QUICK]


@pytest.mark.parametrize("name", [*QUICK, *LONG])
def test_intervals_hold_the_mean_of_one_queue_as_often_as_they_should(name):
    sizes, discipline, truth = CASES[name]
    w = world()
    assert hits(w, Pricing.free(w), sizes, truth, discipline=discipline) >= LEAST_HITS


@pytest.mark.slow
def test_tandem_under_processor_sharing_is_a_jackson_network_with_any_one_size():
    """Two stations in series, the same work at each: symmetric queues keep the product form (Kelly)."""
    w = world(servers=2, blocks=2)

    def through(view):
        return [1, 2]

    found = 0
    for seed in range(SEEDS):
        s = stream(0.5, exponential, seed)
        run = simulate_stream(w, s, through, discipline="ps")
        low, high = summary(w, run, s.time_s, s.task, s.size)["mean_s"][1:]
        found += low <= 2 / 0.5 <= high
    assert found >= LEAST_HITS


def test_random_split_is_a_jackson_network():
    """Two rows of prices send every other task to each server: two M/M/1 queues of half the load."""
    w = world(servers=2)
    prices = np.zeros((2, w.resources))
    prices[0, 0] = prices[1, 1] = 1e3
    rule = Pricing.free(w, prices=prices)
    assert hits(w, rule, exponential, 1 / (1 - 0.7), load=1.4) >= LEAST_HITS
