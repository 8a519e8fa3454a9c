"""Charts with a row for each method or instance: gaps, delay, energy, nodes, triviality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.reporting import figures as fg

if TYPE_CHECKING:
    import pandas as pd

    from mecopt.reporting.statistics import Group

LETTERS = ("violating", "infeasible", "unknown", "failed", "refused", "timeout")


def gap_map(charts: fg.Charts, cells: pd.DataFrame) -> fg.Figure:
    """Gap of every method on every instance, or what there is instead of one."""
    import altair as alt

    data, what, rows = charts.by_instance(cells, ["gap"])
    data["percent"] = 100 * data["gap"]
    data["note"] = data["failure"].where(data["placed"] < data["runs"], "").fillna("")
    data["shown"] = [
        "" if note and gap != gap else _short(gap)
        for gap, note in zip(data["percent"], data["note"], strict=True)
    ]
    data["mark"] = data["note"].str[:1].str.upper().where(data["percent"].isna(), "")
    data = data.replace({"note": {"": "none"}})  # an empty field of CSV would be null
    frame = data[["method", "row", "percent", "shown", "mark", "note", "runs", "placed"]]
    base = _named(alt.Chart(fg.data(frame)), charts.methods, rows).encode(
        x=_methods(charts),
        y=_rows(rows),
        tooltip=[
            alt.Tooltip("of:N", title=what),
            alt.Tooltip("called:N", title="method"),
            alt.Tooltip("shown:N", title="mean gap [%]"),
            alt.Tooltip("placed:Q", title="runs placed"),
            alt.Tooltip("runs:Q", title="of"),
            alt.Tooltip("note:N", title="runs without a placement"),
        ],
    )
    colour = alt.Color(
        "percent:Q",
        scale=alt.Scale(
            type="symlog", constant=0.1, scheme="viridis", reverse=True, domain=[0, 300], clamp=True
        ),
        legend=alt.Legend(
            title="mean gap [%]",
            orient="bottom",
            gradientLength=260,
            values=[0, 0.1, 1, 10, 100, 300],
            labelExpr="datum.value >= 300 ? '300 +' : '' + datum.value",
            labelOverlap=False,
        ),
    )
    rect = base.transform_filter("isValid(datum.percent)").mark_rect(cornerRadius=2).encode(color=colour)
    text = (
        base.transform_filter("isValid(datum.percent)")
        .mark_text(fontSize=9)
        .encode(
            text="shown:N",
            color=alt.condition("datum.percent > 8", alt.value("white"), alt.value("black")),
        )
    )
    marks = base.transform_filter("isValid(datum.mark)").mark_text(fontSize=9).encode(text="mark:N")
    return fg.Figure(
        "gap_map",
        "Every method on every instance",
        "Mean gap in percent; darker is worse. A letter stands where no run found a feasible placement.",
        "Map of the mean gap of each method on each instance; the numbers are in the tables below.",
        _slanted(alt.layer(rect, text, marks), 20 * len(rows.texts)),
        min_width=230 + 42 * len(charts.labels),
        key=_letters(data["mark"]),
    )


def _letters(marks: pd.Series[Any]) -> str:
    """Return the key of the letters that stand in a map."""
    return ", ".join(
        f"{status[0].upper()} {status}" for status in LETTERS if (marks == status[0].upper()).any()
    )


def collapse(charts: fg.Charts, cells: pd.DataFrame, top: dict[tuple[str, str], float]) -> fg.Figure:
    """Share of the most used node."""
    import altair as alt

    keys = zip(cells["label"], cells["instance_sha256"], strict=True)
    data, what, rows = charts.by_instance(cells.assign(top=[top.get(key, np.nan) for key in keys]), ["top"])
    data["top"] *= 100
    chart = (
        _named(alt.Chart(fg.data(data[["method", "row", "top"]].dropna())), charts.methods, rows)
        .mark_rect(cornerRadius=2)
        .encode(
            x=_methods(charts),
            y=_rows(rows),
            color=alt.Color(
                "top:Q",
                title="share of the most used node [%]",
                scale=alt.Scale(scheme="cividis", domain=[0, 100]),
                legend=alt.Legend(orient="bottom", gradientLength=220, titleLimit=300),
            ),
            tooltip=[
                alt.Tooltip("of:N", title=what),
                alt.Tooltip("called:N", title="method"),
                alt.Tooltip("top:Q", title="most used node [%]", format=".1f"),
            ],
        )
    )
    return fg.Figure(
        "collapse",
        "Does a method use one node only?",
        "Share of all blocks that run on the node that runs most of them. A bright column is a method that "
        "puts everything on one node, whatever the instance; a bright row an instance that asks for it. "
        "Which node, block by block, is below with each instance. Empty where no run was placed.",
        "Map of the share of the most used node, of each method on each instance.",
        _slanted(chart, 18 * len(rows.texts)),
        min_width=230 + 28 * len(charts.labels),
    )


def delays(charts: fg.Charts, cells: pd.DataFrame, shared: Group) -> fg.Figure:
    """Which share of the delay is spent on servers and on devices."""
    import altair as alt

    own = _on_common(cells, shared)
    own = own[own["total_delay_s"] > 0]
    share = (own["local_delay_s"] / own["total_delay_s"]).groupby(own["label"]).agg(["mean", "size"])
    rows = [
        (charts.places[label], where, value, int(share["size"][label]))
        for label in charts.labels
        if label in share.index
        for where, value in (
            ("edge", 100 - 100 * share["mean"][label]),
            ("local", 100 * share["mean"][label]),
        )
    ]
    chart = (
        _named(alt.Chart(fg.data(fg.frame(rows, "method where x n"))), charts.methods)
        .mark_bar()
        .encode(
            y=alt.Y("method:N", title=None, axis=charts.methods.axis()),
            x=alt.X("x:Q", title="share of the delay [%]", scale=alt.Scale(domain=[0, 100])),
            color=alt.Color(
                "where:N",
                title=None,
                scale=alt.Scale(domain=["edge", "local"], range=["#56B4E9", "#E69F00"]),
                legend=alt.Legend(orient="top"),
            ),
            order=alt.Order("where:O"),
            tooltip=[
                alt.Tooltip("called:N", title="method"),
                "where:N",
                alt.Tooltip("x:Q", title="share [%]", format=".1f"),
                alt.Tooltip("n:Q", title="instances"),
            ],
        )
    )
    return fg.Figure(
        "delay_split",
        "Where the delay comes from",
        "Edge is the delay of what runs on servers, with the transfers to them; local that of what runs on "
        f"the device. Mean over {_which(shared)}.",
        "Share of the inference delay on servers and on devices, a bar for each method.",
        fg.sized(chart, 18 * len(charts.labels)),
    )


def energy(charts: fg.Charts, cells: pd.DataFrame, shared: Group) -> fg.Figure:
    """Energy against that of the best placement of the same instance."""
    import altair as alt

    own = _on_common(cells, shared)
    own = own[own["energy_j"].notna() & own["objective"].notna()]
    best = own.loc[own.groupby("instance_sha256")["objective"].idxmin()].set_index("instance_sha256")[
        "energy_j"
    ]
    ratio = own["energy_j"] / own["instance_sha256"].map(best.to_dict()).astype(float)
    kept = ratio[np.isfinite(ratio) & (ratio > 0)]
    logs = np.log(kept).groupby(own["label"].reindex(kept.index))
    rows = [
        (
            charts.places[str(label)],
            np.exp(g.mean()),
            np.exp(g.quantile(0.1)),
            np.exp(g.quantile(0.9)),
            len(g),
        )
        for label, g in logs
    ]
    base = _named(alt.Chart(fg.data(fg.frame(rows, "method x low high n"))), charts.methods).encode(
        y=alt.Y("method:N", title=None, axis=charts.methods.axis()),
        tooltip=[
            alt.Tooltip("called:N", title="method"),
            alt.Tooltip("x:Q", title="times the best placement's", format=".3~g"),
            alt.Tooltip("n:Q", title="instances"),
        ],
    )
    scale = alt.Scale(type="log")
    ends = [value for row in rows for value in row[2:4]] or [1.0]
    axis = alt.Axis(values=fg.decades(min(ends), max(ends)), labelExpr=fg.NUMBER, labelOverlap=True)
    bar = base.mark_rule(strokeWidth=2, color="#8A8A8A").encode(
        x=alt.X("low:Q", scale=scale, axis=axis, title="energy / energy of the best placement"),
        x2="high:Q",
    )
    point = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=alt.X("x:Q", scale=scale), color=charts.colour(False)
    )
    return fg.Figure(
        "energy",
        "Energy of the devices",
        "Against the placement of the least objective on the same instance: point is the geometric mean "
        f"over {_which(shared)}; the line reaches from the 10th to the 90th percentile. "
        "Where that energy is 0, the instance is left out.",
        "Energy relative to that of the best placement, a point and a range for each method.",
        fg.sized(alt.layer(bar, point), 18 * len(charts.labels)),
    )


def _on_common(cells: pd.DataFrame, shared: Group) -> pd.DataFrame:
    """Return what can stand side by side: the methods of a group on the instances that all of them placed."""
    return cells[cells["instance_sha256"].isin(shared.common) & cells["label"].isin(shared.methods)]


def _which(shared: Group) -> str:
    """Say which instances these are, and who is left out."""
    count, methods = len(shared.common), len(shared.methods)
    of = f"{count} of {len(shared.instances)} instances"
    text = f"the {of} on which every run of these {methods} methods was placed"
    if shared.left_out:
        text += f"; left out, since they placed less than half: {', '.join(shared.left_out)}"
    return text


def triviality(charts: fg.Charts) -> fg.Figure:
    """What the free optimum of every instance looks like."""
    import altair as alt

    names = {"local_share": "all local", "one_server_share": "one server", "mixed_share": "mixed"}
    data = charts.instances.assign(kind=charts.instances["instance_sha256"].map(charts.kinds))
    what = "instance" if len(data) <= fg.MANY_INSTANCES else "kind"
    key = "instance_sha256" if what == "instance" else "kind"
    data = data.groupby(key, sort=False)[list(names)].mean().reset_index()
    rows = fg.Names([charts.names.get(at, at) for at in data[key]])
    data = data[list(names)].assign(row=rows.places).melt("row", var_name="optimum", value_name="x")
    data["optimum"] = data["optimum"].map(names)
    data["x"] *= 100
    chart = (
        _named(alt.Chart(fg.data(data)), charts.methods, rows)
        .mark_bar()
        .encode(
            y=_rows(rows),
            x=alt.X("x:Q", title="share of the tasks [%]", scale=alt.Scale(domain=[0, 100])),
            color=alt.Color(
                "optimum:N",
                title=None,
                scale=alt.Scale(domain=list(names.values()), range=["#E69F00", "#56B4E9", "#0072B2"]),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[
                alt.Tooltip("of:N", title=what),
                "optimum:N",
                alt.Tooltip("x:Q", title="share [%]", format=".1f"),
            ],
        )
    )
    return fg.Figure(
        "triviality",
        "How trivial each instance is",
        "The optimum of each task when all couplings are dropped: all blocks on the device, all on one "
        "server, or mixed. Where nearly nothing is mixed, a small gap says little about partitioning.",
        "Share of the tasks whose free optimum is all local, on one server, or mixed, for each instance.",
        fg.sized(chart, 16 * len(rows.texts)),
    )


def _methods(charts: fg.Charts) -> Any:
    """Return the axis with a column for each method."""
    import altair as alt

    return alt.X("method:N", title=None, axis=charts.methods.axis(labelAngle=-40, orient="top"))


def _rows(rows: fg.Names) -> Any:
    """Return the axis with a row for each instance or kind."""
    import altair as alt

    return alt.Y("row:N", title=None, axis=rows.axis(labelLimit=220))


def _named(chart: Any, methods: fg.Names, rows: fg.Names | None = None) -> Any:
    """Return the chart with the names that its tooltips show: `called` the method, `of` the row."""
    names = {"called": methods.at("datum.method")} if rows is None else {
        "called": methods.at("datum.method"), "of": rows.at("datum.row")
    }  # fmt: skip
    return chart.transform_calculate(**names)


def _slanted(chart: Any, height: int) -> Any:
    """Return the chart with room on the right for the last of its slanted labels."""
    return fg.sized(chart, height).properties(padding={"left": 5, "top": 5, "right": 60, "bottom": 5})


def _short(value: float) -> str:
    """Write a percentage into few characters."""
    if value != value:
        return ""
    if value == 0:
        return "0"
    if value < 1:
        return "<.01" if value < 0.005 else f"{value:.2f}".removeprefix("0")
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
