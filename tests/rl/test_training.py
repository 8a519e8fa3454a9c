"""Training: the same bits again after a kill, the best policy kept, collapse, folders, lost workers."""

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from mecopt.errors import InputError, MecoptError
from rl import training as module
from rl.checkpoint import load_policy, read
from rl.learner import Rollout
from rl.rounds import Tally
from rl.training import LAST, LOCK, POLICY, Plan, Training
from rl.workers import Processes

SPEC = "camera-vgg:slots=30"
SMALL = {"width": 8, "layers": 1, "branch_width": 8, "environments": 12}


def plan(**changes):
    options = {"episodes": 12, "round_episodes": 4, "validation_episodes": 4, "changes": SMALL}
    return Plan(**{"spec": SPEC, "learner": "markov-a3c", **options, **changes})


def tensors(folder):
    return read(folder / LAST, module.TRAINING_FORMAT)[0]


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("learner", ["mtl-a3c", "markov-a3c"])
@pytest.mark.parametrize("recipe", ["best", "paper"])
def test_a_training_that_was_ended_goes_on_with_the_same_bits(tmp_path, learner, recipe):
    changes = {**SMALL, "environments": 2} if recipe == "paper" else SMALL
    chosen = plan(learner=learner, recipe=recipe, changes=changes)
    Training(chosen, tmp_path / "whole").run()

    def stop(row):
        if row["round"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(chosen, tmp_path / "parts", report=stop).run()
    again = Training(chosen, tmp_path / "parts", resume=True)
    assert len(again.rows) == 2
    again.run()
    assert same(tensors(tmp_path / "whole"), tensors(tmp_path / "parts"))
    for name in ("whole", "parts"):
        rows = list(csv.DictReader((tmp_path / name / "log.csv").read_text().splitlines()))
        assert [row["episodes"] for row in rows] == ["4", "8", "12"]
    whole, parts = (load_policy(tmp_path / name / POLICY) for name in ("whole", "parts"))
    assert same(whole.network.state_dict(), parts.network.state_dict())
    assert not (tmp_path / "parts" / LOCK).exists()


def test_another_seed_gives_other_bits(tmp_path):
    for seed in (0, 1):
        Training(plan(seed=seed, episodes=4), tmp_path / str(seed)).run()
    assert not same(tensors(tmp_path / "0"), tensors(tmp_path / "1"))


def test_the_best_policy_is_kept_with_its_card(tmp_path, monkeypatch):
    gaps = iter([0.3, 0.1, 0.2])
    judge = module.Validation.judge
    monkeypatch.setattr(
        module.Validation,
        "judge",
        lambda self, policy: module.Judgement(**{**vars(judge(self, policy)), "gap": next(gaps)}),
    )
    done = Training(plan(), tmp_path)
    done.run()
    stored = load_policy(tmp_path / POLICY)
    assert done.best == 0.1
    assert stored.card["training"]["validation_gap"] == 0.1
    assert stored.card["training"]["episodes"] == 8
    assert stored.card["training"]["command"].startswith(
        "mecopt train camera-vgg:slots=30 --learner markov-a3c"
    )
    assert stored.card["fingerprint"]["servers"] == 4
    assert json.loads((tmp_path / "policy.json").read_text()) == stored.card
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_collapsed_policy_is_reported_and_not_kept(tmp_path):
    seen = []
    done = Training(plan(changes={**SMALL, "learning_rate": 0.0}), tmp_path, report=seen.append)
    with torch.no_grad():
        done.learner.network.score_bias[..., 0] = 50.0
    done.run()
    for row in seen:
        assert row["collapsed"]
        assert row["entropy"] < 0.05
        assert row["gap"] > 0.01
        assert row["top_placement_share"] == 1.0
    assert done.best is None
    assert not (tmp_path / POLICY).exists()


def test_weights_that_are_no_numbers_end_it_and_the_checkpoint_stays(tmp_path):
    running = Training(plan(), tmp_path)
    update, calls = running.learner.update, []

    def broken(part, progress):
        calls.append(1)
        if len(calls) > 12:
            part = Rollout(**{**vars(part), "rewards": np.full_like(part.rewards, np.nan)})
        return update(part, progress)

    running.learner.update = broken
    with pytest.raises(MecoptError, match="a weight is no longer a finite number; the best policy"):
        running.run()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors(tmp_path).values())
    load_policy(tmp_path / POLICY)


def test_folders(tmp_path):
    Training(plan(episodes=4), tmp_path / "used").run()
    with pytest.raises(InputError, match="holds a training already; --resume goes on with it"):
        Training(plan(episodes=4), tmp_path / "used")
    with pytest.raises(InputError, match="seed 0 \\(here 3\\); expected the same"):
        Training(plan(episodes=4, seed=3), tmp_path / "used", resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be a folder"):
        Training(plan(), tmp_path / "file")
    damaged = tmp_path / "used" / LAST
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        Training(plan(episodes=4), tmp_path / "used", resume=True)


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    first, second = (Training(plan(episodes=4), tmp_path) for _ in range(2))

    def other(row):
        with pytest.raises(InputError, match="another process is training here"):
            second.run()

    first.report = other
    first.run()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"spec": "nowhere"}, "no setting 'nowhere'"),
        ({"learner": "a4c"}, "no learner 'a4c'"),
        ({"recipe": "worst"}, "no such recipe"),
        ({"episodes": 0}, "episodes: 0, expected at least 1"),
        ({"spec": "no_such.json"}, "no such file"),
    ],
)
def test_plans_are_checked(tmp_path, changes, text):
    with pytest.raises(InputError, match=text):
        Training(plan(**changes), tmp_path / "new")


def test_workers_share_what_they_learn_and_one_that_is_killed_is_noticed(tmp_path):
    chosen = plan(workers=2, episodes=8)
    running = Training(chosen, tmp_path)
    before = {name: tensor.clone() for name, tensor in running.learner.state().items()}
    run, pids = Processes.run, []

    def kill(self, number, *rest):
        if number == 1:
            pids.extend(worker.pid for worker in self.workers)
            os.kill(self.workers[1].pid, signal.SIGKILL)
        return run(self, number, *rest)

    Processes.run = kill
    try:
        with pytest.raises(MecoptError, match="worker 1 was ended by signal 9; the last checkpoint is kept"):
            running.run()
    finally:
        Processes.run = run
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    after = tensors(tmp_path)
    assert all(not torch.equal(before[name], after[name]) for name in after if name.endswith("exp_avg"))
    assert after["cost"][1].item() == 4 * 30  # decisions of both workers
    assert len(Training(chosen, tmp_path, resume=True).rows) == 1


def test_tallies_add_up():
    one, two = Tally(10, 1, 4.0, 2.0, 0, {"a": 1.0}), Tally(30, 3, 6.0, 5.0, 1, {"a": 2.0})
    one.add(two)
    assert one == Tally(40, 4, 10.0, 7.0, 1, {"a": 1.75})


def test_a_reward_that_is_no_number_is_refused(tmp_path, monkeypatch):
    from rl.fleet import Fleet

    decide = Fleet.decide

    def broken(self, actions):
        outcome = decide(self, actions)
        outcome.reward[:] = np.nan
        return outcome

    running = Training(plan(), tmp_path)
    monkeypatch.setattr(Fleet, "decide", broken)
    with pytest.raises(MecoptError, match="a reward is not a finite number"):
        running.run()
