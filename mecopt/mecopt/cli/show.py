"""What people see of a result: a short table, what is wrong, and pictures of where blocks run and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mecopt.cli import printing
from mecopt.drawing.timeline import number, seconds, slowest_task

if TYPE_CHECKING:
    from rich.console import Console

    from mecopt.drawing.picture import Pen
    from mecopt.instance import Instance
    from mecopt.judge import Evaluation
    from mecopt.result import Result

MOST_LINES = 10  # violations or reasons shown before the rest is only counted
FEW_TASKS = 3  # so many are all drawn; more are summed up

STYLES = {
    "optimal": "bold green",
    "feasible": "green",
    "violating": "bold red",
    "infeasible": "bold red",
    "unknown": "bold yellow",
}
WORDS = {
    "time": "the time limit",
    "gap": "the gap asked for",
    "iterations": "the iteration limit",
    "interrupt": "an interrupt",
}
NOTES = {"warm_start_used": "Warm start", "solver": "Solver"}  # what a method says of its work
ONE_BLOCK = ("takes longer in all than its limit", "take longer in all than their limit")
NO_GAP = 5e-8  # what methods take off a bound for rounding is no gap


def _method(result: Result) -> str:
    """Name the method, and those that it picked."""
    picked = result.options.get("picked", [])
    return ": ".join([result.method, *([", then ".join(picked)] if picked else [])])


def show_result(result: Result, tasks: Sequence[int]) -> None:
    """Show the outcome of a solve."""
    out = printing.console()
    printing.headline(result.instance)
    stopped = f", stopped by {WORDS[result.stopped_by.value]}" if result.stopped_by else ""
    rows = [("Status", result.status.value + stopped), ("Method", _method(result))]
    if result.evaluation is not None:
        rows += _cost_rows(result.evaluation)
    if result.lower_bound is not None:
        rows.append(("Lower bound", worth(result.instance, result.lower_bound)))
    if result.gap is not None:
        rows.append(("Gap", gap_text(result.gap)))
    if result.repairs:
        rows.append(("Repairs", f"{result.repairs:,}"))
    rows += [(name, str(result.options[key])) for key, name in NOTES.items() if key in result.options]
    if "estimated_hardware" in result.options:
        kinds = ", ".join(result.options["estimated_hardware"])
        rows.append(("Not measured", f"the seconds on {kinds}"))
    rows.append(("Time", seconds(result.runtime_s, 3)))
    printing.facts(rows, STYLES[result.status.value])
    if result.reasons:
        show_reasons(result.reasons)
    if result.evaluation is not None:
        _show_placement(out, result.evaluation, tasks)


def show_reasons(reasons: Sequence[Mapping[str, object]]) -> None:
    """Show why no placement is feasible; `mecopt explain` finds more where a method gives no reason."""
    messages = [str(reason.get("message", reason)) for reason in reasons]
    _print_list(printing.console(), "No placement is feasible", messages or ["see mecopt explain"])


def show_evaluation(evaluation: Evaluation, tasks: Sequence[int]) -> None:
    """Show what the judge says of a placement."""
    out = printing.console()
    printing.headline(evaluation.instance)
    status = "feasible" if evaluation.feasible else "violating"
    printing.facts([("Status", status), *_cost_rows(evaluation)], STYLES[status])
    _show_placement(out, evaluation, tasks)


def _none(judged: Evaluation) -> str:
    """Say why there is no sum."""
    full = np.isinf(judged.steps.calc_s[~judged.dropped]).any()
    return "none, a server is full" if full else "none, a link is missing"


def _exact(judged: Evaluation, value: float | None) -> str:
    """Write a sum of seconds, always in seconds so that rows can be compared."""
    return _none(judged) if value is None else f"{number(value)} s"


def worth(instance: Instance, value: float) -> str:
    """Write an objective or a bound on it, in its unit."""
    from mecopt import objective

    return f"{number(value)} {objective.unit(instance)}".rstrip()


def gap_text(gap: float) -> str:
    """Write a gap, a fraction, as a percentage."""
    return "0 %" if gap <= NO_GAP else f"{100 * gap:.3g} %"


def _cost_rows(judged: Evaluation) -> Iterator[tuple[str, str]]:
    total = judged.total_delay_s
    yield "Total delay", _exact(judged, total)
    for name, part in (("on servers", judged.edge_delay_s), ("on devices", judged.local_delay_s)):
        share = f"  ({100 * part / total:.3g} %)" if total and part is not None else ""
        yield f"  {name}", _exact(judged, part) + share
    if judged.deadline_excess_s != 0:
        yield "Above deadlines", _exact(judged, judged.deadline_excess_s)
    yield from _phase_rows(judged)
    if judged.dropped.any():
        tasks = printing.counted(judged.instance.task_count, "task")
        yield "Left out", f"{judged.dropped.sum():,} of {tasks}"
    if judged.objective is not None and (judged.objective != total or judged.instance.rules.objective.period):
        yield "Objective", worth(judged.instance, judged.objective) + _terms(judged)
    energy = judged.energy_j
    unknown = any(d.cycles_per_s is None and d.compute_power_w is None for d in judged.instance.devices)
    none = "not known, no device speed or power is given" if unknown else _none(judged)
    yield "Device energy", none if energy is None else f"{number(energy)} J"


def _phase_rows(judged: Evaluation) -> Iterator[tuple[str, str]]:
    """Show the delay of every phase where a model has several."""
    if judged.instance.phase_count > 1:
        from mecopt.schedule import phase_delays

        for name, value in phase_delays(judged).items():
            yield f"  phase {printing.plain(name)}", _exact(judged, value)


def _terms(judged: Evaluation) -> str:
    """Say what an objective of several terms is made of, and what is busiest under the period."""
    from mecopt import busy

    instance = judged.instance
    if instance.rules.objective.period:
        if len(judged.periods) > 1:
            return f"  (periods of {len(judged.periods):,} slots)"
        ((_, row),) = judged.periods.values()
        place = busy.name(instance, row)
        return "  (busiest: " + ", ".join(f"{k} {printing.plain(str(v))}" for k, v in place.items()) + ")"
    terms = {name: value for name, value in judged.objective_terms.items() if value}
    if len(terms) < 2:
        return ""
    return "  (" + " + ".join(f"{name} {number(value)}" for name, value in terms.items()) + ")"


def tasks_above_one_limit(judged: Evaluation) -> int:
    """Count the tasks that take longer in all than the largest limit of any one of their blocks.

    A limit holds for a single block; whoever means the whole task finds here that it was not meant so.
    """
    import numpy as np

    from mecopt.tolerances import slack

    if judged.instance.rules.deadline == "none":
        return 0
    tau = judged.instance.tasks.max_delay_s
    largest = np.where(np.isfinite(tau), tau, -np.inf).max(axis=1)
    delay = judged.task_delay_s
    return int((np.isfinite(largest) & np.isfinite(delay) & (delay > slack(largest))).sum())


def _print_list(out: Console, title: str, lines: Sequence[str]) -> None:
    from rich.padding import Padding

    out.print(f"\n{title}:", style="bold")
    shown = [printing.plain(line) for line in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        shown.append(f"and {len(lines) - MOST_LINES:,} more (--json lists all)")
    for line in shown:
        out.print(Padding(line, (0, 0, 0, 1), expand=False))


def _show_placement(out: Console, judged: Evaluation, tasks: Sequence[int]) -> None:
    from mecopt.drawing import picture

    late = tasks_above_one_limit(judged)
    if late:
        tasks_in_all = printing.counted(judged.instance.task_count, "task")
        out.print(f"\n{late:,} of {tasks_in_all} {ONE_BLOCK[late > 1]} for a single block", soft_wrap=True)
    if not judged.feasible:
        found = printing.counted(len(judged.violations), "limit")
        _print_list(out, f"The placement violates {found}", [str(v) for v in judged.violations])
    coloured = out.color_system is not None and not out.no_color
    pen = picture.Pen(out.width, colour=coloured, ascii=out.options.ascii_only)
    count = judged.instance.task_count
    if not tasks and count > FEW_TASKS:
        _show_summary(out, judged, pen)
        tasks = [slowest_task(judged)]
        out.print("\nThe task with the largest delay (--task K draws others):", style="bold")
    else:
        tasks = list(dict.fromkeys(tasks)) or range(count)
        out.print()
    for i, task in enumerate(tasks):
        if i:
            out.print()
        for line in picture.task_picture(judged, task, pen):
            out.print(line, no_wrap=True, overflow="crop", crop=True)
    out.print(picture.legend(judged, tasks, pen))


def _show_summary(out: Console, judged: Evaluation, pen: Pen) -> None:
    from mecopt.drawing import picture

    out.print("\nWhich block runs where, in % of the tasks:", style="bold")
    for line in picture.share_picture(judged, pen):
        out.print(line, no_wrap=True, overflow="crop")
    out.print("\nMost frequent placements:", style="bold")
    out.print(f" {picture.share_sentence(judged)}")
    for share, path in picture.frequent_placements(judged):
        out.print(f" {share.rjust(7)}  {printing.plain(path)}", no_wrap=True, overflow="ellipsis")
