"""Options that several commands have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
)


def engine_options(text: str) -> Callable[[Decorated], Decorated]:
    """Return the options ``--engine`` and ``--address``."""

    def options(command: Decorated) -> Decorated:
        address = click.option("--address", metavar="A", help="Address of a Ray cluster, HOST:PORT.")
        choice = click.Choice(["local", "ray"])
        engine = click.option("--engine", type=choice, default="local", show_default=True, help=text)
        return engine(address(command))

    return options


def out_option(text: str) -> Callable[[Decorated], Decorated]:
    """Return the option ``--out FILE``."""
    return click.option("--out", metavar="FILE", help=text)


def plot_options(command: Decorated) -> Decorated:
    """Add ``--plot`` and ``--task``, which say what is drawn."""
    task = click.option(
        "--task", "tasks", metavar="K", type=int, multiple=True, help="Draw this task; may be repeated."
    )
    plot = click.option("--plot", metavar="FILE", help="Write a timeline as .png, .svg or .pdf.")
    return plot(task(command))


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Refuse a number that is not finite or below 0."""
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise click.BadParameter(f"{value:g}, expected a finite number >= 0", ctx, param)
    return value


def solver_options(method: str, limit: str, limit_s: float) -> Callable[[Decorated], Decorated]:
    """Return the options of commands that solve on the way: method, time limit, seed and threads.

    Parameters
    ----------
    method, limit : str
        What the first two are for.
    limit_s : float
        The default limit.
    """

    def options(command: Decorated) -> Decorated:
        threads = click.option(
            "--threads", metavar="N", type=click.IntRange(1), default=1, show_default=True, help="Threads."
        )
        seed = click.option(
            "--seed", metavar="N", type=click.IntRange(0), default=0, show_default=True, help="Random seed."
        )
        time_limit = click.option(
            "--time-limit",
            metavar="S",
            type=float,
            default=limit_s,
            show_default=True,
            callback=finite,
            help=limit,
        )
        chosen = click.option("--method", metavar="M", default="auto", show_default=True, help=method)
        return chosen(time_limit(seed(threads(command))))

    return options
