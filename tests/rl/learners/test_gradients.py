"""Gradients in closed form against autograd, and acting's forward pass reused by the update."""

import numpy as np
import pytest
import torch
from learning_problems import rollout

from mecopt_rl.learners import markov_a3c, multitask_a3c
from mecopt_rl.learners.a3c import ActorCritic
from mecopt_rl.learners.any_size import FORBIDDEN, StepScorer, shares
from mecopt_rl.learners.learner import Shape
from mecopt_rl.learners.markov_a3c import MarkovBranches
from mecopt_rl.learners.multitask_a3c import Branches
from mecopt_rl.learners.network_layers import slopes
from mecopt_rl.learners.optimisers import one_vector

SHAPE, B = Shape(observation=4, blocks=3, nodes=3), 7
NETWORKS = {
    "branches": (lambda: Branches(SHAPE, 8, 2, 8), 1),
    "branches, credit by block": (lambda: Branches(SHAPE, 8, 2, 8), 3),
    "soft": (lambda: Branches(SHAPE, 8, 2, 8, sharing="soft"), 1),
    "markov": (lambda: MarkovBranches(SHAPE, 8, 2, 8), 3),
    "joint": (lambda: ActorCritic(SHAPE, 8, 2, 100), 1),
    "block by block": (lambda: ActorCritic(SHAPE, 8, 2, 1), 1),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("masked", [False, True])
def test_the_way_back_gives_what_autograd_gives(name, masked):
    make, width = NETWORKS[name]
    torch.manual_seed(0)
    network = make()
    one_vector(network, gradients=True)
    x, actions = torch.randn(B, 4), torch.randint(2, (B, 3))
    masks = torch.ones(B, 3, 3, dtype=torch.bool)
    masks[:, 1, 2] = False
    masks = masks if masked else None
    targets = torch.randn(B, width)
    with torch.no_grad():
        passed = network.run(x, actions, masks)
        found = slopes(passed, targets.numpy(), 0.1, 0.5)
        network.back(passed, found)
    closed = {key: p.grad.clone() for key, p in network.named_parameters()}
    passed = network.run(x, actions, masks)
    log = passed.scores.log_softmax(-1).transpose(0, 1)
    advantage = (targets - passed.values).detach()
    entropy = -(log.exp() * log).sum(-1).mean()
    actor = -(log.gather(-1, passed.chosen[..., None])[..., 0] * advantage).mean() - 0.1 * entropy
    critic = (targets - passed.values).square().mean()
    network.zero_grad()
    (actor + 0.5 * critic).backward()
    for key, parameter in network.named_parameters():
        assert torch.allclose(closed[key], parameter.grad, rtol=1e-4, atol=1e-6), key
    given = found.actor, found.critic, found.entropy
    assert given == pytest.approx([float(part.detach()) for part in (actor, critic, entropy)], rel=1e-5)


@pytest.mark.parametrize("module", [multitask_a3c, markov_a3c], ids=["mtl", "markov"])
def test_an_update_after_acting_is_that_of_the_same_decisions_from_elsewhere(module):
    acted, told = (module.make(SHAPE, module.KIND.settings(), 0) for _ in range(2))
    seen = np.random.default_rng(0).normal(size=(B, 4)).astype(np.float32)
    for one in (acted, told):
        one.begin_round(0)
    actions, _ = acted.act(seen, None, 0.0)
    costs = np.random.default_rng(1).uniform(1, 2, (1, B, 3)).astype(np.float32)
    first, second = (one.update(rollout(seen[None], actions[None], costs), 0.0) for one in (acted, told))
    assert first == pytest.approx(second, rel=1e-4)


def test_scores_of_any_size_are_those_that_are_trained():
    torch.manual_seed(0)
    network = StepScorer(8)
    steps = torch.rand(5, 4, 3, 3, dtype=torch.float64) + 0.1
    steps[:, 1, 0, 2] = torch.inf
    own = shares(steps)
    with torch.no_grad():
        trained, fast = network(own), network.scores(own).log_softmax(-1)
    assert torch.allclose(fast[:, 1:], trained[:, 1:], rtol=1e-4, atol=1e-5)
    assert torch.allclose(fast[:, 0, 0], trained[:, 0, 0], rtol=1e-4, atol=1e-5)
    assert (network.scores(own)[:, 1, 0, 2] == FORBIDDEN).all()
