"""The environment of tasks that arrive: rewards are the simulator's delays, and libraries take it."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import mecopt
import mecopt_rl.gym
from mecopt.simulation.engine import simulate_stream
from mecopt_rl.sb3 import make_sb3_online_env
from mecopt_rl.world.online_env import Online
from mecopt_rl.world.online_vector import VectorOnline

SPEC = "camera-vgg:tasks=individual,slots=1,release_rate=6,servers=2"
GIVEN = {"load": 0.9, "arrivals": "both", "staleness": 3, "tasks": 250}


def played(env, rng, seed):
    observation, info = env.reset(seed=seed)
    total, ended, placements = 0.0, False, []
    while not ended:
        assert env.observation_space.contains(observation)
        observation, reward, ended, cut, info = env.step(rng.integers(0, env.scene.world.servers + 1, 6))
        assert not cut
        assert reward <= 0
        total += reward
        placements.append(info["placement"])
    assert not observation.any()
    return total, info, np.array(placements)


@pytest.mark.parametrize("discipline", ["fifo", "ps"])
def test_rewards_add_up_to_the_delays_of_the_simulator(discipline):
    env = Online(SPEC, discipline=discipline, **GIVEN)
    total, info, placements = played(env, np.random.default_rng(0), 5)
    env.reset(seed=5)
    plan = env.scene.plan
    stream = env._episode.stream
    rows = iter(placements)
    run = simulate_stream(
        plan.world, stream, lambda view: next(rows)[: plan.world.tables[0][view.task]].tolist(),
        lag_s=plan.lag_s, discipline=discipline,
    )  # fmt: skip
    assert total == pytest.approx(-run.delay_s.sum(), rel=1e-9)
    assert info["mean_delay_s"] == pytest.approx(run.delay_s.mean(), rel=1e-12)


def test_a_choice_that_is_forbidden_is_repaired_and_counted():
    document = mecopt.to_dict(mecopt.generate(SPEC))
    for task in document["tasks"]:
        task["rate_bps"][1] = 0
    env = Online(mecopt.from_dict(document), tasks=200)
    env.reset(seed=0)
    masks = env.action_masks().reshape(6, 3)
    assert masks[0].tolist() == [True, True, False]
    _, _, _, _, info = env.step([2] * 6)
    assert info["repairs"] >= 1
    assert info["placement"][0] in (0, 1)
    allowed = env.action_masks().reshape(6, 3)
    nodes = [int(np.flatnonzero(row)[-1]) for row in allowed]
    assert env.step(nodes[:1] * 6)[4]["repairs"] == 0


def test_gymnasium_takes_it_by_name():
    env = gymnasium.make(mecopt_rl.gym.ONLINE_ID, spec=SPEC, **GIVEN)
    check_env(env.unwrapped, skip_render_check=True)
    vector = gymnasium.make_vec(mecopt_rl.gym.ONLINE_ID, num_envs=2, spec=SPEC, **GIVEN)
    assert isinstance(vector.unwrapped, VectorOnline)
    with pytest.raises(mecopt.InputError, match="expected either instance"):
        Online()
    with pytest.raises(mecopt.InputError, match="lod: unknown, expected arrivals, load"):
        Online(SPEC, lod=0.5)
    with pytest.raises(mecopt.InputError, match="no episode has begun"):
        Online(SPEC, tasks=200).step([0] * 6)


def test_the_vector_environment_goes_from_episode_to_episode():
    env, rng = VectorOnline(SPEC, 3, seed=1, **GIVEN), np.random.default_rng(0)
    observations, infos = env.reset()
    assert infos["tasks"].tolist() == [250] * 3
    totals = np.zeros(3)
    for step in range(260):
        observations, rewards, ends, _, infos = env.step(rng.integers(0, 3, (3, 6)))
        assert observations.shape == (3, env.scene.width)
        assert ends.tolist() == [step == 249] * 3
        totals += rewards
        if step == 249:
            assert totals == pytest.approx(-250 * infos["mean_delay_s"])
            assert observations.any(axis=1).all()
    with pytest.raises(mecopt.InputError, match=r"action: .* of shape \(2, 6\), expected"):
        env.step(np.zeros((2, 6), dtype=int))
    with pytest.raises(mecopt.InputError, match=r"action: 0 to 3, expected nodes of 0..2"):
        env.step(np.full((3, 6), 3) * (np.arange(6) > 0))


def test_stable_baselines_conventions():
    env = make_sb3_online_env(SPEC, 2, seed=3, **GIVEN)
    assert env.reset().shape == (2, env.observation_space.shape[0])
    for step in range(250):
        _, rewards, ends, infos = env.step(np.ones((2, 6), dtype=int))
        assert rewards.dtype == np.float32
        assert env.action_masks().shape == (2, 18)
        if step < 249:
            assert not ends.any()
    assert ends.all()
    assert infos[0]["episode"]["l"] == 250


@pytest.mark.slow
def test_ppo_learns_to_wait_less():
    from stable_baselines3 import PPO

    env = make_sb3_online_env(SPEC, 8, seed=0, load=0.7, tasks=200)
    model = PPO("MlpPolicy", env, n_steps=100, batch_size=200, gamma=0.95, seed=0, device="cpu")
    model.learn(800)
    first = np.mean([episode["r"] for episode in model.ep_info_buffer]) if model.ep_info_buffer else None
    model.learn(40_000)
    assert first is None or np.mean([episode["r"] for episode in model.ep_info_buffer]) > first
