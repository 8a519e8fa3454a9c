"""What `faults.py` hits: every command that keeps something, on small work, and how to read what it kept."""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import ROOT

from mecopt.comparing import Comparison
from mecopt.errors import InputError

INSTANCES = ROOT / "instances"
TIMES = ("cpu_s", "wall_s", "started", "run", "host", "peak_memory_bytes")
ONNX = "net.onnx"

# The command with a budget of seconds; its own smallest one takes minutes.
REPRODUCE = """
from mecopt_rl.reproduce import experiments as ex, running
ex.BUDGETS["quick"] = ex.Budget(
    "quick", 3, episodes=2, round_episodes=1, validation_episodes=1, seeds=1, scope="some")
ex.variations = lambda budget: []
running.machine.cores = lambda: 1
from mecopt.__main__ import run
run()
"""

Found = dict[str, Any]  # what a folder holds: by a name, what does not change from run to run


@dataclass(frozen=True)
class Command:
    """A command that keeps something in `folder`."""

    name: str
    words: Callable[[Path], list[str]]
    read: Callable[[Path], Found]  # raises where something is not whole
    kept: Callable[[Path], dict[Any, Any]] = lambda folder: {}  # what has to stay, with its times
    rival: tuple[int, ...] = (0,)  # statuses that two at a time may have


def mecopt(*words: object) -> list[str]:
    """Return a command line."""
    return [sys.executable, "-m", "mecopt", *map(str, words)]


def runs_of(folder: Path) -> Any:
    """Return the table of a comparison; None before it has begun."""
    if not (folder / "comparison.sqlite").exists():
        return None
    try:
        with Comparison.open(folder) as comparison:
            return comparison.runs
    except InputError as error:
        if "has not begun" in str(error):
            return None
        raise


def read_compare(folder: Path) -> Found:
    """Return the rows without what a clock gave."""
    runs = runs_of(folder)
    if runs is None:
        return {}
    keys = ["instance", "method", "seed"]
    rows = runs.drop(columns=[name for name in TIMES if name not in keys]).to_json(orient="records")
    return {f"{row['instance']} {row['method']} {row['seed']}": row for row in json.loads(rows)}


def kept_runs(folder: Path) -> dict[Any, Any]:
    """Return when every finished run was begun."""
    runs = runs_of(folder)
    return {} if runs is None else dict(zip(runs["run"], runs["started"], strict=True))


def read_train(folder: Path) -> Found:
    """Return weights and rows, seconds left out."""
    from mecopt_rl.training import checkpoint

    found: Found = {}
    if (folder / "last.safetensors").exists():
        tensors, header = checkpoint.read(folder / "last.safetensors", checkpoint.TRAINING_FORMAT)
        found |= {name: tensor.flatten().tolist() for name, tensor in tensors.items()}
        found["rows"] = [{k: v for k, v in row.items() if k != "seconds"} for row in header["rows"]]
    if (folder / "policy.safetensors").exists():
        policy = checkpoint.load_policy(folder / "policy.safetensors")
        found["policy"] = {n: t.flatten().tolist() for n, t in policy.network.state_dict().items()}
    if (folder / "policy.json").exists():
        card = json.loads((folder / "policy.json").read_text())
        del card["training"]["seconds"]
        found["card"] = card
    if (folder / "log.csv").exists():
        with (folder / "log.csv").open() as file:
            log = list(csv.DictReader(file))
        found["log"] = [{k: v for k, v in row.items() if k != "seconds"} for row in log]
    return found


def kept_rounds(folder: Path) -> dict[Any, Any]:
    """Return the seconds after every round."""
    from mecopt_rl.training import checkpoint

    if not (folder / "last.safetensors").exists():
        return {}
    rows = checkpoint.read(folder / "last.safetensors", checkpoint.TRAINING_FORMAT)[1]["rows"]
    return {row["round"]: row["seconds"] for row in rows}


def read_reproduce(folder: Path) -> Found:
    """Return the rows of the table; every training and the store have to be whole."""
    found: Found = {}
    for training in sorted((folder / "trainings").glob("*")):
        read_train(training)
        if (training / "done.json").exists():
            json.loads((training / "done.json").read_text())
    runs_of(folder / "runs")
    for name in ("reproduction.json", "claims.csv", "runs.csv"):
        if (folder / name).exists():
            text = (folder / name).read_text()
            assert text.endswith("\n"), f"{name} is cut short"
            if name != "runs.csv":
                found[name] = text
    for path in sorted((folder / "figures").glob("*")):
        assert path.stat().st_size, f"{path.name} is empty"
    found["files"] = [path.name for path in sorted(folder.glob("*.*"))]
    return found


def kept_reproduction(folder: Path) -> dict[Any, Any]:
    """Return what is finished: trainings with their CPU seconds, runs with their beginnings."""
    done = {path: path.read_text() for path in (folder / "trainings").glob("*/done.json")}
    return {**done, **kept_runs(folder / "runs")}


def read_report(folder: Path) -> Found:
    """Return tables; pages and pictures have to be whole."""
    found: Found = {"files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())}
    ends = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>", ".html": b"</html>", ".parquet": b"PAR1"}
    for path in folder.rglob("*.*"):
        data = path.read_bytes()
        if path.suffix in ends:
            assert data.rstrip().endswith(ends[path.suffix]), f"{path.name} is cut short"
        elif path.suffix in (".csv", ".tex"):
            found[str(path.relative_to(folder))] = data.decode()
    return found


def read_solution(folder: Path) -> Found:
    """Return the solution without its times."""
    path = folder / "solution.json"
    if not path.exists():
        return {}
    document = json.loads(path.read_text())
    return {k: v for k, v in document.items() if k not in ("runtime_s", "trace")}


def read_best_known(folder: Path) -> Found:
    """Return the entries."""
    path = folder / "best.json"
    return json.loads(path.read_text())["entries"] if path.exists() else {}


def kept_entries(folder: Path) -> dict[Any, Any]:
    """Return the objective of every entry that is proved; what an interrupt left may become better."""
    entries = read_best_known(folder).items()
    return {sha256: entry["objective"] for sha256, entry in entries if entry["status"] == "optimal"}


def read_simulate(folder: Path) -> Found:
    """Return the runs without their seconds, and the table without them."""
    found: Found = {}
    for path in sorted((folder / "runs").glob("*.json")):
        found[path.name] = {k: v for k, v in json.loads(path.read_text()).items() if k != "cpu_s"}
    if (folder / "simulation.json").exists():
        found["settings"] = json.loads((folder / "simulation.json").read_text())
    if (folder / "runs.csv").exists():
        with (folder / "runs.csv").open() as file:
            found["table"] = [{k: v for k, v in row.items() if k != "cpu_s"} for row in csv.DictReader(file)]
    return found


def kept_simulations(folder: Path) -> dict[Any, Any]:
    """Return the seconds of every finished run."""
    return {path: json.loads(path.read_text())["cpu_s"] for path in (folder / "runs").glob("*.json")}


def read_tune(folder: Path) -> Found:
    """Return the trials, and the trainings without their seconds; the journal has to be whole lines."""
    found: Found = {training.name: read_train(training) for training in sorted((folder / "trials").glob("*"))}
    if (folder / "trials.csv").exists():
        found["table"] = (folder / "trials.csv").read_text()
    if (folder / "policy.json").exists():
        found["policy"] = read_train(folder)["policy"]
    return found


def kept_trials(folder: Path) -> dict[Any, Any]:
    """Return the rounds of every training with their seconds."""
    trainings = (folder / "trials").glob("*")
    return {(path.name, n): seconds for path in trainings for n, seconds in kept_rounds(path).items()}


def read_profile(folder: Path) -> Found:
    """Return what of a profile no clock gave."""
    path = folder / "profile.json"
    if not path.exists():
        return {}
    document = json.loads(path.read_text())
    return {"model": document["model"], "blocks": [block["name"] for block in document["blocks"]]}


def read_documents(folder: Path) -> Found:
    """Return JSON documents and tables as they are; pictures have to be whole."""
    found: Found = {}
    for path in sorted(folder.glob("*")):
        text = path.read_text()
        assert text.rstrip().endswith(("}", "</svg>")), f"{path.name} is cut short"
        found[path.name] = json.loads(text) if path.suffix == ".json" else len(text) > 0
    return found


def prepare(folder: Path) -> None:
    """Make what commands start from: a comparison for the report, a network of three layers."""
    words = ("compare", INSTANCES / "tiny_paper.json", "--methods", "trellis,greedy", "--out", folder)
    subprocess.run(mecopt(*words), check=True, capture_output=True)
    (folder.parent / ONNX).write_bytes(network())


def network() -> bytes:
    """Return an ONNX file of three convolutions."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    widths, draw = (3, 8, 8, 4), np.random.default_rng(0)
    shapes = [(to, of, 3, 3) for of, to in itertools.pairwise(widths)]
    values = [draw.normal(size=shape).astype("f") for shape in shapes]
    weights = [numpy_helper.from_array(value, f"w{i}") for i, value in enumerate(values)]
    nodes = [helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(len(shapes))]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x0", (1, 3, 32, 32)), (f"x{len(shapes)}", (1, 4, 26, 26)))
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def commands(prepared: Path) -> list[Command]:
    """Return all commands; `prepared` is the folder that `prepare` has made."""
    tiny = [INSTANCES / f"tiny_{name}.json" for name in ("paper", "capacity", "memory", "energy", "deadline")]
    compare = ("compare", tiny[0], "paper:slots=2", "--methods", "rpdi,trellis,greedy", "--seeds", 20)
    train = ("train", "paper:slots=5", "--learner", "mtl-a3c", "--episodes", 100)
    tune = ("tune", "camera-vgg:slots=10,servers=2,blocks=3", "--learner", "mtl-a3c", "--set", "width=8")
    small = ("--set", "width=8", "--set", "branch_width=8")
    return [
        Command(
            "compare",
            lambda f: mecopt(*compare, "--workers", 1, "--out", f),
            read_compare,
            kept_runs,
        ),
        Command("train", lambda f: mecopt(*train, *small, "--out", f), read_train, kept_rounds, (0, 2)),
        Command(
            "reproduce",
            lambda f: [sys.executable, "-c", REPRODUCE, "reproduce", "fig13", "--out", str(f)],
            read_reproduce,
            kept_reproduction,
            (0, 2),
        ),
        Command("report", lambda f: mecopt("report", prepared, "--out", f), read_report),
        Command(
            "solve --out",
            lambda f: mecopt(
                "solve", INSTANCES / "paper.json.gz", "--method", "trellis", "--out", f / "solution.json"
            ),
            read_solution,
        ),
        Command(
            "best-known update",
            lambda f: mecopt("best-known", "update", *tiny, "--store", f / "best.json"),
            read_best_known,
            kept_entries,
        ),
        Command(
            "simulate",
            lambda f: mecopt(
                "simulate",
                "paper:tasks=individual,slots=1,release_rate=3,servers=2",
                "--policy",
                "nominal,selfish,least-work",
                "--tasks",
                200_000,
                "--seeds",
                4,
                "--out",
                f,
            ),
            read_simulate,
            kept_simulations,
        ),
        Command(
            "tune",
            lambda f: mecopt(*tune, "--episodes", 60, "--trials", 3, "--out", f),
            read_tune,
            kept_trials,
            (0, 2),
        ),
        Command(
            "import",
            lambda f: mecopt("import", prepared.parent / ONNX, "--out", f / "model.json"),
            read_documents,
        ),
        Command(
            "profile",
            lambda f: mecopt(
                "profile",
                prepared.parent / ONNX,
                "--hardware",
                "x",
                "--repeat",
                20,
                "--out",
                f / "profile.json",
            ),
            read_profile,
        ),
        Command(
            "sweep",
            lambda f: mecopt(
                "sweep", "alexnet_6es", "--over", "rate", "--out", f / "sweep.json", "--plot", f / "sweep.svg"
            ),
            read_documents,
        ),
    ]


SHARES = {
    "compare": 5, "train": 5, "reproduce": 1, "report": 3, "solve --out": 4, "best-known update": 5,
    "simulate": 5, "tune": 4, "import": 2, "profile": 2, "sweep": 2,
}  # fmt: skip
