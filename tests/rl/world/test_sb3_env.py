"""The environment for Stable-Baselines3: the same numbers, its conventions, and scales that must agree."""

import numpy as np
import pytest

import mecopt
from mecopt import to_dict
from mecopt_rl import sb3
from mecopt_rl.sb3 import make_sb3_env
from mecopt_rl.world.env import Partition
from mecopt_rl.world.episodes import Episodes
from mecopt_rl.world.observation import Encoder
from mecopt_rl.world.spaces import joint_masks, nodes_of
from mecopt_rl.world.vector import VectorPartition

SMALL = "camera-vgg:slots=4,servers=2,blocks=3"


def test_it_steps_as_the_vector_environment_and_reports_episodes():
    env, vector = make_sb3_env(SMALL, 3, seed=5), VectorPartition(SMALL, 3, seed=5)
    rng = np.random.default_rng(0)
    assert np.array_equal(env.reset(), vector.reset()[0])
    returns = np.zeros(3)
    for step in range(8):
        actions = rng.integers(3, size=(3, 3))
        observations, rewards, dones, infos = env.step(actions)
        expected, paid, ends, _, more = vector.step(actions)
        assert np.array_equal(observations, expected)
        assert np.array_equal(rewards, paid.astype(np.float32))
        assert np.array_equal(dones, ends)
        assert np.array_equal(env.infos["repairs"], more["repairs"])
        returns += paid
        assert [bool(info) for info in infos] == [step % 4 == 3] * 3
        for e, info in enumerate(infos):
            if info:
                assert info["episode"]["r"] == pytest.approx(returns[e])
                assert info["episode"]["l"] == 4
                assert np.array_equal(info["terminal_observation"], more["final_obs"][e])
        returns[ends] = 0.0


def test_one_number_stands_for_a_placement():
    joint, plain = make_sb3_env(SMALL, 2, discrete=True, seed=1), make_sb3_env(SMALL, 2, seed=1)
    assert joint.action_space.n == 27
    joint.reset(), plain.reset()
    for number in (0, 5, 26):
        nodes = np.array([[number // 9, number // 3 % 3, number % 3]] * 2)
        assert (nodes_of(np.array([number] * 2), joint.vector.encoder) == nodes).all()
        one, other = joint.step(np.array([number] * 2)), plain.step(nodes)
        assert np.array_equal(one[1], other[1])
    with pytest.raises(mecopt.InputError, match="expected whole numbers from 0 to 26"):
        joint.step(np.array([0, 27]))
    with pytest.raises(mecopt.InputError, match=r"discrete: 5 nodes for 9 blocks are 1,953,125 placements"):
        make_sb3_env("paper:blocks=9,slots=2", 2, discrete=True)


def unlinked():
    """Return an instance whose server 2 has no link."""
    document = to_dict(mecopt.generate("camera-vgg:slots=4,servers=2,blocks=3"))
    for task in document["tasks"]:
        task["rate_bps"][1] = 0
    document["links"]["server_bps"] = [[0, 0], [0, 0]]
    return mecopt.from_dict(document)


@pytest.mark.parametrize("discrete", [False, True])
def test_masks_are_what_maskable_ppo_asks_for(discrete):
    from sb3_contrib import MaskablePPO
    from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

    env = make_sb3_env(instance=unlinked(), num_envs=2, discrete=discrete)
    assert is_masking_supported(env)
    observations = env.reset()
    masks = get_action_masks(env)
    assert masks.shape == (2, 27 if discrete else 9)
    branches = env.vector.action_masks()
    for number in range(27) if discrete else ():
        nodes = nodes_of(number, env.vector.encoder)
        assert joint_masks(branches)[0, number] == branches[0, np.arange(3), nodes].all()
    model = MaskablePPO("MlpPolicy", env, n_steps=8, batch_size=16, n_epochs=1, seed=0, device="cpu")
    model.learn(32)
    for _ in range(4):
        actions, _ = model.predict(observations, action_masks=get_action_masks(env))
        observations, *_ = env.step(actions)
        assert env.infos["repairs"].sum() == 0


def test_ppo_learns_and_counts_episodes_as_a_monitor_would():
    from stable_baselines3 import PPO
    from stable_baselines3.common.evaluation import evaluate_policy

    env = make_sb3_env(SMALL, 8)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=64, n_epochs=2, seed=0, device="cpu")
    model.learn(256)
    assert {episode["l"] for episode in model.ep_info_buffer} == {4}
    mean, _ = evaluate_policy(model, env, n_eval_episodes=8)
    assert mean < 0


def test_a_seed_repeats_everything():
    env = make_sb3_env(SMALL, 2)
    env.seed(7)
    first = env.reset()
    assert not np.array_equal(first, env.reset())
    env.seed(7)
    assert np.array_equal(first, env.reset())


def test_an_instance_is_seen_as_the_fresh_ones_of_its_generator():
    spec = "camera-vgg-load:slots=8"
    instance = mecopt.generate(spec, seed=3)
    fresh, fixed = Partition(spec=spec), Partition(instance)
    assert fresh.encoder.parts == fixed.encoder.parts
    assert fixed.encoder.ranges["rate"] == fresh.encoder.ranges["rate"] == (6.4e6, 16e6)
    assert np.array_equal(fixed.encoder.encode(instance), fresh.encoder.encode(instance))
    assert fresh.observation_space == fixed.observation_space
    foreign = instance.replace(origin={"parameters": {"rate_bps": "?"}})  # by another hand: its own figures
    assert Episodes(foreign).encoder().ranges["rate"][1] < 16e6


def test_a_model_refuses_episodes_of_another_scale():
    from stable_baselines3 import PPO

    spec = "camera-vgg:slots=4"
    model = PPO("MlpPolicy", make_sb3_env(spec, 2), n_steps=4, batch_size=8, device="cpu")
    other = make_sb3_env(spec.replace("slots", "rate_bps=1e6..2e6,slots"), 2)
    assert other.observation_space.shape == model.observation_space.shape
    with pytest.raises(ValueError, match=r"(?s)Observation spaces do not match.*rate 1e\+06"):
        model.set_env(other)
    model.set_env(make_sb3_env(instance=mecopt.generate(spec, seed=9), num_envs=2))


def test_what_it_does_not_offer_it_says(monkeypatch):
    env = make_sb3_env(SMALL, 2)
    with pytest.raises(AttributeError, match="no method 'fly', expected 'action_masks'"):
        env.env_method("fly")
    with pytest.raises(mecopt.InputError, match="set_attr: num_envs"):
        env.set_attr("num_envs", 3)
    monkeypatch.setattr(sb3, "find_spec", lambda name: None)
    with pytest.raises(mecopt.MissingExtraError, match=r"pip install 'mecopt\[sb3\]'"):
        make_sb3_env(SMALL, 2)


def test_all_blocks_at_once_is_each_by_itself():
    import torch
    from stable_baselines3.common.distributions import MultiCategoricalDistribution

    from mecopt_rl.world.sb3_network import EvenCategoricals

    torch.manual_seed(0)
    scores, nodes = 3 * torch.randn(50, 12), torch.randint(4, (50, 3)).float()
    ours, theirs = (kind([4, 4, 4]) for kind in (EvenCategoricals, MultiCategoricalDistribution))
    ours.proba_distribution(scores), theirs.proba_distribution(scores)
    torch.testing.assert_close(ours.log_prob(nodes), theirs.log_prob(nodes))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode(), theirs.mode())
    ours.proba_distribution(scores[:1].repeat(4000, 1))
    counts = torch.stack([(ours.sample() == node).float().mean(dim=0) for node in range(4)], dim=1)
    torch.testing.assert_close(counts, ours.scores[0].exp(), atol=0.04, rtol=0)  # five standard errors


@pytest.mark.parametrize("discrete", [False, True])
def test_a_training_with_the_faster_network_is_saved_and_read(discrete, tmp_path):
    from stable_baselines3 import PPO

    env, path = make_sb3_env(SMALL, 2, discrete=discrete), str(tmp_path / "ppo.zip")
    settings = {"n_steps": 8, "batch_size": 8, "n_epochs": 2, "seed": 0, "device": "cpu"}
    ours, theirs = PPO(sb3.NodesPolicy, env, **settings), PPO("MlpPolicy", env, **settings)
    begun = theirs.policy.state_dict()
    assert all((begun[name] == weight).all() for name, weight in ours.policy.state_dict().items())
    ours.learn(32).save(path)
    instance = mecopt.generate(SMALL, seed=3)
    seen = ours.observation_space.encoder
    chosen = PPO.load(path, device="cpu").predict(
        Encoder.from_json(seen).encode(instance), deterministic=True
    )[0]
    nodes = nodes_of(chosen, env.vector.encoder) if discrete else chosen
    assert (mecopt.solve(instance, f"ppo={path}").placement == nodes).all()
