"""Policies for full servers: order, prices, capacities kept, slots side by side."""

import dataclasses

import numpy as np
import pytest

import mecopt
from mecopt_rl.deciding import crowd_policy
from mecopt_rl.training.checkpoint import save_policy
from mecopt_rl.training.priced_training import PricedPlan, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the file of a barely trained priced policy."""
    small = {"width": 16, "layers": 1, "branch_width": 16}
    network, card = train(PricedPlan("crowd", 6000, 60, changes=small))
    path = tmp_path_factory.mktemp("priced") / "policy.safetensors"
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


def test_tasks_that_lose_most_without_a_server_are_decided_first(monkeypatch):
    lanes = []
    real = crowd_policy.masks.decide

    def spy(*arguments, fleet, **named):
        lanes.extend(fleet.rows.T.copy())
        return real(*arguments, fleet=fleet, **named)

    monkeypatch.setattr(crowd_policy.masks, "decide", spy)
    instance = mecopt.generate("crowd:slots=2,release_rate=30", seed=6)
    mecopt.solve(instance, "markov-a3c")
    slot, device = instance.tasks.slot, instance.tasks.device
    speed = np.array([device.cycles_per_s for device in instance.devices])[device]
    assert [np.unique(slot[lane]).tolist() for lane in lanes] == [[0], [1]]
    for lane in lanes:  # the slower its own device, the more a task loses
        assert len(np.unique(lane)) == 30
        assert np.corrcoef(np.arange(30), speed[lane])[0, 1] > 0.9
        assert np.corrcoef(np.arange(30), speed[np.sort(lane)])[0, 1] < 0.5  # unlike the tasks' own order


def test_the_order_of_the_tasks_does_not_matter():
    instance = mecopt.generate("crowd", seed=6)
    back = np.arange(instance.task_count)[::-1]
    columns = {f.name: getattr(instance.tasks, f.name)[back] for f in dataclasses.fields(instance.tasks)}
    turned = instance.replace(tasks=dataclasses.replace(instance.tasks, **columns))
    first, second = (mecopt.solve(one, "markov-a3c") for one in (instance, turned))
    assert (second.placement[back] == first.placement).all()
