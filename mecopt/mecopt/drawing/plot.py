"""Timelines as pictures in files: PNG, SVG or PDF, drawn with matplotlib (extra `report`)."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.drawing.timeline import (
    LATE_COLOUR,
    SERVER_COLOURS,
    Span,
    block_names,
    ink,
    model_name,
    node_colour,
    node_names,
    node_share,
    outcome,
    phases,
    seconds,
    slowest_task,
    spans,
    unit_of,
)
from mecopt.errors import InputError, MissingExtraError
from mecopt.files import write_bytes
from mecopt.judge import Evaluation
from mecopt.text import cut, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

SUFFIXES = (".png", ".svg", ".pdf")
FEW_TASKS = 3  # so many are all drawn unasked; more are summed up
MOST_TASKS = 24
WIDTH_IN = 9.0
GREY = "#B8B8B8"
LONGEST_NAME = 32  # columns of a name beside an axis or in a legend


def save_plot(evaluation: Evaluation, path: str | os.PathLike[str], tasks: Sequence[int] = ()) -> None:
    """Write the timeline of some tasks, or a summary of many, whole or not at all.

    Parameters
    ----------
    evaluation : Evaluation
        A judged placement.
    path : path
        Ends in ``.png``, ``.svg`` or ``.pdf``.
    tasks : sequence of int
        The tasks to draw; by default all of up to three, else a summary with the slowest task.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    InputError
        If the file cannot be written, or too many tasks are asked for.
    """
    chosen = _checked(tasks)
    saved(path, lambda: figure_of(evaluation, chosen))


def saved(path: str | os.PathLike[str], figure: Callable[[], Figure]) -> None:
    """Draw a figure in the house's style and write it, whole or not at all."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtraError("--plot", "report") from None
    kind = Path(path).suffix.lower().removeprefix(".")
    if f".{kind}" not in SUFFIXES:
        raise InputError(f"--plot {path}: expected a name that ends in {', '.join(SUFFIXES)}")
    # Without dates and random ids the same placement gives the same bytes; text in an SVG stays text.
    style: Any = {
        "svg.hashsalt": "mecopt",
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.size": 9.0,
        "axes.titlesize": 10.0,
        "savefig.format": kind,
    }
    metadata = {"png": {"Software": "mecopt"}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of an SVG, whose reader has other fonts
        data = io.BytesIO()
        figure().savefig(data, dpi=150, metadata=metadata)
    write_bytes(path, data.getvalue())


def figure_of(evaluation: Evaluation, tasks: Sequence[int] = ()) -> Figure:
    """Return the figure that `save_plot` writes."""
    tasks = _checked(tasks)
    if tasks or evaluation.instance.task_count <= FEW_TASKS:
        return timeline_figure(evaluation, tasks or range(evaluation.instance.task_count))
    return summary_figure(evaluation)


def _checked(tasks: Sequence[int]) -> list[int]:
    """Return each task once, where matplotlib can draw them."""
    tasks = list(dict.fromkeys(tasks))
    if len(tasks) > MOST_TASKS:
        raise InputError(f"--plot: {len(tasks)} tasks, expected at most {MOST_TASKS} in one picture")
    if find_spec("matplotlib") is None:
        raise MissingExtraError("--plot", "report")
    return tasks


def drawn(name: str) -> str:
    """Return a name as it is drawn: cut to size, and characters that the font lacks as escapes."""
    import matplotlib as mpl
    from matplotlib import font_manager

    shown = cut(name, LONGEST_NAME)
    if mpl.rcParams["savefig.format"] == "svg":  # text there stays text
        return shown
    properties = font_manager.FontProperties()
    font = font_manager.get_font(font_manager.findfont(properties))
    return cut("".join(c if font.get_char_index(ord(c)) else escape(c) for c in shown), LONGEST_NAME)


def timeline_figure(evaluation: Evaluation, tasks: Sequence[int]) -> Figure:
    """Return a figure with one timeline below the other, a row for every node that a task uses."""
    from matplotlib.figure import Figure

    rows = [len({part.node for part in spans(evaluation, task)}) for task in tasks]
    heights = [1.0 + 0.42 * count for count in rows]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axis, task in zip(axes, tasks, strict=True):
        draw_task(axis, evaluation, task)
    _legend(figure, evaluation, tasks)
    return figure


def summary_figure(evaluation: Evaluation) -> Figure:
    """Return a figure for many tasks: where each block runs, the delays, and the slowest task's timeline."""
    from matplotlib.figure import Figure

    slowest = slowest_task(evaluation)
    rows = len({part.node for part in spans(evaluation, slowest)})
    figure = Figure(figsize=(WIDTH_IN, 5.4 + 0.35 * rows), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[3.6, 1.6 + 0.35 * rows])
    top, bottom = halves
    left, right = top.subplots(1, 2, width_ratios=[3, 2])
    _draw_shares(left, evaluation)
    _draw_delays(right, evaluation)
    top.suptitle(f"{drawn(evaluation.instance.name)}: {evaluation.instance.task_count:,} tasks", fontsize=11)
    draw_task(bottom.subplots(), evaluation, slowest, "Largest delay: task")
    _legend(bottom, evaluation, [slowest])
    return figure


def draw_task(axis: Axes, evaluation: Evaluation, task: int, title: str = "Task") -> None:
    """Draw the timeline of one task: a row for every node, hatched while it receives."""
    instance = evaluation.instance
    parts, names = spans(evaluation, task), node_names(instance, task)
    used = sorted({part.node for part in parts})
    end = (parts[-1].end_s if parts else 0.0) or 1.0
    factor, unit = unit_of(end)
    blocks = block_names(instance, task)
    for part in parts:
        row, start, length = (
            used.index(part.node),
            part.start_s / factor,
            (part.end_s - part.start_s) / factor,
        )
        if part.kind != "calc":
            colour = LATE_COLOUR if part.missing else GREY
            axis.barh(
                row, length, left=start, height=0.34, color="white", edgecolor=colour, hatch="////", lw=0.6
            )
            continue
        colour = node_colour(part.node)
        edge, thickness = (LATE_COLOUR, 2.0) if part.late else ("black", 0.6)
        axis.barh(row, length, left=start, height=0.7, color=colour, edgecolor=edge, lw=thickness)
        if part.shared_s > 0:
            shared = part.shared_s / factor
            left = start + length - shared
            axis.barh(row, shared, left=left, height=0.7, color="none", edgecolor="black", hatch="...", lw=0)
        name, middle = drawn(blocks[part.block]), start + length / 2
        _label(axis, name, str(part.block), middle, row, length * factor / end, colour)
    if len(starts := _starts(parts)) > 1:
        for name, start in zip(phases(instance, task), starts, strict=False):
            axis.axvline(start / factor, color="black", lw=0.8, ls="--")
            axis.text(start / factor, len(used) - 0.45, f" {drawn(name)}", va="bottom", fontsize=8)
    axis.set_yticks(range(len(used)), [drawn(names[node]) for node in used])
    axis.set_ylim(len(used) - 0.4, -0.6)
    axis.set_xlim(0, end / factor * 1.01)
    axis.set_xlabel(f"time since release [{unit}]")
    tidy(axis)
    model, worth = drawn(model_name(instance, task)), outcome(evaluation, task)
    axis.set_title(f"{title} {task} in slot {instance.tasks.slot[task]}: {model}, {worth}", loc="left")


def _starts(parts: Sequence[Span]) -> list[float]:
    """Return when each phase begins."""
    firsts: dict[int, float] = {}
    for part in parts:
        firsts.setdefault(part.phase, part.start_s)
    return list(firsts.values())


def _label(axis: Axes, name: str, index: str, x: float, y: int, share: float, colour: str) -> None:
    """Write a block's name into its bar, or its number, as far as it fits."""
    room = share * WIDTH_IN * 0.85 * 72 / 5.0  # characters of about 5 points
    text = next((text for text in (name, index) if text and len(text) <= room), "")
    box = {"facecolor": colour, "lw": 0, "pad": 1}  # over the dots of sharing
    axis.text(x, y, text, ha="center", va="center", fontsize=8, color=ink(colour), clip_on=True, bbox=box)


def _draw_shares(axis: Axes, evaluation: Evaluation) -> None:
    from matplotlib.ticker import MaxNLocator

    share, names = node_share(evaluation), node_names(evaluation.instance)
    shown = len(SERVER_COLOURS)
    if len(share) > shown + 1:  # the least used servers share the last colour
        order = np.argsort(-share[1:].sum(axis=1), kind="stable") + 1
        kept, rest = sorted(order[: shown - 1].tolist()), order[shown - 1 :]
        share = np.concatenate([share[[0, *kept]], share[rest].sum(axis=0, keepdims=True)])
        names = [names[0], *(names[n] for n in kept), f"{len(rest)} others"]
    base = np.zeros(share.shape[1])
    for node, row in enumerate(100 * share):
        if row.any():
            colour = node_colour(node)
            axis.bar(
                range(len(row)),
                row,
                bottom=base,
                width=0.85,
                color=colour,
                label=str(node),
                edgecolor="white",
                lw=0.5,
            )
        base += row
    axis.set_xlabel("block")
    axis.set_ylabel("share of the tasks [%]")
    axis.set_ylim(0, 100)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend = axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, reverse=True)
    for text in legend.get_texts():  # a label that begins with an underscore would be left out
        text.set_text(drawn(names[int(text.get_text())]))
    axis.set_title("Where each block runs", loc="left")
    tidy(axis)


def _draw_delays(axis: Axes, evaluation: Evaluation) -> None:
    delays = evaluation.task_delay_s[np.isfinite(evaluation.task_delay_s)]
    factor, unit = unit_of(float(delays.max(initial=0.0)))
    if len(delays):
        low, high = float(delays.min()), float(delays.max())
        # All alike but for rounding: numpy finds no bins in so narrow a range.
        spread = (low, high) if high - low > 1e-9 * high else (low * 0.95, high * 1.05 or 1.0)
        axis.hist(
            delays / factor, bins=40, range=(spread[0] / factor, spread[1] / factor), color=node_colour(1)
        )
        mean = float(delays.mean()) / factor
        axis.axvline(mean, color="black", lw=1.0, ls="--", label=f"mean {seconds(mean * factor, 4)}")
        axis.legend(frameon=False)
    axis.set_xlabel(f"delay of a task [{unit}]")
    axis.set_ylabel("tasks")
    missing = evaluation.instance.task_count - len(delays)
    axis.set_title("Delays" + (f" ({missing} over a missing link left out)" if missing else ""), loc="left")
    tidy(axis)


def _legend(figure: Figure | SubFigure, evaluation: Evaluation, tasks: Sequence[int]) -> None:
    from matplotlib.patches import Patch

    parts = [part for task in tasks for part in spans(evaluation, task)]
    marks = [Patch(facecolor="#DDDDDD", edgecolor="black", lw=0.6, label="calculates")]
    if any(part.kind != "calc" and not part.missing for part in parts):
        marks.append(Patch(facecolor="white", edgecolor=GREY, hatch="////", label="receives"))
    if any(part.shared_s > 0 for part in parts):
        marks.append(Patch(facecolor="#DDDDDD", edgecolor="black", hatch="...", lw=0.6, label="by sharing"))
    if any(part.missing for part in parts):
        label = "missing link (length made up)"
        marks.append(Patch(facecolor="white", edgecolor=LATE_COLOUR, hatch="////", label=label))
    if any(part.late for part in parts):
        marks.append(Patch(facecolor="white", edgecolor=LATE_COLOUR, lw=2.0, label="above its deadline"))
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False)


def tidy(axis: Axes) -> None:
    """Take away what shows nothing."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", color="#E6E6E6", lw=0.6)
    axis.set_axisbelow(True)
