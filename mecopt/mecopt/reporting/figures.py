"""What all charts of a report share.

They are Altair's, and of aggregated data only, so that their size does not grow with the runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mecopt.reporting.style import SHAPES, Look, looks
from mecopt.text import visible

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

MANY_INSTANCES = 60  # above that, a chart with a row for each instance has one for each kind instead
TICKS = [0, 0.0001, 0.001, 0.01, 0.1, 1, 10, 100, 1000, 10000, 100000]  # percent
MARK_SIZE = 2.25  # of marks and keys: Vega scales the outlines by half its root, to 7 pixels
NUMBER = "datum.value >= 1000 ? format(datum.value, ',') : '' + datum.value"


class Names:
    """What the lines, rows and columns of a chart are called.

    Its data hold places in this list, never the names: Vega looks values of data, and whole texts in
    expressions too, up in plain objects, where it finds `constructor` and `__proto__`.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = [visible(text) for text in texts]
        self.places = list(range(len(texts)))

    def at(self, place: str) -> str:
        """Return the expression for the name at a place, which is an expression too."""
        lines = "".join(f"{text}\n" for text in self.texts)
        return f"split({json.dumps(lines)}, '\\n')[{place}]"

    def axis(self, **settings: Any) -> alt.Axis:
        """Return an axis that shows the names."""
        import altair as alt

        return alt.Axis(labelExpr=self.at("datum.value"), **settings)


@dataclass(frozen=True)
class Figure:
    """A chart with the words that go with it.

    Attributes
    ----------
    name : str
        Of the files.
    title, caption, text : str
        Heading, what it shows and how to read it, and what stands in its place for who cannot see it.
    chart : alt.Chart
    min_width : int
        Pixels below which the page lets it scroll sideways.
    key : str
        What marks in it mean, where no legend says so.
    """

    name: str
    title: str
    caption: str
    text: str
    chart: alt.TopLevelMixin
    min_width: int = 0
    key: str = ""


class Charts:
    """What the charts of one comparison have in common: instances, kinds, and how the methods look."""

    def __init__(self, labels: Sequence[str], instances: pd.DataFrame, kinds: dict[str, str]) -> None:
        self.looks: list[Look] = looks(labels)
        self.labels = list(labels)
        self.methods = Names(labels)
        self.places = {label: place for place, label in enumerate(labels)}
        self.kinds = kinds  # SHA-256 -> name of the group
        self.names = dict(zip(instances["instance_sha256"], instances["instance"], strict=True))
        self.instances = instances

    def by_instance(self, cells: pd.DataFrame, means: list[str]) -> tuple[pd.DataFrame, str, Names]:
        """Return the cells with the places of their `method` and `row`, what a row is, and the rows' names.

        A row is an instance, or a kind of instances where they are many.
        """
        cells = cells.assign(method=cells["label"].map(self.places))
        if len(self.names) <= MANY_INSTANCES:
            ran = set(cells["instance_sha256"])
            order = [sha for sha in self.names if sha in ran]
            rows = cells["instance_sha256"].map({sha: place for place, sha in enumerate(order)})
            return cells.assign(row=rows), "instance", Names([self.names[sha] for sha in order])
        kinds = cells["instance_sha256"].map(self.kinds)
        order = kinds.drop_duplicates().tolist()
        cells = cells.assign(row=kinds.map({kind: place for place, kind in enumerate(order)}))
        rules: Any = {name: (name, "mean") for name in means}
        grouped = cells.groupby(["method", "row"], sort=False).agg(
            runs=("runs", "sum"), placed=("placed", "sum"), failure=("failure", "first"), **rules
        )
        return grouped.reset_index(), "kind", Names(order)

    def faded(self, opacity: float = 0.9) -> Any:
        """Return the opacity: that of methods which are not picked in the key of the page is low."""
        import altair as alt

        chosen = f"length(chosen) == 0 || indexof(chosen, {self.methods.at('datum.method')}) >= 0"
        return alt.condition(chosen, alt.value(opacity), alt.value(0.08 * opacity))

    def legend(self, shown: bool) -> alt.Legend | None:
        """Return the legend of the methods, or none."""
        import altair as alt

        names = self.methods.at("datum.value")
        style: Any = {"symbolStrokeWidth": 1.5, "symbolOpacity": 1, "labelLimit": 240}
        style |= {"symbolSize": MARK_SIZE, "symbolOffset": 13, "labelOffset": 16}  # room for the line
        return alt.Legend(title=None, labelExpr=names, **style) if shown else None

    def colour(self, legend: bool) -> alt.Color:
        """Return the colour of the methods."""
        import altair as alt

        scale = alt.Scale(domain=self.methods.places, range=[look.colour for look in self.looks])
        return alt.Color("method:N", scale=scale, legend=self.legend(legend))

    def dash(self, legend: bool) -> alt.StrokeDash:
        """Return the dash pattern of the methods."""
        import altair as alt

        scale = alt.Scale(domain=self.methods.places, range=[look.dash for look in self.looks])
        return alt.StrokeDash("method:N", scale=scale, legend=self.legend(legend))

    def shape(self, legend: bool) -> alt.Shape:
        """Return the shape of the methods."""
        import altair as alt

        # A line goes through each: in the key it bears the dash, elsewhere marks have no stroke to show it.
        paths = [f"M-18,0H18{SHAPES[look.shape]}" for look in self.looks]
        scale = alt.Scale(domain=self.methods.places, range=paths)
        return alt.Shape("method:N", scale=scale, legend=self.legend(legend))


def chosen() -> Any:
    """Return the parameter of the methods that are picked in the key of the page."""
    import altair as alt

    return alt.param(name="chosen", value=[])  # none: all are shown alike


def sized(chart: Any, height: int) -> Any:
    """Return the chart as wide as its place, and that high."""
    return chart.properties(width="container", height=max(height, 40))


def frame(rows: Iterable[tuple[Any, ...]], names: str) -> pd.DataFrame:
    """Return rows as a table."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=names.split())


def data(frame: pd.DataFrame) -> alt.Data:
    """Return a table as CSV inside the chart, a third of the size of JSON records."""
    import altair as alt
    from pandas.api.types import is_numeric_dtype

    kinds: Any = {str(name): "number" if is_numeric_dtype(frame[name]) else "string" for name in frame}
    text = frame.to_csv(index=False, float_format="%.4g", lineterminator="\n")
    return alt.InlineData(values=text, format=alt.CsvDataFormat(type="csv", parse=kinds))


def decades(low: float, high: float) -> list[float]:
    """Return the powers of ten from `low` to `high` and the two next to them."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    return [float(f"1e{power}") for power in range(first, last + 1)]


def slug(text: str) -> str:
    """Return the text as a part of a file name."""
    return "_".join("".join(c if c.isalnum() else " " for c in text).split()).lower()
