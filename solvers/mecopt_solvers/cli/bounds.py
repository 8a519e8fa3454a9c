"""`mecopt bounds`: what each relaxation proves about an instance, side by side."""

from __future__ import annotations

from typing import Any

import click

from mecopt.cli import common, common_options, printing
from mecopt.cli.solve import EXIT


@click.command(short_help="Compare the lower bounds of an instance.")
@click.argument("instance_file", metavar="INSTANCE")
@click.option(
    "--time-limit",
    metavar="S",
    type=float,
    default=60.0,
    show_default=True,
    callback=common_options.finite,
    help="Seconds for the decomposition.",
)
@click.option("--threads", metavar="N", type=click.IntRange(1), default=1, show_default=True, help="Threads.")
@common_options.json_option
@click.pass_context
def bounds(ctx: click.Context, instance_file: str, time_limit: float, threads: int, as_json: bool) -> None:
    """Compare lower bounds: the trellis, the LP relaxations of both formulations, and the decomposition.

    The flow LP is as good as a bound without branching gets, the paper's assignment variables are much
    weaker; both hold exactly, whatever the LP solver's tolerances. Under the period the first is by busy
    seconds instead. What does not take the instance says so. `-` reads the instance from standard
    input.

    Exit status: 3 if one of them proves that no placement is feasible.
    """
    from mecopt import objective
    from mecopt_solvers.bounds import Bound
    from mecopt_solvers.bounds import bounds as all_bounds

    instance = common.load_instance(instance_file)
    with common.naming(instance_file), common.working(f"bounding {printing.plain(instance.name)}"):
        found = list(all_bounds(instance, time_limit_s=time_limit, threads=threads))
    infeasible = any(bound.remark == "infeasible" for bound in found)
    if as_json:
        printing.emit_json(
            {"instance": instance.name, "sha256": instance.sha256, "bounds": [vars(b) for b in found]}
        )
        ctx.exit(EXIT["infeasible"] if infeasible else 0)
    known = [bound.value for bound in found if bound.value is not None]
    best = max(known, default=0.0)

    def row(bound: Bound) -> tuple[Any, ...]:
        if bound.value is None:
            return bound.name, bound.remark, "", f"{bound.cpu_s:.3f}", f"{bound.wall_s:.3f}"
        below = f"{100 * (best - bound.value) / best:.3g} %" if best > 0 else "0 %"
        below = below if len(known) > 1 else "-"
        return bound.name, f"{bound.value:.9g}", below, f"{bound.cpu_s:.3f}", f"{bound.wall_s:.3f}"

    printing.headline(instance)
    units = {"s": "Seconds", "J": "Joules", "": "Value"}
    heads = ("Bound", units[objective.unit(instance)], "Below the best bound", "CPU s", "Wall s")
    printing.table(heads, map(row, found), numbers=4, wraps=(0,))
    if infeasible:
        from mecopt.cli.show import show_reasons

        show_reasons([reason for bound in found for reason in bound.reasons])
        ctx.exit(EXIT["infeasible"])
