"""Terminals of any width and encoding: no line is longer than the terminal, and nothing is lost."""

import pytest

from mecopt.text import cells

COMMANDS = [
    ("solve", "TOY"), ("solve", "MANY", "--method", "greedy"),
    ("explain", "TOY", "--task", "0", "--best", "2"),
    ("methods",), ("models",), ("models", "vgg16-224"), ("generate", "--list"), ("bounds", "TOY"),
    ("pareto", "tiny_paper"), ("stress", "tiny_paper", "--samples", "9"),
    ("sweep", "tiny_paper", "--over", "rate"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(("columns", "widest"), [("20", 20), ("1", 20), ("0", 80), ("99999999999", 400)])
def test_columns(mecopt, toy_file, many_file, command, columns, widest):
    words = [{"TOY": toy_file, "MANY": many_file}.get(word, word) for word in command]
    done = mecopt(*words, COLUMNS=columns)
    assert done.returncode in (0, 5), done.stderr
    assert [line for line in done.stdout.splitlines() if cells(line.rstrip()) > widest] == []


def test_a_narrow_table_loses_nothing(mecopt):
    text = mecopt("methods", COLUMNS="20").stdout
    for word in ("Method: trellis", "Kind: exact", "Limits: respects"):
        assert word in text


def test_an_encoding_without_the_characters(mecopt, toy_file):
    """Boxes and units have likenesses in ASCII, as wide as they are."""
    done = mecopt("solve", toy_file, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "\\u" not in done.stdout
    assert "\\x" not in done.stdout
