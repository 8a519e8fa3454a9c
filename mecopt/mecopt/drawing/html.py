"""Results and comparisons as notebooks show them: small tables that take the colours of the page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mecopt.drawing.timeline import node_names, node_share, seconds
from mecopt.text import visible

if TYPE_CHECKING:
    from mecopt.comparing import Comparison
    from mecopt.result import Result

MOST_NODES = 12


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table; every text in it is escaped, and the columns behind the first are numbers."""
    head = "".join(f"<th>{_text(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    top = f"<caption style='text-align:left'>{_text(caption)}</caption>"
    return f"<table>{top}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def of_result(result: Result) -> str:
    """Return the figures of a result, and which share of the blocks each node runs."""
    judged = result.evaluation
    facts = [
        (
            "status",
            result.status.value if result.stopped_by is None else f"{result.status}, {result.stopped_by}",
        ),
        ("objective", "none" if result.objective is None else seconds(result.objective, 6)),
        ("lower bound", "none" if result.lower_bound is None else seconds(result.lower_bound, 6)),
        ("gap", "none" if result.gap is None else f"{100 * result.gap:.3g} %"),
        ("violations", "" if judged is None else len(judged.violations)),
        ("runtime", seconds(result.runtime_s, 3)),
    ]
    text = table(f"{result.instance.name} by {result.method}", ("", ""), facts)
    if judged is None:
        return text
    share = node_share(judged)  # (nodes, blocks)
    names = node_names(result.instance)
    used = [n for n in np.argsort(-share.sum(axis=1), kind="stable") if share[n].any()]
    rows = [(names[n], *(f"{100 * value:.0f}" for value in share[n])) for n in used[:MOST_NODES]]
    heads = ("block", *map(str, range(share.shape[1])))
    more = f", {len(used) - MOST_NODES} more nodes" if len(used) > MOST_NODES else ""
    return text + table(f"Share of the tasks that run each block on each node, in percent{more}", heads, rows)


def of_comparison(comparison: Comparison) -> str:
    """Return one row a method: how its runs ended, and its gaps to the best bounds known."""
    rows = []
    for (method, options), own in comparison.runs.groupby(["method", "options"], sort=False):
        gaps = 100 * own["gap_to_best_bound"].dropna()
        placed = int(own["status"].isin(("optimal", "feasible")).sum())
        figures = ("", "") if gaps.empty else (f"{gaps.mean():.3g}", f"{gaps.max():.3g}")
        name = str(method) if options == "{}" else f"{method} {options}"
        rows.append((name, len(own), placed, *figures))
    pending = f", {comparison.pending} to be made" if comparison.pending else ""
    caption = f"{len(comparison.runs)} runs on {len(comparison.instances)} instances{pending}"
    return table(caption, ("method", "runs", "placed", "mean gap [%]", "worst gap [%]"), rows)


def _text(value: object) -> str:
    return html.escape(visible(str(value)))
