"""Worked by hand: objectives, drops, the period, deadlines end to end, sharing."""

import pytest
from reference import Reference
from small_case import LEFT_OUT, case, total


def test_the_small_case():
    paths = {(1, 1): 8, (2, 2): 7, (1, 2): 8, (0, 2): 7, (0, 1): 8.5, (0, 0): 12}
    assert {path: total(case(), path) for path in paths} == paths
    assert Reference(case()).best_joint() == (7, ((0, 2),))


# --- objective ---
def test_delay_and_energy():
    # [1, 1]: 8 s; the radio sends a for 2 s at 3 W = 6 J. 2 * 8 + 0.5 * 6 = 19.
    # [0, 1]: 8.5 s; a on the device 0.5 * 2^2 * 8 = 16 J, b sent 0.5 s * 3 W = 1.5 J.
    # 2 * 8.5 + 0.5 * 17.5 = 25.75.
    weighed = Reference(case(objective={"delay": 2, "energy": 0.5}))
    assert weighed.terms([(1, 1)]) == {"delay": 16, "energy": 3, "period": 0, "penalties": 0}
    assert weighed.objective([(0, 1)]) == 25.75
    # Least energy: 6 J; [2, 2] sends 4 s = 12 J, [0, 2] spends 16 + 3, [1, 0] 6 + 32 J, a hop costs 6 J more.
    assert Reference(case(objective={"delay": 0, "energy": 1})).best_joint() == (6, ((1, 1),))


def test_energy_of_all():
    # [1, 1]: 6 J of the device, and es1 calculates 2 + 4 = 6 s at 5 W = 30 J; es2 states no power: nothing.
    document = case(es1={"compute_power_w": 5}, objective={"delay": 1, "energy": 1, "of": "all"})
    assert Reference(document).objective([(1, 1)]) == 8 + 36
    assert Reference(document).objective([(2, 2)]) == 7 + 12
    own = case(es1={"compute_power_w": 5}, objective={"delay": 1, "energy": 1})
    assert Reference(own).objective([(1, 1)]) == 8 + 6


def test_least_energy_within_a_deadline():
    # At most 7.5 s leaves [2, 2], 12 J, and [0, 2], 16 + 1 s * 3 W = 19 J.
    document = case(deadline="hard", objective={"delay": 0, "energy": 1}, tasks=[{"max_total_delay_s": 7.5}])
    assert Reference(document).best_joint() == (12, ((2, 2),))


def test_weight_multiplies_all_of_a_task():
    # [1, 1]: L = 4, 4; a is 1 s late, which costs 2 s; 6 J.
    # 3 * (8 + 2) = 30, and 3 * (2 * (8 + 2) + 0.5 * 6) = 69.
    late = {"deadline": "soft", "deadline_penalty": 2, "tasks": [{"weight": 3, "max_delay_s": [3, None]}]}
    assert Reference(case(**late)).terms([(1, 1)]) == {"delay": 24, "energy": 0, "period": 0, "penalties": 6}
    both = case(**late, objective={"delay": 2, "energy": 0.5})
    assert Reference(both).terms([(1, 1)]) == {"delay": 48, "energy": 9, "period": 0, "penalties": 12}


@pytest.mark.parametrize(
    ("cost", "best"),
    [
        # es2 is out; es1 has 6 s, what one task needs: 8 s. The other: on the device, 12 s, or left out.
        (9, 8 + 9),
        (20, 8 + 12),
        (5, 5 + 5),
    ],
)
def test_an_overload_is_refused_at_its_cost(cost, best):
    tasks = [{"drop_cost": cost, "rate_bps": [8, 0]}] * 2
    reference = Reference(case(couplings=["capacity"], seconds=6, tasks=tasks, links={"server_bps": 0}))
    assert reference.best_coupled() == best
    assert ("capacity", 0, 1) in reference.broken([(1, 1), (1, 1)])
    # Left out it costs neither time nor joules nor load.
    assert reference.terms([LEFT_OUT, (1, 1)]) == {
        "delay": 8,
        "energy": 0,
        "period": 0,
        "penalties": cost,
    }
    assert reference.loads([LEFT_OUT, (1, 1)]) == {(0, 1): 6}
    assert reference.device_energy([LEFT_OUT, LEFT_OUT]) == {"cam": 0}


def test_weight_does_not_multiply_the_drop_cost():
    assert Reference(case(tasks=[{"weight": 3, "drop_cost": 5}])).objective([LEFT_OUT]) == 5


# --- period ---
def test_period():
    # [1, 2]: es1 is busy 2 s, es2 2 s, the radio 2 s, the wire 2 s: one every 2 s, though each takes 8 s.
    reference = Reference(case(objective="period", links={"device_latency_s": 1, "server_latency_s": 1}))
    assert reference.objective([(1, 2)]) == 2
    assert sum(reference.split(0, (1, 2))) == 8 + 2  # latency delays, and occupies nothing
    assert reference.best_coupled() == 2
    assert reference.objective([(1, 1)]) == 6


def test_period_adds_up_tasks_passes_and_slots():
    # Slot 0: two tasks on [1, 2], each resource 4 s. Slot 1: one task on the device, 12 s. 4 + 12.
    tasks = [{}, {}, {"slot": 1}]
    assert Reference(case(objective="period", tasks=tasks)).objective([(1, 2), (1, 2), (0, 0)]) == 16
    # Three passes occupy three times as long.
    thrice = case(objective="period", model={"phases": [{"name": "p", "repeat": 3}]})
    busy = {(0, "server", 1): 6, (0, "server", 2): 6, (0, "radio", "cam"): 6, (0, "link", 1, 2): 6}
    assert Reference(thrice).busy([(1, 2)]) == busy
    assert Reference(thrice).objective([(1, 2)]) == 6


def test_each_direction_of_a_wire_is_a_resource():
    # [1, 2] and [2, 1]: es1 2 + 4 s, es2 2 + 1 s, the radio 2 + 4 s, the wire 2 s each way.
    reference = Reference(case(objective="period", tasks=[{}, {}]))
    assert reference.busy([(1, 2), (2, 1)]) == {
        (0, "server", 1): 6,
        (0, "server", 2): 3,
        (0, "radio", "cam"): 6,
        (0, "link", 1, 2): 2,
        (0, "link", 2, 1): 2,
    }


def test_the_radio_is_busy_both_ways_where_the_rules_count_it():
    # [2, 0]: a up 4 s; b down 4 bits at 2 bit/s 2 s where counted; the device itself 8 s.
    # [2, 2]: a up 4 s, the result down 8 bits at 2 bit/s 4 s where it returns.
    down = [{"down_rate_bps": [2, 2]}]
    for switch, back in ((False, 0), (True, 2)):
        busy = Reference(case(objective="period", return_transfer=switch, tasks=down)).busy([(2, 0)])
        assert busy == {(0, "server", 2): 1, (0, "device", "cam"): 8, (0, "radio", "cam"): 4 + back}
    for switch, period in ((False, 4), (True, 8)):
        returning = Reference(case(objective="period", return_result=switch, tasks=down))
        assert returning.objective([(2, 2)]) == period


def test_layers_on_five_servers():
    """A layer planner's public example: 40 layers of 1 GB, read once a pass; only servers."""
    rates = [264.4e9, 344.0e9, 308.7e9, 351.2e9, 177.6e9]
    layer = {"cycles": 0, "input_bits": 0, "param_bytes": 1e9}
    document = {
        **case(objective="period"),
        "models": [{"name": "net", "blocks": [layer] * 40}],
        "devices": [{"name": "cam"}],
        "servers": [{"memory_bytes_per_s": rate} for rate in rates],
        "links": {"server_bps": 1},
        "tasks": [{"slot": 0, "device": "cam", "model": "net", "rate_bps": [1] * 5}],
        "allow": [{"tasks": "all", "blocks": "all", "nodes": [f"es{n}" for n in range(1, 6)]}],
    }

    def period(counts):
        path = [n for n, count in enumerate(counts, 1) for _ in range(count)]
        assert Reference(document).feasible([path])
        return Reference(document).objective([path])

    assert period([7, 10, 8, 10, 5]) == pytest.approx(10 / 344.0)  # 29.07 ms, es2 is the longest
    assert period([4, 12, 8, 12, 4]) == pytest.approx(12 / 344.0)  # 34.88 ms
    # In less than that they do at most 7 + 9 + 8 + 10 + 5 = 39 layers.
    assert sum(int((10 / 344.0 - 1e-9) * rate / 1e9) for rate in rates) == 39
    slow = Reference({**document, "rules": {"deadline": "none"}})
    assert slow.objective([(4,) * 40]) == pytest.approx(40 / 351.2)  # 113.9 ms, the least sum: no faster node


# --- end-to-end deadlines ---
def test_a_hard_deadline_end_to_end():
    # The fastest take 7 s; with the result of 8 bits [2, 2] takes 2 s more, [1, 1] 1 s more, [0, 2] 2 s more.
    def reference(limit, **rules):
        return Reference(case(deadline="hard", tasks=[{"max_total_delay_s": limit}], **rules))

    assert reference(8).broken([(1, 1)]) == set()
    assert reference(7.9).broken([(1, 1)]) == {("deadline", 0)}
    assert reference(7).best_coupled() == 7
    assert reference(6.9).best_coupled() is None
    assert reference(8, return_result=True).broken([(1, 1)]) == {("deadline", 0)}
    assert reference(9, return_result=True).broken([(1, 1)]) == set()


def test_a_soft_deadline_end_to_end():
    # [2, 2] takes 7 s, 1 s too long at half a second each; a takes 5 s, 3 s too long. 7 + 0.5 * (1 + 3).
    tasks = [{"max_total_delay_s": 6, "max_delay_s": [2, None]}]
    assert Reference(case(deadline="soft", deadline_penalty=0.5, tasks=tasks)).objective([(2, 2)]) == 9
    assert Reference(case(deadline="none", tasks=tasks)).objective([(2, 2)]) == 7


# --- sharing ---
def test_mm1():
    # Slot of 24 s. Two tasks on es1: 12 s of work, rho 1/2, everything takes twice as long: 2 + 12 s each.
    tasks = [{}, {}]
    rules = {"couplings": ["sharing", "capacity"], "sharing": "mm1"}
    reference = Reference(case(seconds=24, tasks=tasks, **rules))
    both = [(1, 1), (1, 1)]
    assert reference.objective(both) == 28
    assert reference.loads(both) == {(0, 1): 12}  # capacity counts what is not stretched
    assert reference.feasible(both)
    # Alone its own work is the load: 6 / 24, and 6 / (1 - 1/4) = 8 s, 2 s sent. Devices are not shared.
    assert reference.objective([(1, 1), (0, 0)]) == pytest.approx(10 + 12)
    # Slots share nothing: each task alone on es1 takes 10 s.
    apart = Reference(case(seconds=24, tasks=[{}, {"slot": 1}], **rules))
    assert apart.objective(both) == pytest.approx(10 + 10)
    assert apart.objective([(0, 0), (1, 1)]) == pytest.approx(12 + 10)
    assert apart.loads(both) == {(0, 1): 6, (1, 1): 6}
    # In a slot of 12 s the two fill es1, in one of 12.1 s they do not.
    assert Reference(case(seconds=12, tasks=tasks, **rules)).broken(both) == {("sharing", 0, 1)}
    assert Reference(case(seconds=12.1, tasks=tasks, **rules)).feasible(both)


def test_affine():
    # The same two: everything takes 1 + 1/2 as long, 2 + 9 s each. There is no limit: in a slot of 3 s it is
    # 1 + 4 times, 2 + 30 s.
    tasks = [{}, {}]
    rules = {"couplings": ["sharing"], "sharing": "affine"}
    assert Reference(case(seconds=24, tasks=tasks, **rules)).objective([(1, 1), (1, 1)]) == 22
    assert Reference(case(seconds=3, tasks=tasks, **rules)).objective([(1, 1), (1, 1)]) == 64


def test_deadlines_under_sharing_are_judged_on_stretched_times():
    # Two on es1: a 2 + 4, b 8, 14 s in all; alone they would take 4, 4 and 8 s. Energy: 6 s at 5 W, as ever.
    task = {"max_delay_s": [4, 8], "max_total_delay_s": 13.5}
    rules = {"couplings": ["sharing"], "sharing": "mm1", "seconds": 24, "deadline": "hard"}
    reference = Reference(case(tasks=[task, {}], **rules))
    assert reference.broken([(1, 1), (1, 1)]) == {("deadline", 0, 0), ("deadline", 0)}
    weighed = {**rules, "deadline": "none", "objective": {"delay": 0, "energy": 1, "of": "all"}}
    powered = Reference(case(es1={"compute_power_w": 5}, tasks=[{}, {}], **weighed))
    assert powered.objective([(1, 1), (1, 1)]) == 2 * (6 + 30)
