"""The numbers of a report, against numbers worked out by hand and against scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from mecopt.reporting import pairs
from mecopt.reporting import statistics as st
from mecopt.reporting.style import looks, percent

NAN = float("nan")


def runs(*rows):
    """Rows of (method, instance, seed, status, gap), with the columns that the statistics read."""
    frame = pd.DataFrame(rows, columns=["method", "instance", "seed", "status", "gap_to_best_bound"])
    frame["options"], frame["instance_sha256"], frame["run"] = "{}", frame["instance"], range(len(frame))
    frame["best_bound"], frame["objective"] = 1.0, 1 + frame["gap_to_best_bound"]
    for name in ("edge_delay_s", "local_delay_s", "total_delay_s", "energy_j", "cpu_s", "wall_s"):
        frame[name] = 1.0
    return st.prepared(frame)


def test_by_hand():
    found = st.gap_statistics([np.array([0.1, 0.3]), np.array([0.0, 0.0]), np.array([0.4])])
    values = {name: estimate.value for name, estimate in found.items()}
    assert values["mean"] == pytest.approx((0.2 + 0 + 0.4) / 3)
    geometric = (np.sqrt(1.1 * 1.3) * 1.0 * 1.4) ** (1 / 3) - 1
    assert values["geometric mean"] == pytest.approx(geometric)
    assert values["median"] == pytest.approx(0.2)
    assert values["95th percentile"] == pytest.approx(0.2 + 0.9 * 0.2)  # linear between the last two
    assert values["worst"] == 0.4


def test_against_scipy():
    gaps = np.random.default_rng(3).exponential(0.2, 40)
    found = st.gap_statistics([np.array([gap]) for gap in gaps])
    assert found["geometric mean"].value == pytest.approx(stats.gmean(1 + gaps) - 1)
    assert found["95th percentile"].value == pytest.approx(stats.scoreatpercentile(gaps, 95))
    assert np.isnan(found["mean"].low), "one run an instance leaves no interval"


def test_interval_of_one_instance_is_the_bootstrap_of_scipy():
    gaps = np.random.default_rng(5).normal(1.0, 0.2, 30)
    own = st.gap_statistics([gaps], resamples=4000)["mean"]
    theirs = stats.bootstrap((gaps,), np.mean, n_resamples=4000, method="percentile", rng=1)
    assert own.low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert own.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)


def test_interval_covers_the_truth():
    """Of 95 % intervals over 20 seeds, nearly 95 % hold the true mean; the choice of instances is no part."""
    draw, hits, centres = np.random.default_rng(0), 0, np.linspace(0.1, 5, 10)
    for _ in range(200):
        mean = st.gap_statistics([c + draw.uniform(-0.1, 0.1, 20) for c in centres], resamples=300)["mean"]
        hits += mean.low <= centres.mean() <= mean.high
    assert 0.88 <= hits / 200 <= 0.99


def test_same_numbers_each_time():
    gaps = [np.array([0.1, 0.2, 0.4]), np.array([0.0, 0.3])]
    assert st.gap_statistics(gaps) == st.gap_statistics(gaps)


def test_no_instance():
    assert all(np.isnan(found.value) for found in st.gap_statistics([]).values())


def test_only_placements_have_a_gap():
    table = runs(
        ("a", "x", 0, "optimal", -1e-12), ("a", "y", 0, "violating", 0.5), ("a", "z", 0, "timeout", NAN)
    )
    assert table["gap_used"].tolist() == pytest.approx([0.0, NAN, NAN], nan_ok=True)
    assert [gaps.tolist() for gaps in st.gaps_by_instance(table, "a")] == [[0.0]]
    assert st.status_counts(table).loc["a"].to_dict() == {"optimal": 1, "violating": 1, "timeout": 1}


def test_common_instances():
    """`b` fails with one seed on y; `c` placed less than half and does not shrink the set for the others."""
    table = runs(
        *[("a", name, 0, "feasible", 0.1) for name in "xyz"],
        *[("b", name, 0, "feasible", 0.2) for name in "xyz"],
        ("b", "y", 1, "failed", NAN),
        ("c", "x", 0, "refused", NAN), ("c", "y", 0, "feasible", 0.0), ("c", "z", 0, "violating", NAN),
        ("a", "w", 0, "optimal", 0.0), ("c", "w", 0, "timeout", NAN),
    )  # fmt: skip
    instances = pd.DataFrame({"instance_sha256": list("xyzw"), "couplings": ["", "", "", "energy"]})
    first, second = st.groups(st.cells(table), instances)
    assert (first.name, first.methods, first.common) == ("no couplings", ("a", "b"), ("x", "z"))
    assert first.left_out == {"c": 1}
    assert (second.name, second.methods, second.common) == ("energy", ("a",), ("w",))


def test_profile_counts_what_is_missing():
    table = runs(
        ("a", "x", 0, "feasible", 0.0), ("a", "x", 1, "feasible", 0.3), ("a", "y", 0, "violating", NAN)
    )
    weight = st.weights(table).to_numpy()
    assert weight.tolist() == [0.25, 0.25, 0.5]
    share = st.shares_within(table["gap_used"].to_numpy(), weight, np.array([0.0, 0.29, 0.3, 9.0]))
    assert share.tolist() == [0.25, 0.25, 0.5, 0.5]


TRACE = [(0.5, None, 1.0), (1.0, 4.0, 1.0), (2.0, 2.0, 1.5), (3.0, 2.5, 2.0)]


def test_capped_gap_and_integral():
    times = np.array([0.0, 0.99, 1.0, 1.5, 2.0, 10.0])
    assert st.capped_gap(TRACE, 2.0, times).tolist() == [1, 1, 0.5, 0.5, 0, 0]
    assert st.primal_integral(TRACE, 2.0, 10.0) == pytest.approx(1.0 + 0.5)
    assert st.primal_integral(TRACE, 2.0, 1.5) == pytest.approx(1.0 + 0.25)
    assert st.primal_integral([], 2.0, 7.0) == 7.0
    fine = np.linspace(0, 5, 50001)
    area = integrate.trapezoid(st.capped_gap(TRACE, 1.0, fine), fine)
    assert st.primal_integral(TRACE, 1.0, 5.0) == pytest.approx(area, abs=1e-3)


def test_time_within():
    assert st.time_within(TRACE, 2.0, 0.01) == 2.0
    assert st.time_within(TRACE, 2.0, 1.0) == 1.0
    assert np.isnan(st.time_within(TRACE, 1.0, 0.01))


def test_collapsed():
    assert st.top_node_share(np.array([[0, 1, 0], [0, 1, 0]])) == 1.0
    assert st.top_node_share(np.array([[0.5, 0.5], [0.5, 0.5]])) == 0.5


def test_labels_differ():
    labels = st.method_labels(
        [("a", "{}"), ("a", '{"k": 2}'), ("b", '{"policy": "p/x.st"}'), ("b", '{"policy": "q/x.st"}')]
    )
    assert list(labels.values())[:3] == ["a", "a (k=2)", "b (x)"]
    assert len(set(labels.values())) == 4


def test_no_two_methods_look_alike():
    shown = looks([f"m{i}" for i in range(36)])
    assert len({(look.colour, tuple(look.dash)) for look in shown}) == 36
    assert len({(tuple(look.dash), look.shape) for look in shown}) == 36, "also without colour"


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0, "0"),
        (1e-9, "<0.0001"),
        (0.000123456, "0.0123"),
        (0.5, "50"),
        (12.3456, "1,235"),
        (NAN, ""),
        (None, ""),
    ],
)
def test_percent(fraction, text):
    assert percent(fraction) == text


# --- interquartile means, pairs and bands ---
def test_interquartile_mean_is_the_trimmed_mean_of_scipy():
    gaps = np.random.default_rng(3).exponential(0.2, (8, 5))
    found = st.gap_statistics(list(gaps))["interquartile mean"]
    assert found.value == pytest.approx(stats.trim_mean(gaps, 0.25, axis=None))
    assert found.low < found.value < found.high


def test_in_the_interquartile_mean_every_instance_weighs_the_same():
    """Four runs of one instance count as one of another; borders count in part."""
    found = st.gap_statistics([np.array([1.0, 1, 1, 1]), np.array([3.0])])["interquartile mean"]
    assert found.value == pytest.approx(2.0)
    outlier = [np.array([0.1]), np.array([0.2]), np.array([0.3]), np.array([1e9])]
    assert st.gap_statistics(outlier)["interquartile mean"].value == pytest.approx(0.25)


def test_pairs_by_hand():
    first, second = [np.array([1.0, 2.0]), np.array([0.0, 0.0])], [np.array([2.0, 3.0]), np.array([0.0])]
    difference, better = pairs.paired(first, second)
    assert difference.value == pytest.approx((1.0 + 0.0) / 2)
    assert better.value == pytest.approx(((3 + 0.5) / 4 + 0.5) / 2)
    assert difference.low < difference.value < difference.high


def test_probability_of_improvement_is_the_u_of_mann_and_whitney():
    draw = np.random.default_rng(1)
    first, second = draw.normal(0, 1, 20), draw.normal(0.7, 1, 25)
    _, better = pairs.paired([first], [second])
    assert better.value == pytest.approx(stats.mannwhitneyu(second, first).statistic / (20 * 25))
    assert 0.5 < better.low < better.value < better.high < 1


def test_interval_of_a_difference_is_the_bootstrap_of_scipy():
    draw = np.random.default_rng(2)
    first, second = draw.normal(1, 0.3, 30), draw.normal(1.4, 0.5, 20)
    found, _ = pairs.paired([first], [second], resamples=4000)

    def difference(a, b, axis):
        return b.mean(axis=axis) - a.mean(axis=axis)

    theirs = stats.bootstrap((first, second), difference, n_resamples=4000, method="percentile", rng=1)
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)


def test_methods_without_seeds_have_no_interval():
    found, better = pairs.paired([np.array([1.0])], [np.array([2.0])])
    assert (found.value, better.value) == (1.0, 1.0)
    assert np.isnan([found.low, better.high]).all()


def test_bands_are_those_of_resampled_seeds():
    draw = np.random.default_rng(4)
    values, grid = draw.uniform(0, 1, (12, 10)), np.array([0.0, 0.3, 0.9, 2.0])
    values[0, :3] = NAN
    low, high = pairs.band(values.ravel(), np.repeat(np.arange(12), 10), grid)
    picked = values[np.arange(12)[None, :, None], draw.integers(0, 10, (4000, 12, 10))]
    for i, limit in enumerate(grid):
        ends = np.quantile((picked <= limit).mean(axis=(1, 2)), [0.025, 0.975])
        assert (low[i], high[i]) == pytest.approx(ends, abs=0.015)
    assert low[0] == high[0] == 0.0
