"""The figures: curves with bands over seeds, one look for each scheme throughout, as SVG and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from mecopt.reporting import figures as fg
from mecopt.reporting.build import pictures
from mecopt.reporting.style import COLOURS, DASHES, Look, looks
from mecopt_rl.reproduce import experiments as ex
from mecopt_rl.reproduce.results import BEST_OTHER, Results

if TYPE_CHECKING:
    import pandas as pd

NAMES = {ex.OPTIMUM: "optimum"}
BLUE, ORANGE, GREEN, PINK, SKY, RED, GREY = COLOURS
SOLID, DASHED, DOTTED = DASHES[:3]
# Learners of the paper are solid lines with circles, its other schemes squares; what it does not have is
# dashed, the recipe as printed dotted in the colour of its learner. Black is the optimum: these are on white.
LOOKS = {
    look.label: look
    for look in (
        Look(ex.OURS, BLUE, SOLID, "circle"),
        Look("a3c", ORANGE, SOLID, "circle"),
        Look("dqn", GREEN, SOLID, "circle"),
        Look("greedy", PINK, SOLID, "square"),
        Look("apdi", SKY, SOLID, "square"),
        Look("rpdi", RED, SOLID, "square"),
        Look("markov-a3c", BLUE, DASHED, "diamond"),
        Look(ex.ANY_SIZE, RED, DASHED, "triangle-up"),
        Look(BEST_OTHER, GREY, DASHED, "triangle-down"),
        Look("optimum", "#000000", DASHED, "cross"),
        Look(f"{ex.OURS}, as printed", BLUE, DOTTED, "circle"),
        Look("a3c, as printed", ORANGE, DOTTED, "circle"),
        Look("dqn, as printed", GREEN, DOTTED, "circle"),
    )
}
METRICS = {
    "total_delay_s": "total delay [s]",
    "edge_delay_s": "edge delay [s]",
    "local_delay_s": "local delay [s]",
    "excess": "above the optimum [%]",
    "energy_j": "energy [J]",
}
WIDTH, HEIGHT, PADDING = 300, 210, 5
SCALE = 1.25  # of the bitmaps
WIDER = 0.45  # by which a line is wider than the one that is drawn over it
DEEPEST = 1.5  # reward that the panel of Fig. 6 reaches down to, in optima


def draw(results: Results) -> dict[str, bytes]:
    """Return every figure in each of its settings by the name of its file."""
    found: dict[str, bytes] = {}
    for name in results.names:
        for setting in ex.settings(name, results.budget):
            chart = MAKERS.get(name, _delays)(results, name, setting)
            title = {"text": _title(name, setting), "subtitle": not_run(results, name, setting)}
            titled = chart.properties(title=title).configure(aria=False)
            for file, data in pictures(f"{name}_{setting}", titled, scale=SCALE).items():
                found[file] = _few_colours(data) if file.endswith(".png") else data
    return found


def _few_colours(png: bytes) -> bytes:
    """Return a bitmap with a palette, an eighth of the size: these have few colours."""
    from io import BytesIO

    from PIL import Image

    small = BytesIO()
    with Image.open(BytesIO(png)) as picture:
        flat = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        flat.save(small, "PNG", optimize=True)
    return small.getvalue()


def _title(name: str, setting: str) -> str:
    return f"{name.replace('fig', 'Fig. ')}, {ex.FIGURES[name].title} ({setting})"


def not_run(results: Results, figure: str, setting: str) -> list[str]:
    """Return which learners of a figure were not run in all of its places, and where, a line each."""
    own = results.rows[(results.rows["figure"] == figure) & (results.rows["setting"] == setting)]
    found = []
    for learner in ex.FIGURES[figure].learners:
        if learner not in (ex.OURS, *ex.SLOW) or own.empty or (figure, setting) in results.courses:
            continue
        missing = []
        for sweep, rows in own.groupby("sweep", sort=False):
            ran = set(rows.loc[rows["scheme"] == learner, "x"])
            left = [f"{x:g}" for x in sorted(set(rows["x"]) - ran)]
            if left:
                missing.append(
                    f"{ex.sweeps(results.budget)[str(sweep)].label} {', '.join(left) if ran else '(all)'}"
                )
        if missing:
            found.append(f"not run: {learner} at {'; '.join(missing)}")
    return found


def bands(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return mean, least and greatest over seeds of column `y`."""
    return table.groupby(list(keys), sort=False)["y"].agg(y="mean", low="min", high="max").reset_index()


def looks_of(names: Sequence[str]) -> list[Look]:
    """Return the looks of schemes in the order of the legend; others get what is free."""
    shown = [name for name in LOOKS if name in names]
    return [LOOKS[name] for name in shown] + looks([name for name in names if name not in LOOKS])


def panel(
    table: pd.DataFrame,
    x: str,
    y: str,
    own: Sequence[Look],
    *,
    symlog: float | None = None,
    whole: bool = False,
    zero: bool = False,
    within: tuple[float, float] | None = None,
) -> Any:
    """Return a chart of curves with bands.

    Parameters
    ----------
    table : DataFrame
        Columns x, y, low, high, scheme.
    x, y : str
        Titles of the axes.
    own : sequence of Look
        Of the schemes of the figure, the same for all its panels.
    symlog : float, optional
        Makes the vertical axis logarithmic, and where there are zeros linear below this value.
    whole : bool
        Label every x that occurs.
    zero : bool
        Let a linear vertical axis begin at 0.
    within : (float, float), optional
        Ends of the vertical axis; what is outside is cut off.
    """
    import altair as alt

    shown = [look.label for look in own]
    # Where lines coincide, the first ones look out from under those drawn over them.
    table = table.sort_values("scheme", key=lambda names: names.map(shown.index), kind="stable")
    widths = [1.6 + WIDER * (len(shown) - 1 - place) for place in range(len(shown))]
    legend = alt.Legend(title=None, labelLimit=240, symbolStrokeWidth=2, symbolOpacity=1, columns=1)

    def scale(values: list[Any]) -> Any:
        return alt.Scale(type="ordinal", domain=shown, range=values)

    values: Any = alt.Undefined
    if symlog is None:
        scaling = alt.Scale(zero=zero, nice=True, domain=alt.Undefined if within is None else list(within))
    elif table["low"].min() > 0:
        scaling = alt.Scale(type="log", nice=False, padding=PADDING)
        values = [step * power for power in fg.decades(1e-3, 1e7) for step in (1, 2, 5)]
    else:
        scaling = alt.Scale(type="symlog", constant=symlog, nice=False, padding=PADDING)
        values = [0, *fg.decades(1e-3, 1e7)]
    axis = alt.Axis(tickCount=6, values=values, labelExpr=fg.NUMBER, labelOverlap=True)
    xs = sorted(table["x"].unique())
    base = alt.Chart(fg.data(table)).encode(
        x=alt.X("x:Q", title=x, scale=alt.Scale(zero=False, padding=8),
                axis=alt.Axis(values=xs if whole else alt.Undefined, labelExpr=fg.NUMBER, labelOverlap=True)),
        color=alt.Color("scheme:N", scale=scale([o.colour for o in own]), legend=legend),
    )  # fmt: skip
    area = base.mark_area(opacity=0.16, clip=within is not None).encode(
        y=alt.Y("low:Q", scale=scaling), y2="high:Q"
    )
    line = base.mark_line(clip=within is not None).encode(
        strokeWidth=alt.StrokeWidth("scheme:N", scale=scale(widths), legend=None),
        y=alt.Y("y:Q", title=y, scale=scaling, axis=axis),
        strokeDash=alt.StrokeDash("scheme:N", scale=scale([o.dash for o in own]), legend=legend),
    )
    marks = base.mark_point(filled=True, opacity=0.9, clip=within is not None).encode(
        size=alt.Size("scheme:N", scale=scale([24 * width for width in widths]), legend=None),
        y=alt.Y("y:Q", scale=scaling),
        shape=alt.Shape("scheme:N", scale=scale([o.shape for o in own]), legend=legend),
    )
    return alt.layer(area, line, marks).properties(width=WIDTH, height=HEIGHT)


def grid(
    panels: Sequence[Any], columns: int = 2, *, legends: Literal["shared", "independent"] = "shared"
) -> Any:
    """Return panels side by side, with one legend or each with its own."""
    import altair as alt

    resolve = alt.Resolve(scale=dict.fromkeys(("color", "shape", "strokeDash"), legends))
    rows = [alt.hconcat(*panels[i : i + columns], resolve=resolve) for i in range(0, len(panels), columns)]
    return alt.vconcat(*rows, resolve=resolve)


def points(results: Results, figure: str, setting: str, sweep: str, column: str) -> pd.DataFrame:
    """Return what a panel shows of the table: one row for each scheme and place."""
    rows = results.rows
    own = rows[(rows["figure"] == figure) & (rows["setting"] == setting) & (rows["sweep"] == sweep)]
    own = own[~own["scheme"].isin(ex.OTHER_BASELINES)]
    factor = 100.0 if column == "excess" else 1.0
    own = own.assign(scheme=own["scheme"].replace(NAMES), y=factor * own[column])
    return bands(own, ["scheme", "x"])


def _delays(results: Results, figure: str, setting: str) -> Any:
    """Total, edge and local delay, and what lies above the optimum."""
    (sweep,) = ex.FIGURES[figure].sweeps
    panels = []
    for column in ("total_delay_s", "edge_delay_s", "local_delay_s", "excess"):
        table = points(results, figure, setting, sweep, column)
        symlog = 0.01 if column == "excess" else _spread(table)
        own = looks_of(list(table["scheme"].unique()))
        panels.append(
            panel(
                table,
                ex.sweeps(results.budget)[sweep].label,
                METRICS[column],
                own,
                symlog=symlog,
                whole=True,
                zero=True,
            )
        )
    return grid(panels)


def _spread(table: pd.DataFrame) -> float | None:
    """Return the constant of a logarithmic axis where values differ too much for a linear one."""
    positive = table["y"][table["y"] > 0]
    if positive.empty or table["y"].max() < 8 * table["y"].median():
        return None
    return float(positive.min())


def _energy(results: Results, figure: str, setting: str) -> Any:
    panels = []
    for sweep in ex.FIGURES[figure].sweeps:
        table = points(results, figure, setting, sweep, "energy_j")
        label, own = ex.sweeps(results.budget)[sweep].label, looks_of(list(table["scheme"].unique()))
        panels.append(
            panel(table, label, METRICS["energy_j"], own, symlog=_spread(table), whole=True, zero=True)
        )
    return grid(panels)


def _convergence(results: Results, figure: str, setting: str) -> Any:
    """Reward per episode of the learners at every validation, and of what does not learn."""
    import pandas as pd

    shown = results.courses[figure, setting]["convergence"]
    rows = list(_curve_rows(shown))
    last = max(row[1] for row in rows)
    first = min(row[1] for row in rows)
    scale = ex.REWARD_SLOTS / results.budget.slots
    optimum = results.series(figure, setting, ex.OPTIMUM, "objective")[1][0]
    for scheme in (*ex.PAPER_BASELINES, ex.OPTIMUM, BEST_OTHER, ex.ANY_SIZE):
        cost = results.series(figure, setting, scheme, "objective")[1][0]
        label = NAMES.get(scheme, scheme)
        # Other instances than those of validation: what each costs above their optimum is carried over.
        rows += [
            (label, x, -scale * c, c / o - 1)
            for x in (first, last)
            for c, o in zip(cost, optimum, strict=True)
        ]
    table = pd.DataFrame(rows, columns=["scheme", "x", "reward", "gap"])
    reward = bands(table.assign(y=table["reward"]), ["scheme", "x"])
    gap = bands(table.assign(y=100 * table["gap"].clip(lower=0)), ["scheme", "x"])
    own = looks_of(list(reward["scheme"].unique()))
    least = scale * float(optimum.mean())
    within = (-DEEPEST * least, -0.97 * least)
    return grid(
        [
            panel(reward, "episodes", "reward per 600 slots", own, within=within),
            panel(gap, "episodes", "above the optimum [%]", own, symlog=0.01),
        ]
    )


def _curve_rows(shown: dict[str, list[Any]]) -> Any:
    for label, courses in shown.items():
        for course in courses:
            for x, reward, gap in zip(course.episodes, course.reward, course.gap, strict=True):
                yield label, x, reward, gap


def _settings_of_training(results: Results, figure: str, setting: str) -> Any:
    """What the gap does over a training with other learning rates, workers, batch sizes."""
    import pandas as pd

    panels = []
    for part, shown in results.courses[figure, setting].items():
        table = pd.DataFrame(_curve_rows(shown), columns=["scheme", "x", "reward", "gap"])
        table["scheme"] = f"{part} " + table["scheme"]
        rewards = bands(table.assign(y=table["reward"]), ["scheme", "x"])
        own = looks_of(list(rewards["scheme"].unique()))
        panels.append(panel(rewards, "episodes", "reward per 600 slots", own))
    return grid(panels, legends="independent")


def _links(results: Results, figure: str, setting: str) -> Any:
    """Total delay of four networks: ours and the optimum."""
    import pandas as pd

    parts, own = [], []
    for network, colour in zip(ex.networks(setting, results.budget), COLOURS, strict=False):
        for scheme, dash, shape in ((ex.OURS, SOLID, "circle"), (ex.OPTIMUM, DASHED, "cross")):
            label = ", ".join(filter(None, (network.partition("-")[0], NAMES.get(scheme, scheme))))
            # Black, as everywhere: in the colour of the network it would not be seen on its line.
            own.append(Look(label, LOOKS["optimum"].colour if scheme == ex.OPTIMUM else colour, dash, shape))
            xs, values = results.series(figure, setting, scheme, "total_delay_s", "link", network)
            parts += [(own[-1].label, x, value) for x, row in zip(xs, values, strict=True) for value in row]
    table = pd.DataFrame(parts, columns=["scheme", "x", "y"])
    table = bands(table, ["scheme", "x"])
    label = ex.sweeps(results.budget)["link"].label
    return grid(
        [panel(table, label, METRICS["total_delay_s"], own, symlog=_spread(table), whole=True, zero=True)]
    )


MAKERS = {"fig6": _convergence, "fig7": _settings_of_training, "fig11": _energy, "fig13": _links}
