"""Pictures for notebooks and papers, from Python: of a placement, of a comparison, of trainings.

The same that ``mecopt solve --plot`` and ``mecopt report`` write, as objects of the libraries that draw them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mecopt.errors import InputError, MissingExtraError, shown

if TYPE_CHECKING:
    import altair as alt
    from matplotlib.figure import Figure

    from mecopt.comparing import Comparison
    from mecopt.judge import Evaluation
    from mecopt.result import Result


def plot_placement(found: Result | Evaluation, tasks: Iterable[int] = ()) -> Figure:
    """Draw a placement: the timeline of some tasks, or a summary of many.

    Parameters
    ----------
    found : Result or Evaluation
    tasks : iterable of int
        The tasks to draw; by default all of up to three, else a summary with the slowest task.

    Returns
    -------
    matplotlib.figure.Figure
        ``figure.savefig("plan.pdf")`` writes it.

    Raises
    ------
    InputError
        If there is no placement, no such task, or too many are asked for.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import mecopt
    >>> figure = mecopt.plot_placement(mecopt.solve("tiny_paper"))  # doctest: +SKIP
    """
    from mecopt.drawing.plot import figure_of
    from mecopt.judge import Evaluation

    judged = found if isinstance(found, Evaluation) else getattr(found, "evaluation", None)
    if not isinstance(judged, Evaluation):
        raise InputError(f"plot_placement: {shown(found)} has no placement, expected a Result or Evaluation")
    chosen = list(tasks)
    for task in chosen:
        if not 0 <= task < judged.instance.task_count:
            raise InputError(f"task {shown(task)}: expected 0 to {judged.instance.task_count - 1}")
    return figure_of(judged, chosen)


def plot_comparison(
    comparison: Comparison | str | os.PathLike[str], figure: str = "profile_gap"
) -> alt.TopLevelMixin:
    """Draw a figure of a comparison's report.

    Parameters
    ----------
    comparison : Comparison or path
        Or its folder.
    figure : str
        Name of the figure, that of its files in the report: ``profile_gap``, ``gap_map``, ``solved_close``
        and so on.

    Returns
    -------
    altair.TopLevelMixin
        A chart of Altair; ``chart.save("profile.svg")`` writes it.

    Raises
    ------
    InputError
        If there is no such comparison or figure, or no run of it is finished; the text names what there is.
    MissingExtraError
        If the extra ``report`` is not installed.
    """
    from mecopt.reporting.build import NEEDED, draw

    _need(NEEDED)
    from mecopt.comparing import Comparison
    from mecopt.reporting.figures import Charts
    from mecopt.reporting.numbers import Numbers

    if not isinstance(comparison, Comparison):
        with Comparison.open(comparison) as opened:
            return plot_comparison(opened, figure)
    if comparison.runs.empty:
        raise InputError("no run of the comparison is finished, expected at least one")
    numbers = Numbers(comparison)
    drawn = draw(numbers, Charts(numbers.labels, numbers.instances, numbers.kinds), legend=True)
    for one in drawn:
        if one.name == figure:
            unnamed: Any = one.chart
            chart: alt.TopLevelMixin = unnamed.properties(title=one.title)
            return chart
    raise InputError(f"no figure {shown(figure)}; there are {', '.join(one.name for one in drawn)}")


def plot_training(folder: str | os.PathLike[str]) -> alt.TopLevelMixin:
    """Draw the learning curves of all trainings in a folder and below it, of one setting.

    Parameters
    ----------
    folder : path
        ``--out`` of `mecopt train` or `mecopt tune`, or a folder of several.

    Returns
    -------
    altair.TopLevelMixin
        A chart of Altair.

    Raises
    ------
    InputError
        If there is no training, a log is damaged, or the trainings are on several settings.
    MissingExtraError
        If the extra ``report`` is not installed.
    """
    from mecopt.reporting.build import NEEDED
    from mecopt.reporting.trainings import chart_of

    _need(NEEDED)
    return chart_of(os.fspath(folder))


def _need(names: Iterable[str]) -> None:
    if any(find_spec(name) is None for name in names):
        raise MissingExtraError("a picture of a report", "report")
