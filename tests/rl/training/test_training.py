"""Training: the same bits again after a kill, the best policy kept, collapse, folders, lost workers."""

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

import mecopt
from mecopt.errors import InputError, MecoptError
from mecopt_rl.learners.learner import Rollout
from mecopt_rl.training import loop as module
from mecopt_rl.training.checkpoint import load_policy, read, write
from mecopt_rl.training.curriculum import Judgement, Tally
from mecopt_rl.training.lock import LOCK
from mecopt_rl.training.loop import LAST, POLICY, Training, TrainingPlan
from mecopt_rl.training.validation import Validation
from mecopt_rl.training.workers import Processes

SPEC = "camera-vgg:slots=30"
SMALL = {"width": 8, "layers": 1, "branch_width": 8, "environments": 12}


def plan(**changes):
    options = {"episodes": 12, "round_episodes": 4, "validation_episodes": 4, "changes": SMALL}
    return TrainingPlan(**{"spec": SPEC, "learner": "markov-a3c", **options, **changes})


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
    again = Training(chosen, tmp_path / "parts")
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
    judge = Validation.judge
    monkeypatch.setattr(
        Validation,
        "judge",
        lambda self, policy: Judgement(**{**vars(judge(self, policy)), "gap": next(gaps)}),
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


def test_a_complete_training_is_not_repeated(tmp_path):
    Training(plan(episodes=4), tmp_path).run()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = Training(plan(episodes=4), tmp_path)
    assert again.complete
    assert again.run()["episodes"] == 4
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """Return a folder that holds a training on an instance's file, and the file."""
    folder = tmp_path_factory.mktemp("used")
    file = folder / "some.json"
    mecopt.save(mecopt.generate(SPEC, seed=1), file)
    Training(plan(spec=str(file), episodes=4), folder / "run").run()
    return folder / "run", file


def test_another_training_in_the_folder_is_named(used):
    folder, file = used
    mine = {"spec": str(file), "episodes": 4}
    for changes, text in (
        ({"seed": 3}, "holds a training with seed 0 (here 3); expected the same, or another folder"),
        ({"episodes": 8}, "episodes 4 (here 8): temperature and learning rate fall over all of them"),
        ({"workers": 2}, "workers 1 (here 2)"),
        ({"engine": "ray"}, "engine 'local' (here 'ray')"),
        ({"spec": SPEC}, f"(here '{SPEC}')"),
        ({"learner": "mtl-a3c"}, "holds a training with learner 'markov-a3c' (here 'mtl-a3c'); expected"),
        ({"changes": {**SMALL, "width": 9}}, "width 8 (here 9)"),
    ):
        with pytest.raises(InputError) as caught:
            Training(plan(**{**mine, **changes}), folder)
        assert text in str(caught.value)
        assert str(caught.value).startswith(f"{folder}: ")
    same = {
        **{name: str(value) for name, value in SMALL.items()},
        "gamma": 0,
    }  # as texts, one that changes none
    assert Training(plan(**mine, recipe="best", changes=same), folder).complete


def test_an_instance_that_has_changed_since_is_noticed(used):
    folder, file = used
    text = file.read_text()
    mecopt.save(mecopt.generate(SPEC, seed=2), file)
    try:
        with pytest.raises(InputError, match=r"other instances of .*some.json, which has changed since"):
            Training(plan(spec=str(file), episodes=4), folder)
    finally:
        file.write_text(text)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda path, tensors, header: path.write_bytes(path.read_bytes()[:-20]), "not a whole safetensors"),
        (lambda path, tensors, header: path.write_bytes(b"x" * 300), "not a whole safetensors"),
        (
            lambda path, tensors, header: write(path, tensors, {**header, "format": "mecopt-training/9"}),
            "9', exp",
        ),
        (lambda path, tensors, header: write(path, {}, header), "does not hold this learner's state"),
        (
            lambda path, tensors, header: write(path, {**tensors, "network.score": torch.zeros(3)}, header),
            "does not hold this learner's state",
        ),
        (
            lambda path, tensors, header: write(
                path, {**tensors, "optimiser.0.exp_avg": torch.zeros(1)}, header
            ),
            "(optimiser.0.exp_avg: shape (1,), expected",  # a copy would stretch it
        ),
        (
            lambda path, tensors, header: write(path, {**tensors, "best.score": torch.zeros(8, 5)}, header),
            "(best.score: shape (8, 5), expected (6, 8, 5)",
        ),
        (
            lambda path, tensors, header: write(path, tensors, {"format": header["format"]}),
            "state ('said')",
        ),
    ],
    ids=["short", "other", "version", "empty", "shape", "optimiser", "best", "header"],
)
def test_checkpoints_that_are_damaged(used, change, text):
    folder, file = used
    last = folder / LAST
    whole = last.read_bytes()
    try:
        change(last, *read(last, module.TRAINING_FORMAT))
        with pytest.raises(InputError) as caught:
            Training(plan(spec=str(file), episodes=4), folder)
    finally:
        last.write_bytes(whole)
    assert text in str(caught.value)
    assert str(caught.value).startswith(f"{last}: ")
    assert "\n" not in str(caught.value)


def test_logs_that_cannot_be_written_end_it_and_the_checkpoint_stays(tmp_path, monkeypatch):
    from torch.utils.tensorboard import SummaryWriter

    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SummaryWriter, "flush", full)
    with pytest.raises(MecoptError, match="tensorboard: could not be written: No space left on device"):
        Training(plan(), tmp_path).run()
    monkeypatch.undo()
    again = Training(plan(), tmp_path)
    assert [row["episodes"] for row in again.rows] == [4]
    assert again.run()["episodes"] == 12


def test_places_that_are_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be a folder"):
        Training(plan(), tmp_path / "file")


def test_a_lost_policy_is_written_again(tmp_path):
    Training(plan(), tmp_path).run()
    kept = (tmp_path / POLICY).read_bytes()
    (tmp_path / POLICY).unlink()
    Training(plan(), tmp_path).run()
    assert (tmp_path / POLICY).read_bytes() == kept


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
        ({"spec": "nowhere"}, "nowhere: no file, setting"),
        ({"learner": "a4c"}, "no learner 'a4c'"),
        ({"recipe": "worst"}, "no such recipe"),
        ({"episodes": 0}, "episodes: 0, expected at least 1"),
        ({"spec": "no_such.json"}, "no such file"),
    ],
)
def test_plans_are_checked(tmp_path, changes, text):
    with pytest.raises(InputError, match=text):
        Training(plan(**changes), tmp_path / "new")


@pytest.mark.filterwarnings("error")
def test_workers_share_what_they_learn_and_one_that_is_killed_is_replaced(tmp_path, monkeypatch):
    """Worker 1 is killed once in round 1, and each time in round 2."""
    give, pids, notes = Processes._give, set(), []

    def kill(self, i, task):
        pids.update(worker.pid for worker in self.workers)
        number = task.seed[2]
        if i == 1 and (number == 2 or (number == 1 and not notes)):
            os.kill(self.workers[1].pid, signal.SIGSTOP)  # or its share might be done before it is killed
            where = give(self, i, task)
            os.kill(self.workers[1].pid, signal.SIGKILL)
            return where
        return give(self, i, task)

    monkeypatch.setattr(Processes, "_give", kill)
    chosen = plan(workers=2)
    running = Training(chosen, tmp_path, note=notes.append)
    before = {name: tensor.clone() for name, tensor in running.learner.state().items()}
    with pytest.raises(MecoptError) as caught:
        running.run()
    lost = "worker 1 was ended by SIGKILL"
    assert str(caught.value) == (
        f"{lost}, the 4th loss in round 2; the last checkpoint is kept, and the same command goes on from it"
    )
    again = [f"{lost}; another one runs its share of round {number} again" for number in (1, 2, 2, 2)]
    assert notes == again
    assert len(pids) == 2 + len(notes)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    after = tensors(tmp_path)
    assert all(not torch.equal(before[name], after[name]) for name in after if name.endswith("exp_avg"))
    assert [row["decisions"] for row in Training(chosen, tmp_path).rows] == [4 * 30, 8 * 30]
    # Both workers counted costs, the one that was killed perhaps some of its share.
    assert after["cost"][1].item() >= 8 * 30


@pytest.mark.filterwarnings("error")
def test_a_worker_that_fails_ends_the_training(tmp_path, monkeypatch):
    give = Processes._give
    monkeypatch.setattr(Processes, "_give", lambda self, i, task: give(self, i, "no round"))
    with pytest.raises(
        MecoptError, match=r"worker [01] failed: AttributeError: 'str' object has no attribute"
    ):
        Training(plan(workers=2), tmp_path).run()


def test_tallies_add_up():
    one, two = Tally(10, 1, 4.0, 2.0, 0, {"a": 1.0}), Tally(30, 3, 6.0, 5.0, 1, {"a": 2.0})
    one.add(two)
    assert one == Tally(40, 4, 10.0, 7.0, 1, {"a": 1.75})


def test_a_reward_that_is_no_number_is_refused(tmp_path, monkeypatch):
    from mecopt_rl.world.fleet import Fleet

    decide = Fleet.decide

    def broken(self, actions):
        outcome = decide(self, actions)
        outcome.reward[:] = np.nan
        return outcome

    running = Training(plan(), tmp_path)
    monkeypatch.setattr(Fleet, "decide", broken)
    with pytest.raises(MecoptError, match="a reward is not a finite number"):
        running.run()
