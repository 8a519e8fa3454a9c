"""Value iteration of two servers: one of them alone is Pollaczek and Khinchine's queue; no rule is better."""

import numpy as np
import pytest

import mecopt
from mecopt.simulation.world import World
from mecopt_solvers.online.two_servers import optimum_of, rule_of


def two(speeds, rates=(1e9, 1e9)):
    return mecopt.Instance(
        name="two",
        slot_count=1,
        models=(mecopt.Model("one", (mecopt.Block(1e9, 0.0),)),),
        devices=(mecopt.Device("camera", 1.0),),
        servers=tuple(mecopt.Server(f"es{n + 1}", speed) for n, speed in enumerate(speeds)),
        links=mecopt.Links.of(2, 1e9),
        tasks=mecopt.Tasks.of(slot=[0], device=0, model=0, rate_bps=[rates], blocks=1),
        rules=mecopt.Rules(deadline="none"),
    )


def test_a_server_without_a_link_leaves_the_other_queue_alone():
    optimum = optimum_of(World.of(two((1e9, 1e9), (1e9, 0.0))), 0.7, steps=2)
    assert optimum.mean_s == pytest.approx(1.0 + 0.7 / (2 * 0.3), rel=2e-3)


@pytest.mark.slow
def test_the_optimum_is_what_its_own_policy_does_and_no_rule_beats_it():
    instance = two((1e9, 0.6e9))
    rate = 0.8 * 1.6
    optimum = optimum_of(World.of(instance), rate, steps=3)
    assert optimum.error_s < 5e-3 * optimum.mean_s
    done = mecopt.simulate(instance, [rule_of(optimum), "selfish"], rate=rate, tasks=5_000, seeds=2)
    own, selfish = (
        [run["all_mean_s"] for run in done.runs if run["policy"] == name]
        for name in ("value-iteration", "selfish")
    )
    assert np.mean(own) == pytest.approx(optimum.mean_s, rel=0.1)
    assert np.mean(selfish) >= np.mean(own) * 0.995


def test_what_it_does_not_know_is_refused():
    with pytest.raises(mecopt.InputError, match="2 servers"):
        optimum_of(World.of(mecopt.generate("paper:slots=2,servers=3")), 1.0)
    with pytest.raises(mecopt.InputError, match="transfers take time"):
        optimum_of(World.of(mecopt.generate("paper:slots=2,servers=2")), 1.0)
