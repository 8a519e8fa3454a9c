"""The one promised file holds every row, whoever leaves last and whoever still reads, and stands alone."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from faulty_methods import install
from places import INSTANCES

import mecopt
from mecopt.comparing import Comparison, database, store
from mecopt.comparing.run_plan import ComparisonPlan

TINY = INSTANCES / "tiny_paper.json"
RUNS = 2 * (3 + 1)  # of the command below


@pytest.fixture
def start(tmp_path):
    """Start `mecopt compare` on a folder: two instances, a slow method with three seeds and a fast one."""
    site = tmp_path / "site"
    site.mkdir()
    path = os.pathsep.join((install(site), os.environ.get("PYTHONPATH", "")))
    processes = []

    def begin(folder, seconds=0.1):
        command = [sys.executable, "-m", "mecopt", "compare", TINY, "paper:slots=2", "--seeds", "3"]
        command += ["--methods", "steady,trellis", "--out", folder, "--workers", "1"]
        env = {**os.environ, "PYTHONPATH": path, "STEADY_S": str(seconds)}
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen([*map(str, command)], env=env, text=True, **pipes))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def finish(process):
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def rows(path):
    """Return how many runs are finished in a file by itself, in a folder where nothing is beside it."""
    alone = path.parent.parent / "alone"
    alone.mkdir(exist_ok=True)
    shutil.copy(path, alone / path.name)
    with Comparison.open(alone) as comparison:
        return len(comparison.runs)


def finished(folder):
    """Return the same of a store with its log, without touching either; 0 where it has not begun."""
    path = folder / database.FILE
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            return db.execute("SELECT count(*) FROM runs WHERE status IS NOT NULL").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def reading(path):
    """Open a store as another program may, and stop in the midst of a table: that holds a lock."""
    db = sqlite3.connect(path)
    cursor = db.execute("SELECT key FROM meta")
    cursor.fetchone()
    return db, cursor


def test_two_processes_and_readers(start, tmp_path):
    folder = tmp_path / "shared"
    path = folder / database.FILE
    both = [start(folder) for _ in range(2)]
    wait_for(lambda: finished(folder) > 0)
    with Comparison.open(folder) as idle, contextlib.closing(reading(path)[0]) as busy:
        seen = len(idle.runs)
        for process in both:
            finish(process)
        assert names(folder) == [database.FILE]
        assert rows(path) == RUNS >= seen > 0
        assert idle.pending == 0  # it looks at what has the name now
        assert busy.execute("SELECT count(*) FROM instances").fetchone() == (2,)
    assert names(folder) == [database.FILE]
    assert rows(path) == RUNS


@pytest.mark.parametrize("reader", [False, True])
def test_killed_processes_are_settled_by_the_next(start, tmp_path, reader):
    folder = tmp_path / "killed"
    path = folder / database.FILE
    both = [start(folder, 0.3) for _ in range(2)]
    wait_for(lambda: finished(folder) > 2)
    with contextlib.ExitStack() as stack:
        if reader:
            stack.enter_context(contextlib.closing(reading(path)[0]))
        for process in both:
            process.send_signal(signal.SIGKILL)
            process.wait()
        kept = finished(folder)
        assert "comparison.sqlite-wal" in names(folder)
        with Comparison.open(folder) as comparison:
            assert len(comparison.runs) == kept
        assert names(folder) == [database.FILE]
        assert rows(path) == kept
        finish(start(folder))
        assert names(folder) == [database.FILE]
        assert rows(path) == RUNS


def test_a_reader_hinders_no_resumption(tmp_path):
    """It has an old table half read, in a store that is one file: SQLite alone would let nobody write."""
    folder = tmp_path / "folder"
    path = folder / database.FILE
    mecopt.compare(TINY, "trellis", workers=1, out=folder)
    db, cursor = reading(path)
    with contextlib.closing(db), Comparison.open(folder) as idle:
        assert idle.pending == 0
        mecopt.compare(TINY, ["trellis", "greedy"], workers=1, out=folder)
        assert len(cursor.fetchall()) == 3  # of the four keys one is read already
        assert (names(folder), rows(path)) == ([database.FILE], 2)
        assert db.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        assert len(idle.info["methods"]) == 2


LEAVE = """
import sys
from mecopt.comparing.run_plan import ComparisonPlan
from mecopt.comparing.store import RunStore
from mecopt.comparing.one_run import ended
plan = ComparisonPlan.of(sys.argv[2], "rpdi", seeds=60)
with RunStore(sys.argv[1], plan) as store:
    print(flush=True)
    sys.stdin.read(1)
    for _ in range(10):
        store.finish(ended(store.claim(), "failed", "for the test", 0.0))
"""


def test_many_leave_at_once(tmp_path):
    folder = tmp_path / "shared"
    command = [sys.executable, "-c", LEAVE, str(folder), str(TINY)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen(command, **pipes) for _ in range(6)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write(b"x")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert names(folder) == [database.FILE]
    assert rows(folder / database.FILE) == 60


def test_no_room_for_a_copy(tmp_path, monkeypatch):
    """Then the rows are brought in without one, and the log stays, empty, while somebody reads."""

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(database, "_replace_by_copy", full)
    folder = tmp_path / "folder"
    path = folder / database.FILE
    plan = ComparisonPlan.of(TINY, "trellis")
    with store.RunStore(folder, plan) as runs:
        reader = Comparison.open(folder)
        runs.put_conduct({"workers": 7})
    with reader, contextlib.closing(sqlite3.connect(shutil.copy(path, tmp_path / "copy.sqlite"))) as copy:
        assert copy.execute("SELECT value FROM meta WHERE key = 'conduct'").fetchone() == ('{"workers": 7}',)
    assert (folder / "comparison.sqlite-wal").stat().st_size == 0
    Comparison.open(folder).close()
    assert names(folder) == [database.FILE]


def test_a_store_of_another_is_left_alone(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / database.FILE
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (a)")
    before = path.read_bytes()
    with pytest.raises(mecopt.InputError, match="no comparison"):
        store.RunStore(folder, ComparisonPlan.of(TINY, "trellis"))
    assert (names(folder), path.read_bytes()) == ([database.FILE], before)


def test_the_file_grows_while_the_work_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CHECKPOINT_S", -1.0)
    folder = tmp_path / "folder"
    with store.RunStore(folder, ComparisonPlan.of(TINY, "rpdi", seeds=3)) as runs:
        from mecopt.comparing.one_run import ended

        runs.finish(ended(runs.claim(), "failed", "for the test", 0.0))
        assert rows(folder / database.FILE) == 1
