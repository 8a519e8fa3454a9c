"""Agents that are killed or stopped in the middle of runs, runs that are killed, and broken messages.

Run: ``python benchmarks/deploy_faults.py [--quick]``; writes reports/deploy-faults/. A plan of six blocks
over a device and two servers, links shaped to 10 Mbit/s and 20 ms, 40 inputs, one at a time or as a pipeline;
one server is hit at a random moment. Sound is a run that ends with 40 outputs equal to the whole model's, or,
without --replan, one that ends with status 1, a line that names a server, and nothing on standard output.
Where `mecopt run` itself is killed, the agents that it started have to end by themselves.
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import ROOT, clean_tree, machine, table

import mecopt
from mecopt.deployment.agent import Agent
from mecopt.deployment.wire import SERVICE, packed

OUT = ROOT / "reports" / "deploy-faults"
INPUTS, BLOCKS = 40, 6
LINK = "1e7,0.02"
EARLIEST_S, LATEST_S = 0.5, 6.0  # of a hit, after the command was given: from its imports to its last blocks
LIMIT_S = 5.0  # of one input: a stopped agent is noticed after that
PATIENCE_S = 60.0
CLOSE = 1e-4
FIELDS = (
    "case", "replan", "pipeline", "moment_s", "victim", "status", "inputs", "difference", "ended_s", "said",
)  # fmt: skip
HEADERS: tuple[dict[str, Any], ...] = (
    {}, {"run": 1}, {"run": "none"}, {"parts": "x"},
    {"run": "r", "node": "es1", "stages": [], "everywhere": [], "peers": {}, "links": {}},
    {"run": "r", "node": "es1", "stages": [1], "everywhere": [], "peers": {}, "links": {}},
    {"bytes": 1 << 40, "times": 1, "link": {}, "address": "127.0.0.1:1"},
)  # fmt: skip
HEADS = ["hit", "--replan", "runs", "finished", "named end", "neither", "median s to the end", "longest"]
MESSAGES = ("answer", "messages")
HARMLESS = ("Hello", "Clock", "Sink")  # do nothing, whatever the message says


def files(folder: Path) -> list[str]:
    """Write network, model, instance and plan; return the words of a run."""
    from onnx import TensorProto, helper, numpy_helper, save

    draw, nodes, weights, now = np.random.default_rng(0), [], [], "x"
    for i in range(BLOCKS):
        kernel = 0.2 * draw.standard_normal((8, 8, 3, 3))
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"w{i}"))
        nodes.append(helper.make_node("Conv", [now, f"w{i}"], [f"c{i}"], f"conv{i}", pads=[1, 1, 1, 1]))
        now = f"c{i}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 24, 24]) for name in ("x", now)]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], weights)
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        str(folder / "net.onnx"),
    )
    document = mecopt.import_model(folder / "net.onnx")
    document.save(folder / "model.json")
    instance = mecopt.Instance(
        name="small",
        slot_count=1,
        models=(document.model,),
        devices=(mecopt.Device("camera", 1e9),),
        servers=(mecopt.Server("es1", 1e9), mecopt.Server("es2", 1e9)),
        links=mecopt.Links.of(2, 1e7),
        tasks=mecopt.Tasks.of(slot=0, device=0, model=0, blocks=BLOCKS, rate_bps=np.full((1, 2), 1e7)),
        rules=mecopt.Rules.preset("physical", deadline="none"),
    )
    mecopt.save(instance, folder / "instance.json")
    plan = {"format": "mecopt-solution/1", "placement": [[0, 0, 1, 1, 2, 2]]}
    (folder / "plan.json").write_text(json.dumps(plan))
    instance_file, plan_file, model_file = (
        str(folder / f"{name}.json") for name in ("instance", "plan", "model")
    )
    return [instance_file, plan_file, "--model", model_file]


def command(*words: object) -> list[str]:
    """Return a command line."""
    return [sys.executable, "-m", "mecopt", *map(str, words)]


@contextmanager
def agents() -> Iterator[dict[str, tuple[subprocess.Popen[str], str]]]:
    """Start an agent for each server: process and address."""
    started = {}
    try:
        for node in ("es1", "es2"):
            words = command("agent", "--tied", "--listen", "127.0.0.1:0")
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            started[node] = (process, process.stdout.readline().split()[-1])
        yield started
    finally:
        for process, _ in started.values():
            process.kill()
            process.communicate()


def hit(
    words: list[str], case: str, how: signal.Signals, draw: random.Random, replan: bool
) -> dict[str, Any]:
    """Hit a server while inputs go through; return what came of it."""
    pipeline, victim = draw.random() < 0.3, draw.choice(("es1", "es2"))
    moment = draw.uniform(EARLIEST_S, LATEST_S)
    options = [word for word, on in (("--replan", replan), ("--pipeline", pipeline)) if on]
    with agents() as there:
        where = ",".join(f"{node}={address}" for node, (_, address) in there.items())
        links = [f"{a}<>{b}={LINK}" for a, b in (("device", "es1"), ("device", "es2"), ("es1", "es2"))]
        shapes = [word for link in links for word in ("--shape", link)]
        run = subprocess.Popen(
            command(
                "run", *words, "--agents", where, "--random", INPUTS, "--limit", LIMIT_S, "--json",
                *options, *shapes,
            ),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            run.wait(moment)
        except subprocess.TimeoutExpired:
            there[victim][0].send_signal(how)
        began = time.monotonic()
        try:
            out, errors = run.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            run.kill()
            out, errors = run.communicate()
            errors = f"hung: {errors}"
    (plan,) = json.loads(out)["plans"] if out else ({},)
    return {
        "case": case, "replan": replan, "pipeline": pipeline, "moment_s": round(moment, 2), "victim": victim,
        "status": run.returncode, "inputs": plan.get("inputs"), "difference": plan.get("largest_difference"),
        "ended_s": round(time.monotonic() - began, 2),
        "said": next((line for line in errors.splitlines() if line.startswith(("mecopt: es", "hung"))), ""),
    }  # fmt: skip


def sound(row: dict[str, Any]) -> bool:
    """Say whether a run ended as it should."""
    if row["status"] == 0:
        return row["inputs"] == INPUTS and row["difference"] is not None and row["difference"] <= CLOSE
    named = str(row["said"]).startswith("mecopt: es")
    return not row["replan"] and row["status"] == 1 and row["inputs"] is None and named


def killed_run(words: list[str], draw: random.Random) -> dict[str, Any]:
    """Kill a run that started its own agents; return how long they outlive it."""
    moment = draw.uniform(1.0, 4.0)
    run = subprocess.Popen(
        command("run", *words, "--agents", "local", "--random", 500, "--shape", f"device<>es1={LINK}"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(moment)
    there = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.wait()
    began = time.monotonic()
    _, left = psutil.wait_procs(there, timeout=PATIENCE_S)
    return {
        "case": "run killed", "moment_s": round(moment, 2), "victim": "mecopt run",
        "status": len(left), "ended_s": round(time.monotonic() - began, 2),
        "said": f"{len(there)} agents, {len(left)} left",
    }  # fmt: skip


def fuzzed(draw: random.Random, samples: list[bytes]) -> bytes:
    """Return a message that was changed, cut or lengthened."""
    data = bytearray(draw.choice(samples))
    for _ in range(draw.randint(1, 8)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    cut = data[: draw.randrange(len(data) + 1)]
    return bytes(cut) if draw.random() < 0.25 else bytes(data) + draw.randbytes(draw.randrange(9))


def broken_messages(count: int) -> collections.Counter[str]:
    """Send broken messages to an agent in this process; count the answers."""
    import grpc

    agent, draw = Agent(), random.Random(1)
    channel = grpc.insecure_channel(agent.start())
    samples = [packed(header, {"x": np.ones(3)}) for header in HEADERS]
    answers: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        method, message = draw.choice([*agent._methods, "Part", "Nothing"]), fuzzed(draw, samples)
        name = f"/{SERVICE}/{method}"
        try:
            if method == "Part":
                channel.stream_unary(name)(iter([message, message]), timeout=10)
            else:
                channel.unary_unary(name)(message, timeout=10)
            answers["answered, by what does nothing" if method in HARMLESS else "obeyed"] += 1
        except grpc.RpcError as error:
            answers[error.code().name] += 1
    channel.unary_unary(f"/{SERVICE}/Hello")(packed({}), timeout=10)  # raises if it is gone
    answers["runs that were begun"] = len(agent.works)
    channel.close()
    agent.stop()
    return answers


def main() -> None:
    """Do all of it, and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    share = 10 if parser.parse_args().quick else 1
    draw, rows = random.Random(2026), []
    with tempfile.TemporaryDirectory() as temporary:
        words = files(Path(temporary))
        kinds = [("killed", signal.SIGKILL, 50), ("stopped", signal.SIGSTOP, 10)]
        for case, how, count in kinds:
            for i in range(max(count // share, 2)):
                rows.append(hit(words, case, how, draw, replan=i % 2 == 1))
                print(rows[-1], flush=True)
        for _ in range(max(10 // share, 1)):
            rows.append(killed_run(words, draw))
            print(rows[-1], flush=True)
    write(rows, broken_messages(2000 // share))


def write(rows: list[dict[str, Any]], answers: collections.Counter[str]) -> None:
    """Write the page and the raw tables."""
    OUT.mkdir(parents=True, exist_ok=True)
    messages = [{"answer": answer, "messages": count} for answer, count in answers.items()]
    for name, columns, content in (("runs.csv", FIELDS, rows), ("messages.csv", MESSAGES, messages)):
        with (OUT / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(content)
    page = [
        "# Agents killed, stopped and told nonsense",
        "",
        "Made by `python benchmarks/deploy_faults.py`, whose first lines say what is done and what is sound.",
        f"{INPUTS} inputs over a device and two servers, hit {EARLIEST_S:g} to {LATEST_S:g} s after the",
        "command was given.",
        "",
        table(HEADS, summary(rows)),
        "",
        "Finished: all outputs there and equal to the whole model's; hits behind the last input are among",
        "them. A stopped agent still holds its connections, so it is noticed when an input or an answer is",
        f"late: `--limit {LIMIT_S:g}`, of a pipeline four times that.",
        "",
        *of_killed_runs(rows),
        "",
        "Broken messages to one agent, by what it answered:",
        "",
        table(["answer", "messages"], [[name, str(n)] for name, n in sorted(answers.items())]),
        "",
        *machine("numpy", "onnxruntime", "grpcio"),
        "",
    ]  # fmt: skip
    (OUT / "README.md").write_text("\n".join(page))


def summary(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return a line for each kind of hit, with and without --replan."""
    found = []
    for case in ("killed", "stopped"):
        for replan in (False, True):
            mine = [row for row in rows if row["case"] == case and row["replan"] is replan]
            good = [row for row in mine if sound(row)]
            done = sum(row["status"] == 0 for row in good)
            seconds = [row["ended_s"] for row in mine]
            counts = (len(mine), done, len(good) - done, len(mine) - len(good))
            times = (f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}")
            found.append([case, "yes" if replan else "no", *map(str, counts), *times])
    return found


def of_killed_runs(rows: list[dict[str, Any]]) -> list[str]:
    """Say what came of agents whose run was killed."""
    mine = [row for row in rows if row["case"] == "run killed"]
    left = sum(row["status"] for row in mine)
    before = sum(row["said"].startswith("0 agents") for row in mine)
    longest = max(row["ended_s"] for row in mine)
    return [
        f"`mecopt run --agents local` was killed {len(mine)} times, in {before} of them before it had",
        f"started an agent; {left} agents were left, the others ended within {longest:.1f} s of it.",
    ]


if __name__ == "__main__":
    clean_tree()
    main()
