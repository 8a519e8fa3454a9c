"""Best responses under sharing: the worked example, equilibria, and never better than the optimum."""

import dataclasses

import numpy as np
import pytest

import mecopt
from mecopt_solvers.crosscheck import random_instance

BOTH = ("selfish", "social")


def commons(tasks=2, sharing="affine", **fields):
    """Return tasks of 2.2 s on their device or 1 s on one shared server, in a slot of 2 s."""
    task = {"slot": 0, "device": "d", "model": "m", "rate_bps": [1.0]}
    return mecopt.from_dict(
        {
            "format": "mecopt-instance/2",
            "slots": {"count": 1, "seconds": 2.0},
            "rules": {"deadline": "none", "couplings": ["sharing"], "sharing": sharing},
            "models": [{"name": "m", "blocks": [{"cycles": 11, "input_bits": 0}]}],
            "devices": [{"name": "d", "cycles_per_s": 5, "transmit_power_w": 0}],
            "servers": [{"cycles_per_s": 11}],
            "tasks": [{**task, **fields}] * tasks,
        }
    )


def test_what_is_best_for_each_is_not_best_for_all():
    # Alone on the server a task takes 1 (1 + 1/2) = 1.5 s, two of them 1 (1 + 2/2) = 2 s each.
    # Selfish: the second one finds 2 < 2.2, so both are there: 4 s. Neither gains by going: an equilibrium.
    selfish = mecopt.solve(commons(), "selfish")
    assert selfish.evaluation.placement.tolist() == [[1], [1]]
    assert selfish.objective == pytest.approx(4.0)
    assert selfish.options["settled"]
    # Social: the second one would add 4 - 1.5 = 2.5 s there, on its device 2.2 s.
    social = mecopt.solve(commons(), "social")
    assert social.evaluation.placement.tolist() == [[1], [0]]
    assert social.objective == pytest.approx(3.7)
    assert mecopt.solve(commons(), "enumeration").objective == pytest.approx(3.7)


@pytest.mark.parametrize("name", BOTH)
def test_a_server_is_not_filled_beyond_its_largest_load(name):
    # mm1: alone 1 / (1 - 1/2) = 2 s, and a second one does not fit.
    result = mecopt.solve(commons(tasks=3, sharing="mm1"), name)
    assert result.status == "feasible"
    assert sorted(result.evaluation.placement.ravel().tolist()) == [0, 0, 1]
    assert result.objective == pytest.approx(2.0 + 2 * 2.2)


def test_a_task_is_left_out_where_that_is_cheaper_for_whom_it_asks():
    # Leaving out costs 1.9: selfish, the second one would pay 2 s on the server; so would the first one then.
    for name in BOTH:
        result = mecopt.solve(commons(drop_cost=1.9), name)
        assert result.evaluation.placement.tolist() == [[1], [-1]]
        assert result.objective == pytest.approx(1.5 + 1.9)


def test_no_rounds_without_sharing():
    instance = mecopt.generate("paper:slots=5", seed=1)
    for name in BOTH:
        assert mecopt.solve(instance, name).objective == mecopt.solve(instance, "trellis").objective


def shared(number, *, chains=True):
    """Return a small instance of one slot with sharing, of single blocks unless `chains`."""
    rng = np.random.default_rng([17, number])
    instance = random_instance(rng, frozenset())
    tasks = dataclasses.replace(instance.tasks, slot=np.zeros_like(instance.tasks.slot))
    if not chains:
        models = tuple(dataclasses.replace(model, blocks=model.blocks[:1]) for model in instance.models)
        tasks = dataclasses.replace(tasks, max_delay_s=tasks.max_delay_s[:, :1])
        instance = instance.replace(models=models, tasks=tasks)
    kind = ("mm1", "affine")[number % 2]
    rules = dataclasses.replace(instance.rules, couplings=frozenset({"sharing"}), sharing=kind)
    nodes = np.where(np.arange(instance.max_blocks) < instance.block_count[:, None], 1, -1)
    longest = float(mecopt.evaluate(instance, nodes).work_s.sum())  # were everything on the first server
    return instance.replace(tasks=tasks, rules=rules, slot_s=max(longest, 1e-3) * float(rng.choice([1, 4])))


def test_neither_is_ever_better_than_the_optimum():
    found = dict.fromkeys(BOTH, 0)
    for number in range(40):
        instance = shared(number)
        best = mecopt.solve(instance, "enumeration")
        for name in BOTH:
            result = mecopt.solve(instance, name)
            if best.objective is None:
                assert result.objective is None
                continue
            assert result.lower_bound <= best.objective * (1 + 1e-9)
            if result.objective is not None:
                assert result.objective >= best.objective * (1 - 1e-9)
            found[name] += result.objective is not None
    assert min(found.values()) >= 20


def test_selfish_ends_where_no_task_of_one_block_gains_by_moving():
    looked = 0
    for number in range(40):
        instance = shared(number, chains=False)
        result = mecopt.solve(instance, "selfish")
        if result.objective is None or not result.options.get("settled"):
            continue
        nodes, costs = result.evaluation.placement, result.evaluation.task_objective_s
        for k in range(instance.task_count):
            for node in range(instance.server_count + 1):
                moved = nodes.copy()
                moved[k, 0] = node
                judged = mecopt.evaluate(instance, moved)
                own_late = any(
                    v.kind in ("deadline", "link") and v.where["task"] == k for v in judged.violations
                )
                full = any(v.kind == "sharing" and v.where["node"] == node for v in judged.violations)
                assert own_late or full or judged.task_objective_s[k] >= costs[k] * (1 - 1e-8)
                looked += 1
    assert looked > 50
