"""The commands sweep, pareto, robust and stress: what they print, what they refuse."""

import json
from types import SimpleNamespace

import pytest

from mecopt.cli import main

COMMANDS = {
    "sweep": ["--over", "rate"],
    "pareto": [],
    "robust": ["--budget", "1"],
    "stress": ["--samples", "20"],
}


@pytest.fixture
def mecopt(capfd):
    """Run a command in this process."""

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main(words)
        said = capfd.readouterr()
        return SimpleNamespace(returncode=ended.value.code, stdout=said.out, stderr=said.err)

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_one_document_and_nothing_else(mecopt, command, tmp_path):
    done = mecopt(command, "tiny_paper", *COMMANDS[command], "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["instance"] == "tiny_paper"
    out = tmp_path / "out.json"
    written = mecopt(command, "tiny_paper", *COMMANDS[command], "--out", str(out))
    assert json.loads(out.read_text()) == document
    assert written.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["sweep", "tiny_paper", "--over", "rate", "--from", "10", "--to", "1"],
            "mecopt: --from, --to: from 10 to 1 is upside down",
        ),
        (
            ["sweep", "tiny_paper", "--over", "rate", "--from", "nan"],
            "mecopt: --from: nan, expected a finite number, 1e-12 to 1e+12",
        ),
        (["sweep", "tiny_paper", "--over", "batch", "--to", "0"], "mecopt: --to: 0, expected at least 1"),
        (["sweep", "tiny_paper", "--over", "rate", "--task", "7"], "mecopt: --task: 7, expected 0 to 1"),
        (["pareto", "tiny_paper", "--limit", "energy=-3"], "mecopt: --limit energy: -3, expected at least 0"),
        (["pareto", "tiny_paper", "--limit", "self=3"], "mecopt: --limit self: no axis of this front"),
        (
            ["pareto", "tiny_paper", "--price-per-s", "es9=1"],
            "mecopt: --price-per-s: 'es9', expected one of 'es1', 'es2'",
        ),
        (
            ["pareto", "tiny_paper", "--axes", "delay,price"],
            "mecopt: --axes: price without prices, expected --price-per-s or --price-per-bit above 0",
        ),
        (["sweep", "tiny_paper", "--over", "energy"], "energy: the instance has no energy budgets"),
        (
            ["sweep", "tiny_paper", "--over", "speed:es7"],
            "mecopt: --over: 'speed:es7': no such server, expected one of 'es1', 'es2'",
        ),
        (
            ["sweep", "tiny_paper", "--over", "rate", "--target", "soon"],
            "--target soon: expected a finite number",
        ),
        (["sweep", "tiny_paper", "--over", "rate", "--target", "1e400"], "expected a finite number"),
        (["sweep", "tiny_paper", "--over", "rate", "--target", "3J"], "3J: the objective is in s"),
        (["sweep", "tiny_paper"], "missing option '--over'"),
        (["pareto", "tiny_paper", "--axes", "delay"], "axes: 'delay', expected two or three"),
        (["pareto", "tiny_paper", "--price-per-s", "es1=x"], "--price-per-s es1=x: expected a number"),
        (["pareto", "tiny_paper", "--limit", "3"], "--limit 3: expected NAME=NUMBER"),
        (["robust", "tiny_energy", "--budget", "1"], "robust does not take the coupling energy"),
        (["robust", "tiny_paper"], "missing option '--budget'"),
        (["stress", "tiny_paper", "--spread", "2"], "mecopt: --spread: 2, expected a fraction below 1"),
        (["stress", "tiny_paper", "--plot", "x.gif"], "expected a name that ends in"),
    ],
)
def test_bad_input_is_one_line(mecopt, words, message):
    done = mecopt(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "tiny_infeasible", "--over", "rate", "--from", "0.5", "--to", "1"],
        ["pareto", "tiny_infeasible"],
        ["robust", "tiny_infeasible", "--budget", "1"],
        ["stress", "tiny_infeasible"],
    ],
)
def test_what_is_infeasible_ends_with_3(mecopt, words):
    assert mecopt(*words).returncode == 3


def test_break_evens_by_name(mecopt):
    done = mecopt("sweep", "alexnet_6es", "--over", "rate", "--task", "0", "--target", "300ms")
    assert done.returncode == 0
    assert "today's plan stays the best from" in done.stdout
    assert "Mbit/s) on" in done.stdout
    assert "device1 > es5" in done.stdout
    document = json.loads(
        mecopt("sweep", "alexnet_6es", "--over", "rate", "--task", "0", "--target", "300ms", "--json").stdout
    )
    assert document["target"]["needed"] == document["target"]["enough"] > 1


def test_the_best_within_a_limit(mecopt):
    words = [
        "pareto",
        "tiny_physical",
        "--task",
        "0",
        "--price-per-s",
        "0.1",
        "--limit",
        "energy=2",
        "--limit",
        "price=0.05",
    ]
    document = json.loads(mecopt(*words, "--json").stdout)
    point = document["points"][document["within"]["point"]]
    assert point["energy"] <= 2
    assert point["price"] <= 0.05
    assert "Within energy 2 J and price 0.05" in mecopt(*words).stdout


def test_a_plot_of_each(mecopt, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "plot.svg"
    done = mecopt("stress", "tiny_paper", "--samples", "20", "--plot", str(path))
    assert done.stderr == f"mecopt: wrote {path}\n"
    assert path.read_text().startswith("<?xml")


def test_a_page_holds_its_data_and_asks_no_network(mecopt, tmp_path):
    for needed in ("altair", "vl_convert"):
        pytest.importorskip(needed)
    for command, more in COMMANDS.items():
        path = tmp_path / f"{command}.html"
        done = mecopt(command, "tiny_paper", *more, "--plot", str(path))
        assert done.returncode == 0, done.stderr
        text = path.read_text()
        assert text.startswith("<!DOCTYPE html>")
        assert "vegaEmbed(" in text
        assert '<script src="' not in text
        drawn = text.split('vegaEmbed("#chart"')[-1]
        assert "tiny_paper" in drawn
        assert ('"type": "bar"' in drawn) == (command == "stress")  # a bar for each order of nodes
