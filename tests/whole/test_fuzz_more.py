"""Broken settings, profiles, models, tables, traces, kept simulations, lines of changes: as `test_fuzz.py`.

`MECOPT_FUZZ=500 pytest tests/whole/test_fuzz_more.py` tries so many of each.
"""

import json
import os
import random

import pytest
from fuzz import broken, damaged, run
from small_network import network

import mecopt
from mecopt.profiling import measuring, profile_document, profile_files
from mecopt.profiling.operator_kinds import ALL_KINDS

COUNT = int(os.environ.get("MECOPT_FUZZ", "0"))
SETTING = {
    "format": "mecopt-setting/1", "name": "yard", "about": "cameras", "base": "camera-vgg-load",
    "parameters": {
        "servers": 3, "slots": 2, "rate_bps": {"uniform": [4e6, 8e6]}, "server_load_factor": "0.5..1",
    },
}  # fmt: skip
CONFIG = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "torch_dtype": "float16",
}  # fmt: skip
CHANGES = {"rates": [8e6, 1e7], "speeds": [1e9, 2e9], "deadlines": [1.0, None, 2.0], "batch": 2, "tasks": [0]}
ROWS = "name,cycles,input_bits,param_bytes,seconds:x\na,1e8,1000,10,0.1\nb,2e8,500,20,0.2\n"
LINKS = "from,to,rate_bps,latency_s\nx,y,8e6,0.01\ny,x,8e6,0\n"
TRACE = "time_s,task,size\n" + "".join(f"{i / 9},{i % 2},{1 + i % 3}\n" for i in range(200))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A network, its model, profiles of two machines, constants, and a kept simulation."""
    folder = tmp_path_factory.mktemp("made")
    network(folder / "net.onnx", layers=1)
    model = mecopt.import_model(folder / "net.onnx", blocks=2)
    model.save(folder / "model.json")
    ready = measuring.runner(model, str(folder / "net.onnx"), "onnxruntime")
    for name in "xy":
        profile = measuring.measure(model, ready, hardware=name, repeat=2)
        (folder / f"{name}.json").write_bytes(profile_files.text(profile))
    kind = profile_document.KindDoc(
        seconds_per_call=1e-6,
        seconds_per_operation=2e-11,
        seconds_per_byte=5e-11,
        kernels=1,
        median_error=0.0,
    )
    plain = profile.model_dump() | {"kind": "constants", "model": None, "blocks": [], "stretches": []}
    plain |= {"whole": None, "fit": None, "steadiness": None, "constants": dict.fromkeys(ALL_KINDS, kind)}
    constants = profile_document.ProfileDoc.model_validate(plain)
    (folder / "constants.json").write_bytes(profile_files.text(constants))
    mecopt.simulate("tiny_paper", ["nominal"], tasks=200, out=folder / "simulation")
    (folder / "links.csv").write_text(LINKS)
    return folder


def document(made, name):
    return json.loads((made / name).read_text())


OUT = "OUT.json"
NEW = ("instances", "new", "--links")
JSON = {
    "setting": (lambda made: SETTING, ("generate", "--setting", "FILE", "--out", OUT)),
    "config": (lambda made: CONFIG, ("import", "FILE", "--out", OUT)),
    "model": (
        lambda made: document(made, "model.json"),
        (
            *NEW,
            "MADE/links.csv",
            "--model",
            "FILE",
            "--profiles",
            "MADE/x.json,MADE/y.json",
            "--out",
            OUT,
        ),
    ),
    "profile": (
        lambda made: document(made, "x.json"),
        (
            *NEW,
            "MADE/links.csv",
            "--model",
            "MADE/model.json",
            "--profiles",
            "FILE,MADE/y.json",
            "--out",
            OUT,
        ),
    ),
    "constants": (
        lambda made: document(made, "constants.json"),
        ("profile", "MADE/model.json", "--file", "MADE/net.onnx", "--estimate", "FILE", "--out", OUT),
    ),
}
TEXTS = {
    "rows": (ROWS, ("import", "FILE", "--out", OUT)),
    "links": (
        LINKS,
        (*NEW, "FILE", "--model", "MADE/model.json", "--profiles", "MADE/x.json,MADE/y.json", "--out", OUT),
    ),
    "trace": (TRACE, ("simulate", "tiny_paper", "--policy", "nominal", "--arrivals", "trace:FILE", "--json")),
}


def spoken(words, folder, made, file):
    """Return a command line for a case, and the file that it may write."""
    out = folder / "out"
    line = [
        word.replace("MADE", str(made)).replace("FILE", str(file)).replace("OUT", str(out)) for word in words
    ]
    return line, out.with_suffix(".json")


@pytest.mark.parametrize("kind", JSON)
def test_json(kind, made, tmp_path):
    source, words = JSON[kind]
    original, seen = source(made), set()
    for seed in range(COUNT or 12):
        rng = random.Random(f"{kind} {seed}")
        file = tmp_path / ("config.json" if kind == "config" else f"f{rng.choice('ab')}.json")
        file.write_bytes(broken(rng, original))
        line, out = spoken(words, tmp_path, made, file)
        seen.add(run(tmp_path, *line)[0])
        if out.exists():  # and then it is whole
            json.loads(out.read_text())
            out.unlink()
        file.unlink()
    assert 2 in seen


@pytest.mark.parametrize("kind", TEXTS)
def test_tables(kind, made, tmp_path):
    text, words = TEXTS[kind]
    seen = set()
    for seed in range(COUNT or 12):
        rng = random.Random(f"{kind} {seed}")
        file = tmp_path / "f.csv"
        file.write_bytes(spoilt_table(rng, text))
        line, out = spoken(words, tmp_path, made, file)
        seen.add(run(tmp_path, *line)[0])
        out.unlink(missing_ok=True)
    assert 2 in seen


def spoilt_table(rng, text):
    """Return a table with a cell changed, a row dropped or doubled, or its bytes damaged."""
    rows = [line.split(",") for line in text.splitlines()]
    row = rng.choice(rows)
    way = rng.randrange(5)
    if way == 0:
        row[rng.randrange(len(row))] = rng.choice(
            ("", "x", "-1", "nan", "inf", "1e400", "1e300", '"', "0", "é\x00")
        )
    elif way == 1:
        rows.remove(row)
    elif way == 2:
        rows.append(row)
    elif way == 3:
        row.append("1")
    data = "\n".join(map(",".join, rows)).encode()
    return damaged(rng, data) if way == 4 else data


def test_kept_simulations(made, tmp_path):
    seen = set()
    for seed in range(COUNT or 12):
        rng = random.Random(f"simulation {seed}")
        folder = tmp_path / "kept" / f"s{seed}"
        (folder / "runs").mkdir(parents=True)
        for path in (made / "simulation").rglob("*.json"):
            (folder / path.relative_to(made / "simulation")).write_bytes(path.read_bytes())
        file = rng.choice(sorted(folder.rglob("*.json")))
        file.write_bytes(broken(rng, json.loads(file.read_text())))
        words = ("simulate", "tiny_paper", "--policy", "nominal", "--tasks", 200, "--out", folder, "--json")
        seen.add(run(tmp_path, *words)[0])
    assert 2 in seen


def test_networks(made, tmp_path):
    data, seen = (made / "net.onnx").read_bytes(), set()
    for seed in range(COUNT or 12):
        rng = random.Random(f"network {seed}")
        file = tmp_path / "f.onnx"
        file.write_bytes(damaged(rng, data))
        seen.add(run(tmp_path, "import", file, "--out", tmp_path / "out.json")[0])
        (tmp_path / "out.json").unlink(missing_ok=True)
    assert 2 in seen


def test_lines_of_changes(tmp_path):
    """A bad line is an answer with an error in it; the last one is always answered."""
    lines = [
        broken(random.Random(f"changes {seed}"), CHANGES).replace(b"\n", b" ") for seed in range(COUNT or 60)
    ]
    _, shown, _ = run(
        tmp_path, "plan", "tiny_paper", stdin=b"\n".join([*lines, b'{"batch": 2}']), statuses=(2,)
    )
    answers = [json.loads(line) for line in shown.splitlines()]
    assert answers[-1]["status"] == "optimal"
    assert sum("error" in answer for answer in answers) > len(answers) / 2
