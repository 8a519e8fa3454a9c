"""`mecopt simulate`: tasks arrive one by one, and rules decide with what they see of the servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import INTERRUPTED, common, common_options, printing
from mecopt.cli.common_options import Decorated

if TYPE_CHECKING:
    from mecopt.simulation import Simulation

NONE = "-"


def setting_options(command: Decorated) -> Decorated:
    """Add the options that say how tasks arrive, how servers serve, and how old what is seen is."""
    for option in reversed(
        (
            click.option(
                "--load", metavar="L", type=float, help="Share of what the servers can bear.  [default: 0.7]"
            ),
            click.option("--rate", metavar="R", type=float, help="Tasks a second, in place of a load."),
            click.option(
                "--arrivals",
                metavar="KIND",
                default="poisson",
                show_default=True,
                help="poisson, bursty, heavy (sizes), both, or trace:FILE.",
            ),
            click.option(
                "--staleness",
                metavar="D",
                type=float,
                default=0.0,
                show_default=True,
                help="Age of what is seen, in slots.",
            ),
            click.option(
                "--discipline",
                type=click.Choice(["fifo", "ps"]),
                default="fifo",
                show_default=True,
                help="How servers serve: one after the other, or all at once.",
            ),
        )
    ):
        command = option(command)
    return command


@click.command(short_help="Let tasks arrive one by one, and see what rules make of it.")
@click.argument("instance", metavar="INSTANCE|SPEC")
@click.option(
    "--policy",
    metavar="A,B,C",
    required=True,
    help="Rules, by name or file.py:NAME; all meet the same tasks.",
)
@setting_options
@click.option("--tasks", metavar="T", type=int, help="Arrivals of a run.  [default: 200000, or the trace]")
@click.option("--seeds", metavar="N", type=int, default=1, show_default=True, help="Seeds 0 to N-1.")
@click.option("--out", metavar="DIR", help="Folder of the runs; an unfinished one goes on.")
@common_options.json_option
@click.pass_context
def simulate(
    ctx: click.Context,
    instance: str,
    policy: str,
    load: float | None,
    rate: float | None,
    arrivals: str,
    staleness: float,
    discipline: str,
    tasks: int | None,
    seeds: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Simulate tasks that arrive one by one in continuous time, each like a task of the instance.

    Rules are nominal, least-work, power-of-two, selfish, selfish-flight, static-price, price-value,
    price-tuned, price-tuned-p99, price-told, mirror-descent, those of other packages, or file.py:NAME: a
    function of what is seen that returns a node for every block. Regret is to a bound that no policy gets
    below on the same tasks (docs/online.md).

    Every run is kept in DIR as soon as it is finished. Given again, the same command goes on where it
    stopped and repeats nothing; two that run at once share the work.

    Exit status: 0 when every run ended, also if one is unstable; 130 interrupted.
    """
    from mecopt.simulation import simulate as run

    names = [name.strip() for name in policy.split(",") if name.strip()]
    loaded = common.load_instance(instance)
    try:
        with common.working("simulating"), common.naming(instance):
            done = run(
                loaded,
                names,
                load=load,
                rate=rate,
                arrivals=arrivals,
                staleness=staleness,
                discipline=discipline,
                tasks=tasks,
                seeds=seeds,
                out=out,
            )
    except KeyboardInterrupt:
        if out is None:
            raise
        printing.note(f"interrupted; what is finished is kept in {out}; the same command goes on")
        ctx.exit(INTERRUPTED)
    if as_json:
        printing.emit_json({"settings": done.settings, "policies": done.table(), "runs": done.runs})
    else:
        _show(done)
    for row in done.table():
        if row["status"] != "stable":
            printing.note(_doubt(row, done))
    if out is not None:
        printing.note(f"kept in {out}")


def _doubt(row: dict[str, Any], done: Simulation) -> str:
    """Say why the figures of a rule are not those of a long run."""
    own = [run for run in done.runs if run["policy"] == row["policy"] and run["status"] == row["status"]]
    name, used, low, high = own[0]["busiest"]
    where = f"{printing.plain(str(name))} is given {used:.1%} of what it can do ({low:.1%} to {high:.1%})"
    if row["status"] == "unstable":
        return f"{row['policy']}: unstable, its figures grow with --tasks: {where}"
    return f"{row['policy']}: not shown to be stable, more --tasks may tell: {where}"


def _show(done: Simulation) -> None:
    settings = done.settings
    printing.say(
        f"{settings['instance']}: {settings['rate_per_s']:.4g} tasks/s (load {settings['load']:.3g}), "
        f"{settings['arrivals']}, {settings['staleness_slots']:g} slots stale, {settings['discipline']}, "
        f"{printing.counted(settings['tasks'], 'task')} a run"
    )
    rows = [
        (
            row["policy"],
            _seconds(row["mean_s"]) if row["status"] != "unstable" else "unstable",
            *(f"{row[name][0]:.4g}" for name in ("p50_s", "p99_s")),
            NONE if row["deadline_misses"] is None else f"{row['deadline_misses'][0]:.2%}",
            f"{row['energy_j'][0]:.3g}",
            f"{row['regret'][0]:.1%}" if row["status"] != "unstable" else NONE,
        )
        for row in sorted(done.table(), key=lambda row: float(row["mean_s"][0]))
    ]
    heads = ("Rule", "Mean s", "p50", "p99", "Late", "Joules", "Regret")
    printing.table(heads, rows, numbers=6, wraps=(0,))
    printing.say(f"no policy has a mean below {done.table()[0]['bound_s']:.4g} s on these tasks")


def _seconds(value: list[Any]) -> str:
    if value[1] is None:
        return f"{value[0]:.4g}"
    return f"{value[0]:.4g} ± {(value[2] - value[1]) / 2:.2g}"
