"""`mecopt explain`: where time and energy go, what binds and what it costs, why nothing is feasible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import common, common_options, printing
from mecopt.cli.solve import EXIT
from mecopt.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mecopt.instance import Instance


@click.command(short_help="Say where time and energy go, what binds, and why.")
@click.argument("instance_file", metavar="INSTANCE")
@click.argument("solution_file", metavar="[SOLUTION]", required=False)
@click.option("--task", "tasks", metavar="K", type=int, multiple=True, help="Show this task block by block.")
@click.option(
    "--best", metavar="N", type=click.IntRange(1, 10_000), help="List the N best placements of each --task."
)
@click.option(
    "--pin", "pins", metavar="K:M=N", multiple=True, help="What would block M of task K on node N cost?"
)
@click.option(
    "--ban", "bans", metavar="K:M=N", multiple=True, help="What would block M of task K off node N cost?"
)
@common_options.solver_options(
    "For what must be solved.", "Seconds for each solve, for the prices and for a search of a conflict.", 60.0
)
@common_options.json_option
@click.pass_context
def explain(
    ctx: click.Context,
    instance_file: str,
    solution_file: str | None,
    tasks: tuple[int, ...],
    best: int | None,
    pins: tuple[str, ...],
    bans: tuple[str, ...],
    method: str,
    time_limit: float,
    seed: int,
    threads: int,
    as_json: bool,
) -> None:
    """Explain the placement of a solution file, or the best one that can be found.

    Says where time and energy go block by block, which limits bind and what one more unit of each would
    save, what forced choices cost, and for an infeasible instance which limits cannot hold together and how
    little would have to give way. Tasks, blocks and nodes count from 0; node 0 is the task's device.

    Exit status: as for solve.
    """
    instance = common.load_instance(instance_file)
    common.check_tasks(tasks, instance)
    if best is not None and not tasks:
        raise InputError("--best: expected --task K too, the task whose placements are listed")
    placement = None if solution_file is None else _placement(solution_file, instance)
    from mecopt_solvers.explain import explain as run

    with common.naming(instance_file), common.working(f"explaining {printing.plain(instance.name)}"):
        found = run(
            instance,
            placement,
            tasks=tasks,
            best=best,
            pins=pins,
            bans=bans,
            method=method,
            time_limit_s=time_limit,
            seed=seed,
            threads=threads,
        )
    if as_json:
        printing.emit_json(found.to_dict())
    else:
        from mecopt_solvers.cli.explain_show import show

        show(found)
    ctx.exit(EXIT[found.status])


def _placement(path: str, instance: Instance) -> NDArray[Any]:
    solution, placement = common.load_placement(path, instance)
    common.check_same_instance(solution, instance, path)
    return placement
