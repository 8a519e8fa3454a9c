"""What a report is to show, and for whom: methods, their labels, and the sizes of a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mecopt.errors import InputError, shown
from mecopt.text import visible

if TYPE_CHECKING:
    import pandas as pd

LEAST_IN, MOST_IN = 1.0, 50.0


@dataclass(frozen=True)
class Wanted:
    """The choices of who makes a report.

    Parameters
    ----------
    methods : sequence of str
        Labels or names of the methods to show, in this order; all of them by default.
    labels : dict of str to str
        What to call them instead.
    columns : {1, 2}
        Columns of an article that the LaTeX tables take.
    size_in : (float, float), optional
        Width and height of the figures in inches; what has a row for each method or instance is as high as it
        has to be.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    methods: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    columns: int = 1
    size_in: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.columns not in (1, 2):
            raise InputError(f"columns: {shown(self.columns)}, expected 1 or 2")
        size = self.size_in
        if size is not None and not (len(size) == 2 and all(LEAST_IN <= side <= MOST_IN for side in size)):
            ends = f"from {LEAST_IN:g} to {MOST_IN:g} inches"
            raise InputError(f"figure size: {shown(size)}, expected width and height {ends}")

    def words(self) -> list[str]:
        """Return these choices as options of `mecopt report`."""
        words = ["--methods", ",".join(self.methods)] if self.methods else []
        for method, label in self.labels.items():
            words += ["--label", f"{method}={label}"]
        words += ["--columns", str(self.columns)] if self.columns != 1 else []
        if self.size_in is not None:
            words += ["--figure-size", "x".join(f"{side:g}" for side in self.size_in)]
        return words

    def of(self, runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """Return the runs to show, under the labels that they are to have, and these labels in order.

        Parameters
        ----------
        runs : DataFrame
            With `label` and `method`.

        Raises
        ------
        InputError
            If there is no such method, or two would be called the same.
        """
        there = runs[["label", "method"]].drop_duplicates()
        names = dict(zip(there["label"], there["method"], strict=True))
        for asked in (*self.methods, *self.labels):
            if asked not in names and asked not in names.values():
                raise InputError(
                    f"method {shown(asked)}: not in this comparison, which has {', '.join(names)}"
                )
        order = [
            label
            for asked in self.methods or names
            for label, method in names.items()
            if asked in (label, method)
        ]
        called = {
            label: visible(self.labels.get(label, self.labels.get(names[label], label)))
            for label in dict.fromkeys(order)
        }
        if len(set(called.values())) < len(called):
            raise InputError(f"labels: two methods would be called the same ({', '.join(called.values())})")
        own = runs[runs["label"].isin(called)]
        if self.methods:  # what follows takes the order of the runs for that of the methods
            places = {label: place for place, label in enumerate(called)}
            own = own.sort_values("label", key=lambda label: label.map(places), kind="stable")
        return own.assign(label=own["label"].map(called)), list(called.values())
