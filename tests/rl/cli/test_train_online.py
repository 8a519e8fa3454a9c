"""`mecopt train-online` as a user runs it: trained, used by simulate, taken up, and refused."""

import json

from click.testing import CliRunner

from mecopt.cli import cli
from mecopt.errors import InputError
from mecopt_rl.training import online_training
from mecopt_rl.training.evolution import EvolutionSettings

SPEC = "paper:tasks=individual,slots=1,release_rate=3,servers=2"


def run(*words):
    return CliRunner().invoke(cli, list(map(str, words)), standalone_mode=False)


def small(generations):
    return EvolutionSettings(generations=generations, pairs=2, width=2, tasks=1000)


def test_a_policy_is_trained_and_simulated(tmp_path, monkeypatch):
    monkeypatch.setattr("mecopt_rl.training.evolution.EvolutionSettings", small)
    out = str(tmp_path / "out")
    command = ["train-online", SPEC, "--out", out, "--start", "selfish", "--generations", 2, "--load", 0.8]
    done = run(*command, "--json")
    assert done.exception is None
    found = json.loads(done.stdout)
    assert list(found) == ["policy", "figure_s", "start_s", "rows"]
    assert found["figure_s"] <= found["start_s"]
    assert [row["generation"] for row in found["rows"]] == [0, 2]
    assert "mecopt: 2 of 2 generations: mean " in done.stderr
    again = run(*command)
    assert again.stdout.startswith("best policy: mean ")
    assert f"kept in {out}/policy.safetensors" in again.stderr
    other = run(*command[:-1], 0.7)
    assert isinstance(other.exception, InputError)
    assert "holds another training" in str(other.exception)
    played = run("simulate", SPEC, "--policy", found["policy"], "--tasks", 1000, "--json")
    assert json.loads(played.stdout)["policies"][0]["policy"] == found["policy"]


def test_an_interrupt_keeps_what_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr("mecopt_rl.training.evolution.EvolutionSettings", small)
    whole, after = online_training.next_generation, 0

    def interrupted(state, *given):
        nonlocal after
        after += 1
        if after == 2:
            raise KeyboardInterrupt
        return whole(state, *given)

    monkeypatch.setattr(online_training, "next_generation", interrupted)
    out = str(tmp_path / "out")
    command = ["train-online", SPEC, "--out", out, "--start", "selfish", "--generations", 3]
    stopped = CliRunner().invoke(cli, list(map(str, command)))
    assert stopped.exit_code == 130
    assert "interrupted; finished generations are kept" in stopped.stderr
    monkeypatch.setattr(online_training, "next_generation", whole)
    done = run(*command, "--json")
    assert [row["generation"] for row in json.loads(done.stdout)["rows"]] == [0, 3]
