"""MTL-A3C and Markov A3C as algorithms: gradients, small problems with a known optimum, state."""

import dataclasses

import numpy as np
import pytest
import torch
from learning_problems import BANDIT, TOGETHER, Chain, evaluate, rollout, scattered

from mecopt.errors import InputError
from mecopt_rl.learners import markov_a3c, multitask_a3c
from mecopt_rl.learners.learner import Shape

SMALL = {"width": 16, "layers": 1, "branch_width": 16}
LEARNERS = pytest.mark.parametrize("module", [multitask_a3c, markov_a3c], ids=["mtl", "markov"])


def learner(module, shape, recipe="best", seed=0, **changes):
    return module.make(shape, module.KIND.settings(recipe, {**SMALL, **changes}), seed)


def random_rollout(steps=3, environments=2, blocks=2, nodes=3, size=4):
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(steps + 1, environments, size)).astype(np.float32)
    actions = rng.integers(nodes, size=(steps, environments, blocks))
    costs = rng.uniform(1.0, 2.0, (steps, environments, blocks)).astype(np.float32)
    over = np.zeros((steps, environments), dtype=bool)
    over[1, 0] = True
    return rollout(seen[:-1], actions, costs, terminated=over, following=seen[1:])


@LEARNERS
def test_a_bandit_is_solved(module):
    problem = Chain(BANDIT, contexts=4)
    made = learner(module, problem.shape)
    problem.train(made, 300)
    assert problem.gap(made.network) == 0.0


@LEARNERS
def test_blocks_that_must_move_together_are_solved(module):
    problem = Chain(TOGETHER)
    made = learner(module, problem.shape)
    problem.train(made, 300)
    assert problem.gap(made.network) == 0.0


@pytest.mark.parametrize("seed", range(2))
def test_shared_noise_finds_what_independent_noise_does_not(seed):
    problem = Chain(scattered())
    gaps = []
    for shared in (True, False):
        made = learner(multitask_a3c, problem.shape, seed=seed, shared_noise=shared)
        problem.train(made, 200, seed=seed)
        gaps.append(problem.gap(made.network))
    assert gaps[0] == 0.0
    assert gaps[1] == pytest.approx(6.0 / 3.2 - 1.0)  # all blocks on node 0


@LEARNERS
def test_recipe_paper_learns_a_bandit(module):
    problem = Chain(BANDIT)
    made = learner(module, problem.shape, "paper", learning_rate=0.002, gamma=0.0, steps=1)
    problem.train(made, 400)
    assert problem.gap(made.network) == 0.0


def test_the_gradients_of_one_update_are_those_of_eq_18_to_20():
    part = random_rollout()
    shape = Shape(4, 2, 3)
    changes = {"gamma": 0.9, "temperature_start": 0.1, "temperature_end": 0.1, "cost_unit": "second"}
    made = learner(multitask_a3c, shape, gradient_norm=0.0, value_weight=0.5, **changes)
    twin = learner(multitask_a3c, shape, **changes).network
    seen = {}
    made._step = lambda rate: seen.update({name: p.grad.clone() for name, p in made.own.named_parameters()})
    made.update(part, 0.0)

    x = torch.from_numpy(part.observations)
    with torch.no_grad():
        following = twin.values(torch.from_numpy(part.next_observations).flatten(0, 1)).view(3, 2)
    loss = torch.zeros(())
    for e in range(2):
        target = following[2, e]
        for t in (2, 1, 0):
            target = float(part.rewards[t, e]) + 0.9 * (0.0 if part.terminated[t, e] else target)
            log, value = evaluate(twin, x[t, e][None], torch.from_numpy(part.actions[t, e])[None], None)
            advantage = float(target - value.detach())
            for m in range(2):
                probabilities = log[0, m].exp()
                entropy = -(probabilities * log[0, m]).sum()
                loss = loss - (log[0, m, part.actions[t, e, m]] * advantage + 0.1 * entropy) / 2 / 6
            loss = loss + 0.5 * (target - value[0, 0]).square() / 6
    loss.backward()
    for name, parameter in twin.named_parameters():
        assert torch.allclose(seen[name], parameter.grad, rtol=1e-4, atol=1e-6), name


@LEARNERS
def test_no_gradient_is_left_over_between_updates(module):
    """Two equal updates from the same weights give the same step, whatever was there before."""
    part, shape = random_rollout(), Shape(4, 2, 3)
    made = learner(module, shape, optimiser="rmsprop", learning_rate=0.0, temperature_end=0.3)
    seen = []
    step = made._step

    def watched(rate):
        seen.append([p.grad.clone() for p in made.own.parameters()])
        step(rate)

    made._step = watched
    for _ in range(3):
        made.update(part, 0.0)
        assert all(p.grad is None for p in made.network.parameters())
    assert all(torch.equal(a, b) for later in seen[1:] for a, b in zip(seen[0], later, strict=True))


@LEARNERS
def test_the_workers_copy_follows_the_global_parameters(module):
    made = learner(module, Shape(4, 2, 3))
    made.update(random_rollout(), 0.0)
    theirs, mine = made.network.state_dict(), made.own.state_dict()
    assert all(torch.equal(theirs[name], mine[name]) for name in theirs)
    assert all(a is not b for a, b in zip(made.network.parameters(), made.own.parameters(), strict=True))


def test_two_learners_share_parameters_and_statistics():
    first = learner(multitask_a3c, Shape(4, 2, 3))
    settings = first.settings
    second = multitask_a3c.make(Shape(4, 2, 3), settings, 1, first.shared())
    assert all(tensor.is_shared() for tensor in first.all.tensors().values())
    before = {name: tensor.clone() for name, tensor in second.all.tensors().items()}
    first.update(random_rollout(), 0.0)
    after = second.all.tensors()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert any(name.startswith("optimiser.") for name in moved)
    assert any(name.startswith("network.") for name in moved)
    assert "cost" in moved


@LEARNERS
@pytest.mark.parametrize("recipe", ["best", "paper"])
def test_the_same_seed_gives_the_same_bits_and_state_goes_on(module, recipe):
    problem = Chain(TOGETHER)
    first, second = (learner(module, problem.shape, recipe) for _ in range(2))
    problem.train(first, 10)
    problem.train(second, 10)
    third = learner(module, problem.shape, recipe, seed=5)
    third.load_state({name: tensor.clone() for name, tensor in second.state().items()})
    problem.train(first, 10, seed=1)
    problem.train(third, 10, seed=1)
    assert first.state().keys() == third.state().keys()
    assert all(torch.equal(tensor, third.state()[name]) for name, tensor in first.state().items())
    other = learner(module, problem.shape, recipe, seed=5)
    assert not torch.equal(
        next(other.network.parameters()), next(learner(module, problem.shape).network.parameters())
    )


def test_exploration_replaces_actions_at_first():
    settings = {"explore_start": 1.0, "explore_end": 0.0, "explore_share": 0.5}
    made = learner(multitask_a3c, Shape(1, 1, 2), **settings)
    with torch.no_grad():
        made.own.score_bias[..., 0] = 50.0
    seen = np.ones((1000, 1), dtype=np.float32)
    share = [made.act(seen, None, progress)[0].mean() for progress in (0.0, 0.25, 0.5, 1.0)]
    assert share[0] == pytest.approx(0.5, abs=0.05)
    assert share[1] == pytest.approx(0.25, abs=0.05)
    assert share[2:] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"widht": 3}, "--set widht: mtl-a3c has no such setting; did you mean width"),
        ({"width": "many"}, "--set width=many: expected a whole number, such as 64"),
        ({"width": 2.5}, "expected a whole number"),
        ({"gamma": "nan"}, "--set gamma=nan: expected a"),
        ({"raw_observations": 1}, "expected a true or false"),
        ({"sharing": "hard"}, "sharing: 'hard', expected trunk or soft"),
        ({"optimiser": "sgd"}, "optimiser: 'sgd', expected adam or rmsprop"),
        ({"gamma": 1.5}, "gamma: 1.5, expected 0 to 1"),
        ({"steps": 0}, "steps: 0, expected at least 1"),
    ],
)
def test_settings_are_checked(changes, text):
    with pytest.raises(InputError) as caught:
        multitask_a3c.KIND.settings("best", changes)
    assert text in str(caught.value)


def test_recipes():
    best, paper = (multitask_a3c.KIND.settings(recipe) for recipe in ("best", "paper"))
    assert (paper.optimiser, paper.learning_rate, paper.gamma, paper.batch) == ("rmsprop", 0.01, 0.95, 32)
    assert (paper.explore_start, paper.explore_end) == (1.0, 0.01)
    assert multitask_a3c.KIND.settings(None, {"gamma": ".5", "width": "32"}) == dataclasses.replace(
        best, gamma=0.5, width=32
    )
    with pytest.raises(InputError, match="no such recipe, expected one of best, paper"):
        multitask_a3c.KIND.settings("worst")
