"""What notebooks show of a result and a comparison."""

import xml.etree.ElementTree as ET

import pandas as pd
import pytest
from places import INSTANCES

import mecopt
from mecopt.comparing import Comparison

EVIL = "</td><script>alert(1)</script> & 'x'"


def cells(text):
    """Return the rows of all tables, read as the XML that they also are."""
    root = ET.fromstring(f"<div>{text}</div>")
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]


def test_a_result():
    result = mecopt.solve(mecopt.load(INSTANCES / "tiny_paper.json").replace(name=EVIL), "trellis")
    text = result._repr_html_()
    assert "<script" not in text
    rows = cells(text)
    assert ["status", "optimal"] in rows
    assert ["gap", "0 %"] in rows
    blocks = result.instance.max_blocks
    shares = [
        [float(value) for value in row[1:]] for row in rows if len(row) == blocks + 1 and row[0] != "block"
    ]
    assert [sum(column) for column in zip(*shares, strict=True)] == pytest.approx([100] * blocks, abs=1)


def test_a_result_without_a_placement():
    result = mecopt.solve(INSTANCES / "tiny_infeasible.json", "ilp")
    assert cells(result._repr_html_())[1:5] == [
        ["status", "infeasible"], ["objective", "none"], ["lower bound", "none"], ["gap", "none"],
    ]  # fmt: skip


def test_a_comparison(tmp_path):
    instances = [INSTANCES / "tiny_paper.json", INSTANCES / "tiny_capacity.json"]
    mecopt.compare(instances, {EVIL: "local", "trellis": "trellis"}, workers=1, out=tmp_path)
    with Comparison.open(tmp_path) as comparison:
        text, runs = comparison._repr_html_(), comparison.runs
    assert "<script" not in text
    rows = cells(text)
    assert rows[0] == ["method", "runs", "placed", "mean gap [%]", "worst gap [%]"]
    gaps = 100 * runs.loc[runs["method"] == EVIL, "gap_to_best_bound"]
    assert rows[1] == [EVIL, "2", "2", f"{gaps.mean():.3g}", f"{gaps.max():.3g}"]
    assert rows[2] == ["trellis", "2", "1", "0", "0"]
    assert isinstance(runs, pd.DataFrame)
