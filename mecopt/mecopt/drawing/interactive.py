"""Pages with one chart to point at and to zoom: curves, fronts, robust plans, samples (extra `report`).

A page is one file that asks no network for anything. Names stand in its data, never in expressions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.drawing.timeline import SERVER_COLOURS, node_names
from mecopt.errors import MissingExtraError
from mecopt.files import write_bytes
from mecopt.text import visible
from mecopt.what_if.price_list import UNITS

if TYPE_CHECKING:
    import pandas as pd

    from mecopt.what_if.curves import Curve
    from mecopt.what_if.front import Front
    from mecopt.what_if.robustness import Robust
    from mecopt.what_if.survival import Stress

SUFFIX = ".html"
LINE = SERVER_COLOURS[4]
FILL = 300  # places at which a curve is drawn
MOST = 5_000  # points of a chart
HEAD = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>mecopt</title></head>
<body>
<div id="chart"></div>
<script>
"""
MIDDLE = """
</script>
<script>
vegaEmbed("#chart", """
TAIL = """, {actions: false});
</script>
</body>
</html>
"""


def curve_page(curve: Curve, path: str) -> None:
    """Write a curve: pointing at it tells value and objective, and the plan of a single task."""
    import pandas as pd

    natural = curve.knob.natural()
    scale, unit = (1.0, "") if natural is None else natural
    points = curve.points
    if curve.pieces is not None:
        at = np.geomspace(curve.low, curve.high, FILL)
        points = curve.told(sorted({*at.tolist(), *(p.value for p in points)}))
    rows = [
        (p.value, p.value * scale, np.nan if p.objective is None else p.objective, p.status) for p in points
    ]
    table = pd.DataFrame(rows, columns=["value", "natural", "objective", "status"]).dropna()
    if curve.pieces is not None and curve.instance.task_count == 1:
        pieces = curve.plain_pieces()
        table["nodes"] = [_nodes_at(pieces, value) for value in table["value"].tolist()]
    x = f"{curve.over} [{unit}]" if unit else curve.over
    y = f"least objective [{curve.unit}]" if curve.unit else "least objective"
    _page(path, curve.instance.name, table, ("natural", x, not curve.knob.whole), ("objective", y), line=True)


def _nodes_at(pieces: list[dict[str, Any]], value: float) -> str:
    for piece in pieces:
        if piece["from"] <= value <= piece["to"]:
            return " ".join(map(str, piece["placement"]))
    return ""


def front_page(front: Front, path: str) -> None:
    """Write a front: a point is a plan."""
    table = front.to_frame()
    step = -(-len(table) // MOST)
    table = table.iloc[::step].reset_index(names="point")
    names = [f"{axis} [{UNITS[axis]}]" if UNITS[axis] else axis for axis in front.axes]
    axes = [(axis, name) for axis, name in zip(front.axes, names, strict=True)]
    third = axes[2] if len(axes) > 2 else None
    _page(path, front.instance.name, table, (*axes[0], False), axes[1], colour=third)


def robust_page(found: Robust, path: str) -> None:
    """Write both plans' worst cases: a point is a task."""
    table = found.to_frame()
    table = table.iloc[:: -(-len(table) // MOST)]
    x, y = "worst case of the nominal plan [s]", "worst case of the robust plan [s]"
    _page(path, found.instance.name, table, ("nominal_worst", x, False), ("robust_worst", y))


def stress_page(found: Stress, path: str) -> None:
    """Write how often each order of nodes is the best."""
    import pandas as pd

    names = node_names(found.instance, 0 if found.instance.task_count == 1 else None)
    rows = [
        (visible(" > ".join(names[n] for n in nodes)) or "left out", 100 * share)
        for nodes, share in found.orders
    ]
    table = pd.DataFrame(rows, columns=["order", "share"])
    x = ("share", "the best in so many samples [%]", False)
    _page(path, found.instance.name, table, x, ("order", ""), bars=True)


def _page(
    path: str,
    title: str,
    table: pd.DataFrame,
    x: tuple[str, str, bool],
    y: tuple[str, str],
    *,
    line: bool = False,
    bars: bool = False,
    colour: tuple[str, str] | None = None,
) -> None:
    """Write a page with one chart of a table; `x` is a column, its title, and whether it goes by ratio."""
    try:
        import altair as alt
        import vl_convert
    except ImportError:
        raise MissingExtraError("--plot", "report") from None
    scale: Any = alt.Scale(type="log" if x[2] else "linear", zero=bars)
    across = alt.X(f"{x[0]}:Q", title=visible(x[1]), scale=scale)
    kind: Any = {"sort": None} if bars else {"scale": alt.Scale(zero=False)}
    up = alt.Y(f"{y[0]}:{'N' if bars else 'Q'}", title=y[1] or None, **kind)
    shown: Any = {"x": across, "y": up, "tooltip": [str(name) for name in table.columns]}
    if colour is not None:
        shown["color"] = alt.Color(f"{colour[0]}:Q", title=colour[1], scale=alt.Scale(scheme="viridis"))
    base: Any = alt.Chart(table).properties(width=720, height=400, title=visible(title))
    mark = base.mark_bar if bars else base.mark_circle
    chart = mark(**({} if colour is not None else {"color": LINE})).encode(**shown)
    if line:
        chart = base.mark_line(color=LINE).encode(x=across, y=up) + chart
    with alt.data_transformers.enable("default", max_rows=None):
        spec = (chart if bars else chart.interactive()).to_json(indent=None)
    libraries: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    bundle = libraries.replace("</script", "<\\/script")
    # What a script element holds cannot end it.
    held = spec.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    write_bytes(path, (HEAD + bundle + MIDDLE + held + TAIL).encode())
