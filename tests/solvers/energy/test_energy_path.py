"""`energy-path`: exact under budgets, ties and hairs included; its prices and labels."""

import time

import numpy as np
import pytest

import mecopt
from mecopt.costs import chain_costs
from mecopt.entities import Coupling
from mecopt.io import load
from mecopt.trellis_arcs import build_arcs
from mecopt_solvers.crosscheck import check, random_instance
from mecopt_solvers.energy.core import DeviceTasks
from mecopt_solvers.energy.price_search import Stages, best_price

ENERGY = frozenset({Coupling.ENERGY})


def identical(tasks, share):
    """Return tasks that are all alike, and a budget of a share of what the free optimum spends."""
    instance = mecopt.Instance(
        name="alike",
        slot_count=tasks,
        models=(mecopt.Model("m", (mecopt.Block(3e8, 4e6), mecopt.Block(2e8, 1e6), mecopt.Block(1e8, 2e5))),),
        devices=(mecopt.Device("d", 1e9, 0.5, kappa=1e-28, energy_budget_j=1.0),),
        servers=(mecopt.Server("a", 4e9), mecopt.Server("b", 8e9)),
        links=mecopt.Links.of(2, 1e8),
        tasks=mecopt.Tasks.of(
            slot=np.arange(tasks), device=0, model=0, rate_bps=[[2e7, 1e7]] * tasks, blocks=3
        ),
        rules=mecopt.Rules(deadline="none", couplings=ENERGY),
    )
    free = mecopt.solve(instance, "trellis", relax=True).evaluation.energy_j
    budget = mecopt.Device("d", 1e9, 0.5, kappa=1e-28, energy_budget_j=share * free)
    return instance.replace(devices=(budget,))


def test_it_agrees_with_brute_force():
    wrong = []
    for i in range(150):
        instance = random_instance(np.random.default_rng([21, i]), ENERGY)
        wrong += [(i, answer.what) for answer in check(instance, ["energy-path"]) if answer.what]
    assert wrong == []


@pytest.mark.parametrize("name", ["energy_k10_n4", "energy_k10_n9", "energy_k60_n4", "tiny_energy"])
def test_it_agrees_with_ilp(name):
    instance = load(f"instances/{name}.json")
    mine, other = mecopt.solve(instance, "energy-path"), mecopt.solve(instance, "ilp", time_limit_s=20)
    assert mine.status == "optimal"
    assert other.objective >= mine.objective * (1 - 1e-9)
    assert other.lower_bound <= mine.objective * (1 + 1e-9)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.77, 0.999])
def test_hundreds_of_ties(share):
    instance = identical(300, share)
    result = mecopt.solve(instance, "energy-path", time_limit_s=30)
    if result.status == "infeasible":
        assert result.reasons[0]["value"] > share
        return
    assert result.status == "optimal"
    assert result.runtime_s < 5


def test_a_budget_that_cannot_be_met_names_the_least_energy():
    instance = identical(5, 1e-3)
    result = mecopt.solve(instance, "energy-path")
    assert result.status == "infeasible"
    (reason,) = result.reasons
    assert reason["kind"] == "energy"
    assert reason["where"] == {"device": "d"}
    met = mecopt.Device("d", 1e9, 0.5, kappa=1e-28, energy_budget_j=reason["value"])
    assert mecopt.solve(instance.replace(devices=(met,)), "energy-path").status == "optimal"
    missed = mecopt.Device("d", 1e9, 0.5, kappa=1e-28, energy_budget_j=reason["value"] * (1 - 2e-9))
    assert mecopt.solve(instance.replace(devices=(missed,)), "energy-path").status == "infeasible"


def test_more_budget_is_never_worse():
    values = [mecopt.solve(identical(40, share), "energy-path") for share in (0.4, 0.6, 0.8, 1.0, 1.2)]
    found = [result.objective for result in values if result.status == "optimal"]
    assert len(found) >= 3
    assert found == sorted(found, reverse=True)


def test_the_named_regime_is_proved_quickly():
    instance = mecopt.generate("energy:slots=600")
    start = time.process_time()
    result = mecopt.solve(instance, "energy-path")
    assert result.status == "optimal"
    assert result.gap <= 1e-8
    assert time.process_time() - start < 3.0


def test_a_time_limit_leaves_a_placement_and_a_bound():
    result = mecopt.solve(mecopt.generate("energy:slots=600"), "energy-path", time_limit_s=0.0)
    assert result.status == "feasible"
    assert result.gap < 1e-2


def test_a_start_is_used():
    instance = identical(40, 0.6)
    best = mecopt.solve(instance, "energy-path")
    again = mecopt.solve(instance, "energy-path", warm_start=best.placement, time_limit_s=0.0)
    assert again.objective == best.objective


# --- the parts ---
def stages_of(instance):
    arcs = build_arcs(chain_costs(instance))
    return Stages(arcs, np.arange(instance.task_count))


def test_the_price_gives_the_best_bound():
    instance = mecopt.generate("energy:slots=60")
    stages, budget = stages_of(instance), instance.devices[0].energy_budget_j
    price = best_price(stages, budget).best

    def bound(p):
        return stages.priced(p)[0].sum() - p * budget

    assert all(bound(price * factor) <= bound(price) * (1 + 1e-12) for factor in (0.0, 0.5, 0.99, 1.01, 2.0))


def test_paths_follow_their_prices():
    instance = mecopt.generate("energy:slots=30")
    stages = stages_of(instance)
    for price in (0.0, 0.3, 3.0):
        paths = stages.paths(price)
        assert paths.delay + price * paths.energy == pytest.approx(stages.priced(price)[0])
        assert stages.excess(price).best == pytest.approx(stages.priced(price)[0])
        assert (stages.excess(price).through.min(axis=(1, 2)) < 1e-12).all()
    least = stages.paths(np.inf)
    assert least.energy == pytest.approx(stages.least_energy()[0])


def test_a_device_opens_within_its_budget():
    instance = mecopt.generate("energy:slots=60")
    budget = instance.devices[0].energy_budget_j
    device = DeviceTasks.open(stages_of(instance), budget)
    assert device.best.energy.sum() <= budget
    assert device.bound <= device.value
    device.close(lambda: False)
    assert device.closed
