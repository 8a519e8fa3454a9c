"""Reports: what stands on the page and in the files, and what is left out of the means."""

import copy
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
from mecopt.reporting import build, line_charts, make_report, page, sentences, tables
from mecopt.reporting.figures import Charts
from mecopt.reporting.numbers import Numbers
from mecopt.reporting.wanted import Wanted


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
    monkeypatch.setattr(build, "_pictures", lambda figure, *given: drawn.append(figure) or {})
    again, _ = build.contents(made_up, "a folder")
    (gradient,) = (figure for figure in drawn if figure.name == "collapse")
    again |= pictures(gradient, None, 0)
    assert {name for name in again if again[name] != made[0][name]} == set()
    assert {"index.html", "figures/collapse.svg", "figures/collapse.png"} <= set(again)


def test_latex_escapes(made):
    text = made[0]["tables/instances.tex"].decode().replace(r"\allowbreak{}", "")
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
    monkeypatch.setattr(build, "_pictures", lambda *given: {})
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


# --- what is compared side by side ---
def test_bars_are_over_common_instances(made_up):
    """`part` placed two of three instances: the bars of all methods are over these two."""
    from mecopt.reporting.figures import Charts

    first, rest = made_up.runs["instance"] == "one", made_up.runs["method"] == "dice"
    runs = made_up.runs.assign(status=made_up.runs["status"].mask(first & rest, "failed"))
    changed = MadeUp()
    changed.runs = runs
    numbers = Numbers(changed)
    assert (len(numbers.shared.common), set(numbers.shared.methods)) == (2, {"exact", "dice"})
    charts = Charts(numbers.labels, numbers.instances, numbers.kinds)
    drawn = {figure.name: figure for figure in build.draw(numbers, charts, legend=False)}
    for name in ("delay_split", "energy"):
        assert "the 2 of 3 instances on which every run of these 2 methods was placed" in drawn[name].caption
        assert "left out, since they placed less than half: stuck" in drawn[name].caption
        (values,) = drawn[name].chart.to_dict()["datasets"].values()
        assert {row.split(",")[-1] for row in values.splitlines()[1:]} == {"2"}


def test_the_map_has_its_scale_and_the_key_of_its_letters(made_up, made):
    from mecopt.reporting.figures import Charts

    numbers = Numbers(made_up)
    charts = Charts(numbers.labels, numbers.instances, numbers.kinds)
    figure = build.draw(numbers, charts, legend=False)[0]
    ended = set(made_up.runs["status"]) - {"optimal", "feasible"}
    assert figure.key == ", ".join(
        f"{status[0].upper()} {status}"
        for status in ("violating", "infeasible", "unknown", "failed", "refused", "timeout")
        if status in ended
    )
    picture = made[0]["figures/gap_map.svg"].decode()
    assert "mean gap [%]" in picture
    assert "F failed" in picture
    assert figure.key in made[0]["index.html"].decode()


def test_refused_is_said_once_for_each_method(made_up):
    runs = made_up.runs.assign(
        status=made_up.runs["status"].mask(made_up.runs["method"] == "stuck", "refused"),
        error=[f"no policy fits {name}" for name in made_up.runs["instance"]],
    )
    changed = MadeUp()
    changed.runs = runs
    rows = [[cell.text for cell in row] for row in tables.failure_table(Numbers(changed).runs).rows]
    assert [row for row in rows if row[0] == "stuck"] == [
        ["stuck", "refused", "3", "3", "no policy fits one"]
    ]


def test_pairs_stand_below_the_common_tables(made):
    files, document = made
    (row,) = document["pairs"]["no couplings"]
    assert (row["method"], row["best"], row["instances"]) == ("dice", "exact", 2)
    common = {row["method"]: row for row in document["common"]["no couplings"]}
    means = [common[name]["gaps"]["mean"]["value"] for name in ("exact", "dice")]
    assert row["difference"]["value"] == pytest.approx(means[1] - means[0])
    assert row["best_is_better"]["value"] == 1.0
    assert 'id="table-pairs_no_couplings"' in files["index.html"].decode()
    assert "tables/pairs_no_couplings.tex" in files


def test_profiles_have_bands_where_there_are_seeds(made):
    specs = json.loads(re.search(r'id="specs">(.*?)</script>', made[0]["index.html"].decode())[1])
    data = next(text for text in specs["profile_gap"]["datasets"].values() if "high" in text)
    rows = [line.split(",") for line in data.splitlines()[1:]]
    with_band = {row[0] for row in rows if row[3] != ""}
    assert with_band == {"1"}, "only `dice` has several runs an instance"
    assert all(float(row[3]) <= float(row[2]) <= float(row[4]) for row in rows if row[3])


def test_runs_of_other_code_are_said(made_up):
    changed = MadeUp()
    changed.outdated = changed.runs.head(2)
    assert "2 runs of earlier code (exact, dice) are kept, and not in here." in sentences.warnings(
        changed, Numbers(changed)
    )


def test_every_file_is_linked_from_the_page(made):
    files, _ = made
    linked = set(re.findall(r'href="([^"#:]+)"', made[0]["index.html"].decode()))
    assert linked == set(files) - {"index.html"}
    for name, data in files.items():
        if name.endswith(".pdf"):
            assert data.startswith(b"%PDF-")
    assert {name for name in files if name.endswith(".pdf")}


# --- what is wanted ---
def test_methods_labels_and_order_are_chosen(made_up):
    wanted = Wanted(["dice", "exact"], {"exact": "Optimum", "dice": "Ours"})
    files, document = build.contents(made_up, "f", wanted)
    assert [row["method"] for row in document["methods"]] == ["Ours", "Optimum"]
    page = files["index.html"].decode()
    assert re.findall(r'data-method="(.*?)"', page) == ["Ours", "Optimum"]
    assert [row["method"] for row in document["common"]["no couplings"]] == ["Ours", "Optimum"]
    assert "Optimum" in files["tables/gaps.tex"].decode()
    assert "Optimum" in files["figures/profile_gap.svg"].decode()
    assert len(pd.read_csv(io.BytesIO(files["runs.csv"]))) == len(made_up.runs), "the data are whole"


def test_figures_have_the_size_that_is_asked_for(made_up):
    files, _ = build.contents(made_up, "f", Wanted(["exact", "dice"], size_in=(3.4, 2.6)))
    for name in ("profile_gap", "solved_close", "gap_size"):
        svg = ET.fromstring(files[f"figures/{name}.svg"].decode())
        assert (float(svg.get("width")), float(svg.get("height"))) == (245, 187), name
    assert float(ET.fromstring(files["figures/delay_split.svg"].decode()).get("width")) == 245


@pytest.mark.parametrize(("label", "rows"), [("x", 2), ("best-node", 2), ("a method of a long name", 4)])
def test_the_key_of_a_small_figure_has_as_many_columns_as_fit(made_up, label, rows):
    numbers = Numbers(made_up, Wanted(labels={"dice": label, EVIL: "e"}))
    numbers.tables()
    charts = Charts(numbers.labels, numbers.instances, numbers.kinds)
    figure = line_charts.profile(charts, numbers.runs, legend=True)
    files = build._pictures(figure, (3.4, 2.6), max(map(len, numbers.labels)))
    entry = (
        r'translate\(([\d.]+),([\d.]+)\)"><path class="background"[^>]* d="M0,0h([\d.]+)[^>]*><g><g class="'
    )
    entries = re.findall(entry + "mark-symbol role-legend", files["figures/profile_gap.svg"].decode())
    assert len(entries) == 4
    assert len({round(float(y)) for _, y, _ in entries}) == rows
    assert max(float(x) + float(width) for x, _, width in entries) < 245 - 30, (
        "beside the scale of the shares"
    )


def test_who_was_run_on_more_instances_is_not_therefore_closer(made_up):
    made_up = copy.copy(made_up)
    missed = made_up.runs["instance_sha256"].iloc[-1]
    runs = made_up.runs
    made_up.runs = runs[(runs["method"] != "exact") | (runs["instance_sha256"] != missed)]
    numbers = Numbers(made_up)
    numbers.tables()
    assert [row["method"] for row in numbers.ranking()] == ["exact", "dice"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"methods": ["exakt"]}, "method 'exakt': not in this comparison, which has exact, dice"),
        ({"labels": {"exakt": "x"}}, "method 'exakt': not in this comparison"),
        ({"labels": {"exact": "x", "dice": "x"}}, "labels: two methods would be called the same"),
        ({"columns": 3}, "columns: 3, expected 1 or 2"),
        (
            {"size_in": (0.1, 2.0)},
            r"figure size: \(0.1, 2.0\), expected width and height from 1 to 50 inches",
        ),
    ],
)
def test_bad_wishes(made_up, given, text):
    with pytest.raises(InputError, match=text):
        Numbers(made_up, Wanted(**given))


def test_the_line_that_makes_the_report_again_has_its_options():
    from mecopt.reporting.page import _commands
    from mecopt.reporting.wanted import Wanted

    wanted = Wanted(("trellis", "greedy"), {"greedy": "the paper's"}, 2, (3.4, 2.4))
    line = _commands({"command": "mecopt compare x"}, "out dir", wanted.words()).splitlines()[-1]
    assert line == (
        "mecopt report 'out dir' --methods trellis,greedy --label 'greedy=the paper'\"'\"'s' "
        "--columns 2 --figure-size 3.4x2.4"
    )
    assert _commands({}, "out", Wanted().words()) == "mecopt report out"
