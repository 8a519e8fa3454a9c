"""Policies for full servers: prices that fill them, capacities kept, slots side by side."""

import numpy as np
import pytest

import mecopt
from rl.checkpoint import save_policy
from rl.priced import PricedPlan, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the file of a barely trained priced policy."""
    small = {"width": 16, "layers": 1, "branch_width": 16}
    network, card = train(PricedPlan("crowd", 6000, 60, changes=small))
    path = tmp_path_factory.mktemp("priced") / "policy.safetensors"
    card["training"]["command"] = "a test"
    save_policy(path, network, card)
    return str(path)


def test_the_shipped_policy_beats_the_cheapest_next_step():
    instance = mecopt.generate("crowd", seed=6)
    result, other = (mecopt.solve(instance, method) for method in ("markov-a3c", "greedy-arc"))
    assert result.options["policy"] == "shipped: crowd.markov-a3c"
    assert result.status == "feasible"
    assert result.objective < 0.6 * other.objective


@pytest.mark.parametrize("seed", [0, 1])
def test_capacities_are_kept_even_by_a_poor_policy(trained, seed):
    instance = mecopt.generate("crowd", seed=seed)
    result = mecopt.solve(instance, "markov-a3c", policy=trained)
    assert result.status == "feasible"
    assert result.repairs == 0  # the masks are exact


def test_the_same_every_time_and_slots_side_by_side_as_alone(trained):
    instance = mecopt.generate("crowd:slots=2,release_rate=12", seed=3)
    first, second = (mecopt.solve(instance, "markov-a3c", policy=trained, seed=seed) for seed in (0, 1))
    assert (first.placement == second.placement).all()
    rows = instance.tasks.slot == 0
    assert rows.sum() == 12
    assert np.unique(first.placement[rows], axis=0).shape[0] > 1


def test_pins_hold(trained):
    instance = mecopt.generate("crowd", seed=3)
    result = mecopt.solve(instance, "markov-a3c", policy=trained, pins=["0:2=0"])
    assert result.placement[0, 2] == 0
