"""One network for all sizes: renaming, sizes, the expected cost, training, and the method."""

import itertools

import numpy as np
import pytest
import torch

import mecopt
from mecopt.errors import InputError
from mecopt_rl.learners.any_size import KIND, AnySize, AnySizeSettings, StepScorer, expected_cost, shares
from mecopt_rl.learners.learner import Rollout
from mecopt_rl.training.any_size_curriculum import Families
from mecopt_rl.training.checkpoint import load_policy, read
from mecopt_rl.training.loop import LAST, POLICY, TRAINING_FORMAT, Training, TrainingPlan
from mecopt_rl.world.prices import along

SPEC = "paper-near:slots=8,servers=2|3,blocks=2|3,server_cycles_per_s=5e9..6.5e9"
SMALL = {"width": 8, "environments": 4, "batch": 32}


def cost_of(steps, placement):
    """Return the sum along placements (B, M) of figures of steps (B, M, J, J), (B,)."""
    return torch.from_numpy(along(steps.numpy(), placement).sum(axis=-1))


def network(seed=0, width=8):
    torch.manual_seed(seed)
    return StepScorer(width)


def steps_of(count=16, blocks=4, nodes=4, seed=0):
    """Return steps of random chains, (count, blocks, nodes, nodes) seconds."""
    rng = np.random.default_rng(seed)
    calc = rng.uniform(0.5, 2.0, (count, blocks, 1, nodes))
    move = rng.uniform(0.0, 2.0, (count, blocks, nodes, nodes)) * (1.0 - np.eye(nodes))
    steps = calc + move
    steps[:, 0, 1:] = np.inf  # the chain starts on the device
    return torch.from_numpy(steps)


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_renaming_the_servers_renames_the_placement(order):
    nodes = torch.tensor([0, *order])
    steps = steps_of()
    renamed = steps[:, :, nodes][:, :, :, nodes]
    first, second = (network().decide(given, None, None)[0] for given in (steps, renamed))
    assert (nodes.numpy()[second] == first).all()


@pytest.mark.parametrize(("blocks", "nodes"), [(1, 2), (3, 3), (18, 10), (24, 16)])
def test_the_same_weights_decide_for_any_size(blocks, nodes):
    steps = steps_of(3, blocks, nodes)
    with torch.no_grad():
        chances = network()(shares(steps)).exp()
    assert chances.shape == (3, blocks, nodes, nodes)
    torch.testing.assert_close(chances.sum(-1), torch.ones(3, blocks, nodes))
    placement, masks = network().decide(steps, None, None)
    assert placement.shape == (3, blocks)
    assert masks is None
    assert torch.isfinite(cost_of(steps, placement)).all()


def test_the_unit_of_time_changes_nothing():
    steps = steps_of()
    first, second = (network().decide(factor * steps, None, None)[0] for factor in (1.0, 1e-3))
    assert (first == second).all()


def test_a_missing_link_is_never_taken():
    steps = steps_of(nodes=3)
    steps[:, :, 0, 1] = steps[:, :, 2, 1] = torch.inf
    noise = torch.Generator().manual_seed(0)
    assert (network().decide(steps, None, noise)[0] != 1).all()


def test_the_expected_cost_is_the_sum_over_all_placements():
    steps = shares(steps_of(2, 3, 3)).double()
    log_chances = torch.log_softmax(torch.randn(2, 3, 3, 3, dtype=torch.float64), dim=-1)
    cost, entropy = expected_cost(log_chances, steps, 0.0)
    sums, nats = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for path in itertools.product(range(3), repeat=3):
        placement = np.tile(path, (2, 1))
        log = cost_of(log_chances, placement)
        sums += log.exp() * cost_of(steps, placement)
        nats -= log.exp() * log
    torch.testing.assert_close(cost.double(), sums)
    torch.testing.assert_close(entropy.double(), nats / 3)
    torch.testing.assert_close(expected_cost(log_chances, steps, 0.3)[0].double(), sums - 0.3 * nats / 3)


def test_it_learns_what_the_next_block_costs():
    """Block 0 is cheaper on the server that makes block 1 dear; looking one block ahead solves it."""
    learner = AnySize(AnySizeSettings(width=8, learning_rate=0.02), 0)
    for number in range(150):
        learner.update(Rollout.untried(_trap(number).numpy()), number / 150)
    steps = _trap(1000)
    placement = learner.network.decide(steps, None, None)[0]
    paths = [cost_of(steps, np.tile(p, (len(steps), 1))) for p in itertools.product(range(3), repeat=2)]
    best = torch.stack(paths).amin(0)
    greedy = steps[:, 0, 0].argmin(-1).numpy()
    assert (placement[:, 0] != greedy).mean() > 0.5  # the cheapest first step is a trap more often than not
    assert float(cost_of(steps, placement).sum() / best.sum()) < 1.01


def _trap(seed):
    rng = np.random.default_rng(seed)
    steps = steps_of(64, 2, 3, seed).numpy()
    steps[:, 0, 0] = rng.uniform(0.5, 1.0, (64, 3))
    first = steps[:, 0, 0].argmin(-1)
    steps[:, 1] = rng.uniform(0.5, 1.0, (64, 3, 3))
    steps[np.arange(64), 1, first] += 2.0
    return torch.from_numpy(steps)


def plan(**changes):
    options = {"episodes": 12, "round_episodes": 4, "validation_episodes": 1, "changes": SMALL}
    return TrainingPlan(**{"spec": SPEC, "learner": "any-size", **options, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a barely trained policy."""
    made = tmp_path_factory.mktemp("any")
    Training(plan(), made).run()
    return made


def test_a_training_that_was_ended_goes_on_with_the_same_bits(folder, tmp_path):
    def stop(row):
        if row["round"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(plan(), tmp_path, report=stop).run()
    Training(plan(), tmp_path).run()
    whole, parts = (read(where / LAST, TRAINING_FORMAT)[0] for where in (folder, tmp_path))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_card_says_any_size(folder):
    card = load_policy(folder / POLICY).card
    assert card["shape"] == {"observation": 0, "blocks": 0, "nodes": 0}
    assert card["fingerprint"]["servers"] == [2, 3]
    assert card["fingerprint"]["blocks"] == [2, 3]
    assert card["fingerprint"]["size"] == "any"


def test_sizes_outside_the_training_are_solved_and_flagged(folder):
    instance = mecopt.generate("paper-near:slots=5,servers=6,blocks=8,server_cycles_per_s=5e9..6.5e9", seed=3)
    with pytest.warns(UserWarning, match="not trained on this instance's servers, blocks"):
        result = mecopt.solve(instance, "any-size", policy=str(folder / POLICY))
    assert result.options["policy_outside"] == ["servers", "blocks"]
    assert result.gap is not None


def test_more_samples_are_never_worse(folder):
    instance = mecopt.generate("paper-near:slots=20,servers=3,blocks=3,server_cycles_per_s=6e9", seed=3)
    path = str(folder / POLICY)
    gaps = [mecopt.solve(instance, "any-size", policy=path, samples=samples).gap for samples in (0, 2, 8)]
    assert gaps == sorted(gaps, reverse=True)


def test_pins_are_honoured(folder):
    instance = mecopt.generate("paper-near:slots=4,servers=3,blocks=3,server_cycles_per_s=6e9", seed=3)
    result = mecopt.solve(instance, "any-size", policy=str(folder / POLICY), pins=["2:1=3"])
    assert result.placement[2, 1] == 3


def test_the_shipped_policy_serves_other_sizes():
    instance = mecopt.generate(
        "paper-near:slots=50,servers=7,blocks=11,server_cycles_per_s=5e9..6.5e9", seed=3
    )
    result = mecopt.solve(instance, "any-size")
    assert result.options["policy"] == "shipped: any-size"
    assert result.gap < 0.01


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no spec"),
        ("paper:seed=3", "without a seed"),
        ("energy", "couplings"),
        ("papr", "did you mean"),
    ],
)
def test_specs_that_cannot_be_trained_on_are_named(text, expected):
    with pytest.raises(InputError, match=expected):
        Families(KIND, text)


def test_workers_are_refused(tmp_path):
    with pytest.raises(InputError, match="--workers 2: any-size trains in one process"):
        Training(plan(workers=2), tmp_path)
    with pytest.raises(InputError, match="--engine ray: any-size trains in one process"):
        Training(plan(engine="ray"), tmp_path)
