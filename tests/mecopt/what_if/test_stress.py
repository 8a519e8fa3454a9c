"""Sampled rates: shares in closed form, and against solving each sample."""

import dataclasses

import numpy as np
import pytest
from what_if_instances import best, drawn, single

import mecopt
from mecopt.what_if.survival import orders_of


def one_link(rate=1e7, **rules):
    """A task of 1 s on its device, or 0.1 s and 8 Mbit of transfer on the server."""
    return mecopt.from_dict(
        {
            "format": "mecopt-instance/1",
            "name": "one link",
            "slots": {"count": 1},
            "rules": {"deadline": "none", **rules},
            "models": [{"name": "m", "blocks": [{"cycles": 1e9, "input_bits": 8e6}]}],
            "devices": [{"name": "d", "cycles_per_s": 1e9}],
            "servers": [{"cycles_per_s": 1e10}],
            "tasks": [{"slot": 0, "device": "d", "model": "m", "rate_bps": [rate], "max_delay_s": 0.95}],
        }
    )


def test_the_share_of_rates_above_the_break_even():
    found = mecopt.stress(one_link(), spread=0.2, samples=20_000)
    share = (1.2 - 8e6 / 0.9 / 1e7) / 0.4  # the device takes 1 s; at 1e7 * f the server 0.1 + 0.8 / f
    assert found.survives == pytest.approx(share, abs=0.01)
    assert found.interval[0] < share < found.interval[1]
    assert found.orders[0][0] == (1,)
    assert found.worst_loss == pytest.approx(0.1, abs=0.002)
    assert "stays the best in 77" in found.answer or "stays the best in 78" in found.answer
    assert not found.breaks.any()


def test_deadlines_that_the_plan_breaks():
    found = mecopt.stress(one_link(deadline="hard"), spread=0.2, samples=20_000)
    assert found.breaks[0] == pytest.approx((8 / 8.5 - 0.8) / 0.4, abs=0.01)
    assert "breaks a deadline" in found.answer


def test_no_spread_is_sure():
    found = mecopt.stress("tiny_paper", spread=0, samples=3)
    assert found.survives == 1
    assert found.plan_survives.tolist() == [1, 1]
    assert found.worst_loss == 0


def test_each_sample_is_its_optimum():
    for seed in range(6):
        instance = single(drawn(seed))
        try:
            found = mecopt.stress(instance, spread=0.5, samples=4, seed=seed)
        except mecopt.MecoptError:
            assert mecopt.solve(instance, "trellis").status == "infeasible"
            continue
        rng = np.random.default_rng(seed)
        factors = rng.uniform(0.5, 1.5, (4, *instance.tasks.rate_bps.shape))
        same = np.zeros(instance.task_count)
        for factor in factors:
            down = instance.tasks.down_rate_bps
            down = down * factor if down.shape == factor.shape else down
            tasks = dataclasses.replace(
                instance.tasks, rate_bps=instance.tasks.rate_bps * factor, down_rate_bps=down
            )
            changed = instance.replace(tasks=tasks)
            for k in range(instance.task_count):
                alone = changed.replace(tasks=tasks.take([k]), allow=mecopt_allow(changed, k))
                best = mecopt.solve(alone, "trellis").objective
                judged = mecopt.evaluate(alone, found.plan.placement[[k]])
                same[k] += judged.feasible and best is not None and judged.objective <= best * (1 + 1e-9)
        assert (found.plan_survives * 4).tolist() == same.tolist()


def mecopt_allow(instance, k):
    from mecopt.allowing import of_task

    return of_task(instance, k)


def test_orders():
    placement = np.array([[0, 0, 2, 2, 0], [1, 1, 1, -1, -1], [-1, -1, -1, -1, -1]])
    assert orders_of(placement).tolist() == [[0, 2, 0, -1, -1], [1, -1, -1, -1, -1], [-1] * 5]


def test_a_plan_of_ones_own():
    found = mecopt.stress(one_link(), [[0]], samples=100)
    assert found.survives < 0.5
    assert found.to_frame()["order_survives"].tolist() == [found.survives]
    assert found.to_dict()["placement"] == [[0]]


def test_what_is_joined_is_solved_sample_by_sample():
    instance = mecopt.load("tiny_energy")
    found = mecopt.stress(instance, spread=0.5, samples=6, seed=3)
    rng = np.random.default_rng(3)
    same, broken = 0, 0
    for _ in range(6):
        factor = rng.uniform(0.5, 1.5, instance.tasks.rate_bps.shape)
        tasks = dataclasses.replace(instance.tasks, rate_bps=instance.tasks.rate_bps * factor)
        changed = instance.replace(tasks=tasks)
        least = best(changed)
        judged = mecopt.evaluate(changed, found.plan.placement)
        broken += not judged.feasible
        same += judged.feasible and judged.objective <= least * (1 + 1e-9)
    assert found.plan_survives.tolist() == [same / 6] * instance.task_count
    assert found.breaks.tolist() == [broken / 6] * instance.task_count
    assert (found.gap <= 1e-6, found.unknown) == (True, 0)
    document = found.to_dict()
    assert document["gap"] == found.gap
    assert "breaks a limit" in found.answer or not broken


def test_what_is_joined_and_infeasible_says_so():
    instance = mecopt.load("tiny_energy")
    poor = tuple(dataclasses.replace(device, energy_budget_j=0.0) for device in instance.devices)
    with pytest.raises(mecopt.MecoptError, match="no placement is feasible") as caught:
        mecopt.stress(instance.replace(devices=poor))
    assert caught.value.exit_status == 3


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        ("tiny_energy", {"method": "trellis"}, "trellis cannot honour energy"),
        ("tiny_paper", {"spread": 1}, "spread: 1, expected a fraction below 1"),
        ("tiny_paper", {"samples": 0}, "samples: 0, expected at least 1"),
        ("tiny_paper", {"placement": [[0]]}, "placement"),
    ],
)
def test_bad_input(source, arguments, message):
    with pytest.raises(mecopt.InputError, match=message):
        mecopt.stress(source, **arguments)


def test_a_plot(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "stress.png"
    mecopt.stress("tiny_paper", samples=20).save_plot(str(path))
    assert path.stat().st_size > 1000
