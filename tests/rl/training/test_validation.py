"""What validation measures: violations before the gap, gaps to the coupled optimum, and what is refused."""

import csv
import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from places import DATA

import mecopt
from mecopt.cli import cli
from mecopt.entities import Coupling
from mecopt.errors import DisagreementError, InputError
from mecopt_rl.learners.learner import kind
from mecopt_rl.training import validation_bounds as bounds_module
from mecopt_rl.training.any_size_curriculum import SizesValidation
from mecopt_rl.training.checkpoint import load_policy, read, write
from mecopt_rl.training.curriculum import Judgement, Tally
from mecopt_rl.training.loop import LAST, POLICY, TRAINING_FORMAT, Training, TrainingPlan
from mecopt_rl.training.validation import Validation, collapsed, rank, worth
from mecopt_rl.training.validation_bounds import Bounds, bounds_of
from mecopt_rl.world import masks
from mecopt_rl.world.episodes import Episodes

DEADLINE = str(DATA / "train_hard_deadline.json")
SMALL = {"width": 8, "layers": 1}
LEARNERS = ("mtl-a3c", "markov-a3c", "a3c", "dqn")
CROWD = "crowd:release_rate=6,servers=2"
MEMORY = "paper:slots=2,servers=2,blocks=3,couplings=memory,server_memory_bytes=2e7"


def run(*words):
    return CliRunner().invoke(cli, ["train", *map(str, words)], catch_exceptions=True, standalone_mode=False)


class Fixed:
    """A policy that places every task alike."""

    def __init__(self, *nodes):
        self.nodes = np.array(nodes)

    def decide(self, observations, masks, noise):
        return np.tile(self.nodes, (len(observations), 1)), None


def judged(source, *nodes, count=4):
    episodes = Episodes(source)
    return Validation(episodes, episodes.encoder(), count).judge(Fixed(*nodes))


def test_a_policy_that_breaks_a_deadline_has_violations_and_no_gap():
    worse, best = judged(DEADLINE, 1, 1), judged(DEADLINE, 0, 0)
    assert -worse.reward < -best.reward  # penalty included, it costs less
    assert (worse.gap, worse.violations, worse.violating_tasks, worse.tasks) == (None, 4, 4, 4)
    assert (best.gap, best.violations) == (0.0, 0)
    assert rank(best) < rank(worse)
    assert worth(vars(worse)) == "violates 4 of 4 tasks"
    assert worth(vars(best)) == "gap 0.000%"


@pytest.mark.parametrize("spec", ["camera-alexnet:slots=20,deadline=hard,max_delay_s=0.3", MEMORY, CROWD])
@pytest.mark.parametrize("node", [0, 1])
def test_violations_and_gap_are_those_of_the_judge(spec, node):
    episodes = Episodes(spec)
    validation = Validation(episodes, episodes.encoder(), 2)
    found = validation.judge(Fixed(*[node] * episodes.blocks))

    def choose(fleet):
        return np.full((fleet.episodes, episodes.blocks), node)

    counts, cost = [], 0.0
    for e in validation.bounds.possible:
        instance = validation.batch.instance(e)
        decided = masks.decide(instance, validation.encoder, choose)
        whole = mecopt.evaluate(instance, decided.placement)
        counts.append(len(whole.violations))
        cost += float(whole.task_objective_s.sum())
    assert found.violations == sum(counts)
    if found.violations:
        assert found.gap is None
    else:
        assert found.gap == pytest.approx(cost / validation.bounds.sum() - 1.0, rel=1e-9)


def test_the_rank_is_violations_first_then_the_gap_and_then_the_reward():
    rows = [Judgement(gap, reward, 0, 0.0, violations) for gap, reward, violations in (
        (0.0, -5.0, 0), (0.1, -5.5, 0), (None, -2.0, 1), (None, -3.0, 1), (None, -1.0, 2),
    )]  # fmt: skip
    assert sorted([*rows[2:], *rows[:2]], key=rank) == rows


def test_a_bound_above_the_cost_is_an_error():
    episodes = Episodes(DEADLINE)
    validation = Validation(episodes, episodes.encoder(), 1, bounds=Bounds((2.0,), 1))
    with pytest.raises(DisagreementError, match="lies above the objective"):
        validation.judge(Fixed(0, 0))


def test_bounds_of_other_episodes_are_refused():
    """So they would be in a checkpoint that was damaged."""
    kept = Bounds((2.0, None), 2).to_json()
    assert Bounds.from_json(kept, 2) == Bounds((2.0, None), 2)
    with pytest.raises(ValueError, match="bounds of 2 episodes, expected 3"):
        Bounds.from_json(kept, 3)


def test_gaps_of_decisions_made_while_learning():
    assert Tally(cost_s=3.0, optimum_s=2.0).gap == 0.5
    assert Tally(cost_s=1.0, optimum_s=2.0, violations=1).gap is None
    assert Tally(cost_s=1.0).gap is None  # couplings, or nothing that cost


@pytest.mark.parametrize(
    ("gap", "share", "different", "entropy", "expected"),
    [
        (0.5, 0.0, 1000, 0.01, True),
        (0.5, 1.0, 1000, 0.5, False),
        (0.001, 1.0, 1000, 0.01, False),
        (None, 0.0, 1000, 0.01, True),
        (0.5, 1.0, 1000, None, True),
        (0.5, 1.0, 20, None, False),  # all of so few tasks say nothing
    ],
)
def test_a_collapse(gap, share, different, entropy, expected):
    assert collapsed(Judgement(gap, 0.0, 0, share, 0, 0, 0, different), entropy) == expected


@pytest.mark.parametrize("learner", LEARNERS)
def test_no_learner_keeps_a_violating_policy_before_one_that_keeps_the_limits(learner, tmp_path):
    done = Training(TrainingPlan(DEADLINE, learner, None, SMALL, episodes=24, round_episodes=4), tmp_path)
    done.run()
    kept = min(done.rows, key=rank)
    assert rank(done.kept) == rank(kept)
    training = load_policy(tmp_path / POLICY).card["training"]
    assert training["validation_violations"] == kept["violations"]
    assert training["validation_gap"] == kept["gap"]
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    for row, line in zip(done.rows, rows, strict=True):
        assert row["gap"] is None or row["gap"] >= 0.0
        assert row["training_gap"] is None or row["training_gap"] >= 0.0
        assert (row["gap"] is None) == (row["violations"] > 0)
        assert line["violations"] == str(row["violations"])
        assert line["gap"] == ("" if row["gap"] is None else str(row["gap"]))


def test_the_optimum_under_a_hard_deadline_stays_the_best(tmp_path):
    """Penalty included, the placement that breaks the deadline costs less, and is learnt in the end."""
    words = (DEADLINE, "--learner", "markov-a3c", "--episodes", "400", "--out", tmp_path)
    done = run(*words)
    assert done.exception is None
    assert done.stdout == "best policy: gap 0.000% on validation episodes, after 20 episodes\n"
    assert "%, best -" not in done.stderr
    assert "gap -" not in done.stderr
    assert "400 of 400 episodes: reward -0.725, violates 20 of 20 tasks, best 0.000%" in done.stderr
    document = json.loads(run(*words, "--json").stdout)
    assert (document["best"]["violations"], document["best"]["gap"]) == (0, pytest.approx(0.0))
    assert (document["rows"][-1]["violations"], document["rows"][-1]["gap"]) == (20, None)
    result = mecopt.solve(mecopt.load(DEADLINE), "markov-a3c", policy=str(tmp_path / POLICY))
    assert result.status == "optimal"


def test_a_best_policy_that_violates_is_called_that(tmp_path):
    done = run(DEADLINE, "--learner", "mtl-a3c", "--episodes", "40", "--out", tmp_path)
    assert done.stdout.startswith("best policy: violates 20 of 20 tasks on validation episodes, after")
    card = load_policy(tmp_path / POLICY).card["training"]
    assert card["validation_gap"] is None
    assert card["validation_violations"] == card["validation_violating_tasks"] == 20


def test_an_optimal_policy_under_memory_has_no_gap(tmp_path):
    """Without the coupling the servers would do it in half the time; none has room."""
    full = str(DATA / "train_full_servers.json")
    relaxed = mecopt.solve(mecopt.load(full), "trellis", relax=True).lower_bound
    assert judged(full, 0, 0).gap == pytest.approx(0.0, abs=1e-9)
    assert -judged(full, 0, 0).reward > 1.5 * relaxed
    Training(TrainingPlan(full, "markov-a3c", None, SMALL, episodes=20), tmp_path).run()
    assert load_policy(tmp_path / POLICY).card["training"]["validation_gap"] == pytest.approx(0.0, abs=1e-9)


def test_any_size_counts_violations_too(tmp_path):
    """Deadlines that tasks miss on a server that is far, and meet on the device."""
    spec = "paper-near:slots=8,servers=2|3,blocks=2|3,deadline=hard,max_delay_s=20"
    changes = {"width": 8, "environments": 4, "batch": 32}
    done = Training(TrainingPlan(spec, "any-size", None, changes, 12, validation_episodes=1), tmp_path)
    done.run()
    validation = SizesValidation(done.curriculum.families, 4)

    def ones(*shape):
        return np.ones(shape, dtype=np.int64)

    class First:
        def decide(self, steps, masks, noise):
            return ones(*steps.shape[:2]), None

    counts = [
        len(mecopt.evaluate(one.batch.instance(0), ones(8, one.steps.shape[1])).violations)
        for one in validation.drawn
    ]
    found = validation.judge(First())
    assert found.violations == sum(counts) > 0
    assert found.gap is None
    assert found.tasks == 8 * len(counts)
    for row in done.rows:
        assert row["training_gap"] is None  # nothing is decided while learning
        assert (row["gap"] is None) == (row["violations"] > 0)


def test_bounds_are_worked_out_once_in_a_training(tmp_path, monkeypatch):
    calls = []
    solve = mecopt.solve
    monkeypatch.setattr(bounds_module.mecopt, "solve", lambda *a, **k: calls.append(1) or solve(*a, **k))
    plan = TrainingPlan(MEMORY, "dqn", None, SMALL, 12, round_episodes=4, validation_episodes=3)

    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(plan, tmp_path, report=stop).run()
    assert len(calls) == 3
    again = Training(plan, tmp_path)
    again.run()
    assert len(calls) == 3
    assert len(again.bounds.lower) == again.bounds.proved == 3
    assert [row["gap"] is not None for row in again.rows] == [row["violations"] == 0 for row in again.rows]


def test_a_fixed_instance_is_bounded_once_though_it_is_every_episode():
    episodes = Episodes(str(DATA / "train_full_servers.json"))
    batch = episodes.draw(5, np.random.default_rng(0), episodes.encoder())
    found = bounds_of(batch)
    assert found.proved == len(set(found.lower)) + 4 == 5


def test_without_time_the_bound_is_that_without_couplings():
    episodes = Episodes(MEMORY)
    batch = episodes.draw(2, np.random.default_rng(0), episodes.encoder())
    none, enough = bounds_of(batch, limit_s=0.0), bounds_of(batch)
    assert none.proved == 0
    assert none.lower == pytest.approx(bounds_module.optima(batch))
    assert all(low <= high + 1e-9 for low, high in zip(none.lower, enough.lower, strict=True))
    assert Bounds.from_json(json.loads(json.dumps(enough.to_json())), len(enough.lower)) == enough


def test_what_takes_long_is_said():
    episodes, lines = Episodes(MEMORY), []
    batch = episodes.draw(2, np.random.default_rng(0), episodes.encoder())
    bounds_of(batch, lines.append)
    assert lines == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds_module, "PATIENCE_S", 0.0)
        patch.setattr(bounds_module, "_solved", lambda *_: time.sleep(0.1))
        bounds_of(batch, lines.append, 5.0)
    assert lines[0] == "bounding 2 validation episodes under memory, at most 5 s"
    assert lines[1].endswith("0 of 2 within 0.01% of the optimum")


def test_an_interrupt_while_bounds_are_worked_out_is_one(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        return type("R", (), {"stopped_by": bounds_module.StopReason.INTERRUPT})

    monkeypatch.setattr(bounds_module.mecopt, "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Training(TrainingPlan(MEMORY, "dqn", None, SMALL), tmp_path / "new").run()
    assert not (tmp_path / "new").exists()


def test_episodes_without_a_feasible_placement_are_left_out(tmp_path):
    good, notes = mecopt.load(DEADLINE), []
    never = dataclasses.replace(good.tasks, max_delay_s=np.full((1, 2), 0.01))
    training = Training(TrainingPlan(DEADLINE, "dqn", None, SMALL, 4), tmp_path, note=notes.append)
    training.curriculum.episodes = Episodes([good, good.replace(name="never", tasks=never)])
    row = training.run()
    left = 20 - len(training.bounds.possible)
    assert 0 < left < 20
    assert row["tasks"] == 20 - left
    assert notes[0].startswith(
        f"{left} of 20 validation episodes have no feasible placement and are left out"
    )
    assert "task 0, block 0 (block_0): the smallest delay it can have" in notes[0] or "its tau is" in notes[0]


@pytest.mark.parametrize(
    ("case", "learner", "text"),
    [
        ("train_zero_cost", "markov-a3c", "the least cost that is proved is 0 s, expected more than 1e-12 s"),
        ("train_zero_cost", "dqn", "a gap to it means nothing"),
        ("train_no_memory", "markov-a3c", "no placement is feasible: task 0: every placement"),
        ("train_no_memory", "a3c", "no placement is feasible: task 0: every placement"),
        (
            "train_no_energy",
            "markov-a3c",
            "cannot be trained under these couplings: energy; learners",
        ),
        ("train_no_energy", "dqn", "mecopt_rl.training.priced_training trains policies"),
        (
            "train_no_memory",
            "any-size",
            "an instance; any-size takes specs of settings, instances: a3c",
        ),
    ],
)
def test_instances_that_no_training_can_take(case, learner, text, tmp_path):
    file, out = DATA / f"{case}.json", tmp_path / "new"
    done = run(file, "--learner", learner, "--out", out)
    assert isinstance(done.exception, InputError)
    assert str(done.exception).startswith(f"{file}: ")
    assert text in str(done.exception)
    assert "\n" not in str(done.exception)
    assert done.stderr == done.stdout == ""
    assert not out.exists()


@pytest.mark.parametrize(
    ("factor", "text"),
    [(1e-30, "expected more than 1e-12 s: a gap"), (1e60, "expected less than 1e+30 s: learners cannot")],
)
def test_costs_beyond_what_can_be_counted(factor, text, tmp_path):
    given = json.loads(Path(DEADLINE).read_text())
    del given["tasks"][0]["max_delay_s"]
    for block in given["models"][0]["blocks"]:
        block["cycles"], block["input_bits"] = 2e8 * factor, 1e6 * factor
    file = tmp_path / "given.json"
    file.write_text(json.dumps(given))
    done = run(file, "--learner", "dqn", "--episodes", "20", "--out", tmp_path / "new")
    assert isinstance(done.exception, InputError)
    assert text in str(done.exception)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("spec", "learner", "text"),
    [
        ("camera-vgg:slots=3,deadline=hard,max_delay_s=0.01", "dqn", "validation episode 0: task 0, block 0"),
        ("camera-vgg:slots=3,deadline=hard,max_delay_s=0.01", "any-size", "task 0, block 0"),
        ("energy", "mtl-a3c", "couplings: energy; learners that can: "),
        ("crowd", "any-size", "couplings: capacity; learners that can: a3c, dqn, markov-a3c, mtl-a3c"),
        ("paper:slots=3,servers=2|3", "dqn", "one number of servers; learners that take several: any-size"),
    ],
)
def test_settings_that_no_training_can_take(spec, learner, text, tmp_path):
    done = run(spec, "--learner", learner, "--out", tmp_path / "new")
    assert isinstance(done.exception, InputError)
    assert text in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "new").exists()


def test_every_learner_says_what_it_takes():
    for name in LEARNERS:
        assert kind(name).couplings == {Coupling.CAPACITY, Coupling.MEMORY}
    assert kind("any-size").couplings == frozenset()


def test_workers_that_would_have_nothing_to_do(tmp_path):
    done = run("paper:slots=3", "--learner", "dqn", "--workers", "21", "--out", tmp_path / "new")
    assert str(done.exception).startswith("workers: 21, expected at most 20: ")
    done = run(
        "paper:slots=3", "--learner", "dqn", "--workers", "3", "--episodes", "2", "--out", tmp_path / "n"
    )
    assert str(done.exception).startswith("workers: 3, expected at most 2: ")


def test_a_folder_that_holds_something_else(tmp_path):
    for name in ("thesis.tex", "a", "b", "c"):
        (tmp_path / name).write_text("mine")
    done = run("paper:slots=3", "--learner", "dqn", "--out", tmp_path)
    assert isinstance(done.exception, InputError)
    expected = "holds a, b, c and 1 more but no training; expected an empty or new folder"
    assert str(done.exception) == f"{tmp_path}: {expected}"
    assert len(list(tmp_path.iterdir())) == 4


def test_a_policy_without_its_checkpoint_is_not_overwritten(tmp_path):
    plan = TrainingPlan("paper:slots=3", "dqn", None, SMALL, 4, round_episodes=4)
    Training(plan, tmp_path).run()
    (tmp_path / LAST).unlink()
    with pytest.raises(
        InputError, match=r"holds log\.csv, policy\.json, policy\.safetensors but no training"
    ):
        Training(plan, tmp_path)


def test_what_a_training_that_was_killed_early_left_is_no_hindrance(tmp_path):
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / ".lock").write_text("")
    (tmp_path / ".mecopt-x").write_text("")
    Training(TrainingPlan("paper:slots=3", "dqn", None, SMALL, 4, round_episodes=4), tmp_path).run()
    assert (tmp_path / POLICY).exists()


def test_a_training_begun_before_is_refused(tmp_path):
    plan = TrainingPlan("paper:slots=3", "dqn", None, SMALL, 4, round_episodes=4)
    Training(plan, tmp_path).run()
    tensors, header = read(tmp_path / LAST, TRAINING_FORMAT)
    write(tmp_path / LAST, tensors, {**header, "format": "mecopt-training/1"})
    with pytest.raises(InputError, match=r"format 'mecopt-training/1', expected 'mecopt-training/2'"):
        Training(plan, tmp_path)


@pytest.mark.slow
def test_an_interrupt_while_bounding_from_the_command_line(tmp_path):
    spec = "crowd"
    out = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "mecopt", "train", spec, "--learner", "dqn", "--out", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for line in process.stderr:
        if "bounding 20 validation episodes under capacity, at most 30 s" in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "mecopt: interrupted"
    assert not out.exists()
