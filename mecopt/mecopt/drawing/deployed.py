"""A picture of a plan that was carried out: what was predicted above what was measured, node by node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mecopt.drawing.plot import GREY, drawn, saved, tidy
from mecopt.drawing.timeline import ink, node_colour, seconds, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mecopt.arrays import Floats
    from mecopt.deployment.outcome import Deployment

WIDTH_IN = 9.0


def save_deployment(found: Deployment, path: str) -> None:
    """Draw the timeline of one input, predicted and measured (medians), and write it whole or not at all.

    Parameters
    ----------
    found : Deployment
    path : str
        Ends in ``.png``, ``.svg`` or ``.pdf``.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    InputError
        If the file cannot be written.
    """
    from matplotlib.figure import Figure

    nodes = list(dict.fromkeys(one.node for one in found.stretches))
    frame = found.to_frame()
    rows = {
        kind: (
            frame[f"{kind}_transfer_s"].fillna(0).to_numpy(),
            frame[f"{kind}_calculation_s"].fillna(0).to_numpy(),
        )
        for kind in ("predicted", "measured")
    }
    end = max(float(sum(part.sum() for part in pair)) for pair in rows.values()) or 1.0
    factor, unit = unit_of(end)

    def figure() -> Figure:
        made = Figure(figsize=(WIDTH_IN, 2 * (0.8 + 0.4 * len(nodes))), layout="constrained")
        axes = made.subplots(2, 1, sharex=True)
        for axis, (kind, (transfers, calculations)) in zip(axes, rows.items(), strict=True):
            _timeline(axis, found, nodes, transfers / factor, calculations / factor)
            total = found.predicted_s if kind == "predicted" else found.measured_s
            what = "period" if found.pipeline else "delay"
            axis.set_title(f"{kind}: {what} {seconds(total or 0.0, 4)}", loc="left")
        axes[1].set_xlabel(f"time since release [{unit}]")
        axes[1].set_xlim(0, end / factor * 1.01)
        return made

    saved(path, figure)


def _timeline(
    axis: Axes, found: Deployment, nodes: list[str], transfers: Floats, calculations: Floats
) -> None:
    ends = np.cumsum(np.maximum(transfers, 0.0) + calculations)
    for one, transfer, calculation, end in zip(found.stretches, transfers, calculations, ends, strict=True):
        row = nodes.index(one.node)
        start = end - calculation
        if transfer > 0:
            axis.barh(
                row,
                transfer,
                left=start - transfer,
                height=0.34,
                color="white",
                edgecolor=GREY,
                hatch="////",
                lw=0.6,
            )
        if one.first >= 0:
            colour = node_colour(row)
            axis.barh(row, calculation, left=start, height=0.7, color=colour, edgecolor="black", lw=0.6)
            if calculation > 0.03 * ends[-1]:
                x = start + calculation / 2
                axis.text(x, row, one.blocks, ha="center", va="center", fontsize=8, color=ink(colour))
    axis.set_yticks(range(len(nodes)), [drawn(node) for node in nodes])
    axis.set_ylim(len(nodes) - 0.4, -0.6)
    tidy(axis)
