"""End-to-end deadlines exactly: against brute force, the steps against the arcs of the trellis, the front."""

import dataclasses
import itertools

import numpy as np
import pytest

import mecopt
from mecopt import features
from mecopt.costs import chain_costs
from mecopt.entities import Objective
from mecopt.judge import evaluate
from mecopt.trellis_arcs import build_arcs, delays
from mecopt_solvers.crosscheck import brute_force, wide_instance
from mecopt_solvers.labels import front


def drawn(number):
    """Draw an instance that nothing joins."""
    instance = wide_instance(np.random.default_rng([2, number]))
    rules = {"couplings": frozenset()}
    if instance.rules.objective.period:
        rules["objective"] = Objective()
    return instance.replace(rules=dataclasses.replace(instance.rules, **rules))


def check(numbers):
    for number in numbers:
        instance = drawn(number)
        best, result = brute_force(instance), mecopt.solve(instance, "labels")
        if best is None:
            assert result.status == "infeasible", number
            assert result.reasons
            continue
        assert result.status == "optimal", number
        assert result.objective == pytest.approx(best.objective, rel=1e-9, abs=1e-18), number
        bounds = [bound for _, _, bound in result.trace if bound is not None]
        assert max([*bounds, result.lower_bound]) <= best.objective * (1 + 1e-9) + 1e-18, number


def test_it_finds_the_optimum_of_brute_force():
    check(range(60))


@pytest.mark.slow
def test_it_finds_the_optimum_of_brute_force_on_many():
    check(range(60, 1500))


def test_the_compiled_steps_are_the_arcs_of_the_trellis():
    from mecopt_solvers.labels.steps import StepSource

    for number in range(40):
        instance = drawn(number)
        costs, every = chain_costs(instance), np.arange(instance.task_count)
        node_cost = features.forbidden(instance)
        arcs = build_arcs(costs, node_cost=node_cost)
        steps = StepSource(instance, costs, node_cost).of(every, whole=True)
        assert (np.isfinite(steps.cost) == arcs.allowed).all()
        assert steps.cost == pytest.approx(arcs.weight, rel=1e-12)
        seconds = np.where(arcs.allowed, delays(costs, every), 0.0)
        assert steps.use[:, 0] == pytest.approx(seconds, rel=1e-12)


def walk(blocks, servers, seed, **rules):
    """Return a task for which energy and delay disagree: hops cost energy, the device little."""
    rng = np.random.default_rng(seed)
    parts = tuple(
        mecopt.Block(float(rng.uniform(1e7, 1e9)), float(rng.uniform(1e5, 3e6))) for _ in range(blocks)
    )
    return mecopt.Instance(
        name="walk",
        slot_count=1,
        models=(mecopt.Model("net", parts, output_bits=1e5),),
        devices=(mecopt.Device("camera", 1e9, kappa=3e-29, transmit_power_w=0.5),),
        servers=tuple(mecopt.Server(f"es{n}", float(rng.uniform(2e9, 8e9))) for n in range(servers)),
        links=mecopt.Links.of(servers, rng.uniform(5e7, 2e8, (servers, servers))),
        tasks=mecopt.Tasks.of(
            slot=[0], device=0, model=0, rate_bps=rng.uniform(6.4e6, 1.6e7, (1, servers)), blocks=blocks
        ),
        rules=mecopt.Rules.preset("paper", **{"deadline": "none", **rules}),
    )


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("one_run", ["none", "servers"])
def test_the_front_is_that_of_all_placements(seed, one_run):
    instance = walk(5, 3, seed, one_run=one_run)
    every = [np.array([path]) for path in itertools.product(range(4), repeat=5)]
    judged = [one for one in (evaluate(instance, path) for path in every) if one.feasible]
    kept = []
    for delay, joules in sorted((one.total_delay_s, one.energy_j) for one in judged):
        if not kept or joules < kept[-1][1] * (1 - 1e-9):
            kept.append((delay, joules))
    found = front(instance)
    assert len(kept) > 1
    assert found.delay_s == pytest.approx([delay for delay, _ in kept])
    assert found.energy_j == pytest.approx([joules for _, joules in kept])


def test_the_least_energy_within_a_delay_is_a_point_of_the_front():
    instance = walk(12, 4, 5)
    found = front(instance)
    middle = len(found.delay_s) // 2
    tasks = dataclasses.replace(instance.tasks, max_total_delay_s=found.delay_s[middle : middle + 1])
    rules = dataclasses.replace(instance.rules, deadline="hard", objective={"energy": 1.0})
    result = mecopt.solve(instance.replace(tasks=tasks, rules=rules), "labels")
    assert result.status == "optimal"
    assert result.objective == pytest.approx(found.energy_j[middle])


def test_the_front_ends_at_the_tasks_own_deadline():
    instance = walk(6, 3, 5)
    every = front(instance)
    middle = len(every.delay_s) // 2
    tasks = dataclasses.replace(instance.tasks, max_total_delay_s=every.delay_s[middle : middle + 1])
    rules = dataclasses.replace(instance.rules, deadline="hard")
    found = front(instance.replace(tasks=tasks, rules=rules))
    assert found.delay_s.tolist() == every.delay_s[: middle + 1].tolist()
    soft = dataclasses.replace(instance.rules, deadline="soft")
    assert front(instance.replace(tasks=tasks, rules=soft)).delay_s.tolist() == every.delay_s.tolist()


def test_a_front_takes_texts_and_refuses_by_name():
    assert len(front("tiny_physical", 1).delay_s)
    with pytest.raises(mecopt.InputError, match="text"):
        front("text")
    with pytest.raises(mecopt.InputError, match="task: 2, expected 0 to 1"):
        front("tiny_physical", 2)
    with pytest.raises(mecopt.CouplingError, match="a front of labels does not take the coupling capacity"):
        front(walk(3, 2, 1, couplings={"capacity"}))


def test_what_nothing_serves_in_time_is_named():
    instance = walk(3, 2, 1, deadline="hard")
    tasks = dataclasses.replace(instance.tasks, max_total_delay_s=np.array([1e-6]))
    result = mecopt.solve(instance.replace(tasks=tasks), "labels")
    assert result.status == "infeasible"
    assert result.reasons[0]["where"] == {"task": 0}


def test_couplings_are_refused():
    with pytest.raises(mecopt.CouplingError, match="labels cannot honour capacity"):
        mecopt.solve(walk(3, 2, 1, couplings={"capacity"}), "labels")
