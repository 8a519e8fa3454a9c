"""The policy's compiled prices against the same in numpy, its start, its file, and what it refuses."""

import numpy as np
import pytest

import mecopt
from mecopt.simulation import Pricing
from mecopt.simulation.arrivals import draw
from mecopt.simulation.engine import simulate_stream
from mecopt.simulation.online_plan import OnlinePlan
from mecopt_rl.learners.online_policy import (
    OnlinePolicy,
    first_weights,
    load_online_policy,
    parts_of,
    pricing_of,
)
from mecopt_rl.training.checkpoint import write_arrays
from mecopt_solvers.online.static import value_figures

SPEC = "camera-vgg:tasks=individual,slots=1,release_rate=6,servers=3"


def policy(seed=0, width=4, scale=0.3):
    weights = first_weights(width, seed)
    weights += np.random.default_rng(seed).normal(0.0, scale, len(weights))
    return OnlinePolicy(np.array([0.1, 0.4, 0.7]), weights, {"note": "mine"})


def by_hand(setting, chosen):
    """Return the policy as a function of a View, written in numpy."""
    world, (p, q, r) = setting.world, value_figures(setting)
    hidden, bias, out, offset = parts_of(chosen.weights)
    servers = slice(world.servers)
    mean = world.tables[2][:, :, 1:].sum(axis=1).mean(axis=0)
    unit, a, b, c = mean.mean(), *chosen.scalars
    state = {"last": 0.0, "count": np.array([10.0, 100.0])}

    def decide(view):
        gap = view.time_s - state["last"]
        state["count"] = state["count"] * np.exp(-gap * setting.rate / np.array([10.0, 100.0])) + 1.0
        state["last"] = view.time_s
        u = np.maximum(view.backlog_s + view.in_flight_s - view.lag_s, 0.0)
        arrivals = np.minimum(state["count"] / np.array([10.0, 100.0]), 4.0) - 1.0
        logs = np.log1p(u / unit)
        shared = [
            logs.mean(), logs.min(), logs.max(), np.log1p(view.lag_s / unit), *arrivals, np.log(view.size),
            np.log1p(view.device_s / unit), np.log1p(view.radio_s / unit),
        ]  # fmt: skip
        price, grow, curve = a * p, b * q, c * r
        backlog = np.zeros(world.resources)
        device = world.servers + int(world.tables[1][view.task])
        backlog[device], backlog[device + world.devices] = view.device_s, view.radio_s
        for n in range(world.servers):
            seen = [np.log1p(view.backlog_s[n] / unit), np.log1p(view.in_flight_s[n] / unit), logs[n]]
            x = np.array([*seen, *shared, np.log(mean[n] / unit)]) @ hidden + bias
            moved = (x / (1.0 + abs(x))) @ out + offset
            price[n] = max(-0.9, price[n] + moved[0])
            grow[n] = max(0.0, grow[n] + moved[1] * q[servers][n])
            curve[n] = max(0.0, curve[n] + moved[2] * r[servers][n])
            backlog[n] = max(0.0, u[n] + moved[3] * unit)
        nodes, _, _ = world.decide(
            np.array([view.task]), np.array([view.size]),
            backlog=backlog, price=price, grow=grow, curve=curve,
        )  # fmt: skip
        return [int(node) for node in nodes[0] if node >= 0]

    return decide


@pytest.mark.parametrize("staleness", [0, 3])
def test_compiled_prices_are_those_of_the_formula(staleness):
    plan = OnlinePlan(SPEC, "both", load=0.9, staleness=staleness)
    setting, stream = plan.setting(), draw("both", plan.world.templates, plan.rate, 1500, 7)
    chosen = policy()
    runs = [
        simulate_stream(plan.world, stream, rule, lag_s=plan.lag_s)
        for rule in (chosen.pricing(setting), by_hand(setting, chosen))
    ]
    assert np.array_equal(runs[0].nodes, runs[1].nodes)
    assert np.array_equal(runs[0].delay_s, runs[1].delay_s)
    plain = simulate_stream(plan.world, stream, Pricing.free(plan.world), lag_s=plan.lag_s)
    assert (plain.nodes != runs[0].nodes).any()


def test_it_begins_as_the_rule_it_is_said_to_begin_as():
    plan = OnlinePlan(SPEC, "bursty", load=0.9, staleness=2)
    setting, stream = plan.setting(), draw("bursty", plan.world.templates, plan.rate, 1000, 1)
    begun = pricing_of(setting, value_figures(setting), np.zeros(3), first_weights(5, 3))
    selfish = Pricing.free(plan.world, sees="flight", own=1.0)
    runs = [simulate_stream(plan.world, stream, rule, lag_s=plan.lag_s) for rule in (begun, selfish)]
    assert np.array_equal(runs[0].delay_s, runs[1].delay_s)


def test_forbidden_nodes_stay_forbidden_at_the_lowest_price():
    document = mecopt.to_dict(mecopt.generate(SPEC))
    document["allow"] = [{"tasks": "all", "blocks": [0, 1], "nodes": ["device", "es1"]}]
    document["format"] = "mecopt-instance/2"
    plan = OnlinePlan(mecopt.from_dict(document), "bursty", load=0.5)
    weights = first_weights(1, 0)
    weights[-4:] = [-50.0, -50.0, -50.0, -50.0]
    rule = OnlinePolicy(np.zeros(3), weights, {}).pricing(plan.setting())
    run = simulate_stream(plan.world, draw("bursty", plan.world.templates, plan.rate, 500, 1), rule)
    assert np.isin(run.nodes[:, :2], [0, 1]).all()
    assert np.isfinite(run.delay_s).all()


def test_a_file_is_a_policy_of_simulate_in_worlds_of_any_size(tmp_path):
    path = tmp_path / "mine.safetensors"
    policy().save(path)
    back = load_online_policy(path)
    assert np.array_equal(back.weights, policy().weights)
    assert back.card == {"note": "mine"}
    for spec in (SPEC, "paper:tasks=individual,slots=1,release_rate=3,servers=2"):
        done = mecopt.simulate(spec, [str(path), "selfish"], tasks=500, out=tmp_path / spec[:5])
        assert [run["policy"] for run in done.runs] == [str(path), "selfish"]
    plan = OnlinePlan(SPEC, "poisson", tasks=500)
    direct = mecopt.simulate(SPEC, back.rule(), tasks=500).runs[0]
    run = simulate_stream(plan.world, plan.stream(0), back.pricing(plan.setting()))
    assert direct["all_mean_s"] == pytest.approx(run.delay_s.mean(), rel=1e-12)


def test_another_file_under_the_same_name_is_run_again(tmp_path):
    path, out = tmp_path / "mine.safetensors", tmp_path / "out"
    policy(0).save(path)
    first = mecopt.simulate(SPEC, str(path), tasks=500, load=0.9, out=out).runs[0]
    policy(1, scale=3.0).save(path)
    second = mecopt.simulate(SPEC, str(path), tasks=500, load=0.9, out=out).runs[0]
    assert first["all_mean_s"] != second["all_mean_s"]


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"weights": np.zeros(22)}, "holds no scalars"),
        (
            {"scalars": np.zeros(3), "weights": np.zeros(23)},
            "23 weights, expected 18 a hidden unit",
        ),
        ({"scalars": np.zeros(3), "weights": np.zeros((2, 11))}, r"weights of shape \(2, 11\)"),
        ({"scalars": np.zeros(2), "weights": np.zeros(22)}, r"scalars of shape \(2,\)"),
        ({"scalars": np.zeros(3), "weights": np.full(22, np.nan)}, "not a finite number"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, arrays, text):
    path = tmp_path / "mine.safetensors"
    write_arrays(path, arrays, {"format": "mecopt-online-policy/1"})
    with pytest.raises(mecopt.InputError, match=text) as error:
        mecopt.simulate(SPEC, str(path), tasks=500)
    assert str(path) in str(error.value)


def test_what_is_no_policy_is_refused(tmp_path):
    path = tmp_path / "mine.safetensors"
    with pytest.raises(mecopt.InputError, match="no such file"):
        mecopt.simulate(SPEC, str(path), tasks=500)
    path.write_bytes(b"nothing")
    with pytest.raises(mecopt.InputError, match="not a whole safetensors file"):
        mecopt.simulate(SPEC, str(path), tasks=500)
    write_arrays(path, {"a": np.zeros(2)}, {"format": "mecopt-policy/1"})
    with pytest.raises(mecopt.InputError, match="'mecopt-policy/1', expected 'mecopt-online-policy/1'"):
        mecopt.simulate(SPEC, str(path), tasks=500)
