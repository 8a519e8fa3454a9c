"""Training for tasks that arrive: the strategy finds an optimum, goes on, and never keeps worse."""

import numpy as np
import pytest

import mecopt
from mecopt_rl.learners.online_policy import load_online_policy
from mecopt_rl.training import online_training
from mecopt_rl.training.evolution import EvolutionSettings, EvolutionState, next_generation
from mecopt_rl.training.online_training import train_online

SPEC = "paper:tasks=individual,slots=1,release_rate=3,servers=2"
GIVEN = {"load": 0.9, "arrivals": "both", "staleness": 5, "start": "selfish"}
SMALL = EvolutionSettings(generations=3, pairs=2, width=2, tasks=500)


def test_the_strategy_finds_the_bottom_of_a_bowl():
    target = np.array([1.0, -0.5, 0.3])
    settings = EvolutionSettings(generations=120, pairs=6)
    state = EvolutionState.begin(np.zeros(3))
    for _ in range(settings.generations):
        state = next_generation(state, settings, 3, lambda x: float(((x - target) ** 2).sum()))
    assert state.weights == pytest.approx(target, abs=0.05)


def test_a_training_that_was_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(online_training, "EVERY", 1)
    whole = train_online(SPEC, settings=SMALL, **GIVEN)
    out = tmp_path / "out"
    count = 0

    def stop(row):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_online(SPEC, out, settings=SMALL, report=stop, **GIVEN)
    resumed = train_online(SPEC, out, settings=SMALL, **GIVEN)
    assert np.array_equal(resumed.policy.weights, whole.policy.weights)
    assert resumed.rows == whole.rows
    stored = load_online_policy(out / "policy.safetensors")
    assert np.array_equal(stored.weights, whole.policy.weights)
    assert stored.card["training"]["aim"] == "mean"
    monkeypatch.setattr(online_training, "next_generation", None)
    assert train_online(SPEC, out, settings=SMALL, **GIVEN).rows == whole.rows


def test_what_is_kept_is_never_worse_than_the_start(monkeypatch):
    monkeypatch.setattr(online_training, "EVERY", 1)
    wild = EvolutionSettings(generations=2, pairs=1, width=2, tasks=500, step=30.0)
    done = train_online(SPEC, settings=wild, **GIVEN)
    assert (
        min(row["figure_s"] for row in done.rows) == [row for row in done.rows if row["best"]][-1]["figure_s"]
    )
    assert done.rows[0]["best"]


def test_it_learns_what_a_selfish_rule_does_not_do():
    """Slow servers and heavy sizes: a policy that thinks of those behind it is far ahead."""
    spec = "camera-vgg:tasks=individual,slots=1,release_rate=20,servers=3"
    some = EvolutionSettings(generations=10, pairs=4, width=3, tasks=3000, step=0.1, spread=0.2)
    done = train_online(spec, settings=some, load=0.9, arrivals="bursty", start="selfish")
    assert done.rows[-1]["figure_s"] < 0.97 * done.rows[0]["figure_s"]


def test_other_settings_and_strange_folders_are_refused(tmp_path):
    out = tmp_path / "out"
    few = EvolutionSettings(generations=1, pairs=1, width=2, tasks=300)
    train_online(SPEC, out, settings=few, **GIVEN)
    with pytest.raises(mecopt.InputError, match=r"holds another training: .*load"):
        train_online(SPEC, out, settings=few, **(GIVEN | {"load": 0.5}))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(mecopt.InputError, match=r"holds letter.txt but no training"):
        train_online(SPEC, tmp_path / "full", settings=few, **GIVEN)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"start": "best"}, "start: 'best', expected tuned or selfish"),
        ({"aim": "p50"}, "aim: 'p50', expected mean or p99"),
        ({"seed": -1}, "seed: -1, expected a whole number"),
        ({"load": 0.0}, "load: 0, expected a finite number > 0"),
        ({"arrivals": "rain"}, "arrivals: 'rain'"),
    ],
)
def test_bad_arguments_are_refused(given, text):
    with pytest.raises(mecopt.InputError, match=text):
        train_online(SPEC, settings=SMALL, **given)
    with pytest.raises(mecopt.InputError, match="pairs: 0, expected at least 1"):
        EvolutionSettings(pairs=0)
