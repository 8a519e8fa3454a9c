"""Encoders: names, shapes, ranges, and what goes into a checkpoint."""

import json

import numpy as np
import pytest
import strategies
from hypothesis import given

import mecopt
from mecopt_rl.world.episodes import Episodes
from mecopt_rl.world.observation import OPTIONAL, PAPER, Encoder
from mecopt_rl.world.vector import VectorPartition


def test_default_parts_are_those_that_matter():
    expected = {
        "paper": (),
        "camera-vgg-load": ("server_speed",),
        "camera-alexnet-deadline": ("server_speed", "max_delay"),
        "energy:slots=20": ("energy_left",),
        "crowd": ("server_speed", "device_speed", "free_capacity"),
    }
    for spec, more in expected.items():
        assert Episodes(spec).encoder().parts == (*PAPER[:3], *more)


def test_values_are_scaled_by_the_ranges_of_the_generator():
    episodes = Episodes("camera-alexnet-deadline:slots=50")
    encoder = episodes.encoder()
    instance = mecopt.generate("camera-alexnet-deadline:slots=50", seed=9)
    rows = encoder.encode(instance, tasks=np.array([3, 7]))
    assert rows.dtype == np.float32
    assert rows.shape == (2, encoder.size)
    rates = instance.tasks.rate_bps[[3, 7]]
    assert np.allclose(rows[:, encoder.slices["rate"]], (rates - 6.4e6) / (16e6 - 6.4e6), atol=1e-6)
    tau = instance.tasks.max_delay_s[[3, 7]]
    assert encoder.ranges["max_delay"] == (0.02, 0.4)
    assert np.allclose(rows[:, encoder.slices["max_delay"]], (tau - 0.02) / 0.38, atol=1e-6)
    assert encoder.out_of_range(instance) == []
    everything = encoder.encode(instance)
    assert np.array_equal(everything[[3, 7]], rows)
    assert 0 <= everything.min() <= everything.max() <= 1


def test_what_lies_outside_is_named_and_cut_off():
    encoder = Episodes("camera-alexnet:slots=20").encoder()
    fast = mecopt.generate("camera-alexnet:slots=20,rate_bps=1e9")
    assert encoder.out_of_range(fast) == ["rate"]
    assert (encoder.encode(fast)[:, encoder.slices["rate"]] == 2.0).all()


def test_raw_values():
    instance = mecopt.generate("camera-alexnet:slots=4")
    encoder = Encoder.of([instance], parts=("rate", "param_bytes", "max_delay"), raw=True)
    rows = encoder.encode(instance)
    assert np.array_equal(rows[:, encoder.slices["rate"]], instance.tasks.rate_bps.astype(np.float32))
    assert np.isfinite(rows).all()


def test_what_is_left_is_a_share_of_the_limit():
    instance = mecopt.generate("energy:slots=20")
    encoder = Encoder.of([instance], parts=("energy_left", "free_capacity", "free_memory"))
    budget = instance.devices[0].energy_budget_j
    rows = encoder.encode(instance, tasks=np.arange(3), energy_left=budget * np.array([1.0, 0.25, -0.5]))
    assert rows[:, 0].tolist() == [1.0, 0.25, -0.5]
    assert (rows[:, 1:] == 2.0).all()  # unlimited


def test_two_models_of_different_length_are_padded():
    document = strategies.EXAMPLE | {"rules": {"deadline": "soft"}}
    block = {"cycles": 3e8, "input_bits": 1.0}
    document["models"] = [*document["models"], {"name": "one", "blocks": [block]}]
    document["tasks"] = [document["tasks"][0], {**document["tasks"][0], "model": "one"}]
    instance = mecopt.from_dict(document)
    encoder = Encoder.of([instance])
    rows = encoder.encode(instance)
    for name in ("cycles", "param_bytes", "input_bits"):
        assert rows[1, encoder.slices[name]][1] == 0.0
    assert rows[1, encoder.slices["cycles"]][0] == 1.0


@strategies.examples(30)
@given(strategies.documents(tasks=4))
def test_it_comes_back_from_json_and_stays_within_its_space(document):
    instance = mecopt.from_dict(document)
    encoder = Encoder.of([instance], parts=PAPER + OPTIONAL)
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
    assert again == encoder
    rows = again.encode(instance)
    assert np.array_equal(rows, encoder.encode(instance))
    assert rows.shape == (instance.task_count, again.size)
    assert np.isfinite(rows).all()
    assert -1 <= rows.min() <= rows.max() <= 2
    assert again.out_of_range(instance) == []


@strategies.examples(40)
@given(strategies.documents(blocks=3, tasks=6))
def test_the_running_environment_shows_the_same(document):
    """The kernel's figures of what is left are those of `encode`, given what was used."""
    instance = mecopt.from_dict(document)
    for raw in (False, True):
        encoder = Encoder.of([instance], parts=PAPER + OPTIONAL, raw=raw)
        env = VectorPartition(instance, 1, encoder=encoder, seed=0)
        observation, _ = env.reset()
        rng = np.random.default_rng(0)
        servers = instance.server_count
        for _ in range(instance.task_count):
            fleet, k = env.fleet, env.fleet.now
            t, device = fleet.pool.tables, instance.tasks.device[k[0]]
            own = [servers + device, *range(servers)]
            expected = encoder.encode(
                instance,
                tasks=k,
                energy_left=t.budget[:, device] - fleet.state.spent[:, device],
                free_capacity=t.slot_s[:, None] - fleet.state.load,
                free_memory=(t.memory - fleet.state.used)[:, own],
            )
            assert np.array_equal(observation, expected)
            observation = env.step(rng.integers(env.action_space.high + 1))[0]


BAD = [
    ({"parts": ["cycles", "cycles"]}, "expected different ones"),
    ({"parts": ["speed"]}, "'speed'"),
    ({"ranges": {}}, "none for cycles"),
    ({"ranges": {"cycles": [1]}}, "encoder: ValueError"),
    ({"ranges": None}, "encoder: AttributeError"),
]


@pytest.mark.parametrize(("change", "text"), BAD)
def test_bad_documents(change, text):
    good = {"parts": ["cycles"], "servers": 2, "blocks": 3, "ranges": {"cycles": [0, 1]}, "raw": False}
    assert Encoder.from_json(good).size == 3
    with pytest.raises(mecopt.InputError, match=text):
        Encoder.from_json(good | change)
    for name in good:
        with pytest.raises(mecopt.InputError, match="encoder: KeyError"):
            Encoder.from_json({key: value for key, value in good.items() if key != name})
