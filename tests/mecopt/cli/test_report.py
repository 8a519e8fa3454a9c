"""`mecopt report`: from the folder of a real comparison, and what it refuses."""

import json
import shlex

import pytest
from click.testing import CliRunner


@pytest.fixture(scope="module")
def compared(mecopt, tmp_path_factory):
    """Return the folder of a finished comparison."""
    folder = tmp_path_factory.mktemp("compared") / "out"
    spec = ("camera-alexnet:slots=6", "crowd:release_rate=4,servers=2")
    done = mecopt(
        "compare", *spec, "--methods", "trellis,greedy,rpdi", "--seeds", 2, "--workers", 1, "--out", folder
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_report(mecopt, compared):
    done = mecopt("report", compared, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    place = compared / "report"
    assert document["folder"] == str(place)
    found = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert found == set(document["files"])
    assert {row["method"] for row in document["methods"]} == {"trellis", "greedy", "rpdi"}
    assert document["statuses"]["refused"] == 1


def test_report_says_where(monkeypatch, tmp_path):
    from mecopt import reporting
    from mecopt.cli.report import report

    def make(folder, out, **wanted):
        (tmp_path / "index.html").write_bytes(b" " * 1_234_567)
        return reporting.Made(tmp_path, ["index.html", "runs.csv"], {"given": [folder, out], **wanted})

    monkeypatch.setattr(reporting, "make_report", make)
    done = CliRunner().invoke(report, ["compared", "--out", "place"])
    assert done.stdout == f"{tmp_path / 'index.html'}: 1.2 MB, and 1 files beside it\n"
    done = CliRunner().invoke(report, ["compared", "--out", "place", "--json"])
    plain = {"methods": [], "labels": {}, "columns": 1, "size_in": None}
    assert json.loads(done.stdout) == {"given": ["compared", "place"], **plain}
    words = ["--methods", "b, a", "--label", "a=x=Ours", "--columns", "2", "--figure-size", "3.4x2"]
    done = CliRunner().invoke(report, ["compared", "--out", "place", *words, "--json"])
    wanted = {"methods": ["b", "a"], "labels": {"a=x": "Ours"}, "columns": 2, "size_in": [3.4, 2.0]}
    assert json.loads(done.stdout) == {"given": ["compared", "place"], **wanted}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--label", "x"), "--label x: expected METHOD=TEXT"),
        (("--label", "trellis="), "--label trellis=: expected METHOD=TEXT"),
        (("--figure-size", "3"), "--figure-size 3: expected WxH in inches, as 3.4x2.4"),
        (("--figure-size", "3xq"), "expected WxH in inches"),
        (("--figure-size", "0x3"), "expected width and height from 1 to 50 inches"),
        (("--figure-size", "nanx3"), "expected width and height from 1 to 50 inches"),
        (("--methods", "trelis"), "method 'trelis': not in this comparison, which has"),
    ],
)
def test_bad_wishes_are_one_line(mecopt, compared, words, text):
    done = mecopt("report", compared, *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert text in done.stderr


def test_the_page_says_how_to_make_it_again(compared):
    """The command on the page stands for the runs that are there, and is one that can be typed."""
    from mecopt.cli.compare import compare
    from mecopt.comparing import Comparison
    from mecopt.comparing.run_plan import ComparisonPlan
    from mecopt.reporting.page import _commands

    with Comparison.open(compared) as comparison:
        first, second = _commands(comparison.info, "a folder", []).splitlines()
        there = {tuple(row) for row in comparison.runs[["instance_sha256", "method", "seed"]].to_numpy()}
    typed = compare.make_context("compare", shlex.split(first)[2:]).params
    assert typed["out"] == "a folder"
    plan = ComparisonPlan.of(typed["instances"], typed["methods"].split(","), seeds=typed["seeds"])
    assert {(sha256, method, seed) for sha256, method, _, _, seed in plan.runs()} == there
    assert second == "mecopt report 'a folder'"


def test_cut_short(mecopt, compared, tmp_path):
    store = next(compared.glob("*.sqlite"))
    (tmp_path / store.name).write_bytes(store.read_bytes()[:5000])
    _refused(mecopt("report", tmp_path), "cut short")


def test_not_a_comparison(mecopt, compared, tmp_path):
    _refused(mecopt("report", tmp_path / "none"), "no such folder")
    _refused(mecopt("report", tmp_path), "expected the output of `mecopt compare`")
    (tmp_path / next(compared.glob("*.sqlite")).name).write_text("something else entirely" * 50)
    _refused(mecopt("report", tmp_path), "not a database")


def test_nothing_finished(mecopt, compared, tmp_path):
    import sqlite3

    store = next(compared.glob("*.sqlite"))
    copy = tmp_path / store.name
    copy.write_bytes(store.read_bytes())
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE runs SET status = NULL")
    db.close()
    _refused(mecopt("report", tmp_path), "no run of the comparison is finished")
    assert [path.name for path in tmp_path.iterdir()] == [store.name]


def test_place_that_cannot_be_written(mecopt, compared, tmp_path):
    (tmp_path / "file").write_text("")
    _refused(mecopt("report", compared, "--out", tmp_path / "file"), "expected a folder")
    _refused(mecopt("report", compared, "--out", "/proc/nowhere"), "cannot be made")


def _refused(done, words):
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
