"""Curves against every placement at sampled values; break-evens against the definition."""

import math

import numpy as np
import pytest
from what_if_instances import alike, best, drawn, single

import mecopt
from mecopt.what_if.knobs import knob

LOW, HIGH = 0.03, 30.0


def curves(seed):
    """Yield every exact curve of an instance of that seed."""
    instance = single(drawn(seed))
    first = instance.servers[0].name
    for over in ("rate", f"rate:{first}", f"speed:{first}", "speed:device", "deadline"):
        try:
            curve = mecopt.sweep(instance, over, LOW, HIGH)
        except mecopt.InputError:  # the instance lacks it
            continue
        if curve.pieces is not None:
            yield curve


def check(seed, samples=3):
    rng = np.random.default_rng(seed)
    count = 0
    for curve in curves(seed):
        for value in [1.0, *np.exp(rng.uniform(math.log(LOW), math.log(HIGH), samples)).tolist()]:
            found, expected = curve.at(value).objective, best(curve.knob.at(value))
            assert alike(found, expected), (seed, curve.over, value, found, expected)
        count += 1
    return count


def test_curves_are_the_optimum_at_sampled_values():
    assert sum(map(check, range(5))) >= 12


@pytest.mark.slow
def test_many_curves_are_the_optimum_at_sampled_values():
    assert sum(map(check, range(100, 550))) >= 1000


def test_placements_of_pieces_cost_what_the_curve_says():
    for curve in curves(1):
        pieces = curve.pieces
        for row in np.flatnonzero(pieces.low < pieces.high).tolist():
            x = (pieces.low[row] + pieces.high[row]) / 2
            changed = curve.knob.at(curve.knob.value_of(x))
            alone = changed.replace(tasks=changed.tasks.take([int(pieces.task[row])]), allow=())
            judged = mecopt.evaluate(alone, pieces.placement[[row]])
            assert alike(float(judged.task_objective_s[0]), pieces.constant[row] + x * pieces.slope[row])


def two_nodes(rate=8e6, **tasks):
    """A task that takes 1 s on its device, or 0.1 s and 8 Mbit of transfer on the server."""
    return mecopt.from_dict(
        {
            "format": "mecopt-instance/1",
            "name": "two",
            "slots": {"count": 1},
            "rules": {"deadline": tasks.pop("deadline", "none")},
            "models": [{"name": "m", "blocks": [{"cycles": 1e9, "input_bits": 8e6}]}],
            "devices": [{"name": "d", "cycles_per_s": 1e9}],
            "servers": [{"cycles_per_s": 1e10}],
            "tasks": [{"slot": 0, "device": "d", "model": "m", "rate_bps": [rate], **tasks}],
        }
    )


def test_break_evens_in_closed_form():
    curve = mecopt.sweep(two_nodes(), "rate", 0.1, 100)
    assert curve.exact
    assert curve.break_evens == pytest.approx([1 / 0.9])
    assert curve.reach(0.5) == pytest.approx((2.5, 2.5))
    assert curve.reach(0.1) == (None, None)
    assert curve.holds == pytest.approx((0.1, 1 / 0.9))
    assert curve.needs(0.5) == pytest.approx([2.5])
    assert curve.at(2.0).objective == pytest.approx(0.6)
    frame = curve.to_frame()
    assert frame["placement"].tolist() == ["0", "1"] or frame["placement"].tolist() == ["1", "0"]
    assert len(curve.to_dict()["pieces"]) == 2


def test_how_slow_a_server_may_become():
    curve = mecopt.sweep(two_nodes(rate=8e7), "speed:es1", 0.01, 10)
    assert curve.holds == pytest.approx((1 / 9, 10.0))


def test_deadlines_that_forbid():
    curve = mecopt.sweep(two_nodes(rate=8e7, deadline="hard", max_delay_s=1.0), "deadline", 0.1, 2)
    assert curve.at(0.15).status == "infeasible"
    assert curve.feasible_to == pytest.approx(0.2)
    assert curve.at(0.21).objective == pytest.approx(0.2)


def test_a_curve_of_many_tasks_is_the_sum():
    instance = mecopt.generate("camera-alexnet:slots=40", seed=3)
    curve = mecopt.sweep(instance, "rate", 0.01, 100, points=4)
    for point in curve.points:
        solved = mecopt.solve(curve.knob.at(point.value), "trellis").objective
        assert point.objective == pytest.approx(solved, rel=1e-9)
    needs = curve.needs(0.2)
    delays = mecopt.solve(curve.knob.at(float(np.nanmax(needs))), "trellis").evaluation.task_delay_s
    assert delays.max() <= 0.2 * (1 + 1e-9)


@pytest.mark.parametrize("over", ["rate", "speed:es1", "energy", "servers", "batch"])
def test_coupled_instances_are_solved_at_points_between_bounds(over):
    instance = mecopt.load("tiny_energy")
    curve = mecopt.sweep(
        instance, over, 1 if over in ("servers", "batch") else 0.5, None if over == "servers" else 2, points=3
    )
    assert curve.pieces is None
    values = [point.objective for point in curve.points]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=curve.knob.falls)
    for point in curve.points:
        assert alike(point.objective, best(curve.knob.at(point.value)), 1e-6)
    if over not in ("servers", "batch"):
        between = curve.at(1.5)
        value = best(curve.knob.at(1.5))
        assert (between.lower_bound or 0) <= value * (1 + 1e-9)
        assert between.objective is None or between.objective >= value * (1 - 1e-9)
    needed, enough = curve.reach(known[-1])
    assert needed is not None
    assert enough is not None


def test_whole_numbers_are_exact_where_nothing_joins_the_tasks():
    instance = single(mecopt.load("tiny_paper"))
    batch = mecopt.sweep(instance, "batch", 1, 4)
    assert batch.exact
    assert [point.value for point in batch.points] == [1, 2, 3, 4]
    assert batch.reach(batch.points[2].objective) == (3, 3)
    servers = mecopt.sweep(instance, "servers")
    assert servers.points[-1].objective == pytest.approx(mecopt.solve(instance).objective)


@pytest.mark.parametrize(
    ("over", "changes", "message"),
    [
        ("rate", {"low": 10, "high": 1}, "range: from 10 to 1 is upside down"),
        ("rate", {"low": 0}, "low: 0, expected"),
        ("rate", {"low": math.nan}, "low: nan, expected a finite number"),
        ("rate", {"method": "no-such"}, "no method 'no-such'"),
        ("rate", {"task": 7}, "task: 7, expected 0 to 0"),
        ("servers", {"high": 3}, "high: 3 servers, expected at most the instance's 1"),
        ("servers", {"low": 0}, "low: 0, expected at least 1"),
        ("speed:es9", {}, "over: 'speed:es9': no such server, expected one of 'es1'"),
        ("speed", {}, "over: 'speed', expected one of rate"),
        ("energy", {}, "energy: the instance has no energy budgets"),
        ("deadline", {}, "deadline: the instance's deadlines count for nothing"),
        ("colour", {}, "over: 'colour', expected one of rate"),
    ],
)
def test_bad_input(over, changes, message):
    with pytest.raises(mecopt.InputError, match="^" + message):
        mecopt.sweep(two_nodes(), over, **changes)


def test_what_the_instance_lacks():
    with pytest.raises(mecopt.InputError, match="deadline: no task has one"):
        mecopt.sweep(two_nodes(deadline="hard"), "deadline")
    with pytest.raises(mecopt.InputError, match="rate: no task has such a link"):
        mecopt.sweep(two_nodes(rate=0.0), "rate")


def test_today_is_the_instance():
    for seed in range(6):
        instance = drawn(seed)
        for over in ("rate", "servers"):
            try:
                turned = knob(instance, over)
            except mecopt.InputError:
                continue
            assert turned.at(turned.today) == instance


def test_plots_of_curves(tmp_path):
    pytest.importorskip("matplotlib")
    for over, suffix in (("rate", "svg"), ("servers", "png")):
        path = tmp_path / f"curve.{suffix}"
        mecopt.sweep("tiny_paper", over).save_plot(str(path))
        assert path.stat().st_size > 1000
    with pytest.raises(mecopt.InputError, match="expected a name that ends in"):
        mecopt.sweep("tiny_paper", "rate").save_plot(str(tmp_path / "curve.txt"))


def test_a_target_between_two_points_is_not_denied():
    instance = two_nodes()  # 0.1 + 1 / rate beyond the break-even: 0.5 s at 2.5
    by_period = instance.replace(rules=mecopt.Rules(**{**vars(instance.rules), "objective": "period"}))
    curve = mecopt.sweep(by_period, "rate", 1, 4, points=2)
    assert curve.pieces is None
    assert [point.value for point in curve.points] == [1, 4]
    assert curve.reach(0.5) == (1, 4)
    assert curve.reach(1.0) == (1, 1)
    needed, enough = mecopt.sweep(by_period, "rate", 1, 4, points=2, target=0.5).reach(0.5)
    assert needed <= 2 <= enough <= needed * 1.001  # the radio is busy for 1 / rate
    assert mecopt.sweep(by_period, "rate", 1, 4, points=2, target=0.2).reach(0.2) == (None, None)
    assert curve.reach(0.2) == (None, None)
    batch = mecopt.sweep(two_nodes(), "batch", 1, 9, points=2)
    assert [point.value for point in batch.points] == [1, 9]
    assert batch.reach(4.0) == (8, 1)
    assert batch.reach(9.0) == (9, 9)
    assert mecopt.sweep(two_nodes(), "batch", 1, 9, points=2, target=4.0).reach(4.0) == (4, 4)
    with pytest.raises(mecopt.InputError, match=r"value: 2.5, expected a whole number"):
        batch.at(2.5)


def test_speeds_that_differ_by_slot_have_a_mean():
    curve = mecopt.sweep("alexnet_6es", "speed:es1", 0.5, 2, points=2)
    assert 0.5 < curve.knob.natural()[0] < 5
    assert curve.to_dict()["natural"]["unit"] == "Gcycles/s"


def test_a_range_of_one_value():
    curve = mecopt.sweep(two_nodes(), "rate", 2, 2, points=5)
    assert [(point.value, point.objective) for point in curve.points] == [(2.0, pytest.approx(0.6))]
    assert curve.reach(0.7) == (2, 2)
    assert curve.reach(0.5) == (None, None)
    assert len(mecopt.sweep("tiny_energy", "energy", 1, 1).points) == 1


def test_of_two_plans_that_meet_today_the_longer_one_holds():
    curve = mecopt.sweep(two_nodes(rate=8e6 / 0.9), "rate", 0.5, 10)
    assert curve.break_evens == pytest.approx([1.0])
    low, high = curve.holds
    assert high - low > 0.4
