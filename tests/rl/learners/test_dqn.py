"""Distributed DQN: targets in closed form, the replay, the target network, small problems, state, workers."""

import dataclasses
import fcntl

import numpy as np
import pytest
import torch
from learning_problems import BANDIT, TOGETHER, Chain, hold, rollout

from mecopt.errors import InputError
from mecopt_rl.learners import dqn
from mecopt_rl.learners.learner import Shape
from mecopt_rl.learners.replay import ProcessLock, Replay

SHAPE = Shape(observation=4, blocks=2, nodes=3)
SMALL = {"width": 16, "layers": 1}
HEADS = pytest.mark.parametrize("joint_actions", [20_000, 1], ids=["joint", "blocks"])


def learner(shape=SHAPE, recipe="best", seed=0, shared=None, **changes):
    return dqn.make(shape, dqn.KIND.settings(recipe, {**SMALL, **changes}), seed, shared)


def random_rollout(steps=2, environments=3, seed=0):
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(steps + 1, environments, 4)).astype(np.float32)
    actions = rng.integers(3, size=(steps, environments, 2))
    costs = rng.uniform(1.0, 2.0, (steps, environments, 2)).astype(np.float32)
    over = np.zeros((steps, environments), dtype=bool)
    over[-1, 0] = True
    return rollout(seen[:-1], actions, costs, terminated=over, following=seen[1:])


def apart(made):
    """Give network and target weights of their own, large enough to matter."""
    torch.manual_seed(1)
    with torch.no_grad():
        for each in (made.network, made.all.target):
            for weight in each.parameters():
                weight.copy_(torch.randn_like(weight))


@pytest.mark.parametrize("double", [False, True])
def test_targets_of_whole_placements(double):
    made = learner(gamma=0.9, cost_unit="second", double=double)
    apart(made)
    made.all.replay.add(random_rollout())
    batch = made.all.replay.sample(20, made.noise)
    found = made.targets(batch)
    every = torch.tensor([[i, j] for i in range(3) for j in range(3)])
    for b in range(20):
        x = batch.next_observations[b].expand(9, -1)
        ours = made.network.chosen(x, every)[:, 0].detach()
        theirs = made.all.target.chosen(x, every)[:, 0]
        best = theirs[ours.argmax()] if double else theirs.max()
        expected = -batch.block_costs[b].sum() + (0.0 if batch.over[b] else 0.9 * best)
        assert found[b].tolist() == pytest.approx([expected.item()], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("double", [False, True])
def test_targets_block_by_block(double):
    made = learner(gamma=0.9, cost_unit="second", double=double, joint_actions=1)
    apart(made)
    made.all.replay.add(random_rollout())
    batch = made.all.replay.sample(20, made.noise)
    found = made.targets(batch)

    def best(x, m, before):
        before = torch.tensor([before])
        ours, theirs = (
            net.head.block(net.standard(x[None]), m, before)[0] for net in (made.network, made.all.target)
        )
        return (theirs[ours.argmax()] if double else theirs.max()).item()

    for b in range(20):
        last = 0.0 if batch.over[b] else 0.9 * best(batch.next_observations[b], 0, 0)
        second = best(batch.observations[b], 1, int(batch.actions[b, 0]))
        costs = batch.block_costs[b].tolist()
        assert found[b].tolist() == pytest.approx([second - costs[0], last - costs[1]], rel=1e-4, abs=1e-5)


@HEADS
def test_values_of_chosen_actions_are_those_among_all(joint_actions):
    net = learner(joint_actions=joint_actions).network
    x, actions = torch.randn(7, 4), torch.randint(3, (7, 2))
    every = net.all(x, actions)
    expected = every.gather(-1, net.head.columns(actions)[..., None])[..., 0]
    assert torch.allclose(net.chosen(x, actions), expected, atol=1e-6)
    assert torch.allclose(net.first(x), every[:, 0], atol=1e-6)


@HEADS
@pytest.mark.parametrize("problem", [Chain(BANDIT, contexts=4), Chain(TOGETHER)], ids=["bandit", "together"])
def test_small_problems_are_solved(problem, joint_actions):
    made = learner(problem.shape, joint_actions=joint_actions, target_every=20)
    problem.train(made, 600)
    assert problem.gap(made.network) == 0.0


def test_recipe_paper_learns_a_bandit():
    problem = Chain(BANDIT)
    made = learner(problem.shape, "paper", learning_rate=0.002, gamma=0.0)
    problem.train(made, 600)
    assert problem.gap(made.network) == 0.0


def test_the_target_network_lags():
    made = learner(target_every=3)
    first = {name: tensor.clone() for name, tensor in made.all.target.state_dict().items()}

    def same(a, b):
        return all(torch.equal(a[name], b[name]) for name in a)

    for update in range(1, 6):
        made.update(random_rollout(), 0.0)
        target, network = made.all.target.state_dict(), made.network.state_dict()
        assert same(target, first) is (update < 3)
        assert same(target, network) is (update == 3)


def test_the_replay_keeps_the_last():
    replay = Replay.empty(4, SHAPE)
    parts = [random_rollout(steps=1, seed=seed) for seed in range(3)]
    for part in parts:
        replay.add(part)
    assert (len(replay), int(replay.added)) == (4, 9)
    kept = {tuple(row) for row in replay.kept.observations.tolist()}
    last = np.concatenate([parts[1].observations[0, -1:], parts[2].observations[0]])
    assert kept == {tuple(row) for row in last.tolist()}
    drawn = replay.sample(100, torch.Generator())
    assert {tuple(row) for row in drawn.observations.tolist()} == kept


def test_a_rollout_larger_than_the_replay_leaves_its_end():
    replay, part = Replay.empty(2, SHAPE), random_rollout(steps=2)
    replay.add(part)
    kept = {tuple(row) for row in replay.kept.observations.tolist()}
    assert kept == {tuple(row) for row in part.observations.reshape(6, 4)[-2:].tolist()}


def test_two_workers_share_replay_networks_and_statistics():
    first = learner()
    second = learner(seed=1, shared=first.shared())
    assert all(tensor.is_shared() for tensor in first.all.tensors().values())
    before = {name: tensor.clone() for name, tensor in second.all.tensors().items()}
    first.update(random_rollout(), 0.0)
    moved = {name for name, tensor in second.all.tensors().items() if not torch.equal(before[name], tensor)}
    assert {"replay.observations", "replay.added", "updates", "cost"} <= moved
    assert any(name.startswith("network.") for name in moved)
    assert any(name.startswith("optimiser.") for name in moved)
    second.update(random_rollout(seed=1), 0.0)
    assert int(first.all.replay.added) == 12


def test_a_lock_is_free_again_when_its_holder_is_killed():
    lock, context = ProcessLock(), torch.multiprocessing.get_context("spawn")
    holds = context.Event()
    holder = context.Process(target=hold, args=(lock, holds), daemon=True)
    holder.start()
    assert holds.wait(200)
    with pytest.raises(BlockingIOError):
        fcntl.lockf(lock.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    holder.kill()
    holder.join()
    with lock:
        pass


@pytest.mark.slow
def test_workers_train(tmp_path):
    from mecopt_rl.training.loop import Training, TrainingPlan

    plan = TrainingPlan("paper:slots=30", "dqn", changes=SMALL, episodes=8, workers=2, round_episodes=4)
    training = Training(plan, tmp_path / "run")
    row = training.run()
    assert row["decisions"] == 240
    assert int(training.learner.all.replay.added) == 240


@HEADS
@pytest.mark.parametrize("recipe", ["best", "paper"])
def test_the_same_seed_gives_the_same_bits_and_state_goes_on(recipe, joint_actions):
    problem = Chain(TOGETHER)
    first, second = (learner(problem.shape, recipe, joint_actions=joint_actions) for _ in range(2))
    problem.train(first, 10)
    problem.train(second, 10)
    third = learner(problem.shape, recipe, seed=5, joint_actions=joint_actions)
    third.load_state({name: tensor.clone() for name, tensor in second.state().items()})
    problem.train(first, 10, seed=1)
    problem.train(third, 10, seed=1)
    assert first.state().keys() == third.state().keys()
    assert all(torch.equal(tensor, third.state()[name]) for name, tensor in first.state().items())


def test_exploration_falls():
    made = learner(Shape(1, 1, 2), explore_start=1.0, explore_end=0.0, explore_share=0.5)
    with torch.no_grad():
        made.network.head.score.bias[0] = 50.0
    seen = np.ones((1000, 1), dtype=np.float32)
    share = [made.act(seen, None, progress)[0].mean() for progress in (0.0, 0.25, 0.5, 1.0)]
    assert share[0] == pytest.approx(0.5, abs=0.05)
    assert share[1] == pytest.approx(0.25, abs=0.05)
    assert share[2:] == [0.0, 0.0]


def test_random_actions_obey_masks():
    class Fixed:
        whole = np.array([[[True, True, False], [False, True, False]]] * 200)

        def branch_masks(self):
            return self.whole

    made = learner(explore_end=1.0)
    actions, _ = made.act(np.ones((200, 4), dtype=np.float32), Fixed(), 0.0)
    assert Fixed.whole[np.arange(200)[:, None], np.arange(2), actions].all()
    assert len(np.unique(actions[:, 0])) == 2


def test_a_trained_policy_is_a_method(tmp_path):
    import mecopt
    from mecopt_rl.training.loop import POLICY, Training, TrainingPlan

    plan = TrainingPlan(
        "paper:slots=30", "dqn", changes=SMALL, episodes=2, round_episodes=2, validation_episodes=2
    )
    Training(plan, tmp_path / "run").run()
    instance = mecopt.generate("paper:slots=30", seed=9)
    file = str(tmp_path / "run" / POLICY)
    plain = mecopt.solve(instance, method="dqn", policy=file)
    sampled = mecopt.solve(instance, method="dqn", policy=file, samples=3)
    assert sampled.objective <= plain.objective
    assert plain.gap >= 0.0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"memory": 0}, "memory: 0, expected at least 1"),
        ({"optimiser": "sgd"}, "optimiser: 'sgd', expected adam or rmsprop"),
        ({"gamma": 1.5}, "gamma: 1.5, expected 0 to 1"),
        ({"target_evry": 5}, "did you mean target_every"),
    ],
)
def test_settings_are_checked(changes, text):
    with pytest.raises(InputError) as caught:
        dqn.KIND.settings("best", changes)
    assert text in str(caught.value)


def test_recipe_paper_has_the_settings_of_the_paper():
    paper = dqn.KIND.settings("paper")
    assert (paper.optimiser, paper.learning_rate, paper.gamma, paper.batch) == ("rmsprop", 0.01, 0.95, 32)
    assert (paper.explore_start, paper.explore_end, paper.joint_actions) == (1.0, 0.01, 20_000)
    assert dqn.KIND.settings("best", {"gamma": "0.5"}) == dataclasses.replace(
        dqn.KIND.settings("best"), gamma=0.5
    )
