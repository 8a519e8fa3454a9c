"""What people see of an explanation: tables, the dearest or tightest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.padding import Padding

from mecopt import objective
from mecopt.cli import printing
from mecopt.cli.show import STYLES, worth
from mecopt.drawing.timeline import node_names, number, seconds
from mecopt.result import gap
from mecopt_solvers.cli.explain_why import show_infeasibility
from mecopt_solvers.cli.explain_wider import show_clash, show_wider
from mecopt_solvers.explain.limits import amount, place_text, price_unit, tightest

if TYPE_CHECKING:
    from mecopt.instance import Instance
    from mecopt_solvers.explain import Alternative, ExplainedLimit, Explanation, ForcedChoice, Spent

MOST_ROWS = 12  # of limits and deadlines; --json lists all
NONE = "-"


def show(found: Explanation) -> None:
    """Show an explanation."""
    printing.headline(found.instance)
    _status(found)
    _spending(found)
    _limits(found)
    _deadlines(found)
    show_wider(found)
    _alternatives(found)
    if found.forced is not None:
        _forced(found.instance, found.forced)
    if found.infeasibility is not None:
        show_infeasibility(found.instance, found.infeasibility)
    if found.notes:
        _title("Left out")
        for note in found.notes:
            _line(note)


def _title(text: str) -> None:
    printing.console().print(f"\n{text}:", style="bold")


def _line(text: str) -> None:
    printing.console().print(Padding(printing.plain(text), (0, 0, 0, 1), expand=False))


def _status(found: Explanation) -> None:
    given = "as given" if found.source == "given" else f"by {found.source}"
    given = given if found.evaluation is not None else "none"
    rows = [("Status", found.status), ("Placement", given)]
    if found.objective is not None:
        rows.append(("Objective", worth(found.instance, found.objective)))
    if found.lower_bound is not None:
        rows.append(("Lower bound", worth(found.instance, found.lower_bound)))
    between = gap(found.objective, found.lower_bound)
    if between is not None:
        rows.append(("Gap", f"{100 * between:.3g} %"))
    printing.facts(rows, STYLES[found.status])
    violations = [] if found.evaluation is None else found.evaluation.violations
    if violations:
        _title(f"The placement violates {printing.counted(len(violations), 'limit')}")
        for violation in violations[:MOST_ROWS]:
            _line(str(violation))
        _rest(len(violations))


def _rest(count: int) -> None:
    if count > MOST_ROWS:
        _line(f"and {count - MOST_ROWS:,} more (--json lists all)")


def _spending(found: Explanation) -> None:
    spent = found.spending
    if spent is None:
        return
    total = spent.total.delay_s
    late = found.instance.rules.deadline != "none" and spent.total.excess_s != 0
    heads = ["transfer", "compute", *(["above tau"] if late else []), "energy", "% time"]

    def figures(row: Spent) -> list[str]:
        over = [_time(row.excess_s)] if late else []
        return [
            _time(row.trans_s),
            _time(row.calc_s),
            *over,
            _energy(row.energy_j),
            _percent(row.delay_s, total),
        ]

    many = len(found.instance.models) > 1
    _title("Where time and energy go, block by block")
    rows = [
        [f"{row.what['block']} {row.what['name']}", *([row.what["model"]] if many else []),
         _percent(row.on_device, row.count), *figures(row)]
        for row in spent.blocks
    ]  # fmt: skip
    last = ["total", *([""] if many else []), _percent(spent.total.on_device, spent.total.count)]
    model = ["model"] if many else []
    _table(["block", *model, "% local", *heads], [*rows, [*last, *figures(spent.total)]], 1 + len(heads))
    if spent.penalty_s:
        _line(f"The seconds above deadlines cost {worth(found.instance, spent.penalty_s)} of objective.")
    _title("Node by node")
    used = [row for row in spent.nodes if row.count]
    rows = [[row.what["name"], f"{row.count:,}", *figures(row)] for row in used]
    _table(["node", "blocks", *heads], rows, 1 + len(heads))
    for task, group in groupby(spent.tasks, key=lambda row: row.what["task"]):
        names = node_names(found.instance, task)
        _title(f"Task {task}")
        rows = [
            [f"{row.what['block']} {row.what['name']}", names[row.what["node"]], *figures(row)[:-1]]
            for row in group
        ]
        _table(["block", "node", *heads[:-1]], rows, len(heads) - 1)


def _limits(found: Explanation) -> None:
    if not found.limits:
        return
    counts = Counter(limit.kind for limit in found.limits)
    binding = Counter(limit.kind for limit in found.limits if limit.binds)
    parts = [f"{binding[kind]:,} of {printing.counted(count, NOUNS[kind])}" for kind, count in counts.items()]
    _title("Limits used to 99.9 % or more")
    _line(", ".join(parts).replace("memorys", "memories").replace("capacitys", "capacities"))
    if len(found.limits) > MOST_ROWS:
        _by_place(found)
    priced = any(limit.price is not None for limit in found.limits)
    _title("Tightest limits" + (", and what one more unit of each would save" if priced else ""))
    ordered = sorted(tightest(list(found.limits)), key=lambda limit: not (limit.binds or limit.price))
    rows = [_limit_row(found.instance, limit) for limit in ordered[:MOST_ROWS]]
    _table(["limit", "where", "used", "of", "%", "saves"], rows, 4)
    _rest(len(ordered))
    if priced:
        _line(
            "Savings are prices of the linear relaxation: "
            "exact for tasks that may be split, else an estimate."
        )


def _by_place(found: Explanation) -> None:
    """Sum the limits of many slots up, node by node."""
    groups: dict[tuple[str, str], list[ExplainedLimit]] = {}
    for limit in found.limits:
        place = place_text(found.instance, {k: v for k, v in limit.where.items() if k != "slot"})
        groups.setdefault((limit.kind, place), []).append(limit)
    rows = []
    for (kind, place), limits in groups.items():
        shares = [limit.share for limit in limits if limit.share is not None]
        priced = [limit.price for limit in limits if limit.price is not None]
        saves = f"{number(sum(priced), 4)} s/{price_unit(kind)[0]}" if priced else NONE
        saves = f"> {saves}" if 0 < len(priced) < len(limits) else saves
        mean = f"{100 * sum(shares) / len(shares):.1f}" if shares else NONE
        rows.append([kind, place, f"{len(limits):,}", f"{sum(at.binds for at in limits):,}", mean, saves])
    priced_any = any(limit.price is not None for limit in found.limits)
    _title("All slots together" + (": what one more unit in every slot would save" if priced_any else ""))
    _table(["limit", "where", "limits", "binding", "mean %", "saves"], rows, 4)


NOUNS = {
    "energy": "energy budget",
    "capacity": "capacity",
    "memory": "memory",
    "sharing": "shared server",
    "deadline": "end-to-end deadline",
}


def _limit_row(instance: Instance, limit: ExplainedLimit) -> list[str]:
    saves = NONE if limit.price is None else f"{number(limit.price, 4)} s/{price_unit(limit.kind)[0]}"
    used = "infinite" if limit.used is None else amount(limit.kind, limit.used)
    share = NONE if limit.share is None else f"{100 * limit.share:.1f}"
    return [
        limit.kind,
        place_text(instance, limit.where),
        used,
        amount(limit.kind, limit.limit),
        share,
        saves,
    ]


def _deadlines(found: Explanation) -> None:
    instance = found.instance
    if found.deadlines:
        missed = sum(limit.exceeded for limit in found.deadlines)
        _title("Deadlines met within 0.1 %, or missed")
        _line(f"{len(found.deadlines) - missed:,} met within 0.1 %, {missed:,} missed")
        rows = [
            [place_text(instance, limit.where), seconds(limit.used or 0.0, 5), seconds(limit.limit, 5)]
            for limit in tightest(list(found.deadlines))[:MOST_ROWS]
        ]
        _table(["deadline", "delay", "tau"], rows, 2)
        _rest(len(found.deadlines))
    if found.deadline_values:
        aside = ", couplings left out" if instance.rules.couplings else ""
        _title(f"What deadlines cost, one at a time{aside}")
        rows = [
            [f"task {value.task}, block {value.block}", *(seconds(s, 5) for s in figures)]
            for value in found.deadline_values[:MOST_ROWS]
            for figures in [(value.tau_s, value.saved_longer_s, value.saved_without_s)]
        ]
        _table(["deadline", "tau", "10 % longer saves", "none saves"], rows, 3)
        _rest(len(found.deadline_values))


def _alternatives(found: Explanation) -> None:
    aside = ", couplings left out" if found.instance.rules.couplings else ""
    for task, group in groupby(found.alternatives, key=lambda alternative: alternative.task):
        listed = list(group)
        _title(f"Best placements of task {task}{aside}")
        names = node_names(found.instance, task)
        rows = [
            [str(rank), path_text(one.nodes, names), _remark(one), _worth(found.instance, one.objective_s, 5),
             f"+{_worth(found.instance, one.extra_s, 4)}"]
            for rank, one in enumerate(listed, 1)
        ]  # fmt: skip
        _table(["", "placement", "", "objective", "extra"], rows, 2, wraps={1, 2})


def _worth(instance: Instance, value: float, digits: int) -> str:
    """Write a part of the objective, in the unit of seconds that suits it or in the objective's own."""
    name = objective.unit(instance)
    return seconds(value, digits) if name == "s" else f"{number(value, digits)} {name}".rstrip()


def _remark(one: Alternative) -> str:
    if one.chosen:
        return "chosen"
    kinds = sorted({text.split(" ")[0] for text in one.violates})
    return f"violates {', '.join(kinds)}" if kinds else ""


def _forced(instance: Instance, forced: ForcedChoice) -> None:
    chosen = ", ".join([*(f"pin {text}" for text in forced.pins), *(f"ban {text}" for text in forced.bans)])
    _title(f"What {chosen} costs" + (f" ({forced.note})" if forced.note else ""))
    if forced.reasons:
        _line("Nothing is feasible with it:")
        for reason in forced.reasons[:MOST_ROWS]:
            _line(f"  {reason}")
        if forced.clash is not None:
            show_clash(instance, forced.clash)
        return
    if forced.cost_s is None:
        _line("not known: no placement was found with it, or none without it")
        return
    _line(f"{worth(instance, forced.cost_s)} more than without")
    if not forced.exact and forced.least_s is not None and forced.most_s is not None:
        _line(f"proved: between {worth(instance, forced.least_s)} and {worth(instance, forced.most_s)}")
    if len(forced.task_costs) > 1:
        for task, cost in forced.task_costs:
            _line(f"  task {task}: {worth(instance, cost)}")


def path_text(nodes: Sequence[int], names: Sequence[str]) -> str:
    """Write a placement as its runs of blocks: ``cam0 0-1, es2 2``."""
    if not nodes:
        return "left out"
    parts, start = [], 0
    for node, run in groupby(nodes):
        end = start + len(list(run)) - 1
        parts.append(f"{names[node]} {start}" + (f"-{end}" if end > start else ""))
        start = end + 1
    return ", ".join(parts)


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], numbers: int, wraps: Iterable[int] = (0,)
) -> None:
    printing.table(heads, rows, numbers=numbers, wraps=set(wraps))


def _time(value: float | None) -> str:
    return "infinite" if value is None else seconds(value, 4)


def _energy(value: float | None) -> str:
    return "infinite" if value is None else f"{number(value, 4)} J"


def _percent(part: float | None, total: float | None) -> str:
    return NONE if part is None or not total else f"{100 * part / total:.1f}"
