"""Training on a Ray cluster of two nodes: a node, a worker or the server may be lost, and it still ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest
import torch

from mecopt.errors import InputError, MecoptError, MissingExtraError
from mecopt_rl.training.checkpoint import load_policy, read
from mecopt_rl.training.loop import LAST, POLICY, TRAINING_FORMAT, Training, TrainingPlan

ray = pytest.importorskip("ray")
SMALL = {"width": 8, "layers": 1, "environments": 12}
PLAN = {"spec": "camera-vgg:slots=30", "learner": "markov-a3c", "engine": "ray", "validation_episodes": 4}


def plan(**changes):
    return TrainingPlan(**{**PLAN, "changes": {**SMALL, "branch_width": 8}, **changes})


def test_without_ray(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"--engine ray needs .* pip install 'mecopt\[ray\]'"):
        Training(plan(), tmp_path).run()


def test_an_address_that_does_not_answer(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.perf_counter()
    with pytest.raises(MecoptError, match=f"no Ray cluster answers at 127.0.0.1:{port}"):
        Training(plan(), tmp_path, address=f"127.0.0.1:{port}").run()
    assert time.perf_counter() - began < 15


def test_addresses_and_engines_are_checked(tmp_path):
    with pytest.raises(InputError, match="address: 'here:1', but the engine is 'local', expected 'ray'"):
        Training(plan(engine="local"), tmp_path, address="here:1")
    with pytest.raises(InputError, match="engine: 'spark', expected one of local, ray"):
        plan(engine="spark")


def test_the_card_repeats_the_engine():
    assert plan(workers=2).command.startswith("mecopt train camera-vgg:slots=30 --learner markov-a3c")
    assert " --workers 2 --seed 0 --engine ray " in plan(workers=2).command
    assert "--engine" not in plan(engine="local").command


def test_a_learner_without_a_parameter_server_says_so(tmp_path, monkeypatch):
    from mecopt_rl.learners.multitask_a3c import A3C

    monkeypatch.delattr(A3C, "remote")
    with pytest.raises(InputError, match="--engine ray: markov-a3c has no parameter server"):
        Training(plan(), tmp_path).run()


@pytest.fixture
def cluster():
    """Return a cluster, of a head that runs nothing and two nodes of one core each, and its nodes."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield made, [made.add_node(num_cpus=1) for _ in range(2)]
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")
def test_a_node_is_lost(cluster, tmp_path):
    """It goes while the second round runs, which takes seconds; all its episodes are run all the same."""
    made, nodes = cluster
    notes, seen = [], []

    def report(row):
        seen.append(row)
        if row["round"] == 0:
            threading.Timer(0.2, made.remove_node, (nodes[0],), {"allow_graceful": False}).start()

    many = {"environments": 2}  # updates
    chosen = plan(workers=2, episodes=300, round_episodes=100, seed=1, changes=many)
    running = Training(chosen, tmp_path, address=made.address, report=report, note=notes.append)
    first = {name: tensor.clone() for name, tensor in running.learner.state().items()}
    row = running.run()
    assert (row["episodes"], row["decisions"]) == (300, 300 * 30)
    assert [one["decisions"] for one in seen] == [100 * 30, 200 * 30, 300 * 30]
    assert notes
    assert all(re.match(r"a worker is lost \(.*\); its share of round [12] is run again", n) for n in notes)
    state, header = read(tmp_path / LAST, TRAINING_FORMAT)
    assert header["said"]["engine"] == "ray"
    moved = [name for name in first if not torch.equal(first[name], state[name])]
    assert {"cost", "optimiser.0.exp_avg", "network.score"} <= set(moved)
    assert load_policy(tmp_path / POLICY).card["training"]["command"] == chosen.command
    assert Training(chosen, tmp_path, address=made.address).complete


def processes(name):
    """Return processes of actors that descend from this one."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "".join(process.cmdline()).startswith(f"ray::{name}"):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("learner", ["dqn", "a3c"])
def test_workers_and_the_server_are_killed_in_the_middle(cluster, tmp_path, learner):
    made, _ = cluster
    notes = []
    chosen = plan(learner=learner, workers=2, episodes=120, round_episodes=40, changes=SMALL)
    running = Training(chosen, tmp_path, address=made.address, note=notes.append)

    def kill():
        while not any("run" in "".join(p.cmdline()) for p in processes("Maker")):
            time.sleep(0.01)
        os.kill(processes("Maker")[0].pid, signal.SIGKILL)
        while not running.rows:
            time.sleep(0.01)
        os.kill(processes("ParameterServer")[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    row = running.run()
    killer.join(10)
    assert (row["episodes"], row["decisions"]) == (120, 120 * 30)
    assert any("a worker is lost" in note for note in notes), notes
    assert any(re.search(r"the parameter server is lost .*; round \d begins anew", note) for note in notes)
    state = running.learner.state()
    if learner == "dqn":
        assert state["replay.added"].item() >= 40 * 30
        assert not torch.equal(state["network.head.score.bias"], state["target.head.score.bias"])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")
def test_from_the_command_line_a_node_is_killed_while_its_worker_is_busy(cluster, tmp_path):
    made, nodes = cluster
    out = tmp_path / "run"
    command = [sys.executable, "-m", "mecopt", "train", "camera-vgg:slots=100", "--learner", "mtl-a3c"]
    command += ["--workers", "2", "--episodes", "120", "--engine", "ray", "--address", made.address]
    process = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 200
        while not (out / LAST).exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        made.remove_node(nodes[1], allow_graceful=False)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "mecopt: warning: a worker is lost (" in errors
    rows = read(out / LAST, TRAINING_FORMAT)[1]["rows"]
    assert rows[-1]["decisions"] == 120 * 100
    assert rows[-1]["gap"] < rows[0]["gap"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")
def test_one_worker_on_ray_gives_the_bits_of_one_here(tmp_path):
    for engine in ("ray", "local"):
        Training(plan(engine=engine, episodes=8, round_episodes=4), tmp_path / engine).run()
    ours, theirs = (read(tmp_path / engine / LAST, TRAINING_FORMAT)[0] for engine in ("local", "ray"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
