"""What people see of the reasons why nothing is feasible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mecopt.cli import printing
from mecopt.drawing.timeline import number, seconds
from mecopt_solvers.cli.explain_wider import show_clash
from mecopt_solvers.explain.limits import amount, place_text

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt_solvers.explain import Conflict, Infeasibility, Relaxation, TaskRelaxation

MOST = 10  # tasks or limits; --json lists all


def show_infeasibility(instance: Instance, why: Infeasibility) -> None:
    """Show why nothing is feasible, and what would help."""
    if why.reasons:
        _list("No placement is feasible", [str(reason.get("message", reason)) for reason in why.reasons])
    if why.tasks:
        _list("Least relaxation of the deadlines", [_task(task) for task in why.tasks])
    if why.conflict is not None:
        _conflict(instance, why.conflict)
    if why.clash is not None:
        show_clash(instance, why.clash)
    if why.relaxation is not None:
        _relaxation(instance, why.relaxation)


def _task(task: TaskRelaxation) -> str:
    together = " and ".join(f"block {m} in {seconds(tau)}" for m, tau in task.conflict)
    raises = ", ".join(f"block {m} from {seconds(tau)} to {seconds(need)}" for m, tau, need in task.raises)
    factor = "" if task.factor is None else f"; or all its deadlines times {_up(task.factor)}"
    clash = f"cannot do {together}" if len(task.conflict) == 1 else f"cannot have both {together}"
    return f"task {task.task} {clash}. Enough: {raises} ({seconds(task.extra_s)} in all){factor}"


def _conflict(instance: Instance, conflict: Conflict) -> None:
    lines = [
        f"{limit.kind} at {place_text(instance, limit.where)}: {amount(limit.kind, limit.limit)}"
        for limit in conflict.limits
    ]
    small = (
        "without any one of them the others can"
        if conflict.irreducible
        else "perhaps not the smallest such set"
    )
    tasks = printing.counted(len(conflict.tasks), "task")
    _list(f"Cannot hold together, for {tasks} ({small})", lines)


def _relaxation(instance: Instance, relaxation: Relaxation) -> None:
    lines = []
    for violation in relaxation.violations:
        kind, limit, value = violation.kind, violation.limit, violation.value
        place = place_text(instance, violation.where)
        if limit is None or value is None:
            lines.append(f"{kind} at {place}")
            continue
        share = f" ({100 * (value - limit) / limit:.3g} %)" if limit > 0 else ""
        lines.append(
            f"{kind} at {place}: {amount(kind, limit)} to {amount(kind, value)}, "
            f"{amount(kind, value - limit)} more{share}"
        )
    known = "Least relaxation" if relaxation.least else "A relaxation, perhaps not the least"
    proved = "" if relaxation.least else f", at least {number(100 * relaxation.bound, 3)} % are needed"
    _list(f"{known} (sum of shares {number(100 * relaxation.cost, 4)} %{proved})", lines)


def _up(factor: float) -> str:
    """Write a factor with six digits, rounded so that it still suffices."""
    shown = number(factor)
    return shown if float(shown.replace(",", "")) >= factor else number(factor * (1 + 1e-6))


def _list(title: str, lines: list[str]) -> None:
    from rich.padding import Padding

    out = printing.console()
    out.print(f"\n{title}:", style="bold")
    more = [f"and {len(lines) - MOST:,} more (--json lists all)"] if len(lines) > MOST else []
    for line in [*map(printing.plain, lines[:MOST]), *more]:
        out.print(Padding(line, (0, 0, 0, 1), expand=False))
