"""Generated instances: the same for the same seed, and as their parameters say; else refused in one line."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import ROOT

import mecopt
from mecopt import io
from mecopt.costs import chain_costs
from mecopt.entities import Coupling, Deadline
from mecopt.errors import InputError
from mecopt.generation import Range, Spec, census, expand, generate, names, parse
from mecopt.generators.assemble import server_speeds
from mecopt.generators.draws import unit
from mecopt.generators.energy import least_energy_j, step_tables
from mecopt.generators.parameters import fields, respaced
from mecopt.generators.rates import places
from mecopt.generators.specs import regimes, setting
from mecopt.generators.values import from_text, to_text

# The same everywhere and for good: a change here breaks every stored seed, so it needs a new major version.
PINNED = {
    "paper": "81e12a8765bcbda843ad1b92bb402cfcdbbbb8b4b58275a7e246c340f78ff4bf",
    "paper-load:slots=20": "95515de082b635f106fc89c937f6b65c4f04c8883d1eb018772909791fb84f2e",
    "paper-deadline:slots=20,servers=6": "3cc0cf3752f9716fe763714717b743e9cc8cbaec90709c08f8fde39ff4f79fb6",
    "crowd:seed=3": "9943bc1264e67bca090d34226acc469599e2f99d497996ad8051c45136687024",
    "energy:slots=20": "b08f4d372ac02c13126ca6fe6ae8746d22e971a3e8cea7751d4f88fcaea71409",
    "alexnet-6es:slots=60": "d432d06bfe345a49b25bb69957254bef5d0c6f4560ad9426a0a569f2c263b9d4",
    "paper:rates=geometry,servers=9": "96c79b162273978db4c6b9e2f8efd27c4adc011e42e81cce5183a2093412e8be",
}


@pytest.mark.parametrize("spec", PINNED)
def test_same_on_every_machine(spec):
    assert generate(spec).sha256 == PINNED[spec]


@pytest.mark.parametrize("name", names())
def test_seed_decides(name):
    small = {"slots": 5}
    first = generate(name, seed=1, **small)
    assert first == generate(name, seed=1, **small)
    assert first != generate(name, seed=2, **small)


@pytest.mark.parametrize("name", names())
def test_made_again_from_origin(name):
    first = generate(name, seed=7, slots=4, servers=3)
    origin = json.loads(json.dumps(first.origin, allow_nan=False))
    assert generate(origin["spec"], seed=origin["seed"], **origin["parameters"]) == first
    assert set(origin["parameters"]) == set(fields())


def test_made_again_from_name():
    first = generate(
        "paper-deadline", seed=5, server_cycles_per_s=[4e9], max_delay_s=(0.5, 1 / 3 + 1), slots=3
    )
    assert first.server_count == 1
    assert generate(first.name) == first


@pytest.mark.parametrize(
    "change",
    [{"max_delay_s": (1.0, 2.0)}, {"server_load_factor": (0.1, 0.2)}, {"blocks": 3}, {"release_rate": 5}],
)
def test_one_draw_does_not_shift_another(change):
    base = generate("paper-deadline", slots=30)
    other = generate("paper-deadline", slots=30, **change)
    assert base != other
    assert np.array_equal(base.tasks.rate_bps, other.tasks.rate_bps)


def test_more_servers_and_slots_keep_the_draws():
    base = generate("paper-load", slots=30)
    more = generate("paper-load", slots=40, servers=5)
    assert np.array_equal(more.tasks.rate_bps[:30, :4], base.tasks.rate_bps)


def test_draws_are_uniform():
    drawn = unit(0, "rate", 20_000, 2)
    assert 0 <= drawn.min() < drawn.max() < 1
    assert np.abs(np.histogram(drawn, 10, (0, 1))[0] / 4000 - 1).max() < 0.1
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.03


# --- what the parameters say ------------------------------------------------------------------------------
@pytest.mark.parametrize("name", regimes())
def test_settings_are_those_of_the_file(name):
    facts = regimes()[name]["parameters"]
    instance = generate(name)
    if name == "crowd":
        assert facts["server_cycles_per_s"] == "N drawn from U[2e9, 8e9]"
        assert facts["tasks_per_slot"] == "K, each from a device of its own"
        assert facts["default"] == {
            "K": instance.task_count,
            "N": instance.server_count,
            "ratio": 1.1,
            "slots": 1,
        }
        assert instance.rules.couplings == {Coupling.CAPACITY}
        assert instance.rules.deadline is Deadline.NONE
        assert len(instance.devices) == len(set(instance.tasks.device.tolist())) == 60
    if name == "energy":
        assert facts == {"base": "camera-alexnet", "energy_budget_share": 0.6}
        return
    assert instance.models[0].output_bits == facts["output_bits"]  # which follow from the model
    assert instance.tasks.batch.tolist() == [facts["batch"]] * instance.task_count
    rules = mecopt.Rules.preset(facts["preset"])
    assert (instance.rules.return_transfer, instance.rules.hop_energy) == (
        rules.return_transfer,
        rules.hop_energy,
    )
    low, high = facts["rate_bps"]
    assert low <= instance.tasks.rate_bps.min() < instance.tasks.rate_bps.max() <= high


def test_base_of_energy():
    base, energy = generate("camera-alexnet", seed=4), generate("energy", seed=4)
    assert np.array_equal(base.tasks.rate_bps, energy.tasks.rate_bps)
    assert base.models == energy.models
    spent = mecopt.solve(base).evaluation.energy_j
    assert energy.devices[0].energy_budget_j == pytest.approx(0.6 * spent, rel=1e-6)
    assert energy.origin["derived"]["least_energy_j"][0] / spent == pytest.approx(0.43, abs=0.01)


def test_ranges_are_drawn_per_slot_server_and_block():
    instance = generate("camera-alexnet-deadline", slots=500)
    tau, load = (
        instance.tasks.max_delay_s,
        instance.server_speed / np.array([[2.3e9], [4.1e9], [5.6e9], [7.2e9]]),
    )
    assert len(np.unique(tau)) > 2900
    assert 0.02 <= tau.min() < 0.03 < 0.39 < tau.max() <= 0.4
    assert load.shape == (4, 500)
    assert np.abs(np.corrcoef(load)[~np.eye(4, dtype=bool)]).max() < 0.2
    assert np.allclose([load.min(), load.max()], [0.4, 1.0], atol=0.02)


@pytest.mark.parametrize(("count", "ratio", "servers"), [(60, 1.1, 4), (10, 2.0, 9), (300, 0.5, 2)])
def test_crowd_ratio(count, ratio, servers):
    instance = generate("crowd", tasks_per_slot=count, ratio=ratio, servers=servers, slots=2)
    work = sum(b.cycles for b in instance.models[0].blocks) * count
    speeds = [s.cycles_per_s for s in instance.servers]
    assert work / (sum(speeds) * instance.slot_s) == pytest.approx(ratio)
    assert instance.task_count == 2 * count
    assert all(2e9 <= s <= 8e9 for s in speeds)
    assert all(0.6e9 <= d.cycles_per_s <= 1.4e9 for d in instance.devices)


def test_slot_seconds_and_ratio_replace_each_other():
    assert generate("crowd", slot_s=0.25).slot_s == 0.25
    assert "slot_s" in generate("crowd", ratio=2).origin["derived"]
    with pytest.raises(InputError, match="slot_s: given together with ratio"):
        generate("crowd", ratio=2, slot_s=1)


def test_individual_tasks():
    instance = generate("paper", tasks="individual", release_rate=7, slots=3)
    assert instance.tasks.slot.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert instance.tasks.device.tolist() == list(range(7)) * 3
    assert set(instance.tasks.batch.tolist()) == {1}
    assert len(np.unique(instance.tasks.rate_bps)) > 80


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [4.85e9]),
        (2, [2.3e9, 7.2e9]),
        (4, [2.3e9, 4.1e9, 5.6e9, 7.2e9]),
        (7, [2.3e9, 3.2e9, 4.1e9, 4.85e9, 5.6e9, 6.4e9, 7.2e9]),
    ],
)
def test_speeds_follow_the_number_of_servers(count, expected):
    instance = generate("camera-alexnet", servers=count, slots=1)
    assert [s.cycles_per_s for s in instance.servers] == pytest.approx(expected)


@given(st.lists(st.floats(1e6, 1e10), min_size=1, max_size=6), st.integers(1, 12))
def test_respaced_stays_within_its_ends(values, count):
    spaced = respaced(tuple(values), count)
    assert len(spaced) == count
    assert all(min(values) - 1 <= s <= max(values) + 1 for s in spaced)
    assert respaced(tuple(values), len(values)) == tuple(values) or len(values) == 1
    if count > 1 and len(values) > 1:
        assert (spaced[0], spaced[-1]) == (values[0], values[-1])


# --- geometry ---------------------------------------------------------------------------------------------
def test_geometry_follows_the_formula():
    instance = generate(
        "paper", rates="geometry", slots=4000, servers=2, transmit_power_w=0.2, bandwidth_hz=1e6
    )
    device, servers = places("device_place", 1, 750, 0)[0], places("server_place", 2, 750, 0)
    km = np.maximum(np.hypot(*(servers - device).T), 35) / 1000
    gain = 10 ** (-(128.1 + 37.6 * np.log10(km)) / 10)
    noise = 10 ** (-174 / 10) / 1000 * 1e6
    power = (2 ** (instance.tasks.rate_bps / 1e6) - 1) * noise / (0.2 * gain)  # |h|^2, fading alone
    assert power.mean(axis=0) == pytest.approx([1, 1], rel=0.06)
    assert np.median(power, axis=0) == pytest.approx([np.log(2)] * 2, rel=0.06)


def test_places_are_uniform_in_the_disc():
    radius = np.hypot(*places("server_place", 20_000, 750, 1).T)
    assert radius.max() <= 750
    assert (radius <= 375).mean() == pytest.approx(0.25, abs=0.01)
    assert np.abs(places("server_place", 20_000, 750, 1).mean(axis=0)).max() < 15


def test_geometry_keeps_places_and_draws_fading_anew():
    instance = generate("crowd", rates="geometry", slots=2)
    assert instance.tasks.rate_bps.min() >= 1
    assert (instance.tasks.rate_bps[:60] != instance.tasks.rate_bps[60:]).all()


# --- energy -----------------------------------------------------------------------------------------------
SMALL = {"slots": 4, "servers": 2, "blocks": 3}


def brute_force_energy(instance):
    """Return the least energy of each task over all its placements that break no link or hard deadline."""
    least = np.full(instance.task_count, np.inf)
    costs = chain_costs(instance)
    for path in itertools.product(range(instance.server_count + 1), repeat=instance.max_blocks):
        judged = mecopt.evaluate(instance, np.tile(path, (instance.task_count, 1)), costs=costs)
        late = np.zeros(instance.task_count, dtype=bool)
        late[[v.where["task"] for v in judged.violations if v.kind in ("deadline", "link")]] = True
        least = np.minimum(least, np.where(late, np.inf, judged.task_energy_j))
    return least


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    preset=st.sampled_from(["paper", "physical"]),
    deadline=st.sampled_from(["hard", "soft"]),
    server_bps=st.sampled_from([0.0, 1e8]),
)
def test_least_energy_is_that_of_brute_force(seed, preset, deadline, server_bps):
    tau = Range(0.05, 0.6)
    instance = generate(
        "camera-alexnet",
        seed=seed,
        preset=preset,
        deadline=deadline,
        max_delay_s=tau,
        server_bps=server_bps,
        **SMALL,
    )
    assert least_energy_j(chain_costs(instance)) == pytest.approx(brute_force_energy(instance), rel=1e-12)


def test_step_tables_add_up_to_the_judge():
    instance = generate("camera-alexnet-deadline", slots=5, servers=3)
    tables = step_tables(chain_costs(instance))
    rng = np.random.default_rng(0)
    for _ in range(50):
        path = rng.integers(0, 4, 6)
        judged = mecopt.evaluate(instance, np.tile(path, (5, 1)))
        where = (slice(None), np.arange(6), np.concatenate([[0], path[:-1]]), path)
        assert tables.delay_s[where] == pytest.approx(judged.block_delay_s)
        assert tables.energy_j[where] == pytest.approx(judged.steps.energy_j)
        assert tables.excess_s[where] == pytest.approx(judged.steps.excess_s)
        assert tables.result_s[:, path[-1]] == pytest.approx(judged.steps.result_s)


def test_impossible_budget_is_refused_with_the_least_possible_one():
    with pytest.raises(InputError) as refused:
        generate("energy", energy_budget_share=0.3)
    text = str(refused.value)
    assert text.startswith("energy_budget_share: 0.3 of the optimum's is ")
    share = float(text.rpartition("(share ")[2].rstrip(")"))
    least = float(text.partition("can spend is ")[2].partition(" J")[0])
    generate("energy", energy_budget_share=share)
    generate("energy", energy_budget_j=least)
    with pytest.raises(
        InputError, match=r"energy_budget_j: .* J for device1: the least any placement can spend is"
    ):
        generate("energy", energy_budget_j=least * 0.999)


def test_budget_of_an_instance_that_cannot_be_served_is_refused():
    with pytest.raises(InputError, match="no energy budget can be set: task 0, block 0"):
        generate("energy", deadline="hard", max_delay_s=1e-6, slots=2)


def test_lifted_deadlines():
    drawn, lifted = (generate("alexnet-6es", max_delay_lift=lift, slots=200) for lift in (False, True))
    assert mecopt.solve(drawn).status == "infeasible"
    assert mecopt.solve(lifted).status == "optimal"
    stuck = (drawn.tasks.max_delay_s != lifted.tasks.max_delay_s).any(axis=1)
    assert stuck.sum() == lifted.origin["derived"]["lifted_tasks"] == census(drawn).unserved > 0
    assert (lifted.tasks.max_delay_s >= drawn.tasks.max_delay_s).all()


# --- census -----------------------------------------------------------------------------------------------
def test_census_counts_kinds():
    found = census(generate("paper-near"))
    result = mecopt.solve(generate("paper-near"))
    rows = [set(row) for row in result.placement.tolist()]
    assert found.local == sum(row == {0} for row in rows)
    assert found.one_server == sum(len(row) == 1 and row != {0} for row in rows)
    assert found.mixed == sum(len(row) > 1 for row in rows)
    assert found.blocks_on_device == pytest.approx((result.placement == 0).mean())
    assert found.objective == pytest.approx(result.objective)
    assert found.local_delay_share == pytest.approx(
        result.evaluation.local_delay_s / result.evaluation.total_delay_s
    )
    assert found.late_blocks == pytest.approx((result.evaluation.steps.excess_s > 0).mean())
    assert found.warning is None
    assert "99." in census(generate("paper-load")).warning


def test_census_leaves_out_what_cannot_be_served():
    found = census(generate("camera-alexnet", deadline="hard", max_delay_s=0.06))
    assert 0 < found.unserved <= found.tasks == 600
    assert found.local + found.one_server + found.mixed + found.unserved == 600
    nothing = census(generate("camera-alexnet", deadline="hard", max_delay_s=1e-9, slots=2))
    assert (nothing.unserved, nothing.blocks_on_device, nothing.objective) == (2, None, 0.0)


# --- what is refused, and what is doubted -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"servers": 0}, "servers: 0, expected 1 or more"),
        ({"servers": 2000}, "servers: 2000, expected 1 to 1000"),
        ({"servers": 2.5}, "servers: 2.5, expected a whole number, 1 to 1000"),
        ({"servers": True}, "servers: true, expected a whole number, 1 to 1000"),
        ({"blocks": 20}, "blocks: 20, expected 1 to 19 for vgg16-cifar10"),
        ({"slots": 0}, "slots: 0, expected 1 or more"),
        ({"release_rate": -3}, "release_rate: -3, expected 1 or more"),
        ({"rate_bps": (5, 2)}, "rate_bps: 5,2, expected a range LOW..HIGH whose low end is not above"),
        ({"rate_bps": 0}, "rate_bps: 0, expected a number > 0 or a range LOW..HIGH"),
        ({"rate_bps": float("nan")}, "rate_bps: nan, expected a number > 0 or a range LOW..HIGH"),
        ({"server_load_factor": 1.5}, "server_load_factor: 1.5, expected a number > 0 and <= 1 or a range"),
        ({"max_delay_s": "soon"}, "max_delay_s: soon, expected a number >= 0 or a range LOW..HIGH or none"),
        ({"tasks": "many"}, "tasks: many, expected one of bundled, individual"),
        ({"model": "vgg"}, "model: vgg, expected one of alexnet-cifar10"),
        ({"input": "jpeg"}, "input: jpeg, expected float32, uint8, or a whole number of bytes > 0"),
        ({"couplings": "heat"}, "couplings: heat, expected any of energy, capacity, memory, or none"),
        ({"server_cycles_per_s": [1e9, 2e9], "servers": 3}, "server_cycles_per_s: 2 speeds for 3 servers"),
        ({"max_delay_lift": 1}, "max_delay_lift: 1, expected true or false"),
        ({"slot_s": None}, "slot_s: none, expected a number > 0 where no ratio is given"),
        ({"relase_rate": 3}, "relase_rate: no such parameter, did you mean release_rate"),
        ({"batch": 3, "release_rate": 4}, "release_rate: given twice"),
        ({"slots": 10**6, "tasks": "individual"}, "slots: 60000000 tasks in all, expected 5000000 or fewer"),
        ({"slots": 10**6, "servers": 1000}, "servers: 1000000000 rates in all, expected 100000000 or fewer"),
        ({"seed": -1}, "seed: -1, expected 0 or more"),
    ],
)  # fmt: skip
def test_refused_in_one_line(changes, message):
    with pytest.raises(InputError) as refused:
        generate("paper", **changes)
    assert len(refused.value.problems) == 1
    assert str(refused.value).startswith(message)


EXTREMES = [
    *(0, -1, -0.0, 1e-320, 1e-150, 0.5, 1.5, 1e15, 1e149, 1e308, -1e308, 10**400, 10**5000, 2**62, 1000),
    *(float("nan"), float("inf"), True, None, "", "x", "x" * 10_000, [], [1], [1, 2], [[1]], {}, object()),
    *(Range(0, 0), Range(2, 1), Range(1e149, 1e150), Range(0.0, 1e308)),
    *({"uniform": [1, 2]}, {"uniform": [1]}, {"uniform": 5}),
    *(np.int64(2), np.float32(0.5), np.bool_(True), np.array([1e9, 2e9]), np.array([])),
]  # fmt: skip


def lines_of(spec, **changes):
    """Return the lines that refuse the spec, none where it makes an instance."""
    try:
        generate(spec, **changes)
    except InputError as refused:
        return str(refused).splitlines()
    return []


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", list(fields()))
@pytest.mark.parametrize(
    "spec", ["camera-alexnet-deadline:slots=2,rates=geometry", "energy:slots=2", "crowd:release_rate=2"]
)
def test_every_parameter_at_its_extremes(spec, name):
    for value in EXTREMES:
        lines = lines_of(spec, **{name: value})
        assert len(lines) <= (2 if name.startswith("energy_budget") else 1)  # a line for each device
        assert all(len(line) <= 392 and line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("energy:servers=1000", "servers: 1000 with an energy budget, expected 64 or fewer"),
        ("energy:slots=1000000", "slots: 150000000 steps (tasks x blocks x nodes^2), expected 20000000 or"),
        ("paper:slots=15001,servers=994", "slots: 15001000 rates and deadlines in all, expected 15000000"),
        ("paper:input=1e16", "input: 1e16, expected float32, uint8, or a whole number of bytes > 0 and"),
        ("paper:noise_dbm_per_hz=1e9", "noise_dbm_per_hz: 1e9, expected a number > -300 and <= 300"),
        ("paper:rates=geometry,nearest_m=1e-150,radius_m=1e-150", "rates: geometry makes one that is no"),
        ("paper:server_load_factor=1e-300", "no instance follows from these parameters: server 'es1': "),
        ("x" * 10_000, "no setting 'xxx"),
    ],
)  # fmt: skip
def test_what_would_take_minutes_or_no_number_holds(spec, message):
    with pytest.raises(InputError) as refused:
        generate(spec)
    assert str(refused.value).startswith(message)
    assert len(str(refused.value)) <= 392


def test_numbers_of_numpy_are_numbers():
    by_numpy = generate(
        "paper:slots=2", seed=np.int64(3), servers=np.int32(2), rate_bps=(np.float32(1e6), np.int64(2e6)),
        server_cycles_per_s=np.array([1e9, 2e9]), max_delay_lift=np.bool_(False),
    )  # fmt: skip
    plain = generate("paper:slots=2", seed=3, servers=2, rate_bps=(1e6, 2e6), server_cycles_per_s=[1e9, 2e9])
    assert by_numpy == plain
    assert generate("paper:slots=2.0", seed=3.0).sha256 == generate("paper:slots=2", seed=3).sha256


def test_chunks_do_not_change_the_least_energy(monkeypatch):
    from mecopt.costs import chain_costs
    from mecopt.generators import energy

    costs = chain_costs(generate("camera-alexnet-deadline:slots=50"))
    whole = energy.least_energy_j(costs)
    monkeypatch.setattr(energy, "MOST_CELLS", 1)
    assert energy.least_energy_j(costs).tolist() == whole.tolist()


def test_all_problems_are_reported_together():
    with pytest.raises(InputError) as refused:
        generate("paper", servers=0, blocks=0, nonsense=1)
    assert len(refused.value.problems) == 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("papr", "no setting 'papr'; did you mean paper"),
        ("", "no setting ''; there are paper"),
        ("paper:servers", "paper:servers: 'servers', expected parameter=value"),
        ("paper:servers=", "paper:servers=: 'servers=', expected parameter=value"),
        ("paper:servers=2,servers=3", "paper:servers=2,servers=3: servers is given twice"),
        ("paper:servers=9..2", "servers: 9..2, expected a range from low to high"),
        ("paper:servers=2..3", "paper:servers=2..3: names 2 instances, expected one"),
        ("paper:seed=x", "seed: x, expected a whole number"),
        ("paper:slots=1..1000,seed=0..99", "paper:slots=1..1000,seed=0..99: names 100000 instances"),
    ],
)
def test_bad_specs(spec, message):
    with pytest.raises(InputError) as refused:
        generate(spec)
    assert str(refused.value).startswith(message)


def test_seed_of_spec_and_argument_must_agree():
    assert generate("crowd:seed=3", seed=3).name == "crowd:seed=3"
    with pytest.raises(InputError, match="seed: 4, but the spec says 3"):
        generate("crowd:seed=3", seed=4)


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"couplings": "capacity"}, "capacity on bundled tasks"),
        ({"couplings": "energy"}, "the energy coupling without a budget"),
        ({"couplings": "memory"}, "the memory coupling without a memory size"),
        ({"energy_budget_share": 0.9}, "an energy budget without the coupling"),
        ({"deadline": "hard", "max_delay_s": None}, "hard deadlines without max_delay_s"),
    ],
)
def test_doubts_are_warned_of(changes, doubt):
    with pytest.warns(UserWarning, match=doubt):
        generate("camera-alexnet", slots=2, **changes)


# --- specs ------------------------------------------------------------------------------------------------
def test_expand():
    assert [str(s) for s in expand("paper")] == ["paper"]
    assert [s.changes["servers"] for s in expand("paper:servers=2..9")] == list(range(2, 10))
    found = expand("crowd:tasks_per_slot=10|60,servers=4|9,seed=0..1")
    assert len(found) == 8
    assert str(found[-1]) == "crowd:release_rate=60,servers=9,seed=1"
    (one,) = expand("paper:rate_bps=1e6..2e6,couplings=energy,capacity,server_cycles_per_s=1e9,2e9,blocks=3")
    assert one.changes["rate_bps"] == Range(1e6, 2e6)
    assert one.parameters().limits.couplings == ("capacity", "energy")
    assert one.parameters().servers.servers == 2


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_text(value):
    assert from_text(to_text(value)) == value
    assert from_text(to_text(Range(value, value))) == Range(value, value)


RANGES = st.tuples(st.floats(1e5, 1e7), st.floats(1e5, 1e7)).map(lambda ends: Range(min(ends), max(ends)))
CHANGES = st.fixed_dictionaries(
    {"slots": st.integers(1, 6), "servers": st.integers(1, 5), "blocks": st.integers(1, 9)},
    optional={
        "release_rate": st.integers(1, 5),
        "tasks": st.sampled_from(["bundled", "individual"]),
        "model": st.sampled_from(["vgg16-cifar10", "alexnet-224", "resnet32-cifar10"]),
        "rates": st.sampled_from(["uniform", "geometry"]),
        "rate_bps": st.one_of(st.floats(1e5, 1e8), RANGES),
        "max_delay_s": st.one_of(st.none(), st.floats(0, 5), st.just(Range(0.1, 2.0))),
        "deadline": st.sampled_from(["soft", "none"]),
        "server_load_factor": st.one_of(st.floats(0.1, 1), st.just(Range(0.5, 1.0))),
        "server_cycles_per_s": st.one_of(st.floats(1e8, 1e10), st.just(Range(1e9, 4e9))),
        "device_cycles_per_s": st.just(Range(5e8, 2e9)),
        "input": st.sampled_from(["float32", "uint8", 10_000]),
        "server_bps": st.sampled_from([0.0, 1e8]),
        "output_bits": st.one_of(st.none(), st.floats(0, 1e6)),
        "server_memory_bytes": st.one_of(st.none(), st.floats(0, 1e9)),
    },
)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=60)
@given(
    name=st.sampled_from([n for n in names() if n != "energy"]), changes=CHANGES, seed=st.integers(0, 2**63)
)
def test_any_parameters_make_a_whole_instance(name, changes, seed):
    instance = generate(name, seed=seed, **changes)
    assert instance.slot_count == changes["slots"]
    assert instance.server_count == changes["servers"]
    assert instance.max_blocks == changes["blocks"]
    assert io.from_json(io.to_json(instance).encode()) == instance
    origin = instance.origin
    assert generate(origin["spec"], seed=origin["seed"], **origin["parameters"]) == instance
    assert generate(parse(instance.name)) == instance
    found = census(instance)
    assert found.local + found.one_server + found.mixed + found.unserved == instance.task_count


def test_server_speeds_do_not_depend_on_the_load():
    parameters = parse("paper-load").parameters()
    assert server_speeds(parameters, 0).tolist() == [4e9, 5e9, 6e9, 7e9]


def test_spec_is_its_text():
    assert str(Spec("paper", {"server_cycles_per_s": (4e9,), "rate_bps": Range(6.4e6, 16e6)}, 2)) == (
        "paper:server_cycles_per_s=4e9,,rate_bps=6.4e6..1.6e7,seed=2"
    )


def test_settings_return_fresh_dictionaries():
    setting("paper")["servers"] = 99
    assert generate("paper", slots=1).server_count == 4


def test_documentation_lists_every_parameter_and_setting():
    page = (ROOT / "docs" / "generate.md").read_text(encoding="utf-8")
    for name, field in fields().items():
        assert f"| `{name}` | {to_text(field.default)} | {field.metadata['help']} |" in page
    assert all(f"`{name}`" in page for name in names())


def test_numpy_scalars_are_numbers():
    plain = mecopt.generate(
        "paper", seed=3, servers=2, slots=4, server_cycles_per_s=[1e9, 2e9], rate_bps=(1e6, 2e6)
    )
    ours = mecopt.generate(
        "paper",
        seed=np.int64(3),
        servers=np.float64(2),
        slots=np.uint8(4),
        server_cycles_per_s=np.array([1e9, 2e9]),
        rate_bps=mecopt.Range(np.float64(1e6), np.int64(2_000_000)),
    )
    assert ours.sha256 == plain.sha256
    assert (ours.name, ours.origin) == (plain.name, plain.origin)


@pytest.mark.parametrize(
    "given",
    [
        {"seed": True},
        {"seed": np.bool_(True)},
        {"seed": 1.5},
        {"seed": np.nan},
        {"servers": np.bool_(True)},
        {"servers": np.inf},
        {"slot_s": np.float64("nan")},
        {"slot_s": 1j},
    ],
)
def test_what_is_no_number_is_refused(given):
    with pytest.raises(mecopt.InputError, match=f"{next(iter(given))}: .*expected"):
        mecopt.generate("paper", **given)
