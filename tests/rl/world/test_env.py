"""The environment against the judge, the checkers of Gymnasium and Stable-Baselines3, and their learners."""

import itertools
import math
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
import strategies
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

import mecopt
from mecopt.documents import to_dict
from mecopt.entities import Coupling
from mecopt.generation import names
from mecopt_rl.world.env import Partition
from mecopt_rl.world.fleet import in_order
from mecopt_rl.world.masks import decide, lanes
from mecopt_rl.world.observation import OPTIONAL, PAPER

SMALL = "camera-alexnet-deadline:slots=6"
COUPLED = "crowd:release_rate=6,slots=2,couplings=capacity,server_memory_bytes=1e8"
MANY = [
    SMALL,
    "paper:slots=4,couplings=energy,energy_budget_share=0.8",
    "crowd:release_rate=5,slots=2,couplings=capacity,memory,server_memory_bytes=1e8,device_memory_bytes=1e8",
]


def run(env, choose):
    """Play one episode; return the sums of reward and infos, and the placement in the instance's order."""
    observation, info = env.reset(seed=3)
    order = in_order(env.instance)
    placement = np.full((len(order), env.instance.max_blocks), -1)
    total, sums, terminated = 0.0, {}, False
    for k in order:
        assert not terminated
        assert env.observation_space.contains(observation)
        observation, reward, terminated, truncated, info = env.step(choose(env))
        assert not truncated
        placement[k] = info["placement"]
        total += reward
        assert np.isclose(info["block_cost"].sum(), -reward)
        for name in info.keys() - {"placement", "block_cost"}:
            sums[name] = sums.get(name, 0) + info[name]
    assert terminated
    return total, sums, placement


def agrees_with_the_judge(env, total, sums, placement):
    judged = mecopt.evaluate(env.instance, placement)
    assert not judged.steps.missing.any()
    assert -total == pytest.approx(float(judged.task_objective_s.sum()) + sums["signal_s"], rel=1e-12)
    assert sums["local_delay_s"] == pytest.approx(judged.local_delay_s, rel=1e-12)
    assert sums["edge_delay_s"] == pytest.approx(judged.edge_delay_s, rel=1e-12)
    assert sums["energy_j"] == pytest.approx(judged.energy_j, rel=1e-12)
    assert sums["violations"] == len(judged.violations)
    full = any(violation.kind in ("capacity", "memory") for violation in judged.violations)
    assert full == (sums["forced"] > 0)
    rules = env.instance.rules
    late = rules.deadline_penalty * float(judged.task_excess_s.sum()) if rules.deadline == "hard" else 0.0
    assert sums["signal_s"] == pytest.approx(late, rel=1e-12)
    return judged


@strategies.examples(60)
@given(strategies.documents(blocks=4, tasks=6), st.integers(0, 2**32))
def test_rewards_and_infos_are_those_of_the_judge(document, seed):
    rng = np.random.default_rng(seed)
    env = Partition(mecopt.from_dict(document))
    outcome = run(env, lambda env: rng.integers(env.action_space.nvec))
    agrees_with_the_judge(env, *outcome)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", names())
def test_every_regime(name):
    rng = np.random.default_rng(0)
    slots = "" if name == "crowd" else ":slots=20"
    env = Partition(spec=name + slots)
    total, sums, placement = run(env, lambda env: rng.integers(env.action_space.nvec))
    judged = agrees_with_the_judge(env, total, sums, placement)
    free = not env.instance.rules.couplings
    best = mecopt.solve(env.instance, "trellis").objective if free else None
    if free and env.instance.rules.deadline != "hard":
        assert -total == pytest.approx(judged.objective, rel=1e-12)
        assert sums["optimum"] == pytest.approx(best, rel=1e-9)
    assert sums["optimum"] <= -total


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("spec", MANY)
def test_the_checkers_of_gymnasium_and_stable_baselines(spec, flat):
    from stable_baselines3.common.env_checker import check_env as check_sb3

    env = Partition(spec=spec, flat=flat)
    check_env(env, skip_render_check=True)
    check_sb3(env)


def test_it_is_made_by_name():
    env = gymnasium.make("mecopt_rl.gym:mecopt/Partition-v0", instance=mecopt.generate(SMALL))
    assert isinstance(env.unwrapped, Partition)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)


def test_gymnasium_finds_it_without_another_import_and_without_torch():
    code = f"""
import sys, gymnasium
env = gymnasium.make("mecopt_rl.gym:mecopt/Partition-v0", spec={SMALL!r})
env.reset(seed=0)
print([name for name in ("torch", "stable_baselines3", "ray", "pandas") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_time_limit_truncates():
    env = gymnasium.make("mecopt_rl.gym:mecopt/Partition-v0", spec=SMALL, max_episode_steps=4)
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(4)]
    assert ends == [(False, False)] * 3 + [(False, True)]


def test_the_same_seed_gives_the_same_episode():
    for spec in MANY:
        first, second, other = (Partition(spec=spec) for _ in range(3))
        assert np.array_equal(first.reset(seed=5)[0], second.reset(seed=5)[0])
        assert first.instance == second.instance
        other.reset(seed=6)
        assert other.instance != first.instance
        first.reset()
        assert first.instance != second.instance  # the next episode is a fresh one


def test_a_fixed_instance_stays():
    instance = mecopt.generate(SMALL)
    env = Partition(instance)
    for _ in range(2):
        env.reset()
        assert env.instance is instance


def test_the_file_of_an_instance(tmp_path):
    mecopt.save(mecopt.generate(SMALL), tmp_path / "a.json")
    assert Partition(str(tmp_path / "a.json")).reset()[1] == {"tasks": 6}


def test_dictionary_and_vector_hold_the_same():
    flat, named = Partition(spec=SMALL), Partition(spec=SMALL, flat=False)
    vector, parts = flat.reset(seed=1)[0], named.reset(seed=1)[0]
    assert list(parts) == list(flat.encoder.parts)
    for name, part in parts.items():
        assert np.array_equal(vector[flat.encoder.slices[name]], part)


def test_padding_is_ignored():
    document = to_dict(mecopt.generate("crowd:release_rate=4,slots=1"))
    short = {**document["models"][0], "name": "short", "blocks": document["models"][0]["blocks"][:2]}
    document["models"].append(short)
    for task in document["tasks"][::2]:
        task["model"] = "short"
        if isinstance(task.get("max_delay_s"), list):
            task["max_delay_s"] = task["max_delay_s"][:2]
    env = Partition(mecopt.from_dict(document))
    rows = []
    for behind in (0, 4):
        env.reset()
        assert env.action_masks().reshape(6, 5)[2:].tolist() == [[True] + [False] * 4] * 4
        _, reward, *_, info = env.step(np.array([1, 1, *[behind] * 4]))
        assert info["placement"][2:].tolist() == [-1] * 4
        rows.append((reward, info["placement"].tolist()))
    assert rows[0] == rows[1]


BAD = [
    ([0] * 5, r"actions: int64 of shape \(1, 5\), expected whole numbers of shape \(1, 6\)"),
    ([0.5] * 6, "actions: float64"),
    ([0, 0, 5, 0, 0, 0], r"actions\[0\]\[2\]: 5, expected 0 to 4"),
    ([0, -1, 0, 0, 0, 0], r"actions\[0\]\[1\]: -1, expected 0 to 4"),
]


@pytest.mark.parametrize(("action", "text"), BAD)
def test_bad_actions(action, text):
    env = Partition(spec=SMALL)
    env.reset(seed=0)
    with pytest.raises(mecopt.InputError, match=text):
        env.step(action)
    env.step([0] * 6)  # and goes on as if nothing had happened


def test_bad_use():
    env = Partition(spec=SMALL)
    for call in (lambda: env.step([0] * 6), env.action_masks, lambda: env.instance):
        with pytest.raises(mecopt.InputError, match=r"expected reset\(\) first"):
            call()
    run(env, lambda env: env.action_space.sample())
    with pytest.raises(mecopt.InputError, match="the episode has ended"):
        env.step([0] * 6)
    env.reset()
    for m, chosen, text in (
        (6, [], "block 6: expected 0 to 5"),
        (2, [1], "expected 2 nodes"),
        (1, [9], "9 to 9"),
    ):
        with pytest.raises(mecopt.InputError, match=text):
            env.block_mask(m, chosen)


BAD_SOURCES = [
    ({}, "either instance=... or spec=..."),
    ({"instance": [], "spec": None}, "expected an instance"),
    ({"spec": "papier"}, "papier: no file, setting"),
    ({"spec": "paper:servers=2..3"}, "expected one number of servers"),
    ({"spec": "paper:deadline=hard|soft,max_delay_s=7"}, "different rules"),
    ({"spec": "paper", "parts": ("cycle",)}, "parts: 'cycle'"),
    ({"spec": "paper", "parts": ()}, "parts: expected different ones"),
]


@pytest.mark.parametrize(("arguments", "text"), BAD_SOURCES)
def test_bad_sources(arguments, text):
    with pytest.raises(mecopt.InputError, match=text):
        Partition(**arguments)


def test_an_encoder_for_another_shape():
    encoder = Partition(spec="paper:servers=3").encoder
    with pytest.raises(mecopt.InputError, match="expected 3 servers and up to 6 blocks"):
        Partition(spec="paper", encoder=encoder)
    with pytest.raises(mecopt.InputError, match="given together with encoder"):
        Partition(spec="paper:servers=3", encoder=encoder, parts=PAPER[:3])


def test_all_parts_can_be_asked_for():
    env = Partition(spec=COUPLED, parts=PAPER + OPTIONAL)
    check_env(env, skip_render_check=True)
    run(env, lambda env: env.action_space.sample())


# --- what the masks promise ---
def allowed(reference, k, path, before):
    """Say whether the links of a whole path exist and the servers have room for it besides `before`."""
    placement = [*before, path]
    if not reference.has_links(k, path):
        return False
    kinds = {kind for kind, *_ in broken(reference, placement)}
    return not kinds & {"capacity", "memory"}


def broken(reference, placement):
    """The reference's violations of the first tasks only."""
    tasks = reference.tasks
    reference.tasks = tasks[: len(placement)]
    try:
        return reference.broken(placement)
    finally:
        reference.tasks = tasks


@strategies.examples(60)
@given(
    strategies.small_documents(tasks=3, blocks=3, slots=1, couplings=("capacity", "memory")),
    st.integers(0, 2**32),
)
def test_masks_are_necessary_and_block_masks_exact(document, seed):
    from reference import Reference

    document["tasks"].sort(key=lambda task: task["slot"])
    instance, reference = mecopt.from_dict(document), Reference(document)
    rng, env = np.random.default_rng(seed), Partition(instance)
    env.reset()
    nodes, before = instance.server_count + 1, []
    for k in range(instance.task_count):
        blocks = int(instance.block_count[k])
        masks = env.action_masks().reshape(-1, nodes)
        good = [path for path in reference.paths(k) if allowed(reference, k, path, before)]
        for m in range(blocks):
            used = {path[m] for path in good}
            assert used <= set(np.flatnonzero(masks[m]))
        # The blocks in turn: exactly the nodes that fit now and leave a way to the end.
        chosen = []
        for m in range(blocks):
            mask = env.block_mask(m, chosen)
            assert mask.any()
            fits = {j for j in range(nodes) if fits_now(reference, k, [*chosen, j], before)}
            if fits:
                assert set(np.flatnonzero(mask)) == fits
            else:
                assert mask.sum() == 1
            chosen.append(int(rng.choice(np.flatnonzero(mask))))
        _, _, _, _, info = env.step(np.array([*chosen, *[0] * (instance.max_blocks - blocks)]))
        assert info["repairs"] == 0
        assert info["placement"][:blocks].tolist() == chosen
        before.append(tuple(chosen))


def fits_now(reference, k, prefix, before):
    """Whether the last block of the prefix breaks nothing that was whole, and the end can be reached."""
    blocks = len(reference.blocks(k))
    m, j = len(prefix) - 1, prefix[-1]
    previous = prefix[-2] if m else 0
    if not reference.allowed(k, previous, j):
        return False
    tails = itertools.product(range(len(reference.servers) + 1), repeat=blocks - len(prefix))
    if not any(ends(reference, k, j, tail) for tail in tails):
        return False
    return not over(reference, k, prefix, before)


def ends(reference, k, j, tail):
    """Whether the links from node j along the tail, and the result's way home, exist."""
    home = reference.result_return(k, (j, *tail)[-1])
    return home < math.inf and all(reference.allowed(k, a, b) for a, b in itertools.pairwise((j, *tail)))


def over(reference, k, prefix, before):
    """Whether the last block of the prefix takes its node over a limit; what needs nothing never does."""
    from reference import within

    m, j = len(prefix) - 1, prefix[-1]
    slot, model = reference.tasks[k]["slot"], reference.tasks[k]["model"]
    same = [(i, path) for i, path in enumerate(before) if reference.tasks[i]["slot"] == slot]
    if "capacity" in reference.couplings and j > 0:
        load = sum(reference.calculation(i, b, n) for i, path in same for b, n in enumerate(path) if n == j)
        load += sum(reference.calculation(k, b, n) for b, n in enumerate(prefix[:-1]) if n == j)
        work = reference.calculation(k, m, j)
        if work > 0 and not within(load + work, reference.slot_s):
            return True
    if "memory" in reference.couplings:
        own = reference.tasks[k]["device"]
        parts = {}
        for i, path in same:
            for b, n in enumerate(path):
                if n == j and (j > 0 or reference.tasks[i]["device"] == own):
                    parts[reference.tasks[i]["model"], b] = reference.blocks(i)[b].get("param_bytes", 0)
        for b, n in enumerate(prefix[:-1]):
            if n == j:
                parts[model, b] = reference.blocks(k)[b].get("param_bytes", 0)
        size = reference.blocks(k)[m].get("param_bytes", 0)
        holder = reference.device(k) if j == 0 else reference.servers[j - 1]
        memory = holder.get("memory_bytes")
        if memory is not None and (model, m) not in parts and size > 0:
            return not within(sum(parts.values()) + size, memory)
    return False


def test_a_forbidden_choice_becomes_the_cheapest_allowed_one():
    document = to_dict(mecopt.generate("camera-vgg:slots=1,servers=3,blocks=2"))
    document["tasks"][0]["rate_bps"] = [1e7, 0, 1.1e7]
    env = Partition(mecopt.from_dict(document))
    env.reset()
    assert env.action_masks().reshape(2, 4)[0].tolist() == [True, True, False, True]
    *_, info = env.step(np.array([2, 1]))
    alone = []
    for node in (0, 1, 3):
        env.reset()
        alone.append((env.step(np.array([node, node]))[-1]["block_cost"][0], node))
    assert info["repairs"] == 1
    assert info["placement"][0] == min(alone)[1]


def test_where_nothing_is_allowed_the_least_excess_is_taken():
    document = to_dict(mecopt.generate("camera-vgg:slots=1,servers=2,blocks=1"))
    document["rules"]["couplings"] = ["memory"]
    for holder, size in zip((*document["devices"], *document["servers"]), (10.0, 1e3, 1e4), strict=True):
        holder["memory_bytes"] = size
    env = Partition(mecopt.from_dict(document))
    env.reset()
    assert env.block_mask(0, []).tolist() == [False, False, True]
    assert env.action_masks().all()  # no link is missing
    *_, info = env.step(np.array([0]))
    assert (info["placement"].tolist(), info["repairs"], info["forced"]) == ([2], 1, 1)
    assert info["violations"] == 1


# --- a whole instance at once ---
@strategies.examples(40)
@given(strategies.documents(blocks=4, tasks=6), st.integers(0, 2**32))
def test_deciding_an_instance_side_by_side_makes_the_same_choices(document, seed):
    instance = mecopt.from_dict(document)
    env = Partition(instance)
    wanted = np.random.default_rng(seed).integers(
        0, instance.server_count + 1, (instance.task_count, instance.max_blocks)
    )
    order = iter(in_order(instance))
    _, sums, placement = run(env, lambda env: wanted[next(order)])
    decided = decide(instance, env.encoder, lambda fleet: wanted[fleet.now])
    assert np.array_equal(decided.placement, placement)
    assert (decided.repairs, decided.forced) == (sums["repairs"], sums["forced"])


def test_lanes_hold_every_task_once_and_keep_apart_what_is_joined():
    for couplings, width in ((), 12), (("capacity",), 3), (("memory", "energy"), 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            instance = mecopt.generate("crowd:slots=3,release_rate=4", couplings=couplings)
        columns = lanes(instance)
        assert columns.shape == (12 // width, width)
        assert sorted(columns.ravel()) == list(range(12))
        if Coupling.CAPACITY in instance.rules.couplings:
            assert (np.diff(instance.tasks.slot[columns], axis=0) == 0).all()


# --- learners of other libraries ---
def test_a2c_of_stable_baselines_trains():
    from stable_baselines3 import A2C

    model = A2C("MlpPolicy", Partition(spec=SMALL), n_steps=20, seed=0, device="cpu")
    model.learn(400)
    action, _ = model.predict(Partition(spec=SMALL).reset(seed=0)[0], deterministic=True)
    assert action.shape == (6,)


def test_maskable_ppo_keeps_to_the_masks():
    from sb3_contrib import MaskablePPO

    document = to_dict(mecopt.generate("camera-vgg:slots=8"))
    for task in document["tasks"]:
        task["rate_bps"][1] = 0  # server 2 has no link to the device, and none to other servers
    rates = np.full((4, 4), 1e8)
    rates[1] = rates[:, 1] = 0
    document["links"]["server_bps"] = rates.tolist()
    env = Partition(mecopt.from_dict(document))
    model = MaskablePPO("MlpPolicy", env, n_steps=32, batch_size=16, n_epochs=1, seed=0, device="cpu")
    model.learn(64)
    observation, _ = env.reset()
    for _ in range(8):
        action, _ = model.predict(observation, action_masks=env.action_masks())
        assert (action != 2).all()
        observation, *_, info = env.step(action)
        assert info["repairs"] == 0
