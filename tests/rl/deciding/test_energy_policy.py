"""Policies for energy budgets: what a price adds, the reserve, budgets kept, rates outside of the ranges."""

import dataclasses

import numpy as np
import pytest
import torch

import mecopt
from mecopt.costs import chain_costs
from mecopt.errors import InputError
from mecopt.trellis_arcs import build_arcs, shortest
from mecopt_rl.deciding.energy_policy import Reserve
from mecopt_rl.training import priced_training
from mecopt_rl.training.checkpoint import load_policy, save_policy
from mecopt_rl.training.loop import POLICY, Training, TrainingPlan
from mecopt_rl.training.priced_training import PricedPlan, drawn, priced_gap, train
from mecopt_rl.world.episodes import Episodes
from mecopt_rl.world.masks import Decided
from mecopt_rl.world.prices import EnergyPrice, Sample, ServerPrices, along, prices_of, see

SMALL = {"width": 16, "layers": 1, "branch_width": 16}


@pytest.fixture(scope="module")
def tasks():
    episodes = Episodes("energy")
    return drawn(episodes, episodes.encoder(["rate"]), np.random.default_rng(0), 600)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the file of a barely trained priced policy."""
    network, card = train(PricedPlan("energy:slots=60", 3000, 60, changes=SMALL))
    path = tmp_path_factory.mktemp("priced") / "policy.safetensors"
    save_policy(path, network, card)
    return path


def test_arcs_along_paths_are_what_the_judge_counts(tasks):
    instance = mecopt.generate("energy:slots=50", seed=3)
    costs = chain_costs(instance)
    sample = Sample.of(np.zeros((50, 0), dtype=np.float32), build_arcs(costs))
    nodes = np.random.default_rng(1).integers(5, size=(50, 6))
    judged = mecopt.evaluate(instance, nodes)
    assert along(sample.weight, nodes).sum() == pytest.approx(judged.total_delay_s, rel=1e-12)
    assert along(sample.energy_j, nodes).sum() == pytest.approx(judged.energy_j, rel=1e-12)


def test_the_range_of_prices_covers_where_spending_changes(tasks):
    prices = EnergyPrice.of(tasks)
    blocks = np.full(len(tasks.static), 6)

    def spent(price):
        nodes = shortest(tasks.weight + price * tasks.energy_j, blocks)[1]
        return along(tasks.energy_j, nodes).sum()

    most, least = spent(0.0), spent(1e6)
    assert spent(prices.low) > most - 0.011 * (most - least)
    assert spent(prices.high) < least + 0.011 * (most - least)
    assert prices.price(np.array([0.0, 1.0])) == pytest.approx([prices.low, prices.high])


def test_priced_weights_at_a_known_price(tasks):
    prices = EnergyPrice.of(tasks)
    weight = prices.weight(tasks[np.arange(2)], np.array([[0.0], [1.0]]))
    expected = (tasks.weight[1] + prices.high * tasks.energy_j[1]) / (
        prices.delay_s + prices.high * prices.energy_j
    )
    assert weight[1] == pytest.approx(expected)
    assert prices_of(prices.to_json(), "") == prices


def test_prices_of_servers_are_seen_and_charged():
    episodes = Episodes("crowd")
    tasks = drawn(episodes, episodes.encoder(["rate"]), np.random.default_rng(0), 60)
    prices = ServerPrices.of(tasks)
    price = np.tile([0.0, 1.0, 2.0, 3.0], (len(tasks.static), 1))
    weight = prices.weight(tasks, prices.seen(tasks, price))
    nodes = np.full((len(price), 6), 3)
    extra = (along(weight, nodes).sum(1) * prices.delay_s) - along(tasks.weight, nodes).sum(1)
    assert extra == pytest.approx(2.0 * tasks.work_s[:, :, 2].sum(1))
    assert prices_of(prices.to_json(), "") == prices


def test_a_damaged_card_is_refused():
    with pytest.raises(InputError, match=r"some\.safetensors.*card: prices"):
        prices_of({"of": "energy", "low": 1.0}, "some.safetensors")
    with pytest.raises(InputError, match="prices of 'memory'"):
        prices_of({"of": "memory"}, "x")


def test_the_reserve_is_seldom_too_small():
    rng = np.random.default_rng(0)
    sample = rng.beta(1.0, 6.0, (1, 4096))
    reserve = Reserve.of(sample, np.array([1.0]))
    for count in (1, 5, 50, 500):
        kept = reserve(np.array([count]), 0.0)
        needed = rng.beta(1.0, 6.0, (20_000, count)).sum(axis=1)
        assert kept <= count
        assert needed.mean() < kept
        assert (needed > kept).mean() <= 2e-4
    assert reserve(np.array([5]), 6.0) == 5.0  # the worst case can be paid for
    assert reserve(np.array([500]), 0.0) < 0.3 * 500


def test_training_repeats_itself_and_learns(monkeypatch):
    monkeypatch.setattr(priced_training, "DRAWN", 1200)
    monkeypatch.setattr(priced_training, "JUDGED", 600)
    plan = PricedPlan("energy:slots=60", 3000, 60, changes=SMALL)
    (first, card), (second, _) = train(plan), train(plan)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    none, _ = train(dataclasses.replace(plan, decisions=0))
    episodes = Episodes(plan.spec)
    encoder = episodes.encoder(card["encoder"]["parts"])
    test = drawn(episodes, encoder, np.random.default_rng(9), 600)
    prices = prices_of(card["prices"], "")
    assert priced_gap(first, test, prices) < 0.5 * priced_gap(none, test, prices)


def test_the_card_is_that_of_every_training(trained, tmp_path):
    plan = TrainingPlan("camera-alexnet:slots=5", "markov-a3c", None, SMALL, 4, round_episodes=4)
    Training(plan, tmp_path).run()
    card, other = load_policy(trained).card, load_policy(tmp_path / POLICY).card
    assert card.keys() - {"prices", "priced_gap"} == other.keys()
    assert card["training"].keys() == other["training"].keys()
    assert card["training"]["validation_violations"] == 0
    assert 0.0 <= card["training"]["validation_gap"] < 1.0
    assert card["training"]["validation_tasks"] == 5 * 60
    made = eval(card["training"]["command"].partition("train(")[2][:-1], {"PricedPlan": PricedPlan})
    assert made == PricedPlan("energy:slots=60", 3000, 60, changes=SMALL)
    instance = mecopt.generate("energy:slots=60", seed=3)
    result = mecopt.solve(instance, "markov-a3c", policy=str(trained))
    assert result.options["policy_trained_by"] == card["training"]["command"]


def test_what_a_priced_policy_violates_is_counted(monkeypatch):
    from mecopt_rl.deciding import policy_methods

    monkeypatch.setattr(priced_training, "JUDGED", 600)

    def on_the_device(policy, instance):
        nodes = np.zeros((instance.task_count, instance.max_blocks), dtype=np.int64)
        assert [v.kind for v in mecopt.evaluate(instance, nodes).violations] == ["energy"]
        return Decided(nodes, 0, 0)

    monkeypatch.setattr(policy_methods, "decide", on_the_device)
    plan = PricedPlan("energy:slots=20", 0, 60, changes=SMALL, validation_episodes=2)
    card = train(plan)[1]["training"]
    assert (card["validation_gap"], card["validation_violations"]) == (None, 2)
    assert (card["validation_violating_tasks"], card["validation_tasks"]) == (2, 40)


def test_only_one_coupling_can_be_priced():
    with pytest.raises(InputError, match="coupled by either energy or capacity"):
        train(PricedPlan("camera-vgg:slots=5"))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_budgets_are_kept_even_by_a_poor_policy(trained, seed):
    instance = mecopt.generate("energy:slots=60", seed=seed)
    result = mecopt.solve(instance, "markov-a3c", policy=str(trained))
    assert result.status == "feasible"
    assert result.options.get("policy_outside") is None
    assert mecopt.evaluate(instance, result.placement).energy_j > 0.8 * instance.devices[0].energy_budget_j


def test_several_devices_have_a_budget_each(trained):
    instance = mecopt.generate("energy:slots=30,tasks=individual,release_rate=3", seed=1)
    result = mecopt.solve(instance, "markov-a3c", policy=str(trained))
    assert result.status == "feasible"


def test_rates_below_the_known_ones_are_reported(trained):
    instance = mecopt.generate("energy:slots=60", seed=5)
    slow = instance.tasks.rate_bps.copy()
    slow[5:] *= 0.3  # after this not even the least energy is within the budget
    poor = instance.replace(tasks=dataclasses.replace(instance.tasks, rate_bps=slow))
    with pytest.warns(UserWarning, match="not trained on this instance's rate"):
        result = mecopt.solve(poor, "markov-a3c", policy=str(trained))
    assert result.status == "violating"
    assert [v.kind for v in mecopt.evaluate(poor, result.placement).violations] == ["energy"]
    assert result.options["policy_outside"] == ["rate"]
    arcs = build_arcs(chain_costs(poor))
    least = shortest(np.where(arcs.allowed, arcs.energy_j, np.inf), arcs.blocks)[0]
    spent = along(arcs.energy_j, result.placement).sum(axis=1)
    assert spent[-20:] == pytest.approx(least[-20:])  # it fell to the least energy


def test_pins_hold(trained):
    instance = mecopt.generate("energy:slots=20", seed=5)
    result = mecopt.solve(instance, "markov-a3c", policy=str(trained), pins=["0:2=0"])
    assert result.placement[0, 2] == 0


def test_a_policy_without_prices_is_refused():
    instance = mecopt.generate("energy:slots=20", seed=5)
    other = mecopt.generate("camera-alexnet:slots=20", seed=5)
    shipped = mecopt.solve(other, "markov-a3c").options["policy"].removeprefix("shipped: ")
    import mecopt_rl.policies

    path = next(p for p in map(str, mecopt_rl.policies.__path__)) + f"/{shipped}.safetensors"
    assert "prices" not in load_policy(path).card
    with (
        pytest.raises(InputError, match="knows no price of energy"),
        pytest.warns(UserWarning, match="rules"),
    ):
        mecopt.solve(instance, "markov-a3c", policy=path)


def test_what_a_policy_sees_ends_with_the_prices():
    seen = see(np.zeros((2, 3), dtype=np.float32), np.ones((2, 1)))
    assert seen.dtype == np.float32
    assert seen[:, 3].tolist() == [1.0, 1.0]
