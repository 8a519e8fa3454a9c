"""A report made: read the comparison, work out the numbers, draw, and write all files."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError, MissingExtraError
from mecopt.files import write_bytes
from mecopt.text import csv

if TYPE_CHECKING:
    import pandas as pd

    from mecopt.reporting.figures import Charts, Figure
    from mecopt.reporting.numbers import Numbers
    from mecopt.reporting.wanted import Wanted

NEEDED = ("altair", "vl_convert", "itables", "jinja2", "pyarrow")
FIGURE_WIDTH = 640
POINTS = 72  # an inch
KEY_LINE, KEY_LETTER = 44, 4  # points of an entry of the key: its line with the room about it, and a letter
LINES_HIGH = 320  # charts of lines; others are as high as their rows
FOLDER = "report"  # in the folder of the comparison, unless another one is named


@dataclass(frozen=True)
class Made:
    """What was made: the folder, its files, and the numbers for programs."""

    folder: Path
    files: list[str]
    document: dict[str, Any]


def make_report(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    methods: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    columns: int = 1,
    size_in: tuple[float, float] | None = None,
) -> Made:
    """Make the report of a comparison from its store alone.

    Parameters
    ----------
    folder : path
        Folder of the comparison.
    out : path, optional
        Folder for the report, made if it does not exist; `report` in the folder of the comparison by default.
    methods : sequence of str
        The methods to show, in this order; all of them by default. Bounds are those of all runs.
    labels : dict of str to str, optional
        What to call methods instead.
    columns : {1, 2}
        Columns of a 10 pt article that the LaTeX tables take.
    size_in : (float, float), optional
        Width and height of the figures in inches, with letters as in the text of a paper.

    Raises
    ------
    InputError
        If there is no such method, a number is out of range, there is no comparison, none of its runs is
        finished, or nothing can be written to `out`.
    MissingExtraError
        If the extra `report` is not installed.
    """
    if any(find_spec(name) is None for name in NEEDED):
        raise MissingExtraError("a report", "report")
    from mecopt.comparing import Comparison
    from mecopt.reporting.wanted import Wanted

    wanted = Wanted(methods, labels or {}, columns, size_in)
    with Comparison.open(folder) as comparison:
        if comparison.runs.empty:
            raise InputError("no run of the comparison is finished, expected at least one", str(folder))
        target = Path(folder) / FOLDER if out is None else Path(out)
        check_folder(target)
        files, document = contents(comparison, str(folder), wanted)
    write_all(target, files)
    return Made(target, list(files), {"folder": str(target), "files": list(files), **document})


def check_folder(target: Path) -> None:
    """Make the folder of the report, or refuse what cannot be one before any work is done for it.

    Raises
    ------
    InputError
        If it is a file, cannot be made or cannot be written to.
    """
    try:
        if target.exists() and not target.is_dir():
            raise InputError("is a file, expected a folder", str(target))
        target.mkdir(parents=True, exist_ok=True)
        if not os.access(target, os.W_OK | os.X_OK):
            raise InputError("no permission to write in it", str(target))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot be made ({reason})", str(target)) from None


def write_all(target: Path, files: dict[str, bytes]) -> None:
    """Write the files, each whole or not at all."""
    for name, data in files.items():
        check_folder((target / name).parent)
        write_bytes(target / name, data)


def contents(
    comparison: Any, folder: str, wanted: Wanted | None = None
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the files of a report by their names, and the numbers for programs.

    Parameters
    ----------
    comparison : Comparison
        Or anything with its tables and details.
    folder : str
        What the command named, for the line that makes the report again.
    wanted : Wanted, optional
        What is to be shown; everything by default.
    """
    from mecopt.reporting import page
    from mecopt.reporting.figures import Charts
    from mecopt.reporting.latex import latex
    from mecopt.reporting.numbers import Numbers
    from mecopt.reporting.wanted import Wanted

    wanted = wanted or Wanted()
    numbers = Numbers(comparison, wanted)
    charts = Charts(numbers.labels, numbers.instances, numbers.kinds)
    shown = numbers.tables()
    figures = draw(numbers, charts, legend=False)
    html = page.page(comparison, numbers, charts, figures, shown, folder)
    files: dict[str, bytes] = {}
    files["runs.csv"] = csv(comparison.runs)
    files["runs.parquet"] = _parquet(comparison.runs)
    files["instances.csv"] = csv(numbers.instances)
    for table in shown:
        files[f"tables/{table.name}.tex"] = latex(table, wanted.columns).encode()
    for figure in draw(numbers, charts, legend=True):
        files |= _pictures(figure, wanted.size_in, max(map(len, charts.methods.texts)))
    files["index.html"] = html.encode()  # last: a page is there only when all it names is
    return files, numbers.document()


def draw(numbers: Numbers, charts: Charts, *, legend: bool) -> list[Figure]:
    """Return all figures; the page has a key of its own in the place of legends."""
    from mecopt.reporting import line_charts, maps

    runs, cells = numbers.runs, numbers.cells
    return [
        maps.gap_map(charts, cells),
        line_charts.profile(charts, runs, legend=legend),
        *line_charts.solved(charts, runs, numbers.within_s, legend=legend),
        *(
            line_charts.anytime(charts, group, found, numbers.times, legend=legend)
            for group, found in numbers.curves
        ),
        line_charts.size(charts, cells, legend=legend),
        maps.delays(charts, cells, numbers.shared),
        maps.energy(charts, cells, numbers.shared),
        maps.collapse(charts, cells, numbers.top_share),
        maps.triviality(charts),
    ]


def _parquet(frame: pd.DataFrame) -> bytes:
    from pandas.api.types import is_numeric_dtype

    data = io.BytesIO()
    texts = {str(name): frame[name].map(_unicode) for name in frame if not is_numeric_dtype(frame[name])}
    frame.assign(**texts).to_parquet(data, index=False, engine="pyarrow")
    return data.getvalue()


def _unicode(value: Any) -> Any:
    """Return a text without lone surrogates, which Parquet cannot hold; anything else as it is."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _pictures(figure: Figure, size_in: tuple[float, float] | None, longest: int) -> dict[str, bytes]:
    """Return a figure as PNG, SVG and PDF, of that size in all where one is given.

    `longest` is the number of letters of the longest name in the key, for which there has to be room.
    """
    import altair as alt

    # The letters of a map are part of the picture, which goes where there is no caption.
    title = alt.TitleParams(figure.title, subtitle=figure.key or alt.Undefined)
    if size_in is None:
        width = max(FIGURE_WIDTH, figure.min_width)
        return pictures(figure.name, figure.chart.properties(width=width, title=title))
    width, height = (round(POINTS * side) for side in size_in)
    lines = getattr(figure.chart, "height", None) == LINES_HIGH
    fit = alt.AutoSizeParams(type="fit" if lines else "fit-x", contains="padding")
    sizes = {"width": width, "height": height} if lines else {"width": width}
    key = {"title": alt.TitleParams("", subtitle=figure.key)} if figure.key else {}  # a paper has captions
    chart = figure.chart.properties(**sizes, **key, autosize=fit)
    return pictures(figure.name, chart, 4.0, key_columns=max(1, width // (KEY_LINE + KEY_LETTER * longest)))


def pictures(name: str, chart: Any, scale: float = 2.0, key_columns: int = 0) -> dict[str, bytes]:
    """Return an Altair chart as SVG, PNG and PDF on white, by their names in the folder ``figures``.

    With `key_columns` it is for a paper: the key is below, in so many columns.
    """
    import vl_convert

    spec = chart.to_dict()
    # One weight of type: two fonts in a PDF come in an order of their own each time.
    words: dict[str, Any] = {"titleFontWeight": "normal"}
    if key_columns:  # letters of the size of a caption, and little room for the rest
        words |= {"labelFontSize": 7, "titleFontSize": 8}
    below = {"orient": "bottom", "columns": key_columns, "offset": 4, "rowPadding": 1}
    key = below if key_columns else {}
    plain = {"title": {"fontWeight": "normal"}, "axis": words, "legend": words | key}
    options: dict[str, Any] = {"config": {"background": "white", **plain}}
    # Vega numbers gradients through the whole process; a chart has one at most, and the same data is to
    # give the same bytes.
    svg = re.sub(r"gradient_\d+", "gradient_0", vl_convert.vegalite_to_svg(spec, **options))
    return {
        f"figures/{name}.svg": svg.encode(),
        f"figures/{name}.png": vl_convert.svg_to_png(svg, scale=scale),
        f"figures/{name}.pdf": _settled(vl_convert.svg_to_pdf(svg)),
    }


def _settled(pdf: bytes) -> bytes:
    """Return a PDF with the entries of its dictionaries in order; all places in it stay the same."""
    entries = rb"(?<=<<\n)((?: +/\w+ \d+ 0 R\n)+)"
    return re.sub(entries, lambda found: b"".join(sorted(found[1].splitlines(keepends=True))), pdf)
