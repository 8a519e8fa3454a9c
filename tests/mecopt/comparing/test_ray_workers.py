"""Runs on a Ray cluster: every row arrives once, also when a node dies; what does not answer is told soon."""

import builtins
import os
import socket
import subprocess
import sys
import time
from collections import Counter

import pytest
from faulty_methods import install
from places import INSTANCES

import mecopt
from mecopt.comparing import Comparison
from mecopt.errors import InputError, MecoptError, MissingExtraError

ray = pytest.importorskip("ray")
TINY = INSTANCES / "tiny_paper.json"
TIMES = ["cpu_s", "wall_s", "started"]


def refused(address):
    began = time.perf_counter()
    with pytest.raises(MecoptError, match="no Ray cluster answers"):
        mecopt.compare(TINY, "trellis", engine="ray", address=address)
    return time.perf_counter() - began


def test_without_ray(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "ray":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'mecopt\[ray\]'"):
        mecopt.compare(TINY, "trellis", engine="ray")


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert refused(f"127.0.0.1:{port}") < 15
    with pytest.raises(InputError, match="expected HOST:PORT or auto"):
        mecopt.compare(TINY, "trellis", engine="ray", address="somewhere")


@pytest.mark.slow
def test_somebody_else_listens():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert refused(f"127.0.0.1:{other.getsockname()[1]}") < 15


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")
def test_a_cluster_that_loses_a_node(tmp_path, monkeypatch):
    """Two nodes make the runs; one is killed in the middle."""
    from ray.cluster_utils import Cluster

    site = tmp_path / "site"
    site.mkdir()
    log = tmp_path / "steady.log"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((install(site), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.setenv("STEADY_LOG", str(log))
    monkeypatch.setenv("STEADY_S", "0.5")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        command = [sys.executable, "-m", "mecopt", "compare", TINY, "paper:slots=2"]
        command += ["--methods", "steady,trellis,hangs", "--seeds", "20", "--time-limit", "3"]
        distributed = ["--engine", "ray", "--address", cluster.address, "--out", tmp_path / "ray"]
        process = subprocess.Popen(
            [*map(str, command), *map(str, distributed)],
            stderr=subprocess.PIPE,
            text=True,
            stdout=subprocess.DEVNULL,
        )
        try:
            makers = set()
            deadline = time.monotonic() + 120
            while len(makers) < 2 or Counter(line.split()[0] for line in lines(log))["end"] < 8:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                makers = {line.split()[-1] for line in lines(log)}
                time.sleep(0.05)
            cluster.remove_node(nodes[0], allow_graceful=False)
            _, errors = process.communicate(timeout=300)
        finally:
            process.kill()
        assert process.returncode == 0, errors
    finally:
        cluster.shutdown()
    with Comparison.open(tmp_path / "ray") as comparison:
        runs, info = comparison.runs, comparison.info
    assert (info["engine"], info["workers"]) == ("ray", 2)
    assert len(runs) == 2 * (20 + 1 + 1)
    assert not runs.duplicated(["instance", "method", "seed"]).any()
    assert set(runs.loc[runs["method"] == "hangs", "status"]) == {"timeout"}
    assert set(runs.loc[runs["method"] != "hangs", "status"]) <= {"optimal", "feasible"}
    begun = Counter(tuple(line.split()[1:3]) for line in lines(log) if line.startswith("begin"))
    assert len(begun) == 40
    assert sum(begun.values()) <= 42  # what the lost node was at, is made again
    assert max(begun.values()) <= 2


def lines(log):
    return log.read_text().splitlines() if log.exists() else []
