"""Kills, and two processes on one folder: nothing that is finished is lost or made again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest
from faulty_methods import install
from places import INSTANCES

from mecopt.comparing import Comparison
from mecopt.errors import InputError

TINY = INSTANCES / "tiny_paper.json"
TIMES = ["cpu_s", "wall_s", "started"]


@pytest.fixture
def start(tmp_path):
    """Start `mecopt compare` on a folder, with a method that takes a while and logs what it does."""
    site = tmp_path / "site"
    site.mkdir()
    path = os.pathsep.join((install(site), os.environ.get("PYTHONPATH", "")))
    processes = []

    def begin(folder, *args, seconds=0.05):
        log = folder.with_suffix(".log")
        env = {**os.environ, "PYTHONPATH": path, "STEADY_LOG": str(log), "STEADY_S": str(seconds)}
        command = [sys.executable, "-m", "mecopt", "compare", TINY, "paper:slots=2"]
        command += ["--methods", "steady,trellis", "--out", folder, "--workers", "1", *args]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen([*map(str, command)], env=env, text=True, **pipes))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def table(folder):
    """Return the finished runs, none where the store has not begun."""
    try:
        with Comparison.open(folder) as comparison:
            return comparison.runs
    except InputError:
        return None


def logged(folder):
    """Return the words of every line of the log: begin or end, instance, seed, process."""
    log = folder.with_suffix(".log")
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def finish(process):
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def kill_and_resume(start, folder, moments, seeds):
    """Kill the command at each of the moments, then let it finish; what was finished stays as it was."""
    before = None
    for moment in moments:
        process = start(folder, "--seeds", seeds)
        time.sleep(moment)
        process.kill()
        process.communicate()
        after = table(folder)
        if before is not None:
            assert after.iloc[: len(before)][["run", *TIMES]].equals(before[["run", *TIMES]])
        before = after if after is not None and len(after) else before
    finish(start(folder, "--seeds", seeds))
    done = table(folder)
    if before is not None:
        both = done[done["run"].isin(before["run"])].reset_index(drop=True)
        assert both[TIMES].equals(before.reset_index(drop=True)[TIMES])
    return done


def check_equal(table, expected):
    left, right = (frame.drop(columns=TIMES) for frame in (table, expected))
    assert left.equals(right)


def test_killed_and_resumed(start, tmp_path):
    begun = time.perf_counter()
    finish(start(tmp_path / "whole", "--seeds", 10))
    took = time.perf_counter() - begun
    expected = table(tmp_path / "whole")
    assert len(expected) == 2 * (10 + 1)
    moments = [took * share for share in (0.3, 0.75, 0.85)]
    check_equal(kill_and_resume(start, tmp_path / "killed", moments, 10), expected)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["comparison.sqlite"]
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(int(pid)) for *_, pid in logged(tmp_path / "killed")):
        assert time.monotonic() < deadline, "a worker has outlived the command"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_twenty_random_moments(start, tmp_path):
    begun = time.perf_counter()
    finish(start(tmp_path / "whole", "--seeds", 20))
    took = time.perf_counter() - begun
    expected = table(tmp_path / "whole")
    assert len(expected) == 2 * (20 + 1)
    found = []
    draw = random.Random(4)
    for i in range(20):
        folder = tmp_path / f"killed{i}"
        process = start(folder, "--seeds", 20)
        time.sleep(draw.uniform(0, took))
        process.kill()
        process.communicate()
        before = table(folder)
        found.append(0 if before is None else len(before))
        check_equal(kill_and_resume(start, folder, [], 20), expected)
        if before is not None:
            after = table(folder).set_index("run")[TIMES]
            assert after.loc[before["run"]].reset_index(drop=True).equals(before[TIMES])
    assert len(set(found)) > 3, found  # the kills did hit different states


@pytest.mark.slow
def test_two_processes_share_one_folder(start, tmp_path):
    folder = tmp_path / "shared"
    both = [start(folder, "--seeds", 20, seconds=0.2) for _ in range(2)]
    for process in both:
        finish(process)
    done = table(folder)
    assert len(done) == 2 * (20 + 1)
    runs = Counter((word, name, seed) for word, name, seed, _ in logged(folder))
    assert set(runs.values()) == {1}
    assert len(runs) == 2 * 2 * 20
    assert len({pid for *_, pid in logged(folder)}) == 2  # each of them did some


def test_claims_of_a_killed_process_are_taken_over(start, tmp_path):
    folder = tmp_path / "shared"
    first, second = (start(folder, "--seeds", 6, seconds=0.25) for _ in range(2))
    deadline = time.monotonic() + 60
    while len({pid for *_, pid in logged(folder)}) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    finish(second)
    done = table(folder)
    assert len(done) == 2 * (6 + 1)
    assert set(done["status"]) <= {"optimal", "feasible"}
    ended = Counter((name, seed) for word, name, seed, _ in logged(folder) if word == "end")
    assert len(ended) == 12
    assert sum(ended.values()) <= 13  # one may have ended unheard when the first was killed


def test_interrupted(start, tmp_path):
    folder = tmp_path / "interrupted"
    process = start(folder, "--seeds", 10, "--json", seconds=0.15)
    deadline = time.monotonic() + 60
    while sum(word == "end" for word, *_ in logged(folder)) < 4:  # of which the last two may not be kept yet
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"finished and kept in {folder}; the same command goes on" in errors
    kept = table(folder)
    assert 2 <= len(kept) < 22
    finish(start(folder, "--seeds", 10, "--json"))
    done = table(folder)
    assert len(done) == 22
    assert done.iloc[: len(kept)][TIMES].equals(kept[TIMES])
    assert json.loads(kept["options"][0]) == {}
