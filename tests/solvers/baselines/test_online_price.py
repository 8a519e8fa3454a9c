"""`online-price`: it knows nothing of later slots, keeps to the budget, and comes near the clairvoyant."""

import numpy as np
import pytest
from strategies import MINIMAL

import mecopt
from mecopt_solvers.baselines.online_price import cheapest
from mecopt_solvers.crosscheck import random_instance

SPEC = "energy:slots=200,energy_budget_share=0.6"


def test_paths_by_hand():
    # One block: device 4 s and 10 J, server 6 s and 1 J. They cost the same at 2/9 s for each joule.
    weight, energy = np.array([[[4.0, 6.0], [np.inf, np.inf]]]), np.array([[[10.0, 1.0], [0.0, 0.0]]])
    nodes, joules = cheapest(weight, energy, np.array([0.0, 0.22, 0.23]))
    assert nodes.tolist() == [[0], [0], [1]]
    assert joules.tolist() == [10.0, 10.0, 1.0]
    assert cheapest(weight, energy, np.array([np.inf]))[0].tolist() == [[1]]


@pytest.mark.parametrize("known", [True, False])
def test_what_comes_later_changes_nothing_before(known):
    instance = mecopt.generate(SPEC, seed=11)
    if not known:
        instance = instance.replace(origin=None)
    tasks = instance.tasks
    rates = np.array(tasks.rate_bps)
    rates[120:] = np.random.default_rng(0).uniform(6.4e6, 1.6e7, rates[120:].shape)
    changed = mecopt.Tasks(tasks.slot, tasks.device, tasks.model, tasks.batch, rates, tasks.max_delay_s)
    first = mecopt.solve(instance, "online-price", seed=5)
    second = mecopt.solve(instance.replace(tasks=changed), "online-price", seed=5)
    assert first.options["knows"] == ("ranges" if known else "what it has seen")
    assert first.placement[:120].tolist() == second.placement[:120].tolist()
    assert first.placement[120:].tolist() != second.placement[120:].tolist()


@pytest.mark.parametrize("seed", [21, 22, 23])
def test_near_the_clairvoyant_and_within_the_budget(seed):
    instance = mecopt.generate(SPEC, seed=seed)
    best = mecopt.solve(instance, "energy-path").objective
    result = mecopt.solve(instance, "online-price")
    assert result.status == "feasible"
    assert best * (1 - 1e-9) <= result.objective <= 1.03 * best


def test_a_budget_that_the_worst_case_can_be_paid_from_is_never_overspent():
    """All rates at their lowest from the middle on, though the range promises better on average."""
    instance = mecopt.generate("energy:slots=60,energy_budget_share=1.0", seed=31)
    tasks = instance.tasks
    rates = np.array(tasks.rate_bps)
    lowest = np.full_like(rates, 6.4e6)
    worst = mecopt.Tasks(tasks.slot, tasks.device, tasks.model, tasks.batch, lowest, tasks.max_delay_s)
    free = instance.replace(tasks=worst, rules=mecopt.Rules.preset("physical", deadline="none"))
    least = min(
        mecopt.evaluate(free, np.full((60, 6), node)).energy_j for node in range(instance.server_count + 1)
    )
    budget = mecopt.Device("d", 1e9, 0.5, kappa=1e-26, energy_budget_j=least)
    for start in (0, 20, 40):
        rates[:] = tasks.rate_bps
        rates[start:] = 6.4e6
        bad = mecopt.Tasks(tasks.slot, tasks.device, tasks.model, tasks.batch, rates, tasks.max_delay_s)
        result = mecopt.solve(instance.replace(tasks=bad, devices=(budget,)), "online-price")
        assert result.status in ("feasible", "optimal")


def test_without_a_budget_it_is_the_shortest_path():
    rng = np.random.default_rng(41)
    for _ in range(10):
        instance = random_instance(rng, frozenset())
        result = mecopt.solve(instance, "online-price")
        assert result.status in ("optimal", "infeasible")


def test_options_are_checked():
    instance = mecopt.generate(SPEC, seed=1)
    with pytest.raises(mecopt.InputError, match="rate_bps: 3, expected"):
        mecopt.solve(instance, "online-price", rate_bps=3)
    assert mecopt.solve(instance, "online-price", rate_bps=[6.4e6, 1.6e7]).options["knows"] == "ranges"


@pytest.mark.parametrize("cycles", [0.0, 1e9])
def test_prices_where_delays_or_joules_are_nothing(cycles):
    """A price of a joule in seconds then has no scale to take from the instance."""
    document = {
        **MINIMAL,
        "rules": {"couplings": ["energy"]},
        "models": [{"name": "m", "blocks": [{"cycles": cycles, "input_bits": 0}]}],
        "devices": [{**MINIMAL["devices"][0], "energy_budget_j": 1.0, "kappa": 0}],
        "tasks": [{**MINIMAL["tasks"][0], "model": "m"}] * 3,
    }
    assert mecopt.solve(mecopt.from_dict(document), "online-price").status == "optimal"
