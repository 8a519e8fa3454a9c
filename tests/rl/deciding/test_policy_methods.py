"""Trained policies as methods: the shipped ones, files, samples, pins, and what does not fit."""

import dataclasses
import functools
import subprocess
import sys
import warnings

import numpy as np
import pytest

import mecopt
from mecopt.errors import InputError
from mecopt_rl.deciding.policy_methods import decide, find
from mecopt_rl.training.checkpoint import load_policy, save_policy
from mecopt_rl.training.loop import POLICY, Training, TrainingPlan

SMALL = {"width": 8, "layers": 1, "branch_width": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a barely trained policy for camera-vgg-load."""
    made = tmp_path_factory.mktemp("policy")
    Training(
        TrainingPlan("camera-vgg-load:slots=40", "markov-a3c", None, SMALL, 12, round_episodes=12), made
    ).run()
    return made


@pytest.fixture(scope="module")
def instance():
    return mecopt.generate("camera-vgg-load:slots=40", seed=5)


def test_a_shipped_policy_is_found_and_named():
    instance = mecopt.generate("camera-alexnet:slots=100", seed=5)
    result = mecopt.solve(instance, "markov-a3c")
    assert result.options["policy"] == "shipped: camera-alexnet.markov-a3c"
    assert result.options["policy_trained_by"].startswith("mecopt train camera-alexnet --learner markov-a3c")
    assert result.gap < 0.002
    assert result.repairs == 0


def test_no_shipped_policy_fits():
    with pytest.raises(
        InputError, match=r"no policy of mtl-a3c that ships with mecopt fits instance .*--policy FILE"
    ):
        mecopt.solve(mecopt.generate("camera-alexnet:slots=10,servers=5"), "mtl-a3c")


def test_a_file_is_used_and_the_same_every_time(folder, instance):
    path = str(folder / POLICY)
    first, second = (mecopt.solve(instance, "markov-a3c", policy=path, seed=seed) for seed in (0, 1))
    assert (first.placement == second.placement).all()
    assert first.options["policy"] == path
    assert first.lower_bound is not None
    assert "policy_outside" not in first.options


def test_more_samples_are_never_worse(folder, instance):
    gaps = [
        mecopt.solve(instance, "markov-a3c", policy=str(folder / POLICY), samples=samples).gap
        for samples in (0, 1, 4, 16)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < gaps[0]


def test_samples_stop_with_the_time(folder, instance):
    result = mecopt.solve(
        instance, "markov-a3c", policy=str(folder / POLICY), samples=10_000, time_limit_s=0.2
    )
    assert result.stopped_by == "time"
    assert result.objective is not None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"samples": -1}, "samples: -1, expected a whole number from 0"),
        ({"samples": 1.5}, "samples: 1.5"),
        ({"policy": 7}, "policy: 7, expected the name of a file"),
        ({"policy": "no_such"}, "no_such: no such file"),
        ({"polic": "x"}, "did you mean 'policy'"),
    ],
)
def test_options_are_checked(instance, options, text):
    with pytest.raises(InputError) as caught:
        mecopt.solve(instance, "markov-a3c", **options)
    assert text in str(caught.value)


def test_another_shape_is_refused(folder):
    with pytest.raises(InputError, match=r"trained for 4 servers and 6 blocks, instance .* has 5 and 6"):
        mecopt.solve(
            mecopt.generate("camera-vgg:slots=5,servers=5"), "markov-a3c", policy=str(folder / POLICY)
        )


def test_another_learners_file_is_refused(folder, instance):
    with pytest.raises(InputError, match="a policy of markov-a3c, expected one of mtl-a3c"):
        mecopt.solve(instance, "mtl-a3c", policy=str(folder / POLICY))


def test_values_outside_of_its_ranges_are_warned_of_and_flagged(folder):
    other = mecopt.generate("camera-vgg-load:slots=5", seed=1)
    fast = other.replace(tasks=dataclasses.replace(other.tasks, rate_bps=other.tasks.rate_bps * 3.0))
    with pytest.warns(UserWarning, match="not trained on this instance's rate; its choices may be poor"):
        result = mecopt.solve(fast, "markov-a3c", policy=str(folder / POLICY))
    assert result.options["policy_outside"] == ["rate"]
    with pytest.warns(UserWarning, match="rules, models"):
        mecopt.solve(
            mecopt.generate("camera-alexnet:slots=5,deadline=none"), "markov-a3c", policy=str(folder / POLICY)
        )


def test_pins_and_bans_hold(folder, instance):
    path = str(folder / POLICY)
    result = mecopt.solve(instance, "markov-a3c", policy=path, pins=["0:2=0"], bans=["1:0=1", "1:0=2"])
    assert result.placement[0, 2] == 0
    assert result.placement[1, 0] not in (1, 2)


def test_missing_links_are_never_used(folder, instance):
    rates = instance.tasks.rate_bps.copy()
    rates[:, 3] = 0.0  # the best server of most tasks
    poor = instance.replace(tasks=dataclasses.replace(instance.tasks, rate_bps=rates))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a rate of 0 is outside of its ranges
        result = mecopt.solve(poor, "markov-a3c", policy=str(folder / POLICY))
    assert result.status == "feasible"
    assert (result.placement[:, 0] != 4).all()


def test_float16_decides_as_float32(folder, instance, tmp_path):
    stored = load_policy(folder / POLICY)
    card = {name: value for name, value in stored.card.items() if name != "format"}
    save_policy(tmp_path / "half.safetensors", stored.network, card, dtype="float16")
    half = find("markov-a3c", instance, str(tmp_path / "half.safetensors"))
    whole, halved = (mecopt.solve(instance, "markov-a3c", policy=p) for p in (stored.path, half.path))
    assert np.mean(whole.placement == halved.placement) > 0.99


@pytest.mark.parametrize(
    ("learner", "spec"),
    [
        ("mtl-a3c", "paper-deadline:slots=40"),
        ("markov-a3c", "camera-alexnet:slots=40"),
        ("markov-a3c", "crowd"),
        ("markov-a3c", "energy:slots=20"),
    ],
)
def test_shipped_policies_choose_the_same_without_torch(learner, spec):
    instance = mecopt.generate(spec, seed=3)
    plain, whole = (decide(find(learner, instance, sampling=s), instance).placement for s in (False, True))
    assert (plain == whole).all()


def test_any_size_chooses_the_same_without_torch():
    from mecopt_rl.deciding import any_size_policy as any_size

    for spec in ("paper:slots=20", "crowd:batch=20", "camera-alexnet-deadline:slots=20,servers=7"):
        instance = mecopt.generate(spec, seed=3)
        found = functools.partial(any_size.find, "any-size", instance)
        plain, whole = (any_size.decide(found(sampling=s), instance).placement for s in (False, True))
        assert (plain == whole).all()


def test_a_shipped_policy_needs_no_torch_to_decide():
    code = (
        "import sys, mecopt; r = mecopt.solve(mecopt.generate('paper:slots=20'), 'markov-a3c');"
        "assert r.status == 'feasible', r; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_deciding_stops_at_the_limit():
    found = mecopt.solve(mecopt.generate("energy:slots=600"), "markov-a3c", time_limit_s=0.0)
    assert (found.status, found.stopped_by) == ("unknown", "time")
    assert found.lower_bound > 0
