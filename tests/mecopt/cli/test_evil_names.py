"""Names that break what does not expect them, all at once, through the commands that show or write them."""

import csv
import io
import json
import xml.etree.ElementTree as ET

import pandas as pd
import pytest
from evil_names import EVIL_NAMES, evil_instance
from reporting_data import MadeUp

import mecopt as library
from mecopt.reporting import build
from mecopt.text import NUMBER, visible


@pytest.fixture(scope="module")
def evil_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("evil") / "evil.json"
    library.save(evil_instance("\x1b[31m" + EVIL_NAMES[-2] + "\n[red]\u202e"), path)
    return path


def clean(text):
    """What a terminal gets holds nothing that acts on it, and no name with its line ends."""
    lines = text.split("\n")
    assert [line for line in lines if not (line.isprintable() and visible(line) == line)] == []
    return text


@pytest.mark.parametrize("columns", ["20", "80"])
@pytest.mark.parametrize(
    "command",
    [
        ("solve", "--task", "0", "--task", "5"),
        ("explain", "--task", "5"),
        ("bounds",),
        ("validate",),
        ("solve",),
    ],
    ids=" ".join,
)
def test_terminal(mecopt, evil_file, command, columns):
    done = mecopt(command[0], evil_file, *command[1:], COLUMNS=columns)
    assert done.returncode == 0, done.stderr
    clean(done.stdout)
    clean(done.stderr)
    assert r"\x1b[31m" in done.stdout.replace("\n", "")


def test_names_stay_as_they_are_for_programs(mecopt, evil_file, tmp_path):
    out = tmp_path / "s.json"
    assert mecopt("solve", evil_file, "--out", out).returncode == 0
    solution = json.loads(out.read_text(encoding="utf-8"))
    assert set(solution["device_energy_j"]) == set(EVIL_NAMES)
    assert mecopt("evaluate", evil_file, out).returncode == 0


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_plots(mecopt, evil_file, tmp_path, kind):
    for tasks in ((), ("--task", 5, "--task", len(EVIL_NAMES) - 1)):
        out = tmp_path / f"x.{kind}"
        done = mecopt("solve", evil_file, "--plot", out, *tasks, "--json")
        assert (done.returncode, done.stderr) == (0, f"mecopt: wrote {out}\n")
        if kind == "svg":
            ET.fromstring(out.read_bytes().decode())


@pytest.fixture(scope="module")
def files():
    """The files of a report; pictures of the two charts with names in all their places."""
    with pytest.MonkeyPatch.context() as patch:
        drawn = build._pictures
        some = ("gap_map", "triviality", "profile_gap", "gap_size", "energy", "delay_split", "collapse")
        patch.setattr(
            build, "_pictures", lambda figure, *given: drawn(figure, *given) if figure.name in some else {}
        )
        methods = ("exact", "dice", *EVIL_NAMES[:8])
        return build.contents(MadeUp(names=EVIL_NAMES, methods=methods, seeds=1), "\x1b]0;a\n")[0]


def test_figures(files):
    text = "".join(ET.fromstring(files["figures/triviality.svg"].decode()).itertext())
    for name in ("constructor", "__proto__", r"nul\x00byte", "カメラ", r"\u202eright to left"):
        assert name in text


def test_csv(files):
    rows = list(csv.DictReader(io.StringIO(files["runs.csv"].decode())))
    assert {row["instance"].removeprefix("'") for row in rows} >= {visible(n) for n in EVIL_NAMES[:20]}
    for row in rows:
        for cell in row.values():
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) or NUMBER.fullmatch(cell), cell
            assert visible(cell) == cell


def test_parquet_keeps_names(files):
    packed = pd.read_parquet(io.BytesIO(files["runs.parquet"]))
    assert set(packed["instance"]) == set(EVIL_NAMES)


def test_latex(files):
    for name, data in files.items():
        if name.endswith(".tex"):
            assert data.decode().isprintable() or set(data.decode()) - set("\n") <= set(
                map(chr, range(32, 384))
            )
            for line in data.decode().splitlines():
                assert "<" not in line
                assert not line.startswith("[")


def test_a_comparison_of_two(mecopt, tmp_path):
    """The whole way through the store; a name is shown in the lines of the terminal too."""
    for i, name in enumerate(("constructor", "nul\0\x1b[31m\n=1+1")):
        library.save(evil_instance(name, EVIL_NAMES[:7], seed=i), tmp_path / f"{i}.json")
    out = tmp_path / "out\u202e"
    done = mecopt("compare", *tmp_path.glob("*.json"), "--methods", "trellis", "--workers", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    clean(done.stdout + done.stderr)
    done = mecopt("report", out)
    assert (done.returncode, done.stderr) == (0, "")
    clean(done.stdout)
