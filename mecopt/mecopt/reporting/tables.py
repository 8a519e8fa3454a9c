"""The tables of a report: the same rows for the page, for LaTeX and for `--json`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.reporting import statistics as st
from mecopt.reporting.pairs import paired
from mecopt.reporting.style import figure, percent
from mecopt.tolerances import LARGEST_NEGATIVE_GAP, excess

if TYPE_CHECKING:
    import pandas as pd

HEADS = ("Mean", "Interquartile mean", "Geometric mean", "Median", "95th percentile", "Worst")
MOST_FAILURES = 60
SPARE = (
    *("Runs", "Geometric mean [%]", "95th percentile [%]", "Primal integral [s]", "Median [%]"),
    *("Worst [%]", "Instances", "Mean [%]"),
)
OF_INSTANCES = (
    *("Deadline", "Open gap [%]", "One server [%]", "All local [%]", "Blocks", "Mixed [%]", "Couplings"),
    *("Best known [s]", "Servers", "Tasks"),
)


@dataclass(frozen=True)
class Cell:
    """A text, what it is sorted by, and a second line in small print."""

    text: str
    order: float | str | None = None
    small: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption; the first column is the head of the row.

    `spare` are the heads of columns that are left out where there is no room, the first one first.
    """

    name: str
    caption: str
    heads: Sequence[str]
    rows: list[list[Cell]] = field(default_factory=list)
    spare: Sequence[str] = ()


def gap_rows(runs: pd.DataFrame, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return the gap statistics of every method as plain values; None where there is none."""
    rows = []
    for label in labels:
        mine = runs[runs["label"] == label]
        gaps = st.gaps_by_instance(runs, label)
        rows.append(
            {
                "method": label,
                "instances": len(gaps),
                "of_instances": int(mine["instance_sha256"].nunique()),
                "runs": int(sum(map(len, gaps))),
                "of_runs": len(mine),
                "gaps": {
                    name: {key: plain(value) for key, value in vars(found).items()}
                    for name, found in st.gap_statistics(gaps).items()
                },
            }
        )
    return rows


def gap_table(name: str, caption: str, rows: list[dict[str, Any]]) -> Table:
    """Return the gap statistics as a table, in percent, and the primal integral where the rows have it."""
    heads = ("Method", "Instances", "Runs", *(f"{head} [%]" for head in HEADS))
    integral = "primal_integral_s"
    timed = any(integral in row for row in rows)
    table = Table(name, caption, (*heads, "Primal integral [s]") if timed else heads, spare=SPARE)
    for row in rows:
        cells = [
            Cell(row["method"]),
            Cell(f"{row['instances']} of {row['of_instances']}", row["instances"]),
            Cell(f"{row['runs']} of {row['of_runs']}", row["runs"]),
        ]
        for name_ in st.STATISTICS:
            found = row["gaps"][name_]
            low, high = percent(found["low"]), percent(found["high"])
            small = "" if low == high else f"{low} to {high}"
            cells.append(Cell(percent(found["value"]), found["value"], small))
        if timed:
            cells.append(Cell(figure(row[integral], 3), row[integral]))
        table.rows.append(cells)
    return table


def pair_rows(runs: pd.DataFrame, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how every method compares with the one of the least interquartile mean, on common instances.

    Parameters
    ----------
    runs : DataFrame
        Of the common instances, all of them placed.
    rows : sequence of dict
        Of `gap_rows`.
    """
    best = min(rows, key=lambda row: row["gaps"]["interquartile mean"]["value"])["method"]
    gaps = {row["method"]: st.gaps_by_instance(runs, row["method"]) for row in rows}
    found = []
    for label, own in gaps.items():
        if label != best:
            difference, better = paired(gaps[best], own)
            words = {"difference": difference, "best_is_better": better}
            values = {
                name: {key: plain(value) for key, value in vars(estimate).items()}
                for name, estimate in words.items()
            }
            found.append({"method": label, "best": best, "instances": len(own), **values})
    return found


def pair_table(name: str, kind: str, rows: list[dict[str, Any]]) -> Table:
    """Return the paired comparison as a table."""
    best = rows[0]["best"] if rows else ""
    caption = (
        f"Kind: {kind}. Against {best}, which has the least interquartile mean, on the same common "
        f"instances: how much larger the mean gap is, and the probability that a run of {best} has the "
        "smaller gap on the same instance (equal ones count half; 50 % is no difference)."
    )
    heads = ("Method", "Instances", "Mean gap above [points]", "Probability of improvement [%]")
    table = Table(name, caption, heads)
    for row in rows:
        more, better = row["difference"], row["best_is_better"]
        cells = [Cell(row["method"]), Cell(f"{row['instances']}", row["instances"])]
        cells += [_estimated(more, percent), _estimated(better, lambda share: f"{100 * share:.0f}")]
        table.rows.append(cells)
    return table


def _estimated(found: dict[str, Any], write: Callable[[float], str]) -> Cell:
    """Return an estimate with its interval in small print."""
    low, high = ("" if found[end] is None else write(found[end]) for end in ("low", "high"))
    small = "" if low == high else f"{low} to {high}"
    return Cell(write(found["value"]), found["value"], small)


def status_table(runs: pd.DataFrame, labels: Sequence[str]) -> Table:
    """Return how the runs of each method ended."""
    counts = st.status_counts(runs)
    caption = (
        "How the runs ended, in number of runs. Only optimal and feasible ones have a gap and count in means."
    )
    table = Table("statuses", caption, ("Method", "Runs", *(str(name).capitalize() for name in counts)))
    for label in labels:
        own: Any = counts.loc[label]
        table.rows.append(
            [Cell(label), Cell(f"{own.sum():,}", int(own.sum())), *(Cell(f"{n:,}", int(n)) for n in own)]
        )
    return table


def time_table(rows: list[dict[str, Any]]) -> Table:
    """Return what each method needs: time, time to come close, memory."""
    heads = (
        "Method",
        "Runs with a placement",
        "CPU [s]",
        "Wall [s]",
        "Within 1 % [s]",
        "Peak memory [MB]",
    )
    caption = (
        "Over the runs with a feasible placement of each method, which need not be on the same instances: "
        "mean processor and wall time; mean time at which the placement came within 1 % of the best bound, "
        "over the runs that did (share in small print); largest peak memory, where each run had a process "
        "of its own."
    )
    table = Table("times", caption, heads, spare=("Runs with a placement", "Peak memory [MB]"))
    names = ("cpu_s", "wall_s", "within_s", "peak_memory_mb")
    for row in rows:
        close = f"{100 * row['within_share']:.0f} % of runs" if row["runs"] else ""
        table.rows.append(
            [
                Cell(row["method"]),
                Cell(f"{row['runs']:,}", row["runs"]),
                *(Cell(figure(row[n], 3), row[n], close if n == "within_s" else "") for n in names),
            ]
        )
    return table


def time_rows(runs: pd.DataFrame, labels: Sequence[str], within_s: pd.Series[float]) -> list[dict[str, Any]]:
    """Return the means behind `time_table`."""
    placed = runs[runs["placed"]].set_index("run")
    placed = placed.assign(within=within_s.reindex(placed.index))
    memory = placed["peak_memory_bytes"].astype("Float64").astype(float) / 1e6
    rows = []
    for label in labels:
        own = placed[placed["label"] == label]
        mean = {name: plain(own[name].mean()) for name in ("cpu_s", "wall_s", "within")}
        rows.append(
            {
                "method": label,
                "runs": len(own),
                "cpu_s": mean["cpu_s"],
                "wall_s": mean["wall_s"],
                "within_s": mean["within"],
                "within_share": float(own["within"].notna().mean()) if len(own) else 0.0,
                "peak_memory_mb": plain(memory.reindex(own.index).max()),
            }
        )
    return rows


def instance_table(instances: pd.DataFrame) -> Table:
    """Return what each instance is, and what is known of it."""
    heads = (
        "Instance", "Tasks", "Servers", "Blocks", "Couplings", "Deadline",
        "All local [%]", "One server [%]", "Mixed [%]", "Best bound [s]", "Best known [s]", "Open gap [%]",
    )  # fmt: skip
    caption = (
        "The instances: size, couplings, what the optimum of each task would be without couplings, and the "
        "best bound and value known, over all runs here and the store of best-known values."
    )
    table = Table("instances", caption, heads, spare=OF_INSTANCES)
    for row in st.records(instances):
        bound, value = float(row.best_bound), float(row.best_known)
        gap = excess(value, bound)
        table.rows.append(
            [
                Cell(str(row.instance)),
                *(Cell(f"{n:,}", int(n)) for n in (row.tasks, row.servers, row.blocks)),
                Cell(str(row.couplings or "none").replace(",", ", ")),
                Cell(str(row.deadline)),
                *(
                    Cell(figure(100 * n, 3), n)
                    for n in (row.local_share, row.one_server_share, row.mixed_share)
                ),
                Cell(figure(bound, 6), plain(bound)),
                Cell(figure(value, 6), plain(value)),
                Cell(percent(max(gap, 0.0) if gap >= -LARGEST_NEGATIVE_GAP else gap), plain(gap)),
            ]
        )
    return table


def failure_table(runs: pd.DataFrame, contradicted: pd.Series[bool] | None = None) -> Table:
    """Return what went wrong, with the words of the error or the limits that were violated.

    Parameters
    ----------
    runs : DataFrame
    contradicted : series of bool, optional
        Which runs cannot be right, since another one is.
    """
    caption = "What has no feasible placement, and why; counted here and nowhere averaged in."
    bad = runs[~runs["placed"]]
    reason = bad["error"].where(bad["error"].notna(), bad["violation_kinds"].fillna(""))
    # The names of instances in a message would give each its own row.
    bad = bad.assign(
        reason=reason.where(reason != "", "no placement found").mask(
            bad["status"] == "infeasible", "proved that there is none"
        )
    )
    if contradicted is not None:
        false = contradicted[bad.index] & (bad["status"] == "infeasible")
        bad["reason"] = bad["reason"].mask(false, "WRONG: says that there is none, and another run has one")
    # What does not take an instance says so of each by name: once for each method is enough.
    refused = bad["status"] == "refused"
    first = bad[refused].groupby("label")["reason"].first()
    bad["reason"] = bad["reason"].mask(refused, bad["label"].map(first))
    grouped = bad.groupby(["label", "status", "reason"], sort=False)
    found = grouped.agg(runs=("run", "size"), instances=("instance_sha256", "nunique")).reset_index()
    if len(found) > MOST_FAILURES:
        caption += f" The {MOST_FAILURES} most frequent of {len(found)}; all are in runs.csv."
    heads = ("Method", "Ended", "Runs", "Instances", "Reason")
    table = Table("failures", caption, heads, spare=("Instances", "Runs"))  # the reason is what it is for
    for row in st.records(found.sort_values("runs", ascending=False, kind="stable").head(MOST_FAILURES)):
        words = str(row.reason)
        if row.status == "refused":
            words = words.partition(";")[0]  # which methods could is not the matter here
        if row.status == "violating":
            words = f"violates {words.replace(',', ', ')}"
        table.rows.append(
            [
                Cell(row.label),
                Cell(row.status),
                Cell(f"{row.runs:,}", row.runs),
                Cell(f"{row.instances:,}", row.instances),
                Cell(words[:300]),
            ]
        )
    return table


def plain(value: Any) -> float | None:
    """Return a number for JSON, None where it is missing or infinite."""
    return None if value is None or not np.isfinite(value) else float(value)
