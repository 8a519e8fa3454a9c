"""Single-task A3C: its head for whole placements and block by block, small problems, state."""

import itertools

import numpy as np
import pytest
import torch
from learning_problems import BANDIT, TOGETHER, Chain, evaluate, rollout

from mecopt.errors import InputError
from mecopt_rl.learners import a3c
from mecopt_rl.learners.learner import Shape

SHAPE = Shape(observation=4, blocks=3, nodes=2)
SMALL = {"width": 16, "layers": 1}
HEADS = pytest.mark.parametrize("joint_actions", [20_000, 1], ids=["joint", "blocks"])


def learner(shape, recipe="best", seed=0, **changes):
    return a3c.make(shape, a3c.KIND.settings(recipe, {**SMALL, **changes}), seed)


def network(joint_actions):
    torch.manual_seed(0)
    made = a3c.ActorCritic(SHAPE, 8, 1, joint_actions)
    with torch.no_grad():  # as after some training: the scores differ
        made.actor.score.weight.mul_(100.0)
    return made


def probabilities(made, x, masks=None):
    """Return the probability of every placement, by the network's log-probabilities, (J^M,)."""
    every = torch.tensor(list(itertools.product(range(SHAPE.nodes), repeat=SHAPE.blocks)))
    repeated = None if masks is None else masks.expand(len(every), -1, -1)
    log, _ = evaluate(made, x.expand(len(every), -1), every, repeated)
    columns = made.actor.columns(every)
    return log.gather(-1, columns[..., None])[..., 0].sum(-1).exp().detach()


def generator(seed=0):
    noise = torch.Generator()
    noise.manual_seed(seed)
    return noise


class Fixed:
    """Block 1 may not use node 1."""

    def __init__(self, count):
        self.whole = np.ones((count, SHAPE.blocks, SHAPE.nodes), dtype=bool)
        self.whole[:, 1, 1] = False

    def branch_masks(self):
        return self.whole

    def block_mask(self, m, chosen):
        return self.whole[:, m]


def test_columns_and_nodes_of_whole_placements():
    head = network(20_000).actor
    every = torch.tensor(list(itertools.product(range(SHAPE.nodes), repeat=SHAPE.blocks)))
    columns = head.columns(every)
    assert columns[:, 0].tolist() == list(range(8))
    assert torch.equal(head.nodes(columns), every)


@pytest.mark.parametrize(("joint_actions", "joint"), [(8, True), (7, False)])
def test_the_head_is_joint_while_placements_are_few(joint_actions, joint):
    made = network(joint_actions)
    assert made.actor.joint is joint
    assert made.actor.score.out_features == (8 if joint else 2)


def test_the_actor_shares_no_weight_with_the_critic():
    made = network(20_000)
    made.values(torch.ones(5, 4)).sum().backward()
    assert all(weight.grad is None for weight in made.actor.parameters())
    assert all(weight.grad is not None for weight in made.critic.parameters())


@HEADS
def test_samples_follow_the_probabilities(joint_actions):
    made, x = network(joint_actions), torch.randn(1, 4, generator=generator())
    expected = probabilities(made, x)
    assert expected.sum().item() == pytest.approx(1.0, abs=1e-5)
    actions, allowed = made.decide(x.expand(20_000, -1), None, generator())
    assert allowed is None
    found = np.bincount(actions @ [4, 2, 1], minlength=8) / 20_000
    assert found == pytest.approx(expected.numpy(), abs=0.02)


@HEADS
def test_masks_hold(joint_actions):
    made, x = network(joint_actions), torch.randn(500, 4, generator=generator())
    for noise in (None, generator()):
        actions, allowed = made.decide(x, Fixed(500), noise)
        assert (actions[:, 1] == 0).all()
        assert (allowed == Fixed(500).whole).all()
    expected = probabilities(made, x[:1], torch.from_numpy(Fixed(1).whole))
    assert expected.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert expected[[2, 3, 6, 7]].tolist() == [0.0] * 4


@HEADS
@pytest.mark.parametrize("problem", [Chain(BANDIT, contexts=4), Chain(TOGETHER)], ids=["bandit", "together"])
def test_small_problems_are_solved(problem, joint_actions):
    made = learner(problem.shape, joint_actions=joint_actions)
    problem.train(made, 300)
    assert problem.gap(made.network) == 0.0


def test_the_gradients_of_one_update_are_those_of_eq_18_to_20():
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(3, 2, 4)).astype(np.float32)
    actions, costs = rng.integers(2, size=(2, 2, 3)), rng.uniform(1, 2, (2, 2, 3)).astype(np.float32)
    part = rollout(seen[:-1], actions, costs, following=seen[1:])
    changes = {"gamma": 0.9, "temperature_start": 0.1, "temperature_end": 0.1, "cost_unit": "second"}
    made = learner(SHAPE, gradient_norm=0.0, value_weight=0.5, **changes)
    twin = learner(SHAPE, **changes).network
    found = {}
    made._step = lambda rate: found.update({name: p.grad.clone() for name, p in made.own.named_parameters()})
    made.update(part, 0.0)

    x, loss = torch.from_numpy(seen), torch.zeros(())
    for e in range(2):
        target = twin.values(x[2, e][None])[0].detach()
        for t in (1, 0):
            target = part.rewards[t, e] + 0.9 * target
            log, value = evaluate(twin, x[t, e][None], torch.from_numpy(actions[t, e])[None])
            advantage = (target - value[0, 0]).detach()
            entropy = -(log[0, 0].exp() * log[0, 0]).sum()
            column = int(actions[t, e] @ [4, 2, 1])
            loss = loss - (log[0, 0, column] * advantage + 0.1 * entropy) / 4
            loss = loss + 0.5 * (target - value[0, 0]).square() / 4
    loss.backward()
    for name, parameter in twin.named_parameters():
        assert torch.allclose(found[name], parameter.grad, rtol=1e-4, atol=1e-6), name


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


@pytest.mark.parametrize("change", [{"sharing": "soft"}, {"shared_noise": True}, {"credit": "block"}])
def test_what_concerns_branches_cannot_be_changed(change):
    with pytest.raises(InputError, match="a3c has no branches"):
        a3c.KIND.settings("best", change)


def test_recipe_paper_has_the_settings_of_the_paper():
    paper = a3c.KIND.settings("paper")
    assert (paper.optimiser, paper.learning_rate, paper.gamma, paper.batch) == ("rmsprop", 0.01, 0.95, 32)
    assert (paper.explore_start, paper.explore_end, paper.joint_actions) == (1.0, 0.01, 20_000)
