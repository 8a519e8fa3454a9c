"""`mecopt sweep`: the least objective as a function of one figure, and its break-evens."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import common, common_options, printing
from mecopt.errors import InputError

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt.what_if.curves import Curve

UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "J": 1.0, "mJ": 1e-3}
SHARES = ((0.5, "half of the tasks"), (0.95, "95 % of them"), (1.0, "all"))


@click.command(short_help="Turn one figure: rate, speed, deadline, energy, servers or batch.")
@click.argument("instance_file", metavar="INSTANCE")
@click.option(
    "--over",
    metavar="FIGURE",
    required=True,
    help="rate, rate:SERVER, speed:SERVER, speed:device, deadline, energy, servers or batch.",
)
@click.option("--low", "--from", "low", metavar="X", type=float, help="Where the range begins.")
@click.option("--high", "--to", "high", metavar="X", type=float, help="Where it ends.")
@click.option(
    "--points", metavar="N", type=click.IntRange(2, 10_000), default=13, show_default=True, help="Rows."
)
@click.option("--task", metavar="K", type=click.IntRange(0), help="This task alone.")
@click.option("--target", metavar="T", help="Say from where on the objective is at most T, such as 50ms.")
@common_options.solver_options(
    "Where the curve is not exact.", "Seconds for each row, where the curve is not exact.", 10.0
)
@click.option(
    "--gap", metavar="G", type=float, callback=common_options.finite, help="Stop each row at this gap."
)
@common_options.out_option("Write what --json prints to this file.")
@common_options.json_option
@click.option("--plot", metavar="FILE", help="Draw the curve as .png, .svg, .pdf or .html.")
@click.pass_context
def sweep(
    ctx: click.Context,
    instance_file: str,
    over: str,
    low: float | None,
    high: float | None,
    points: int,
    task: int | None,
    target: str | None,
    method: str,
    time_limit: float,
    gap: float | None,
    seed: int,
    threads: int,
    out: str | None,
    as_json: bool,
    plot: str | None,
) -> None:
    """Turn one figure of an instance, and follow the least objective.

    Rates, speeds, deadlines and energy budgets are turned by a factor, 1 for the instance as it is; servers
    is how many of them there are, batch the batch of every task. Where nothing joins the tasks the curve is
    exact.

    Exit status: 3 if nothing is feasible anywhere in the range, 4 if nothing was found.
    """
    common.check_out("--out", out, instance_file)
    common.check_plot(plot, instance_file, out, pages=True)
    wanted = None if target is None else amount("--target", target)
    from mecopt.what_if.sweeping import sweep as run

    instance = common.load_instance(instance_file)
    if target is not None:
        _check_unit(target, instance)
    work = common.working(f"sweeping {printing.plain(instance.name)}")
    with common.naming(instance_file), common.as_typed(range="--from, --to"), work:
        curve = run(
            instance,
            over,
            low,
            high,
            points=points,
            task=task,
            target=wanted,
            method=method,
            time_limit_s=time_limit,
            gap=gap,
            seed=seed,
            threads=threads,
        )
        told = curve.points
    if as_json or out is not None:
        document = {**curve.to_dict(), "target": None if wanted is None else _target(curve, wanted)}
        printing.print_or_write(document, out, as_json)
    if not as_json:
        _show(curve, wanted)
    if out is not None:
        printing.note(f"wrote {out}")
    if plot is not None:
        curve.save_plot(plot)
        printing.note(f"wrote {plot}")
    if all(point.objective is None for point in told):
        ctx.exit(3 if all(point.status == "infeasible" for point in told) else 4)


def _check_unit(target: str, instance: Instance) -> None:
    """Refuse a target in seconds for an objective in joules, and the other way round."""
    from mecopt import objective

    unit, given = objective.unit(instance), target.strip().lstrip("0123456789.eE+- ")
    if given and not given.endswith(unit or " "):
        raise InputError(f"--target {target}: the objective is in {unit or 'weighed seconds and joules'}")


def amount(option: str, text: str) -> float:
    """Read a number with or without a unit."""
    found = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([a-zA-Z]*)\s*", text)
    try:
        if found is None or found[2] not in UNITS:
            raise ValueError
        value = float(found[1]) * UNITS[found[2]]
        if not math.isfinite(value):
            raise ValueError
        return value
    except ValueError:
        units = ", ".join(unit for unit in UNITS if unit)
        raise InputError(f"{option} {text}: expected a finite number >= 0, perhaps with {units}") from None


def _target(curve: Curve, target: float) -> dict[str, Any]:
    needed, enough = curve.reach(target)
    found: dict[str, Any] = {"target": target, "needed": needed, "enough": enough}
    if curve.pieces is not None and curve.instance.task_count > 1:
        found["tasks"] = [{"share": share, "value": _share(curve, target, share)} for share, _ in SHARES]
    return found


def _share(curve: Curve, target: float, share: float) -> float | None:
    """Return the value at which this share of the tasks reaches the target; None where it does not."""
    import numpy as np

    needs = np.nan_to_num(curve.needs(target), nan=np.inf)
    value = float(np.sort(needs)[int(np.ceil(share * len(needs))) - 1])
    return None if np.isinf(value) else value


def figure(curve: Curve, value: float) -> str:
    """Write a value of what was turned, in its own unit too where it has one."""
    natural = curve.knob.natural()
    if curve.knob.whole:
        return f"{value:g}"
    return f"{value:.4g}" + ("" if natural is None else f" ({value * natural[0]:.4g} {natural[1]})")


def worth(curve: Curve, value: float | None) -> str:
    """Write an objective."""
    from mecopt.drawing.timeline import seconds

    if value is None:
        return "-"
    return seconds(value, 6) if curve.unit == "s" else f"{value:.6g} {curve.unit}".rstrip()


def _show(curve: Curve, target: float | None) -> None:
    from mecopt.cli.show import gap_text

    printing.headline(curve.instance)
    rows = [("Over", f"{curve.over}, {curve.low:g} to {curve.high:g}")]
    if curve.pieces is not None:
        rows.append(("Exact", f"everywhere, {printing.counted(len(curve.pieces.task), 'piece')} in all"))
    elif curve.exact:
        rows.append(("Exact", "at every whole number"))
    else:
        rows.append(("Exact", "no: bounds and plans at the rows below, and what follows between them"))
    if curve.feasible_to is not None:
        side = "from {} on" if curve.knob.falls else "up to {}"
        rows.append(("Feasible", side.format(figure(curve, curve.feasible_to))))
    rows += _holds(curve)
    if target is not None:
        rows += _targets(curve, target)
    printing.facts(rows, "bold")
    printing.say("")
    natural = curve.knob.natural()
    heads = ["Value", *([] if natural is None else [natural[1]]), "Objective", "Gap", "Status"]
    table = []
    for point in curve.points:
        own = [] if natural is None else [f"{point.value * natural[0]:.4g}"]
        proved = "-" if point.gap is None else gap_text(point.gap)
        table.append((f"{point.value:.4g}", *own, worth(curve, point.objective), proved, point.status))
    printing.table(heads, table, numbers=len(heads), wraps=())
    if curve.pieces is not None and curve.instance.task_count == 1:
        _show_pieces(curve)


def _show_pieces(curve: Curve) -> None:
    """Print which plan is the best where."""
    from mecopt.drawing.timeline import node_names

    names = node_names(curve.instance, 0)
    rows = []
    for piece in curve.plain_pieces():
        order = [
            names[n]
            for n, before in zip(piece["placement"], [None, *piece["placement"]], strict=False)
            if n != before
        ]
        plan = " > ".join(order) or "left out"
        rows.append(
            (figure(curve, piece["from"]), figure(curve, piece["to"]), plan, _nodes(piece["placement"]))
        )
    printing.say("")
    printing.table(("From", "To", "Order of nodes", "Nodes of the blocks"), rows, numbers=0, wraps=(2, 3))


def _nodes(placement: list[int]) -> str:
    return " ".join(map(str, placement))


def _holds(curve: Curve) -> list[tuple[str, str]]:
    holds = curve.holds
    if holds is None:
        return []
    what = "today's plan stays the best" if curve.instance.task_count == 1 else "no task changes its plan"
    ends = [
        "the whole range" if end == edge else figure(curve, end)
        for end, edge in zip(holds, (curve.low, curve.high), strict=True)
    ]
    if ends[0] == ends[1] == "the whole range":
        return [("Plan", f"{what} in the whole range")]
    low = "" if ends[0] == "the whole range" else f" from {ends[0]}"
    high = " on" if ends[1] == "the whole range" else f" up to {ends[1]}" if not low else f" to {ends[1]}"
    return [("Plan", what + low + high)]


def _targets(curve: Curve, target: float) -> list[tuple[str, str]]:
    needed, enough = curve.reach(target)
    side = "from {} on" if curve.knob.falls else "up to {}"

    def said(value: float | None) -> str:
        return "nowhere in the range" if value is None else side.format(figure(curve, value))

    total = "" if curve.instance.task_count == 1 else " in all"
    here = said(enough) if enough is not None or needed is None else "not by any plan found"
    rows = [(f"{worth(curve, target)}{total}", here)]
    if needed is not None and needed != enough:
        edge = "before" if curve.knob.falls else "beyond"
        rows.append(("", f"and certainly not {edge} {figure(curve, needed)}"))
    if curve.pieces is not None and curve.instance.task_count > 1:
        rows += [
            (f"{worth(curve, target)} for {name}", said(_share(curve, target, share)))
            for share, name in SHARES
        ]
    return rows
