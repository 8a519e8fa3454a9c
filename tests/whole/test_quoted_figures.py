"""Figures that a page quotes from a report are in it, but for rounding and units."""

import json
import re

import pytest
from places import ROOT

LEARNERS = ("mtl-a3c", "markov-a3c")
PAGES = ("README.md", "docs/performance.md")
SOURCE = re.compile(r"\]\((?:\.\./)*(reports/\w+/README\.md|docs/train\.md)\)")
NUMBER = re.compile(r"(?<![\w.,])\.?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w]*[a-z_]\d)", re.IGNORECASE)
UNITS = (1.0, 1e2, 1e3, 1e6, 1e9, 1e-2, 1e-3, 1e-6, 1e-9)  # a fraction in percent, seconds in microseconds


def numbers(text: str) -> list[str]:
    return [found.strip(",") for found in NUMBER.findall(text)]


def value(text: str) -> float:
    return float(text.replace(",", ""))


def quoted(figure: str, found: list[float]) -> bool:
    """Say whether a figure is one of those found, rounded to its own digits, in a unit of its own."""
    mantissa = figure.replace(",", "").lower().partition("e")[0]
    digits = len(mantissa.replace(".", "").lstrip("0")) or 1
    if "." not in mantissa:
        digits = len(mantissa.rstrip("0")) or 1
    own = value(figure)
    return any(f"{one * unit:.{digits - 1}e}" == f"{own:.{digits - 1}e}" for one in found for unit in UNITS)


def linked(text: str) -> list[float]:
    """Return the figures of all pages that a section names as their source."""
    pages = {ROOT / path for path in SOURCE.findall(text)}
    return [value(one) for page in pages for one in numbers(page.read_text(encoding="utf-8"))]


def sections(page: str) -> list[tuple[str, str]]:
    """Return head and text of every section that has a table and names a source."""
    text = (ROOT / page).read_text(encoding="utf-8")
    parts = re.split(r"^(#+ .*|\*\*.*)$", text, flags=re.MULTILINE)
    found = zip(parts[1::2], parts[2::2], strict=True)
    return [(head.strip("#* "), text) for head, text in found if "\n| --- |" in text and SOURCE.search(text)]


SECTIONS = [(head, text) for page in PAGES for head, text in sections(page)]


@pytest.mark.parametrize(("head", "text"), SECTIONS, ids=[head[:40] for head, _ in SECTIONS])
def test_tables_quote_what_was_measured(head: str, text: str) -> None:
    known = linked(text)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    wrong = {row: lost for row in rows if (lost := [one for one in numbers(row) if not quoted(one, known)])}
    assert wrong == {}, "not in the reports that the section links"


def test_another_figure_is_found_out() -> None:
    known = [721.0, 0.0431, 123982.0]
    assert all(quoted(one, known) for one in ("721", ".72", "4.3", "124,000", "0.7"))
    assert not any(quoted(one, known) for one in ("731", "4.4", "125,000", "0.8"))
    assert len(SECTIONS) > 8


def test_the_table_of_trained_policies_is_that_of_their_cards() -> None:
    text = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| `([\w-]+)` \| ([\d.]+) % \| .*? \| .*? \| ([\d.]+) % \|", re.MULTILINE)
    shown = {
        (name, learner): gap
        for name, *gaps in row.findall(text)
        for learner, gap in zip(LEARNERS, gaps, strict=True)
    }
    assert len(shown) > 15
    for (name, learner), gap in shown.items():
        card = json.loads((ROOT / "rl/mecopt_rl/policies" / f"{name}.{learner}.json").read_text())
        assert f"{100 * card['training']['test_gap']:.3f}" == gap, (name, learner)
