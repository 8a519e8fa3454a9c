"""What stands below each instance of the page: where its blocks run, and the timelines of a few tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mecopt.drawing.timeline import LATE_COLOUR, Span, block_names, node_colour, node_names, spans, unit_of
from mecopt.reporting.figures import Figure, Names, data, frame
from mecopt.reporting.statistics import PLACED, Floats, records

if TYPE_CHECKING:
    import pandas as pd

    from mecopt.instance import Instance
    from mecopt.judge import Evaluation

MOST_INSTANCES = 40  # that open to their placements
LEAST_SHARE = 0.0005  # drawn of a node in a strip
MOST_METHODS = 24  # in the picture of one instance


class Details(Protocol):
    """What is read of a comparison beside its tables."""

    def solution(self, run: int) -> dict[str, Any] | None:
        """Return what a run found."""

    def instance(self, sha256: str) -> Instance:
        """Return an instance."""


def best_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return for every method the run to show: its best placement, else one that violates something.

    `runs` are those of one instance; the result is ordered from the least objective on.
    """
    own = runs[runs["status"].isin((*PLACED, "violating"))]
    own = own.sort_values(["placed", "objective", "violations"], ascending=[False, True, True], kind="stable")
    return own.drop_duplicates("label").head(MOST_METHODS)


def names_of(shown: pd.DataFrame) -> list[str]:
    """Return the labels of the runs to show, with what is violating marked."""
    return [
        label if placed else f"{label} (violating)"
        for label, placed in zip(shown["label"], shown["placed"], strict=True)
    ]


def share_figure(
    name: str, instance: Instance, runs: pd.DataFrame, shown: pd.DataFrame, shares: Mapping[int, Floats]
) -> Figure | None:
    """Draw a strip for each method: for each block, the share of the tasks that run it on each node.

    The mean over the placed runs of the method is drawn, or that of its violating run.
    """
    import altair as alt

    rows: list[tuple[Any, ...]] = []
    labels: list[str] = []
    nodes = Names(node_names(instance))
    for label, head, best in zip(shown["label"], names_of(shown), records(shown), strict=True):
        own = runs[(runs["label"] == label) & runs["placed"]]["run"] if best.placed else [best.run]
        found = [shares[run] for run in own if run in shares]
        if not found:
            continue
        share = np.mean(found, axis=0)  # (blocks, nodes)
        ends = np.cumsum(share, axis=1)
        rows += [
            (len(labels), m, n, ends[m, n] - share[m, n], ends[m, n])
            for m, n in np.argwhere(share > LEAST_SHARE).tolist()
        ]
        labels.append(head)
    if not rows:
        return None
    blocks = 1 + max(row[1] for row in rows)
    words = Names(labels).at("datum.value - 0.5")
    methods = alt.Axis(
        values=[i + 0.5 for i in range(len(labels))], labelExpr=words, grid=False, ticks=False, labelLimit=150
    )
    numbers = alt.Axis(
        values=[m + 0.47 for m in range(blocks)], labelExpr="floor(datum.value)", grid=False, ticks=False
    )
    chart = (
        alt.Chart(data(frame(rows, "row block n low high")))
        .transform_calculate(
            method=Names(labels).at("datum.row"),
            node=nodes.at("datum.n"),
            x2="datum.block + 0.94",
            y="datum.row + 0.08 + 0.84 * datum.low",
            y2="datum.row + 0.08 + 0.84 * datum.high",
            share="100 * (datum.high - datum.low)",
        )
        .mark_rect()
        .encode(
            x=alt.X("block:Q", title="block", scale=alt.Scale(domain=[0, blocks], nice=False), axis=numbers),
            x2="x2:Q",
            y=alt.Y("y:Q", title=None, scale=alt.Scale(domain=[len(labels), 0], nice=False), axis=methods),
            y2="y2:Q",
            color=_node_colours(nodes, sorted({row[2] for row in rows})),
            tooltip=[
                "method:N",
                "block:Q",
                "node:N",
                alt.Tooltip("share:Q", title="share of the tasks [%]", format=".1f"),
            ],
        )
        .properties(width="container", height=24 * len(labels))
    )
    return Figure(
        f"nodes_{name}",
        "Where each block runs",
        "Height is the share of the tasks, mean over the runs of a method; a method of one colour has "
        "collapsed onto one node. Best method first.",
        "For each method and block, the share of the tasks that run it on each node.",
        chart,
    )


def timeline_figure(name: str, instance: Instance, shown: pd.DataFrame, details: Details) -> Figure | None:
    """Draw the timelines of the slowest and a middling task under the best run of each method."""
    import altair as alt

    judged = _judged(instance, shown, details)
    if not judged:
        return None
    tasks = _typical(next(iter(judged.values())))
    drawn = {task: {label: spans(found, task) for label, found in judged.items()} for task in tasks.values()}
    end = max(part.end_s for task in drawn.values() for parts in task.values() for part in parts)
    factor, unit = unit_of(end)
    nodes = Names(node_names(instance))
    labels, kinds = list(judged), list(KINDS)
    blocks: list[str] = []  # of one task after the other, and a last one of each for its result
    first = {}
    for what, task in tasks.items():
        first[what] = len(blocks)
        blocks += [*block_names(instance, task), "result"]
    rows = [
        (
            list(tasks).index(what),
            labels.index(label),
            part.node,
            first[what] + part.block,
            kinds.index(_kind(part)),
            part.start_s / factor,
            part.end_s / factor,
        )
        for what, task in tasks.items()
        for label, parts in drawn[task].items()
        for part in parts
    ]
    used = sorted({row[2] for row in rows})
    picked = alt.param(
        name="task",
        value=0,
        bind=alt.binding_select(options=list(range(len(tasks))), labels=list(tasks), name="Task "),
    )
    base = (
        alt.Chart(data(frame(rows, "t row n b k start end")))
        .transform_filter("datum.t == task")
        .transform_calculate(
            method=Names(labels).at("datum.row"),
            node=nodes.at("datum.n"),
            block=Names(blocks).at("datum.b"),
            kind=Names(list(KINDS.values())).at("datum.k"),
        )
        .encode(
            x=alt.X("start:Q", title=f"time since release [{unit}]"),
            x2="end:Q",
            y=alt.Y("row:N", title=None, axis=Names(labels).axis(labelLimit=150)),
            tooltip=[
                "method:N",
                "kind:N",
                "block:N",
                "node:N",
                alt.Tooltip("start:Q", format=".4~g"),
                alt.Tooltip("end:Q", format=".4~g"),
            ],
        )
    )
    late = alt.condition("datum.k == 1", alt.value(LATE_COLOUR), alt.value("#00000055"))
    calc = (
        base.transform_filter("datum.k <= 1")
        .mark_bar(height={"band": 0.8}, strokeWidth=1)
        .encode(color=_node_colours(nodes, used), stroke=late)
    )
    other = base.transform_filter("datum.k > 1").mark_bar(height={"band": 0.22}, color="#9A9A9A")
    chart = alt.layer(other, calc).add_params(picked).properties(width="container", height=20 * len(labels))
    return Figure(
        f"timeline_{name}",
        "Timelines",
        "The best run of each method, best first. Wide bars calculate, in the colour of the node; thin grey "
        "ones transfer. An orange-red edge is a block above its deadline.",
        "For the task that is picked, a bar for each block from start to end, a row for each method.",
        chart,
    )


def _judged(instance: Instance, shown: pd.DataFrame, details: Details) -> dict[str, Evaluation]:
    """Return the judge's account of each placement that is shown."""
    from mecopt.judge import evaluate
    from mecopt.placements import placement_array

    found = {}
    for label, run in zip(names_of(shown), shown["run"], strict=True):
        solution = details.solution(int(run))
        if solution is not None and solution["placement"] is not None:
            found[label] = evaluate(instance, placement_array(solution["placement"], instance))
    return found


def _typical(evaluation: Evaluation) -> dict[str, int]:
    """Return the slowest and the median task under the best placement, by what they are."""
    order = np.argsort(evaluation.task_delay_s, kind="stable")
    picks = {"slowest": order[-1], "median": order[(len(order) - 1) // 2]}
    found: dict[int, str] = {}
    for what, task in picks.items():
        found.setdefault(int(task), what)
    return {f"{task} ({what})": task for task, what in found.items()}


# The first two are blocks, the others transfers.
KINDS = {
    "calc": "calculates",
    "late": "calculates, above its deadline",
    "transfer": "transfer",
    "missing": "missing link, length made up",
    "result": "result returns",
}


def _kind(part: Span) -> str:
    if part.kind == "calc":
        return "late" if part.late else "calc"
    return "missing" if part.missing else part.kind


def _node_colours(nodes: Names, used: Sequence[int]) -> Any:
    import altair as alt

    return alt.Color(
        "n:N",
        title=None,
        scale=alt.Scale(domain=list(used), range=[node_colour(n) for n in used]),
        legend=alt.Legend(orient="top", columns=4, labelLimit=90, labelExpr=nodes.at("datum.value")),
    )
