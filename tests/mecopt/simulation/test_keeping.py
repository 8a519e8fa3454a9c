"""The folder of a simulation: killed, taken up, shared, on a full disk, and what it refuses."""

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import mecopt
from mecopt import files
from mecopt.simulation.keeping import Folder

SPEC = "paper:tasks=individual,slots=1,release_rate=3,servers=2"
GIVEN = {"load": 0.7, "tasks": 1000}


def kept(folder):
    return sorted(path.name for path in (folder / "runs").glob("*.json"))


def test_runs_are_kept_and_not_made_again(tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = mecopt.simulate(SPEC, ["nominal", "selfish"], seeds=2, out=out, **GIVEN)
    assert kept(out) == ["nominal-0.json", "nominal-1.json", "selfish-0.json", "selfish-1.json"]
    assert [(run["policy"], run["seed"]) for run in first.runs] == [
        ("nominal", 0), ("selfish", 0), ("nominal", 1), ("selfish", 1),
    ]  # fmt: skip
    monkeypatch.setattr("mecopt.simulation.engine.simulate_stream", None)
    again = mecopt.simulate(SPEC, ["selfish", "nominal"], seeds=2, out=out, **GIVEN)
    assert sorted(again.runs, key=str) == sorted(first.runs, key=str)
    head, *rows = (out / "runs.csv").read_text().splitlines()
    assert head.startswith("policy,seed,mean_s,mean_s_low,mean_s_high")
    assert len(rows) == 4


def test_a_run_with_a_folder_says_what_one_without_says(tmp_path):
    plain = mecopt.simulate(SPEC, "selfish", **GIVEN).runs[0]
    stored = mecopt.simulate(SPEC, "selfish", out=tmp_path / "out", **GIVEN).runs[0]
    assert plain | {"cpu_s": 0} == stored | {"cpu_s": 0}
    json.dumps(plain, allow_nan=False)


def test_other_settings_are_refused(tmp_path):
    mecopt.simulate(SPEC, "nominal", out=tmp_path / "out", **GIVEN)
    with pytest.raises(
        mecopt.InputError, match=r"holds another simulation: .*load .* there, .* here; choose"
    ):
        mecopt.simulate(SPEC, "nominal", out=tmp_path / "out", load=0.5, tasks=1000)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(mecopt.InputError, match="holds no simulation"):
        mecopt.simulate(SPEC, "nominal", out=tmp_path / "full", **GIVEN)
    (tmp_path / "file").write_text("")
    with pytest.raises(mecopt.InputError, match="is no folder"):
        mecopt.simulate(SPEC, "nominal", out=tmp_path / "file", **GIVEN)


def test_a_rule_in_a_file_is_made_again_when_its_code_changes(tmp_path):
    rule = tmp_path / "rule.py"
    rule.write_text("def one(view):\n    return [1] * 6\n")
    first = mecopt.simulate(SPEC, f"{rule}:one", out=tmp_path / "out", **GIVEN).runs
    rule.write_text("def one(view):\n    return [2] * 6\n")
    second = mecopt.simulate(SPEC, f"{rule}:one", out=tmp_path / "out", **GIVEN).runs
    assert first[0]["node_share"] == [0.0, 1.0, 0.0]
    assert second[0]["node_share"] == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("runs/nominal-0.json", "{}", "nominal-0.json: policy: missing; delete it to make it again"),
        ("runs/nominal-0.json", '{"a": 1, "a": 2}', "a: given twice; delete it to make it again"),
        ("runs/nominal-0.json", "[]", "no JSON object"),
        ("runs/nominal-0.json", "\x00", "not JSON"),
        ("runs/selfish-3.json", "[", "selfish-3.json: not JSON"),
        ("simulation.json", "{}", "format None"),
    ],
)
def test_spoilt_files_are_named(tmp_path, name, text, expected):
    out = tmp_path / "out"
    mecopt.simulate(SPEC, "nominal", out=out, **GIVEN)
    (out / name).write_text(text)
    with pytest.raises(mecopt.InputError) as error:
        mecopt.simulate(SPEC, "nominal", out=out, **GIVEN)
    assert expected in str(error.value)


def test_a_run_under_the_name_of_another_is_refused(tmp_path):
    out = tmp_path / "out"
    mecopt.simulate(SPEC, "nominal", out=out, **GIVEN)
    (out / "runs" / "nominal-0.json").rename(out / "runs" / "selfish-0.json")
    with pytest.raises(mecopt.InputError, match="of nominal and seed 0, expected selfish and 0"):
        mecopt.simulate(SPEC, "selfish", out=out, **GIVEN)


def test_any_name_of_a_rule_gets_a_file_and_a_cell(tmp_path):
    names = ["=1+1", "\x1b[31m\n", "x" * 400, "カメラ" * 100]
    rules = [mecopt.simulation.Rule(name, "", lambda setting: lambda view: [1] * 6) for name in names]
    out = tmp_path / "out"
    mecopt.simulate(SPEC, rules, out=out, **GIVEN)
    assert len(kept(out)) == len(names)
    rows = list(csv.DictReader(io.StringIO((out / "runs.csv").read_text())))
    assert {row["policy"] for row in rows} == {"'=1+1", r"\x1b[31m\n", *names[2:]}


def test_a_full_disk_keeps_what_was_finished(tmp_path, monkeypatch):
    out = tmp_path / "out"
    fill, written = files._fill, []

    def full(handle, data):
        if b'"policy"' in data and written:
            os.close(handle)
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(b'"policy"' in data) if b'"policy"' in data else None
        fill(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_fill", full)
        with pytest.raises(mecopt.MecoptError, match=r"No space left.*what was finished before is kept"):
            mecopt.simulate(SPEC, ["nominal", "selfish"], out=out, **GIVEN)
    assert kept(out) == ["nominal-0.json"]
    assert not list((out / "runs").glob("*.lock"))
    mecopt.simulate(SPEC, ["nominal", "selfish"], out=out, **GIVEN)
    assert kept(out) == ["nominal-0.json", "selfish-0.json"]


def test_two_processes_share_the_work(tmp_path):
    """While one process makes a run another leaves it alone, and has it when it is finished."""
    out = tmp_path / "out"
    code = f"""
import sys, time
from mecopt.simulation.keeping import Folder
def work(key):
    print(*key, flush=True)
    time.sleep(0.05)
    return {{"policy": key[0], "seed": key[1]}}
Folder({str(out)!r}, {{}}, {{}}).finish_all([("a", seed) for seed in range(12)], work)
"""
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    made = [process.communicate(timeout=60)[0].split() for process in both]
    assert all(process.returncode == 0 for process in both)
    assert sorted(made[0][1::2] + made[1][1::2], key=int) == [str(seed) for seed in range(12)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_a_killed_process_leaves_whole_runs_and_no_claim(tmp_path):
    out = tmp_path / "out"
    code = f"""
import time
from mecopt.simulation.keeping import Folder
def work(key):
    time.sleep(0.0 if key[1] < 2 else 60.0)
    return {{"policy": key[0], "seed": key[1]}}
Folder({str(out)!r}, {{}}, {{}}).finish_all([("a", seed) for seed in range(4)], work)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 60
    while not (out / "runs" / "a-2.lock").exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert kept(out) == ["a-0.json", "a-1.json"]
    made = []

    def work(key):
        made.append(key)
        return {"policy": key[0], "seed": key[1]}

    folder = Folder(out, {}, {})
    folder.finish_all([("a", seed) for seed in range(4)], work)
    assert made == [("a", 2), ("a", 3)]
    assert [row["seed"] for row in folder.rows()] == [0, 1, 2, 3]
