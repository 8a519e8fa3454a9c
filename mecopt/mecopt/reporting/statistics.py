"""The numbers of a report: gap statistics with intervals, common instances, profiles, curves over time.

A gap is (objective - best bound) / best bound, where the bound is the best that any method, or the store of
best-known values, proved for the instance. Only runs that ended with a feasible placement have one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mecopt.text import visible
from mecopt.tolerances import LARGEST_NEGATIVE_GAP, scale

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Trace = Sequence[tuple[float, float | None, float | None]]

STATISTICS = ("mean", "interquartile mean", "geometric mean", "median", "95th percentile", "worst")
PLACED = ("optimal", "feasible")  # statuses with a feasible placement
CONFIDENCE = 0.95
RESAMPLES = 1000
_CHUNK = 50  # resamples made at a time, which bounds the memory


@dataclass(frozen=True)
class Estimate:
    """A statistic and the ends of its interval; NaN where one run an instance leaves no interval."""

    value: float
    low: float = np.nan
    high: float = np.nan


def gap_statistics(gaps: Sequence[Floats], *, resamples: int = RESAMPLES) -> dict[str, Estimate]:
    """Return the statistics of one method, each with a bootstrap interval over its seeds.

    Parameters
    ----------
    gaps : sequence of arrays
        For every instance the gaps of its runs, one a seed, fractions; no array may be empty.
    resamples : int
        Resamples of the percentile bootstrap.

    Returns
    -------
    dict of Estimate
        By the names in `STATISTICS`. Every instance weighs the same: mean, median and percentile are taken
        over instances, of the mean over seeds; the interquartile mean is that of the middle half of all
        runs; the geometric mean is that of 1 + gap, minus 1; the worst is that of all runs. Instances stay
        fixed in the bootstrap and the seeds of each are drawn anew, so
        that the interval is about the luck of the seeds and not about the choice of instances.
    """
    if not gaps:
        return dict.fromkeys(STATISTICS, Estimate(np.nan))
    counts = np.array([len(runs) for runs in gaps])
    padded = np.zeros((len(gaps), counts.max()))
    real = np.arange(counts.max()) < counts[:, None]  # (instances, seeds)
    padded[real] = np.concatenate(gaps)
    points = _statistics(padded[None], real, counts)[:, 0]
    if counts.max() == 1:
        return {name: Estimate(float(value)) for name, value in zip(STATISTICS, points, strict=True)}
    draw = np.random.default_rng(0)
    rows = np.arange(len(gaps))[None, :, None]
    found = []
    for start in range(0, resamples, _CHUNK):
        shape = (min(_CHUNK, resamples - start), *padded.shape)
        picked = (draw.random(shape) * counts[:, None]).astype(np.int64)
        found.append(_statistics(padded[rows, picked], real, counts))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(found, axis=1), [tail, 1 - tail], axis=1)
    return {
        name: Estimate(float(points[i]), float(low[i]), float(high[i])) for i, name in enumerate(STATISTICS)
    }


def _statistics(gaps: Floats, real: NDArray[np.bool_], counts: NDArray[np.int64]) -> Floats:
    """Return the statistics of every resample.

    Parameters
    ----------
    gaps : array of shape (resamples, instances, seeds)
    real : array of shape (instances, seeds)
        Whether there is such a run.
    counts : array of shape (instances,)

    Returns
    -------
    array of shape (statistics, resamples)
    """
    means = np.where(real, gaps, 0.0).sum(axis=2) / counts
    logs = np.where(real, np.log1p(gaps), 0.0).sum(axis=2) / counts
    worst = np.where(real, gaps, -np.inf).max(axis=(1, 2))
    median, high = np.quantile(means, [0.5, 0.95], axis=1)
    middle = interquartile_mean(gaps, real / counts[:, None])
    return np.stack([means.mean(axis=1), middle, np.expm1(logs.mean(axis=1)), median, high, worst])


def interquartile_mean(values: Floats, weight: Floats) -> Floats:
    """Return the mean of the middle half, by weight; a value on its border counts with what is inside.

    Parameters
    ----------
    values : array of shape (resamples, instances, seeds)
    weight : array of shape (instances, seeds)
    """
    flat = values.reshape(len(values), -1)
    order = np.argsort(flat, axis=1)
    share = (weight / weight.sum()).ravel()[order]
    upper = np.cumsum(share, axis=1)
    inside = np.clip(np.minimum(upper, 0.75) - np.maximum(upper - share, 0.25), 0.0, None)
    found: Floats = (np.take_along_axis(flat, order, axis=1) * inside).sum(axis=1) / inside.sum(axis=1)
    return found


def prepared(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the table of runs with `label` (method and options), `placed` and `gap_used`, names as shown.

    `gap_used` is NaN for what is not placed, or where no bound is known; rounding below 0 becomes 0.
    """
    texts = {name: runs[name].map(_shown) for name in ("instance", "error", "host") if name in runs}
    labels = method_labels(runs[["method", "options"]].drop_duplicates().itertuples(index=False))
    keys = list(zip(runs["method"], runs["options"], strict=True))
    placed = runs["status"].isin(PLACED)
    used = runs["gap_to_best_bound"].where(placed)
    used = used.mask((used < 0) & (used >= -LARGEST_NEGATIVE_GAP), 0.0)
    used = used.where(np.isfinite(used))
    return runs.assign(label=[labels[key] for key in keys], placed=placed, gap_used=used, **texts)


def _shown(text: Any) -> Any:
    return visible(text) if isinstance(text, str) else text


def method_labels(methods: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return a short name for every method with its options, no two alike."""
    import json
    from pathlib import PurePath

    labels: dict[tuple[str, str], str] = {}
    for method, options in methods:
        values = json.loads(options) if options else {}
        short = [
            PurePath(str(value)).stem if name == "policy" else f"{name}={value}"
            for name, value in values.items()
        ]
        label = f"{method} ({', '.join(short)})" if short else method
        if visible(label) in labels.values():
            label = f"{method} {options}"
        while visible(label) in labels.values():
            label += "'"
        labels[method, options] = visible(label)
    return labels


def cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row for every method and instance: how many runs, how many placed, means of those placed.

    Columns: label, instance_sha256, instance, runs, placed, gap (mean), gaps (how many), objective (least),
    best_bound, complete (whether every run was placed and has a gap), failure (the first status without a
    placement), and the means of delays, energy and times.
    """
    sums = ("edge_delay_s", "local_delay_s", "total_delay_s", "energy_j")
    own = runs.assign(
        failure=runs["status"].mask(runs["placed"]),
        **{name: runs[name].where(runs["placed"]) for name in ("objective", *sums)},
    )
    grouped = own.groupby(["label", "instance_sha256"], sort=False, observed=True)
    table = grouped.agg(
        instance=("instance", "first"),
        runs=("run", "size"),
        placed=("placed", "sum"),
        gap=("gap_used", "mean"),
        gaps=("gap_used", "count"),
        objective=("objective", "min"),
        best_bound=("best_bound", "first"),
        cpu_s=("cpu_s", "mean"),
        wall_s=("wall_s", "mean"),
        failure=("failure", "first"),
        **{name: (name, "mean") for name in sums},
    ).reset_index()
    table["complete"] = table["gaps"] == table["runs"]
    return table


def status_counts(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how many runs of every method ended with which status, a column for each that occurs."""
    order = (*PLACED, "violating", "infeasible", "unknown", "failed", "refused", "timeout")
    counts = runs.groupby(["label", "status"], sort=False).size().unstack(fill_value=0)
    known = [name for name in order if name in counts]
    return counts[known + [name for name in counts if name not in order]]


@dataclass(frozen=True)
class Group:
    """Instances of one kind, and what can be compared on them without favour.

    Attributes
    ----------
    name : str
        Their couplings.
    instances : tuple of str
        SHA-256 of all of them.
    methods : tuple of str
        Those that placed every run on at least half of the instances that anybody placed.
    common : tuple of str
        The instances on which every run of all these methods was placed.
    left_out : dict
        The other methods, with the number of instances that they placed.
    """

    name: str
    instances: tuple[str, ...]
    methods: tuple[str, ...]
    common: tuple[str, ...]
    left_out: dict[str, int]


def groups(table: pd.DataFrame, instances: pd.DataFrame) -> list[Group]:
    """Split the instances by couplings, and find the instances that all methods of each kind share."""
    couplings = instances.set_index("instance_sha256")["couplings"].fillna("")
    return [
        group(table, ", ".join(str(text).split(",")) if text else "no couplings", members.index)
        for text, members in couplings.groupby(couplings, sort=False)
    ]


def group(table: pd.DataFrame, name: str, instances: Iterable[str]) -> Group:
    """Find out which methods can be compared on instances (SHA-256), and on which of them."""
    there = set(table["instance_sha256"])
    shas = tuple(sha for sha in instances if sha in there)
    own = table[table["instance_sha256"].isin(shas)]
    complete = own.pivot(index="label", columns="instance_sha256", values="complete").fillna(False)
    complete = complete.astype(bool).reindex(own["label"].unique())
    solvable = complete.loc[:, complete.any(axis=0)]
    counts = solvable.sum(axis=1)
    takes_part = (counts > 0) & (counts >= solvable.shape[1] / 2)
    shared = solvable.loc[takes_part].all(axis=0) & bool(takes_part.any())
    return Group(
        name=name,
        instances=shas,
        methods=tuple(counts.index[takes_part]),
        common=tuple(sha for sha in shas if shared.get(sha, False)),
        left_out={str(label): int(n) for label, n in counts[~takes_part].items()},
    )


def gaps_by_instance(runs: pd.DataFrame, label: str) -> list[Floats]:
    """Return the gaps of one method, an array for every instance that has any, in the order of SHA-256."""
    own = runs[(runs["label"] == label) & runs["gap_used"].notna()]
    return [group.to_numpy() for _, group in own.groupby("instance_sha256")["gap_used"]]


def weights(runs: pd.DataFrame) -> pd.Series[float]:
    """Return the weight of each run, so that every instance weighs the same for each method."""
    size = runs.groupby(["label", "instance_sha256"])["run"].transform("size")
    count = runs.groupby("label")["instance_sha256"].transform("nunique")
    return 1.0 / (size * count)


def shares_within(values: Floats, weight: Floats, grid: Floats) -> Floats:
    """Return for every point of the grid the weight of the values that are not above it; NaN never is."""
    order = np.argsort(values, kind="stable")  # NaN at the end
    ordered, total = values[order], np.concatenate([[0.0], np.cumsum(weight[order])])
    found: Floats = total[np.searchsorted(ordered[~np.isnan(ordered)], grid, side="right")]
    return found


def capped_gap(trace: Trace, bound: float, times: Floats) -> Floats:
    """Return the gap of the incumbent at each time, (objective - bound) / objective, and 1 before the first.

    It lies between 0 and 1, so that a mean over instances exists at all times (after Berthold, "Measuring
    the impact of primal heuristics", 2013, with the best bound in the place of the optimum).
    """
    when, gap = _steps(trace, bound)
    found: Floats = gap[np.searchsorted(when, times, side="right") - 1]
    return found


def primal_integral(trace: Trace, bound: float, horizon_s: float) -> float:
    """Return the integral of `capped_gap` from 0 to the horizon, in seconds."""
    when, gap = _steps(trace, bound)
    ends = np.minimum(np.append(when[1:], np.inf), horizon_s)
    return float((gap * np.maximum(ends - np.minimum(when, horizon_s), 0.0)).sum())


def time_within(trace: Trace, bound: float, gap: float) -> float:
    """Return when the incumbent first came within the gap of the bound, in seconds; NaN if it never did."""
    limit = bound + gap * scale(bound)
    times = [when for when, objective, _ in trace if objective is not None and objective <= limit]
    return min(times, default=float("nan"))


def _steps(trace: Trace, bound: float) -> tuple[Floats, Floats]:
    """Return the times at which the capped gap changes, and what it is from then on."""
    when, gap, best = [0.0], [1.0], np.inf
    for moment, objective, _ in sorted(trace, key=lambda point: point[0]):
        if objective is not None and objective < best:
            best = objective
            when.append(moment)
            gap.append(float(np.clip((best - bound) / scale(best), 0.0, 1.0)))
    return np.array(when), np.array(gap)


def top_node_share(share: Floats) -> float:
    """Return the share of all blocks that run on the node that runs most of them; 1 is a collapsed placement.

    Parameters
    ----------
    share : array of shape (blocks, nodes)
        Share of the tasks that run each block on each node.
    """
    return float(share.sum(axis=0).max() / max(share.sum(), 1e-12))


def records(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows with their columns as attributes, whose types nobody can know beforehand."""
    yield from frame.itertuples()
