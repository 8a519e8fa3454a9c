"""What a round hands to a learner: whole episodes, cut off or over at their ends, and what follows them."""

import numpy as np
import pytest
import torch
from learning_problems import rollout

from mecopt_rl.learners import dqn, multitask_a3c
from mecopt_rl.learners.learner import Settings, Shape
from mecopt_rl.training.curriculum import Round
from mecopt_rl.training.rounds import OneShape, Worker
from mecopt_rl.world.episodes import Episodes


class Watching:
    """A learner that keeps its rollouts, and places everything on the first server."""

    def __init__(self, blocks, **settings):
        self.blocks, self.settings, self.rollouts = blocks, Settings(**settings), []

    def begin_round(self, seed):
        pass

    def act(self, observations, masks, progress):
        return np.ones((len(observations), self.blocks), dtype=np.int64), None

    def update(self, part, progress):
        self.rollouts.append(part)
        return {}


def watched(spec, **settings):
    episodes = Episodes(spec)
    learner = Watching(episodes.blocks, **settings)
    tally = Worker(OneShape(episodes, episodes.encoder()), learner).run(Round((0,), 3, 0.0, 1.0))
    return learner.rollouts, tally


def whole(rollouts, name):
    return np.concatenate([getattr(part, name) for part in rollouts])


def test_an_episode_that_nothing_couples_is_cut_off_and_goes_on_at_its_first_slot():
    rollouts, tally = watched("paper:slots=6,servers=2,blocks=2", environments=3, steps=4)
    assert [part.rewards.shape for part in rollouts] == [(4, 3), (2, 3)]
    seen, following = whole(rollouts, "observations"), whole(rollouts, "next_observations")
    assert (following[:-1] == seen[1:]).all()
    assert (following[-1] == seen[0]).all()
    assert not whole(rollouts, "terminated").any()
    assert whole(rollouts, "truncated").tolist() == [[False] * 3] * 5 + [[True] * 3]
    assert tally.decisions == 18
    assert -whole(rollouts, "rewards").sum() == pytest.approx(tally.cost_s)
    assert whole(rollouts, "block_costs").sum() == pytest.approx(tally.cost_s)


def test_an_episode_with_a_budget_is_over_at_its_end():
    rollouts, _ = watched("energy:slots=6", environments=3, steps=4)
    assert whole(rollouts, "terminated").tolist() == [[False] * 3] * 5 + [[True] * 3]
    assert not whole(rollouts, "truncated").any()


def test_the_critic_stands_in_for_what_follows_a_cut_and_the_end_of_a_segment():
    """Eq. 16 as the actor-critic forms it; nothing stands in for what follows an end."""
    rng = np.random.default_rng(0)
    costs = rng.uniform(1.0, 2.0, (3, 3, 2)).astype(np.float32)
    seen = rng.normal(size=(4, 3, 4)).astype(np.float32)
    over, cut = (np.zeros((3, 3), dtype=bool) for _ in range(2))
    over[1, 0], cut[1, 1] = True, True
    part = rollout(
        seen[:-1], np.zeros((3, 3, 2), int), costs, terminated=over, truncated=cut, following=seen[1:]
    )
    settings = multitask_a3c.KIND.settings(None, {"width": 8, "gamma": 0.9, "cost_unit": "second"})
    made = multitask_a3c.make(Shape(4, 2, 3), settings, 0)
    with torch.no_grad():
        ahead = made.own.values(torch.from_numpy(seen[1:]).flatten(0, 1)).view(3, 3).numpy()
    rewards = part.rewards
    last = rewards[2] + 0.9 * ahead[2]
    middle = rewards[1] + 0.9 * np.array([0.0, ahead[1, 1], last[2]])
    expected = np.stack([rewards[0] + 0.9 * middle, middle, last])
    np.testing.assert_allclose(made._targets(part)[..., 0], expected, rtol=1e-5)
    assert (np.abs(ahead) > 1e-3).all()


def test_no_gradient_of_dqn_is_left_over_between_updates():
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(2, 3, 4)).astype(np.float32)
    part = rollout(seen, rng.integers(3, size=(2, 3, 2)), rng.uniform(1, 2, (2, 3, 2)).astype(np.float32))
    changes = {"width": 8, "memory": 6, "batch": 6, "learning_rate": 0.0, "cost_unit": "second"}
    made = dqn.make(Shape(4, 2, 3), dqn.KIND.settings(None, {**changes, "optimiser": "rmsprop"}), 0)
    gradients, step = [], made.all.optimiser.step

    def watched_step():
        gradients.append([p.grad.clone() for p in made.network.parameters()])
        step()

    made.all.optimiser.step = watched_step
    for _ in range(3):  # the replay is full of the same decisions, drawn by the same numbers
        made.begin_round(0)
        made.update(part, 0.0)
    assert any(bool(g.any()) for g in gradients[0])
    assert all(torch.equal(a, b) for later in gradients[1:] for a, b in zip(gradients[0], later, strict=True))
