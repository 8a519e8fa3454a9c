"""Generated instances of the wider model."""

import numpy as np
import pytest

import mecopt
from mecopt.generation import generate, parse

SMALL = "camera-alexnet:slots=4,servers=2,blocks=3,deadline=none"


def test_objectives():
    assert generate(SMALL, objective="period").rules.objective.period
    assert generate(SMALL, objective="energy").rules.objective.plain() == {"delay": 0, "energy": 1}
    weighed = generate(SMALL, joule_worth=0.5, objective_of="all", server_power_w=20)
    assert weighed.rules.objective.plain() == {"delay": 1, "energy": 0.5, "of": "all"}
    assert [server.compute_power_w for server in weighed.servers] == [20, 20]


def test_sharing_switches_itself_on():
    rules = generate("crowd:release_rate=4", sharing="affine").rules
    assert rules.sharing == "affine"
    assert sorted(rules.couplings) == ["capacity", "sharing"]


def test_columns_are_given_or_drawn():
    drawn = {"max_total_delay_s": (1, 2), "weight": (1, 3), "drop_cost": (5, 6), "down_rate_bps": (1e6, 2e6)}
    tasks, other = generate(SMALL, **drawn).tasks, generate(SMALL, seed=1, **drawn).tasks
    for name, (low, high) in drawn.items():
        column = getattr(tasks, name)
        assert ((column >= low) & (column < high)).all()
        assert len(np.unique(column)) == column.size
        assert not np.isin(column, getattr(other, name)).any()
    assert (tasks.rate_bps == generate(SMALL).tasks.rate_bps).all()  # their draws shift no others
    given = generate(SMALL, max_total_delay_s=2, weight=3, drop_cost=0, down_rate_bps=1e6).tasks
    assert given.max_total_delay_s.tolist() == [2] * 4
    assert given.weight.tolist() == [3] * 4
    assert given.drop_cost.tolist() == [0] * 4
    assert given.down_rate_bps.tolist() == [[1e6, 1e6]] * 4


def test_phases_share_the_work_of_the_first():
    plain, phased = generate(SMALL), generate(SMALL, phases=["prefill", "decode*20"], phase_share=0.5)
    assert [(p.name, p.repeat) for p in phased.models[0].phases] == [("prefill", 1), ("decode", 20)]
    first = plain.models[0].blocks[0]
    assert phased.models[0].blocks[0].cycles == (first.cycles, first.cycles / 2)
    assert phased.models[0].blocks[0].input_bits == (first.input_bits, first.input_bits / 2)
    # 1 + 20 / 2 passes' worth on the device alone.
    alone = [[0] * 3] * 4
    once = mecopt.evaluate(plain, alone).total_delay_s
    assert mecopt.evaluate(phased, alone).total_delay_s == pytest.approx(11 * once)


def test_the_ratio_counts_all_passes():
    once, often = (generate("crowd:release_rate=4", **c).slot_s for c in ({}, {"phases": ["p*3"]}))
    assert often == pytest.approx(3 * once)


def test_budgets_are_those_of_serving_every_task():
    """In several chunks of tasks too, of which each has its own down rates and passes."""
    spec, changes = (
        "energy:slots=4100,servers=2,blocks=2,deadline=none",
        {"phases": ["p*3"], "down_rate_bps": 1e6},
    )
    plain = generate(spec, **changes).devices[0].energy_budget_j
    assert generate(spec, drop_cost=0, **changes).devices[0].energy_budget_j == plain
    assert plain == pytest.approx(3 * generate(spec, down_rate_bps=1e6).devices[0].energy_budget_j, abs=2e-6)


def test_a_name_makes_the_instance_again():
    changes = {"phases": ["a", "b*2"], "one_run": "all", "drop_cost": (1, 2), "objective": "energy"}
    made = generate(SMALL, **changes)
    assert generate(parse(made.name)) == made
    assert generate(made.origin["spec"], seed=0, **made.origin["parameters"]) == made


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (f"{SMALL},objective=joules", "objective: joules, expected one of delay, energy, period"),
        (f"{SMALL},sharing=md1", "sharing: md1, expected one of none, mm1, affine"),
        (f"{SMALL},weight=0", "weight: 0, expected a number > 0 or a range LOW..HIGH"),
        (f"{SMALL},phases=a*0", "phases: a*0, expected NAME or NAME*REPEAT, a whole number from 1 to"),
        (f"{SMALL},phases=a,a", "phases: a,a, expected phases of different names"),
        (
            f"{SMALL},couplings=sharing",
            "couplings: sharing, expected any of energy, capacity, memory, or none",
        ),
        ("paper:objective=period", "no instance follows from these parameters: rules.objective: period, exp"),
    ],
)
def test_bad_values(spec, message):
    with pytest.raises(mecopt.InputError) as refused:
        generate(spec)
    assert str(refused.value).startswith(message)
