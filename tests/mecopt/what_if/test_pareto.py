"""Fronts against every placement, each judged and paid for step by step."""

import dataclasses

import numpy as np
import pytest
from what_if_instances import drawn, single

import mecopt
from mecopt import allowing
from mecopt.entities import Deadline, Objective
from mecopt.what_if import fronts
from mecopt_solvers.crosscheck.brute import paths_of

SAME = 1e-9


def front_instance(seed):
    """Draw an instance that pareto takes, and prices."""
    rng = np.random.default_rng(seed)
    instance = single(drawn(seed))
    tasks = {"weight": np.ones(instance.task_count), "drop_cost": np.full(instance.task_count, np.inf)}
    instance = instance.replace(tasks=dataclasses.replace(instance.tasks, **tasks))
    names = [server.name for server in instance.servers]
    per_s = {name: float(rng.choice([0.0, 1.0, rng.uniform(0, 3)])) for name in names}
    per_bit = {name: float(rng.choice([0.0, 1.0])) for name in names} | {
        "wired": float(rng.choice([0.0, 0.5]))
    }
    return instance, per_s, per_bit


def money(instance, judged, row, nodes, per_s, per_bit):
    """Return what a placement costs, step by step."""
    names = [None, *(server.name for server in instance.servers)]
    total, before, costs = 0.0, 0, judged.costs
    for m, node in enumerate(nodes):
        if node:
            total += per_s[names[node]] * judged.work_s[row, m]
        if node != before:
            if node and before:
                each = per_bit["wired"]
            elif node:
                each = per_bit[names[node]]
            else:
                each = per_bit[names[before]] * instance.rules.return_transfer
            total += each * costs.bits[row, m]
        before = node
    if before and instance.rules.return_result:
        total += per_bit[names[before]] * costs.result_bits[row]
    return total


def brute(instance, k, axes, per_s, per_bit):
    """Return the figures of every feasible placement of a task."""
    rows = paths_of(instance, k)
    judged = mecopt.evaluate(
        instance.replace(
            tasks=instance.tasks.take(np.full(len(rows), k)),
            allow=allowing.of_task(instance, k),
            rules=mecopt.Rules(
                **{**vars(instance.rules), "objective": Objective(1.0, 1.0, instance.rules.objective.of)}
            ),
        ),
        rows,
    )
    broken = {v.where["task"] for v in judged.violations}
    fine = [row for row in range(len(rows)) if row not in broken]
    penalty = judged.costs.penalty
    found = {
        "delay": [judged.task_delay_s[r] + penalty * judged.task_excess_s[r] for r in fine],
        "energy": [judged.task_energy_j[r] + judged.task_server_energy_j[r] for r in fine],
        "price": [
            money(instance, judged, r, [n for n in rows[r].tolist() if n >= 0], per_s, per_bit) for r in fine
        ],
    }
    return np.column_stack([found[axis] for axis in axes]) if fine else np.empty((0, len(axes)))


def joint(instance, axes, per_s, per_bit):
    total = np.zeros((1, len(axes)))
    for k in range(instance.task_count):
        own = brute(instance, k, axes, per_s, per_bit)
        total = (total[:, None] + own[None]).reshape(-1, len(axes))
    return total


def is_front(points, every):
    """Say whether the points are of `every`, none beats another, and all of `every` is beaten or there."""
    room = SAME * np.abs(every) + 1e-300
    for point in points:
        if not (np.abs(every - point) <= room).all(axis=1).any():
            return False
        near = SAME * np.abs(point)
        if ((every <= point).all(axis=1) & (every < point - near).any(axis=1)).any():
            return False
    return all((points <= one + SAME * np.abs(one)).all(axis=1).any() for one in every)


def check(seed):
    instance, per_s, per_bit = front_instance(seed)
    for axes in (("delay", "energy"), ("delay", "price"), ("delay", "energy", "price")):
        every = joint(instance, axes, per_s, per_bit)
        if not len(every):
            with pytest.raises(mecopt.MecoptError, match="no placement is feasible"):
                mecopt.pareto(instance, price_per_s=1)
            continue
        try:
            front = mecopt.pareto(instance, axes, price_per_s=per_s, price_per_bit=per_bit)
        except mecopt.InputError as error:
            if "neither cycles_per_s nor" in str(error) or "price without prices" in str(error):
                continue
            raise
        assert front.exact
        assert is_front(front.points, every), (seed, axes, front.points)
        if len(axes) == 2:
            _check_hull(instance, axes, per_s, per_bit, every)
        for point in range(0, len(front), max(1, len(front) // 3)):
            assert front.evaluate(point).feasible
    return 3


def _check_hull(instance, axes, per_s, per_bit, every):
    """Hold the supported points, which more tasks get, to every plan too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fronts, "FEW", 0)
        front = mecopt.pareto(instance, axes, price_per_s=per_s, price_per_bit=per_bit)
    room = SAME * np.abs(every) + 1e-14 * np.abs(every).max(axis=0)
    for point in front.points:
        assert (np.abs(every - point) <= room).all(axis=1).any()
    for one in every:
        within = front.within(**{axes[1]: float(one[1])})
        if within is None:  # below the least
            assert one[1] < front.points[-1, 1] * (1 + SAME)
        else:  # nothing is better by more than the gap
            with np.errstate(over="ignore"):  # above a delay of 0 gaps are as large as numbers are
                assert front.points[within, 0] <= one[0] * (1 + front.gap) * (1 + SAME)
    slopes = np.diff(front.points[:, 0]) / np.diff(front.points[:, 1])
    assert (np.diff(slopes) <= SAME * np.abs(slopes[1:])).all()


def test_fronts_are_all_plans_that_none_beats():
    assert sum(map(check, range(6))) == 18


@pytest.mark.slow
def test_many_fronts_are_all_plans_that_none_beats():
    assert sum(map(check, range(100, 300))) >= 500


def test_supported_points_of_many_tasks():
    instance = mecopt.generate("camera-alexnet:slots=60", seed=2)
    front = mecopt.pareto(instance)
    assert not front.exact
    assert 0 < front.gap < 0.1
    for point in (0, len(front) // 2, len(front) - 1):
        judged = front.evaluate(point)
        assert (judged.total_delay_s, judged.energy_j) == pytest.approx(tuple(front.points[point]))
    rules = mecopt.Rules(**{**vars(instance.rules), "objective": {"delay": 1, "energy": 0.3}})
    least = mecopt.solve(instance.replace(rules=rules), "trellis").objective
    assert (front.points @ [1, 0.3]).min() == pytest.approx(least)


def test_end_to_end_deadlines_cut_the_front():
    instance = mecopt.load("tiny_physical")
    free = mecopt.pareto(instance, task=0)
    limit = np.full(instance.task_count, free.points[1, 0])
    late = instance.replace(
        tasks=dataclasses.replace(instance.tasks, max_total_delay_s=limit),
        rules=mecopt.Rules(**{**vars(instance.rules), "deadline": Deadline.HARD}),
    )
    assert len(mecopt.pareto(late, task=0)) == 2


def test_within_and_its_frame():
    front = mecopt.pareto("tiny_physical")
    assert front.within(energy=2.0) == 1
    assert front.within(energy=-0.0) == len(front) - 1
    assert front.within(delay=1e-3) is None
    assert front.to_frame().columns.tolist() == ["delay", "energy", "supported"]
    assert front.to_dict()["points"][0]["placement"]
    with pytest.raises(mecopt.InputError, match="price: no axis of this front"):
        front.within(price=1)
    with pytest.raises(mecopt.InputError, match="within: no limit, expected one on delay or energy"):
        front.within()


@pytest.mark.parametrize("point", [-1, 99, 1.5, None])
def test_a_number_that_is_no_point_is_an_index_error(point):
    front = mecopt.pareto("tiny_physical")
    with pytest.raises(IndexError, match=rf"point: {point}, expected 0 to {len(front) - 1}") as caught:
        front.plan(point)
    assert isinstance(caught.value, mecopt.InputError)
    assert front.plan(np.int64(len(front) - 1)).shape == (2, 3)


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        ("tiny_energy", {"method": "trellis"}, "trellis cannot honour energy"),
        ("tiny_energy", {"price_per_s": 1}, "axes: 'delay,energy,price', expected delay,energy where"),
        ("tiny_energy", {"axes": "delay,period"}, "pareto with the period does not take the coupling energy"),
        ("tiny_paper", {"axes": ("delay", "colour")}, "axes: 'colour', expected two or three of"),
        ("tiny_paper", {"axes": ("delay",)}, "axes: 'delay', expected two or three different ones"),
        ("tiny_paper", {"axes": ("delay", "price")}, "axes: price without prices"),
        ("tiny_paper", {"price_per_s": {"es9": 1}}, "price_per_s: 'es9', expected one of"),
        ("tiny_paper", {"price_per_bit": -1}, "price_per_bit: -1, expected at least 0"),
        ("tiny_paper", {"task": 99}, "task: 99, expected 0 to"),
    ],
)
def test_bad_input(source, arguments, message):
    with pytest.raises(mecopt.InputError, match=message):
        mecopt.pareto(source, **arguments)


def test_what_is_infeasible_says_so():
    with pytest.raises(mecopt.MecoptError, match=r"tasks\[1\]: no placement is feasible") as caught:
        mecopt.pareto("tiny_infeasible")
    assert caught.value.exit_status == 3


def test_plots_of_fronts(tmp_path):
    pytest.importorskip("matplotlib")
    for prices, suffix in (({}, "png"), ({"price_per_s": 0.1}, "svg")):
        path = tmp_path / f"front.{suffix}"
        mecopt.pareto("tiny_physical", **prices).save_plot(str(path))
        assert path.stat().st_size > 1000


def period_instance(seed):
    instance = front_instance(seed)[0]
    mode = instance.rules.deadline if instance.rules.deadline is not Deadline.SOFT else Deadline.NONE
    return instance.replace(rules=mecopt.Rules(**{**vars(instance.rules), "deadline": mode}))


def joint_periods(instance):
    """Return delay and period of every feasible placement of all tasks."""
    rows = [paths_of(instance, k) for k in range(instance.task_count)]
    by_period = instance.replace(rules=mecopt.Rules(**{**vars(instance.rules), "objective": "period"}))
    found = []
    for chosen in np.ndindex(*map(len, rows)):
        judged = mecopt.evaluate(by_period, np.stack([own[c] for own, c in zip(rows, chosen, strict=True)]))
        if judged.feasible:
            found.append((judged.total_delay_s, judged.period_s))
    return np.array(found).reshape(-1, 2)


def check_periods(seed, most=400):
    instance = period_instance(seed)
    if np.prod([len(paths_of(instance, k)) for k in range(instance.task_count)]) > most:
        return 0
    every = joint_periods(instance)
    if not len(every):
        with pytest.raises(mecopt.MecoptError, match="no feasible placement"):
            mecopt.pareto(instance, "delay,period")
        return 1
    front = mecopt.pareto(instance, ("delay", "period"))
    if front.exact:
        assert is_front(front.points, every), seed
    for point, (delay, period) in enumerate(front.points.tolist()):
        judged = front.evaluate(point)
        assert judged.feasible
        assert (judged.total_delay_s, judged.period_s) == pytest.approx((delay, period))
    for delay, period in every.tolist():
        within = front.within(period=period)
        if within is not None:
            assert front.points[within, 0] <= delay * (1 + front.gaps[within]) * (1 + SAME) + 1e-12, seed
    return 1


def test_delay_and_period_against_every_placement():
    assert sum(check_periods(seed, 150) for seed in range(20)) >= 5


@pytest.mark.slow
def test_many_of_delay_and_period_against_every_placement():
    assert sum(check_periods(seed, 1000) for seed in range(100, 250)) >= 40


def test_an_exact_front_of_others_is_asked_where_each_node_runs_one_stretch(monkeypatch):
    from mecopt.what_if import periods

    instance = mecopt.generate("camera-alexnet:slots=1,deadline=none", seed=1)
    instance = instance.replace(rules=mecopt.Rules(**{**vars(instance.rules), "one_run": "servers"}))
    ways = mecopt.pareto(instance, "delay,period")

    class Entry:
        def load(self):
            rows = np.stack([ways.plan(p)[0] for p in range(len(ways))])
            found = type("Front", (), {})()
            found.delay_s, found.period_s, found.placement = *ways.points.T, rows
            return lambda instance, task: found

    monkeypatch.setattr(periods, "ALL", 0)
    monkeypatch.setattr(periods, "entry_points", lambda **which: [Entry()])
    front = mecopt.pareto(instance, "delay,period")
    assert front.exact
    assert front.points.tolist() == ways.points.tolist()
    assert front.evaluate(0).feasible


def test_tasks_that_share_a_slot_get_plans_and_a_gap():
    instance = mecopt.generate("crowd:release_rate=6,servers=2,blocks=3", seed=1)
    instance = instance.replace(rules=mecopt.Rules(**{**vars(instance.rules), "couplings": frozenset()}))
    front = mecopt.pareto(instance, "delay,period")
    assert not front.exact
    assert len(front) > 3
    assert front.gaps[0] == pytest.approx(0, abs=1e-9)
    least = mecopt.solve(instance, "trellis").objective
    assert front.points[0, 0] == pytest.approx(least)
    assert front.gap < 0.25  # most of it is what whole tasks lose beside shares of them
