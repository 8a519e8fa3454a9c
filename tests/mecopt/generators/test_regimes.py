"""The named regimes meet the optimum, the shares and the baselines that are expected of them."""

import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest
from places import ROOT

from mecopt.generators.specs import regimes

SCRIPT = ROOT / "benchmarks" / "regimes.py"
SPEC = spec_from_file_location("regimes_benchmark", SCRIPT)
benchmark = module_from_spec(SPEC)
sys.modules["regimes_benchmark"] = benchmark
SPEC.loader.exec_module(benchmark)

NAMES = [name for name, facts in regimes().items() if "optimum" in facts["expected"]]


def test_nine_regimes():
    assert len(NAMES) == 9


@pytest.mark.parametrize("name", NAMES)
def test_regime_meets_its_expected_values(name):
    rows = benchmark.measure(name, 30)
    assert {row["figure"] for row in rows} | {"standard_error"} == set(regimes()[name]["expected"])
    assert [row for row in rows if not row["agrees"]] == []


def test_a_wrong_figure_does_not_agree(monkeypatch):
    expected = regimes()["camera-alexnet"]["expected"]
    monkeypatch.setitem(expected, "greedy", 210.0)
    (row,) = [row for row in benchmark.measure("camera-alexnet", 5) if row["figure"] == "greedy"]
    assert not row["agrees"]
