"""mecopt agent, run, probe and watch as a user types them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from places import ROOT

import mecopt


def command(*words):
    return [sys.executable, "-m", "mecopt", *map(str, words)]


def mecopt_says(*words, status=0):
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def files(tmp_path_factory, onnx_file, instance, whole):
    folder = tmp_path_factory.mktemp("deployed")
    model = folder / "small.json"
    shutil.copy(onnx_file, folder / "small.onnx")
    whole.document.save(model)
    mecopt.save(instance, folder / "instance.json")
    for name, row in (("plan", [0, 0, 1, 1]), ("other", [1, 1, 1, 1])):
        text = json.dumps({"format": "mecopt-solution/1", "placement": [row]})
        (folder / f"{name}.json").write_text(text)
    return folder


@pytest.fixture(scope="module")
def address():
    """The address of an agent in a process of its own, which a SIGTERM ends."""
    process = subprocess.Popen(
        command("agent", "--listen", "127.0.0.1:0"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    assert line.startswith("mecopt agent: listens on 127.0.0.1:"), process.stderr.read()
    yield line.split()[-1]
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "mecopt: interrupted\n")


def test_run(files, address):
    done = mecopt_says(
        "run", files / "instance.json", files / "plan.json", files / "other.json",
        "--model", files / "small.json", "--agents", f"es1={address}",
        "--random", 3, "--shape", "device<>es1=1e8,0.001",
        "--out", files / "out.json", "--outputs", files / "y.npz", "--json",
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert document == json.loads((files / "out.json").read_text())
    assert len(document["plans"]) == 2
    assert all(plan["largest_difference"] <= 1e-4 for plan in document["plans"])
    (rows, _) = (plan["blocks"]["rows"] for plan in document["plans"])
    assert [one["node"] for one in rows] == ["device", "device", "es1", "es1"]
    assert all(one["measured_alone_s"] > 0 for one in rows)
    with np.load(files / "y.npz") as outputs:
        assert outputs["y"].shape == (3, 1, 10)
    shown = mecopt_says(
        "run", files / "instance.json", files / "plan.json", "--model", files / "small.json",
        "--agents", f"es1={address}", "--random", 4, "--pipeline", "--plot", files / "run.png",
    )  # fmt: skip
    assert "Period: predicted" in shown.stdout
    assert (files / "run.png").read_bytes().startswith(b"\x89PNG")
    assert "largest difference from the whole model" in shown.stdout
    assert "4 inputs went through block by block, each block a session of its own" in shown.stdout
    assert "es1, blocks 2-3: " in shown.stdout
    (short,) = json.loads(
        mecopt_says(
            "run", files / "instance.json", files / "plan.json", "--model", files / "small.json",
            "--agents", f"es1={address}", "--random", 1, "--no-blocks", "--json",
        ).stdout
    )["plans"]  # fmt: skip
    assert short["blocks"] is None


def test_from_a_file_to_a_measured_run_in_five_commands(files, tmp_path):
    """As docs/deploy.md pastes them."""
    shutil.copy(files / "small.onnx", tmp_path / "net.onnx")
    page = (ROOT / "docs" / "deploy.md").read_text()
    lines = (
        next(part for part in page.split("```sh\n") if part.startswith("printf")).split("```")[0].splitlines()
    )
    assert len(lines) == 6
    shell = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for line in lines:
        line = line.replace("--blocks 6", "--blocks 3").replace(
            "profile model.json", "profile model.json --repeat 2"
        )
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=shell, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    assert "largest difference from the whole model" in done.stdout


def test_local_agents_serve_plans_on_servers(files):
    plan = [files / "instance.json", files / "plan.json", "--model", files / "small.json"]
    done = mecopt_says("run", *plan, "--agents", "local", "--random", 1, "--json")
    (found,) = json.loads(done.stdout)["plans"]
    assert [one["node"] for one in found["stretches"]] == ["device", "es1", "device"]


def test_local_agents_end_with_a_run_that_is_killed(files):
    """Nobody is left to end them."""
    run = subprocess.Popen(
        command(
            "run", files / "instance.json", files / "plan.json", "--model", files / "small.json",
            "--agents", "local", "--random", 500, "--shape", "device>es1=1e7,0.02",
        ),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    me = psutil.Process(run.pid)
    until(lambda: me.children())
    agents = me.children(recursive=True)
    until(lambda: any(one.net_connections() for one in agents))
    run.kill()
    run.wait()
    gone, left = psutil.wait_procs(agents, timeout=15)
    assert (len(gone), left) == (1, [])


def until(holds, seconds=20):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_probe(files, address):
    done = mecopt_says(
        "probe", "--agents", f"device={address},es1={address}", "--shape", "device>es1=8e7,0.002",
        "--out", files / "links.csv", "--json",
    )  # fmt: skip
    there, back = json.loads(done.stdout)["links"]
    assert (there["from"], there["to"]) == ("device", "es1")
    assert there["rate_bps"] == pytest.approx(8e7, rel=0.3)
    assert 0.002 <= there["latency_s"] < 0.02
    assert back["rate_bps"] > 2e8
    assert (files / "links.csv").read_text().splitlines()[0] == "from,to,rate_bps,latency_s"


def test_watch(files, address):
    done = mecopt_says(
        "watch", files / "instance.json", files / "plan.json", "--model", files / "small.json",
        "--agents", f"es1={address}", "--rounds", 2, "--every", 0, "--random", 2,
        "--tolerance", 100, "--json",
    )  # fmt: skip
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["round"] for one in rounds] == [1, 2]
    assert all(one["measured_s"] > 0 for one in rounds)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--agents", "es1"], "--agents es1: expected NODE=HOST:PORT"),
        (["--agents", "es1=h:1,es1=h:2"], "each node once"),
        (["--agents", "es1=127.0.0.1:1", "--shape", "a=b"], "--shape a=b: expected FROM>TO=BPS,SECONDS"),
        (["--agents", "es1=127.0.0.1:99999"], "--agents es1=127.0.0.1:99999: expected NODE=HOST:PORT"),
        (["--agents", "es1=127.0.0.1:1", "--shape", "device>es1=inf,0"], "expected FROM>TO=BPS,SECONDS"),
        (["--agents", "es1=127.0.0.1:1", "--shape", "device>es9=1,0"], "'es9' is no node"),
        (["--agents", "es1=127.0.0.1:1", "--limit", "inf"], "inf, expected a finite number"),
        (["--agents", "es1=127.0.0.1:1", "--outputs", "y.txt"], "ends in .npz or .safetensors"),
        (["--agents", "es1=127.0.0.1:1", "--inputs", "none.npz"], "none.npz"),
        (["--agents", "es1=127.0.0.1:1", "--out", "/nowhere/x.json"], "--out /nowhere/x.json"),
        (["--agents", "es1=127.0.0.1:1", "--token-file", "none"], "none: no such file"),
    ],
)
def test_bad_usage_is_one_line(files, words, text):
    plan = [files / "instance.json", files / "plan.json", "--model", files / "small.json"]
    done = mecopt_says("run", *plan, *words, status=2)
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_read_is_not_written_over(files):
    plan = [files / "instance.json", files / "plan.json", "--model", files / "small.json"]
    before = (files / "small.onnx").read_bytes()
    for option in ("--outputs", "--out"):
        done = mecopt_says("run", *plan, "--agents", "local", option, files / "small.onnx", status=2)
        assert "is read by this command" in done.stderr
    done = mecopt_says(
        "profile", files / "small.json", "--hardware", "x", "--out", files / "small.onnx", status=2
    )
    assert "is read by this command" in done.stderr
    assert (files / "small.onnx").read_bytes() == before


def test_another_file_than_was_imported(files, tmp_path):
    (tmp_path / "small.onnx").write_bytes((files / "small.onnx").read_bytes() + b"\0")
    (tmp_path / "small.json").write_bytes((files / "small.json").read_bytes())
    plan = [files / "instance.json", files / "plan.json", "--model", tmp_path / "small.json"]
    done = mecopt_says("run", *plan, "--agents", "es1=127.0.0.1:1", status=2)
    assert "is another file than the one that was imported" in done.stderr


def test_nobody_there(files):
    plan = [files / "instance.json", files / "plan.json", "--model", files / "small.json"]
    done = mecopt_says("run", *plan, "--agents", "es1=127.0.0.1:1", status=1)
    assert done.stderr.startswith("mecopt: es1: no agent at 127.0.0.1:1")


def killed_in_the_middle(files, seed, *words):
    """Kill an agent while inputs go through; return what the command says."""
    agent = subprocess.Popen(command("agent", "--listen", "127.0.0.1:0"), stdout=subprocess.PIPE, text=True)
    at = agent.stdout.readline().split()[-1]
    run = subprocess.Popen(
        command(
            "run", files / "instance.json", files / "plan.json", "--model", files / "small.json",
            "--agents", f"es1={at}", "--random", 60, "--shape", "device>es1=1e7,0.02", "--json", *words,
        ),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(1.0 + 2.5 * float(np.random.default_rng(seed).random()))
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait()
    agent.stdout.close()
    out, errors = run.communicate(timeout=40)
    return run.returncode, out, errors


def sound(status, out, errors, replan):
    """Say whether an end is a finished run with equal outputs, or a named error."""
    if status == 0:
        (plan,) = json.loads(out)["plans"]
        return plan["inputs"] == 60 and plan["largest_difference"] <= 1e-4
    return not replan and status == 1 and out == "" and "mecopt: es1: " in errors


@pytest.mark.parametrize("words", [(), ("--replan",)])
def test_an_agent_killed_in_the_middle(files, words):
    assert sound(*killed_in_the_middle(files, 7, *words), bool(words))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("words", [(), ("--replan",)])
def test_fifty_kills(files, words, seed):
    assert sound(*killed_in_the_middle(files, seed, *words), bool(words))


@pytest.mark.slow
def test_links_that_the_kernel_shapes():
    """Where the machine allows it; else the script says what it lacks."""
    probe = 'mecopt probe --agents "$AGENTS" --token-file "$TOKEN" --tls-ca "$CA" --json'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "benchmarks" / "namespaces.sh", "10", probe],
        env={**os.environ, "PATH": path, "NODES": "device es1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode == 3:
        assert done.stderr.startswith("namespaces: ")
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    for link in json.loads(done.stdout)["links"]:
        assert 8.5e6 < link["rate_bps"] < 1e7  # headers take the rest
