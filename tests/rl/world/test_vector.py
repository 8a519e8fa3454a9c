"""The vector environment: the same numbers as the single one, many episodes at once."""

import dataclasses

import gymnasium
import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

import mecopt
from mecopt.costs import chain_costs
from mecopt.generators.energy import with_budgets
from mecopt.generators.specs import parse
from mecopt.trellis_arcs import build_arcs
from mecopt_rl.world.env import Partition
from mecopt_rl.world.episodes import Episodes
from mecopt_rl.world.fleet import in_order
from mecopt_rl.world.vector import VectorPartition

SPECS = [
    "paper:slots=3",
    "camera-alexnet-deadline:slots=4",
    "camera-alexnet-deadline:slots=4,deadline=hard",
    "energy:slots=5",
    "crowd:release_rate=5",
    "crowd:release_rate=5,slots=2,device_memory_bytes=5e7,server_memory_bytes=1e8,couplings=capacity,memory",
    "paper:slots=3,rates=geometry",
    "alexnet-6es:slots=4",
    "paper:release_rate=30|60,slots=2",
]


def same_steps(vector, single, e, rng):
    """Step both with the same actions until the single one ends; compare everything."""
    observation, _ = single.reset()
    current = vector.fleet.observe()
    ended = False
    while not ended:
        assert np.array_equal(current[e], observation)
        assert np.array_equal(vector.action_masks()[e].ravel(), single.action_masks())
        actions = rng.integers(vector.action_space.high + 1)
        for m in range(actions.shape[1]):
            block = vector.block_mask(m, actions[:, :m])[e]
            assert np.array_equal(block, single.block_mask(m, actions[e, :m]))
        current, rewards, ends, truncated, infos = vector.step(actions)
        observation, reward, ended, _, info = single.step(actions[e])
        assert (rewards[e], ends[e], truncated[e]) == (reward, ended, False)
        for name, value in info.items():
            assert np.array_equal(infos[name][e], value), name
    assert np.array_equal(infos["final_obs"][e], observation)
    assert infos["_final_obs"][e]


@strategies.examples(40)
@given(strategies.documents(blocks=3, tasks=5), st.integers(0, 2**32))
def test_it_steps_as_the_single_environment(document, seed):
    instance = mecopt.from_dict(document)
    vector, single = VectorPartition(instance, 3), Partition(instance)
    vector.reset(seed=0)
    same_steps(vector, single, seed % 3, np.random.default_rng(seed))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("spec", SPECS)
def test_the_instances_of_a_generator(spec):
    vector = VectorPartition(spec, 3)
    rng = np.random.default_rng(0)
    vector.reset(seed=1)
    seen = set()
    for e in range(3):
        instance = vector.instance(e)
        seen.add(instance.sha256)
        same_steps(vector, Partition(instance, encoder=vector.encoder), e, rng)
        vector.reset()  # nothing of an episode outlives it
    assert len(seen) == 3


def test_an_episode_out_of_a_long_instance_is_one_of_the_generator():
    """Same shape, names, rules and ranges as `mecopt.generate` makes it; budgets follow the draw."""
    for spec in ("crowd:release_rate=5,slots=2", "energy:slots=12", "camera-vgg-load:slots=7"):
        vector = VectorPartition(spec, 4)
        vector.reset(seed=0)
        for e in range(4):
            made, usual = vector.instance(e), mecopt.generate(spec)
            assert made.rules == usual.rules
            assert made.models == usual.models
            assert [d.name for d in made.devices] == [d.name for d in usual.devices]
            assert (made.slot_count, made.task_count) == (usual.slot_count, usual.task_count)
            assert np.array_equal(made.tasks.slot, usual.tasks.slot)
            assert np.array_equal(made.tasks.device, usual.tasks.device)
            assert vector.encoder.out_of_range(made) == []
            p = parse(spec).parameters()
            if p.devices.energy_budget_share is not None:
                again, _ = with_budgets(made, p.devices)
                assert again.devices == made.devices
            if p.release.ratio is not None:
                work = sum(b.cycles for b in made.models[0].blocks) * p.release.release_rate
                capacity = made.server_speed.sum() * made.slot_s
                assert work / capacity == pytest.approx(p.release.ratio)


def test_a_budget_in_joules_is_that_of_every_episode():
    """However many episodes are made out of one long instance, which alone would spend far more."""
    budget = float(mecopt.generate("energy:slots=6").devices[0].energy_budget_j)
    vector = VectorPartition(f"energy:slots=6,energy_budget_share=none,energy_budget_j={2 * budget}", 40)
    vector.reset(seed=0)
    for e in (0, 39):
        assert [d.energy_budget_j for d in vector.instance(e).devices] == [2 * budget]


def test_a_seed_repeats_everything():
    runs = []
    for _ in range(2):
        vector = VectorPartition("camera-vgg-load:slots=3", 4, seed=7)
        rng = np.random.default_rng(0)
        rows = [vector.reset()[0]]
        for _ in range(7):
            observation, reward, *_ = vector.step(rng.integers(vector.action_space.high + 1))
            rows += [observation, reward]
        runs.append(np.concatenate([row.ravel() for row in rows]))
    assert np.array_equal(*runs)
    other = VectorPartition("camera-vgg-load:slots=3", 4, seed=8)
    assert not np.array_equal(other.reset()[0], runs[0][: 4 * other.encoder.size].reshape(4, -1))
    assert np.array_equal(other.reset(seed=[1, 2])[0], other.reset(seed=[1, 2])[0])


def test_episodes_of_different_length_follow_each_other():
    short, long = (mecopt.generate("paper-deadline", seed=n, slots=n) for n in (2, 5))
    vector = VectorPartition([short, long], 6)
    _, infos = vector.reset(seed=0)
    left, rng = infos["tasks"].copy(), np.random.default_rng(0)
    assert set(left) == {2, 5}
    for _ in range(30):
        _, _, ended, _, infos = vector.step(rng.integers(vector.action_space.high + 1))
        left -= 1
        assert np.array_equal(ended, left == 0)
        assert ("final_obs" in infos) == ended.any()
        left[ended] = vector.fleet.lengths[ended]
    for e in range(6):
        assert vector.instance(e) in (short, long)
        assert vector.fleet.lengths[e] == vector.instance(e).task_count


@pytest.mark.parametrize("spec", ["energy:slots=6", "crowd:release_rate=6", "crowd:release_rate=3|6"])
def test_some_episodes_begin_anew_and_the_others_go_on(spec):
    """Energy, load and place of those that go on are kept, whatever tables the new ones bring."""
    vector, rng = VectorPartition(spec, 4), np.random.default_rng(0)
    vector.reset(seed=0)
    vector.step(rng.integers(vector.action_space.high + 1))
    kept = vector.instance(1)
    single = Partition(kept, encoder=vector.encoder)
    vector.reset(seed=1)
    for e in range(4):
        if vector.fleet.lengths[e] == kept.task_count:
            break
    single = Partition(vector.instance(e), encoder=vector.encoder)
    observation, _ = single.reset()
    for step in range(vector.fleet.lengths[e]):
        actions = rng.integers(vector.action_space.high + 1)
        current, rewards, *_, infos = vector.step(actions)
        observation, reward, ended, _, info = single.step(actions[e])
        assert rewards[e] == reward
        assert infos["energy_j"][e] == info["energy_j"]
        if not ended and step < vector.fleet.lengths.min() - 1:
            mask = np.arange(4) != e
            current, _ = vector.reset(options={"reset_mask": mask})
            assert np.array_equal(current[e], observation)


@strategies.examples(40)
@given(strategies.documents(blocks=3, tasks=5))
def test_step_costs_are_the_arcs(document):
    instance = mecopt.from_dict(document)
    vector, costs = VectorPartition(instance, 1), chain_costs(instance)
    vector.reset()
    soft = dataclasses.replace(
        instance.rules, deadline="none" if instance.rules.deadline == "none" else "soft"
    )
    arcs = build_arcs(chain_costs(instance.replace(rules=soft)))
    assert vector.fleet.pool.optimum.shape == costs.blocks.shape
    rng = np.random.default_rng(0)
    for k in in_order(instance):
        table = vector.step_cost()[0]
        assert np.allclose(table, arcs.weight[k], rtol=1e-12, atol=0)
        *_, infos = vector.step(rng.integers(vector.action_space.high + 1))
        nodes = infos["placement"][0][: instance.block_count[k]]
        path = zip((0, *nodes[:-1]), nodes, strict=True)
        assert np.allclose(
            [table[m, i, j] for m, (i, j) in enumerate(path)], infos["block_cost"][0][: len(nodes)]
        )


def test_gymnasium_makes_it():
    env = gymnasium.make_vec(
        "mecopt_rl.gym:mecopt/Partition-v0",
        num_envs=3,
        vectorization_mode="vector_entry_point",
        spec="paper:slots=2",
    )
    assert isinstance(env.unwrapped, VectorPartition)
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(env)
    observation, _ = wrapped.reset(seed=0)
    assert env.observation_space.contains(observation)
    wrapped.step(env.action_space.sample())
    *_, infos = wrapped.step(env.action_space.sample())
    assert (infos["episode"]["l"] == 2).all()


def test_it_agrees_with_gymnasiums_own_vector_of_single_environments():
    instance = mecopt.generate("crowd:release_rate=4")
    many = gymnasium.vector.SyncVectorEnv([lambda: Partition(instance)] * 2, autoreset_mode="SameStep")
    vector = VectorPartition(instance, 2)
    assert vector.single_observation_space == many.single_observation_space
    assert vector.action_space == many.action_space
    rng = np.random.default_rng(0)
    assert np.array_equal(vector.reset(seed=0)[0], many.reset(seed=0)[0])
    for _ in range(9):
        actions = rng.integers(vector.action_space.high + 1)
        for mine, theirs in zip(vector.step(actions)[:4], many.step(actions)[:4], strict=True):
            assert np.array_equal(mine, theirs)


BAD = [
    (lambda v: v.step(np.zeros((3, 6), int)), r"expected reset\(\) first"),
    (lambda v: v.reset(options={"reset_mask": np.array([True, False, True])}), "a reset.. of all first"),
    (lambda v: (v.reset(), v.step(np.zeros((2, 6), int))), r"expected whole numbers of shape \(3, 6\)"),
    (lambda v: (v.reset(), v.step(np.full((3, 6), 5))), r"actions\[0\]\[0\]: 5, expected 0 to 4"),
    (lambda v: v.reset(options={"reset_mask": [True]}), r"expected bool of shape \(3,\)"),
    (lambda v: (v.reset(), v.block_mask(1, np.zeros((2, 1), int))), "2 rows, expected 3"),
]


@pytest.mark.parametrize(("use", "text"), BAD)
def test_bad_use(use, text):
    with pytest.raises(mecopt.InputError, match=text):
        use(VectorPartition("paper:slots=2", 3))


def test_bad_arguments():
    with pytest.raises(mecopt.InputError, match="num_envs: 0"):
        VectorPartition("paper", 0)
    with pytest.raises(mecopt.InputError, match="given together with source"):
        VectorPartition("paper", 1, instance="paper")


def test_next_and_draw_give_instances_of_the_source():
    rng = np.random.default_rng(0)
    fixed = Episodes("paper:slots=2,seed=3..5")
    assert fixed.spec is None
    assert {fixed.next(rng).sha256 for _ in range(20)} == {i.sha256 for i in fixed.samples}
    fresh = Episodes("paper:slots=2")
    assert (fresh.spec, fresh.servers, fresh.blocks, fresh.horizon) == ("paper:slots=2", 4, 6, 2)
    assert len({fresh.next(rng).sha256 for _ in range(5)}) == 5
