"""The named regimes meet the optimum, the shares and the baselines that are expected of them."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import mecopt
from mecopt.costs import chain_costs
from mecopt.generation import generate
from mecopt.generators.energy import step_tables
from mecopt.generators.specs import regimes

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "regimes.py"
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


def test_best_constant_is_the_best_of_all_constants():
    instance = generate("camera-alexnet-deadline", slots=30, blocks=4, servers=3)
    costs = chain_costs(instance)
    tables = step_tables(costs)
    chosen = benchmark.best_constant(benchmark.weights(costs, tables), tables.result_s)
    every = np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1).T
    values = [
        mecopt.evaluate(instance, np.tile(row, (30, 1)), costs=costs).task_objective_s.sum() for row in every
    ]
    assert mecopt.evaluate(instance, chosen).task_objective_s.sum() == pytest.approx(min(values))
    assert (chosen == every[int(np.argmin(values))]).all()
