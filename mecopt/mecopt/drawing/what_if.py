"""Pictures of curves, fronts and robust plans: PNG, SVG or PDF, drawn with matplotlib (extra `report`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.drawing import interactive
from mecopt.drawing.plot import GREY, drawn, saved, tidy
from mecopt.drawing.timeline import SERVER_COLOURS, node_names, unit_of
from mecopt.what_if.price_list import UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mecopt.what_if.curves import Curve
    from mecopt.what_if.front import Front
    from mecopt.what_if.robustness import Robust
    from mecopt.what_if.survival import Stress

SIZE_IN = (7.0, 4.0)
LINE = SERVER_COLOURS[4]
FILL = 400  # places at which a curve is drawn
MOST_MARKS = 60  # break-evens that are marked


def _save(path: str, draw: Callable[[Axes], None], page: Callable[[str], None]) -> None:
    """Write a picture, or by its name's ending a page."""
    if str(path).lower().endswith(interactive.SUFFIX):
        page(path)
        return
    from matplotlib.figure import Figure

    def figure() -> Figure:
        made = Figure(figsize=SIZE_IN, layout="constrained")
        draw(made.subplots())
        return made

    saved(path, figure)


def save_curve(curve: Curve, path: str) -> None:
    """Draw a curve: exact, or the plans found above and the bounds below."""
    _save(path, lambda axis: draw_curve(axis, curve), lambda page: interactive.curve_page(curve, page))


def draw_curve(axis: Axes, curve: Curve) -> None:
    """Draw a curve into axes of your own."""
    natural = curve.knob.natural()
    scale = 1.0 if natural is None else natural[0]
    found = [point.objective for point in curve.points if point.objective is not None]
    factor, unit = unit_of(max(found, default=1.0)) if curve.unit == "s" else (1.0, curve.unit)
    if curve.pieces is not None:
        at = np.geomspace(curve.low, curve.high, FILL)
        told = curve.told(at.tolist())
        worth = np.array([np.nan if p.objective is None else p.objective for p in told])
        axis.plot(at * scale, worth / factor, color=LINE, lw=1.8, label="optimum")
        changes = curve.break_evens
        if 0 < len(changes) <= MOST_MARKS:
            marks = [p.objective for p in curve.told(changes)]
            kept = [(x, y) for x, y in zip(changes, marks, strict=True) if y is not None]
            axis.plot(
                [x * scale for x, _ in kept],
                [y / factor for _, y in kept],
                "o",
                color=LINE,
                ms=4,
                label="a plan changes",
            )
    else:
        _draw_points(axis, curve, scale, factor)
    if curve.knob.today is not None and curve.low <= curve.knob.today <= curve.high:
        axis.axvline(curve.knob.today * scale, color=GREY, lw=1.0, ls="--", label="today")
    if not curve.knob.whole:
        log_axis(axis)
    name = curve.over if natural is None else f"{curve.over} [{natural[1]}]"
    factor_only = natural is None and not curve.knob.whole
    axis.set_xlabel(drawn(name) + (", times today's" if factor_only else ""))
    axis.set_ylabel(f"least objective [{unit}]" if unit else "least objective")
    axis.set_title(drawn(curve.instance.name), loc="left")
    axis.legend(frameon=False)
    tidy(axis)


def save_front(front: Front, path: str) -> None:
    """Draw a front: the first axis against the second, the third as colour."""
    _save(path, lambda axis: draw_front(axis, front), lambda page: interactive.front_page(front, page))


def draw_front(axis: Axes, front: Front) -> None:
    """Draw a front into axes of your own."""
    factor, unit = unit_of(float(front.points[:, 0].max())) if front.axes[0] == "delay" else (1.0, "")
    scales = [(factor, unit or UNITS[front.axes[0]]), *((1.0, UNITS[name]) for name in front.axes[1:])]
    columns = [front.points[:, d] / scale for d, (scale, _) in enumerate(scales)]
    names = [f"{name} [{unit}]" if unit else name for name, (_, unit) in zip(front.axes, scales, strict=True)]
    if len(columns) == 3:
        marks = axis.scatter(columns[0], columns[1], c=columns[2], cmap="viridis", s=22)
        axis.figure.colorbar(marks, ax=axis, label=names[2])
    else:
        if front.supported is not None:
            at = front.supported
            axis.plot(columns[0][at], columns[1][at], color=GREY, lw=1.0, label="no plan lies below")
        axis.step(columns[0], columns[1], where="post", color=LINE, lw=0.8)
        few = len(front) <= MOST_MARKS
        axis.plot(columns[0], columns[1], "o", color=LINE, ms=4 if few else 1.5, label="plans")
        axis.legend(frameon=False)
    axis.set_xlabel(names[0])
    axis.set_ylabel(names[1])
    axis.set_title(drawn(front.instance.name), loc="left")
    tidy(axis)


def save_robust(found: Robust, path: str) -> None:
    """Draw what both plans cost every task, as planned and in the worst case."""
    _save(path, lambda axis: draw_robust(axis, found), lambda page: interactive.robust_page(found, page))


def draw_robust(axis: Axes, found: Robust) -> None:
    """Draw the worst cases, tasks in order of the robust plan's, into axes of your own."""
    plans = [
        (name, judged, worst, colour)
        for name, judged, worst, colour in (
            ("nominal", found.nominal, found.nominal_worst, SERVER_COLOURS[3]),
            ("robust", found.plan, found.worst, LINE),
        )
        if judged is not None
    ]
    order = np.argsort(plans[-1][2], kind="stable") if plans else np.zeros(0, dtype=np.int64)
    factor, unit = unit_of(max((float(np.nanmax(worst)) for _, _, worst, _ in plans), default=1.0))
    place = np.arange(len(order)) + 1
    few = len(order) <= MOST_MARKS
    for name, judged, worst, colour in plans:
        style: Any = {"color": colour, "ls": "" if few else "-", "lw": 1.2, "ms": 5}
        marks = ("o", "x") if few else (None, None)
        axis.plot(place, worst[order] / factor, marker=marks[0], label=f"{name}, worst case", **style)
        usual: Any = {**style, "ls": "" if few else ":"}
        at = judged.task_objective_s[order] / factor
        axis.plot(place, at, marker=marks[1], label=f"{name}, as planned", **usual)
    axis.set_xlabel("task, by the worst case")
    axis.set_ylabel(f"objective of a task [{unit}]")
    axis.set_title(f"{drawn(found.instance.name)}: {found.budget} calculations late", loc="left")
    axis.legend(frameon=False)
    tidy(axis)


def save_stress(found: Stress, path: str) -> None:
    """Draw how often which order of nodes is the best."""
    _save(path, lambda axis: draw_stress(axis, found), lambda page: interactive.stress_page(found, page))


def draw_stress(axis: Axes, found: Stress) -> None:
    """Draw a bar for each order of nodes into axes of your own."""
    names = node_names(found.instance, 0 if found.instance.task_count == 1 else None)
    labels = [drawn(" > ".join(names[n] for n in nodes) or "left out") for nodes, _ in found.orders]
    shares = [100 * share for _, share in found.orders]
    axis.barh(range(len(shares)), shares, color=LINE, height=0.7)
    axis.set_yticks(range(len(shares)), labels)
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.set_xlabel("the best in so many of the samples [%]")
    axis.set_title(
        f"{drawn(found.instance.name)}: rates up to {100 * found.spread:g} % off, {found.samples:,} samples",
        loc="left",
    )
    tidy(axis)


def log_axis(axis: Axes) -> None:
    """Give the axis of x a logarithmic scale whose ticks are numbers as people write them."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _draw_points(axis: Axes, curve: Curve, scale: float, factor: float) -> None:
    def line(values: list[float | None]) -> Any:
        return [np.nan if v is None or np.isinf(v) else v / factor for v in values]

    at = [point.value * scale for point in curve.points]
    found, bound = line([p.objective for p in curve.points]), line([p.lower_bound for p in curve.points])
    side: Any = "post" if curve.knob.falls else "pre"
    other: Any = "pre" if curve.knob.falls else "post"
    if not curve.exact:
        axis.step(at, found, where=side, color=LINE, lw=1.2, label="best plan found")
        axis.step(at, bound, where=other, color=GREY, lw=1.2, label="proved bound")
    axis.plot(at, found, "o", color=LINE, ms=4, label="optimum" if curve.exact else None)
