"""All numbers of a report, worked out once for its page, tables and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.comparing.contradictions import contradictions, lines
from mecopt.reporting import statistics as st
from mecopt.reporting import tables as tb
from mecopt.reporting.line_charts import WITHIN, time_grid
from mecopt.reporting.wanted import Wanted
from mecopt.text import visible

if TYPE_CHECKING:
    import pandas as pd

MOST_KINDS = 6  # kinds of instances with a chart over time of their own


class Numbers:
    """All numbers of a report, worked out once."""

    def __init__(self, comparison: Any, wanted: Wanted | None = None) -> None:
        self.runs: pd.DataFrame
        self.labels: list[str]
        self.wanted = wanted or Wanted()
        self.runs, self.labels = self.wanted.of(st.prepared(comparison.runs))
        self.contradictions = contradictions(self.runs)
        ran = set(self.runs["instance_sha256"])
        instances = comparison.instances.assign(instance=comparison.instances["instance"].map(visible))
        self.instances: pd.DataFrame = instances[instances["instance_sha256"].isin(ran)].reset_index(
            drop=True
        )
        self.cells = st.cells(self.runs)
        self.groups = st.groups(self.cells, self.instances)
        self.shared = st.group(self.cells, "all instances", self.instances["instance_sha256"])
        self.kinds = {sha: group.name for group in self.groups for sha in group.instances}
        self.shares: dict[int, st.Floats] = comparison.node_shares()
        limit = self.runs["time_limit_s"].max()
        self.horizon_s = float(limit) if limit == limit else float(self.runs["wall_s"].max())
        self._read_traces(comparison.traces())
        self.top_share = self._top_shares()

    def _read_traces(self, traces: dict[int, st.Trace]) -> None:
        """Work out what is asked of the traces: times to come close, integrals, curves."""
        import pandas as pd

        placed = self.runs[self.runs["gap_used"].notna()]
        self.times = time_grid(np.append(self.runs["wall_s"].to_numpy(float), self.horizon_s))
        bounds = dict(zip(placed["run"], placed["best_bound"], strict=True))
        kept = {run: trace for run, trace in traces.items() if run in bounds}
        self.within_s = pd.Series(
            {run: st.time_within(trace, bounds[run], WITHIN) for run, trace in kept.items()}, dtype=float
        )
        self.curves: list[tuple[st.Group, dict[str, st.Floats]]] = []
        # One chart for each kind of instances; methods are compared on what they share.
        for group in sorted(self.groups, key=lambda group: -len(group.common))[:MOST_KINDS]:
            if group.common:
                self.curves.append((group, self._curves(group, placed, kept, bounds)))
        self.integral_s = pd.Series(
            {run: st.primal_integral(trace, bounds[run], self.horizon_s) for run, trace in kept.items()},
            dtype=float,
        )

    def _curves(
        self, group: st.Group, placed: pd.DataFrame, traces: dict[int, st.Trace], bounds: dict[int, float]
    ) -> dict[str, st.Floats]:
        own = placed[placed["instance_sha256"].isin(group.common) & placed["label"].isin(group.methods)]
        weight = st.weights(own)
        curves: dict[str, st.Floats] = {}
        for label in group.methods:
            mine = own[own["label"] == label]
            curve = np.zeros(len(self.times))
            for run, share in zip(mine["run"], weight[mine.index], strict=True):
                curve += share * st.capped_gap(traces.get(run, ()), bounds[run], self.times)
            curves[label] = curve
        return curves

    def _top_shares(self) -> dict[tuple[str, str], float]:
        placed = self.runs[self.runs["placed"]]
        rows = zip(placed["run"], placed["label"], placed["instance_sha256"], strict=True)
        found: dict[tuple[str, str], list[float]] = {}
        for run, label, sha in rows:
            if run in self.shares:
                found.setdefault((label, sha), []).append(st.top_node_share(self.shares[run]))
        return {key: float(np.mean(values)) for key, values in found.items()}

    def tables(self) -> list[Any]:
        """Return all tables in the order of the page."""
        self.gap_rows = tb.gap_rows(self.runs, self.labels)
        self.time_rows = tb.time_rows(self.runs, self.labels, self.within_s)
        caption = (
            "Gap to the best bound known of each instance, over the instances that each method placed. "
            "These are not the same instances for all methods; compare methods with the tables of common "
            "instances."
        )
        found = [tb.gap_table("gaps", caption, self.gap_rows)]
        self.common_rows: dict[str, list[dict[str, Any]]] = {}
        self.pair_rows: dict[str, list[dict[str, Any]]] = {}
        for group in self.groups:
            if not group.common:
                continue
            rows = self._common_rows(group)
            self.common_rows[group.name] = rows
            name = f"common_{'_'.join(group.name.replace(',', '').split())}"
            found.append(tb.gap_table(name, _common_caption(group), rows))
            own = self.runs[self.runs["instance_sha256"].isin(group.common)]
            pairs = self.pair_rows[group.name] = tb.pair_rows(own, rows)
            found.append(tb.pair_table(name.replace("common", "pairs", 1), group.name, pairs))
        found += [
            tb.status_table(self.runs, self.labels),
            tb.failure_table(self.runs, self.contradictions.notna()),
            tb.time_table(self.time_rows),
            tb.instance_table(self.instances),
        ]
        return [table for table in found if table.rows]

    def _common_rows(self, group: st.Group) -> list[dict[str, Any]]:
        """Return the gap rows on the common instances, with the mean primal integral."""
        own = self.runs[self.runs["instance_sha256"].isin(group.common)]
        integral = own["run"].map(self.integral_s.to_dict()).astype(float)
        weighed = integral.mul(st.weights(own)).groupby(own["label"]).sum(skipna=False)
        rows = tb.gap_rows(own, group.methods)
        return [{**row, "primal_integral_s": tb.plain(weighed[row["method"]])} for row in rows]

    def ranking(self) -> list[dict[str, Any]]:
        """Return the gap rows of the methods that placed something, the best first.

        A larger share of its instances placed comes before a smaller mean gap: nobody gains by failing on
        hard ones, nor by being run on more.
        """
        placed = [row for row in self.gap_rows if row["instances"]]
        return sorted(
            placed, key=lambda row: (-row["instances"] / row["of_instances"], row["gaps"]["mean"]["value"])
        )

    def document(self) -> dict[str, Any]:
        """Return the numbers for programs."""
        return {
            "runs": len(self.runs),
            "instances": len(self.instances),
            "contradictions": lines(self.runs, self.contradictions),
            "statuses": {str(k): int(v) for k, v in self.runs["status"].value_counts().items()},
            "methods": self.gap_rows,
            "common": self.common_rows,
            "pairs": self.pair_rows,
            "times": self.time_rows,
        }


def _common_caption(group: st.Group) -> str:
    left = ""
    if group.left_out:
        names = ", ".join(f"{label} ({n})" for label, n in group.left_out.items())
        left = f" Left out, since they placed every run on less than half (number in brackets): {names}."
    return (
        f"Kind: {group.name}. The same instances for everybody: the {len(group.common)} of "
        f"{len(group.instances)} on which every run of these {len(group.methods)} methods was placed. The "
        f"primal integral is the mean area below the capped gap over time, up to the time limit.{left}"
    )
