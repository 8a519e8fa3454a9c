"""Charts with a line for each method: profiles, gap over time, gap against size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.reporting import figures as fg
from mecopt.reporting import statistics as st
from mecopt.reporting.pairs import band

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

MARK_EACH = 14  # points of the grid from one mark of a line to the next
WITHIN = 0.01  # the gap that counts as "close" in the chart of times


def profile(charts: fg.Charts, runs: pd.DataFrame, *, legend: bool) -> fg.Figure:
    """Share of the instances within a gap."""
    import altair as alt

    largest = float(np.nanmax(runs["gap_used"].to_numpy(), initial=1e-6))
    top = 10 ** np.ceil(np.log10(max(100 * largest, 1e-3)))
    grid = np.concatenate([[0.0, 1e-4], np.geomspace(1e-3, top, 80)]) / 100
    weight = np.asarray(st.weights(runs), dtype=np.float64)
    rows = _shares(runs, runs["gap_used"].to_numpy(), weight, grid, 100.0)
    chart = _lines(
        charts,
        rows,
        alt.X(
            "x:Q",
            title="gap to the best bound [%]",
            scale=alt.Scale(type="symlog", constant=1e-3, domain=[0, top], nice=False),
            axis=alt.Axis(
                values=[t for t in fg.TICKS if t <= top and t != 0.0001],
                labelExpr=fg.NUMBER,
                labelOverlap=True,
            ),
        ),
        alt.Y("y:Q", title="share of the instances [%]", scale=alt.Scale(domain=[0, 100])),
        legend,
    )
    return fg.Figure(
        "profile_gap",
        "Share of the instances within a gap",
        "Higher and further left is better. Of all instances: a run without a feasible placement is within "
        "no gap, so a line that ends below 100 % shows how often a method has none. Each instance weighs the "
        "same, whatever its number of seeds; a band is the 95 % interval over the seeds. The axis is linear "
        "below 0.001 %, so that 0 is 0.",
        "Performance profile: for each method the share of instances whose gap is at most the value on the "
        "axis.",
        chart,
    )


def solved(
    charts: fg.Charts, runs: pd.DataFrame, within_s: pd.Series[float], *, legend: bool
) -> list[fg.Figure]:
    """Share of the instances solved by a time: proved optimal, and close to the best bound."""
    import altair as alt

    proved = runs["wall_s"].where(runs["status"] == "optimal").to_numpy(float)
    weight = np.asarray(st.weights(runs), dtype=np.float64)
    found = []
    close = within_s.reindex(runs["run"]).to_numpy(float)
    for name, title, times, what, when in (
        (
            "solved_optimal",
            "Proved optimal by a time",
            proved,
            "proved optimal",
            "When the run ended with a placement that meets its own bound (gap at most 0.0001 %), in wall "
            "time.",
        ),
        (
            "solved_close",
            "Within 1 % of the best bound by a time",
            close,
            "within 1 %",
            "When a run first held a placement within 1 % of the best bound over all methods, in wall time.",
        ),
    ):
        grid = time_grid(runs["wall_s"].to_numpy(float))
        rows = _shares(runs, np.maximum(times, grid[0]), weight, grid)
        chart = _lines(
            charts,
            rows,
            _time_axis(grid),
            alt.Y("y:Q", title=f"{what} [% of instances]", scale=alt.Scale(domain=[0, 100])),
            legend,
        )
        caption = f"{when} Of all instances, each weighing the same; bands as above."
        text = f"Share of the instances {what} against time, a line for each method."
        found.append(fg.Figure(name, title, caption, text, chart))
    return found


def anytime(
    charts: fg.Charts, group: st.Group, curves: dict[str, st.Floats], times: st.Floats, *, legend: bool
) -> fg.Figure:
    """Mean capped gap over time, on the instances that the methods of a group share."""
    import altair as alt

    rows = [(label, x, 100 * y) for label, curve in curves.items() for x, y in zip(times, curve, strict=True)]
    chart = _lines(
        charts,
        rows,
        _time_axis(times),
        alt.Y(
            "y:Q",
            title="mean capped gap [%]",
            scale=alt.Scale(type="symlog", constant=1e-2, domain=[0, 100], nice=False),
            axis=alt.Axis(values=[0, 0.01, 0.1, 1, 10, 100], labelExpr=fg.NUMBER),
        ),
        legend,
    )
    count = len(group.common)
    where = f"{count} instance{'s' * (count != 1)}"
    return fg.Figure(
        f"anytime_{fg.slug(group.name)}",
        f"Gap over time: {group.name}",
        f"Mean over the {where} on which all {len(curves)} methods of this kind placed every run. The capped "
        "gap is (value - bound) / value, and 100 % before the first placement; the area below a line is the "
        "primal integral of the table of common instances.",
        f"Mean gap of the best placement so far against time, a line for each method, on {where}.",
        chart,
    )


def size(charts: fg.Charts, cells: pd.DataFrame, *, legend: bool) -> fg.Figure:
    """Gap against the size of the instance."""
    import altair as alt

    size = (charts.instances["tasks"] * charts.instances["blocks"]).to_numpy(float)
    if len(np.unique(size)) > 24:  # a bin an octave
        size = 2.0 ** np.round(np.log2(np.maximum(size, 1)))
    sizes = dict(zip(charts.instances["instance_sha256"], size, strict=True))
    own = cells[cells["gap"].notna()]
    own = own.assign(size=own["instance_sha256"].map(sizes), method=own["label"].map(charts.places))
    mean = own.groupby(["method", "size"], sort=False)["gap"].agg(["mean", "count"]).reset_index()
    mean.columns = ["method", "x", "y", "n"]
    mean["y"] *= 100
    top = 10 ** np.ceil(np.log10(max(mean["y"].max(), 1e-3))) if len(mean) else 1.0
    base = alt.Chart(fg.data(mean)).transform_calculate(called=charts.methods.at("datum.method"))
    base = base.encode(
        x=alt.X(
            "x:Q",
            title="blocks to place",
            scale=alt.Scale(type="log", nice=False, padding=12),
            axis=alt.Axis(values=fg.decades(1, 1e9), labelExpr=fg.NUMBER, labelOverlap=True),
        ),
        y=alt.Y(
            "y:Q",
            title="mean gap [%]",
            scale=alt.Scale(type="symlog", constant=1e-3, domain=[0, top]),
            axis=alt.Axis(values=[t for t in fg.TICKS if t <= top and t != 0.0001], labelExpr=fg.NUMBER),
        ),
        color=charts.colour(legend),
        opacity=charts.faded(),
        tooltip=[
            alt.Tooltip("called:N", title="method"),
            alt.Tooltip("x:Q", title="blocks to place"),
            alt.Tooltip("y:Q", title="mean gap [%]", format=".3~g"),
            alt.Tooltip("n:Q", title="instances"),
        ],
    )
    line = base.mark_line(strokeWidth=1).encode(strokeDash=charts.dash(legend))
    points = base.mark_point(filled=True, size=fg.MARK_SIZE).encode(shape=charts.shape(legend))
    return fg.Figure(
        "gap_size",
        "Gap against size",
        "Size is tasks times blocks; the mean is over the instances of that size which the method placed. "
        "Linear below 0.001 %, so that 0 is 0.",
        "Mean gap of each method against the number of blocks to place.",
        fg.sized(alt.layer(line, points).add_params(fg.chosen()), 320),
    )


def _shares(
    runs: pd.DataFrame, values: st.Floats, weight: st.Floats, grid: st.Floats, times: float = 1.0
) -> list[tuple[Any, ...]]:
    """Return label, x, share of the instances within x, and the ends of its band, in percent.

    Methods with one run an instance have no band. `times` is the factor from the grid to x.
    """
    instances, rows = runs["instance_sha256"].to_numpy(), list[tuple[Any, ...]]()
    for label, own in runs.groupby("label", sort=False).indices.items():
        share = st.shares_within(values[own], weight[own], grid)
        several = len(own) > len(np.unique(instances[own]))
        low, high = band(values[own], instances[own], grid) if several else (np.full(len(grid), np.nan),) * 2
        columns = times * grid, 100 * share, 100 * low, 100 * high
        rows += [(label, *row) for row in zip(*columns, strict=True)]
    return rows


def _lines(charts: fg.Charts, rows: Iterable[tuple[Any, ...]], x: alt.X, y: alt.Y, legend: bool) -> Any:
    import altair as alt

    rows = list(rows)
    frame = fg.frame(rows, "label x y low high" if rows and len(rows[0]) > 3 else "label x y")
    frame.insert(0, "method", frame.pop("label").map(charts.places))
    base = alt.Chart(fg.data(_thinned(frame))).transform_calculate(called=charts.methods.at("datum.method"))
    chart = base.mark_line(interpolate="step-after", strokeWidth=2).encode(
        x=x,
        y=y,
        color=charts.colour(legend),
        strokeDash=charts.dash(legend),
        opacity=charts.faded(),
        tooltip=[
            alt.Tooltip("called:N", title="method"),
            alt.Tooltip("x:Q", format=".3~g"),
            alt.Tooltip("y:Q", format=".3~g"),
        ],
    )
    marks = (
        alt.Chart(fg.data(_marked(frame)))
        .mark_point(filled=True, size=fg.MARK_SIZE)
        .encode(x=x, y=y, color=charts.colour(legend), shape=charts.shape(legend), opacity=charts.faded())
    )
    if "low" not in frame or frame["low"].isna().all():
        return fg.sized(alt.layer(chart, marks).add_params(fg.chosen()), 320)
    low = y.copy()
    low.shorthand = "low:Q"
    bands = (
        base.transform_filter("isValid(datum.low)")
        .mark_area(interpolate="step-after")
        .encode(x=x, y=low, y2="high:Q", color=charts.colour(legend), opacity=charts.faded(0.2))
    )
    return fg.sized(alt.layer(bands, chart, marks).add_params(fg.chosen()), 320)


def _marked(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a few points of every line, which bear its shape; those of two lines lie apart."""
    place = frame.groupby("method").cumcount()
    return frame[(place - 3 * frame["method"]) % MARK_EACH == MARK_EACH // 2][["method", "x", "y"]]


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    """Drop the points of steps where nothing changes; first and last point of every line stay."""
    same = frame["method"] == frame["method"].shift()
    last = frame["method"] != frame["method"].shift(-1)
    values = frame.drop(columns=["method", "x"])
    return frame[~same | last | ((values - values.shift()).abs() > 1e-9).any(axis=1)]


def time_grid(walls: st.Floats) -> st.Floats:
    """Return points in time from a millisecond to the longest run."""
    longest = float(np.nanmax(walls, initial=0.01))
    points: st.Floats = np.geomspace(1e-3, max(longest, 1e-2), 80)
    return points


def _time_axis(times: st.Floats) -> alt.X:
    import altair as alt

    return alt.X(
        "x:Q",
        title="time [s]",
        scale=alt.Scale(type="log", domain=[float(times[0]), float(times[-1])], nice=False),
        axis=alt.Axis(values=fg.decades(times[0], times[-1]), labelExpr=fg.NUMBER, labelOverlap=True),
    )
