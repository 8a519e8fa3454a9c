"""`mecopt evaluate`: judge the placement of a solution file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mecopt.cli import common, common_options, printing

if TYPE_CHECKING:
    from mecopt.judge import Evaluation
    from mecopt.schema_docs import SolutionDoc

VIOLATING = 5  # exit status
FIGURES = ("objective", "total_delay_s", "edge_delay_s", "local_delay_s", "deadline_excess_s", "energy_j")


@click.command(short_help="Judge the placement of a solution file.")
@click.argument("instance_file", metavar="INSTANCE")
@click.argument("solution_file", metavar="SOLUTION")
@common_options.json_option
@common_options.plot_options
@click.pass_context
def evaluate(
    ctx: click.Context,
    instance_file: str,
    solution_file: str,
    as_json: bool,
    plot: str | None,
    tasks: tuple[int, ...],
) -> None:
    """Judge the placement of a solution file: what it costs, and which limits it violates.

    Of the file only the placement counts (`format` and `placement` are enough); figures in it that
    differ from the judge's are reported. Exit status: 0 feasible, 5 violating.
    """
    common.check_plot(plot, instance_file, solution_file)
    from mecopt import judge

    instance = common.load_instance(instance_file)
    common.check_tasks(tasks, instance)
    solution, placement = common.load_placement(solution_file, instance)
    common.check_same_instance(solution, instance, solution_file)
    with common.naming(instance_file):
        judged = judge.evaluate(instance, placement)
    for difference in _differences(solution, judged):
        printing.note(f"{solution_file}: {difference}")
    if as_json:
        printing.emit_json(_document(judged))
    else:
        from mecopt.cli.show import show_evaluation

        show_evaluation(judged, tasks)
    if plot is not None:
        common.write_plot(judged, plot, tasks)
    ctx.exit(0 if judged.feasible else VIOLATING)


def _document(judged: Evaluation) -> dict[str, Any]:
    from mecopt import schedule
    from mecopt.instance import WIDER_FORMAT

    wider = judged.instance.format == WIDER_FORMAT
    return {
        "feasible": judged.feasible,
        **{name: getattr(judged, name) for name in FIGURES},
        "device_energy_j": judged.device_energy_j,
        "violations": [vars(violation) for violation in judged.violations],
        **(schedule.account(judged.instance, judged) if wider else {}),
    }


def _differences(solution: SolutionDoc, judged: Evaluation) -> list[str]:
    """Return everything in which the file's own account is not the judge's."""
    from mecopt.tolerances import agree

    found = []
    claims_feasible = {"optimal": True, "feasible": True, "violating": False}.get(solution.status or "")
    if claims_feasible is not None and claims_feasible != judged.feasible:
        verdict = "feasible" if judged.feasible else "violating"
        found.append(f"status: the file says {solution.status}, the judge {verdict}")
    for name in FIGURES:
        claimed, value = getattr(solution, name), getattr(judged, name)
        if claimed is None or (value is not None and agree(claimed, value)):
            continue
        found.append(
            f"{name}: the file says {claimed!r}, the judge {'none' if value is None else repr(value)}"
        )
    return found
