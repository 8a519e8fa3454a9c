"""`mecopt robust`: the plan of least worst case, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mecopt.cli import common, common_options, printing

if TYPE_CHECKING:
    from mecopt.what_if.robustness import Robust

SHOWN = 10  # tasks whose plans are listed


@click.command(short_help="Plan for calculations that take longer than planned.")
@click.argument("instance_file", metavar="INSTANCE")
@click.option(
    "--budget",
    metavar="G",
    type=click.IntRange(0),
    required=True,
    help="How many calculations of each task may take longer.",
)
@common_options.out_option("Write what --json prints to this file.")
@common_options.json_option
@click.option("--plot", metavar="FILE", help="Draw both plans' worst cases as .png, .svg, .pdf or .html.")
@click.pass_context
def robust(
    ctx: click.Context, instance_file: str, budget: int, out: str | None, as_json: bool, plot: str | None
) -> None:
    """Find the plan whose worst case is the least when at most G calculations of each task take longer.

    A calculation on a node takes up to 1 + calc_spread times as long. Proved: no plan has a smaller worst
    case.

    Exit status: 3 if no plan keeps every deadline in every case.
    """
    common.check_out("--out", out, instance_file)
    common.check_plot(plot, instance_file, out, pages=True)
    from mecopt.what_if.robustness import robust as run
    from mecopt.what_if.robustness import spreads

    instance = common.load_instance(instance_file)
    with common.naming(instance_file), common.working(f"planning {printing.plain(instance.name)}"):
        found = run(instance, budget)
    if budget and not spreads(instance).any():
        printing.note("no node has a calc_spread, so nothing takes longer")
    printing.print_or_write(found.to_dict(), out, as_json)
    if not as_json:
        _show(found)
    if out is not None:
        printing.note(f"wrote {out}")
    if plot is not None:
        found.save_plot(plot)
        printing.note(f"wrote {plot}")
    if found.status == "infeasible":
        ctx.exit(3)


def _show(found: Robust) -> None:
    from mecopt.drawing.timeline import seconds
    from mecopt.reporting.style import percent

    printing.headline(found.instance)

    def worth(value: float | None) -> str:
        return "none" if value is None else seconds(value, 6)

    nominal = None if found.nominal is None else found.nominal.objective
    plan = None if found.plan is None else found.plan.objective
    rows = [
        ("Budget", f"{printing.counted(found.budget, 'calculation')} of each task may take longer"),
        ("Nominal plan", f"{worth(nominal)}, in the worst case {worth(found.nominal_objective)}"),
        ("Robust plan", f"{worth(plan)}, in the worst case {worth(found.objective)}: proved the least"),
    ]
    if found.plan is None:
        rows[2] = ("Robust plan", f"none: {_tasks(found.unserved.tolist())} cannot be served in every case")
    if found.price is not None and found.nominal_objective and found.objective is not None:
        saved = (found.nominal_objective - found.objective) / found.nominal_objective
        changed = printing.counted(int(found.changed.sum()), "task")
        rows.append(("Cost", f"{percent(found.price) or 0} % more when nothing takes longer, for {changed}"))
        rows.append(("Gain", f"{percent(max(saved, 0.0)) or 0} % less in the worst case"))
    if len(found.late):
        rows.append(("Late", f"the nominal plan may break a deadline of {_tasks(found.late.tolist())}"))
    printing.facts(rows, "bold")
    if found.plan is not None and found.changed.any():
        _show_changes(found)


def _tasks(tasks: list[int]) -> str:
    shown = ", ".join(map(str, tasks[:SHOWN]))
    return (
        f"task {shown}"
        if len(tasks) == 1
        else f"{len(tasks):,} tasks ({shown}{', ...' * (len(tasks) > SHOWN)})"
    )


def _show_changes(found: Robust) -> None:
    from mecopt.drawing.timeline import seconds

    assert found.plan is not None
    assert found.nominal is not None
    rows = []
    tasks = found.changed.nonzero()[0].tolist()
    gains = (found.nominal_worst - found.worst).tolist()
    for task in sorted(tasks, key=lambda k: -gains[k])[:SHOWN]:
        plans = [
            " ".join(str(n) for n in judged.placement[task].tolist() if n >= 0) or "left out"
            for judged in (found.nominal, found.plan)
        ]
        worst = [seconds(float(each[task]), 5) for each in (found.nominal_worst, found.worst)]
        rows.append((str(task), *plans, *worst))
    printing.say("")
    heads = ("Task", "Nominal nodes", "Robust nodes", "Nominal worst", "Robust worst")
    printing.table(heads, rows, numbers=2, wraps=(1, 2))
    if len(tasks) > SHOWN:
        printing.say(f"and {len(tasks) - SHOWN:,} more")
