"""A report of trainings: seeds are one line, first crossing and last value apart, damage in one line."""

import csv
import json

import pytest
from click.testing import CliRunner

from mecopt.cli import cli
from mecopt.errors import InputError

HEADS = ["round", "episodes", "violations", "gap", "seconds"]


def training(folder, gaps, *, seed=0, learner="markov-a3c", spec="camera-vgg", settings=None, card=True):
    """Write what a training leaves: a log, and the card of its policy."""
    folder.mkdir(parents=True)
    with (folder / "log.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADS)
        for number, gap in enumerate(gaps):
            writer.writerow([number, 20 * (number + 1), 0 if gap != "" else 3, gap, number / 2])
    if card:
        about = {"spec": spec, "seed": seed, "command": f"mecopt train {spec} --seed {seed}"}
        document = {"learner": learner, "recipe": "best", "settings": settings or {}, "training": about}
        (folder / "policy.json").write_text(json.dumps(document))


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "runs"
    training(root / "a0", [0.5, 0.009, 0.02], seed=0)
    training(root / "a1", [0.4, 0.03, 0.004], seed=1)
    training(root / "wide", [0.3, 0.2, 0.1], settings={"width": 9})
    training(root / "deep" / "er" / "b", ["", 0.02, ""], learner="dqn", spec="paper:slots=4")
    training(root / "none", [0.9, 0.8, 0.7], card=False)
    return root


def report(folder, *words):
    return CliRunner().invoke(cli, ["report", str(folder), *words], standalone_mode=False)


def test_seeds_are_one_line_and_first_crossing_and_last_value_two_things(folder):
    done = report(folder, "--json")
    assert done.exception is None, done.stderr
    document = json.loads(done.stdout)
    rows = {row["label"]: row for row in document["trainings"]}
    assert set(rows) == {"markov-a3c (a0)", "markov-a3c (wide)", "dqn", "none"}
    both = rows["markov-a3c (a0)"]
    assert both["seeds"] == [0, 1]
    assert both["best_gap"] == [0.009, 0.004]
    assert both["last_gap"] == [0.02, 0.004]
    assert both["within_1_percent_after_episodes"] == [40, 60]
    assert rows["dqn"]["last_gap"] == [None]
    assert rows["dqn"]["within_1_percent_after_episodes"] == [None]
    for name in document["files"]:
        assert (folder / "report" / name).stat().st_size > 0
    assert len([name for name in document["files"] if name.endswith(".svg")]) == 3  # a figure a setting
    page = (folder / "report" / "index.html").read_text()
    assert "5 trainings" in page
    assert ">Training</th>" in page
    assert {name: page.count(f'href="{name}"') for name in document["files"] if name != "index.html"} == {
        name: 1 for name in document["files"] if name != "index.html"
    }
    assert "mecopt train camera-vgg --seed 1" in page
    with (folder / "report" / "trainings.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 15
    assert "tabular" in (folder / "report" / "tables" / "trainings.tex").read_text()


def test_evil_names_are_shown_as_text(tmp_path):
    training(tmp_path / "x", [0.1, 0.2], learner="<script>alert(1)</script>", spec="constructor</svg>")
    assert report(tmp_path).exception is None
    page = (tmp_path / "report" / "index.html").read_text()
    assert "<script>" not in page
    assert page.count("</svg>") == 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("log.csv", "a,b\n1,2\n", "no log of a training, expected columns episodes and gap"),
        ("log.csv", "episodes,gap\nx,2\n", "episodes: expected a number in every row"),
        ("log.csv", "", "no log of a training"),
        ("policy.json", "{", "no JSON, expected the card of a policy"),
        ("policy.json", "[]", "expected the card of a policy, an object"),
        ("policy.json", "{}", "expected the card of a policy, an object"),
    ],
)
def test_what_is_damaged_is_one_line_with_the_file(tmp_path, name, text, words):
    training(tmp_path / "x", [0.1])
    (tmp_path / "x" / name).write_text(text)
    error = report(tmp_path).exception
    assert isinstance(error, InputError)
    assert words in str(error)
    assert str(error).startswith(str(tmp_path / "x" / name))


def test_options_of_comparisons_are_refused_and_an_empty_folder_too(folder, tmp_path):
    assert "of comparisons, and this folder holds trainings" in str(
        report(folder, "--methods", "x").exception
    )
    (tmp_path / "empty").mkdir()
    assert isinstance(report(tmp_path / "empty").exception, InputError)
