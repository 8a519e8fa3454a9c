"""A report of trainings: learning curves, and what each came to, from the logs and cards in a folder.

Trainings that differ in nothing but their seed are one line: seeds are the unit. Only `log.csv` and
`policy.json` are read, so it takes no learner to make the report.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.encoding import csv_text
from mecopt.errors import InputError, MissingExtraError
from mecopt.files import read_bytes
from mecopt.reporting.build import FOLDER, NEEDED, Made, check_folder, pictures, write_all
from mecopt.reporting.figures import NUMBER, TICKS, Names, data, slug
from mecopt.reporting.latex import latex
from mecopt.reporting.style import looks, percent
from mecopt.reporting.tables import Cell, Table
from mecopt.text import visible

if TYPE_CHECKING:
    import altair as alt

LOG, CARD = "log.csv", "policy.json"
DEEPEST = 4  # folders below the one that is named
MOST = 500  # trainings
CLOSE = 0.01  # the gap whose first crossing is told
WIDTH, HEIGHT = 640, 320
LEAST = 1e-4  # percent; below this, or the least power of ten that there is, the axis of gaps is linear


@dataclass(frozen=True)
class ReportedTraining:
    """One training: its rows, and what its card says of it."""

    place: str  # its folder, within the one that was named
    rows: tuple[dict[str, str], ...]
    card: dict[str, Any]

    @property
    def about(self) -> dict[str, Any]:
        """The part of the card that says how it was trained."""
        found = self.card.get("training")
        return found if isinstance(found, dict) else {}

    @property
    def alike(self) -> str:
        """What trainings have in common that differ only in their seed; one without a card is alone."""
        if not self.card:
            return self.place
        same = {name: self.card.get(name) for name in ("learner", "recipe", "settings", "shape")}
        return json.dumps([same, self.about.get("spec"), self.rows[-1].get("episodes")], sort_keys=True)

    def column(self, name: str) -> np.ndarray:
        """Return a column of the log as numbers, NaN for what is missing."""
        return np.array([_number(row.get(name)) for row in self.rows])


@dataclass(frozen=True)
class Line:
    """Trainings of several seeds, under one name."""

    label: str
    spec: str
    trainings: tuple[ReportedTraining, ...]

    @property
    def gaps(self) -> np.ndarray:
        """Least gap of every seed, NaN where no policy keeps the limits."""
        return np.array([_least(training.column("gap")) for training in self.trainings])

    @property
    def last(self) -> np.ndarray:
        """Gap at the end of every seed."""
        return np.array([training.column("gap")[-1] for training in self.trainings])

    @property
    def crossings(self) -> np.ndarray:
        """Episodes after which every seed was first within `CLOSE`, inf where it never was."""
        found = []
        for training in self.trainings:
            within = np.flatnonzero(training.column("gap") <= CLOSE)
            found.append(training.column("episodes")[within[0]] if within.size else np.inf)
        return np.array(found)


def is_comparison(folder: str) -> bool:
    """Say whether a folder is that of a comparison."""
    from mecopt.comparing.database import FILE

    return (Path(folder) / FILE).exists()


def holds_trainings(folder: str) -> bool:
    """Say whether a folder, or one below it, holds the log of a training."""
    return Path(folder).is_dir() and next(_logs(Path(folder)), None) is not None


def make_trainings_report(
    folder: str, out: str | None = None, *, size_in: tuple[float, float] | None = None
) -> Made:
    """Make the report of all trainings in a folder and below it.

    Parameters
    ----------
    folder : path
        Of one training, of several, or of `mecopt tune`.
    out : path, optional
        Folder for the report; `report` in the folder by default.
    size_in : (float, float), optional
        Width and height of the figures in inches.

    Raises
    ------
    InputError
        If a log is damaged, or nothing can be written to `out`.
    MissingExtraError
        If the extra `report` is not installed.
    """
    if any(find_spec(name) is None for name in NEEDED):
        raise MissingExtraError("a report", "report")
    lines = _lines_in(folder)
    target = Path(folder) / FOLDER if out is None else Path(out)
    check_folder(target)
    found: dict[str, bytes] = {"trainings.csv": _csv(lines)}
    svgs: list[tuple[str, str, str]] = []
    for spec in dict.fromkeys(line.spec for line in lines):
        own = [line for line in lines if line.spec == spec]
        name = f"learning_{slug(spec)[:60] or 'curves'}"
        name = name if f"figures/{name}.svg" not in found else f"{name}_{len(svgs)}"
        drawn = pictures(name, _chart(own, size_in), key_columns=0 if size_in is None else 2)
        found |= drawn
        svgs.append((name, visible(spec), drawn[f"figures/{name}.svg"].decode()))
    table = _table(lines)
    found["tables/trainings.tex"] = latex(table).encode()
    found["index.html"] = _page(lines, table, svgs, folder, list(found)).encode()
    write_all(target, found)
    rows = [_document(line) for line in lines]
    return Made(target, list(found), {"folder": str(target), "files": list(found), "trainings": rows})


def chart_of(folder: str) -> alt.TopLevelMixin:
    """Return the learning curves of the trainings in a folder, if they are on one setting.

    Raises
    ------
    InputError
        If they are on several, there is none, or a log is damaged.
    """
    lines = _lines_in(folder)
    specs = list(dict.fromkeys(line.spec for line in lines))
    if len(specs) != 1:
        named = ", ".join(map(visible, specs)) or "none"
        raise InputError(f"trainings on {named}, expected some on one setting", folder)
    return _chart(lines, None)


def _lines_in(folder: str) -> list[Line]:
    trainings = [_read(Path(folder), log) for log in sorted(_logs(Path(folder)))]
    if len(trainings) > MOST:
        raise InputError(f"{len(trainings)} trainings, expected {MOST} or fewer", folder)
    return _lines(trainings)


def _logs(folder: Path) -> Any:
    """Yield the logs in a folder and below it, not deeper than `DEEPEST`."""
    for depth in range(DEEPEST + 1):
        yield from folder.glob("/".join(["*"] * depth + [LOG]))


def _read(folder: Path, log: Path) -> ReportedTraining:
    try:
        rows = tuple(csv.DictReader(io.StringIO(csv_text(read_bytes(log), str(log)))))
    except csv.Error as error:
        raise InputError(f"no log of a training ({error})", str(log)) from None
    if not rows or not {"episodes", "gap"} <= rows[0].keys():
        raise InputError("no log of a training, expected columns episodes and gap", str(log))
    if not np.isfinite([_number(row["episodes"]) for row in rows]).all():
        raise InputError("episodes: expected a number in every row", str(log))
    card: Any = {}
    beside = log.with_name(CARD)
    if beside.is_file():
        try:
            card = json.loads(read_bytes(beside))
        except (ValueError, RecursionError):
            raise InputError("no JSON, expected the card of a policy", str(beside)) from None
        if not isinstance(card, dict) or not isinstance(card.get("learner"), str):
            raise InputError("expected the card of a policy, an object with its learner", str(beside))
    place = log.parent.relative_to(folder).as_posix()
    return ReportedTraining(place, rows, card)


def _lines(trainings: Sequence[ReportedTraining]) -> list[Line]:
    """Put seeds together, and name each line by what tells it from the others."""
    groups: dict[str, list[ReportedTraining]] = {}
    for training in trainings:
        groups.setdefault(training.alike, []).append(training)
    plain = [str(group[0].card.get("learner") or group[0].place) for group in groups.values()]
    specs = [str(group[0].about.get("spec") or "trainings") for group in groups.values()]
    twice = {
        pair for pair in zip(plain, specs, strict=True) if [*zip(plain, specs, strict=True)].count(pair) > 1
    }
    labels = [
        f"{name} ({group[0].place})" if (name, spec) in twice else name
        for name, spec, group in zip(plain, specs, groups.values(), strict=True)
    ]
    return [
        Line(label, spec, tuple(group))
        for label, spec, group in zip(labels, specs, groups.values(), strict=True)
    ]


def _chart(lines: Sequence[Line], size_in: tuple[float, float] | None) -> alt.TopLevelMixin:
    """Draw the validation gap over the episodes: median of the seeds, least and largest as a band."""
    import altair as alt
    import pandas as pd

    names, styles = Names([line.label for line in lines]), looks([line.label for line in lines])
    rows = [row for place, line in enumerate(lines) for row in _points(place, line)]
    frame = pd.DataFrame(rows, columns=["line", "x", "y", "low", "high"])
    top = 10 ** math.ceil(math.log10(max(float(np.nanmax(frame["high"], initial=1e-3)), 1e-3)))
    positive = frame["low"][frame["low"] > 0]
    least = 10 ** math.floor(math.log10(max(float(positive.min()), LEAST))) if len(positive) else LEAST
    scale = alt.Scale(type="symlog", constant=least, domain=[0, top], nice=False)
    y = alt.Y(
        "y:Q",
        title="validation gap [%]",
        scale=scale,
        axis=alt.Axis(
            values=[t for t in TICKS if t == 0 or least <= t <= top], labelExpr=NUMBER, labelOverlap=True
        ),
    )
    legend = alt.Legend(
        title=None,
        labelExpr=names.at("datum.value"),
        labelLimit=320,
        orient="bottom",
        columns=2,
        symbolType="stroke",
    )
    domain = names.places
    colour = alt.Color(
        "line:N", scale=alt.Scale(domain=domain, range=[look.colour for look in styles]), legend=legend
    )
    dash = alt.StrokeDash(
        "line:N", scale=alt.Scale(domain=domain, range=[look.dash for look in styles]), legend=legend
    )
    base = alt.Chart(data(frame)).encode(x=alt.X("x:Q", title="episodes", axis=alt.Axis(tickMinStep=1)))
    band = base.mark_area(opacity=0.18).encode(
        y=alt.Y("low:Q", scale=scale, title="validation gap [%]"), y2="high:Q", color=colour
    )
    curve = base.mark_line(strokeWidth=2).encode(y=y, color=colour, strokeDash=dash)
    points = base.mark_point(size=24, filled=True).encode(y=y, color=colour)
    width, height = (WIDTH, HEIGHT) if size_in is None else (round(72 * side) for side in size_in)
    several = any(len(line.trainings) > 1 for line in lines)
    chart: Any = alt.layer(*([band] if several else []), curve, points)
    sized: alt.TopLevelMixin = chart.properties(
        width=width, height=height, autosize=alt.AutoSizeParams(type="fit", contains="padding")
    )
    return sized


def _points(place: int, line: Line) -> list[tuple[int, float, float, float, float]]:
    """Return episodes, median, least and largest gap in percent, of the seeds that keep the limits there."""
    found: dict[float, list[float]] = {}
    for training in line.trainings:
        for episodes, gap in zip(training.column("episodes"), training.column("gap"), strict=True):
            if math.isfinite(gap):
                found.setdefault(float(episodes), []).append(100 * max(float(gap), 0.0))
    return [
        (place, episodes, float(np.median(gaps)), min(gaps), max(gaps))
        for episodes, gaps in sorted(found.items())
    ]


HEADS = (
    "Training",
    "Setting",
    "Seeds",
    "Best gap [%]",
    "Last gap [%]",
    "Within 1 % after",
    "Violating",
    "Seconds",
)


def _table(lines: Sequence[Line]) -> Table:
    rows = []
    for line in lines:
        crossed = line.crossings
        times = np.array([training.column("seconds")[-1] for training in line.trainings])
        broken = np.array([training.column("violations")[-1] for training in line.trainings])
        never = int(np.isinf(crossed).sum())
        crossing = "never" if never == len(crossed) else f"{np.median(crossed):,.0f} episodes"
        if 0 < never < len(crossed) and math.isinf(float(np.median(crossed))):
            crossing = "most never"
        rows.append(
            [
                Cell(visible(line.label)),
                Cell(visible(line.spec)),
                Cell(str(len(line.trainings)), len(line.trainings)),
                _spread(line.gaps),
                _spread(line.last),
                Cell(
                    crossing, float(np.median(crossed)), f"{never} never" if 0 < never < len(crossed) else ""
                ),
                Cell(f"{int(np.nansum(broken > 0))} of {len(broken)}", float(np.nansum(broken > 0))),
                Cell(f"{np.nanmedian(times):.3g}" if np.isfinite(times).any() else "", float(times[0])),
            ]
        )
    caption = (
        "Trainings: medians over seeds, small print the least and the largest. The first crossing of 1 % and "
        "the last value are two things; violating are the seeds whose last policy breaks a limit."
    )
    return Table("trainings", caption, HEADS, rows, ("Seconds", "Violating", "Setting"))


def _spread(values: np.ndarray) -> Cell:
    known = values[np.isfinite(values)]
    if not known.size:
        return Cell("none", None)
    middle = float(np.median(known))
    small = f"{percent(float(known.min()))} to {percent(float(known.max()))}" if len(known) > 1 else ""
    return Cell(percent(middle), middle, small)


def _document(line: Line) -> dict[str, Any]:
    def plain(values: np.ndarray) -> list[float | None]:
        return [float(value) if math.isfinite(value) else None for value in values]

    return {
        "label": line.label,
        "spec": line.spec,
        "folders": [training.place for training in line.trainings],
        "seeds": [training.about.get("seed") for training in line.trainings],
        "best_gap": plain(line.gaps),
        "last_gap": plain(line.last),
        "within_1_percent_after_episodes": plain(line.crossings),
    }


def _csv(lines: Sequence[Line]) -> bytes:
    """Return every row of every log, with the line and folder that it belongs to."""
    every = [
        {
            "label": visible(line.label),
            "folder": visible(training.place),
            "seed": training.about.get("seed"),
            **row,
        }
        for line in lines
        for training in line.trainings
        for row in training.rows
    ]
    names = list(dict.fromkeys(str(name) for row in every for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(every)
    return text.getvalue().encode(errors="backslashreplace")


def _page(
    lines: Sequence[Line], table: Table, svgs: Sequence[tuple[str, str, str]], folder: str, names: list[str]
) -> str:
    import jinja2
    import markupsafe

    assets = files("mecopt.reporting") / "assets"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((assets / "trainings.html.jinja").read_text("utf-8"))
    commands = [str(t.about["command"]) for line in lines for t in line.trainings if t.about.get("command")]
    count = sum(len(line.trainings) for line in lines)
    return template.render(
        css=markupsafe.Markup((assets / "page.css").read_text("utf-8")),
        count=count,
        table=table,
        figures=[(name, spec, markupsafe.Markup(svg)) for name, spec, svg in svgs],  # drawn here
        commands="\n".join(map(visible, dict.fromkeys(commands))),
        again=visible(f"mecopt report {shlex.quote(folder)}"),
        files=names,
    )


def _number(text: str | None) -> float:
    try:
        return float(text) if text else float("nan")
    except ValueError:
        return float("nan")


def _least(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.min()) if known.size else float("nan")
