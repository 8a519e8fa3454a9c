"""Pictures for the terminal: which block runs where and when, for one task and for many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from rich.text import Text

from mecopt.arrays import Ints
from mecopt.drawing.timeline import (
    LATE_COLOUR,
    LEFT_OUT,
    Span,
    block_names,
    ink,
    model_name,
    node_colour,
    node_names,
    node_share,
    number,
    outcome,
    phases,
    seconds,
    spans,
    unit_of,
)
from mecopt.judge import Evaluation
from mecopt.text import cells, cut, fit

LARGEST_CODE = 2**62  # of numbers that stand for placements
LONGEST_NAME = 16
LEAST_BAR = 2  # columns for the bars of a task, however narrow the terminal
HEAT_ROWS = 12  # servers shown before the least used are put together
HEAT = ((0xDC, 0xEB, 0xF5), (0x00, 0x5A, 0x96))  # a scale of blues, legible on dark and light terminals


@dataclass(frozen=True)
class Pen:
    """What can be drawn with: the width in columns, colours or none, and box drawing or plain ASCII."""

    width: int = 80
    colour: bool = False
    ascii: bool = False

    @property
    def glyphs(self) -> dict[str, tuple[str, ...]]:
        """The characters of the parts of a picture."""
        marks = ("|-|", "..>", "xx>", "+-+") if self.ascii else ("├─┤", "╌╌▸", "××▸", "└─┴")
        return dict(zip(("calc", "transfer", "missing", "axis"), map(tuple, marks), strict=True))


def task_picture(evaluation: Evaluation, task: int, pen: Pen) -> list[Text]:
    """Draw one task: a row for every node it uses, time from left to right.

    Returns
    -------
    list of Text
        The lines, none of them wider than the pen's width.
    """
    instance = evaluation.instance
    parts, names = spans(evaluation, task), node_names(instance, task)
    title = Text(_title(evaluation, task, pen.width), style="bold")
    if not parts:
        return [title]
    used = sorted({part.node for part in parts})
    label = _label_width(pen, [names[node] for node in used])
    times = {
        node: sum(p.end_s - p.start_s for p in parts if p.node == node and not p.missing) for node in used
    }
    figures = {node: _figure(time, pen) for node, time in times.items()}
    room = max(pen.width - label - 3 - max(map(len, figures.values())) - 1, LEAST_BAR)
    end = parts[-1].end_s or 1.0
    places = _columns(parts, end, room)
    blocks = block_names(instance, task)
    lines = [title]
    for node in used:
        line = Text(f" {fit(names[node], label)} ")
        for part, (first, last) in zip(parts, places, strict=True):
            if part.node == node and last > first:
                line.pad_right(max(label + 2 + first - line.cell_len, 0))
                name = blocks[part.block] if part.kind == "calc" else ""
                line.append_text(_bar(part, name, last - first, pen))
        line.pad_right(label + 2 + room - line.cell_len)
        line.append(" " + figures[node].rjust(pen.width - line.cell_len - 1))
        lines.append(line)
    lines += [Text(" " * (label + 2) + text, style="dim") for text in _axis(end, room, pen)]
    if parts[-1].phase:
        marks = _phase_marks(parts, places, phases(instance, task), room)
        lines.append(Text(" " * (label + 2) + marks, style="dim"))
    return lines


def _phase_marks(
    parts: Sequence[Span], places: Sequence[tuple[int, int]], names: Sequence[str], room: int
) -> str:
    """Write the name of every phase below where it begins, cut where the next one does."""
    starts = [
        next((place[0] for part, place in zip(parts, places, strict=True) if part.phase == p), room)
        for p in range(len(names))
    ]
    ends = [*starts[1:], room + 1]
    each = [
        fit(f"^{name}", last - first)
        for name, first, last in zip(names, starts, ends, strict=True)
        if last > first
    ]
    return " " * starts[0] + "".join(each)


def _label_width(pen: Pen, names: Sequence[str]) -> int:
    """Return the columns that the names of a picture get: a quarter of the width at most."""
    return min(max(map(cells, names)), LONGEST_NAME, pen.width // 4)


def _figure(value: float, pen: Pen) -> str:
    """Write a duration in a third of the width at most, if need be with fewer digits."""
    shown = seconds(value, 4)
    return shown if 3 * len(shown) <= pen.width else seconds(value, 3) if value < 1e4 else f"{value:.0e} s"


def legend(evaluation: Evaluation, tasks: Sequence[int], pen: Pen) -> Text:
    """Explain the marks of the pictures of these tasks."""
    parts = [part for task in tasks for part in spans(evaluation, task)]
    marks = {kind: "".join(glyphs) for kind, glyphs in pen.glyphs.items()}
    text = Text(" ")
    text.append("▏m " if pen.colour else marks["calc"], style="black on #BBBBBB" if pen.colour else "")
    text.append(" calculates")
    if any(part.kind != "calc" and not part.missing for part in parts):
        text.append(f"   {marks['transfer']} receives")
    if any(part.missing for part in parts):
        text.append(f"   {marks['missing']} missing link, or a full server")
    if any(part.late for part in parts):
        text.append("   ! above deadline")
    return text


def share_picture(evaluation: Evaluation, pen: Pen) -> list[Text]:
    """Draw a table of which share of the tasks runs each block on each node, in percent."""
    share, names = _most_used(node_share(evaluation), node_names(evaluation.instance))
    label = _label_width(pen, [*names, "block"])
    groups, cell = _grouped(share.shape[1], pen.width - label - 2)
    head = "".join(_range(group).rjust(cell) for group in groups)
    lines = [Text(f" {'block'.ljust(label)} {head}", style="dim")]
    for name, row in zip(names, share, strict=True):
        line = Text(f" {fit(name, label)} ")
        for group in groups:
            value = float(row[group].mean())
            text = "." if value == 0 else "<1" if value < 0.005 else f"{100 * value:.0f}"
            line.append(text.rjust(cell - 1).rjust(cell), style=_heat(value) if pen.colour and value else "")
        lines.append(line)
    return lines


def _grouped(blocks: int, room: int) -> tuple[list[Ints], int]:
    """Put neighbouring blocks together where columns do not fit; return the groups and their width."""
    cell = 5 if 5 * blocks <= room else 4
    groups = np.array_split(np.arange(blocks), max(min(blocks, room // cell), 1))
    if len(groups) < blocks:
        cell = len(f" {blocks - 2}-{blocks - 1}")
        groups = np.array_split(np.arange(blocks), max(room // cell, 1))
    return groups, cell


def share_sentence(evaluation: Evaluation) -> str:
    """Say which share of the tasks runs on the device alone, on one server alone, or on several nodes."""
    placement = evaluation.placement
    real = placement >= 0
    first = placement[:, :1]
    alone = ((placement == first) | ~real).all(axis=1)
    local = alone & (first[:, 0] == 0)
    remote = alone & ~local & (first[:, 0] > 0)
    total = len(placement)
    counts = (("on the device alone", local.sum()), ("on one server alone", remote.sum()),
              ("on several nodes", (~alone).sum()), (LEFT_OUT, evaluation.dropped.sum()))  # fmt: skip
    return ", ".join(f"{_percent(int(count), total)} {what}" for what, count in counts if count)


def frequent_placements(evaluation: Evaluation, most: int = 5) -> Iterator[tuple[str, str]]:
    """Yield the placements that most tasks share: how many have it, and what runs where."""
    first, counts = _alike(evaluation.placement, evaluation.instance.server_count + 2)
    rows, names = evaluation.placement[first], node_names(evaluation.instance)
    for i in np.argsort(-counts, kind="stable")[:most].tolist():
        nodes = [node for node in rows[i].tolist() if node >= 0]
        yield _percent(int(counts[i]), len(evaluation.placement)), _path(nodes, names)
    if len(counts) > most:
        rest, others = int(np.sort(counts)[:-most].sum()), len(counts) - most
        noun = "placement" if others == 1 else "placements"
        yield _percent(rest, len(evaluation.placement)), f"{others:,} other {noun}"


def _alike(placement: Ints, values: int) -> tuple[Ints, Ints]:
    """Return the first row of every kind, in the order of the kinds, and how many rows there are of each."""
    code = np.zeros(len(placement), dtype=np.int64)  # numbers are sorted in a tenth of the time of rows
    for column in placement.T:
        if code.max() > LARGEST_CODE // values:
            code = np.unique(code, return_inverse=True)[1]
        code = code * values + column + 1
    _, first, counts = np.unique(code, return_index=True, return_counts=True)
    return first, counts


def _path(nodes: Sequence[int], names: Sequence[str]) -> str:
    """Write a placement as its runs of blocks: ``device 0-1, es2 2-5``."""
    parts, start = [], 0
    for node, run in groupby(nodes):
        length = len(list(run))
        parts.append(f"{cut(names[node], LONGEST_NAME)} {_range(range(start, start + length))}")
        start += length
    return ", ".join(parts) or LEFT_OUT


def _columns(parts: Sequence[Span], end: float, width: int) -> list[tuple[int, int]]:
    """Give every span its columns: true to scale, but blocks and results take at least one if all fit."""
    places, free = [], 0
    for part in parts:
        first = max(round(part.start_s / end * width), free)
        free = max(round(part.end_s / end * width), first + (part.kind != "transfer"))
        places.append((first, free))
    limit = width
    for i in range(len(parts) - 1, -1, -1):
        first, last = places[i]
        last = max(min(last, limit), 0)
        first = max(min(first, last - (parts[i].kind != "transfer")), 0)
        places[i] = (first, last)
        limit = first
    return places


def _bar(part: Span, name: str, width: int, pen: Pen) -> Text:
    left, fill, right = pen.glyphs[
        "missing" if part.missing else "transfer" if part.kind != "calc" else "calc"
    ]
    if part.kind != "calc":
        return Text(fill * (width - 1) + right, style="dim" if pen.colour else "")
    mark = "!" if part.late else ""
    room = width - (1 if pen.colour else 2)
    text = next((t for t in (name + mark, f"{part.block}{mark}", mark) if cells(t) <= room), "")
    if pen.colour:
        back = LATE_COLOUR if part.late else node_colour(part.node)
        # The thin line keeps two blocks apart that follow each other on one node.
        return Text("▏" + text + " " * (room - cells(text)), style=f"{ink(back)} on {back}")
    if width == 1:
        return Text(mark or ("|" if pen.ascii else "│"))
    free = room - cells(text)
    return Text(left + fill * (free // 2) + text + fill * (free - free // 2) + right)


def _axis(end: float, width: int, pen: Pen) -> Iterator[str]:
    """Yield the line of the axis and the line of its figures."""
    factor, unit = unit_of(end)
    step = _nice(end / factor / max(width // 14, 1))
    count = int(end / factor / step * (1 + 1e-9))
    ticks = [(round(i * step * factor / end * width), number(i * step)) for i in range(count + 1)]
    corner, fill, tick = pen.glyphs["axis"]
    line = [fill] * (width + 1)
    figures = [" "] * (width + 1)
    for column, text in ticks:
        line[column] = tick
        if len(text) > width + 1:
            continue
        shown = f"{text} {unit}" if column == 0 else text
        start = min(max(column - len(text) // 2, 0), width + 1 - len(text))
        figures[start : start + len(shown)] = shown
    line[0] = corner
    yield "".join(line)
    yield "".join(figures).rstrip()


def _nice(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20 ... (times a power of ten) that is not below `least`."""
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9)))


def _title(evaluation: Evaluation, task: int, width: int) -> str:
    instance = evaluation.instance
    model = model_name(instance, task)
    batch = int(instance.tasks.batch[task])
    worth = outcome(evaluation, task)
    batched = f" x {batch:,}" if batch > 1 else ""
    return cut(f"Task {task} in slot {instance.tasks.slot[task]}: {model}{batched}, {worth}", width)


def _most_used(share: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Put the least used servers together where there are many."""
    if len(share) <= HEAT_ROWS + 1:
        return share, names
    order = np.argsort(-share[1:].sum(axis=1), kind="stable") + 1
    kept = [0, *sorted(order[: HEAT_ROWS - 1].tolist())]
    rest = order[HEAT_ROWS - 1 :]
    together = share[rest].sum(axis=0, keepdims=True)
    return np.concatenate([share[kept], together]), [*(names[n] for n in kept), f"{len(rest)} others"]


def _heat(value: float) -> str:
    low, high = HEAT
    red, green, blue = (round(a + (b - a) * value) for a, b in zip(low, high, strict=True))
    return f"{'white' if value > 0.45 else 'black'} on #{red:02x}{green:02x}{blue:02x}"


def _percent(count: int, total: int) -> str:
    value = 100 * count / total
    shown = "<0.1" if 0 < value < 0.05 else f"{value:.1f}".removesuffix(".0")
    return f"{shown} %"


def _range(blocks: Sequence[int] | np.ndarray) -> str:
    return f"{blocks[0]}" if len(blocks) == 1 else f"{blocks[0]}-{blocks[-1]}"
