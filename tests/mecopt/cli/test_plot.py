"""`--plot`: timelines as files, whole or not at all, and what they are drawn from."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

import mecopt as library
from mecopt.cli import common
from mecopt.drawing.plot import save_plot
from mecopt.drawing.timeline import spans
from mecopt.errors import InputError, MissingExtraError

STARTS = {"png": b"\x89PNG\r\n", "svg": b"<?xml", "pdf": b"%PDF"}


def test_plot_is_written(mecopt, toy_file, only_files):
    done = mecopt("solve", toy_file, "--plot", toy_file.parent / "x.png", "--json")
    assert (done.returncode, done.stderr) == (0, f"mecopt: wrote {toy_file.parent / 'x.png'}\n")
    assert (toy_file.parent / "x.png").read_bytes().startswith(STARTS["png"])
    assert only_files(toy_file.parent) == ["instance.json", "x.png"]


def test_nothing_to_plot(mecopt, write, toy, only_files):
    file = write(toy(tasks=[{**toy()["tasks"][0], "max_delay_s": 0.01}]))
    done = mecopt("solve", file, "--plot", file.parent / "x.png")
    assert done.returncode == 3
    assert "not written, there is no placement" in done.stderr
    assert only_files(file.parent) == ["instance.json"]


@pytest.mark.parametrize("kind", STARTS)
def test_same_placement_same_bytes(toy, tmp_path, kind):
    judged = library.evaluate(library.from_dict(toy()), [[2, 1], [0, 0]])
    files = [tmp_path / f"{i}.{kind}" for i in range(2)]
    for file in files:
        save_plot(judged, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().startswith(STARTS[kind])


def test_text_of_the_timeline(toy, tmp_path):
    """Names with a dollar sign are text; blocks, nodes, units and the legend are all there."""
    document = toy(name="$a$")
    document["servers"][1]["name"] = "es$2$"
    judged = library.evaluate(library.from_dict(document), [[2, 1], [1, 1]])
    save_plot(judged, tmp_path / "x.svg")
    text = " ".join(ET.fromstring((tmp_path / "x.svg").read_text()).itertext())
    words = (
        "conv1",
        "fc",
        "es1",
        "es$2$",
        "cam0",
        "time since release",
        "calculates",
        "receives",
        "missing link",
    )
    for word in words:
        assert word in text


def test_summary_of_many_tasks(many_file, tmp_path):
    result = library.solve(library.load(many_file))
    save_plot(result.evaluation, tmp_path / "x.svg")
    text = " ".join(ET.fromstring((tmp_path / "x.svg").read_text()).itertext())
    for word in ("400 tasks", "share of the tasks [%]", "delay of a task", "Largest delay: task"):
        assert word in text
    with pytest.raises(InputError, match="expected at most"):
        save_plot(result.evaluation, tmp_path / "y.svg", range(100))


def test_all_delays_alike(toy, tmp_path):
    document = toy(tasks=[toy()["tasks"][0]] * 5)
    save_plot(library.evaluate(library.from_dict(document), [[0, 0]] * 5), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_missing_extra_says_how_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mecopt\[report\]'"):
        common.check_plot(str(tmp_path / "x.png"))


def test_spans_add_up_to_the_delay(toy):
    judged = library.evaluate(library.from_dict(toy()), [[2, 1], [0, 2]])
    for task in range(2):
        parts = spans(judged, task)
        assert parts[0].start_s == 0
        assert all(a.end_s == b.start_s for a, b in pairwise(parts))
        assert parts[-1].end_s == pytest.approx(judged.task_delay_s[task], rel=1e-12)
        assert [part.block for part in parts if part.kind == "calc"] == [0, 1]
