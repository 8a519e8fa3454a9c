"""The networks: distributions, masks, sampling."""

import numpy as np
import pytest
import torch
from learning_problems import evaluate

from mecopt_rl.learners.learner import Shape
from mecopt_rl.learners.markov_a3c import MarkovBranches
from mecopt_rl.learners.multitask_a3c import Branches

SHAPE = Shape(observation=3, blocks=4, nodes=3)


def branches(**options):
    torch.manual_seed(0)
    return spread(Branches(SHAPE, 8, 2, 8, **options))


def markov():
    torch.manual_seed(0)
    return spread(MarkovBranches(SHAPE, 8, 2, 8))


def spread(network):
    """Make the scores differ, as after some training."""
    with torch.no_grad():
        network.score.mul_(100.0)
    return network


def noise(seed=0):
    generator = torch.Generator()
    generator.manual_seed(seed)
    return generator


class Fixed:
    """Masks that are always the same; node 1 of block 2 needs block 1 on node 1."""

    def __init__(self, count):
        self.whole = np.ones((count, SHAPE.blocks, SHAPE.nodes), dtype=bool)
        self.whole[:, 0, 0] = False

    def branch_masks(self):
        return self.whole

    def block_mask(self, m, chosen):
        allowed = self.whole[:, m].copy()
        if m == 2:
            allowed[chosen[:, 1] != 1, 1] = False
        return allowed


@pytest.mark.parametrize(
    "network", [branches(), branches(sharing="soft"), markov()], ids=["trunk", "soft", "markov"]
)
def test_probabilities_sum_to_one_and_argmax_is_the_likeliest(network):
    x = torch.randn(5, 3, generator=noise())
    actions, allowed = network.decide(x, None, None)
    assert allowed is None
    log, values = evaluate(network, x, torch.from_numpy(actions), None)
    assert torch.allclose(log.exp().sum(-1), torch.ones(5, 4))
    assert (log.argmax(-1).numpy() == actions).all()
    assert values.shape in ((5, 1), (5, 4))
    assert torch.allclose(network.values(x), values[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    "network", [branches(), branches(shared_noise=True), markov()], ids=["own", "shared", "markov"]
)
def test_samples_follow_the_probabilities(network):
    x = torch.randn(1, 3, generator=noise()).expand(20_000, 3)
    actions = torch.from_numpy(network.decide(x, None, noise())[0])
    log, _ = evaluate(network, x, actions, None)
    drawn = torch.nn.functional.one_hot(actions, SHAPE.nodes).double().mean(0)
    assert torch.allclose(drawn, log.exp().double().mean(0), atol=0.02)


def test_shared_noise_moves_blocks_of_one_mind_together():
    network = branches(shared_noise=True)
    with torch.no_grad():
        network.score.zero_()  # all blocks have the same, uniform distribution
    together = network.decide(torch.zeros(500, 3), None, noise())[0]
    assert (together == together[:, :1]).all()
    assert len(np.unique(together)) == SHAPE.nodes
    network.shared_noise = False
    apart = network.decide(torch.zeros(500, 3), None, noise())[0]
    assert (apart == apart[:, :1]).all(axis=1).mean() < 0.1


def test_masks_hold():
    x, masks = torch.randn(300, 3, generator=noise()), Fixed(300)
    actions, allowed = branches().decide(x, masks, noise())
    assert (actions[:, 0] != 0).all()
    assert allowed is masks.whole
    actions, allowed = markov().decide(x, masks, noise())
    assert (actions[:, 0] != 0).all()
    assert ((actions[:, 2] != 1) | (actions[:, 1] == 1)).all()
    log, _ = evaluate(markov(), x, torch.from_numpy(actions), torch.from_numpy(allowed))
    assert (log.exp().detach().numpy()[~allowed] == 0.0).all()
    assert torch.isfinite(log.gather(-1, torch.from_numpy(actions)[..., None])).all()


def test_a_markov_branch_sees_the_block_before_and_no_other():
    network, x = markov(), torch.zeros(1, 3)
    base = torch.tensor([[0, 0, 0, 0]])
    log, values = evaluate(network, x, base, None)
    other, other_values = evaluate(network, x, torch.tensor([[0, 2, 0, 0]]), None)
    changed = [(not torch.equal(log[0, m], other[0, m])) for m in range(4)]
    assert changed == [False, False, True, False]
    assert [not torch.equal(values[0, m], other_values[0, m]) for m in range(4)] == changed


def test_distance_of_soft_trunks():
    network = branches(sharing="soft")
    assert len(network.trunks) == SHAPE.blocks + 1
    assert network.distance().item() > 0.0
    with torch.no_grad():
        for trunk in network.trunks[1:]:
            trunk.load_state_dict(network.trunks[0].state_dict())
    assert network.distance().item() == pytest.approx(0.0, abs=1e-12)


def test_observations_are_standardised_and_constants_only_shifted():
    network = branches()
    sample = torch.tensor([[0.0, 5.0, 7.0], [2.0, 5.0, 9.0]])
    network.standard.fit(sample)
    scaled = network.standard(sample)
    assert torch.allclose(scaled.mean(0), torch.zeros(3), atol=1e-6)
    assert torch.allclose(scaled.std(0), torch.tensor([1.0, 0.0, 1.0]))
    assert network.standard(torch.tensor([[0.0, 6.0, 7.0]]))[0, 1].item() == pytest.approx(1.0)
