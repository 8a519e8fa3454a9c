"""What a plug-in does wrong is the plug-in's: named, and without harm to anything else."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

MODULE = '''
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import click
import numpy as np

import mecopt


def local(instance):
    return np.where(np.arange(instance.max_blocks) < instance.block_count[:, None], 0, -1)


def leaves(instance, run):
    run.found(local(instance))
    sys.exit(3)


def bows(instance, run):
    run.found(local(instance))
    sys.exit()


def closes(instance, run):
    raise GeneratorExit


def prints(instance, run):
    print("from python")
    sys.stdout.flush()
    os.write(1, b"from a descriptor\\n")
    ctypes.CDLL(None).printf(b"from c\\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"])
    run.found(local(instance))


def wanders(instance, run):
    os.chdir("/")
    os.environ["HOME"] = "/nowhere"
    sys.stdout = None
    run.found(local(instance))


def floats(instance, run):
    run.found(np.full((instance.task_count, instance.max_blocks), 0.5))


def lingers(instance, run):
    def go_on():
        while True:
            run.found(local(instance) + 1)
            time.sleep(0.001)

    run.found(local(instance))
    threading.Thread(target=go_on, daemon=True).start()


def deaf(instance, run):
    run.found(local(instance))
    open(os.environ["READY"], "w").close()
    for _ in range(2):
        try:
            time.sleep(60)
        except BaseException:
            return


def stone_deaf(instance, run):
    run.found(local(instance))
    open(os.environ["READY"], "w").close()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


def lies(instance, run):
    run.infeasible([{"message": "nothing fits"}])


def method(solve):
    return mecopt.Method(solve.__name__, "heuristic", "for tests", frozenset(), solve)


LEAVES, BOWS, CLOSES, PRINTS, WANDERS, FLOATS, LINGERS, DEAF, STONE_DEAF, LIES = map(
    method, (leaves, bows, closes, prints, wanders, floats, lingers, deaf, stone_deaf, lies)
)


@click.command()
def ends():
    """End with a status of its own."""
    sys.exit(7)


@click.command()
def odd():
    """Raise what is no Exception."""
    raise GeneratorExit("odd")
'''
NAMES = ("leaves", "bows", "closes", "prints", "wanders", "floats", "lingers", "deaf", "stone_deaf", "lies")
ENTRIES = f"""[mecopt.methods]
{chr(10).join(f"{name} = wrong_plugin:{name.upper()}" for name in NAMES)}
quits = wrong_exit:METHOD
[mecopt.commands]
ends = wrong_plugin:ends
odd = wrong_plugin:odd
gone = wrong_exit:command
"""


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """Return the folder of an installed package that does everything wrong."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "wrong_plugin.py").write_text(MODULE)
    (folder / "wrong_exit.py").write_text("import sys\nsys.exit(0)\n")
    info = folder / "wrong_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    return str(folder)


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("leaves", "method 'leaves' failed: SystemExit: 3"),
        ("bows", "method 'bows' failed: SystemExit: no further message"),
        ("closes", "method 'closes' failed: GeneratorExit: no further message"),
        ("floats", "method 'floats': placement[0][0]: 0.5, expected a whole number, and 3 more problems"),
        ("quits", "method 'quits' (wrong_exit:METHOD) cannot be loaded: SystemExit: 0"),
    ],
)
def test_its_failure_is_named_and_is_status_1(mecopt, wrong, toy_file, tmp_path, method, text):
    out = tmp_path / "out.json"
    done = mecopt("solve", toy_file, "--method", method, "--json", "--out", out, PYTHONPATH=wrong)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"mecopt: {text}")
    assert done.stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("command", [("solve",), ("explain",), ("best-known", "update")])
def test_what_it_prints_is_no_part_of_the_document(mecopt, wrong, toy_file, tmp_path, command):
    store = ("--store", tmp_path / "store.json") if command[0] == "best-known" else ()
    done = mecopt(*command, toy_file, "--method", "prints", "--json", *store, PYTHONPATH=wrong)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    for source in ("python", "a descriptor", "c", "a child"):
        assert f"from {source}\n" in done.stderr


def test_what_it_prints_is_no_part_of_the_table(mecopt, wrong, toy_file):
    done = mecopt("solve", toy_file, "--method", "prints", PYTHONPATH=wrong)
    assert done.returncode == 0
    assert "from" not in done.stdout.split("Status")[0]
    assert "Status" in done.stdout


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_closed_stream_is_no_failure_of_the_method(wrong, toy_file, tmp_path, env, closed):
    out = tmp_path / "out.json"
    method = "prints" if closed == "2" else "wanders"
    line = (
        f'"{sys.executable}" -m mecopt solve "{toy_file}" --method {method} --json --out "{out}" {closed}>&-'
    )
    done = subprocess.run(["sh", "-c", line], env=env(PYTHONPATH=wrong), capture_output=True, timeout=60)
    assert json.loads(out.read_text())["status"] == "feasible"
    if closed == "2":
        assert json.loads(done.stdout)["status"] == "feasible"


def test_where_it_goes_moves_no_file(mecopt, wrong, toy_file, tmp_path):
    args = ("solve", toy_file.name, "--method", "wanders", "--json", "--out", "out.json")
    done = mecopt(*args, cwd=tmp_path, PYTHONPATH=wrong)
    assert (done.returncode, done.stderr) == (0, "mecopt: wrote out.json\n")
    assert json.loads(done.stdout) == json.loads((tmp_path / "out.json").read_text())


def test_what_it_leaves_behind_changes_nothing(mecopt, wrong, toy_file):
    done = mecopt("solve", toy_file, "--method", "lingers", "--json", PYTHONPATH=wrong)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["placement"] == [[0, 0], [0, 0]]


def test_a_package_that_exits_does_not_end_the_list(mecopt, wrong):
    done = mecopt("methods", "--json", PYTHONPATH=wrong)
    assert done.returncode == 0
    assert {"trellis", "leaves"} <= {row["name"] for row in json.loads(done.stdout)}
    assert done.stderr == ("mecopt: method 'quits' (wrong_exit:METHOD) cannot be loaded: SystemExit: 0\n")
    listed = mecopt("--help", PYTHONPATH=wrong)
    assert listed.returncode == 0
    assert "(broken: cannot be loaded: SystemExit: 0)" in " ".join(listed.stdout.split())
    gone = mecopt("gone", PYTHONPATH=wrong)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr.startswith(
        "mecopt: command 'gone' (wrong_exit:command) cannot be loaded: SystemExit: 0"
    )


def test_a_command_ends_with_its_own_status(mecopt, wrong):
    assert mecopt("ends", PYTHONPATH=wrong).returncode == 7
    odd = mecopt("odd", PYTHONPATH=wrong)
    assert odd.returncode == 1
    assert odd.stderr.startswith("mecopt: unexpected GeneratorExit: odd")
    assert odd.stderr.count("\n") == 1


def test_compare_writes_its_end_down(mecopt, wrong, toy_file, tmp_path):
    args = ("compare", toy_file, "--methods", "leaves,floats,prints", "--out", tmp_path / "out", "--json")
    done = mecopt(*args, PYTHONPATH=wrong)
    assert done.returncode == 0, done.stderr
    rows = {row["method"]: row for row in json.loads(done.stdout)["runs"]}
    assert {name: row["status"] for name, row in rows.items()} == {
        "leaves": "failed",
        "floats": "failed",
        "prints": "feasible",
    }
    error = rows["leaves"]["error"]
    assert error.startswith("MethodError: method 'leaves' failed: SystemExit: 3 (")
    assert re.search(r"wrong_plugin\.py, line \d+\)$", error)


def test_a_false_proof_is_said_wherever_it_shows(mecopt, wrong, toy_file, tmp_path):
    out = tmp_path / "out"
    done = mecopt("compare", toy_file, "--methods", "lies,trellis", "--out", out, PYTHONPATH=wrong)
    assert done.returncode == 0
    assert "lies: WRONG in 1 run, which other runs contradict" in done.stdout
    said = "toy_pair: lies (seed 0): says infeasible, but trellis (seed 0) has a feasible placement of"
    assert f"mecopt: {said}" in done.stderr
    again = mecopt("compare", toy_file, "--methods", "lies,trellis", "--out", out, "--json", PYTHONPATH=wrong)
    document = json.loads(again.stdout)
    assert [row["contradiction"] is None for row in document["runs"]] == [False, True]
    assert document["runs"][0]["contradiction"] in again.stderr
    pytest.importorskip("altair", reason="the report extra is not installed")
    report = mecopt("report", out, "--json")
    assert f"mecopt: {said}" in report.stderr
    assert json.loads(report.stdout)["contradictions"][0].startswith(said)
    page = (out / "report" / "index.html").read_text()
    assert 'role="alert">1 run cannot be right, for instance lies on toy_pair: says infeasible' in page
    assert "infeasible, WRONG" in page
    assert "WRONG: says that there is none, and another run has one" in page


def start(args, env, wrong, ready):
    environment = env(PYTHONPATH=wrong, READY=str(ready))
    command = [sys.executable, "-m", "mecopt", *map(str, args)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not ready.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_a_swallowed_interrupt_is_one(wrong, toy_file, tmp_path, env):
    process = start(("solve", toy_file, "--method", "deaf", "--json"), env, wrong, tmp_path / "ready")
    process.send_signal(signal.SIGINT)
    text, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, b"")
    assert (json.loads(text)["status"], json.loads(text)["stopped_by"]) == ("feasible", "interrupt")


def test_a_method_that_swallows_every_interrupt_is_ended(wrong, toy_file, tmp_path, env):
    args = ("solve", toy_file, "--method", "stone_deaf", "--json")
    process = start(args, env, wrong, tmp_path / "ready")
    for wait in (0.2, 3.2, 0):
        process.send_signal(signal.SIGINT)
        time.sleep(wait)
    text, errors = process.communicate(timeout=30)
    assert (process.returncode, text) == (130, b"")
    assert errors == b"mecopt: interrupted; the method did not end, and what it found is lost\n"
    assert os.listdir(tmp_path).count("ready") == 1
