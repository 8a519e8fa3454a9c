"""Thousands of broken solutions, warm starts, pins, specs and instances: one line each, never a traceback.

`MECOPT_FUZZ=2000 pytest tests/whole/test_fuzz.py` tries so many of each; the fast tests try a few.
"""

import json
import os
import random
from pathlib import Path

import pytest
from fuzz import ODD_NUMBERS, ODD_TEXTS, broken, run

import mecopt
from mecopt.generators.parameters import fields

COUNT = int(os.environ.get("MECOPT_FUZZ", "0"))
SMALL = sorted(Path("instances").glob("tiny_*.json"))
TYPED = "".join(chr(c) for c in range(32, 127)) + "\x00\x1b\n\u202e…é"


def cases(few):
    """Return the seeds of a test: few, or as many as the environment asks for."""
    return range(COUNT or few)


@pytest.fixture(scope="module")
def originals():
    """Return pairs of an instance's file and a solution of it, as plain values."""
    found = []
    for path in SMALL:
        result = mecopt.solve(mecopt.load(path), "trellis", relax=True)
        document = result.to_dict()
        if document["placement"] is not None:
            found.append((path, document))
    assert len(found) >= 5
    return found


def spoilt(folder, name, rng, document):
    path = folder / (name + rng.choice([".json"] * 9 + [".json.gz"]))
    path.write_bytes(broken(rng, document))
    return path


def test_solutions(tmp_path, originals):
    seen = set()
    for seed in cases(150):
        rng = random.Random(f"solution {seed}")
        instance, document = rng.choice(originals)
        file = spoilt(tmp_path, f"s{seed}", rng, document)
        status, shown, _ = run(tmp_path, "evaluate", instance, file, "--json", statuses=(0, 2, 5))
        seen.add(status)
        if status != 2:
            json.loads(shown)
        file.unlink()
    assert 2 in seen
    assert 0 in seen


def test_warm_starts(tmp_path, originals):
    for seed in cases(100):
        rng = random.Random(f"warm start {seed}")
        instance, document = rng.choice(originals)
        file, out = spoilt(tmp_path, f"w{seed}", rng, document), tmp_path / "out.json"
        method = rng.choice(["trellis", "greedy", "local"])
        args = ("solve", instance, "--method", method, "--relax", "--warm-start", file, "--out", out)
        status, _, _ = run(tmp_path, *args)
        if status != 2:
            json.loads(out.read_text())
            out.unlink()
        assert not out.exists()
        file.unlink()


def test_instances(tmp_path):
    commands = {
        "validate": ((), (0, 2)),
        "solve": (("--method", "trellis", "--relax", "--json"), (0, 2, 3, 5)),
        "evaluate": ((), (2,)),
        "bounds": (("--json",), (0, 2, 3)),
        "explain": (("--json", "--time-limit", "1"), (0, 2, 3, 4, 5)),
        "export": (("--out", "model.lp"), (0, 2, 3)),
    }
    documents = [json.loads(path.read_text()) for path in SMALL]
    for seed in cases(200):
        rng = random.Random(f"instance {seed}")
        slow = ("bounds", "explain", "export") if seed % 4 == 0 else ("validate", "solve", "evaluate")
        command = rng.choice(slow)
        options, statuses = commands[command]
        file = spoilt(tmp_path, f"i{seed}", rng, rng.choice(documents))
        options = [tmp_path / text if text == "model.lp" else text for text in options]
        before = set(tmp_path.iterdir())
        given = [file] * (2 if command == "evaluate" else 1)
        if rng.random() < 0.2 and command != "evaluate":
            stdin, given = file.read_bytes(), ["-"]
        else:
            stdin = b""
        status, _, _ = run(tmp_path, command, *given, *options, stdin=stdin, statuses=statuses)
        assert status == 0 or set(tmp_path.iterdir()) == before
        for path in tmp_path.iterdir():
            path.unlink()


def test_pins_and_bans(tmp_path):
    parts = ["0", "1", "2", "-1", "00", "1.0", "9" * 5000, "1e1", "", " ", "x", "\x1b", "1_0", "٣", ":", "="]
    for seed in cases(150):
        rng = random.Random(f"pin {seed}")
        args = []
        for _ in range(rng.randint(1, 4)):
            text = f"{rng.choice(parts)}:{rng.choice(parts)}={rng.choice(parts)}"
            if rng.random() < 0.3:
                text = "".join(rng.choice(TYPED) for _ in range(rng.choice([0, 3, 20, 600])))
            args.append(f"{rng.choice(['--pin', '--ban'])}={text.replace(chr(0), '')}")
        run(tmp_path, "solve", "instances/tiny_physical.json", "--method", "trellis", *args, "--json")


def odd_spec(rng):
    """Return the text of a setting with odd values of a few of its parameters, small where they are valid."""
    values = [
        *map(str, ODD_NUMBERS[:16]),
        *ODD_TEXTS,
        "1..2",
        "2..1",
        "1|2",
        "none",
        "5",
        "1e3",
        "3..",
        "..",
        "1,2",
    ]
    names = [name for name in fields() if name not in ("slots", "release_rate")]
    pairs = [f"{rng.choice(names)}={rng.choice(values)}" for _ in range(rng.randint(0, 3))]
    base = rng.choice(["paper", "camera-alexnet-deadline", "crowd", "energy"])
    text = ",".join([f"{base}:slots=2,release_rate=2", *pairs])
    if rng.random() < 0.3:
        at = rng.randrange(len(text))
        text = text[:at] + "".join(rng.choice(TYPED) for _ in range(rng.choice([1, 3, 500]))) + text[at + 1 :]
    return text


def test_specs(tmp_path):
    made = 0
    for seed in cases(150):
        rng = random.Random(f"spec {seed}")
        text = odd_spec(rng)
        out = tmp_path / "made.json"
        status, _, _ = run(tmp_path, "generate", "--out", out, "--json", "--", text, statuses=(0, 2))
        assert out.exists() == (status == 0)
        if status == 0:
            made += 1
            mecopt.load(out)
            out.unlink()
    assert made
