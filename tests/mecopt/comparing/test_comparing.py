"""`compare`: one row a run whatever a method does, and a table that joins what all of them know."""

import contextlib
import json
import math
import re
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from faulty_methods import install
from places import INSTANCES

import mecopt
from mecopt import registry
from mecopt.best_known import Entry, Store
from mecopt.comparing import Comparison, database, drive, machine, soundness, store
from mecopt.comparing.one_run import pack_placement, unpack_placement
from mecopt.comparing.run_plan import ComparisonPlan
from mecopt.comparing.session import conduct
from mecopt.errors import InputError, MecoptError, UnknownMethodError

TINY = INSTANCES / "tiny_paper.json"
COUPLED = INSTANCES / "tiny_capacity.json"


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """Methods that fail in every way are installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(install(folder))
    registry._entries.cache_clear()
    yield
    registry._entries.cache_clear()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a comparison of exact methods on small instances."""
    folder = tmp_path_factory.mktemp("finished") / "made" / "here"
    mecopt.compare(
        [str(INSTANCES / "tiny_[cdip]*.json"), "paper:slots=4,servers=2..3"],
        ["trellis", "decomposition"],
        seeds=2,
        time_limit_s=30,
        workers=1,
        out=folder,
    )
    return folder


def test_one_row_a_run(finished):
    with Comparison.open(finished) as comparison:
        runs = comparison.runs
        instances = comparison.instances
    assert list(runs["run"]) == list(range(1, len(runs) + 1))
    assert set(instances["instance"]) == {
        *("tiny_capacity", "tiny_deadline", "tiny_infeasible", "tiny_paper", "tiny_physical"),
        *("paper:slots=4,servers=2,seed=0", "paper:slots=4,servers=3,seed=0"),
    }
    seeds = runs.groupby(["instance", "method"])["seed"].agg(list)
    for (_, method), found in seeds.items():
        assert found == ([0, 1] if registry.method(method).random else [0])
    assert (runs.loc[runs["method"] == "decomposition", "status"].isin(("optimal", "infeasible"))).all()
    refused = runs[(runs["instance"] == "tiny_capacity") & (runs["method"] == "trellis")].iloc[0]
    assert (refused["status"], refused["violations"] is not None) == ("refused", True)
    assert "cannot honour capacity" in refused["error"]
    assert math.isnan(refused["objective"])
    assert (runs["cpu_s"] > 0).all()
    assert (runs["time_limit_s"] == 30).all()
    assert runs["peak_memory_bytes"].isna().all()


def test_best_of_all_is_joined_in(finished):
    with Comparison.open(finished) as comparison:
        runs, instances = comparison.runs, comparison.instances.set_index("instance")
    row = instances.loc["tiny_capacity"]
    assert row["trellis_bound"] < row["best_bound"] == pytest.approx(row["best_known"])
    assert row[["local_share", "one_server_share", "mixed_share"]].sum() == pytest.approx(1)
    assert np.isnan(instances.loc["tiny_infeasible", "trellis_bound"])
    solved = runs[runs["status"] == "optimal"]
    assert (solved["excess_over_best_known"].abs() <= 1e-9).all()
    assert (solved["gap_to_best_bound"] <= 1e-6).all()


def test_solution_is_that_of_solve(finished):
    """The packed form loses nothing."""
    with Comparison.open(finished) as comparison:
        runs = comparison.runs
        for run, name, method, seed in runs[["run", "instance", "method", "seed"]].values.tolist():
            found = comparison.solution(run)
            if name == "tiny_capacity" and method == "trellis":
                assert found is None
                continue
            instance = comparison.instance(runs.loc[runs["run"] == run, "instance_sha256"].item())
            assert instance.name == name
            again = json.loads(mecopt.solve(instance, method, time_limit_s=30, seed=seed).to_json())
            assert list(found) == list(again)
            for times in ("runtime_s", "trace"):
                found.pop(times)
                again.pop(times)
            assert found == again


def test_details(finished):
    with Comparison.open(finished) as comparison:
        runs = comparison.runs
        shares, traces = comparison.node_shares(), comparison.traces()
        placed = set(runs.loc[runs["status"] == "optimal", "run"])
        assert set(shares) == placed <= set(traces)
        for run, share in shares.items():
            assert np.array_equal(share, comparison.node_share(run))
            assert share.sum(axis=1) == pytest.approx(1)
            placement = comparison.solution(run)["placement"]
            blocks = max(map(len, placement))
            assert share.shape[0] == blocks
            first = np.bincount([row[0] for row in placement], minlength=share.shape[1])
            assert share[0] == pytest.approx(first / first.sum(), abs=1e-6)
            assert comparison.trace(run) == traces[run]
            assert traces[run][-1][1] == runs.loc[runs["run"] == run, "objective"].item()
        assert comparison.node_share(10**6) is None
        assert comparison.solution(10**6) is None
        with pytest.raises(InputError, match="no instance"):
            comparison.instance("0" * 64)


def test_info(finished):
    with Comparison.open(finished) as comparison:
        info, hosts = comparison.info, set(comparison.runs["host"])
    assert info["command"].startswith("mecopt compare ")
    assert "--seeds 2 --time-limit 30" in info["command"]
    assert (info["workers"], info["engine"], info["isolate"]) == (1, "local", False)
    assert (info["methods"], info["threads"], info["time_limit_s"]) == (["trellis", "decomposition"], 1, 30.0)
    assert info["mecopt_version"] == mecopt.__version__
    assert info["versions"]["numpy"] == np.__version__
    assert hosts == set(info["machines"]) == {machine.machine_id()}
    assert info["cores"] >= 1
    assert info["memory_bytes"] > 1e8


def test_nothing_but_the_store_is_left(finished):
    assert [path.name for path in finished.iterdir()] == [database.FILE]


def test_finished_runs_are_not_repeated(finished):
    with Comparison.open(finished) as comparison:
        before = comparison.runs
    again = mecopt.compare(
        [str(INSTANCES / "tiny_[cdip]*.json"), "paper:slots=4,servers=2..3"],
        ["trellis", "decomposition"],
        seeds=2,
        time_limit_s=30,
        out=finished,
    )
    assert again.equals(before)


def test_more_is_added(tmp_path):
    small = mecopt.load(TINY)
    first = mecopt.compare(small, "trellis", workers=1, out=tmp_path)
    both = mecopt.compare(
        [small, COUPLED], ["trellis", ("milp", {"formulation": "flow"})], workers=1, out=tmp_path
    )
    assert both.iloc[:1].equals(first)
    assert len(both) == 4
    assert set(both["options"]) == {"{}", '{"formulation": "flow"}'}
    with Comparison.open(tmp_path) as comparison:
        assert comparison.info["command"].count("\n") == 1


@pytest.fixture
def one(finished, tmp_path):
    """A copy of the folder that may be spoilt."""
    (tmp_path / database.FILE).write_bytes((finished / database.FILE).read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"time_limit_s": 5}, r"time limit 30\.0 there, 5\.0 here"),
        ({"gap": 0.1}, r"gap none there, 0\.1 here"),
        ({"instances": mecopt.load(COUPLED).replace(name="tiny_paper")}, "instance 'tiny_paper' has changed"),
        (
            {"instances": "camera-vgg:slots=2", "methods": "ilp"},
            "none of its instances and methods are among yours",
        ),
    ],
)
def test_another_comparison_is_refused(one, changes, text):
    given = {"instances": TINY, "methods": "trellis", "time_limit_s": 30, **changes}
    before = (one / database.FILE).read_bytes()
    with pytest.raises(InputError, match=text):
        mecopt.compare(**given, out=one)
    with Comparison.open(one) as comparison, Comparison.open(one, best_known=None) as again:
        assert comparison.pending == 0
        assert comparison.runs.equals(again.runs)
    assert len((one / database.FILE).read_bytes()) == len(before)


def test_another_version_is_refused(one, monkeypatch):
    monkeypatch.setattr("mecopt.comparing.run_plan.__version__", "99.0")
    with pytest.raises(InputError, match=r"mecopt version .* there, 99\.0 here"):
        mecopt.compare(TINY, "trellis", time_limit_s=30, out=one)


def test_runs_of_other_commands_are_left_alone(tmp_path):
    plan = ComparisonPlan.of([TINY, COUPLED], ["trellis", "decomposition"])
    store.RunStore(tmp_path, plan).close()
    runs = mecopt.compare(TINY, "trellis", workers=1, out=tmp_path)
    assert list(runs["instance"]) == ["tiny_paper"]
    with Comparison.open(tmp_path) as comparison:
        assert comparison.pending == 3
        assert comparison.info["methods"] == ["trellis", "decomposition"]


def test_nothing_finished_is_an_empty_table(tmp_path):
    store.RunStore(tmp_path, ComparisonPlan.of(TINY, "trellis")).close()
    with Comparison.open(tmp_path) as comparison:
        assert comparison.runs.empty
        assert "objective" in comparison.runs
        assert comparison.instances["best_bound"].item() == comparison.instances["trellis_bound"].item()
        assert comparison.pending == 1
        assert comparison.traces() == comparison.node_shares() == {}


def test_another_policy_is_another_row(tmp_path, faulty):
    policy = tmp_path / "policy.bin"
    found = {}
    for content in (b"one", b"two", b"one"):
        policy.write_bytes(content)
        runs = mecopt.compare(TINY, f"steady={policy}", workers=1, out=tmp_path / "out")
        assert json.loads(runs["options"].item()) == {"policy": str(policy)}
        found.setdefault(content, []).append((runs["fingerprint"].item(), runs["started"].item()))
    assert found[b"one"][0] == found[b"one"][1], "what is known of the first policy counts again"
    assert found[b"one"][0][0] != found[b"two"][0][0]
    with Comparison.open(tmp_path / "out") as comparison:
        assert comparison.outdated["fingerprint"].tolist() == [found[b"two"][0][0]]


FAULTS = {
    "raises": "MethodError: method 'raises' failed: ZeroDivisionError: two lines of text",
    "leaves": "MethodError: method 'leaves' failed: SystemExit: 3",
    "dies": "killed by SIGKILL",
    "exits": "its process ended with exit status 0",
    "shapeless": "MethodError: method 'shapeless': placement: shape",
    "boundless": "method 'boundless': the method's bound is nan",
    "liar": "the method says its value is 0.001",
    "above": "lies above the objective",
    "chatty": "not JSON serializable",
}


def test_faults_are_rows(faulty):
    runs = mecopt.compare(TINY, [*FAULTS, "trellis"], workers=1).set_index("method")
    assert list(runs.index) == [*FAULTS, "trellis"]
    assert runs.loc["trellis", "status"] == "optimal"
    assert runs.loc["trellis", "error"] is None
    for method, text in FAULTS.items():
        assert runs.loc[method, "status"] == "failed"
        assert text in runs.loc[method, "error"]
        assert np.isnan(runs.loc[method, "objective"])
    assert runs["wall_s"].notna().all()
    assert runs["started"].notna().all()


def test_a_method_that_never_returns_is_ended(faulty, monkeypatch, tmp_path):
    monkeypatch.setattr(drive, "WARM_S", 3.0)
    monkeypatch.setattr("mecopt.comparing.one_run.GRACE_S", 0.5)
    runs = mecopt.compare([TINY, COUPLED], ["hangs", "trellis"], time_limit_s=1, workers=1, out=tmp_path)
    assert list(runs["status"]) == ["timeout", "optimal", "refused", "refused"]
    late = runs.iloc[0]
    assert "ended from outside after 1.6" in late["error"]
    assert 1.6 <= late["wall_s"] < 5
    with Comparison.open(tmp_path) as comparison:
        assert comparison.solution(1) is None
        assert comparison.trace(1) == []


def test_isolated_runs_have_a_peak_memory():
    runs = mecopt.compare([TINY, COUPLED], "decomposition", isolate=True)
    assert (runs["peak_memory_bytes"] > 2e7).all()
    assert (runs["peak_memory_bytes"] < 2e9).all()


def test_a_script_without_a_guard_can_compare(tmp_path):
    """Workers do not run the caller's script again."""
    script = tmp_path / "script.py"
    script.write_text(f"import mecopt\nprint(len(mecopt.compare({str(TINY)!r}, 'trellis', workers=1)))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_instances_are_found(tmp_path):
    def names(*sources):
        return [entry.name for entry in ComparisonPlan.of(sources, "trellis").entries]

    assert names(TINY, TINY, mecopt.load(TINY)) == ["tiny_paper"]
    assert names("paper:slots=2,seed=1..2") == ["paper:slots=2,seed=1", "paper:slots=2,seed=2"]
    for path in (TINY, COUPLED, INSTANCES / "best_known.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "notes.txt").write_text("no instance")
    mecopt.solve(mecopt.load(TINY), "trellis").save(tmp_path / "solution.json")
    assert names(tmp_path) == names(f"{tmp_path}/*.json") == ["tiny_capacity", "tiny_paper"]
    nameless = mecopt.to_dict(mecopt.load(TINY))
    del nameless["name"]
    (tmp_path / "office.json").write_text(json.dumps(nameless))
    assert names(tmp_path / "office.json") == ["office"]


@pytest.mark.parametrize(
    ("instances", "text"),
    [
        ("nosuch*.json", "no instance matches 'nosuch"),
        ("no/such.json", "no such file"),
        ("papr", "did you mean paper"),
        ("paper:servers=0", "servers"),
        ([], "no instance matches"),
        (INSTANCES / "best_known.json", "no instance matches"),
        (Path(__file__).parent, "no instance in this folder"),
        (Path(__file__), "not JSON"),
        ([TINY, mecopt.load(COUPLED).replace(name="tiny_paper")], "two different instances are named"),
    ],
)
def test_bad_instances(instances, text):
    with pytest.raises(InputError, match=text):
        mecopt.compare(instances, "trellis")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"methods": "trelis"}, "did you mean trellis"),
        ({"methods": []}, "methods: none"),
        ({"methods": [3]}, "expected a name"),
        ({"methods": "trellis=x"}, "no option 'policy'"),
        ({"methods": ("milp", {"formulation": object()})}, "expected plain values"),
        ({"methods": ("milp", {"x": 1})}, "no option 'x'"),
        ({"seeds": 0}, "seeds: 0"),
        ({"seeds": True}, "seeds: True"),
        ({"seeds": 1.5}, "seeds: 1.5, expected a whole number >= 1"),
        ({"gap": float("inf")}, "gap: inf, expected a finite number >= 0"),
        ({"gap": np.bool_(False)}, "gap: False"),
        ({"time_limit_s": "9"}, "time_limit_s: '9'"),
        ({"workers": 1.5}, "workers: 1.5"),
        ({"time_limit_s": -1}, "time_limit_s: -1"),
        ({"time_limit_s": float("nan")}, "time_limit_s: nan"),
        ({"threads": 10**6}, "threads: 1000000, expected at most"),
        ({"workers": 10**6}, "workers: 1000000 with 1 threads"),
        ({"workers": 0}, "workers: 0"),
        ({"engine": "spark"}, "engine: 'spark'"),
        ({"address": "x:1"}, "address: 'x:1'"),
    ],
)
def test_bad_arguments(given, text):
    with pytest.raises(InputError, match=text):
        mecopt.compare(**{"instances": TINY, "methods": "trellis", **given})


def test_numpy_scalars_are_numbers():
    given = {"seeds": np.int64(1), "threads": np.uint8(1), "workers": np.float64(1)}
    options = {"include_device": np.bool_(True)}
    limits = {"time_limit_s": np.float32(9.5), "gap": np.float64(0.1)}
    runs = mecopt.compare(TINY, [("greedy", options)], **given, **limits)
    assert runs["status"].isin(("optimal", "feasible")).all()
    assert json.loads(runs["options"].item()) == {"include_device": True}


def test_unknown_method_is_that_error():
    with pytest.raises(UnknownMethodError):
        mecopt.compare(TINY, "trelis")


def test_bad_folders(tmp_path, finished):
    with pytest.raises(InputError, match="no such folder"):
        Comparison.open(tmp_path / "none")
    with pytest.raises(InputError, match=r"no comparison\.sqlite in it"):
        Comparison.open(tmp_path)
    whole = (finished / database.FILE).read_bytes()
    path = tmp_path / database.FILE
    for content, text in (
        (b"no database at all" * 100, "not a database"),
        (whole[: len(whole) // 2], "cut short"),
        (whole[:50], "damaged or cut short"),
        (b"", "empty, the comparison has not begun"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=text):
            Comparison.open(tmp_path)
        if content:
            with pytest.raises(InputError, match=text):
                mecopt.compare(TINY, "trellis", out=tmp_path)
            assert path.read_bytes() == content
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE notes (text TEXT)")
    other.close()
    for use in (lambda: Comparison.open(tmp_path), lambda: mecopt.compare(TINY, "trellis", out=tmp_path)):
        with pytest.raises(InputError, match="a database, but no comparison"):
            use()
    path.write_bytes(whole)
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 99")
    later.close()
    for use in (lambda: Comparison.open(tmp_path), lambda: mecopt.compare(TINY, "trellis", out=tmp_path)):
        with pytest.raises(InputError, match="format version 99, expected 2"):
            use()
    with pytest.raises(InputError, match="is no folder"):
        mecopt.compare(TINY, "trellis", out=path)


def test_an_empty_file_is_begun(tmp_path):
    """A kill between making the file and filling it leaves this."""
    (tmp_path / database.FILE).touch()
    assert len(mecopt.compare(TINY, "trellis", workers=1, out=tmp_path)) == 1


def test_a_damaged_page_is_one_line(finished, tmp_path):
    whole = bytearray((finished / database.FILE).read_bytes())
    whole[4096:] = b"\xff" * (len(whole) - 4096)
    (tmp_path / database.FILE).write_bytes(whole)
    with pytest.raises(InputError, match="damaged or cut short"), Comparison.open(tmp_path) as comparison:
        comparison.runs  # noqa: B018


def test_a_full_disk_keeps_what_is_finished(tmp_path, monkeypatch):
    """The store may not grow any more after the first runs."""
    finish, count = store.RunStore.finish, 0

    def filling(self, outcome):
        nonlocal count
        count += 1
        if count == 3:
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            self._connection.execute(f"PRAGMA max_page_count = {pages}")
        finish(self, outcome)

    monkeypatch.setattr(store.RunStore, "finish", filling)
    given = {"instances": "paper:slots=1500", "methods": "rpdi", "seeds": 8, "workers": 1, "out": tmp_path}
    with pytest.raises(MecoptError, match=r"could not be written: database or disk is full; .* same command"):
        mecopt.compare(**given)
    monkeypatch.undo()
    with Comparison.open(tmp_path) as comparison:
        before = comparison.runs
        assert 2 <= len(before) < 8
        assert comparison.pending == 8 - len(before)
    after = mecopt.compare(**given)
    assert len(after) == 8
    times = ["best_bound", "best_known", "gap_to_best_bound", "excess_over_best_known"]
    kept = after.iloc[: len(before)]
    assert kept.drop(columns=times).equals(before.drop(columns=times))


def test_contradicting_methods_are_told(one):
    with sqlite3.connect(one / database.FILE) as db:
        db.execute("UPDATE runs SET lower_bound = objective * 1.5 WHERE run = (SELECT max(run) FROM runs)")
    db.close()
    with Comparison.open(one) as comparison:
        lines = comparison.disagreements()
    assert lines
    assert all("one of them is wrong" in line for line in lines)


def test_a_false_proof_and_a_false_bound_are_marked(faulty, tmp_path):
    methods = ["falsely", "boasts", "trellis"]
    runs = mecopt.compare(TINY, methods, workers=1, out=tmp_path).set_index("method")
    assert list(runs["status"]) == ["infeasible", "unknown", "optimal"]
    value = float(runs.loc["trellis", "objective"])
    assert runs.loc["falsely", "contradiction"] == (
        f"says infeasible, but trellis (seed 0) has a feasible placement of {value!r}: the proof is wrong"
    )
    assert runs.loc["boasts", "contradiction"] == (
        f"its bound 1000000000.0 lies above {value!r}, found by trellis (seed 0): one of them is wrong"
    )
    assert runs.loc["trellis", "contradiction"] is None
    with Comparison.open(tmp_path) as comparison:
        told = comparison.disagreements()
    assert [line.partition(" (seed")[0] for line in told] == ["tiny_paper: falsely", "tiny_paper: boasts"]


def test_what_the_store_knows_contradicts_too(faulty, tmp_path):
    instance = mecopt.load(TINY)
    mecopt.compare(TINY, ["falsely", "trellis"], workers=1, out=tmp_path)
    path = tmp_path / "known.json"
    store = "the store of best-known values"
    for entry, text in (
        (Entry(instance.name, 1e-9, method="x"), f"lies above 1e-09, found by {store}"),
        (Entry(instance.name, lower_bound=1e9), f"below the bound 1000000000.0 of {store}"),
        (Entry(instance.name, infeasible=True), f"{store} says infeasible, but trellis"),
    ):
        Store({instance.sha256: entry}).save(path)
        with Comparison.open(tmp_path, best_known=path) as comparison:
            assert any(text in line for line in comparison.disagreements()), comparison.disagreements()


def test_a_folder_that_cannot_be_written_is_still_read(finished, tmp_path):
    """A store that is closed is one file without a log."""
    with Comparison.open(finished) as comparison:
        expected = comparison.runs
    path = tmp_path / database.FILE
    path.write_bytes((finished / database.FILE).read_bytes())
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with Comparison.open(tmp_path) as comparison:
            assert comparison.runs.equals(expected)
    finally:
        tmp_path.chmod(0o755)


def test_reading_while_runs_are_made(tmp_path, faulty):
    seen = []
    plan = ComparisonPlan.of(TINY, ["steady"], seeds=3)
    finish = store.RunStore.finish

    def watched(self, outcome):
        finish(self, outcome)
        with Comparison.open(tmp_path) as comparison:
            seen.append((len(comparison.runs), comparison.pending))

    store.RunStore.finish = watched
    try:
        conduct(plan, tmp_path, workers=1)
    finally:
        store.RunStore.finish = finish
    assert seen == [(1, 2), (2, 1), (3, 0)]


def test_best_known_store_is_joined_in(finished, tmp_path):
    instance = mecopt.load(COUPLED)
    known = tmp_path / "known.json"
    Store({instance.sha256: Entry("x", objective=3.0, lower_bound=2.9, method="m")}).save(known)
    with Comparison.open(finished, best_known=known) as comparison:
        row = comparison.runs[comparison.runs["method"] != "trellis"].iloc[0]
        assert row["instance"] == "tiny_capacity"
        assert row["best_known"] == 3.0 < row["objective"]
        assert row["excess_over_best_known"] == pytest.approx((row["objective"] - 3.0) / 3.0)
    with pytest.raises(InputError, match="no such file"):
        Comparison.open(finished, best_known=tmp_path / "nothing.json")


@pytest.mark.parametrize("servers", [1, 13, 14, 200])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (4, 2)])
def test_packed_placements_come_back(servers, shape):
    placement = np.random.default_rng(0).integers(0, servers + 1, shape)
    placement[0, 0], placement[-1, -1] = servers, -1 if shape[1] > 1 else servers
    lists = [[node for node in row if node >= 0] for row in placement.tolist()]
    assert unpack_placement(pack_placement(placement, servers), *shape, servers) == lists


def test_placements_of_earlier_stores_are_read():
    placement = np.array([[0, 4], [2, -1]])
    packed = zlib.compress(placement.astype("<i1").tobytes())
    assert unpack_placement(packed, 2, 2, 4) == [[0, 4], [2]]


def test_a_finished_run_is_kept_though_the_next_cannot_be_claimed(tmp_path, monkeypatch):
    claim, claimed = store.RunStore.claim, []

    def once(runs):
        if claimed:
            raise MecoptError("no room left")
        claimed.append(claim(runs))
        return claimed[0]

    monkeypatch.setattr(store.RunStore, "claim", once)
    with pytest.raises(MecoptError, match="no room left"):
        mecopt.compare("instances/tiny_paper.json", "rpdi", seeds=3, workers=1, out=tmp_path / "c")
    with sqlite3.connect(tmp_path / "c" / "comparison.sqlite") as db:
        assert db.execute("SELECT count(*) FROM runs WHERE status IS NOT NULL").fetchone() == (1,)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (
            "UPDATE runs SET objective = 'abc' WHERE run = 2",
            "table runs, row 2: objective: 'abc', expected a number",
        ),
        ("UPDATE runs SET gap = 9e999 WHERE run = 1", "table runs, row 1: gap: inf, expected a number >= 0"),
        ("UPDATE runs SET options = '[]' WHERE run = 1", "options: '[]', expected a JSON object"),
        ("UPDATE runs SET status = 'great' WHERE run = 1", "status: 'great', expected a status"),
        ("UPDATE runs SET started = NULL WHERE run = 1", "started: nothing, expected a date"),
        ("UPDATE instances SET document = 1 WHERE rowid = 1", "document: 1, expected bytes"),
        ("DELETE FROM instances WHERE rowid = 1", "instance_sha256: '"),
        ("DELETE FROM meta WHERE key = 'conduct'", "table meta: no 'conduct'"),
        ("UPDATE meta SET value = '{' WHERE key = 'settings'", "table meta: settings: not JSON"),
        ("UPDATE meta SET value = '3' WHERE key = 'settings'", "settings: not as mecopt writes it"),
        ("ALTER TABLE runs DROP COLUMN gap", "its tables are not those of a comparison"),
        ("CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END", "not those of a comparison"),
        ("DROP TABLE details", "not those of a comparison"),
    ],
)
def test_a_store_that_was_edited(finished, tmp_path, statement, text):
    path = tmp_path / database.FILE
    path.write_bytes((finished / database.FILE).read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()
    before = path.read_bytes()
    with pytest.raises(InputError, match=re.escape(text)):
        Comparison.open(tmp_path)
    with pytest.raises(InputError, match=re.escape(text)):
        store.RunStore(tmp_path, ComparisonPlan.of(TINY, "trellis"))
    assert path.read_bytes() == before
    assert [left.name for left in tmp_path.iterdir()] == [database.FILE]


def test_what_is_packed_has_a_bound(tmp_path):
    bomb = zlib.compress(bytes(10**6))
    assert len(soundness.unpacked(bomb, "facts", tmp_path)) == 10**6
    with pytest.raises(InputError, match="facts: cut short, or more than 1,000 bytes"):
        soundness.unpacked(bomb, "facts", tmp_path, 1000)
    with pytest.raises(InputError, match="facts: cut short"):
        soundness.unpacked(bomb[:-5], "facts", tmp_path)


def test_solutions_of_the_wider_format_are_those_of_the_result(tmp_path):
    from mecopt.schema_wider import EITHER

    instance = mecopt.generate("camera-vgg:slots=6,servers=2,blocks=3,drop_cost=0.5..1.5", seed=1)
    result = mecopt.solve(instance, "trellis")
    assert result.evaluation.dropped.any()
    assert not result.evaluation.dropped.all()
    mecopt.compare([instance], ["trellis"], out=tmp_path / "out", workers=1)
    with Comparison.open(tmp_path / "out") as comparison:
        (run,) = comparison.runs["run"]
        document = comparison.solution(int(run))
    EITHER["solution"].validate_python(json.loads(json.dumps(document)))
    mine = result.to_dict()
    assert document["format"] == "mecopt-solution/2"
    for name in (
        "placement",
        "schedule",
        "objective_terms",
        "dropped",
        "phase_delay_s",
        "nodes",
        "objective",
    ):
        assert document[name] == mine[name], name
