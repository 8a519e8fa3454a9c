"""`mecopt pareto`: plans that no other plan beats in delay, energy and price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mecopt.cli import common, common_options, printing
from mecopt.errors import InputError

if TYPE_CHECKING:
    from mecopt.what_if.front import Front

SHOWN = 24  # points that are listed


@click.command(short_help="Weigh delay, energy and price against each other.")
@click.argument("instance_file", metavar="INSTANCE")
@click.option("--axes", metavar="A,B", help="Two or three of delay, energy, price; or delay,period.")
@click.option("--task", metavar="K", type=click.IntRange(0), help="This task alone.")
@click.option(
    "--price-per-s",
    metavar="[SERVER=]P",
    multiple=True,
    help="Money for a second of calculation on a server, or on each; may be repeated.",
)
@click.option(
    "--price-per-bit",
    metavar="[LINK=]P",
    multiple=True,
    help="Money for a bit over a server's radio link, between servers (wired), or over each.",
)
@click.option(
    "--limit", "limits", metavar="AXIS=X", multiple=True, help="Say which plan is the best within X."
)
@click.option(
    "--points",
    metavar="N",
    type=click.IntRange(2, 10_000),
    default=13,
    show_default=True,
    help="Weights that are tried where limits join the tasks.",
)
@common_options.solver_options("For each of these weights.", "Seconds for each of these weights.", 10.0)
@common_options.out_option("Write what --json prints to this file.")
@common_options.json_option
@click.option("--plot", metavar="FILE", help="Draw the front as .png, .svg, .pdf or .html.")
def pareto(
    instance_file: str,
    axes: str | None,
    task: int | None,
    price_per_s: tuple[str, ...],
    price_per_bit: tuple[str, ...],
    limits: tuple[str, ...],
    points: int,
    method: str,
    time_limit: float,
    seed: int,
    threads: int,
    out: str | None,
    as_json: bool,
    plot: str | None,
) -> None:
    """List the plans that no other plan beats in delay, energy and price.

    Prices are those of this command, in any currency. For up to 12 tasks with not too many plans the list is
    complete; else it has the plans that are the best for some weights, and a proved gap to all others. Where
    limits join the tasks, each weight is solved by itself.

    Exit status: 3 if nothing is feasible, 4 if nothing was found in time.
    """
    common.check_out("--out", out, instance_file)
    common.check_plot(plot, instance_file, out, pages=True)
    wanted = _named("--limit", limits)
    from mecopt.what_if.fronts import pareto as run

    instance = common.load_instance(instance_file)
    work = common.working(f"weighing {printing.plain(instance.name)}")
    with common.naming(instance_file), common.as_typed(), work:
        front = run(
            instance,
            None if axes is None else axes.split(","),
            task=task,
            price_per_s=_prices("--price-per-s", price_per_s),
            price_per_bit=_prices("--price-per-bit", price_per_bit),
            points=points,
            method=method,
            time_limit_s=time_limit,
            seed=seed,
            threads=threads,
        )
    with common.as_typed(**{axis: f"--limit {axis}" for axis in wanted}):
        best = front.within(**wanted) if wanted else None
    if as_json or out is not None:
        document = front.to_dict()
        if wanted:
            document["within"] = {"limits": wanted, "point": best}
        printing.print_or_write(document, out, as_json)
    if not as_json:
        _show(front, wanted, best)
    if out is not None:
        printing.note(f"wrote {out}")
    if plot is not None:
        front.save_plot(plot)
        printing.note(f"wrote {plot}")


def _number(option: str, text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"{option} {text}: expected a number") from None


def _prices(option: str, texts: Sequence[str]) -> float | dict[str, float] | None:
    """Read one number for all, or numbers by name."""
    if not texts:
        return None
    if any("=" in text for text in texts):
        return _named(option, texts)
    if len(texts) > 1:
        raise InputError(f"{option} {texts[1]}: expected one number for all, or NAME=NUMBER for each")
    return _number(option, texts[0], texts[0])


def _named(option: str, texts: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        if not equals or not name or name in found:
            raise InputError(f"{option} {text}: expected NAME=NUMBER, each name once")
        found[name] = _number(option, text, value)
    return found


def _worth(axis: str, value: float) -> str:
    from mecopt.drawing.timeline import number, seconds

    if axis in ("delay", "period"):
        return seconds(value, 6)
    return f"{number(value, 6)} J" if axis == "energy" else number(value, 6)


def _show(front: Front, limits: dict[str, float], best: int | None) -> None:
    import numpy as np

    from mecopt.reporting.style import percent

    printing.headline(front.instance)
    count = printing.counted(len(front), "plan")
    how = "all that there are"
    if not front.exact:
        middle = float(np.median(front.gaps))
        how = f"gap to any other at most {percent(front.gap) or 0} %, {percent(middle) or 0} % in the median"
    rows = [("Front", f"{', '.join(front.axes)}: {count}, {how}")]
    for axis, d in zip(front.axes, range(len(front.axes)), strict=True):
        low, high = float(front.points[:, d].min()), float(front.points[:, d].max())
        rows.append((axis.capitalize(), f"{_worth(axis, low)} to {_worth(axis, high)}"))
    if limits:
        within = " and ".join(f"{name} {_worth(name, limit)}" for name, limit in limits.items())
        found = "no plan" if best is None else f"point {best}, " + _point(front, best)
        rows.append((f"Within {within}", found))
    printing.facts(rows, "bold")
    printing.say("")
    few = front.instance.task_count == 1
    heads = ["Point", *(axis.capitalize() for axis in front.axes), *(["Nodes of the blocks"] if few else [])]
    listed = sorted({round(i * (len(front) - 1) / max(SHOWN - 1, 1)) for i in range(SHOWN)})
    table = []
    for p in listed:
        nodes = [" ".join(str(n) for n in front.plan(p)[0].tolist() if n >= 0)] if few else []
        values = [_worth(axis, float(v)) for axis, v in zip(front.axes, front.points[p], strict=True)]
        table.append((str(p), *values, *nodes))
    printing.table(heads, table, numbers=0 if few else len(heads), wraps=(len(heads) - 1,) if few else ())
    if len(listed) < len(front):
        printing.say(f"{len(front) - len(listed):,} plans between these are in --json and to_frame")


def _point(front: Front, point: int) -> str:
    return ", ".join(
        f"{axis} {_worth(axis, float(v))}" for axis, v in zip(front.axes, front.points[point], strict=True)
    )
