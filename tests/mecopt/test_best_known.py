"""The best-known store: only what is better goes in, and what is in it can be found again."""

import dataclasses
import json
import subprocess
import sys

import pytest
from places import INSTANCES

import mecopt
from mecopt import locks
from mecopt.best_known import LOCK, Change, Entry, Store, improve_file
from mecopt.errors import DisagreementError, InputError

STORE = INSTANCES / "best_known.json"
FILES = sorted(path for path in INSTANCES.glob("*.json*") if path != STORE)
KNOWN = Store.load(STORE, missing_ok=True)
KEY = "0" * 64

OLD = Entry(
    "a", objective=2.0, lower_bound=1.0, method="x", bound_method="y", version="0.0.1", date="2024-01-01"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_benchmark_instances(path):
    instance = mecopt.load(path)
    entry = KNOWN.get(instance)
    if entry is None:
        pytest.skip("not in the store yet")
    if entry.objective is not None and entry.lower_bound is not None:
        assert entry.lower_bound <= entry.objective
    if not instance.rules.couplings:
        result = mecopt.solve(instance, "trellis")
        assert entry.status == result.status
        if result.objective is not None:
            assert result.objective == pytest.approx(entry.objective, rel=1e-9)


def test_every_entry_has_a_file():
    assert set(KNOWN.entries) <= {mecopt.load(path).sha256 for path in FILES}


def test_only_what_is_better_replaces():
    store = Store({KEY: OLD})
    assert not store.improve(KEY, dataclasses.replace(OLD, objective=2.5, lower_bound=0.5, method="z"))
    assert not store.improve(KEY, dataclasses.replace(OLD, objective=2.0 * (1 - 1e-12), method="z"))
    assert not store.improve(KEY, Entry("a"))
    assert store.entries[KEY] is OLD
    assert store.improve(
        KEY, Entry("a", objective=1.5, lower_bound=0.5, method="z", bound_method="z", date="2025-01-01")
    )
    better = store.entries[KEY]
    assert (better.objective, better.method, better.lower_bound, better.bound_method) == (1.5, "z", 1.0, "y")
    assert better.date == "2025-01-01"
    assert store.improve(KEY, Entry("a", lower_bound=1.5, bound_method="w"))
    assert store.entries[KEY].status == "optimal"


def test_status_and_gap():
    assert (OLD.status, OLD.gap) == ("feasible", 1.0)
    assert dataclasses.replace(OLD, lower_bound=None).gap is None
    assert Entry("a", lower_bound=1.0).status == "unknown"
    assert Entry("a", infeasible=True).status == "infeasible"


def test_contradictions_are_errors():
    with pytest.raises(DisagreementError, match="lies above"):
        Store({KEY: OLD}).improve(KEY, Entry("a", objective=0.5, method="z"))
    with pytest.raises(DisagreementError, match="lies above"):
        Store().improve(KEY, Entry("a", objective=0.5, lower_bound=1.0))
    with pytest.raises(DisagreementError, match="infeasible"):
        Store({KEY: OLD}).improve(KEY, Entry("a", infeasible=True))
    with pytest.raises(DisagreementError, match="infeasible"):
        Store({KEY: Entry("a", infeasible=True)}).improve(KEY, OLD)


def test_bound_above_by_rounding():
    store = Store()
    store.improve(KEY, Entry("a", objective=1.0, lower_bound=1.0 + 1e-15))
    assert store.entries[KEY].lower_bound == 1.0


def test_proof_of_infeasibility_is_kept():
    store = Store({KEY: Entry("a", lower_bound=1.0, bound_method="x")})
    assert store.improve(KEY, Entry("a", infeasible=True))
    assert store.entries[KEY].lower_bound is None
    assert not store.improve(KEY, Entry("a", lower_bound=2.0))
    assert not store.improve(KEY, Entry("a", infeasible=True))


def test_file_and_back(tmp_path):
    path = tmp_path / "store.json"
    entries = {KEY: OLD, "1" * 64: Entry("b", infeasible=True), "2" * 64: Entry("c", lower_bound=1.0)}
    Store(entries).save(path)
    assert Store.load(path).entries == entries
    assert Store.load(tmp_path / "none.json", missing_ok=True).entries == {}
    with pytest.raises(InputError, match="no such file"):
        Store.load(tmp_path / "none.json")
    path.write_text(path.read_text().replace('"objective": 2.0', '"objective": NaN'))
    with pytest.raises(InputError, match=r"store\.json: "):
        Store.load(path)


UPDATE = """
import sys
from mecopt.best_known import Entry, improve_file
path, first = sys.argv[1], int(sys.argv[2])
print(flush=True)
sys.stdin.read(1)
for number in range(first, first + 20):
    (change,) = improve_file(path, [(f"{number:064x}", [Entry(str(number), objective=1.0, method="x")])])
    assert change.improved
"""


def test_many_processes_lose_nothing(tmp_path):
    """Nor does a reader ever see a part of the file, or one that was killed hold up the others."""
    path = tmp_path / "store.json"
    command = [sys.executable, "-c", UPDATE, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen([*command, str(100 * i)], **pipes) for i in range(7)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write(b"x")
        process.stdin.flush()
    sizes = []
    while processes[0].poll() is None:
        sizes.append(len(Store.load(path, missing_ok=True).entries))
        if sizes[-1] > 20:
            processes[6].kill()
    assert sizes == sorted(sizes)
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes[:6]] == [0] * 6
    assert {f"{100 * i + k:064x}" for i in range(6) for k in range(20)} <= set(Store.load(path).entries)
    assert all(".mecopt-" in left.name or left == path for left in tmp_path.iterdir())


def test_a_wait_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_S", 0.1)
    path, told = tmp_path / "store.json", []
    other = locks.FileLock(tmp_path / LOCK)
    assert other.alone()

    def on_wait():
        told.append(1)
        other.release()

    (change,) = improve_file(path, [(KEY, [OLD])], on_wait)
    assert (change, told) == (Change(None, OLD, True), [1])
    assert [left.name for left in tmp_path.iterdir()] == ["store.json"]


def test_a_contradiction_takes_nothing_over(tmp_path):
    path = tmp_path / "store.json"
    Store({KEY: OLD}).save(path)
    before = path.read_bytes()
    found = [("1" * 64, [OLD]), (KEY, [Entry("a", objective=0.5, method="z")])]
    with pytest.raises(DisagreementError, match="lies above"):
        improve_file(path, found)
    assert path.read_bytes() == before
    assert [left.name for left in tmp_path.iterdir()] == ["store.json"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"objective": 0.5}, "the bound 1.0 lies above the objective 0.5"),
        ({"status": "infeasible"}, "infeasible, expected neither objective nor bound"),
        ({"date": "2025-02-31"}, "date: day is out of range"),
    ],
)
def test_a_file_that_contradicts_itself(tmp_path, changes, text):
    path = tmp_path / "store.json"
    Store({KEY: OLD}).save(path)
    document = json.loads(path.read_text())
    document["entries"][KEY] |= changes
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=text):
        Store.load(path)
