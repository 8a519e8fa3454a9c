"""LaTeX tables fit the column of a 10 pt article, or its two columns; compiled where a TeX is installed."""

import re
import shutil
import subprocess

import pytest
from reporting_data import EVIL, MadeUp

from mecopt.reporting.latex import WIDTH_PT, fitted, latex, total_pt, width_pt
from mecopt.reporting.numbers import Numbers
from mecopt.reporting.tables import Cell, Table

LONG = "markov-a3c (policy_of_the_very_long_name, samples=8)"
TEX = shutil.which("pdflatex") or shutil.which("tectonic")


@pytest.fixture(scope="module")
def tables():
    """Those of a report with names of every kind, and one whose words nothing can break but force."""
    names = ("one", "camera-alexnet-deadline:slots=200,seed=12", EVIL)
    numbers = Numbers(MadeUp(names=names, methods=("exact", "dice", "stuck", LONG, EVIL)))
    hard = Table("hard", "c", ("Method", "Reason", "Runs"))
    hard.rows.append([Cell("x" * 120), Cell("y" * 300), Cell("1", 1)])
    return [*numbers.tables(), hard]


@pytest.mark.parametrize("columns", [1, 2])
def test_every_table_fits(tables, columns):
    for table in tables:
        kept, left = fitted(table, columns)
        assert total_pt(kept) <= WIDTH_PT[columns] + 1e-9, table.name
        assert kept[0].head == table.heads[0]
        assert {column.head for column in kept} | set(left) == set(table.heads)
        assert all(column.paragraph_pt is None or column.paragraph_pt >= column.least_pt for column in kept)


def test_what_is_left_out_is_named_and_the_interquartile_mean_stays(tables):
    gaps = next(table for table in tables if table.name == "gaps")
    kept, left = fitted(gaps)
    assert "Interquartile mean [%]" in [column.head for column in kept]
    assert left[0] == "Runs"
    assert f"Left out, for want of room: {left[0]}" in latex(gaps)
    assert len(fitted(gaps, 2)[1]) < len(left)


def test_reasons_stay(tables):
    failures = next(table for table in tables if table.name == "failures")
    assert "Reason" in [column.head for column in fitted(failures)[0]]


def test_two_columns_are_the_starred_environment(tables):
    gaps = tables[0]
    assert latex(gaps, 2).startswith(r"\begin{table*}")
    assert latex(gaps, 2).rstrip().endswith(r"\end{table*}")
    assert latex(gaps).startswith(r"\begin{table}[htbp]")


def test_every_row_has_as_many_cells_as_the_head(tables):
    for table in tables:
        text = latex(table)
        rows = re.findall(r"^(.*) \\tabularnewline$", text, re.M)
        counts = {len(re.findall(r"(?<!\\)&", row)) for row in rows}
        assert len(counts) == 1, table.name
        intervals = sum(any(cell.small for cell in row) for row in table.rows)
        assert len(rows) <= 1 + len(table.rows) + intervals


def test_widths_are_those_of_computer_modern_or_more():
    """Of cmr10 in points, from its metrics."""
    for text, width in (
        ("0", 5.0),
        ("a", 5.0),
        ("m", 8.333),
        ("W", 10.278),
        ("i", 2.778),
        ("[", 2.778),
        ("A", 7.5),
    ):
        assert width_pt(text, 1.0) >= width
    assert width_pt("abc", 1.0) < 1.3 * (5 + 5.556 + 4.444)


@pytest.mark.skipif(TEX is None, reason="no TeX is installed")
@pytest.mark.parametrize("columns", [1, 2])
def test_it_compiles_without_overfull_boxes(tables, columns, tmp_path):
    body = "\n".join(latex(table, columns) for table in tables)
    head = "\\documentclass[10pt,twocolumn,a4paper]{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{head}{body}\n\\end{{document}}\n")
    done = subprocess.run([TEX, "t.tex"], cwd=tmp_path, capture_output=True, text=True, input="")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull \\hbox" not in done.stdout + (tmp_path / "t.log").read_text(errors="replace")
