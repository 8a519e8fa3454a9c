"""Reports: what stands on the page and in the files, and what is left out of the means."""

import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pandas as pd
import pytest
from places import ROOT
from reporting_data import EVIL, MadeUp

from mecopt.errors import InputError, MissingExtraError
from mecopt.reporting import build, make_report, page, sentences, tables
from mecopt.reporting.numbers import Numbers


@pytest.fixture(scope="module")
def made_up():
    return MadeUp()


@pytest.fixture(scope="module")
def made(made_up):
    return build.contents(made_up, "a folder")


def test_files(made):
    files, _ = made
    assert list(files)[-1] == "index.html"
    assert {"runs.csv", "runs.parquet", "instances.csv", "tables/gaps.tex", "figures/profile_gap.png"} <= set(
        files
    )
    for name, data in files.items():
        if name.endswith(".svg"):
            assert ET.fromstring(data.decode()).tag.endswith("svg")
        if name.endswith(".png"):
            assert data.startswith(b"\x89PNG")


def test_tables_for_programs(made, made_up):
    files, _ = made
    read = pd.read_csv(io.BytesIO(files["runs.csv"]))
    packed = pd.read_parquet(io.BytesIO(files["runs.parquet"]))
    assert list(read) == list(packed) == list(made_up.runs)
    assert read["objective"].to_numpy() == pytest.approx(packed["objective"].to_numpy(), nan_ok=True)
    assert len(packed) == len(made_up.runs)


def test_numbers(made, made_up):
    """What failed counts nowhere in a mean, and the document says over how many each is."""
    _, document = made
    rows = {row["method"]: row for row in document["methods"]}
    own = made_up.runs[made_up.runs["method"] == "dice"]
    mean = own.groupby("instance")["gap_to_best_bound"].mean().mean()
    assert rows["dice"]["gaps"]["mean"]["value"] == pytest.approx(mean)
    assert rows["dice"]["gaps"]["mean"]["low"] < mean < rows["dice"]["gaps"]["mean"]["high"]
    assert (rows["stuck"]["instances"], rows["stuck"]["gaps"]["mean"]["value"]) == (0, None)
    assert rows["exact"]["gaps"]["worst"]["value"] == 0
    assert {row["method"] for row in document["common"]["no couplings"]} == {"exact", "dice"}
    assert document["statuses"]["failed"] == 3
    json.dumps(document, allow_nan=False)


def test_page_is_self_contained(made):
    text = made[0]["index.html"].decode()
    outside = re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.S)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:|//|file:)""", outside)
    assert "<b>ev" not in text, "a name is text, wherever it stands"
    assert len(text) < 3e6
    for word in ("exact", "dice", "bootstrap", "Seeds", "mecopt compare x", "mecopt report", "failed"):
        assert word in outside


def test_summary_is_two_sentences(made_up):
    numbers = Numbers(made_up)
    numbers.tables()
    first, second = sentences.summary(numbers)
    assert first.startswith("Of 4 methods on 3 instances, exact came closest")
    assert "6 of 18 runs have no feasible placement" in second


def test_same_comparison_same_bytes(made, made_up, monkeypatch):
    pictures, drawn = build._pictures, []
    monkeypatch.setattr(build, "_pictures", lambda figure: drawn.append(figure) or {})
    again, _ = build.contents(made_up, "a folder")
    (gradient,) = (figure for figure in drawn if figure.name == "collapse")
    again |= pictures(gradient)
    assert {name for name in again if again[name] != made[0][name]} == set()
    assert {"index.html", "figures/collapse.svg", "figures/collapse.png"} <= set(again)


def test_latex_escapes(made):
    text = made[0]["tables/instances.tex"].decode()
    assert r"ev\&il \$x\_1\$ 100\%" in text
    assert r"\toprule" in text
    assert re.search(r"(?<!\\)%", text) is None


@pytest.mark.slow
def test_hundred_thousand_rows():
    """In CPU time, since the machine may be busy with something else."""
    code = "import json, report; print(json.dumps(report.measured(100, 250)))"
    folder = ROOT / "benchmarks"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["rows"] == 100_000
    assert found["cpu_s"] < 60
    assert found["memory_mb"] < 2000
    assert found["page_bytes"] < 3e6


def test_impossible_bound_is_told(made_up):
    other = MadeUp(names=("one",), seeds=1)
    other.runs["gap_to_best_bound"] = other.runs["gap_to_best_bound"].mask(
        other.runs["method"] == "exact", -0.1
    )
    numbers = Numbers(other)
    assert "a bound or a value is wrong" in sentences.warnings(other, numbers)[0]


def test_primal_integral_is_over_the_common_instances(made, made_up):
    """The mean over instances of the mean over seeds, of the area below the capped gap up to 2 s."""
    rows = {row["method"]: row for row in made[1]["common"]["no couplings"]}
    first, second = list(made_up.instances["instance_sha256"])[:2]  # the third has a coupling
    areas = []
    for sha in (first, second):
        own = made_up.runs[(made_up.runs["instance_sha256"] == sha) & (made_up.runs["method"] == "dice")]
        found = 0.005 * own["run"]
        areas.append((found + (1 - own["best_bound"] / own["objective"]) * (2.0 - found)).mean())
    assert rows["dice"]["primal_integral_s"] == pytest.approx(sum(areas) / 2)
    assert rows["exact"]["primal_integral_s"] < rows["dice"]["primal_integral_s"]


def test_failures_that_do_not_fit_are_told(monkeypatch, made_up):
    monkeypatch.setattr(tables, "MOST_FAILURES", 1)
    table = tables.failure_table(Numbers(made_up).runs)
    assert len(table.rows) == 1
    assert re.search(r"The 1 most frequent of \d+", table.caption)


def test_files_in_folders_that_are_not_there_yet(tmp_path):
    build.write_all(tmp_path / "new" / "place", {"tables/a.tex": b"a", "index.html": b"b"})
    assert (tmp_path / "new" / "place" / "tables" / "a.tex").read_bytes() == b"a"


def test_nothing_placed(monkeypatch):
    monkeypatch.setattr(build, "_pictures", lambda figure: {})
    files, document = build.contents(MadeUp(names=("one",), methods=("stuck",)), "x")
    assert "no run ended with a feasible placement" in files["index.html"].decode()
    assert document["methods"][0]["instances"] == 0


def test_many_rows_are_summed_up(monkeypatch, made_up):
    monkeypatch.setattr(page, "MOST_ROWS", 5)
    rows = page._rows(Numbers(made_up))
    assert len(rows["rows"]) == 5
    assert "runs.csv" in rows["note"]


def test_missing_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "find_spec", lambda name: None if name == "vl_convert" else name)
    with pytest.raises(MissingExtraError, match=r"pip install 'mecopt\[report\]'"):
        make_report(tmp_path)


def test_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "nul\0"):
        with pytest.raises(InputError):
            build.check_folder(place)


def test_evil_name_is_in_the_data(made):
    found = re.search(r'id="runs-data">(.*?)</script>', made[0]["index.html"].decode(), re.S)
    assert EVIL in json.loads(found[1])["words"][0]
