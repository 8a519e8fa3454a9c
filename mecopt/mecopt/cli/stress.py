"""`mecopt stress`: how often a plan stays the best under sampled rates, as a plain answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mecopt.cli import common, common_options, printing

if TYPE_CHECKING:
    from mecopt.what_if.survival import Stress


@click.command(short_help="Sample the rates: how often does the plan stay the best?")
@click.argument("instance_file", metavar="INSTANCE")
@click.argument("solution_file", metavar="[SOLUTION]", required=False)
@click.option(
    "--spread",
    metavar="F",
    type=float,
    default=0.2,
    show_default=True,
    callback=common_options.finite,
    help="How far rates are off at most, a fraction.",
)
@click.option(
    "--samples",
    metavar="N",
    type=click.IntRange(1),
    help="Samples.  [default: 1000, 20 where limits join the tasks]",
)
@click.option("--task", metavar="K", type=click.IntRange(0), help="This task alone.")
@common_options.solver_options(
    "Where limits join the tasks.", "Seconds for each sample, where limits join the tasks.", 1.0
)
@common_options.out_option("Write what --json prints to this file.")
@common_options.json_option
@click.option(
    "--plot", metavar="FILE", help="Draw how often which order is the best, as .png, .svg, .pdf or .html."
)
def stress(
    instance_file: str,
    solution_file: str | None,
    spread: float,
    samples: int | None,
    task: int | None,
    method: str,
    time_limit: float,
    seed: int,
    threads: int,
    out: str | None,
    as_json: bool,
    plot: str | None,
) -> None:
    """Say how often a plan's order of nodes stays the best when the rates are not what was thought.

    Of the plan in SOLUTION, or of the optimum. Every sample is solved to its optimum, or where limits join
    the tasks as far as it goes in the time given.

    Exit status: 3 if nothing is feasible at the rates of the instance, 4 if nothing was found in time.
    """
    common.check_out("--out", out, instance_file, solution_file)
    common.check_plot(plot, instance_file, solution_file, out, pages=True)
    from mecopt.what_if.stressing import stress as run
    from mecopt.what_if.sweeping import alone

    instance = common.load_instance(instance_file)
    placement = None
    if solution_file is not None:
        solution, placement = common.load_placement(solution_file, instance)
        common.check_same_instance(solution, instance, solution_file)
    work = common.working(f"sampling {printing.plain(instance.name)}")
    with common.naming(instance_file), common.as_typed(), work:
        if task is not None:
            instance = alone(instance, task)
            placement = None if placement is None else placement[[task]]
        found = run(
            instance,
            placement,
            spread=spread,
            samples=samples,
            method=method,
            time_limit_s=time_limit,
            seed=seed,
            threads=threads,
        )
    printing.print_or_write(found.to_dict(), out, as_json)
    if not as_json:
        _show(found)
    if out is not None:
        printing.note(f"wrote {out}")
    if plot is not None:
        found.save_plot(plot)
        printing.note(f"wrote {plot}")


def _show(found: Stress) -> None:
    from mecopt.drawing.timeline import node_names
    from mecopt.reporting.style import percent

    printing.headline(found.instance)
    names = node_names(found.instance, 0 if found.instance.task_count == 1 else None)
    printing.console().print(f"\n {found.answer}\n")
    rows = [
        (" > ".join(names[n] for n in nodes) or "left out", f"{percent(share)} %")
        for nodes, share in found.orders
    ]
    printing.table(("Order of nodes", "The best in"), rows, numbers=1, wraps=(0,))
